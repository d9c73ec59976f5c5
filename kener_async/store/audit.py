"""The audit log: who changed what, as a chain of hashes, in which an edited or a deleted row is found."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from kener_async.domain.people import Actor
from kener_async.store.interface import Session

NO_LINK = bytes(32)  # before the first row

Facts = Mapping[str, Any]


def record(
    session: Session, actor: Actor, act: str, thing: str, before: Facts | None, after: Facts | None, now: int
) -> int:
    """Add a row, in the transaction of the change; its number.

    `act` is such as "incident.open", `thing` such as "incident 7". `before` and `after` are JSON objects with
    secrets masked; None: it was not there.
    """
    last, link = _end(session)
    values = (last + 1, now, str(actor), actor.network, act, thing, _json(before), _json(after))
    session.execute(
        "INSERT INTO audit (id, at, actor, network, act, object, before, after, link)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*values, link_of(link, values)),
    )
    return last + 1


def link_of(previous: bytes, values: tuple[Any, ...]) -> bytes:
    """The hash of a row, without its own link, after the link of the row before it."""
    return sha256(previous + json.dumps(values, ensure_ascii=False).encode()).digest()


def _end(session: Session) -> tuple[int, bytes]:
    """The number and the link of the last row; those of the anchor where there is none."""
    row = session.execute("SELECT id, link FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return _anchor(session) if row is None else row


def _anchor(session: Session) -> tuple[int, bytes]:
    """The number and the link of the newest row that was deleted by its age."""
    row = session.execute("SELECT audit_from, audit_link FROM service").fetchone()
    return (0, NO_LINK) if row is None or row[1] is None else row


def _json(facts: Facts | None) -> str | None:
    return None if facts is None else json.dumps(facts, ensure_ascii=False, sort_keys=True)
