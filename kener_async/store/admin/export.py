"""Everything that is stored, as JSON Lines; docs/operate.md describes the form.

What is only counted from it - rollups and their marks - is left out: an import counts it again.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import orjson

from kener_async.domain.incidents import Comment, Incident
from kener_async.domain.samples import SampleSource, Status
from kener_async.store import devices, incidents, tokens
from kener_async.store.samples import plain_latency
from kener_async.store.sqlite import files
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import database_errors

FORMAT = 2
LINES_AT_ONCE = 1000

Line = dict[str, Any]

WHOLE, TEXT, FLAG, LIST = (int,), (str,), (bool,), (list,)
MAYBE = (int, type(None))  # an instant, or none

# The fields of each kind of line, and the types they may have.
SHAPES: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "header": {"kind": TEXT, "program": TEXT, "format": WHOLE},
    "service": {"kind": TEXT, "last_seen": WHOLE, "rolled_until": WHOLE, "kept_from": WHOLE},
    "monitor": {"kind": TEXT, "tag": TEXT, "last_heard": MAYBE, "history": LIST},
    "sample": {
        "kind": TEXT,
        "monitor": TEXT,
        "minute": WHOLE,
        "status": TEXT,
        "latency": (float,),
        "source": TEXT,
    },
    "gap": {"kind": TEXT, "start": WHOLE, "end": WHOLE},
    "incident": {
        "kind": TEXT,
        "number": WHOLE,
        "title": TEXT,
        "body": TEXT,
        "tags": LIST,
        "start": WHOLE,
        "end": MAYBE,
        "impact": (str, type(None)),
        "is_maintenance": FLAG,
        "is_identified": FLAG,
        "is_resolved": FLAG,
        "created_at": WHOLE,
        "resolved_at": MAYBE,
        "closed_at": MAYBE,
        "ended_by_resolving": FLAG,
        "comments": LIST,
    },
    "device": {
        "kind": TEXT,
        "sender": TEXT,
        "name": TEXT,
        "last_heard": WHOLE,
        "newest": WHOLE,
        "clock_offset": MAYBE,
        "floor": WHOLE,
        "lost": WHOLE,
        "restarts": WHOLE,
        "monitors": LIST,
        "heard": LIST,
        "claims": LIST,
        "boots": (dict,),
    },
    "run": {"kind": TEXT, "monitor": TEXT, "run": TEXT, "started_at": (float,)},
    "token": {
        "kind": TEXT,
        "id": TEXT,
        "name": TEXT,
        "scopes": LIST,
        "tags": (list, type(None)),
        "created_at": WHOLE,
        "expires_at": MAYBE,
        "last_used": MAYBE,
        "revoked_at": MAYBE,
        "digest": (str, type(None)),
    },
    "end": {"kind": TEXT, "lines": WHOLE},
}


def write(database: Path, out: IO[bytes]) -> None:
    """Export a database, also beside a server; raises DatabaseFileError, and OSError of `out`."""
    with database_errors(database), closing(connect(database, read_only=True)) as connection:
        out.writelines(_chunks(connection))


def save(database: Path, target: Path) -> None:
    """Export a database to a file, which is complete and on disk, or not there; raises DatabaseFileError."""
    with database_errors(database), files.workspace(target.parent) as work:
        draft = work / "export"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            write(database, out)
        files.replace(draft, target)


def _chunks(connection: sqlite3.Connection) -> Iterator[bytes]:
    """The lines of an export, many at a time, from one snapshot; the last one counts those before it.

    While the snapshot is held, a server's write-ahead log can only grow.
    """
    connection.execute("BEGIN")
    try:
        count, waiting = 0, []
        for line in _lines(connection):
            waiting.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
            if len(waiting) == LINES_AT_ONCE:
                yield b"".join(waiting)
                waiting.clear()
        waiting.append(orjson.dumps({"kind": "end", "lines": count}, option=orjson.OPT_APPEND_NEWLINE))
        yield b"".join(waiting)
    finally:
        connection.execute("ROLLBACK")


def _lines(connection: sqlite3.Connection) -> Iterator[Line]:
    yield {"kind": "header", "program": "kener-async", "format": FORMAT}
    yield from _service(connection)
    yield from _monitors(connection)
    yield from _samples(connection)
    for start, end in connection.execute('SELECT start, "end" FROM gaps ORDER BY id'):
        yield {"kind": "gap", "start": start, "end": end}
    for (number,) in connection.execute("SELECT number FROM incidents ORDER BY number").fetchall():
        yield _incident(*incidents.thread(connection, number))
    yield from _devices(connection)
    yield from _runs(connection)
    for token in tokens.all_tokens(connection).values():
        yield {"kind": "token", **asdict(token), "digest": token.digest and token.digest.hex()}


def _service(connection: sqlite3.Connection) -> Iterator[Line]:
    """Nothing, where no server has run on the database."""
    found = connection.execute("SELECT last_seen, rolled_until, kept_from FROM service")
    for last_seen, rolled_until, kept_from in found:
        yield {
            "kind": "service",
            "last_seen": last_seen,
            "rolled_until": rolled_until,
            "kept_from": kept_from,
        }


def _monitors(connection: sqlite3.Connection) -> Iterator[Line]:
    found = connection.execute("SELECT id, tag, last_heard FROM monitors ORDER BY id").fetchall()
    for monitor, tag, last_heard in found:
        versions = connection.execute(
            "SELECT since, body FROM settings WHERE monitor_id = ? ORDER BY since", (monitor,)
        )
        history = [{"since": since, "settings": json.loads(body)} for since, body in versions]
        yield {"kind": "monitor", "tag": tag, "last_heard": last_heard, "history": history}


def _samples(connection: sqlite3.Connection) -> Iterator[Line]:
    for monitor, tag in connection.execute("SELECT id, tag FROM monitors ORDER BY id").fetchall():
        found = connection.execute(
            "SELECT minute, status, latency, source FROM samples WHERE monitor_id = ? ORDER BY minute",
            (monitor,),
        )
        for minute, status, latency, source in found:
            yield {
                "kind": "sample",
                "monitor": tag,
                "minute": minute,
                "status": Status(status).name,
                "latency": plain_latency(latency),
                "source": SampleSource(source).name.lower(),
            }


def _devices(connection: sqlite3.Connection) -> Iterator[Line]:
    """Each with the monitors it reports, the spans of numbers heard, its claims to minutes, and its boots."""
    for device in devices.ids(connection):
        record = devices.export(connection, device)
        yield {"kind": "device", **asdict(record)}


def _runs(connection: sqlite3.Connection) -> Iterator[Line]:
    found = connection.execute(
        "SELECT tag, run, started_at FROM runs JOIN monitors ON id = monitor_id ORDER BY monitor_id, run"
    )
    for tag, run, started_at in found:
        yield {"kind": "run", "monitor": tag, "run": run, "started_at": started_at}


def _incident(incident: Incident, comments: Sequence[Comment]) -> Line:
    return {
        "kind": "incident",
        **asdict(incident),
        "impact": None if incident.impact is None else incident.impact.name,
        "comments": [asdict(comment) for comment in comments],
    }
