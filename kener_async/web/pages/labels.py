"""The texts for statuses, reasons, days, windows and incidents in each language."""

from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import MINUTE, minute_end
from kener_async.domain.headline import Headline, HeadlineKind
from kener_async.domain.incident_updates import IncidentState
from kener_async.domain.incidents import Incident, IncidentStage
from kener_async.domain.overview import first_day_counted
from kener_async.domain.samples import SampleSource, Status
from kener_async.domain.timeline import CurrentStatus, Reason
from kener_async.domain.uptime import Counts
from kener_async.domain.windows import WINDOWS
from kener_async.locales.direction import isolated
from kener_async.locales.locale import Locale
from kener_async.probes.settings import CheckSettings
from kener_async.web.pages.snapshot import DayView, MonitorView

# CSS classes, which give an element the colour of a status.
CLASSES = {
    Status.UP: "up",
    Status.DEGRADED: "degraded",
    Status.DOWN: "down",
    Status.MAINTENANCE: "maintenance",
    Status.NO_DATA: "no-data",
}
WORST_FIRST = (Status.DOWN, Status.DEGRADED, Status.NO_DATA, Status.MAINTENANCE)
SEVERITY = {status: place for place, status in enumerate((*WORST_FIRST, Status.UP))}


def status(locale: Locale, status: Status) -> str:
    _ = locale.gettext
    return {
        Status.UP: _("Operational"),
        Status.DEGRADED: _("Degraded"),
        Status.DOWN: _("Down"),
        Status.MAINTENANCE: _("Maintenance"),
        Status.NO_DATA: _("No data"),
    }[status]


def reason(locale: Locale, reason: Reason) -> str:
    """Why a minute has its status; shown after the status."""
    _ = locale.gettext
    return {
        Reason.MAINTENANCE: _("planned maintenance"),
        Reason.INCIDENT: _("set by an incident"),
        Reason.SAMPLE: _("as reported"),
        Reason.HELD: _("the last report is still valid"),
        Reason.DEADLINE: _("no report in time"),
        Reason.STALE: _("the last report is too old"),
        Reason.NOT_MEASURED: _("not measured"),
        Reason.NOT_OBSERVED: _("this server was not running or offline"),
        Reason.AFTER_MAINTENANCE: _("awaiting the first report after a maintenance"),
        Reason.AFTER_CHANGE: _("awaiting the first report after a change of settings"),
        Reason.DEFAULT: _("default status"),
        Reason.MEMBERS: _("by its members"),
        Reason.PARENT_DOWN: _("a monitor that it needs is down"),
        Reason.NO_SAMPLE: _("no report"),
        Reason.NOT_KNOWN: _("not known yet"),
    }[reason]


def reason_now(locale: Locale, current: CurrentStatus) -> str:
    """Why a monitor has its current status; what a check measured was not reported."""
    _ = locale.gettext
    if current.held is not None and current.held.source is SampleSource.CHECK:
        by_check = {Reason.SAMPLE: _("as checked"), Reason.HELD: _("the last check is still valid")}
        if current.reason in by_check:
            return by_check[current.reason]
    return reason(locale, current.reason)


def checked(locale: Locale, check: CheckSettings | None) -> str:
    """How often a monitor is checked: "every 5 min"; empty without a check."""
    if check is None:
        return ""
    if check.timing.cron is not None:
        return locale.gettext("at set times")
    if check.timing.every < MINUTE:
        return locale.gettext("several times a minute")
    return locale.gettext("every %(duration)s") % {"duration": locale.duration(check.timing.every)}


def headline_words(locale: Locale, headline: Headline) -> str:
    """The headline's first words, as on the banner: "Partial outage"."""
    _ = locale.gettext
    if headline.kind is HeadlineKind.NOT_REPORTED:
        return silent(locale, headline)
    if headline.is_overdue:
        return _("Reports overdue")
    return {
        HeadlineKind.OPERATIONAL: _("All systems operational"),
        HeadlineKind.MAINTENANCE: _("Maintenance under way"),
        HeadlineKind.DEGRADED: _("Degraded performance"),
        HeadlineKind.PARTIAL_OUTAGE: _("Partial outage"),
        HeadlineKind.MAJOR_OUTAGE: _("Major outage"),
    }[headline.kind]


def silent(locale: Locale, headline: Headline) -> str:
    """How many monitors have no data: "3 of 12 monitors have not reported"; empty if none has."""
    if headline.never_reported == headline.total:
        return locale.gettext("No data yet")
    if not headline.silent:
        return ""
    text = locale.ngettext(
        "%(count)s of %(total)s monitors has not reported",
        "%(count)s of %(total)s monitors have not reported",
        headline.silent,
    )
    return text % {"count": headline.silent, "total": headline.total}


def affected(locale: Locale, headline: Headline) -> str:
    """The monitors that the headline is about: "Website, API, Mail, and 5 more"; empty if all is well."""
    names = [isolated(name) for name in headline.names]
    others = headline.affected - len(names)
    if others:
        names.append(locale.ngettext("%(count)s more", "%(count)s more", others) % {"count": others})
    return locale.listed(names)


def headline_sentence(locale: Locale, headline: Headline, zone: ZoneInfo) -> str:
    """The whole headline in plain text, for link previews and feeds.

    "Partial outage: Website, API, since Nov 27, 2026, 14:05. 1 of 12 monitors has not reported".
    """
    sentence, names = headline_words(locale, headline), affected(locale, headline)
    if names:
        sentence += f": {names}"
    if headline.kind is HeadlineKind.NOT_REPORTED:
        return sentence
    if headline.since is not None:
        sentence += ", " + locale.gettext("since %(time)s") % {"time": locale.instant(headline.since, zone)}
    return f"{sentence}. {silent(locale, headline)}" if headline.silent else sentence


def current_status(locale: Locale, view: MonitorView, now: int) -> str:
    """A monitor's status with its duration: "Up for 12 days"; silence is called silence."""
    return status_for(locale, view.current, view.since, now)


def status_for(locale: Locale, current: CurrentStatus, since: int | None, now: int) -> str:
    """A current status with its duration. `since`: when it began, None if that is not known."""
    _ = locale.gettext
    if current.reason in _SILENT and current.newest is not None:
        age = locale.duration(now - current.newest.minute)
        return {
            Status.UP: _("Operational, last report %(duration)s ago"),
            Status.DEGRADED: _("Overdue, last report %(duration)s ago"),
            Status.DOWN: _("Down, last report %(duration)s ago"),
            Status.NO_DATA: _("No data, last report %(duration)s ago"),
        }[current.status] % {"duration": age}
    if current.status is Status.NO_DATA or since is None:
        return status(locale, current.status)
    duration = locale.duration(now - since)
    return {
        Status.UP: _("Up for %(duration)s"),
        Status.DEGRADED: _("Degraded for %(duration)s"),
        Status.DOWN: _("Down for %(duration)s"),
        Status.MAINTENANCE: _("In maintenance for %(duration)s"),
    }[current.status] % {"duration": duration}


# The reasons of a current status that no report speaks for.
_SILENT = (
    Reason.DEADLINE,
    Reason.STALE,
    Reason.NOT_MEASURED,
    Reason.NOT_OBSERVED,
    Reason.AFTER_MAINTENANCE,
    Reason.AFTER_CHANGE,
    Reason.DEFAULT,
)


def day(locale: Locale, day: DayView) -> str:
    """A day in three lines: date, status with minutes, uptime."""
    counts = day.counts
    return _day(locale, day.date, day.status, counts.down, counts.degraded, counts.maintenance, counts.uptime)


@lru_cache(16384)
def _day(
    locale: Locale, day: date, status: Status, down: int, degraded: int, maintenance: int, uptime: str
) -> str:
    # Cached by what the text shows: counts also hold latencies, which differ from monitor to monitor.
    minutes = _minutes(locale, status, down, degraded, maintenance)
    return f"{locale.day(day)}\n{minutes}\n{_uptime(locale, uptime)}"


def minutes(locale: Locale, day: DayView) -> str:
    """A day's status, and how long it was not up: "Down · 2 min down"."""
    return _minutes(locale, day.status, day.counts.down, day.counts.degraded, day.counts.maintenance)


def _minutes(locale: Locale, day_status: Status, down: int, degraded: int, maintenance: int) -> str:
    _ = locale.gettext
    parts = [status(locale, day_status)]
    for minutes, text in (
        (down, _("%(duration)s down")),
        (degraded, _("%(duration)s degraded")),
        (maintenance, _("%(duration)s of maintenance")),
    ):
        if minutes:
            parts.append(text % {"duration": locale.duration(minutes * MINUTE)})
    return " · ".join(parts)


def uptime(locale: Locale, counts: Counts) -> str:
    """The uptime with its unit: "99.9% uptime"."""
    return _uptime(locale, counts.uptime)


def _uptime(locale: Locale, figure: str) -> str:
    if figure == "-":
        return locale.gettext("No uptime figure")
    return locale.gettext("%(figure)s uptime") % {"figure": locale.figure(figure)}


def window_uptime(locale: Locale, view: MonitorView, name: str, now: int) -> str:
    """The uptime of a window with its unit, and with what it rests on: "100% uptime, since Nov 27"."""
    counts, end = view.windows[name], minute_end(now)
    start = view.days[-1].start if name == "today" else end - WINDOWS[name]
    text, basis = uptime(locale, counts), rests_on(locale, view, counts, (start, end))
    return f"{text}, {basis}" if basis else text


def rests_on(locale: Locale, view: MonitorView, counts: Counts, window: tuple[int, int]) -> str:
    """Since when there is data in a window of which little is known: "since Nov 27"; else empty."""
    day = first_day_counted(counts, [(day.date, day.counts) for day in view.days])
    if day is None or not counts.is_sparse(*window):
        return ""
    return locale.gettext("since %(day)s") % {"day": locale.day_of_year(day)}


def windows(locale: Locale) -> dict[str, str]:
    """The names of the windows, longest first."""
    return {
        **{f"{days}d": locale.unit(days, "day") for days in (90, 30, 7)},
        "24h": locale.unit(24, "hour"),
        "today": locale.gettext("Today"),
    }


def impact(locale: Locale, incident: Incident) -> str:
    _ = locale.gettext
    return {
        Status.MAINTENANCE: _("Maintenance"),
        Status.DOWN: _("Outage"),
        Status.DEGRADED: _("Degraded performance"),
        None: _("Notice"),
    }[incident.effect]


def state(locale: Locale, state: IncidentState) -> str:
    """The name of a state that an update gives."""
    _ = locale.gettext
    return {
        IncidentState.INVESTIGATING: _("Investigating"),
        IncidentState.IDENTIFIED: _("Identified"),
        IncidentState.MONITORING: _("Recovered, under observation"),
        IncidentState.RESOLVED: _("Resolved"),
    }[state]


def own_impact(locale: Locale, status: Status | None) -> str:
    """The impact of an incident on one monitor."""
    _ = locale.gettext
    words = {Status.DOWN: _("Outage"), Status.DEGRADED: _("Degraded performance"), None: _("Not affected")}
    return words[status]


def stage(locale: Locale, incident: Incident, now: int) -> str:
    """The name of the stage of an incident or a maintenance."""
    _ = locale.gettext
    return {
        IncidentStage.SCHEDULED: _("Scheduled"),
        IncidentStage.INVESTIGATING: _("Investigating"),
        IncidentStage.IDENTIFIED: _("Identified"),
        IncidentStage.MONITORING: _("Recovered, under observation"),
        IncidentStage.RESOLVED: _("Resolved"),
        IncidentStage.IN_PROGRESS: _("In progress"),
        IncidentStage.COMPLETED: _("Completed"),
        IncidentStage.CANCELLED: _("Cancelled"),
    }[incident.stage(now)]
