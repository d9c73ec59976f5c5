"""Import an export into a new database, and count its rollups."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson

from kener_async.domain.alerts import Alert, Closing, Severity
from kener_async.domain.calendar import DAY, LAST_INSTANT, MINUTE, QUARTER, is_showable
from kener_async.domain.certificates import StoredCertificate
from kener_async.domain.checks import Attempt, Phases, SeenCertificate
from kener_async.domain.heartbeats import GapKind
from kener_async.domain.incident_updates import Impact, IncidentState, Update
from kener_async.domain.incidents import Incident, IncidentSource
from kener_async.domain.notices import ChannelState, Delivery, DeliveryState, Facts, Notice, NoticeKind
from kener_async.domain.people import Actor, Role
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.errors import FatalError
from kener_async.store import (
    alerts,
    audit,
    certificates,
    channel_states,
    check_faults,
    deliveries,
    devices,
    dirty,
    followers,
    incidents,
    managed,
    notices,
    rollups,
    samples,
    tokens,
)
from kener_async.store.admin import old_news, restore
from kener_async.store.admin.export import (
    DELIVERY_SHAPE,
    FORMAT,
    IDENTITY_SHAPE,
    INSTANTS,
    PASSKEY_SHAPE,
    RECOVERY_CODE_SHAPE,
    SHAPES,
    UPDATE_SHAPE,
    Line,
)
from kener_async.store.layers import settings_from, settings_text
from kener_async.store.observer import has_begun, kept_from, last_seen
from kener_async.store.seal_state import hot_days_from
from kener_async.store.sqlite import transactions
from kener_async.store.sqlite.files import Progress, no_progress

QUARTERS_AT_ONCE = 30 * DAY // QUARTER
MEASURED = frozenset({Status.UP, Status.DEGRADED, Status.DOWN})

Completion = Callable[[Line], Line]


def _unheard(line: Line) -> Line:
    return {"last_heard": None, **line}


def _not_a_push_key(line: Line) -> Line:
    return {"digest": None, "sender": None, **line}


def _replaces_none(line: Line) -> Line:
    return {"sender": None, **line}


def _without_recent(line: Line) -> Line:
    return {"clock_offsets": [], "recent": [], **line}


def _of_a_person(line: Line) -> Line:
    """Fill in what incidents had before alert rules opened any."""
    blank = {"source": "api", "covers": True, "is_draft": False, "is_monitoring": False, "touched_at": None}
    return _with_comments({**blank, **line})


def _with_comments(line: Line) -> Line:
    """Make updates of the comments, which was all that updates could say."""
    blank: Line = {"state": None, "impacts": {}, "author": "", "edited_at": None}
    updates = [{**comment, "at": comment["created_at"], **blank} for comment in line["comments"]]
    occurrence: Line = {"series": None, "occurrence": None, "is_changed": False, "announce": []}
    rest = {name: value for name, value in line.items() if name != "comments"}
    rest["is_identified"] = line["is_identified"] or line["is_monitoring"]
    return {**rest, "updates": updates, "impacts": {}, "postmortem": "", "postmortem_at": None, **occurrence}


def _of_not_running(line: Line) -> Line:
    return {"cause": "not_running", **line}


def _unaudited(line: Line) -> Line:
    return {"audit_from": 0, "audit_link": None, **line}


def _new_identity(line: Line) -> Line:
    return _unaudited({"identity": str(uuid4()), **line})


def _without_key(line: Line) -> Line:
    return {"unique_key": None, **line}


def _unedited(line: Line) -> Line:
    """Date the last edit by the latest instant that is known, and end by LAST_INSTANT what lasts longer."""
    known = [line["created_at"], line["resolved_at"], line["closed_at"]]
    known += [comment["created_at"] for comment in line["comments"]]
    bounded = {
        name: min(line[name], LAST_INSTANT)
        for name in ("start", "end", "closed_at")
        if line[name] is not None
    }
    updated_at = max(instant for instant in known if instant is not None)
    return _of_a_person({"updated_at": updated_at, "revision": 0, **line, **bounded})


# What makes a current line of an older one, by the number of the format and the kind of line.
OLDER: Mapping[int, Mapping[str, Completion]] = {
    1: {
        "service": _new_identity,
        "gap": _of_not_running,
        "monitor": _unheard,
        "incident": _unedited,
        "device": _without_recent,
        "token": _not_a_push_key,
    },
    2: {
        "service": _new_identity,
        "gap": _of_not_running,
        "incident": _unedited,
        "device": _without_recent,
        "token": _replaces_none,
    },
    3: {
        "service": _unaudited,
        "gap": _of_not_running,
        "incident": _of_a_person,
        "notice": _without_key,
    },
    4: {
        "service": _unaudited,
        "gap": _of_not_running,
        "incident": _with_comments,
        "notice": _without_key,
    },
    5: {"service": _unaudited, "incident": _with_comments, "notice": _without_key},
}


class ImportRefused(FatalError):
    """A line of the export is invalid, and nothing was imported."""


def replace(
    lines: Iterable[bytes],
    database: Path,
    now: int,
    *,
    force: bool,
    actor: Actor | None = None,
    progress: Progress = no_progress,
) -> tuple[int, Path | None]:
    """Put a database made of an export in place; its number of lines, and where the one before was kept.

    With an `actor` its audit log says so. Raises FatalError as `load` does, when a server is running, and
    when there is a database and no `force`.
    """
    with restore.alone_with(database, force=force) as work:
        count = load(lines, work / database.name, progress)
        if actor is not None:
            restore.note(work / database.name, actor, "database.import", {"lines": count}, now)
        return count, restore.place(work / database.name, database, now)


def load(lines: Iterable[bytes], database: Path, progress: Progress = no_progress) -> int:
    """Make a new database from the lines of an export; returns their number.

    Raises ImportRefused for the first invalid line, and if lines are missing at the end.
    """
    reader = Reader(lines, progress)
    transactions.fill(database, _fill, reader, progress)
    return reader.number


def _fill(connection: sqlite3.Connection, reader: "Reader", progress: Progress) -> None:
    try:
        for kind, run in groupby(reader, key=lambda line: line["kind"]):
            IMPORTERS[kind](connection, run)
    except (ValueError, KeyError, TypeError, OverflowError, sqlite3.IntegrityError) as error:
        raise ImportRefused(f"line {reader.number}: {error}") from error
    _note_followers(connection)
    monitors = connection.execute("SELECT id FROM monitors").fetchall()
    for position, (monitor,) in enumerate(monitors):
        progress("counting", position, len(monitors))
        _count(connection, monitor)
    if has_begun(connection):
        old_news.drop(connection, last_seen(connection))


class Reader:
    """The lines between the header and the end, each with the fields of its kind; raises ValueError."""

    def __init__(self, lines: Iterable[bytes], progress: Progress) -> None:
        self._lines = iter(lines)
        self._progress = progress
        self._completions: Mapping[str, Completion] = {}
        self.number = 0

    def __iter__(self) -> Iterator[Line]:
        header = self._next()
        if header["kind"] != "header" or header["program"] != "kener-async":
            raise ValueError("is not an export of this program")
        if header["format"] not in (*OLDER, FORMAT):
            raise ValueError(f"is of format {header['format']}; this program knows up to {FORMAT}")
        self._completions = OLDER.get(header["format"], {})
        while (line := self._next())["kind"] not in ("header", "end"):
            yield line
        if line["kind"] == "header" or line["lines"] != self.number - 1:
            raise ValueError(f"should be the last of {line.get('lines', 0) + 1} lines")
        if next(self._lines, b"").strip():
            raise ValueError("is followed by another line, but ends the export")

    def _next(self) -> Line:
        self.number += 1
        text = next(self._lines, None)
        if text is None:
            raise ValueError("is missing: the export is cut short")
        line: Line = orjson.loads(text)
        if isinstance(line, dict) and line.get("kind") in tuple(self._completions):
            line = self._completions[line["kind"]](line)
        _check(line)
        self._progress("importing", self.number, 0)
        return line


def _check(line: Any) -> None:
    """Raise ValueError unless a line has the fields of its kind, with the right types."""
    kind = line.get("kind") if isinstance(line, dict) else None
    shape = SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise ValueError(f"is of an unknown kind: {kind!r}")
    _check_fields(line, shape, str(kind))
    _check_instants(line)


def _check_fields(fields: Line, shape: Mapping[str, tuple[type, ...]], kind: str) -> None:
    if fields.keys() != shape.keys():
        raise ValueError(
            f"has missing or unknown fields for a {kind}: {', '.join(fields.keys() ^ shape.keys())}"
        )
    for name, types in shape.items():
        if type(fields[name]) not in types:
            raise ValueError(f"{name}: has the invalid value {orjson.dumps(fields[name]).decode()[:80]}")


def _check_instants(fields: Line) -> None:
    for name in fields.keys() & INSTANTS:
        if fields[name] is not None and not is_showable(fields[name]):
            raise ValueError(f"{name}: must be UTC seconds from 0 to {LAST_INSTANT}, not {fields[name]}")


# Each kind, from a run of its lines


def _service(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        connection.execute(
            """
            INSERT INTO service
                   (id, last_seen, rolled_until, kept_from, identity, audit_from, audit_link, hot_from,
                    late_before)
            VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (
                line["last_seen"],
                line["rolled_until"],
                line["kept_from"],
                str(UUID(line["identity"])),
                line["audit_from"],
                _bytes(line["audit_link"]),
                *[hot_days_from(line["last_seen"])] * 2,
            ),
        )


def _bytes(digits: str | None) -> bytes | None:
    return None if digits is None else bytes.fromhex(digits)


def _monitors(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        monitor = connection.execute(
            "INSERT INTO monitors (tag, last_heard) VALUES (?, ?)", (line["tag"], line["last_heard"])
        ).lastrowid
        for version in line["history"]:
            body = settings_text(settings_from(json.dumps(version["settings"])))
            connection.execute(
                "INSERT INTO settings (monitor_id, since, body) VALUES (?, ?, ?)",
                (monitor, version["since"], body),
            )


def _note_followers(connection: sqlite3.Connection) -> None:
    """Note who follows whom, once all monitors are there."""
    for monitor, body in connection.execute("SELECT monitor_id, body FROM settings").fetchall():
        followers.note(connection, {monitor: settings_from(body)})


def _samples(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    """Store samples; those of days that are over are packed at once, where lines are in order of minutes."""
    if not has_begun(connection):
        raise ValueError("comes before the line of the service, by which samples are stored")
    ids: Mapping[str, int] = dict(connection.execute("SELECT tag, id FROM monitors"))
    samples.insert_many(connection, _once(_sample(ids, line) for line in lines))


def _sample(ids: Mapping[str, int], line: Line) -> Sample:
    minute, status = line["minute"], Status[line["status"]]
    if minute % MINUTE:
        raise ValueError(f"minute: must be the begin of a minute, not {minute}")
    if status not in MEASURED:
        raise ValueError(f"status: no sample is {status.name}")
    source = SampleSource[line["source"].upper()]
    return Sample(ids[line["monitor"]], minute, status, line["latency"], source)


def _once(found: Iterable[Sample]) -> Iterator[Sample]:
    """Raise ValueError for the second sample of a minute of a monitor; a day of it takes 200 bytes."""
    seen: dict[tuple[int, int], int] = {}
    for sample in found:
        day, place = sample.minute // DAY, 1 << sample.minute % DAY // MINUTE
        before = seen.get((sample.monitor, day), 0)
        if before & place:
            raise ValueError("minute: comes twice")
        seen[sample.monitor, day] = before | place
        yield sample


def _gaps(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    connection.executemany(
        'INSERT INTO gaps (start, "end", kind) VALUES (?, ?, ?)',
        ((line["start"], line["end"], GapKind[line["cause"].upper()]) for line in lines),
    )


def _incidents(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        fields = {name: value for name, value in line.items() if name not in ("kind", "updates")}
        read = {
            "tags": tuple(line["tags"]),
            "announce": tuple(line["announce"]),
            "impact": None if line["impact"] is None else Status[line["impact"]],
            "source": IncidentSource[line["source"].upper()],
            "impacts": {tag: Impact[impact] for tag, impact in line["impacts"].items()},
        }
        incident = Incident(**(fields | read))
        incidents.insert(connection, incident, [_update(update) for update in line["updates"]])
        stored = incidents.get(connection, incident.number)
        if stored.tags != incident.tags:
            raise ValueError("tags: names an unknown monitor")
        if stored.impacts != incident.impacts:
            raise ValueError("impacts: names a monitor that the incident does not name")


def _update(line: Line) -> Update:
    _check_fields(line, UPDATE_SHAPE, "update")
    _check_instants(line)
    read = {
        "state": None if line["state"] is None else IncidentState[line["state"].upper()],
        "impacts": {
            tag: None if impact is None else Impact[impact] for tag, impact in line["impacts"].items()
        },
    }
    return Update(**(line | read))


def _alerts(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    ids: Mapping[str, int] = dict(connection.execute("SELECT tag, id FROM monitors"))
    for line in lines:
        fields = {name: value for name, value in line.items() if name != "kind"}
        read = {
            "monitor": ids[line["monitor"]],
            "severity": Severity[line["severity"].upper()],
            "because": None if line["because"] is None else ids[line["because"]],
            "closing": None if line["closing"] is None else Closing[line["closing"].upper()],
        }
        alerts.insert(connection, Alert(**(fields | read)))


def _notices(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        kind, facts = NoticeKind[line["event"].upper()], Facts.of(line["facts"])
        notice = Notice(line["id"], kind, line["at"], line["alert"], line["incident"], facts)
        for delivery in line["deliveries"]:
            _check_fields(delivery, DELIVERY_SHAPE, "delivery")
            _check_instants(delivery)
        sent = [
            Delivery(**{**delivery, "notice": notice, "state": DeliveryState[delivery["state"].upper()]})
            for delivery in line["deliveries"]
        ]
        deliveries.insert(connection, notice, sent)
        if line["unique_key"] is not None:
            notices.insert_unique_key(connection, notice.id, line["unique_key"])


def _channels(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        fields = {name: value for name, value in line.items() if name != "kind"}
        channel_states.insert(connection, ChannelState(**fields))


def _check_faults(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    ids: Mapping[str, int] = dict(connection.execute("SELECT tag, id FROM monitors"))
    for line in lines:
        status = None if line["status"] is None else Status[line["status"]]
        phases = Phases(**line["phases"])
        if not set(map(type, phases)) <= {float, type(None)}:
            raise ValueError("phases: must be numbers of seconds")
        attempt = Attempt(line["at"], status, line["latency"], line["reason"], phases)
        if not check_faults.add(connection, ids[line["monitor"]], [attempt]):
            raise ValueError("is of an attempt that was UP, or comes twice")


def _certificates(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    ids: Mapping[str, int] = dict(connection.execute("SELECT tag, id FROM monitors"))
    for line in lines:
        fingerprint = bytes.fromhex(line["fingerprint"])
        seen = SeenCertificate(fingerprint, line["subject"], line["issuer"], line["ends"], line["fault"])
        stored = StoredCertificate(seen, line["position"], line["first_seen"], line["last_seen"])
        certificates.insert(connection, ids[line["monitor"]], stored)


def _tokens(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        fields = {name: value for name, value in line.items() if name != "kind"}
        tags = None if line["tags"] is None else tuple(line["tags"])
        read = {
            "scopes": tuple(line["scopes"]),
            "tags": tags,
            "digest": None if line["digest"] is None else bytes.fromhex(line["digest"]),
        }
        tokens.add(connection, tokens.Token(**(fields | read)))


def _devices(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        fields = {name: value for name, value in line.items() if name != "kind"}
        devices.insert(connection, devices.DeviceExport(**fields))


def _runs(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    ids: Mapping[str, int] = dict(connection.execute("SELECT tag, id FROM monitors"))
    connection.executemany(
        "INSERT INTO runs (monitor_id, run, started_at) VALUES (?, ?, ?)",
        ((ids[line["monitor"]], line["run"], line["started_at"]) for line in lines),
    )


def _starts(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    ids: Mapping[str, int] = dict(connection.execute("SELECT tag, id FROM monitors"))
    connection.executemany(
        "INSERT INTO starts (monitor_id, started_at) VALUES (?, ?)",
        ((ids[line["monitor"]], line["started_at"]) for line in lines),
    )


def _managed(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        fields = {name: value for name, value in line.items() if name not in ("kind", "table")}
        managed.insert(connection, managed.Managed(line["table"], **fields))


def _series_marks(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    connection.executemany(
        "INSERT INTO series_marks (series, schedule, made_to) VALUES (?, ?, ?)",
        ((line["series"], line["schedule"], line["made_to"]) for line in lines),
    )


def _audit(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    """Store the rows as they are; a chain that is broken stays so, which `verify` finds."""
    for line in lines:
        values = [value for name, value in line.items() if name not in ("kind", "link")]
        audit.insert(connection, (*values, _bytes(line["link"])))


def _people(connection: sqlite3.Connection, lines: Iterable[Line]) -> None:
    for line in lines:
        read = {
            "role": Role[line["role"].upper()],
            "categories": None if line["categories"] is None else json.dumps(line["categories"]),
            "code_key": _bytes(line["code_key"]),
        }
        connection.execute(
            """
            INSERT INTO people (id, name, email, role, categories, password, code_key, code_step, locale,
                                zone, made_at, last_seen, inactive_since)
            VALUES (:id, :name, :email, :role, :categories, :password, :code_key, :code_step, :locale,
                    :zone, :made_at, :last_seen, :inactive_since)
            """,
            {name: value for name, value in (line | read).items() if not isinstance(value, list)},
        )
        _insert_factors(connection, line)


def _insert_factors(connection: sqlite3.Connection, person: Line) -> None:
    """Store what a person signs in with."""
    for name, shape in (
        ("recovery_codes", RECOVERY_CODE_SHAPE),
        ("passkeys", PASSKEY_SHAPE),
        ("identities", IDENTITY_SHAPE),
    ):
        for inner in person[name]:
            _check_fields(inner, shape, name)
            _check_instants(inner)
    number = person["id"]
    connection.executemany(
        "INSERT INTO recovery_codes (digest, person, used_at) VALUES (?, ?, ?)",
        [(_bytes(code["digest"]), number, code["used_at"]) for code in person["recovery_codes"]],
    )
    connection.executemany(
        """
        INSERT INTO passkeys (id, person, data, counter, name, made_at, last_used)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        [
            (
                _bytes(key["id"]),
                number,
                _bytes(key["data"]),
                key["counter"],
                key["name"],
                key["made_at"],
                key["last_used"],
            )
            for key in person["passkeys"]
        ],
    )
    connection.executemany(
        "INSERT INTO identities (issuer, subject, person) VALUES (?, ?, ?)",
        [(each["issuer"], each["subject"], number) for each in person["identities"]],
    )


IMPORTERS: Mapping[str, Callable[[sqlite3.Connection, Iterable[Line]], None]] = {
    "service": _service,
    "monitor": _monitors,
    "sample": _samples,
    "gap": _gaps,
    "incident": _incidents,
    "alert": _alerts,
    "notice": _notices,
    "channel": _channels,
    "check_fault": _check_faults,
    "certificate": _certificates,
    "device": _devices,
    "run": _runs,
    "start": _starts,
    "token": _tokens,
    "managed": _managed,
    "series_mark": _series_marks,
    "audit": _audit,
    "person": _people,
}


def _count(connection: sqlite3.Connection, monitor: int) -> None:
    """Count all quarters of a monitor that the exporting server had counted or marked."""
    if not has_begun(connection):
        return
    start, end = kept_from(connection), dirty.rolled_until(connection)
    if start < end:
        dirty.mark(connection, [(monitor, start, end)])
    is_settled = False
    while not is_settled:
        _, is_settled = rollups.settle(connection, monitor, (start, end), end, QUARTERS_AT_ONCE)
