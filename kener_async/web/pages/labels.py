"""Statuses, days and incidents in the words of a language."""

from datetime import date
from functools import lru_cache

from kener_async.domain.calendar import MINUTE
from kener_async.domain.incidents import Incident, IncidentStage
from kener_async.domain.samples import Status
from kener_async.domain.summary import Summary
from kener_async.domain.uptime import Counts
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.snapshot import DayView, MonitorView

# The class that gives an element the colour and the sign of a status.
CLASSES = {
    Status.UP: "up",
    Status.DEGRADED: "degraded",
    Status.DOWN: "down",
    Status.MAINTENANCE: "maintenance",
    Status.NO_DATA: "no-data",
}


def status(locale: Locale, status: Status) -> str:
    """One word."""
    _ = locale.gettext
    return {
        Status.UP: _("Operational"),
        Status.DEGRADED: _("Degraded"),
        Status.DOWN: _("Down"),
        Status.MAINTENANCE: _("Maintenance"),
        Status.NO_DATA: _("No data"),
    }[status]


def summary(locale: Locale, summary: Summary) -> str:
    """The banner's sentence."""
    _ = locale.gettext
    return {
        Summary.OPERATIONAL: _("All systems operational"),
        Summary.MAINTENANCE: _("Maintenance under way"),
        Summary.DEGRADED: _("Degraded performance"),
        Summary.PARTIAL_OUTAGE: _("Partial outage"),
        Summary.MAJOR_OUTAGE: _("Major outage"),
        Summary.NO_DATA: _("No data yet"),
    }[summary]


def current_status(locale: Locale, shown: MonitorView, now: int) -> str:
    """How a monitor stands, and for how long: "Up for 12 days"."""
    _ = locale.gettext
    current = shown.status
    newest = shown.report.current.newest
    if current is Status.NO_DATA:
        if newest is None:
            return _("No data")
        silent = locale.duration(now - newest.minute)
        return _("No data, last heard %(duration)s ago") % {"duration": silent}
    if shown.since is None:
        return status(locale, current)
    duration = locale.duration(now - shown.since)
    return {
        Status.UP: _("Up for %(duration)s"),
        Status.DEGRADED: _("Degraded for %(duration)s"),
        Status.DOWN: _("Down for %(duration)s"),
        Status.MAINTENANCE: _("In maintenance for %(duration)s"),
    }[current] % {"duration": duration}


def day(locale: Locale, day: DayView) -> str:
    """A day in three lines: its date, how it was, and its uptime."""
    counts = day.counts
    return _day(locale, day.date, day.status, counts.down, counts.degraded, counts.maintenance, counts.uptime)


@lru_cache(16384)
def _day(
    locale: Locale, day: date, kind: Status, down: int, degraded: int, maintenance: int, figure: str
) -> str:
    """Apart from the counts themselves, whose latencies differ from monitor to monitor."""
    minutes = _minutes(locale, kind, down, degraded, maintenance)
    return f"{locale.day(day)}\n{minutes}\n{_uptime(locale, figure)}"


def minutes(locale: Locale, day: DayView) -> str:
    """A day's status, and its minutes that were not up."""
    return _minutes(locale, day.status, day.counts.down, day.counts.degraded, day.counts.maintenance)


def _minutes(locale: Locale, kind: Status, down: int, degraded: int, maintenance: int) -> str:
    """The day's status, and the minutes that were not up."""
    _ = locale.gettext
    parts = [status(locale, kind)]
    for minutes, text in (
        (down, _("%(duration)s down")),
        (degraded, _("%(duration)s degraded")),
        (maintenance, _("%(duration)s of maintenance")),
    ):
        if minutes:
            parts.append(text % {"duration": locale.duration(minutes * MINUTE)})
    return " · ".join(parts)


def uptime(locale: Locale, counts: Counts) -> str:
    """The figure in a sentence."""
    return _uptime(locale, counts.uptime)


def _uptime(locale: Locale, figure: str) -> str:
    if figure == "-":
        return locale.gettext("No uptime figure")
    return locale.gettext("%(figure)s uptime") % {"figure": locale.figure(figure)}


def windows(locale: Locale) -> dict[str, str]:
    """What the windows are called, longest first."""
    return {
        **{f"{days}d": locale.unit(days, "day") for days in (90, 30, 7)},
        "24h": locale.unit(24, "hour"),
        "today": locale.gettext("Today"),
    }


def impact(locale: Locale, incident: Incident) -> str:
    """What an incident is, in one word."""
    _ = locale.gettext
    return {
        Status.MAINTENANCE: _("Maintenance"),
        Status.DOWN: _("Outage"),
        Status.DEGRADED: _("Degraded performance"),
        None: _("Notice"),
    }[incident.effect]


def stage(locale: Locale, incident: Incident, now: int) -> str:
    """The stage of an incident, in one word."""
    _ = locale.gettext
    return {
        IncidentStage.SCHEDULED: _("Scheduled"),
        IncidentStage.INVESTIGATING: _("Investigating"),
        IncidentStage.IDENTIFIED: _("Identified"),
        IncidentStage.RESOLVED: _("Resolved"),
        IncidentStage.IN_PROGRESS: _("In progress"),
        IncidentStage.COMPLETED: _("Completed"),
        IncidentStage.CANCELLED: _("Cancelled"),
    }[incident.stage(now)]
