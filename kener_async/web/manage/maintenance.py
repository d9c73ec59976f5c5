"""/manage/maintenance: the list with its calendar, one maintenance, and what people do to it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.api.manage.series import in_force, known_tags, series_views
from kener_async.domain.calendar import DAY, MINUTE, day_of
from kener_async.domain.errors import Invalid
from kener_async.domain.incidents import Incident
from kener_async.domain.months import Month, neighbours
from kener_async.domain.people import Act
from kener_async.domain.series import (
    SHOWN_AHEAD,
    MaintenanceSeries,
    maintenance_state,
    next_occurrences,
    to_come,
)
from kener_async.locales.locale import Locale
from kener_async.store import maintenance, managed
from kener_async.store import series as stored_series
from kener_async.store.interface import Session
from kener_async.store.maintenance import Changed, MaintenanceSearch
from kener_async.store.managed import Managed
from kener_async.web.manage.form_fields import FormMoment, FormNumber
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page

MOST_LISTED = 500
LENGTHENED_BY = 30 * MINUTE
MAX_DIGITS = 18


# The list


@dataclass(frozen=True, slots=True)
class PlannedTime:
    """A time of maintenance in the list and the calendar; `number` None: it is computed of a series."""

    start: int
    end: int | None
    title: str
    state: str
    number: int | None
    series: str | None
    is_changed: bool = False


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """A series in the list. `is_ours`: it was made here; `next_at` is when it occurs next, if it does."""

    name: str
    title: str
    rule: str
    is_ours: bool
    is_shadowed: bool
    next_at: int | None


Listed = tuple[list[Incident], list[Managed], dict[str, set[str]]]


@manage_page(Act.SEE)
async def listing(page: ManagePage) -> str:
    """Maintenance under way and to come, a calendar of a month, and the series; `?over=1`: what is over."""
    is_over = page.query.get("over") == "1"
    month = Month.parsed(page.query["month"]) if page.query.get("month") else Month.of(page.now, page.zone)
    if month is None:
        raise Invalid("Invalid month: must be such as 2026-12")
    stored, managed_series, days = await page.app[keys.DATABASE].read(_read_list, _tags(page), page.now)
    in_effect = (await asyncio.to_thread(in_force, page.config, managed_series)).things.values()
    visible = [each for each in in_effect if page.grant.tags is None or page.tags.intersection(each.tags)]
    computed = await asyncio.to_thread(_computed_times, visible, days, page.now)
    times = [*_stored_times(stored, page.now), *computed]
    times.sort(key=lambda each: each.start)
    limits = Month.of(page.now - 90 * DAY, page.zone), Month.of(page.now + SHOWN_AHEAD, page.zone)
    previous, following = neighbours(month, *limits)
    is_done = {"ended", "cancelled"}
    listed = [each for each in times if (each.state in is_done) is is_over and (is_over or each.number)]
    return await page.render(
        "manage/maintenance.html",
        is_over=is_over,
        times=list(reversed(listed)) if is_over else listed,
        series=list(_series_lines(page, managed_series, in_effect)),
        month=month,
        previous=previous,
        following=following,
        weeks=_weeks(page, month, times),
        states=state_words(page.locale),
        messages=_messages(page),
    )


def _messages(page: ManagePage) -> dict[str, str]:
    _ = page.locale.gettext
    return {
        "planned": _("Planned. Visitors see it now."),
        "drafted": _("Kept as a draft. Visitors do not see it."),
        "ended": _("Ended. From now on minutes are what is measured."),
        "lengthened": _("It takes 30 minutes longer."),
        "moved": _("Moved."),
        "cancelled": _("Cancelled. Visitors see that it was."),
        "saved": _("Saved. What is to come follows."),
        "deleted": _("Deleted."),
    }


def _tags(page: ManagePage) -> Sequence[str] | None:
    return None if page.grant.tags is None else sorted(page.tags)


def _read_list(session: Session, tags: Sequence[str] | None, now: int) -> Listed:
    criteria = MaintenanceSearch(tags=tags, limit=MOST_LISTED)
    found = maintenance.search(session, criteria, now)
    return found, managed.list_of(session, "series"), stored_series.stored_days(session, now)


def _stored_times(found: Iterable[Incident], now: int) -> list[PlannedTime]:
    return [
        PlannedTime(
            one.start,
            ended_at(one),
            one.title,
            "draft" if one.is_draft else state_of(one, now),
            one.number,
            one.series,
            one.is_changed,
        )
        for one in found
    ]


def _computed_times(
    series: Iterable[MaintenanceSeries], days: Mapping[str, set[str]], now: int
) -> list[PlannedTime]:
    return [
        PlannedTime(occurrence.start, occurrence.end, each.title, "planned", None, each.name)
        for each in series
        for occurrence in to_come(each, days.get(each.name, set()), now)
    ]


def _series_lines(
    page: ManagePage, stored: Sequence[Managed], in_effect: Iterable[MaintenanceSeries]
) -> Iterable[SeriesLine]:
    by_name = {each.name: each for each in in_effect}
    from_file = {table.name for table in page.config.maintenance}
    for name, kept in series_views(page.config, stored):
        found = by_name.get(name)
        tags = found.tags if found is not None else () if kept is None else known_tags(page.config, kept)
        if page.grant.tags is not None and not page.tags.intersection(tags):
            continue
        following = [] if found is None else next_occurrences(found, page.now, 1)
        yield SeriesLine(
            name=name,
            title=name if found is None else found.title,
            rule="" if found is None else found.rule_text,
            is_ours=name not in from_file,
            is_shadowed=kept is not None and name in from_file,
            next_at=following[0].start if following else None,
        )


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """A day of the month, with what begins or goes on on it."""

    day: date
    times: Sequence[PlannedTime]
    is_today: bool


def _weeks(page: ManagePage, month: Month, times: Iterable[PlannedTime]) -> list[list[CalendarDay | None]]:
    """The weeks of a month, None for days of other months."""
    by_day: dict[date, list[PlannedTime]] = {}
    start, end = month.bounds(page.zone)
    for each in times:
        last = max(each.start, (each.end or each.start) - 1)
        if each.start >= end or last < start or each.state == "cancelled":
            continue
        day, last_day = day_of(max(each.start, start), page.zone), day_of(min(last, end - 1), page.zone)
        while day <= last_day:
            by_day.setdefault(day, []).append(each)
            day += timedelta(days=1)
    today, first_weekday = day_of(page.now, page.zone), page.locale.cldr.first_week_day
    return [
        [None if day is None else CalendarDay(day, by_day.get(day, ()), day == today) for day in week]
        for week in month.weeks(first_weekday)
    ]


def state_words(locale: Locale) -> dict[str, str]:
    """The states in words."""
    _ = locale.gettext
    return {
        "planned": _("Planned"),
        "announced": _("Announced"),
        "in progress": _("In progress"),
        "ended": _("Ended"),
        "cancelled": _("Cancelled"),
        "draft": _("Draft"),
    }


def state_of(one: Incident, now: int) -> str:
    """The state of a maintenance."""
    return maintenance_state(one.start, one.closed_as_of(now), one.announce, now).value


def ended_at(one: Incident) -> int | None:
    """When it ends or ended; of a cancelled one when it would have."""
    if one.closed_at is not None and one.closed_at < one.start:
        return one.planned_end
    return one.overlay.end


# One maintenance


@manage_page(Act.SEE)
async def maintenance_page(page: ManagePage) -> str:
    """One maintenance: when it is, what it covers, and what can be done."""
    one = await visible_maintenance(page, number_of(page))
    is_closed = one.closed_as_of(page.now) is not None
    return await page.render(
        "manage/maintenance_one.html",
        one=one,
        state="draft" if one.is_draft else state_of(one, page.now),
        states=state_words(page.locale),
        end=ended_at(one),
        is_to_come=not is_closed and one.start >= page.now,
        is_under_way=not is_closed and one.start < page.now,
        names={each.tag: each.name for each in page.config.monitors if each.tag in page.tags},
        utc_zone=ZoneInfo("UTC"),
        move_form=page.form(f"/maintenance/{one.number}/move"),
        messages=_messages(page),
    )


def number_of(page: ManagePage) -> int:
    """The number in the address."""
    return int(page.request.match_info["number"])


async def visible_maintenance(page: ManagePage, number: int) -> Incident:
    """A maintenance that the person may see; raises NotFound."""
    return await page.app[keys.DATABASE].read(maintenance.get, number, page.grant)


class MaintenanceRevisionForm(Schema):
    """An act on the maintenance as it was when its page was opened."""

    revision = FormNumber(0, 2**63 - 1)


class MoveForm(MaintenanceRevisionForm):
    """Another begin."""

    start = FormMoment(required=True)


async def _act(form: ManageForm, work: Callable[..., Changed], *values: Any, done: str) -> web.StreamResponse:
    number = number_of(form)
    await visible_maintenance(form, number)
    target = f"/maintenance/{number}?done={done}"
    before, after = await form.write(
        work,
        number,
        *values,
        form.actor,
        form.now,
        grant=form.grant,
        revision=form.values["revision"],
        location=target,
    )
    form.app[keys.STATES].note_incidents(before, after)
    return form.redirect(target)


@manage_form(Act.WRITE_INCIDENT, MaintenanceRevisionForm(), shown_by=maintenance_page)
async def end(form: ManageForm) -> web.StreamResponse:
    """End it now."""
    return await _act(form, maintenance.end, done="ended")


@manage_form(Act.WRITE_INCIDENT, MaintenanceRevisionForm(), shown_by=maintenance_page)
async def lengthen(form: ManageForm) -> web.StreamResponse:
    """Let it take 30 minutes longer."""
    return await _act(form, maintenance.lengthen, LENGTHENED_BY, done="lengthened")


@manage_form(Act.WRITE_INCIDENT, MoveForm(), shown_by=maintenance_page)
async def move(form: ManageForm) -> web.StreamResponse:
    """Let it begin at another time, and take as long."""
    return await _act(form, maintenance.move, form.instant(form.values["start"]), done="moved")


@manage_page(Act.WRITE_INCIDENT)
async def ask_cancel(page: ManagePage) -> str:
    """Ask before it is cancelled."""
    one = await visible_maintenance(page, number_of(page))
    return await page.render("manage/maintenance_cancel.html", one=one)


@manage_form(Act.WRITE_INCIDENT, MaintenanceRevisionForm(), shown_by=ask_cancel)
async def cancel(form: ManageForm) -> web.StreamResponse:
    """Cancel it; it stays on record."""
    return await _act(form, maintenance.cancel, done="cancelled")
