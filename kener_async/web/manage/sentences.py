"""The sentences of errors that screens show in the language of the page.

Errors are raised in English, below the screens also by parts that know no language. A sentence that is listed
here has a translation in the catalogs; any other is shown as it is.
"""

import re

from kener_async.domain.errors import DomainError
from kener_async.locales.locale import Locale


def _(text: str) -> str:
    """Mark a text for the catalogs."""
    return text


TOO_MANY = _("Too many tries: wait %(seconds)s s and try again.")

SENTENCES = frozenset(
    {
        # signing in, one's account
        _("The name or the password is wrong."),
        _("This code is wrong, or was used before."),
        _("That is wrong."),
        _("This took too long. Please begin again."),
        _("this link was used before, or is more than a day old; ask for another"),
        _("too many people sign in at once; try again in a few seconds"),
        _("people do not sign in with a password here"),
        _("signing in needs https: see public_url and trusted_proxies of [server]"),
        _("sign in again to go on"),
        _("must have at least 12 characters"),
        _("must have at most 128 characters"),
        _("must not be your name or address"),
        _("is one of those that are used most and tried first"),
        _("is not the same as above"),
        _("is wrong"),
        _("is wrong: is the time of both devices right?"),
        _("this took too long: scan the new image"),
        _("a second factor is required here: set up a passkey first"),
        _("is not the name of a zone, such as Europe/Berlin"),
        _("This passkey was not accepted. Please try again, or sign in another way."),
        _("The passkey could not be made. Please try again."),
        _("set a password by this link, and then use the second factor that is set up already"),
        _("This sign-in was not accepted. Please begin again."),
        _("You have no access here: none of your groups gives you a role, or you are deactivated."),
        _("The sign-in service cannot be reached now. Please try again later, or sign in another way."),
        _("The sign-in service did not ask who you are again, so this cannot be done with it."),
        _("this session has ended; sign in again"),
        _("this session has ended already"),
        _("there is no such session"),
        _("set up codes first"),
        _("this passkey is already known"),
        _("this passkey is the only way you can sign in: set a password or add a passkey first"),
        _("no such passkey"),
        # people
        _("there is no such person"),
        _("must not begin or end with a space, nor contain a control character"),
        _("this is the last admin; make another person admin first"),
        _("choose at least one, or all monitors"),
        _("activate this person first"),
        _("must be an address such as ada@example.org"),
        _("needs a person who is not limited to categories"),
        # monitors, alerts, channels, deliveries, devices, tokens
        _("monitor not found"),
        _("the monitor has no check"),
        _("the monitor has no open alert"),
        _("alert not found"),
        _("the alert is closed"),
        _("rule not found"),
        _("channel not found"),
        _("delivery not found"),
        _("this delivery is waiting to be sent"),
        _("only a delivery that waits to be sent can be dropped"),
        _("device not found"),
        _("token not found"),
        _("a push key reports one monitor: give its tag"),
        _("choose from the list"),
        _("give tags of monitors that you may see"),
        # incidents, maintenance, texts
        _("there is no such page"),
        _("incident not found"),
        _("update not found"),
        _("maintenance not found"),
        _("series not found"),
        _("template not found"),
        _("announcement not found"),
        _("There is one of this name already."),
        _("there is a series of this name"),
        _("is missing: say in a few words what does not work"),
        _('must be such as "90m" or "2h"'),
        _("must be a date such as 2026-12-27"),
        _("does not occur within 5 years of its begin"),
        _("it is over"),
        _("it has not begun: cancel it"),
        _("it has begun: end it"),
        _("it was cancelled: plan another one"),
        _("it was cancelled before"),
        _("must be in the future"),
        _("is in the future"),
        _("is more than a day before the incident's start"),
        _("an update needs a text, a state or impacts"),
        _("must be later than startDatetime"),
        _("must be 1 minute to 31 days after startDatetime"),
        _("must be after from"),
        _("it was deleted since"),
        _("nothing may be made here: see own of [manage] in the configuration"),
        _("the form is malformed"),
        _("is malformed"),
        _("the token is for other monitors"),
        _("the token is for some monitors only: name each by its tag"),
        # any form
        _("is missing"),
        _("is too long"),
        _("is given twice"),
        _("choose one"),
        _("choose at least one"),
        _("contains an invalid character"),
        _("must be a whole number"),
        _("must be a date and a time such as 2026-11-28T14:05"),
        _("not found"),
        _("the form was sent from another site"),
        _("You have signed in since this form was opened. Look at it once more and send it."),
        _("The form is incomplete. Look at it once more and send it."),
    }
)

# With what differs from time to time; each is known by the words around it.
PATTERNS = (
    TOO_MANY,
    _("there is a person %(name)s already"),
    _("there is no category %(name)s"),
    _("there is no monitor %(name)s"),
    _("must have 1 to %(most)s characters"),
    _("has %(count)s characters; %(most)s are allowed"),
    _("needs at least %(least)s characters"),
    _("must be from %(least)s to %(most)s"),
    _("must be in the years from %(least)s to %(most)s"),
    _("choose at most %(most)s"),
)


def _compiled(text: str) -> tuple[str, re.Pattern[str]]:
    """A text of the catalogs, and an expression that finds it and the values that stand in it."""
    return text, re.compile(re.sub(r"%\\\((\w+)\\\)s", r"(?P<\1>.+)", re.escape(text)), re.DOTALL)


_COMPILED = tuple(map(_compiled, PATTERNS))


def translated(text: str, locale: Locale) -> str:
    """A sentence in the language of a page, where it has a translation."""
    if text in SENTENCES:
        return locale.gettext(text)
    for pattern, expression in _COMPILED:
        if found := expression.fullmatch(text):
            return locale.gettext(pattern) % found.groupdict()
    return text


def sentence_of(error: DomainError, locale: Locale) -> str:
    """The message of an error in the language of a page."""
    return translated(error.message, locale)
