"""What a month shows: the incidents in it, and for each of its days how it was and what happened."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import day_of
from kener_async.domain.incidents import Incident
from kener_async.domain.months import Month
from kener_async.domain.samples import Status
from kener_async.domain.summary import summary
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.snapshot import IncidentView, MonitorView


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A day of the calendar; `status` None: nothing is known of it. `events`, newest first, touch the day."""

    day: date
    status: Status | None
    events: Sequence[IncidentView]
    is_today: bool


def shown_span(incident: Incident, now: int) -> tuple[int, int]:
    """The first and the last instant at which it is shown: until now while nobody knows its end.

    One that never lasted, resolved before its begin, is shown where it would have begun.
    """
    end = incident.overlay.end
    last = now if end is None else end - 1
    return incident.start, max(incident.start, last)


def within(events: Iterable[IncidentView], month: Month, zone: ZoneInfo, now: int) -> list[IncidentView]:
    """The events shown in a month, newest first."""
    begins, ends = month.bounds(zone)
    found = [
        event for event in events if (span := shown_span(event.incident, now))[0] < ends and span[1] >= begins
    ]
    return sorted(found, key=lambda event: (event.incident.start, event.incident.number), reverse=True)


def measured(monitors: Iterable[MonitorView]) -> dict[date, Status]:
    """The worst bar of each day that the monitors' bars show."""
    by_day: dict[date, list[Status]] = {}
    for shown in monitors:
        for day in shown.days:
            by_day.setdefault(day.date, []).append(day.status)
    return {day: summary(statuses).status for day, statuses in by_day.items()}


def weeks(
    month: Month,
    first_weekday: int,
    zone: ZoneInfo,
    bars: Mapping[date, Status],
    events: Sequence[IncidentView],
    now: int,
) -> list[list[Cell | None]]:
    """The calendar of a month: a cell for each of its days, None for the days beside it."""
    by_day = _by_day(month, zone, events, now)
    today = day_of(now, zone)

    def cell(day: date) -> Cell:
        touching = by_day.get(day, [])
        status = bars.get(day, _told(touching) if day < today else None)
        return Cell(day, status, touching, day == today)

    return [[None if day is None else cell(day) for day in week] for week in month.weeks(first_weekday)]


def _by_day(
    month: Month, zone: ZoneInfo, events: Iterable[IncidentView], now: int
) -> dict[date, list[IncidentView]]:
    begins, ends = month.bounds(zone)
    by_day: dict[date, list[IncidentView]] = {}
    for event in events:
        first, last = shown_span(event.incident, now)
        day, until = day_of(max(first, begins), zone), day_of(min(last, ends - 1), zone)
        while day <= until:
            by_day.setdefault(day, []).append(event)
            day += timedelta(days=1)
    return by_day


def _told(events: Iterable[IncidentView]) -> Status | None:
    """The worst that incidents say of a day without bars, None where they say nothing of it."""
    effects = [effect for event in events if (effect := event.incident.effect) is not None]
    return summary(effects).status if effects else None


def sentence(locale: Locale, cell: Cell) -> str:
    """A day in words: "November 3, 2025: Outage, 2 incidents"."""
    planned = sum(event.incident.is_maintenance for event in cell.events)
    unplanned = len(cell.events) - planned
    parts = [] if cell.status is None else [_word(locale, cell.status)]
    if unplanned:
        parts.append(
            locale.ngettext("%(count)s incident", "%(count)s incidents", unplanned) % {"count": unplanned}
        )
    if planned:
        text = locale.ngettext("%(count)s maintenance", "%(count)s maintenances", planned)
        parts.append(text % {"count": planned})
    day = locale.day(cell.day, "long")
    return f"{day}: {', '.join(parts)}" if parts else day


def _word(locale: Locale, status: Status) -> str:
    """How a day was, in a word; of no single monitor, so that nothing is said to be down altogether."""
    _ = locale.gettext
    return {
        Status.UP: _("Operational"),
        Status.DEGRADED: _("Degraded performance"),
        Status.DOWN: _("Outage"),
        Status.MAINTENANCE: _("Maintenance"),
        Status.NO_DATA: _("No data"),
    }[status]
