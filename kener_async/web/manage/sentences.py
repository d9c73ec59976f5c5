"""The sentences of errors that screens show in the language of the page.

Errors are raised in English, below the screens also by parts that know no language. A sentence that is listed
here has a translation in the catalogs; any other is shown as it is.
"""

from kener_async.domain.errors import DomainError, TooMany
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
        # people
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


def translated(text: str, locale: Locale) -> str:
    """A sentence in the language of a page, where it has a translation."""
    return locale.gettext(text) if text in SENTENCES else text


def sentence_of(error: DomainError, locale: Locale) -> str:
    """The message of an error in the language of a page."""
    if isinstance(error, TooMany):
        return locale.gettext(TOO_MANY) % {"seconds": error.seconds}
    return translated(error.message, locale)
