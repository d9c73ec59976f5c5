"""/manage/announcements: texts at the top of the status page; those of config.toml are read only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.api.manage.owned import DATABASE, OwnedThing, named, owned_announcements
from kener_async.config.announcements import announcement_table, checked_announcement
from kener_async.config.build import announcement_of
from kener_async.config.model import Announcement
from kener_async.domain.errors import Invalid
from kener_async.domain.people import Act
from kener_async.store import managed
from kener_async.web.manage.form_bodies import FieldError
from kener_async.web.manage.form_fields import FormChoice, FormMoment, FormNumber, FormText
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page
from kener_async.web.manage.templates import LARGEST, TextRevisionForm, by_field, is_changed, may_write_texts

LEVELS = ("info", "warning", "critical")
FIELDS = ("name", "title", "text", "level", "from", "until")


class AnnouncementForm(Schema):
    """An announcement as it is typed; its times are local to the zone of the page."""

    title = FormText(minimum=1, maximum=300)
    text = FormText(lines=True)
    level = FormChoice({each: each for each in LEVELS}, load_default="info")
    start = FormMoment(data_key="from")
    end = FormMoment(data_key="until")
    revision = FormNumber(0, LARGEST)


class NewAnnouncementForm(AnnouncementForm):
    name = FormText(minimum=1, maximum=100)


@manage_page(Act.SEE)
async def announcements(page: ManagePage) -> str:
    """All announcements, those of the file first."""
    _ = page.locale.gettext
    shown = [(thing, _announcement(page, thing)) for thing in await _things(page)]
    return await page.render(
        "manage/announcements.html",
        shown=shown,
        file=page.config.file.name,
        may_write=may_write_texts(page),
        messages={
            "saved": _("Saved. Visitors see it from its time on."),
            "deleted": _("Deleted. Visitors do not see it any more."),
        },
    )


@manage_page(Act.WRITE_TEXTS)
async def new(page: ManagePage) -> str:
    """The form of a new announcement."""
    return await _form_page(page, "/announcements/new", None)


@manage_form(Act.WRITE_TEXTS, NewAnnouncementForm(), shown_by=new)
async def make(form: ManageForm) -> web.StreamResponse:
    """Make an announcement."""
    name = form.values["name"]
    if any(thing.name == name for thing in await _things(form) if thing.owner == DATABASE):
        raise FieldError({"name": form.locale.gettext("There is one of this name already.")})
    return await _save(form, name, managed.NEW)


@manage_page(Act.WRITE_TEXTS)
async def edit(page: ManagePage) -> str:
    """The form that changes an announcement."""
    thing = await _ours(page)
    return await _form_page(page, f"/announcements/{quote(thing.name)}/edit", thing)


@manage_form(Act.WRITE_TEXTS, AnnouncementForm(), shown_by=edit)
async def change(form: ManageForm) -> web.StreamResponse:
    """Change an announcement, unless somebody else did meanwhile."""
    thing = await _ours(form)
    return await _save(form, thing.name, form.values["revision"] or managed.NEW)


@manage_page(Act.WRITE_TEXTS)
async def ask_delete(page: ManagePage) -> str:
    """The page that asks before an announcement is deleted."""
    return await page.render("manage/announcement_delete.html", thing=await _ours(page))


@manage_form(Act.WRITE_TEXTS, TextRevisionForm(), shown_by=ask_delete)
async def delete(form: ManageForm) -> web.StreamResponse:
    """Delete an announcement; the page shows it no more."""
    name = form.request.match_info["name"]
    location = "/announcements?done=deleted"
    await form.write(managed.delete, "announcement", name, None, form.actor, form.now, location=location)
    form.app[keys.STATES].note_incident_change()
    return form.redirect(location)


async def _save(form: ManageForm, name: str, revision: int) -> web.StreamResponse:
    body = _body(form, form.values)
    try:
        checked_announcement(form.config, name, body)
    except Invalid as error:
        raise FieldError(by_field(error.message, FIELDS)) from None
    location = "/announcements?done=saved"
    await form.write(
        managed.save, "announcement", name, body, revision, form.actor, form.now, location=location
    )
    form.app[keys.STATES].note_incident_change()
    return form.redirect(location)


def _body(form: ManageForm, values: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of [[announcements]] that are not empty; instants have the offset of the site's zone."""

    def written(moment: datetime | None) -> str:
        if moment is None:
            return ""
        return datetime.fromtimestamp(form.instant(moment), form.config.site.timezone).isoformat()

    body = {key: values[key] for key in ("title", "text", "level")}
    body |= {"from": written(values["start"]), "until": written(values["end"])}
    return {key: value for key, value in body.items() if value}


async def _form_page(page: ManagePage, path: str, thing: OwnedThing | None) -> str:
    return await page.render(
        "manage/announcement_edit.html",
        form=page.form(path),
        thing=thing,
        stored=None if thing is None else _announcement(page, thing),
        is_changed=is_changed(page, thing),
        levels=LEVELS,
    )


def _announcement(page: ManagePage, thing: OwnedThing) -> Announcement | None:
    """The announcement of a thing; None where it cannot be read any more."""
    try:
        return announcement_of(announcement_table(thing.body), page.config.site.timezone)
    except Invalid:
        return None


async def _things(page: ManagePage) -> list[OwnedThing]:
    stored = await page.app[keys.DATABASE].read(managed.list_of, "announcement")
    return owned_announcements(page.config, stored)


async def _ours(page: ManagePage) -> OwnedThing:
    """The announcement of the address, of the database; raises NotFound."""
    ours = [thing for thing in await _things(page) if thing.owner == DATABASE]
    return named(ours, page.request.match_info["name"], "announcement")
