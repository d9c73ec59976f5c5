"""Templates and announcements with who owns each: config.toml, or the database, which the API changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kener_async import keys
from kener_async.api.http.endpoint import Call
from kener_async.config.announcements import announcement_body, checked_announcement
from kener_async.config.model import Announcement, Config
from kener_async.config.source import KindInFile, source_of
from kener_async.config.tables import AnnouncementTable
from kener_async.config.templates import template_body, templates_in_force
from kener_async.domain.errors import Forbidden, Invalid, NotFound
from kener_async.store.managed import NEW, Managed

FILE, DATABASE = "file", "database"


@dataclass(frozen=True, slots=True)
class OwnedThing:
    """A thing of the file or of the database; `body` has the keys of its table in config.toml.

    `line` is where it stands in the file; `stored` is None for one of the file. A shadowed one has no effect,
    because the file has one of the same name; `fault` says why a stored one has none, else it is empty.
    """

    name: str
    body: Mapping[str, Any]
    line: int | None = None
    stored: Managed | None = None
    is_shadowed: bool = False
    fault: str = ""

    @property
    def owner(self) -> str:
        return FILE if self.stored is None else DATABASE

    @property
    def revision(self) -> int:
        return NEW if self.stored is None else self.stored.revision


def owned_templates(config: Config, stored: Sequence[Managed]) -> list[OwnedThing]:
    """The templates, those of the file first."""
    in_force = templates_in_force(config, [(each.name, each.body) for each in stored])
    of_file = [
        OwnedThing(each.name, template_body(each), _line(config, "templates", each.name))
        for each in config.templates
    ]
    return of_file + [
        OwnedThing(
            each.name,
            each.body,
            stored=each,
            is_shadowed=each.name in in_force.shadowed,
            fault=in_force.faulty.get(each.name, ""),
        )
        for each in stored
    ]


def owned_announcements(config: Config, stored: Sequence[Managed]) -> list[OwnedThing]:
    """The announcements, those of the file first, which are named by their titles."""
    of_file = [
        OwnedThing(each.title, _body(config, each), _line(config, "announcements", each.title))
        for each in config.announcements
    ]
    return of_file + [
        OwnedThing(each.name, each.body, stored=each, fault=_announcement_fault(config, each))
        for each in stored
    ]


def named(things: Sequence[OwnedThing], name: str, kind: str) -> OwnedThing:
    """The thing of a name: that in force where there are two; raises NotFound."""
    for thing in things:
        if thing.name == name:
            return thing
    raise NotFound(f"{kind} not found")


def require_ours(call: Call, things: Sequence[OwnedThing], name: str) -> None:
    """Raise Forbidden where the caller may make nothing here, or the file owns the name."""
    require_own(call)
    file = call.request.app[keys.RUNNING].config.file
    for thing in things:
        if thing.name == name and thing.stored is None:
            where = "" if thing.line is None else f", line {thing.line}"
            raise Forbidden(f"it is set in {file.name}{where}: change it there")


def require_own(call: Call) -> None:
    """Raise Forbidden where `own` of [manage] allows nothing to be made beside the file.

    Also for a token of some monitors only, because these texts are not those of a monitor.
    """
    if call.request.app[keys.RUNNING].config.manage.own == "none":
        raise Forbidden("nothing may be made here: see own of [manage] in the configuration")
    require_unlimited(call)


def require_unlimited(call: Call) -> None:
    """Raise Forbidden for a token of some monitors only."""
    if call.grant.tags is not None:
        raise Forbidden("the token is for some monitors only")


def rendered(thing: OwnedThing) -> dict[str, Any]:
    """The JSON document of a thing."""
    stored = thing.stored
    return {
        "name": thing.name,
        "owner": thing.owner,
        "line": thing.line,
        "revision": None if stored is None else stored.revision,
        "changedAt": None if stored is None else stored.changed_at,
        "changedBy": None if stored is None else stored.changed_by,
        "isShadowed": thing.is_shadowed,
        "fault": thing.fault or None,
        "body": dict(thing.body),
    }


def _line(config: Config, kind: KindInFile, name: str) -> int | None:
    return source_of(config.text).line(kind, name)


def _body(config: Config, announcement: Announcement) -> Mapping[str, Any]:
    zone = config.site.timezone
    start, end = (
        None if instant is None else datetime.fromtimestamp(instant, zone)
        for instant in (announcement.start, announcement.end)
    )
    table = AnnouncementTable(announcement.title, announcement.text, announcement.level, start, end)
    return announcement_body(table)


def _announcement_fault(config: Config, stored: Managed) -> str:
    try:
        checked_announcement(config, stored.name, stored.body)
    except Invalid as error:
        return error.message
    return ""
