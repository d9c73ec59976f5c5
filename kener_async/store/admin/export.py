"""Export everything that is stored as JSON Lines; docs/operate.md describes the format.

Rollups and dirty marks are left out, because an import counts them again. So is the time of the last
integrity check, because the file of an import has not been checked.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import IO, Any

import orjson

from kener_async.domain.heartbeats import GapKind
from kener_async.domain.incident_updates import Impact, Update
from kener_async.domain.incidents import Incident
from kener_async.domain.notices import Delivery
from kener_async.domain.people import Role
from kener_async.domain.samples import SampleSource, Status
from kener_async.store import (
    alerts,
    audit,
    certificates,
    channel_states,
    check_faults,
    deliveries,
    devices,
    incident_lists,
    managed,
    notices,
    samples,
    tokens,
)
from kener_async.store.sqlite import files, migrations, upgrade
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import database_errors

FORMAT = 6
LINES_AT_ONCE = 1000

Line = dict[str, Any]

# Faster than asking each of a million samples for its names.
STATUS_NAMES = {status: status.name for status in Status}
SOURCE_NAMES = {source: source.name.lower() for source in SampleSource}

INTEGER, STRING, BOOLEAN, ARRAY, OBJECT = (int,), (str,), (bool,), (list,), (dict,)
OPTIONAL_INTEGER, OPTIONAL_STRING = (int, type(None)), (str, type(None))

# The fields of each kind of line, and the types they may have.
SHAPES: Mapping[str, Mapping[str, tuple[type, ...]]] = {
    "header": {"kind": STRING, "program": STRING, "format": INTEGER},
    "service": {
        "kind": STRING,
        "last_seen": INTEGER,
        "rolled_until": INTEGER,
        "kept_from": INTEGER,
        "identity": STRING,
        "audit_from": INTEGER,
        "audit_link": OPTIONAL_STRING,
    },
    "monitor": {"kind": STRING, "tag": STRING, "last_heard": OPTIONAL_INTEGER, "history": ARRAY},
    "sample": {
        "kind": STRING,
        "monitor": STRING,
        "minute": INTEGER,
        "status": STRING,
        "latency": (float,),
        "source": STRING,
    },
    "gap": {"kind": STRING, "start": INTEGER, "end": INTEGER, "cause": STRING},
    "incident": {
        "kind": STRING,
        "number": INTEGER,
        "title": STRING,
        "body": STRING,
        "tags": ARRAY,
        "start": INTEGER,
        "end": OPTIONAL_INTEGER,
        "impact": (str, type(None)),
        "is_maintenance": BOOLEAN,
        "is_identified": BOOLEAN,
        "is_resolved": BOOLEAN,
        "created_at": INTEGER,
        "resolved_at": OPTIONAL_INTEGER,
        "closed_at": OPTIONAL_INTEGER,
        "ended_by_resolving": BOOLEAN,
        "updated_at": INTEGER,
        "revision": INTEGER,
        "source": STRING,
        "covers": BOOLEAN,
        "is_draft": BOOLEAN,
        "is_monitoring": BOOLEAN,
        "touched_at": OPTIONAL_INTEGER,
        "impacts": OBJECT,
        "postmortem": STRING,
        "postmortem_at": OPTIONAL_INTEGER,
        "series": OPTIONAL_STRING,
        "occurrence": OPTIONAL_STRING,
        "is_changed": BOOLEAN,
        "announce": ARRAY,
        "updates": ARRAY,
    },
    "alert": {
        "kind": STRING,
        "id": INTEGER,
        "monitor": STRING,
        "rule": STRING,
        "severity": STRING,
        "since": INTEGER,
        "opened_at": INTEGER,
        "told_at": OPTIONAL_INTEGER,
        "reminders": INTEGER,
        "reminded_at": OPTIONAL_INTEGER,
        "because": OPTIONAL_STRING,
        "is_flapping": BOOLEAN,
        "settled_at": OPTIONAL_INTEGER,
        "acknowledged_at": OPTIONAL_INTEGER,
        "acknowledged_by": STRING,
        "acknowledged_from": STRING,
        "snoozed_until": OPTIONAL_INTEGER,
        "incident": OPTIONAL_INTEGER,
        "until": OPTIONAL_INTEGER,
        "closed_at": OPTIONAL_INTEGER,
        "closing": OPTIONAL_STRING,
    },
    "notice": {
        "kind": STRING,
        "id": INTEGER,
        "event": STRING,
        "at": INTEGER,
        "alert": OPTIONAL_INTEGER,
        "incident": OPTIONAL_INTEGER,
        "facts": (dict,),
        "unique_key": OPTIONAL_STRING,
        "deliveries": ARRAY,
    },
    "channel": {
        "kind": STRING,
        "channel": STRING,
        "failures": INTEGER,
        "paused_at": OPTIONAL_INTEGER,
        "last_sent": OPTIONAL_INTEGER,
        "last_fault": STRING,
    },
    "check_fault": {
        "kind": STRING,
        "monitor": STRING,
        "at": (float,),
        "status": OPTIONAL_STRING,
        "latency": (float,),
        "reason": STRING,
        "phases": (dict,),
    },
    "certificate": {
        "kind": STRING,
        "monitor": STRING,
        "fingerprint": STRING,
        "position": INTEGER,
        "subject": STRING,
        "issuer": STRING,
        "ends": INTEGER,
        "fault": STRING,
        "first_seen": INTEGER,
        "last_seen": INTEGER,
    },
    "device": {
        "kind": STRING,
        "sender": STRING,
        "name": STRING,
        "last_heard": INTEGER,
        "newest": INTEGER,
        "clock_offset": OPTIONAL_INTEGER,
        "floor": INTEGER,
        "lost": INTEGER,
        "restarts": INTEGER,
        "monitors": ARRAY,
        "heard": ARRAY,
        "claims": ARRAY,
        "boots": (dict,),
        "clock_offsets": ARRAY,
        "recent": ARRAY,
    },
    "run": {"kind": STRING, "monitor": STRING, "run": STRING, "started_at": (float,)},
    "start": {"kind": STRING, "monitor": STRING, "started_at": (int,)},
    "token": {
        "kind": STRING,
        "id": STRING,
        "name": STRING,
        "scopes": ARRAY,
        "tags": (list, type(None)),
        "created_at": INTEGER,
        "expires_at": OPTIONAL_INTEGER,
        "last_used": OPTIONAL_INTEGER,
        "revoked_at": OPTIONAL_INTEGER,
        "digest": (str, type(None)),
        "sender": (str, type(None)),
    },
    "managed": {
        "kind": STRING,
        "table": STRING,
        "name": STRING,
        "body": (dict,),
        "revision": INTEGER,
        "changed_at": INTEGER,
        "changed_by": STRING,
    },
    "series_mark": {"kind": STRING, "series": STRING, "schedule": STRING, "made_to": INTEGER},
    "audit": {
        "kind": STRING,
        "id": INTEGER,
        "at": INTEGER,
        "actor": STRING,
        "network": STRING,
        "act": STRING,
        "thing": STRING,
        "before": OPTIONAL_STRING,
        "after": OPTIONAL_STRING,
        "link": STRING,
    },
    "person": {
        "kind": STRING,
        "id": INTEGER,
        "name": STRING,
        "email": STRING,
        "role": STRING,
        "categories": (list, type(None)),
        "password": OPTIONAL_STRING,
        "code_key": OPTIONAL_STRING,
        "code_step": INTEGER,
        "locale": STRING,
        "zone": STRING,
        "made_at": INTEGER,
        "last_seen": OPTIONAL_INTEGER,
        "inactive_since": OPTIONAL_INTEGER,
        "recovery_codes": ARRAY,
        "passkeys": ARRAY,
        "identities": ARRAY,
    },
    "end": {"kind": STRING, "lines": INTEGER},
}
# Those of each of the deliveries of a notice.
DELIVERY_SHAPE: Mapping[str, tuple[type, ...]] = {
    "id": INTEGER,
    "channel": STRING,
    "state": STRING,
    "attempts": INTEGER,
    "due_at": (float,),
    "merged_into": OPTIONAL_INTEGER,
    "answer": STRING,
    "reference": STRING,
    "done_at": OPTIONAL_INTEGER,
}
# Those of what a person signs in with.
RECOVERY_CODE_SHAPE: Mapping[str, tuple[type, ...]] = {"digest": STRING, "used_at": OPTIONAL_INTEGER}
PASSKEY_SHAPE: Mapping[str, tuple[type, ...]] = {
    "id": STRING,
    "data": STRING,
    "counter": INTEGER,
    "name": STRING,
    "made_at": INTEGER,
    "last_used": OPTIONAL_INTEGER,
}
IDENTITY_SHAPE: Mapping[str, tuple[type, ...]] = {"issuer": STRING, "subject": STRING}

UPDATE_SHAPE: Mapping[str, tuple[type, ...]] = {
    "id": INTEGER,
    "body": STRING,
    "created_at": INTEGER,
    "at": INTEGER,
    "state": OPTIONAL_STRING,
    "impacts": OBJECT,
    "author": STRING,
    "edited_at": OPTIONAL_INTEGER,
}


# The fields of any kind that are instants; every time zone must be able to show them.
INSTANTS = frozenset(
    {
        "minute", "start", "end", "created_at", "updated_at", "resolved_at", "closed_at", "last_heard",
        "last_seen", "newest", "expires_at", "last_used", "revoked_at", "touched_at", "since", "opened_at",
        "told_at", "reminded_at", "settled_at", "acknowledged_at", "snoozed_until", "until", "at", "due_at",
        "done_at", "postmortem_at", "edited_at", "paused_at", "last_sent", "ends", "first_seen", "made_at",
        "inactive_since", "changed_at", "used_at", "made_to",
    }
)  # fmt: skip


def write(database: Path, out: IO[bytes], *, with_people: bool = False) -> None:
    """Export a database, also beside a server; raises DatabaseFileError, and OSError of `out`.

    `with_people`: also people and what they sign in with, for which the file must then be kept as secret.
    Sessions, sign-ins under way and invitations are never in it.
    """
    with database_errors(database), closing(connect(database, read_only=True)) as connection:
        if migrations.lacking(connection):
            raise ValueError(upgrade.OLDER_SCHEMA)
        out.writelines(_chunks(connection, with_people=with_people))


def save(database: Path, target: Path, *, with_people: bool = False) -> None:
    """Export a database to a file, which is complete and on disk, or not there; raises DatabaseFileError."""
    with database_errors(database), files.workspace(target.parent) as work:
        draft = work / "export"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            write(database, out, with_people=with_people)
        files.replace(draft, target)


def _chunks(connection: sqlite3.Connection, *, with_people: bool) -> Iterator[bytes]:
    """The lines of an export, many at a time, from one snapshot; the last one counts those before it.

    While the snapshot is held, a server's write-ahead log can only grow.
    """
    connection.execute("BEGIN")
    try:
        count, waiting = 0, []
        for line in chain(_lines(connection), _people(connection) if with_people else ()):
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
    for start, end, kind in connection.execute('SELECT start, "end", kind FROM gaps ORDER BY id'):
        yield {"kind": "gap", "start": start, "end": end, "cause": GapKind(kind).name.lower()}
    for thread in incident_lists.all_threads(connection):
        yield _incident(*thread)
    yield from _alerts(connection)
    yield from _notices(connection)
    for state in channel_states.all_states(connection).values():
        yield {"kind": "channel", **asdict(state)}
    yield from _check_faults(connection)
    yield from _certificates(connection)
    yield from _devices(connection)
    yield from _runs(connection)
    yield from _starts(connection)
    for token in tokens.all_tokens(connection).values():
        yield {"kind": "token", **asdict(token), "digest": token.digest and token.digest.hex()}
    yield from _managed(connection)
    for series, schedule, made_to in connection.execute(
        "SELECT series, schedule, made_to FROM series_marks ORDER BY series"
    ):
        yield {"kind": "series_mark", "series": series, "schedule": schedule, "made_to": made_to}
    yield from _audit(connection)


def _service(connection: sqlite3.Connection) -> Iterator[Line]:
    """Yield nothing if no server has run on the database yet."""
    rows = connection.execute(
        "SELECT last_seen, rolled_until, kept_from, identity, audit_from, audit_link FROM service"
    )
    for last_seen, rolled_until, kept_from, identity, audit_from, audit_link in rows:
        yield {
            "kind": "service",
            "last_seen": last_seen,
            "rolled_until": rolled_until,
            "kept_from": kept_from,
            "identity": identity,
            "audit_from": audit_from,
            "audit_link": audit_link and audit_link.hex(),
        }


def _monitors(connection: sqlite3.Connection) -> Iterator[Line]:
    rows = connection.execute("SELECT id, tag, last_heard FROM monitors ORDER BY id").fetchall()
    for monitor, tag, last_heard in rows:
        versions = connection.execute(
            "SELECT since, body FROM settings WHERE monitor_id = ? ORDER BY since", (monitor,)
        )
        history = [{"since": since, "settings": json.loads(body)} for since, body in versions]
        yield {"kind": "monitor", "tag": tag, "last_heard": last_heard, "history": history}


def _samples(connection: sqlite3.Connection) -> Iterator[Line]:
    for monitor, tag in connection.execute("SELECT id, tag FROM monitors ORDER BY id").fetchall():
        for sample in samples.every(connection, monitor):
            yield {
                "kind": "sample",
                "monitor": tag,
                "minute": sample.minute,
                "status": STATUS_NAMES[sample.status],
                "latency": sample.latency,
                "source": SOURCE_NAMES[sample.source],
            }


def _alerts(connection: sqlite3.Connection) -> Iterator[Line]:
    tags = dict(connection.execute("SELECT id, tag FROM monitors"))
    for alert in alerts.all_alerts(connection):
        yield {
            "kind": "alert",
            **asdict(alert),
            "monitor": tags[alert.monitor],
            "severity": alert.severity.name.lower(),
            "because": None if alert.because is None else tags[alert.because],
            "closing": None if alert.closing is None else alert.closing.name.lower(),
        }


def _notices(connection: sqlite3.Connection) -> Iterator[Line]:
    """Each with its deliveries."""
    keys = notices.unique_keys(connection)
    for notice, sent in deliveries.all_notices(connection):
        yield {
            "kind": "notice",
            "id": notice.id,
            "event": notice.kind.name.lower(),
            "at": notice.at,
            "alert": notice.alert,
            "incident": notice.incident,
            "facts": notice.facts.body(),
            "unique_key": keys.get(notice.id),
            "deliveries": [_delivery(delivery) for delivery in sent],
        }


def _delivery(delivery: Delivery) -> Line:
    fields = {name: getattr(delivery, name) for name in DELIVERY_SHAPE}
    return {**fields, "state": delivery.state.name.lower()}


def _check_faults(connection: sqlite3.Connection) -> Iterator[Line]:
    tags = dict(connection.execute("SELECT id, tag FROM monitors"))
    for monitor, attempt in check_faults.all_faults(connection):
        yield {
            "kind": "check_fault",
            "monitor": tags[monitor],
            "at": attempt.at,
            "status": None if attempt.status is None else attempt.status.name,
            "latency": attempt.seconds,
            "reason": attempt.reason,
            "phases": {name: value for name, value in attempt.phases._asdict().items() if value is not None},
        }


def _certificates(connection: sqlite3.Connection) -> Iterator[Line]:
    tags = dict(connection.execute("SELECT id, tag FROM monitors"))
    for monitor, certificates_of_it in certificates.all_certificates(connection).items():
        for certificate in certificates_of_it:
            yield {
                "kind": "certificate",
                "monitor": tags[monitor],
                "fingerprint": certificate.seen.fingerprint.hex(),
                "position": certificate.position,
                "subject": certificate.seen.subject,
                "issuer": certificate.seen.issuer,
                "ends": certificate.seen.ends,
                "fault": certificate.seen.fault,
                "first_seen": certificate.first_seen,
                "last_seen": certificate.last_seen,
            }


def _devices(connection: sqlite3.Connection) -> Iterator[Line]:
    """Each with the monitors it reports, the spans of numbers heard, its claims to minutes, and its boots."""
    for device in devices.ids(connection):
        yield {"kind": "device", **asdict(devices.export(connection, device))}


def _runs(connection: sqlite3.Connection) -> Iterator[Line]:
    rows = connection.execute(
        "SELECT tag, run, started_at FROM runs JOIN monitors ON id = monitor_id ORDER BY monitor_id, run"
    )
    for tag, run, started_at in rows:
        yield {"kind": "run", "monitor": tag, "run": run, "started_at": started_at}


def _starts(connection: sqlite3.Connection) -> Iterator[Line]:
    rows = connection.execute(
        "SELECT tag, started_at FROM starts JOIN monitors ON id = monitor_id ORDER BY monitor_id, started_at"
    )
    for tag, started_at in rows:
        yield {"kind": "start", "monitor": tag, "started_at": started_at}


def _incident(incident: Incident, updates: Sequence[Update]) -> Line:
    return {
        "kind": "incident",
        **asdict(incident),
        "impact": None if incident.impact is None else incident.impact.name,
        "source": incident.source.name.lower(),
        "impacts": _impacts(incident.impacts),
        "updates": [_update(update) for update in updates],
    }


def _update(update: Update) -> Line:
    return {
        **asdict(update),
        "state": None if update.state is None else update.state.name.lower(),
        "impacts": _impacts(update.impacts),
    }


def _impacts(impacts: Mapping[str, Impact | None]) -> Line:
    return {tag: None if impact is None else impact.name for tag, impact in impacts.items()}


def _managed(connection: sqlite3.Connection) -> Iterator[Line]:
    """Series, templates and announcements that were made beside config.toml."""
    for each in managed.everything(connection):
        fields = {name: value for name, value in asdict(each).items() if name != "kind"}
        yield {"kind": "managed", "table": each.kind, **fields}


def _audit(connection: sqlite3.Connection) -> Iterator[Line]:
    """Each row as it is stored, `before` and `after` as texts, because its link is the hash of them."""
    for number, at, actor, network, act, thing, before, after, link in audit.all_rows(connection):
        yield {
            "kind": "audit",
            "id": number,
            "at": at,
            "actor": actor,
            "network": network,
            "act": act,
            "thing": thing,
            "before": before,
            "after": after,
            "link": link.hex(),
        }


def _people(connection: sqlite3.Connection) -> Iterator[Line]:
    """Each person with what they sign in with; bytes are in hexadecimal digits."""
    codes, passkeys, identities = _of_people(connection)
    rows = connection.execute(
        """
        SELECT id, name, email, role, categories, password, code_key, code_step, locale, zone, made_at,
               last_seen, inactive_since
          FROM people ORDER BY id
        """
    )
    for number, name, email, role, categories, password, code_key, *rest in rows:
        code_step, locale, zone, made_at, last_seen, inactive_since = rest
        yield {
            "kind": "person",
            "id": number,
            "name": name,
            "email": email,
            "role": Role(role).name.lower(),
            "categories": None if categories is None else json.loads(categories),
            "password": password,
            "code_key": code_key and code_key.hex(),
            "code_step": code_step,
            "locale": locale,
            "zone": zone,
            "made_at": made_at,
            "last_seen": last_seen,
            "inactive_since": inactive_since,
            "recovery_codes": codes.get(number, []),
            "passkeys": passkeys.get(number, []),
            "identities": identities.get(number, []),
        }


Owned = dict[int, list[Line]]  # by person


def _of_people(connection: sqlite3.Connection) -> tuple[Owned, Owned, Owned]:
    """The recovery codes, passkeys and identities of each person."""
    codes: Owned = {}
    for person, digest, used_at in connection.execute(
        "SELECT person, digest, used_at FROM recovery_codes ORDER BY digest"
    ):
        codes.setdefault(person, []).append({"digest": digest.hex(), "used_at": used_at})
    passkeys: Owned = {}
    for person, key, data, counter, name, made_at, last_used in connection.execute(
        "SELECT person, id, data, counter, name, made_at, last_used FROM passkeys ORDER BY made_at, id"
    ):
        passkeys.setdefault(person, []).append(
            {
                "id": key.hex(),
                "data": data.hex(),
                "counter": counter,
                "name": name,
                "made_at": made_at,
                "last_used": last_used,
            }
        )
    identities: Owned = {}
    for person, issuer, subject in connection.execute(
        "SELECT person, issuer, subject FROM identities ORDER BY issuer, subject"
    ):
        identities.setdefault(person, []).append({"issuer": issuer, "subject": subject})
    return codes, passkeys, identities
