"""/api/manage/templates: templates of config.toml, read only, and those of the database."""

from typing import Any

from aiohttp import web
from marshmallow import INCLUDE

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import owned_schemas as schemas
from kener_async.api.manage.owned import (
    OwnedThing,
    named,
    owned_templates,
    rendered,
    require_ours,
    require_own,
)
from kener_async.api.manage.revisions import revision_of, revision_to_save, with_revision
from kener_async.config.templates import template_table
from kener_async.store import managed

routes = Routes()

ALL, ONE = "/api/manage/templates", "/api/manage/templates/{templateName}"
NAME = {"templateName": "name of the template"}


@routes.get(ALL)
@endpoint(
    Spec(
        operation="listTemplates",
        summary="List templates",
        group="Management",
        scope="manage:read",
        reply=schemas.OwnedTemplate(),
        many=True,
    )
)
async def list_templates(call: Call) -> list[dict[str, Any]]:
    """The templates, those of config.toml first."""
    return [rendered(thing) for thing in await things(call.request.app)]


@routes.get(ONE)
@endpoint(
    Spec(
        operation="getTemplate",
        summary="Get a template",
        group="Management",
        scope="manage:read",
        path=NAME,
        reply=schemas.OwnedTemplate(),
        errors=(404,),
    )
)
async def get_template(call: Call) -> web.Response:
    """One template; its revision is the ETag."""
    return answer(named(await things(call.request.app), call.request.match_info["templateName"], "template"))


@routes.put(ONE)
@endpoint(
    Spec(
        operation="saveTemplate",
        summary="Make or change a template",
        group="Management",
        scope="incident:delete",
        path=NAME,
        body=schemas.TemplateBody(unknown=INCLUDE),
        reply=schemas.OwnedTemplate(),
        errors=(408, 409, 413, 415, 503),
    )
)
async def save_template(call: Call) -> web.Response:
    """Make a template, or with `If-Match` of its revision replace it.

    Without `If-Match` where there is one, or with an older revision, it is refused with 409. One of
    config.toml is changed there only.
    """
    app, name = call.request.app, call.request.match_info["templateName"]
    require_ours(call, await things(app), name)
    template_table(name, written(call))
    body = {key: value for key, value in written(call).items() if key != "name"}
    await app[keys.DATABASE].write(
        managed.save, "template", name, body, revision_to_save(call), call.actor, app[keys.CLOCK]()
    )
    return answer(named(await things(app), name, "template"))


@routes.delete(ONE)
@endpoint(
    Spec(
        operation="deleteTemplate",
        summary="Delete a template",
        group="Management",
        scope="incident:delete",
        path=NAME,
        reply=schemas.OwnedTemplate(),
        errors=(404, 409, 503),
    )
)
async def delete_template(call: Call) -> dict[str, Any]:
    """Delete a template of the database, also a shadowed one. Answered is what was deleted."""
    app, name = call.request.app, call.request.match_info["templateName"]
    require_own(call)
    deleted = await app[keys.DATABASE].write(
        managed.delete, "template", name, revision_of(call), call.actor, app[keys.CLOCK]()
    )
    return rendered(OwnedThing(name, deleted.body, stored=deleted))


def written(call: Call) -> dict[str, Any]:
    """The body by the keys of config.toml."""
    return call.body


async def things(app: web.Application) -> list[OwnedThing]:
    """The templates of the file and of the database."""
    stored = await app[keys.DATABASE].read(managed.list_of, "template")
    return owned_templates(app[keys.RUNNING].config, stored)


def answer(thing: OwnedThing) -> web.Response:
    """One template with its revision as ETag."""
    return with_revision(rendered(thing), thing.revision)
