"""/manage/maintenance/new and series: plan a maintenance once, or let it repeat; change a series."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.api.manage.series import in_force, permit_after, require_delete, require_ours, table_to_save
from kener_async.config.alert_fields import CATEGORY
from kener_async.config.beside_file import InForce
from kener_async.config.maintenance import MaintenanceTable
from kener_async.config.series import body_of, series_of, table_of
from kener_async.domain.calendar import DAY, HOUR
from kener_async.domain.durations import format_duration, parse_duration
from kener_async.domain.errors import Conflict, Invalid, NotFound
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Act
from kener_async.domain.recurrence import WEEKDAYS, instant_of_local
from kener_async.domain.series import MaintenanceSeries, Occurrence, next_occurrences
from kener_async.store import maintenance, managed
from kener_async.store import series as stored_series
from kener_async.store.managed import Managed
from kener_async.store.series import OccurrencesMade
from kener_async.web.manage.form_bodies import FieldError, load
from kener_async.web.manage.form_fields import FormBox, FormChoice, FormList, FormMoment, FormNumber, FormText
from kener_async.web.manage.frame import ManageForm, ManagePage, ShowAgain, manage_form, manage_page
from kener_async.web.manage.maintenance import state_words
from kener_async.web.manage.new_incident import LISTED, MAX_TITLE
from kener_async.web.manage.repeat import CHOICES, local_text, named_choices, rule_of

UTC = ZoneInfo("UTC")
ANNOUNCED = {"24h": DAY, "1h": HOUR}
# The fields of the form by the keys of [[maintenance]] that they become.
FIELDS = {"rrule": "rule", "except": "excluded", "name": "name"}
SLUG = re.compile(r"[^a-z0-9]+")


class PlanForm(Schema):
    """A maintenance as it is typed. `previewed` is the schedule whose dates were shown."""

    title = FormText(minimum=1, maximum=MAX_TITLE)
    text = FormText(lines=True)
    monitors = FormList(minimum=1)
    members = FormBox()
    begin = FormMoment(required=True)
    timezone = FormText(minimum=1, maximum=64)
    length = FormText(minimum=1, maximum=20)
    repeat = FormChoice({each: each for each in CHOICES}, load_default="")
    interval = FormNumber(1, 366)
    weekdays = FormList()
    until = FormText(maximum=10)
    rule = FormText(maximum=500)
    excluded = FormText(maximum=5000)
    announce = FormList()
    name = FormText(maximum=100)
    previewed = FormText(maximum=7000)
    revision = FormNumber(0, 2**63 - 1)
    act = FormChoice(
        {"save": "save", "preview": "preview", "draft": "draft", "all": "all"}, load_default="save"
    )


@dataclass(frozen=True, slots=True)
class Preview:
    """The next occurrences of what was typed; `schedule` is put into the form, as shown."""

    schedule: str
    occurrences: Sequence[Occurrence]
    zone: ZoneInfo


# Planning


@manage_page(Act.WRITE_INCIDENT)
async def new(page: ManagePage) -> str:
    """The form, empty or with what was typed, and then the next ten occurrences."""
    return await _form_page(page, "/maintenance/new", None, None)


@manage_form(Act.WRITE_INCIDENT, PlanForm(), shown_by=new)
async def plan(form: ManageForm) -> web.StreamResponse:
    """Plan it once, or make a series, whose dates must have been shown."""
    if form.values["act"] in ("all", "preview"):
        await _checked(form, "preview", None)
        raise ShowAgain
    if form.values["repeat"]:
        return await _save_series(form, await _new_name(form), None)
    return await _plan_once(form)


async def _plan_once(form: ManageForm) -> web.StreamResponse:
    table = await _checked(form, "once", None)
    found = series_of(form.config, table)
    start = instant_of_local(table.begin, found.zone)
    is_draft = form.values["act"] == "draft"
    fields = {
        "title": table.title,
        "body": table.text,
        "tags": found.tags,
        "start": start,
        "end": start + table.length,
        "announce": table.announce,
        "is_draft": is_draft,
    }
    done = "drafted" if is_draft else "planned"
    try:
        planned: Incident = await form.write(
            maintenance.plan,
            fields,
            form.actor,
            form.now,
            form.grant,
            location=lambda made: f"/maintenance/{made.number}?done={done}",
        )
    except Invalid as error:
        raise FieldError({"begin": error.message.partition(": ")[2] or error.message}) from None
    form.app[keys.STATES].note_incidents(planned)
    return form.redirect(f"/maintenance/{planned.number}?done={done}")


async def _new_name(form: ManageForm) -> str:
    """The name that was typed, else one made of the title; raises FieldError where there is such a series."""
    name = form.values["name"] or SLUG.sub("-", form.values["title"].lower()).strip("-")[:60] or "maintenance"
    stored = await form.app[keys.DATABASE].read(managed.list_of, "series")
    taken = {each.name for each in stored} | {table.name for table in form.config.maintenance}
    if name not in taken:
        return name
    if form.values["name"]:
        raise FieldError({"name": "there is a series of this name"})
    return next(f"{name}-{number}" for number in range(2, len(taken) + 3) if f"{name}-{number}" not in taken)


async def _save_series(form: ManageForm, name: str, stored: Managed | None) -> web.StreamResponse:
    table = await _checked(form, name, stored)
    found = series_of(form.config, table)
    if form.values["previewed"] != found.schedule:
        raise ShowAgain  # its dates were not shown yet, or others
    _, done = await form.write(
        stored_series.save,
        form.app[keys.SERIES].plan_of,
        form.now,
        name=name,
        body=body_of(table),
        revision=managed.NEW if stored is None else form.values["revision"],
        actor=form.actor,
        permit=permit_after(stored, partial(table_to_save, form.config, form.grant, name, body_of(table))),
        location=_path(name, "?done=saved"),
    )
    _note(form, done)
    return form.redirect(_path(name, "?done=saved"))


def _note(form: ManageForm, done: OccurrencesMade) -> None:
    form.app[keys.SERIES].note(done)
    form.app[keys.STATES].note_incident_change()


def _path(name: str, rest: str = "") -> str:
    return f"/maintenance/series/{quote(name, safe='')}{rest}"


async def _checked(form: ManageForm, name: str, stored: Managed | None) -> MaintenanceTable:
    """The table of what was typed; raises FieldError, and Forbidden for monitors of others."""
    try:
        body = _body(form.values, name)
        return table_to_save(form.config, form.grant, name, body, stored)
    except Invalid as error:
        raise FieldError(_by_field(error)) from None


def _by_field(error: Invalid) -> Mapping[str, str]:
    if isinstance(error, FieldError):
        return error.errors
    errors: dict[str, str] = {}
    for part in error.message.split("; Invalid "):
        key, colon, text = part.removeprefix("Invalid ").partition(": ")
        key = key.partition("[")[0]
        errors[FIELDS.get(key, key) if colon else ""] = text if colon else part
    return errors


def _body(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The keys of [[maintenance]] of what was typed; raises FieldError."""
    begin: datetime = values["begin"]
    length = parse_duration(values["length"])
    if length is None:
        raise FieldError({"length": 'must be such as "90m" or "2h"'})
    until = _date(values["until"], "until")
    rule = rule_of(
        values["repeat"], begin.date(), values["interval"], values["weekdays"], until, values["rule"]
    )
    if values["repeat"] == "rule" and not rule:
        raise FieldError({"rule": "is missing"})
    return {
        "name": name,
        "title": values["title"],
        "text": values["text"],
        "monitors": list(values["monitors"]),
        "members": values["members"],
        "begin": begin.isoformat(timespec="seconds"),
        "timezone": values["timezone"],
        "length": length,
        "rrule": rule,
        "except": values["excluded"].replace(",", " ").split(),
        "announce": [ANNOUNCED.get(each, each) for each in values["announce"]],
    }


def _date(text: str, field: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise FieldError({field: "must be a date such as 2026-12-27"}) from None


async def _form_page(
    page: ManagePage, path: str, table: MaintenanceTable | None, stored: Managed | None
) -> str:
    """The form with what was typed, else the values of a series; with its next dates if it repeats."""
    _ = page.locale.gettext
    monitors = [one for one in page.config.monitors if one.tag in page.tags]
    chosen = set(_typed(page, "monitors")) if page.rejected else set(table.monitors if table else ())
    chosen |= set(page.request.query.getall("monitor", ()))
    shows_all = len(monitors) <= LISTED or "all" in _typed(page, "act")
    listed = monitors if shows_all else [one for one in monitors if one.tag in chosen]
    options = [(one.tag, one.name) for one in listed]
    if page.grant.tags is None:
        options += [
            (CATEGORY + each.name, _("all of %(name)s") % {"name": each.name})
            for each in page.config.categories
        ]
    known = {value for value, _text in options}
    options += [(each, each) for each in sorted(chosen - known) if table is not None]
    begin = table.begin if table else _next_hour(page)
    return await page.render(
        "manage/maintenance_plan.html",
        form=page.form(path),
        path=path,
        table=table,
        stored=stored,
        revision=managed.NEW if stored is None else stored.revision,
        monitors=options,
        has_more=not shows_all,
        chosen=chosen,
        has_groups=any(one.settings.group for one in monitors),
        begin=local_text(begin),
        zone=(table.timezone or page.config.site.timezone).key if table else page.zone.key,
        length=format_duration(table.length).replace(" ", "") if table else "2h",
        announced=[name for name, each in ANNOUNCED.items() if table and each in table.announce],
        other_announced=[
            each for each in (table.announce if table else ()) if each not in ANNOUNCED.values()
        ],
        repeats=named_choices(page.locale.gettext),
        weekday_choices=_weekdays(page),
        utc_zone=UTC,
        preview=_preview(page),
    )


def _weekdays(page: ManagePage) -> list[tuple[str, str]]:
    """The days of the week, in the order of the language."""
    first, names = page.locale.cldr.first_week_day, page.locale.weekdays()
    return [(WEEKDAYS[(first + place) % 7], full) for place, (_short, full) in enumerate(names)]


def _typed(page: ManagePage, name: str) -> Sequence[str]:
    return () if page.rejected is None else page.rejected.typed.get(name, ())


def _next_hour(page: ManagePage) -> datetime:
    local = datetime.fromtimestamp(page.now - page.now % HOUR + DAY, page.zone).replace(tzinfo=None)
    return local.replace(minute=0, second=0)


def _preview(page: ManagePage) -> Preview | None:
    """The next ten occurrences of what was typed, if it repeats and is valid."""
    if page.rejected is None:
        return None
    try:
        values = load(PlanForm(), page.rejected.typed)
        if not values["repeat"]:
            return None
        found = series_of(page.config, table_of(page.config, "preview", _body(values, "preview")))
    except Invalid:
        return None
    return Preview(found.schedule, next_occurrences(found, page.now), found.zone)


# One series


@manage_page(Act.SEE)
async def series_page(page: ManagePage) -> str:
    """A series: its keys, who owns it, what of it is stored, and the next ten occurrences."""
    name = name_of(page)
    stored, kept, found = await _visible_series(page, name)
    table = _table(page, name, stored)
    _ = page.locale.gettext
    incidents = await page.app[keys.DATABASE].read(stored_series.of_series, name, 50)
    by_day = {(one.occurrence or "")[:10]: one for one in incidents}
    following = [] if found is None else next_occurrences(found, page.now)
    return await page.render(
        "manage/maintenance_series.html",
        series_name=name,
        table=table,
        found=found,
        fault=kept.faulty.get(name, ""),
        is_ours=name not in kept.from_file,
        is_shadowed=name in kept.shadowed,
        stored=stored,
        following=[(each, by_day.get(each.day)) for each in following],
        past=[one for one in incidents if one.start <= page.now],
        names={each.tag: each.name for each in page.config.monitors if each.tag in page.tags},
        states=state_words(page.locale),
        utc_zone=UTC,
        messages={"saved": _("Saved. What is to come follows.")},
    )


def name_of(page: ManagePage) -> str:
    """The name of the series in the address."""
    return page.request.match_info["name"]


async def _visible_series(
    page: ManagePage, name: str
) -> tuple[Managed | None, InForce[MaintenanceSeries], MaintenanceSeries | None]:
    """What is stored of a series, what is in force, and the series; raises NotFound."""
    all_stored = await page.app[keys.DATABASE].read(managed.list_of, "series")
    kept = in_force(page.config, all_stored)
    stored = next((each for each in all_stored if each.name == name), None)
    found = kept.things.get(name)
    if stored is None and found is None:
        raise NotFound("series not found")
    if page.grant.tags is not None and (found is None or not page.tags.intersection(found.tags)):
        raise NotFound("series not found")
    return stored, kept, found


def _table(page: ManagePage, name: str, stored: Managed | None) -> MaintenanceTable | None:
    """The keys of a series; None where they cannot be read any more."""
    for table in page.config.maintenance:
        if table.name == name:
            return table
    try:
        return None if stored is None else table_of(page.config, name, stored.body)
    except Invalid:
        return None


@manage_page(Act.WRITE_INCIDENT)
async def edit_series(page: ManagePage) -> str:
    """The form with the keys of a series."""
    stored = await _own_series(page)
    return await _form_page(page, _path(stored.name, "/edit"), _table(page, stored.name, stored), stored)


@manage_form(Act.WRITE_INCIDENT, PlanForm(), shown_by=edit_series)
async def change_series(form: ManageForm) -> web.StreamResponse:
    """Change a series; its new dates must have been shown."""
    stored = await _own_series(form)
    if form.values["act"] in ("all", "preview"):
        await _checked(form, stored.name, stored)
        raise ShowAgain
    return await _save_series(form, stored.name, stored)


async def _own_series(page: ManagePage) -> Managed:
    """The stored series of the address; raises NotFound, and Conflict for one of the file."""
    name = name_of(page)
    await _visible_series(page, name)
    require_ours(page.config, name)
    stored = await page.app[keys.DATABASE].read(managed.find, "series", name)
    if stored is None:
        raise NotFound("series not found")
    return stored


@manage_page(Act.WRITE_INCIDENT)
async def ask_delete_series(page: ManagePage) -> str:
    """Ask before a series is deleted, and say what will be lost."""
    name = name_of(page)
    stored, _, _ = await _visible_series(page, name)
    if stored is None:
        raise Conflict(f"the series {name!r} is set in config.toml")
    incidents = await page.app[keys.DATABASE].read(stored_series.of_series, name, 500)
    coming = [one for one in incidents if one.start > page.now and one.closed_at is None]
    return await page.render(
        "manage/maintenance_delete.html",
        series_name=name,
        stored=stored,
        coming=len(coming),
        path=_path(name),
    )


class DeleteSeriesForm(Schema):
    """Delete a series as it was when its page was opened."""

    revision = FormNumber(0, 2**63 - 1)


@manage_form(Act.WRITE_INCIDENT, DeleteSeriesForm(), shown_by=ask_delete_series)
async def delete_series(form: ManageForm) -> web.StreamResponse:
    """Delete a series and what is to come of it."""
    name = name_of(form)
    stored, _, _ = await _visible_series(form, name)
    may_delete = partial(require_delete, form.config, form.grant)
    if stored is not None:
        may_delete(stored)
    delete = partial(
        stored_series.delete,
        name=name,
        revision=form.values["revision"],
        actor=form.actor,
        permit=permit_after(stored, may_delete),
    )
    target = "/maintenance?done=deleted"
    _, done = await form.write(delete, form.app[keys.SERIES].plan_of, form.now, location=target)
    _note(form, done)
    return form.redirect(target)
