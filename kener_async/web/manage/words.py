"""The words of screens for what the store has numbers or short names for."""

from collections.abc import Iterable

from kener_async.domain.notices import DeliveryState, NoticeKind
from kener_async.locales.locale import Locale


def notice_names(locale: Locale) -> dict[NoticeKind, str]:
    """What a notice tells."""
    _ = locale.gettext
    return {kind: kind.name.replace("_", " ").capitalize() for kind in NoticeKind} | {
        NoticeKind.OPENED: _("Alert opened"),
        NoticeKind.REMINDED: _("Reminder"),
        NoticeKind.RESOLVED: _("Alert over"),
        NoticeKind.RETRACTED: _("Alert retracted"),
        NoticeKind.REMOVED: _("Alert removed"),
        NoticeKind.FLAPPING: _("Flapping"),
        NoticeKind.SETTLED: _("Flapping over"),
        NoticeKind.ACKNOWLEDGED: _("Acknowledged"),
        NoticeKind.CHANNEL_PAUSED: _("Channel paused"),
        NoticeKind.TEST: _("Test"),
    }


def delivery_states(locale: Locale) -> dict[DeliveryState, str]:
    """The states of a delivery."""
    _ = locale.gettext
    return {
        DeliveryState.DUE: _("waiting"),
        DeliveryState.SENDING: _("being sent"),
        DeliveryState.SENT: _("sent"),
        DeliveryState.FAILED: _("failed"),
        DeliveryState.MERGED: _("told with another"),
        DeliveryState.DROPPED: _("dropped"),
    }


def fact_names(locale: Locale) -> dict[str, str]:
    """What a notice says of what happened, by the names that the store has for it."""
    _ = locale.gettext
    return {
        "monitor": _("Monitor"),
        "rule": _("Rule"),
        "severity": _("Severity"),
        "before": _("Status before"),
        "status": _("Status"),
        "since": _("Since"),
        "until": _("Until"),
        "reason": _("Reason"),
        "latency": _("Latency"),
        "bad_now": _("Monitors that are bad"),
        "monitors": _("Monitors"),
        "changes": _("Changes"),
        "because": _("Because of"),
        "acknowledged_by": _("Acknowledged by"),
        "incident": _("Incident"),
        "channel": _("Channel"),
        "certificate_ends": _("The certificate ends"),
    }


def event_names(locale: Locale, events: Iterable[str]) -> list[str]:
    """The events that a channel can be told of, by their names in `tell`."""
    _ = locale.gettext
    names = {
        "opened": _("openings"),
        "reminded": _("reminders"),
        "resolved": _("ends"),
        "flapping": _("flapping"),
        "acknowledged": _("acknowledgements"),
        "maintenance": _("maintenance"),
        "incident": _("incidents"),
    }
    return [names.get(event, event) for event in events]
