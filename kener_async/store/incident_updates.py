"""The rows of the updates of incidents."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from kener_async.domain.errors import NotFound
from kener_async.domain.incident_updates import Impact, Impacts, IncidentState, Stated, Update
from kener_async.domain.incidents import Incident
from kener_async.store.interface import Session

COLUMNS = "id, body, created_at, at, state, impacts, author, edited_at"


def of(session: Session, numbers: Iterable[int]) -> dict[int, list[Update]]:
    """The updates of each of these incidents, oldest first, read in one query."""
    found: dict[int, list[Update]] = {number: [] for number in numbers}
    rows = session.execute(
        f"""
        SELECT number, {COLUMNS} FROM updates
         WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number, at, id
        """,  # noqa: S608
        (json.dumps(list(found)),),
    )
    for number, *row in rows:
        found[number].append(_update(row))
    return found


def states(session: Session, number: int) -> list[Stated]:
    """The states that updates have given an incident, oldest first."""
    rows = session.execute(
        "SELECT at, state FROM updates WHERE number = ? AND state IS NOT NULL ORDER BY at, id", (number,)
    )
    return [Stated(at, IncidentState(state)) for at, state in rows]


def get(session: Session, number: int, update_id: int) -> Update:
    """An update of an incident; raises NotFound."""
    row = session.execute(
        f"SELECT {COLUMNS} FROM updates WHERE number = ? AND id = ?",  # noqa: S608
        (number, update_id),
    ).fetchone()
    if row is None:
        raise NotFound("update not found")
    return _update(row)


def add(session: Session, number: int, update: Update) -> Update:
    """Store a new update, whatever its id, and return it with the one that it has."""
    (update_id,) = session.execute(
        """
        INSERT INTO updates (number, body, created_at, at, state, impacts, author, edited_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
        """,
        (number, *_values(update)),
    ).fetchone()
    return replace(update, id=update_id)


def insert(session: Session, number: int, updates: Iterable[Update]) -> None:
    """Store exported updates under their ids."""
    session.executemany(
        f"INSERT INTO updates (number, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        [(number, update.id, *_values(update)) for update in updates],
    )


def save(session: Session, update: Update) -> None:
    """Store an update that changed."""
    session.execute(
        """
        UPDATE updates SET body = ?, created_at = ?, at = ?, state = ?, impacts = ?, author = ?, edited_at = ?
         WHERE id = ?
        """,
        (*_values(update), update.id),
    )


def delete(session: Session, update_id: int) -> None:
    """Delete an update."""
    session.execute("DELETE FROM updates WHERE id = ?", (update_id,))


def add_state(session: Session, number: int, state: IncidentState, at: int, author: str, now: int) -> None:
    """Give an incident a state, by an update without text that stands not before the newest that has one."""
    newest = states(session, number)[-1:]
    since = max([at, *(one.at for one in newest)])
    add(session, number, Update(0, "", now, since, state, author=author))


def note_states(session: Session, incident: Incident) -> None:
    """Store the states that follow from the flags of an incident of which no update has a state."""
    if states(session, incident.number):
        return
    for at, state in incident.implied_states():
        add(session, incident.number, Update(0, "", at, at, state))


def _values(update: Update) -> tuple[Any, ...]:
    impacts = json.dumps(update.impacts) if update.impacts else None
    return (
        update.body,
        update.created_at,
        update.at,
        update.state,
        impacts,
        update.author,
        update.edited_at,
    )


def _update(row: Sequence[Any]) -> Update:
    update_id, body, created_at, at, state, impacts, author, edited_at = row
    return Update(
        update_id,
        body,
        created_at,
        at,
        None if state is None else IncidentState(state),
        {} if impacts is None else _impacts(impacts),
        author,
        edited_at,
    )


def _impacts(text: str) -> Impacts:
    found = json.loads(text)
    return {tag: None if impact is None else Impact(impact) for tag, impact in found.items()}
