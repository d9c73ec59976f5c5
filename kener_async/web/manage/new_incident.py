"""/manage/incidents/new: tell visitors what is wrong, prefilled with what is bad now."""

from collections.abc import Collection, Sequence
from typing import Any

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.config.model import MonitorConfig
from kener_async.config.templates import templates_in_force
from kener_async.domain.incident_updates import Impact
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Act
from kener_async.domain.samples import Status
from kener_async.domain.templates import TextTemplate
from kener_async.store import incident_screens, incidents, managed
from kener_async.web.manage.attention import BadMonitor, bad_monitors
from kener_async.web.manage.form_bodies import FieldError
from kener_async.web.manage.form_fields import FormBox, FormChoice, FormList, FormMoment, FormText
from kener_async.web.manage.frame import ManageForm, ManagePage, ShowAgain, manage_form, manage_page
from kener_async.web.manage.incident_texts import IMPACTS, OTHER, STATES, Beginning, beginnings

LISTED = 60  # monitors that are not bad; beyond these they are listed when asked for
MAX_TITLE = 300


class NewIncidentForm(Schema):
    """An incident as it is typed. `said_title` and so on are what the fields were prefilled with."""

    beginning = FormText()
    title = FormText(maximum=MAX_TITLE)
    text = FormText(lines=True)
    said_title = FormText()
    said_text = FormText(lines=True)
    said_state = FormText()
    said_impact = FormText()
    monitors = FormList(minimum=1)
    degraded = FormList()
    state = FormChoice(STATES, load_default=STATES["investigating"])
    impact = FormChoice(IMPACTS, load_default=Status.DOWN)
    start = FormMoment()
    separate = FormBox()
    act = FormChoice({"publish": "publish", "draft": "draft", "all": "all"}, load_default="publish")


@manage_page(Act.WRITE_INCIDENT)
async def new(page: ManagePage) -> str:
    """The form, filled in with the monitors that are bad now (?from=alerts) or those that are named."""
    rejected = page.rejected
    bad = await bad_monitors(page)
    others = _others(page, bad)
    is_from_alerts = page.query.get("from") == "alerts" or rejected is not None
    named = set(page.request.query.getall("monitor", ()))
    about = [one for one in bad if is_from_alerts or one.monitor.tag in named]
    about = [one for one in about if not one.incidents] or about  # visitors are told of the others
    choices = beginnings(page.config, await _templates(page), about, page.now)
    first = _first(page, choices)
    if first.name == page.query.get("template"):
        named |= set(first.monitors) & page.tags
    shows_all = len(others) <= LISTED or _is_asked_for_all(page)
    told = await _told_already(page, [one.monitor.tag for one in about])
    return await page.render(
        "manage/new_incident.html",
        form=page.form("/incidents/new"),
        bad=bad,
        others=others if shows_all else [one for one in others if one.tag in _typed(page) | named],
        has_more=not shows_all,
        chosen={one.monitor.tag for one in about} | named,
        beginnings=choices,
        first=first,
        other=OTHER,
        since=min((one.since for one in about if one.since is not None), default=None),
        impact=_impact(about),
        degraded=[one.monitor.tag for one in bad if one.status is Status.DEGRADED],
        told=told,
    )


@manage_form(Act.WRITE_INCIDENT, NewIncidentForm(), shown_by=new)
async def open_incident(form: ManageForm) -> web.StreamResponse:
    """Publish it, or keep it as a draft."""
    if form.values["act"] == "all":
        raise ShowAgain
    fields = await _fields_of(form)
    work = incidents.open if form.values["separate"] else incident_screens.open_first
    done = "drafted" if fields["is_draft"] else "published"
    incident: Incident = await form.write(
        work,
        fields,
        form.actor,
        form.now,
        form.grant,
        location=lambda opened: f"/incidents/{opened.number}?done={done}",
    )
    form.app[keys.STATES].note_incidents(incident)
    form.app[keys.DELIVERIES].wake()
    return form.redirect(f"/incidents/{incident.number}?done={done}")


async def _fields_of(form: ManageForm) -> dict[str, Any]:
    """The fields of the incident; raises FieldError."""
    values, tags = form.values, form.values["monitors"]
    unknown = [tag for tag in tags if tag not in form.tags]
    if unknown:
        raise FieldError({"monitors": f"there is no monitor {unknown[0]}"})
    said = await _said(form)
    if not said["title"]:
        raise FieldError({"title": "is missing: say in a few words what does not work"})
    degraded = set(values["degraded"]) & set(tags)
    own = dict.fromkeys(degraded, Impact.DEGRADED) if said["impact"] is Status.DOWN else {}
    return {
        **said,
        "tags": tags,
        "impacts": own if len(own) < len(tags) else {},
        "start": form.now if values["start"] is None else form.instant(values["start"]),
        "is_draft": values["act"] == "draft",
    }


async def _said(form: ManageForm) -> dict[str, Any]:
    """Title, body, state and impact: as typed, or where nothing was, as the chosen beginning has them.

    Without a script the fields are those of the first beginning, whichever is chosen.
    """
    values = form.values
    typed = {
        "title": values["title"],
        "body": values["text"],
        "state": values["state"],
        "impact": values["impact"],
    }
    is_typed = (values["title"], values["text"]) != (values["said_title"], values["said_text"])
    chosen = None if is_typed else await _chosen(form)
    if chosen is None:
        return typed
    typed |= {"title": chosen.title, "body": chosen.text}
    if values["state"] is STATES.get(values["said_state"]):
        typed["state"] = STATES[chosen.state]
    if chosen.impact is not None and values["impact"] is IMPACTS.get(values["said_impact"], ...):
        typed["impact"] = IMPACTS[chosen.impact]
    return typed


async def _chosen(form: ManageForm) -> Beginning | None:
    """The beginning that is chosen, about the monitors that are chosen; None where it is not known."""
    wanted, monitors = form.values["beginning"], set(form.values["monitors"])
    about = [one for one in await bad_monitors(form) if one.monitor.tag in monitors]
    choices = beginnings(form.config, await _templates(form), about, form.now)
    return next((one for one in choices if one.name == wanted), None)


async def _templates(page: ManagePage) -> Collection[TextTemplate]:
    """The templates in force."""
    stored = await page.app[keys.DATABASE].read(managed.list_of, "template")
    return templates_in_force(page.config, [(one.name, one.body) for one in stored]).things.values()


def _others(page: ManagePage, bad: Sequence[BadMonitor]) -> list[MonitorConfig]:
    """The monitors that are not bad now."""
    tags = {one.monitor.tag for one in bad}
    return [one for one in page.config.monitors if one.tag in page.tags and one.tag not in tags]


def _typed(page: ManagePage) -> set[str]:
    return set() if page.rejected is None else set(page.rejected.typed.get("monitors", ()))


def _is_asked_for_all(page: ManagePage) -> bool:
    return page.rejected is not None and "all" in page.rejected.typed.get("act", ())


def _first(page: ManagePage, choices: Sequence[Beginning]) -> Beginning:
    """The beginning that the fields are filled in with: that of ?template=, else the first."""
    wanted = page.query.get("template")
    return next((one for one in choices if one.name == wanted), choices[0])


def _impact(about: Sequence[BadMonitor]) -> str:
    """The worst status of the monitors; without any, DOWN."""
    is_degraded = bool(about) and all(one.status is Status.DEGRADED for one in about)
    return "DEGRADED" if is_degraded else "DOWN"


async def _told_already(page: ManagePage, tags: Sequence[str]) -> list[Incident]:
    tags = [*tags, *(tag for tag in _typed(page) if tag in page.tags)]
    if not tags:
        return []
    return await page.app[keys.DATABASE].read(incident_screens.open_about, tags)
