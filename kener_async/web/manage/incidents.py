"""/manage/incidents: the list, one incident as visitors see it, and what people do to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.domain.calendar import DAY, FIRST_INSTANT, HOUR, LAST_INSTANT
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.incident_updates import Impact, Update
from kener_async.domain.incidents import Incident
from kener_async.domain.months import Month, neighbours
from kener_async.domain.people import Act
from kener_async.domain.samples import Status
from kener_async.store import audit, incident_screens, incidents
from kener_async.store.audit import AuditRow, AuditSearch
from kener_async.store.incident_screens import IncidentFilter, Span
from kener_async.store.interface import Session
from kener_async.web.manage.form_bodies import FieldError
from kener_async.web.manage.form_fields import FormBox, FormChoice, FormList, FormMoment, FormNumber, FormText
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page
from kener_async.web.manage.incident_texts import IMPACTS, STATES, update_text
from kener_async.web.manage.lists import PageLinks, page_number, with_query
from kener_async.web.manage.new_incident import LISTED, MAX_TITLE

MEASURED = 20  # monitors of which it is looked up when they were bad
LONGEST_MEASURED = 3 * DAY  # of an incident, else that takes too long
AROUND = HOUR  # before and after an incident, in which outages are looked for
HISTORY = 50  # rows of the audit log
MAX_DIGITS = 18

IMPACT_OF: Mapping[str, Impact | None] = {
    "": None,
    "NONE": Impact.NONE,
    "DEGRADED": Impact.DEGRADED,
    "DOWN": Impact.DOWN,
}


# The list


@manage_page(Act.SEE)
async def listing(page: ManagePage) -> str:
    """Incidents by state, month, monitor, kind and a part of the title; drafts first."""
    query = page.query
    month = _month(query.get("month", ""))
    monitor = query.get("monitor", "")
    if monitor and monitor not in page.tags:
        raise NotFound("there is no such monitor")
    bounds = (None, None) if month is None else month.bounds(page.zone)
    tags = [monitor] if monitor else None if page.grant.tags is None else sorted(page.tags)
    wanted = IncidentFilter(
        state=_one_of(query.get("state", ""), ("", "open", "closed", "draft")),
        kind=_one_of(query.get("kind", "incident"), ("", "incident", "maintenance")),
        start=bounds[0],
        end=bounds[1],
        tags=tags,
        text=query.get("q", "").strip(),
    )
    number = page_number(query.get("page", "1"))
    found, last = await page.app[keys.DATABASE].read(incident_screens.listed, wanted, number, page.now)
    current = Month.of(page.now, page.zone)
    previous, following = neighbours(month or current, Month(1970, 1), current)
    return await page.render(
        "manage/incidents.html",
        incidents=found,
        names={one.tag: one.name for one in page.config.monitors if one.tag in page.tags},
        wanted=wanted,
        monitor=monitor,
        month=month,
        current=current,
        previous=previous,
        following=following,
        pages=PageLinks.of(page, number, last),
        query=dict(query),
        with_query=partial(with_query, page),
    )


def _month(text: str) -> Month | None:
    """The month of a query, None for none; raises NotFound for a malformed one."""
    month = Month.parsed(text) if text else None
    if text and month is None:
        raise NotFound("there is no such month")
    return month


def _one_of(text: str, known: tuple[Any, ...]) -> Any:
    if text not in known:
        raise Invalid(f"must be one of: {', '.join(filter(None, known))}")
    return text


# One incident


@dataclass(frozen=True, slots=True)
class Shown:
    """An incident with its updates, newest first, and what happened to it, newest first."""

    incident: Incident
    updates: Sequence[Update]
    history: Sequence[AuditRow]
    outages: Mapping[str, Sequence[tuple[Span, Status]]]

    @property
    def measured(self) -> Span | None:
        """From the first to the last minute in which one of its monitors was measured bad."""
        spans = [span for found in self.outages.values() for span, _ in found]
        return (min(start for start, _ in spans), max(end for _, end in spans)) if spans else None


def _load(session: Session, number: int, monitors: Mapping[str, int], now: int) -> Shown:
    incident, updates = incidents.thread(session, number, is_public=False)
    history = audit.search(session, AuditSearch(thing=f"incident {number}"), HISTORY)
    return Shown(incident, list(reversed(updates)), history, _outages(session, incident, monitors, now))


def _outages(
    session: Session, incident: Incident, monitors: Mapping[str, int], now: int
) -> dict[str, list[tuple[Span, Status]]]:
    end = min(now, incident.end or now) if incident.closed_as_of(now) is not None else now
    if incident.is_maintenance or not 0 <= end - incident.start <= LONGEST_MEASURED:
        return {}
    numbers = {tag: monitors[tag] for tag in incident.tags if tag in monitors}
    first = dict(list(numbers.items())[:MEASURED])
    return incident_screens.outages(session, first, incident.start - AROUND, min(now, end + AROUND) + 1)


@manage_page(Act.SEE)
async def incident(page: ManagePage) -> str:
    """One incident: what visitors see of it, what to say next, and what was done."""
    shown = await _shown(page)
    one, state = shown.incident, page.query.get("state", "")
    _ = page.locale.gettext
    return await page.render(
        "manage/incident.html",
        incident=one,
        shown=shown,
        names=_names(page),
        tags=_visible_tags(page, one),
        state=state if state in STATES else "",
        prefilled=update_text(page.config, one, state, page.now),
        states={name: update_text(page.config, one, name, page.now) for name in STATES},
        measured=_differing(shown, page.now),
        is_public_url=not one.is_draft and any(_is_shown(page, tag) for tag in one.tags),
        messages={
            "published": _("Published. Visitors see it now."),
            "drafted": _("Kept as a draft. Visitors do not see it."),
            "undone": _("Taken back: it is a draft again, and visitors do not see it."),
            "posted": _("Posted. Visitors see it now."),
            "saved": _("Saved."),
            "merged": _("Merged. The other one is deleted."),
            "removed": _("Deleted."),
        },
    )


async def _shown(page: ManagePage) -> Shown:
    """The incident of the address; raises NotFound, also for one of other monitors only."""
    monitors = {state.tag: state.id for state in page.app[keys.STATES] if state.tag in page.tags}
    shown = await page.app[keys.DATABASE].read(_load, number_of(page), monitors, page.now)
    if page.grant.tags is not None and not any(tag in page.tags for tag in shown.incident.tags):
        raise NotFound("incident not found")
    return shown


def number_of(page: ManagePage) -> int:
    """The number of the incident in the address; raises NotFound."""
    return _number(page.request.match_info["number"])


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > MAX_DIGITS:
        raise NotFound("incident not found")
    return int(text)


def _names(page: ManagePage) -> dict[str, str]:
    """The names of the monitors by tag; of those of others the person sees none."""
    return {one.tag: one.name for one in page.config.monitors if one.tag in page.tags}


def _visible_tags(page: ManagePage, incident: Incident) -> list[str]:
    """The monitors of an incident that the person may see; also those that are no longer configured."""
    return [tag for tag in incident.tags if page.grant.tags is None or tag in page.tags]


def _is_shown(page: ManagePage, tag: str) -> bool:
    monitor = page.config.by_tag.get(tag)
    return monitor is not None and not monitor.hidden


def _differing(shown: Shown, now: int) -> Span | None:
    """When the monitors were measured bad, if the incident says another time; else None."""
    one, measured = shown.incident, shown.measured
    if measured is None or one.is_maintenance:
        return None
    start, end = measured
    is_over = one.closed_as_of(now) is not None
    says_so = abs(one.start - start) < 60 and (not is_over or one.end is None or abs(one.end - end) < 60)
    return None if says_so else measured


# What people do


class RevisionForm(Schema):
    """An act on the incident as it was when its page was opened; without a revision, as it is."""

    revision = FormNumber(0, 2**63 - 1)


class UpdateForm(RevisionForm):
    """What visitors are told next."""

    text = FormText(lines=True)
    state = FormChoice({"": None, **STATES}, load_default=None)
    at = FormMoment()
    joins = FormBox()  # it was to be an incident of its own
    monitors = FormList()  # of that


class ChangeUpdateForm(RevisionForm):
    """An update as it should have been."""

    text = FormText(lines=True)
    at = FormMoment(required=True)


class ChangeForm(RevisionForm):
    """The incident itself."""

    title = FormText(minimum=1, maximum=MAX_TITLE)
    text = FormText(lines=True)
    monitors = FormList(minimum=1)
    impacts = FormList()  # "tag=DOWN" of each monitor, "tag=" for that of the incident
    impact = FormChoice(IMPACTS, required=True)
    start = FormMoment(required=True)
    end = FormMoment()


class PostmortemForm(RevisionForm):
    """What was learned, and whether visitors see it."""

    text = FormText(lines=True)
    published = FormBox()


class TimesForm(RevisionForm):
    """The times that were measured, in UTC seconds."""

    start = FormNumber(FIRST_INSTANT, LAST_INSTANT, required=True)
    end = FormNumber(FIRST_INSTANT, LAST_INSTANT)


Changes = Incident | tuple[Incident, Incident | Update]
Work = Callable[..., Changes]


async def act_on(
    form: ManageForm, work: Work, *values: Any, done: str, path: str | None = None
) -> web.StreamResponse:
    """Run a function of the store on the incident of the address, once, and go to its page, or to `path`."""
    number = number_of(form)
    before = await visible(form, number)
    target = f"/incidents/{number}?done={done}" if path is None else path
    changes = await form.write(
        work,
        number,
        *values,
        form.actor,
        form.now,
        grant=form.grant,
        revision=form.values.get("revision"),
        location=target,
    )
    written = changes if isinstance(changes, tuple) else (changes,)
    form.app[keys.STATES].note_incidents(before, *(one for one in written if isinstance(one, Incident)))
    form.app[keys.DELIVERIES].wake()
    return form.redirect(target)


async def visible(page: ManagePage, number: int) -> Incident:
    """An incident that the person may see; raises NotFound."""
    found = await page.app[keys.DATABASE].read(incidents.get, number)
    if page.grant.tags is not None and not any(tag in page.tags for tag in found.tags):
        raise NotFound("incident not found")
    return found


@manage_form(Act.WRITE_INCIDENT, UpdateForm(), shown_by=incident)
async def post_update(form: ManageForm) -> web.StreamResponse:
    """Post an update."""
    if form.values["joins"]:
        tags = [tag for tag in form.values["monitors"] if tag in form.tags]
        return await act_on(form, incident_screens.join, form.values["text"], tags, done="posted")
    return await act_on(form, incident_screens.post_first, _update_fields(form), done="posted")


def _update_fields(form: ManageForm) -> dict[str, Any]:
    fields: dict[str, Any] = {"body": form.values["text"], "state": form.values["state"]}
    if not fields["body"] and fields["state"] is None:
        raise FieldError({"text": "is missing"})
    if form.values["at"] is not None:
        fields["at"] = form.instant(form.values["at"])
    return fields


@manage_form(Act.WRITE_INCIDENT, RevisionForm(), shown_by=incident)
async def publish(form: ManageForm) -> web.StreamResponse:
    """Publish a draft."""
    return await act_on(form, incidents.publish, done="published")


@manage_form(Act.WRITE_INCIDENT, RevisionForm(), shown_by=incident)
async def unpublish(form: ManageForm) -> web.StreamResponse:
    """Take it back: a draft again."""
    return await act_on(form, incidents.unpublish, done="undone")


@manage_form(Act.WRITE_INCIDENT, TimesForm(), shown_by=incident)
async def take_measured(form: ManageForm) -> web.StreamResponse:
    """Take the times that were measured."""
    fields = {"start": form.values["start"]}
    if form.values["end"] is not None:
        fields["end"] = form.values["end"]
    return await act_on(form, incidents.change, fields, done="saved")


# Changing it


@manage_page(Act.WRITE_INCIDENT)
async def edit(page: ManagePage) -> str:
    """The form that changes the incident itself: texts, times, monitors and the impact on each."""
    one = await visible(page, number_of(page))
    names = _names(page)
    others = [tag for tag in names if tag not in one.tags]
    shows_all = len(others) <= LISTED or "all" in page.query
    return await page.render(
        "manage/incident_edit.html",
        incident=one,
        form=page.form(f"/incidents/{one.number}/edit"),
        names=names,
        tags=_visible_tags(page, one),
        others=others if shows_all else [],
        has_more=not shows_all,
    )


@manage_form(Act.WRITE_INCIDENT, ChangeForm(), shown_by=edit)
async def change(form: ManageForm) -> web.StreamResponse:
    """Change the incident itself."""
    before, values = await visible(form, number_of(form)), form.values
    unknown = [tag for tag in values["monitors"] if tag not in form.tags and tag not in before.tags]
    if unknown:
        raise FieldError({"monitors": f"there is no monitor {unknown[0]}"})
    fields: dict[str, Any] = {
        "title": values["title"],
        "body": values["text"],
        "tags": values["monitors"],
        "start": _kept_second(form, values["start"], before.start),
    }
    if before.is_maintenance:
        return await act_on(form, incidents.change, _with_end(form, before, fields), done="saved")
    fields |= {"impact": values["impact"], "impacts": _impacts(values["impacts"], values["monitors"])}
    return await act_on(form, incidents.change, _with_end(form, before, fields), done="saved")


def _with_end(form: ManageForm, before: Incident, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with the end, if that was typed; an end that resolving set stays unless another is typed."""
    moment = form.values["end"]
    end = None if moment is None else _kept_second(form, moment, before.end)
    return fields if end == before.end else {**fields, "end": end}


def _kept_second(form: ManageForm, moment: datetime, before: int | None) -> int:
    """The instant of a typed time, which is to the minute; that of before, if the field showed it so.

    So nobody moves an incident who only corrects its title, also in an hour that comes twice.
    """
    is_same = before is not None and form.local(before) == moment.strftime("%Y-%m-%dT%H:%M")
    return before if is_same and before is not None else form.instant(moment)


def _impacts(texts: Sequence[str], tags: Sequence[str]) -> dict[str, Impact]:
    """The impacts of single monitors; raises FieldError."""
    found: dict[str, Impact] = {}
    for text in texts:
        tag, _, name = text.rpartition("=")
        if name not in IMPACT_OF:
            raise FieldError({"impacts": "is malformed"})
        impact = IMPACT_OF[name]
        if tag in tags and impact is not None:
            found[tag] = impact
    return found


@manage_page(Act.WRITE_INCIDENT)
async def edit_update(page: ManagePage) -> str:
    """The form that changes an update."""
    shown = await _shown(page)
    update = _update_of(page, shown)
    path = f"/incidents/{shown.incident.number}/updates/{update.id}"
    return await page.render(
        "manage/update_edit.html", incident=shown.incident, update=update, form=page.form(path)
    )


@manage_form(Act.WRITE_INCIDENT, ChangeUpdateForm(), shown_by=edit_update)
async def change_update(form: ManageForm) -> web.StreamResponse:
    """Change an update."""
    update = _update_of(form, await _shown(form))
    at = _kept_second(form, form.values["at"], update.at)
    fields = {"body": form.values["text"], "at": at}
    return await act_on(form, incidents.edit_update, update.id, fields, done="saved")


@manage_page(Act.DELETE_INCIDENT)
async def ask_delete_update(page: ManagePage) -> str:
    """Ask once more before an update is deleted."""
    shown = await _shown(page)
    return await page.render(
        "manage/update_delete.html", incident=shown.incident, update=_update_of(page, shown)
    )


@manage_form(Act.DELETE_INCIDENT, RevisionForm(), shown_by=ask_delete_update)
async def delete_update(form: ManageForm) -> web.StreamResponse:
    """Delete an update."""
    update = _update_of(form, await _shown(form))
    return await act_on(form, incidents.delete_update, update.id, done="removed")


def _update_of(page: ManagePage, shown: Shown) -> Update:
    number = _number(page.request.match_info["update"])
    for update in shown.updates:
        if update.id == number:
            return update
    raise NotFound("update not found")


@manage_page(Act.WRITE_INCIDENT)
async def edit_postmortem(page: ManagePage) -> str:
    """The form of the postmortem."""
    one = await visible(page, number_of(page))
    return await page.render(
        "manage/postmortem.html", incident=one, form=page.form(f"/incidents/{one.number}/postmortem")
    )


@manage_form(Act.WRITE_INCIDENT, PostmortemForm(), shown_by=edit_postmortem)
async def save_postmortem(form: ManageForm) -> web.StreamResponse:
    """Save the postmortem, and publish it or take it back."""
    work = partial(incidents.postmortem, is_published=form.values["published"])
    return await act_on(form, work, form.values["text"], done="saved")


@manage_page(Act.DELETE_INCIDENT)
async def ask_delete(page: ManagePage) -> str:
    """Ask once more before an incident is deleted."""
    shown = await _shown(page)
    return await page.render("manage/incident_delete.html", incident=shown.incident, shown=shown)


@manage_form(Act.DELETE_INCIDENT, RevisionForm(), shown_by=ask_delete)
async def delete(form: ManageForm) -> web.StreamResponse:
    """Delete an incident."""
    return await act_on(form, incidents.delete, done="deleted", path="?done=deleted")
