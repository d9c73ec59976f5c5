"""The audit log: who changed what, as a chain of hashes, in which a changed or a missing row is found."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Any

from kener_async.domain.masking import MASK
from kener_async.domain.people import Actor
from kener_async.store.interface import Session

NO_LINK = bytes(32)  # before the first row
PAGE = 50  # rows
SECRET_KEYS = frozenset(
    {"password", "secret", "code_key", "form_key", "digest", "token", "cookie", "recovery_codes"}
)

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what, when (UTC seconds). `before` and `after` are None where the thing was not there."""

    id: int
    at: int
    actor: str
    network: str
    act: str
    thing: str
    before: Facts | None
    after: Facts | None
    link: bytes


@dataclass(frozen=True, slots=True)
class AuditSearch:
    """Search criteria; None matches all. `start` is inclusive, `end` exclusive, `below` a number of a row.

    An `actor` is such as "person:ada", or a kind such as "person"; an `act` such as "incident.open", or its
    first word; a `thing` such as "incident 7", or its first word.
    """

    actor: str | None = None
    act: str | None = None
    thing: str | None = None
    start: int | None = None
    end: int | None = None
    below: int | None = None


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The last link of the chain and the number of its row, to be noted elsewhere; 0: there is none yet."""

    id: int
    link: bytes

    def __str__(self) -> str:
        return f"{self.id}:{self.link.hex()}"

    @classmethod
    def of(cls, text: str) -> "ChainEnd":
        """The end that was noted as `str` writes it; raises ValueError."""
        number, _, link = text.strip().partition(":")
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise ValueError("is not a number and a link, such as 12:5f1e...")
        if len(digest := bytes.fromhex(link)) != len(NO_LINK):
            raise ValueError("is not a number and a link, such as 12:5f1e...")
        return cls(int(number), digest)


def record(
    session: Session, actor: Actor, act: str, thing: str, before: Facts | None, after: Facts | None, now: int
) -> int:
    """Add a row, in the transaction of the change; its number.

    `act` is such as "incident.open", `thing` such as "incident 7". `before` and `after` are JSON objects;
    None: it was not there. Secrets are left out by the caller, and bytes and SECRET_KEYS are masked here.
    """
    number = _newest_number(session) + 1
    values = (number, now, str(actor), actor.network, act, thing, _json(before), _json(after))
    session.execute(
        """
        INSERT INTO audit (id, at, actor, network, act, object, before, after, link)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (*values, link_of(end_of(session).link, values)),
    )
    return number


def link_of(previous: bytes, values: Sequence[Any]) -> bytes:
    """The hash of a row, without its own link, after the link of the row before it."""
    return sha256(previous + json.dumps(list(values), ensure_ascii=False).encode()).digest()


def end_of(session: Session) -> ChainEnd:
    """The end of the chain: its last row, else the anchor."""
    row = session.execute("SELECT id, link FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    return _anchor(session) if row is None else ChainEnd(*row)


def search(session: Session, criteria: AuditSearch, limit: int = PAGE) -> list[AuditRow]:
    """Find rows, newest first, at most `limit`."""
    conditions, values = _conditions(criteria)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = session.execute(
        f"""
        SELECT id, at, actor, network, act, object, before, after, link
          FROM audit {where} ORDER BY id DESC LIMIT :limit
        """,  # noqa: S608
        {**values, "limit": limit},
    )
    return [_row(row) for row in rows]


def changed_by_commands(session: Session, after: int, kinds: Collection[str]) -> list[str]:
    """The things of these kinds that commands have changed since the row `after`, such as "incident 7"."""
    rows = session.execute(
        "SELECT object FROM audit WHERE id > ? AND substr(actor, 1, 8) = 'command:' ORDER BY id", (after,)
    )
    return list(dict.fromkeys(thing for (thing,) in rows if thing.partition(" ")[0] in kinds))


def has_before(session: Session, instant: int) -> bool:
    """Whether the oldest row is from before an instant, so that `delete_before` would delete it."""
    row = session.execute("SELECT at FROM audit ORDER BY id LIMIT 1").fetchone()
    return row is not None and int(row[0]) < instant


def delete_before(session: Session, instant: int, limit: int) -> bool:
    """Delete up to `limit` of the oldest rows that are from before an instant; whether more are left.

    Only rows before all newer ones go, so that the chain stays whole from the anchor on, which is stored.
    """
    row = session.execute(
        """
        WITH oldest AS (SELECT id, at, link FROM audit ORDER BY id LIMIT :limit)
        SELECT id, link FROM oldest
         WHERE id < coalesce((SELECT min(id) FROM oldest WHERE at >= :instant), 9223372036854775807)
         ORDER BY id DESC LIMIT 1
        """,
        {"instant": instant, "limit": limit},
    ).fetchone()
    if row is None:
        return False
    session.execute("UPDATE service SET audit_from = ?, audit_link = ?", row)
    return session.execute("DELETE FROM audit WHERE id <= ?", (row[0],)).rowcount == limit


def chain_faults(session: Session, noted: ChainEnd | None = None) -> Iterator[str]:
    """The places where the chain is broken, a line each; also where it lacks an end that was `noted`.

    Without a noted end a cut of the newest rows is found only where the counter of the table was left, and
    a chain that was written anew not at all.
    """
    last = _anchor(session)
    if noted is not None and noted.id < last.id:
        yield f"audit: row {noted.id}, which was noted, was deleted by its age"
    found = noted if noted is not None and noted.id == last.id else None
    if found is not None and found.link != last.link:
        yield f"audit: row {found.id} has another link than was noted"
    rows = session.execute(
        "SELECT id, at, actor, network, act, object, before, after, link FROM audit ORDER BY id"
    )
    for *values, link in rows:
        number = values[0]
        if number != last.id + 1:
            yield f"audit: {_missing(last.id + 1, number - 1)}"
        elif link != link_of(last.link, values):
            yield f"audit: row {number} was changed, or one before it: its link does not fit"
        if noted is not None and number == noted.id:
            found = noted
            if link != noted.link:
                yield f"audit: row {number} has another link than was noted"
        last = ChainEnd(number, link)
    if (newest := _newest_number(session)) > last.id:
        yield f"audit: {_missing(last.id + 1, newest)}"
    if noted is not None and found is None and noted.id > last.id:
        yield f"audit: row {noted.id}, which was noted, is missing"


def document(row: AuditRow) -> dict[str, Any]:
    """The JSON document of a row; `at` is UTC seconds, `link` in hexadecimal digits."""
    return {
        "id": row.id,
        "at": row.at,
        "actor": row.actor,
        "network": row.network,
        "act": row.act,
        "thing": row.thing,
        "before": row.before,
        "after": row.after,
        "link": row.link.hex(),
    }


def _missing(first: int, last: int) -> str:
    return f"row {first} is missing" if first == last else f"rows {first} to {last} are missing"


def _newest_number(session: Session) -> int:
    """The highest number a row ever had."""
    row = session.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    return max(0 if row is None else int(row[0]), end_of(session).id)


def _anchor(session: Session) -> ChainEnd:
    """The newest row that was deleted by its age."""
    row = session.execute("SELECT audit_from, audit_link FROM service").fetchone()
    return ChainEnd(0, NO_LINK) if row is None or row[1] is None else ChainEnd(*row)


def _conditions(criteria: AuditSearch) -> tuple[list[str], dict[str, Any]]:
    """Conditions that indexes serve: a name, or all that begin with a word and its separator."""
    conditions: list[str] = []
    values: dict[str, Any] = {}
    for column, wanted, separator in (
        ("actor", criteria.actor, ":"),
        ("act", criteria.act, "."),
        ("object", criteria.thing, " "),
    ):
        if wanted is None:
            continue
        after = chr(ord(separator) + 1)
        conditions.append(
            f"({column} = :{column} OR ({column} >= :{column}_from AND {column} < :{column}_to))"
        )
        values |= {column: wanted, f"{column}_from": wanted + separator, f"{column}_to": wanted + after}
    for condition, value in (
        ("at >= :start", criteria.start),
        ("at < :end", criteria.end),
        ("id < :below", criteria.below),
    ):
        if value is not None:
            conditions.append(condition)
            values[condition.rpartition(":")[2]] = value
    return conditions, values


def _row(row: Sequence[Any]) -> AuditRow:
    number, at, actor, network, act, thing, before, after, link = row
    return AuditRow(number, at, actor, network, act, thing, _facts(before), _facts(after), link)


def _facts(text: str | None) -> Facts | None:
    return None if text is None else json.loads(text)


def _json(facts: Facts | None) -> str | None:
    return None if facts is None else json.dumps(_plain(facts), ensure_ascii=False, sort_keys=True)


def _plain(value: Any) -> Any:
    """The value as JSON has it, with secrets masked."""
    match value:
        case Mapping():
            return {
                str(name): MASK if name in SECRET_KEYS and inner else _plain(inner)
                for name, inner in value.items()
            }
        case Enum():
            return value.name.lower()
        case str() | int() | float() | None:
            return value
        case list() | tuple():
            return [_plain(each) for each in value]
        case set() | frozenset():
            return sorted(map(_plain, value), key=str)
        case bytes():
            return MASK
    return str(value)


def insert(connection: sqlite3.Connection, row: tuple[Any, ...]) -> None:
    """Insert a row of an export as it is: its number, instant, ..., and link."""
    connection.execute(
        """
        INSERT INTO audit (id, at, actor, network, act, object, before, after, link)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        row,
    )


def all_rows(connection: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """All rows as they are stored, oldest first, for an export."""
    yield from connection.execute(
        "SELECT id, at, actor, network, act, object, before, after, link FROM audit ORDER BY id"
    )
