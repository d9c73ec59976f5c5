"""Notices: what is to be told, with one delivery for each channel that is to hear of it."""

import json
from collections.abc import Iterable
from typing import Any

from kener_async.domain.notices import DeliveryState, Facts, Notice, NoticeKind
from kener_async.store.interface import Session

COLUMNS = "notices.id, kind, at, alert, incident, body"

NoticeRow = tuple[Any, ...]  # of COLUMNS


def add(
    session: Session,
    kind: NoticeKind,
    at: int,
    alert: int | None,
    incident: int | None,
    facts: Facts,
    channels: Iterable[str],
    due_at: float,
    unique_key: str | None = None,
) -> Notice:
    """Store a notice and its deliveries, which are due at `due_at`; each channel gets one.

    No other notice has its `unique_key`, if it has one; `with_keys` finds those that are stored.
    """
    (number,) = session.execute(
        """
        INSERT INTO notices (kind, at, alert, incident, body, unique_key) VALUES (?, ?, ?, ?, ?, ?)
        RETURNING id
        """,
        (kind, at, alert, incident, json.dumps(facts.body()), unique_key),
    ).fetchone()
    send_to(session, number, channels, due_at)
    return Notice(number, kind, at, alert, incident, facts)


def send_to(session: Session, notice: int, channels: Iterable[str], due_at: float) -> None:
    """Add deliveries of a notice, due at `due_at`, to the channels that have none of it yet."""
    session.executemany(
        """
        INSERT INTO deliveries (notice, channel, state, due_at) VALUES (?, ?, ?, ?)
            ON CONFLICT (notice, channel) DO NOTHING
        """,
        [(notice, channel, DeliveryState.DUE, due_at) for channel in dict.fromkeys(channels)],
    )


def with_keys(session: Session, keys: Iterable[str]) -> set[str]:
    """Those of these unique keys that notices have."""
    rows = session.execute(
        "SELECT unique_key FROM notices WHERE unique_key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(keys)),),
    )
    return {key for (key,) in rows}


def of_alerts(session: Session, alerts: Iterable[int]) -> dict[int, list[Notice]]:
    """The notices of each of these alerts, oldest first."""
    found: dict[int, list[Notice]] = {alert: [] for alert in alerts}
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM notices
         WHERE alert IS NOT NULL AND alert IN (SELECT value FROM json_each(?)) ORDER BY id
        """,  # noqa: S608
        (json.dumps(list(found)),),
    )
    for row in rows:
        found[row[3]].append(notice_of(row))
    return found


def after(session: Session, number: int, limit: int) -> list[Notice]:
    """The notices with an id above this one, oldest first."""
    rows = session.execute(
        f"SELECT {COLUMNS} FROM notices WHERE id > ? ORDER BY id LIMIT ?",  # noqa: S608
        (number, limit),
    )
    return [notice_of(row) for row in rows]


def newest(session: Session) -> int:
    """The highest id of a notice; 0 without any."""
    (number,) = session.execute("SELECT coalesce(max(id), 0) FROM notices").fetchone()
    return int(number)


def insert(session: Session, notice: Notice) -> None:
    """Store an exported notice under its id, without deliveries."""
    session.execute(
        "INSERT INTO notices (id, kind, at, alert, incident, body) VALUES (?, ?, ?, ?, ?, ?)",
        (notice.id, notice.kind, notice.at, notice.alert, notice.incident, json.dumps(notice.facts.body())),
    )


def unique_keys(session: Session) -> dict[int, str]:
    """The unique keys of the notices that have one, by id."""
    return dict(session.execute("SELECT id, unique_key FROM notices WHERE unique_key IS NOT NULL").fetchall())


def insert_unique_key(session: Session, number: int, unique_key: str) -> None:
    """Store the unique key of an exported notice."""
    session.execute("UPDATE notices SET unique_key = ? WHERE id = ?", (unique_key, number))


def notice_of(row: NoticeRow) -> Notice:
    """The notice of a row of COLUMNS."""
    number, kind, at, alert, incident, body = row
    return Notice(number, NoticeKind(kind), at, alert, incident, Facts.of(json.loads(body)))
