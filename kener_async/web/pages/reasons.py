"""Why a minute has its status, in the words of a language."""

from kener_async.domain.timeline import Reason
from kener_async.web.pages.locales import Locale


def reason_in_words(locale: Locale, reason: Reason) -> str:
    """A few words that stand beside the status."""
    _ = locale.gettext
    return {
        Reason.MAINTENANCE: _("planned maintenance"),
        Reason.INCIDENT: _("as an incident says"),
        Reason.SAMPLE: _("as reported"),
        Reason.HELD: _("the last report still holds"),
        Reason.DEADLINE: _("no report in time"),
        Reason.STALE: _("the last report is too old"),
        Reason.NOT_OBSERVED: _("this server was not running"),
        Reason.DEFAULT: _("unless reported otherwise"),
        Reason.NO_SAMPLE: _("no report"),
        Reason.NOT_KNOWN: _("not known yet"),
    }[reason]
