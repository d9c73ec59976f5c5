"""The calendar of a month: for each day its status and its incidents."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from kener_async.domain.calendar import day_of
from kener_async.domain.days import status_of_day
from kener_async.domain.headline import worst
from kener_async.domain.incidents import Incident
from kener_async.domain.months import Month
from kener_async.domain.samples import Status
from kener_async.locales.locale import Locale
from kener_async.web.pages.page import PageRequest
from kener_async.web.pages.snapshot import VIEWS_AT_ONCE, IncidentView, MonitorNow


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """A day of the calendar, with the incidents that overlap it, newest first; `status` None: no data."""

    day: date
    status: Status | None
    incidents: Sequence[IncidentView]
    is_today: bool


def shown_span(incident: Incident, now: int) -> tuple[int, int]:
    """The first and the last instant at which an incident is shown; until now while its end is unknown.

    A cancelled one, resolved before its start, is shown at the start.
    """
    end = incident.overlay.end
    last = now if end is None else end - 1
    return incident.start, max(incident.start, last)


def within(incidents: Iterable[IncidentView], month: Month, zone: ZoneInfo, now: int) -> list[IncidentView]:
    """The incidents shown in a month, newest first."""
    month_start, month_end = month.bounds(zone)
    spans = [(view, shown_span(view.incident, now)) for view in incidents]
    views = [view for view, (first, last) in spans if first < month_end and last >= month_start]
    return sorted(views, key=lambda view: (view.incident.start, view.incident.number), reverse=True)


async def measured(
    page: PageRequest, monitors: Collection[MonitorNow], month: Month | None = None
) -> dict[date, Status]:
    """The worst status among the monitors' bars, by day; of the days of a month, or of all that have bars."""
    wanted = list(monitors)
    by_day: dict[date, set[Status]] = {}
    for first in range(0, len(wanted), VIEWS_AT_ONCE):  # so that few days are in memory at once
        some = wanted[first : first + VIEWS_AT_ONCE]
        for one, (days, counted) in zip(some, await page.days(some), strict=True):
            minimums = one.monitor.day_degraded_minimum_count, one.monitor.day_down_minimum_count
            for (day, *_), counts in zip(days, counted, strict=True):
                if month is None or (day.year, day.month) == (month.year, month.number):
                    by_day.setdefault(day, set()).add(status_of_day(counts, *minimums))
    return {day: worst(statuses) for day, statuses in by_day.items()}


def weeks(
    month: Month,
    first_weekday: int,
    zone: ZoneInfo,
    bars: Mapping[date, Status],
    incidents: Sequence[IncidentView],
    now: int,
) -> list[list[Cell | None]]:
    """The weeks of a month: a cell for each of its days, None for days of other months."""
    by_day = _by_day(month, zone, incidents, now)
    today = day_of(now, zone)

    def cell(day: date) -> Cell:
        overlapping = by_day.get(day, [])
        # Days before the first bar have no counts any more: only incidents tell of them.
        status = bars.get(day, _worst_effect(overlapping) if day < today else None)
        return Cell(day, status, overlapping, day == today)

    return [[None if day is None else cell(day) for day in week] for week in month.weeks(first_weekday)]


def _by_day(
    month: Month, zone: ZoneInfo, incidents: Iterable[IncidentView], now: int
) -> dict[date, list[IncidentView]]:
    month_start, month_end = month.bounds(zone)
    by_day: dict[date, list[IncidentView]] = {}
    for view in incidents:
        first, last = shown_span(view.incident, now)
        day, last_day = day_of(max(first, month_start), zone), day_of(min(last, month_end - 1), zone)
        while day <= last_day:
            by_day.setdefault(day, []).append(view)
            day += timedelta(days=1)
    return by_day


def _worst_effect(incidents: Iterable[IncidentView]) -> Status | None:
    effects = [effect for view in incidents if (effect := view.incident.effect) is not None]
    return worst(effects) if effects else None


def sentence(locale: Locale, cell: Cell) -> str:
    """The text of a day for screen readers: "November 3, 2025: Outage, 2 incidents"."""
    planned = sum(view.incident.is_maintenance for view in cell.incidents)
    unplanned = len(cell.incidents) - planned
    parts = [] if cell.status is None else [_label(locale, cell.status)]
    if unplanned:
        parts.append(
            locale.ngettext("%(count)s incident", "%(count)s incidents", unplanned) % {"count": unplanned}
        )
    if planned:
        text = locale.ngettext("%(count)s maintenance window", "%(count)s maintenance windows", planned)
        parts.append(text % {"count": planned})
    day = locale.day(cell.day, "long")
    return f"{day}: {', '.join(parts)}" if parts else day


def _label(locale: Locale, status: Status) -> str:
    """The status of a day over several monitors: "Outage", because "Down" would mean all of them."""
    _ = locale.gettext
    return {
        Status.UP: _("Operational"),
        Status.DEGRADED: _("Degraded performance"),
        Status.DOWN: _("Outage"),
        Status.MAINTENANCE: _("Maintenance"),
        Status.NO_DATA: _("No data"),
    }[status]
