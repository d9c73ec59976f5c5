"""/manage/templates: texts to begin an incident with; those of config.toml are read only."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from aiohttp import web
from marshmallow import Schema

from kener_async import keys
from kener_async.api.manage.owned import DATABASE, OwnedThing, named, owned_templates
from kener_async.config.templates import template_table
from kener_async.domain.errors import Invalid
from kener_async.domain.people import Act
from kener_async.domain.templates import PLACEHOLDERS
from kener_async.store import managed
from kener_async.web.manage.form_bodies import FieldError
from kener_async.web.manage.form_fields import FormChoice, FormNumber, FormText
from kener_async.web.manage.frame import ManageForm, ManagePage, manage_form, manage_page

STATES = ("", "investigating", "identified", "monitoring", "resolved")
IMPACTS = ("", "DOWN", "DEGRADED")
LARGEST = 2**62


class TemplateForm(Schema):
    """A template as it is typed; `monitors` are patterns, one a line."""

    title = FormText(minimum=1, maximum=300)
    text = FormText(lines=True)
    state = FormChoice({each: each for each in STATES}, load_default="")
    impact = FormChoice({each: each for each in IMPACTS}, load_default="")
    monitors = FormText(lines=True)
    revision = FormNumber(0, LARGEST)


class NewTemplateForm(TemplateForm):
    name = FormText(minimum=1, maximum=100)


class TextRevisionForm(Schema):
    revision = FormNumber(0, LARGEST)


@manage_page(Act.SEE)
async def templates(page: ManagePage) -> str:
    """All templates, those of the file first."""
    _ = page.locale.gettext
    return await page.render(
        "manage/templates.html",
        things=await _things(page),
        file=page.config.file.name,
        may_write=may_write_texts(page),
        messages={"saved": _("Saved."), "deleted": _("Deleted.")},
    )


@manage_page(Act.WRITE_TEXTS)
async def new(page: ManagePage) -> str:
    """The form of a new template."""
    return await _form_page(page, "/templates/new", None)


@manage_form(Act.WRITE_TEXTS, NewTemplateForm(), shown_by=new)
async def make(form: ManageForm) -> web.StreamResponse:
    """Make a template."""
    name = form.values["name"]
    if any(thing.name == name for thing in await _things(form)):
        raise FieldError({"name": form.locale.gettext("There is one of this name already.")})
    return await _save(form, name, managed.NEW)


@manage_page(Act.WRITE_TEXTS)
async def edit(page: ManagePage) -> str:
    """The form that changes a template."""
    thing = await _ours(page)
    return await _form_page(page, f"/templates/{quote(thing.name)}/edit", thing)


@manage_form(Act.WRITE_TEXTS, TemplateForm(), shown_by=edit)
async def change(form: ManageForm) -> web.StreamResponse:
    """Change a template, unless somebody else did meanwhile."""
    thing = await _ours(form)
    return await _save(form, thing.name, form.values["revision"] or managed.NEW)


@manage_page(Act.WRITE_TEXTS)
async def ask_delete(page: ManagePage) -> str:
    """The page that asks before a template is deleted."""
    return await page.render("manage/template_delete.html", thing=await _ours(page))


@manage_form(Act.WRITE_TEXTS, TextRevisionForm(), shown_by=ask_delete)
async def delete(form: ManageForm) -> web.StreamResponse:
    """Delete a template."""
    name = form.request.match_info["name"]
    location = "/templates?done=deleted"
    await form.write(managed.delete, "template", name, None, form.actor, form.now, location=location)
    return form.redirect(location)


async def _save(form: ManageForm, name: str, revision: int) -> web.StreamResponse:
    body = _body(form.values)
    try:
        template_table(name, body)
    except Invalid as error:
        raise FieldError(by_field(error.message, (*body, "name"))) from None
    location = "/templates?done=saved"
    await form.write(managed.save, "template", name, body, revision, form.actor, form.now, location=location)
    return form.redirect(location)


def _body(values: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of [[templates]] that are not empty."""
    patterns = [line.strip() for line in values["monitors"].splitlines() if line.strip()]
    body = {key: values[key] for key in ("title", "text", "state", "impact")} | {"monitors": patterns}
    return {key: value for key, value in body.items() if value}


def by_field(message: str, fields: Sequence[str]) -> dict[str, str]:
    """The errors of a table, each beside its field; what is about no field is about the whole."""
    errors: dict[str, str] = {}
    for text in message.split("; "):
        key = text.removeprefix("Invalid ").partition(":")[0].partition("[")[0]
        errors.setdefault(key if key in fields else "", text)
    return errors


async def _form_page(page: ManagePage, path: str, thing: OwnedThing | None) -> str:
    return await page.render(
        "manage/template_edit.html",
        form=page.form(path),
        thing=thing,
        is_changed=is_changed(page, thing),
        placeholders=[f"{{{name}}}" for name in PLACEHOLDERS],
        states=STATES,
        impacts=IMPACTS,
    )


def is_changed(page: ManagePage, thing: OwnedThing | None) -> bool:
    """Whether somebody else changed the thing since the form was opened that is shown again."""
    if page.rejected is None or thing is None:
        return False
    return page.rejected.typed.get("revision", ("",))[0] != str(thing.revision)


async def _things(page: ManagePage) -> list[OwnedThing]:
    stored = await page.app[keys.DATABASE].read(managed.list_of, "template")
    return owned_templates(page.config, stored)


async def _ours(page: ManagePage) -> OwnedThing:
    """The template of the address, of the database; raises NotFound."""
    ours = [thing for thing in await _things(page) if thing.owner == DATABASE]
    return named(ours, page.request.match_info["name"], "template")


def may_write_texts(page: ManagePage) -> bool:
    """Whether the person may make templates and announcements here."""
    is_allowed = page.config.manage.own != "none" and page.person.categories is None
    return is_allowed and page.may(Act.WRITE_TEXTS)
