"""/api/manage/announcements: announcements of config.toml, read only, and those of the database."""

from typing import Any

from aiohttp import web
from marshmallow import INCLUDE

from kener_async import keys
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.manage import owned_schemas as schemas
from kener_async.api.manage.owned import (
    OwnedThing,
    named,
    owned_announcements,
    rendered,
    require_ours,
    require_own,
)
from kener_async.api.manage.revisions import revision_of, revision_to_save, with_revision
from kener_async.config.announcements import checked_announcement
from kener_async.store import managed

routes = Routes()

ALL, ONE = "/api/manage/announcements", "/api/manage/announcements/{announcementName}"
RENAMED = {"start": "from", "end": "until"}
NAME = {"announcementName": "name of the announcement"}


@routes.get(ALL)
@endpoint(
    Spec(
        operation="listAnnouncements",
        summary="List announcements",
        group="Management",
        scope="manage:read",
        reply=schemas.OwnedAnnouncement(),
        many=True,
    )
)
async def list_announcements(call: Call) -> list[dict[str, Any]]:
    """The announcements, those of config.toml first."""
    return [rendered(thing) for thing in await things(call.request.app)]


@routes.get(ONE)
@endpoint(
    Spec(
        operation="getAnnouncement",
        summary="Get an announcement",
        group="Management",
        scope="manage:read",
        path=NAME,
        reply=schemas.OwnedAnnouncement(),
        errors=(404,),
    )
)
async def get_announcement(call: Call) -> web.Response:
    """One announcement; its revision is the ETag."""
    return answer(
        named(await things(call.request.app), call.request.match_info["announcementName"], "announcement")
    )


@routes.put(ONE)
@endpoint(
    Spec(
        operation="saveAnnouncement",
        summary="Make or change an announcement",
        group="Management",
        scope="incident:delete",
        path=NAME,
        body=schemas.AnnouncementBody(unknown=INCLUDE),
        reply=schemas.OwnedAnnouncement(),
        errors=(408, 409, 413, 415, 503),
    )
)
async def save_announcement(call: Call) -> web.Response:
    """Make an announcement, or with `If-Match` of its revision replace it.

    Without `If-Match` where there is one, or with an older revision, it is refused with 409. One of
    config.toml is changed there only.
    """
    app, name = call.request.app, call.request.match_info["announcementName"]
    config = app[keys.RUNNING].config
    require_ours(call, await things(app), name)
    checked_announcement(config, name, written(call))
    body = {key: value for key, value in written(call).items() if key != "name"}
    await app[keys.DATABASE].write(
        managed.save, "announcement", name, body, revision_to_save(call), call.actor, app[keys.CLOCK]()
    )
    app[keys.STATES].note_incident_change()  # pages show it
    return answer(named(await things(app), name, "announcement"))


@routes.delete(ONE)
@endpoint(
    Spec(
        operation="deleteAnnouncement",
        summary="Delete an announcement",
        group="Management",
        scope="incident:delete",
        path=NAME,
        reply=schemas.OwnedAnnouncement(),
        errors=(404, 409, 503),
    )
)
async def delete_announcement(call: Call) -> dict[str, Any]:
    """Delete an announcement of the database, also a shadowed one. Answered is what was deleted."""
    app, name = call.request.app, call.request.match_info["announcementName"]
    require_own(call)
    deleted = await app[keys.DATABASE].write(
        managed.delete, "announcement", name, revision_of(call), call.actor, app[keys.CLOCK]()
    )
    app[keys.STATES].note_incident_change()  # pages show it
    return rendered(OwnedThing(name, deleted.body, stored=deleted))


def written(call: Call) -> dict[str, Any]:
    """The body by the keys of config.toml."""
    return {RENAMED.get(key, key): value for key, value in call.body.items()}


async def things(app: web.Application) -> list[OwnedThing]:
    """The announcements of the file and of the database."""
    stored = await app[keys.DATABASE].read(managed.list_of, "announcement")
    return owned_announcements(app[keys.RUNNING].config, stored)


def answer(thing: OwnedThing) -> web.Response:
    """One announcement with its revision as ETag."""
    return with_revision(rendered(thing), thing.revision)
