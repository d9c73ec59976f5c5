"""Add, list, reset and deactivate people in the database, while a server may be running on it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.domain.durations import format_duration
from kener_async.domain.errors import Invalid
from kener_async.domain.people import Actor, Person, Role, require_email, require_name
from kener_async.errors import FatalError
from kener_async.identity import links
from kener_async.ops.actor import command_actor
from kener_async.ops.addresses import local_url
from kener_async.store import people
from kener_async.store.interface import Session
from kener_async.store.people import PersonRecord
from kener_async.store.sqlite import transactions

NO_PERSON = "no person yet: {program} person add --role admin NAME"
HEADS = ("name", "role", "state", "signs in with", "sessions", "last seen", "categories")


def add(config: Config, name: str, role: Role, categories: Sequence[str], email: str) -> str:
    """Add a person; the address of their invitation. Raises Invalid with the field, and FatalError."""
    address = _address(config)
    known = {category.name for category in config.categories}
    for category in categories:
        if category not in known:
            raise Invalid(f"category: there is no category {category}")
    secret = transactions.write(
        config.database.path,
        _add,
        require_name(name),
        role,
        tuple(categories) or None,
        require_email(email),
        command_actor(),
        system_clock(),
    )
    return address + links.path(secret)


def reset(config: Config, name: str) -> str:
    """Remove what a person signs in with; the address of their new invitation. Raises NotFound."""
    address = _address(config)
    secret = transactions.write(config.database.path, _reset, name, command_actor(), system_clock())
    return address + links.path(secret)


def deactivate(config: Config, name: str) -> Person:
    """End the sessions of a person, who signs in no more; raises NotFound, Invalid for the last admin."""
    return transactions.write(config.database.path, _deactivate, name, command_actor(), system_clock())


def records(config: Config) -> list[PersonRecord]:
    """All people by name; raises FatalError."""
    return transactions.read(config.database.path, people.records, system_clock())


def is_empty(config: Config) -> bool:
    """Whether people could sign in here, and there is none yet; raises FatalError."""
    return bool(config.server.manage_path) and not transactions.read(config.database.path, people.exists)


def table(found: Sequence[PersonRecord], now: int) -> Iterator[tuple[str, ...]]:
    """The rows of the table, its heading first."""
    yield HEADS
    for record in found:
        person = record.person
        yield (
            person.name,
            person.role.name.lower(),
            record.state,
            ", ".join(record.ways) or "-",
            str(record.factors.sessions),
            "never" if person.last_seen is None else f"{format_duration(max(now - person.last_seen, 0))} ago",
            "all" if person.categories is None else ", ".join(person.categories),
        )


def as_json(record: PersonRecord) -> dict[str, Any]:
    """The JSON document of one; instants are UTC seconds."""
    person = record.person
    return {
        "name": person.name,
        "email": person.email,
        "role": person.role.name.lower(),
        "categories": None if person.categories is None else list(person.categories),
        "state": record.state,
        "signsInWith": list(record.ways),
        "sessions": record.factors.sessions,
        "madeAt": person.made_at,
        "lastSeen": person.last_seen,
        "inactiveSince": person.inactive_since,
        "invitedUntil": record.factors.invited_until,
    }


def invitation_end(now: int) -> str:
    """When a link made now ends, in words."""
    return f"{datetime.fromtimestamp(now + links.INVITATION_SECONDS, UTC):%Y-%m-%d %H:%M} UTC"


def _add(
    session: Session,
    name: str,
    role: Role,
    categories: Sequence[str] | None,
    email: str,
    actor: Actor,
    now: int,
) -> str:
    person = people.add(session, name, role, categories, email, actor, now)
    return links.invite(session, person, actor, now)


def _reset(session: Session, name: str, actor: Actor, now: int) -> str:
    person = people.reset(session, people.named(session, name).id, actor, now)
    return links.invite(session, person, actor, now)


def _deactivate(session: Session, name: str, actor: Actor, now: int) -> Person:
    return people.deactivate(session, people.named(session, name).id, actor, now)


def _address(config: Config) -> str:
    """The address of the signed-in side; raises FatalError where it is switched off."""
    server = config.server
    if not server.manage_path:
        raise FatalError("manage_path of [server] is empty, so there is nowhere to sign in")
    origin = server.public_url or local_url(server.host, server.port)
    return origin + server.base_path + server.manage_path
