"""Series, templates and announcements that were made in the browser or by the API."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kener_async.domain.errors import Conflict, NotFound
from kener_async.domain.people import Actor
from kener_async.store import audit
from kener_async.store.interface import Session

Kind = Literal["series", "template", "announcement"]
Body = Mapping[str, Any]

NEW = 0  # the revision of what is not stored yet


@dataclass(frozen=True, slots=True)
class Managed:
    """A stored thing. `body` has the keys of its table in config.toml; `changed_at` is UTC seconds.

    `revision` grows with every change of this name, also when it was deleted in between.
    """

    kind: str
    name: str
    body: Body
    revision: int
    changed_at: int
    changed_by: str


def get(session: Session, kind: Kind, name: str) -> Managed:
    """The thing of this name; raises NotFound."""
    if (found := find(session, kind, name)) is None:
        raise NotFound(f"{kind} not found")
    return found


def list_of(session: Session, kind: Kind) -> list[Managed]:
    """All things of a kind, by name."""
    rows = session.execute(f"{_SELECT} WHERE kind = ? ORDER BY name", (kind,))
    return [_managed(row) for row in rows]


def everything(session: Session) -> list[Managed]:
    """All things, by kind and name."""
    return [_managed(row) for row in session.execute(f"{_SELECT} ORDER BY kind, name")]


def insert(session: Session, exported: Managed) -> None:
    """Store a thing of an export as it is."""
    session.execute(
        """
        INSERT INTO managed (kind, name, body, revision, changed_at, changed_by) VALUES (?, ?, ?, ?, ?, ?)
        """,
        (
            exported.kind,
            exported.name,
            json.dumps(exported.body, ensure_ascii=False),
            exported.revision,
            exported.changed_at,
            exported.changed_by,
        ),
    )


def save(
    session: Session, kind: Kind, name: str, body: Body, revision: int | None, actor: Actor, now: int
) -> Managed:
    """Store a thing, new or changed, with a row in the audit log.

    `revision` is the one that the change was made from, NEW for a new thing, None for whatever is stored.
    Raises Conflict when another is stored. What is stored already is left as it is.
    """
    before = find(session, kind, name)
    _require(before, revision)
    if before is not None and before.body == body:
        return before
    row = audit.record(
        session, actor, f"{kind}.save", f"{kind} {name}", None if before is None else before.body, body, now
    )
    after = Managed(kind, name, body, max(row, (before.revision if before else NEW) + 1), now, str(actor))
    session.execute(
        """
        INSERT INTO managed (kind, name, body, revision, changed_at, changed_by) VALUES (?, ?, ?, ?, ?, ?)
            ON CONFLICT (kind, name) DO UPDATE SET
                body = excluded.body, revision = excluded.revision,
                changed_at = excluded.changed_at, changed_by = excluded.changed_by
        """,
        (kind, name, json.dumps(body, ensure_ascii=False), after.revision, now, after.changed_by),
    )
    return after


def delete(session: Session, kind: Kind, name: str, revision: int | None, actor: Actor, now: int) -> Managed:
    """Delete a thing, with a row in the audit log, and return it; raises NotFound, and Conflict as `save`."""
    before = get(session, kind, name)
    _require(before, revision)
    session.execute("DELETE FROM managed WHERE kind = ? AND name = ?", (kind, name))
    audit.record(session, actor, f"{kind}.delete", f"{kind} {name}", before.body, None, now)
    return before


_SELECT = "SELECT kind, name, body, revision, changed_at, changed_by FROM managed"


def find(session: Session, kind: Kind, name: str) -> Managed | None:
    """The thing of this name, if it is stored."""
    row = session.execute(f"{_SELECT} WHERE kind = ? AND name = ?", (kind, name)).fetchone()
    return None if row is None else _managed(row)


def _managed(row: tuple[str, str, str, int, int, str]) -> Managed:
    kind, name, body, revision, changed_at, changed_by = row
    return Managed(kind, name, json.loads(body), revision, changed_at, changed_by)


def _require(stored: Managed | None, revision: int | None) -> None:
    if revision is None or revision == (stored.revision if stored else NEW):
        return
    if stored is None:
        raise Conflict("it was deleted since")
    by = f"at revision {stored.revision}, by {stored.changed_by}"
    raise Conflict(f"it is there already, {by}" if revision == NEW else f"it was changed since: it is {by}")
