"""Exports: all stored data, identical after an import, and no secrets."""

import asyncio
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kener_async.clock import Cron
from kener_async.domain.alerts import Alert, Closing, Severity
from kener_async.domain.checks import Attempt, Phases, SeenCertificate
from kener_async.domain.heartbeats import (
    AtSchedule,
    EveryInterval,
    Gap,
    GapKind,
    MonitorSettings,
    OnChange,
)
from kener_async.domain.incident_updates import Impact, IncidentState, Update
from kener_async.domain.incidents import Incident, IncidentSource
from kener_async.domain.notices import DeliveryState, Facts, NoticeKind
from kener_async.domain.people import Actor, ActorKind
from kener_async.domain.samples import MAX_LATENCY, Sample, SampleSource, Status
from kener_async.store import (
    alerts,
    audit,
    certificates,
    channel_states,
    check_faults,
    deliveries,
    dirty,
    incident_updates,
    incidents,
    monitors,
    notices,
    observer,
    rollups,
    runs,
    samples,
    tokens,
)
from kener_async.store.admin import export, import_
from kener_async.store.admin.import_ import ImportRefused
from kener_async.store.admin.verify import verify
from kener_async.store.sqlite import transactions
from kener_async.store.sqlite.connections import connect, transaction
from kener_async.store.sqlite.upgrade import prepare
from kener_async.store.tokens import Token
from tests.rigs.database import contents, fill
from tests.rigs.process import Server
from tests.rigs.service import NOON, FakeClock
from tests.rigs.stored_samples import samples_in

DAY = 86400
NEVER_EXPORTED = {"sessions", "challenges", "invitations", "tries", "submissions"}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled database that nobody changes."""
    return asyncio.run(fill(tmp_path_factory.mktemp("original"), FakeClock()))


def exported(database: Path, *, with_people: bool = True) -> bytes:
    out = BytesIO()
    export.write(database, out, with_people=with_people)
    return out.getvalue()


def stored(database: Path) -> dict[str, list[Any]]:
    """All rows, without dirty marks, which an import does not set on the quarter that has not ended.

    Samples are compared as they are read, because an import may seal days that the other file has not.

    Nor does it copy when the file passed its last integrity check, which says nothing about the new file, and
    what is never exported: sessions, sign-ins, invitations, tries, submitted forms.
    """
    rows = contents(database) | {"samples": samples_in(database), "late_samples": [], "sealed": []}
    never: dict[str, list[Any]] = {table: [] for table in NEVER_EXPORTED}
    return (
        rows | never | {"dirty": [], "days": [], "service": [row[:4] + row[5:8] for row in rows["service"]]}
    )


def unaudited(database: Path) -> dict[str, list[Any]]:
    """The same without the audit log, to which a command adds a row that says what it did."""
    return stored(database) | {"audit": [], "sqlite_sequence": []}


def imported(text: bytes, database: Path) -> Path:
    import_.load(text.splitlines(keepends=True), database)
    return database


def records(text: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# Everything, and nothing but


def test_an_import_of_an_export_is_exported_the_same_and_counted_the_same(original: Path, tmp_path: Path):
    text = exported(original)
    again = imported(text, tmp_path / "kener.db")
    assert exported(again) == text
    assert stored(again) == stored(original)


def test_every_table_that_is_not_counted_from_others_is_exported(original: Path):
    """A new table fails here until it is exported, or is named as one that is counted."""
    counted = {"quarters", "dirty", "followers", "days", "sqlite_sequence", *NEVER_EXPORTED}
    tables = contents(original)
    assert all(tables[table] for table in ("samples", "late_samples", "sealed"))
    tables["samples"] = samples_in(original)
    exported_as = {
        "service": ["service"],
        "monitor": ["monitors", "settings"],
        "sample": ["samples", "late_samples", "sealed"],
        "gap": ["gaps"],
        "incident": ["incidents", "incident_monitors", "updates"],
        "alert": ["alerts"],
        "notice": ["notices", "deliveries"],
        "channel": ["channel_states"],
        "check_fault": ["check_faults"],
        "certificate": ["certificates"],
        "device": ["devices", "device_monitors", "heard", "claims", "boots", "clock_offsets"],
        "run": ["runs"],
        "start": ["starts"],
        "token": ["tokens"],
        "managed": ["managed"],
        "series_mark": ["series_marks"],
        "audit": ["audit"],
        "person": ["people", "recovery_codes", "passkeys", "identities"],
    }
    assert tables.keys() - counted == {table for names in exported_as.values() for table in names}
    lines = records(exported(original))
    for kind, (table, *_) in exported_as.items():
        assert len([line for line in lines if line["kind"] == kind]) == len(tables[table]) > 0


def test_people_are_exported_only_when_asked_for_and_sessions_never(original: Path, tmp_path: Path):
    plain = exported(original, with_people=False)
    assert "person" not in {line["kind"] for line in records(plain)}
    rows = contents(original)
    secrets = {
        table: [value for row in rows[table] for value in row if isinstance(value, bytes)]
        for table in ("people", "passkeys", "recovery_codes", "sessions", "challenges", "invitations")
    }
    assert all(secrets.values())
    for values in secrets.values():
        for value in values:
            assert value.hex().encode() not in plain
    assert b"argon2" not in plain
    with_people = exported(original)
    for table in ("sessions", "challenges", "invitations"):
        for value in secrets[table]:
            assert value.hex().encode() not in with_people
    again = imported(plain, tmp_path / "kener.db")
    assert contents(again)["people"] == []
    assert exported(again, with_people=False) == plain


def test_the_chain_of_the_audit_log_is_whole_after_an_import(original: Path, tmp_path: Path):
    text = exported(original)
    again = imported(text, tmp_path / "kener.db")
    assert list(verify(again, tmp_path)) == []
    assert transactions.read(again, audit.end_of) == transactions.read(original, audit.end_of)
    edited = text.replace(b'"thing":"person grace"', b'"thing":"person linus"', 1)
    assert edited != text
    broken = imported(edited, tmp_path / "broken.db")
    (fault,) = verify(broken, tmp_path)
    assert fault.startswith("audit: row ")
    assert fault.endswith("was changed, or one before it: its link does not fit")


def test_an_import_that_a_person_runs_is_a_row_of_the_audit_log(original: Path, tmp_path: Path):
    operator = Actor(ActorKind.COMMAND, "root")
    lines = exported(original).splitlines(keepends=True)
    database = tmp_path / "kener.db"
    count, _ = import_.replace(lines, database, NOON, force=False, actor=operator)
    newest, *_ = transactions.read(database, audit.search, audit.AuditSearch())
    assert (newest.act, newest.actor, newest.after) == ("database.import", "command:root", {"lines": count})
    assert list(verify(database, tmp_path)) == []


def test_a_token_is_exported_as_its_record_which_opens_nothing(original: Path):
    (revoked,) = [line for line in records(exported(original)) if line.get("id") == "revoked"]
    assert revoked.keys() == {
        "kind", "id", "name", "scopes", "tags", "created_at", "expires_at", "last_used", "revoked_at",
        "digest", "sender",
    }  # fmt: skip
    assert revoked["tags"] == ["site-7-*"]
    assert revoked["revoked_at"] is not None


def test_the_lines_are_what_the_documentation_says(original: Path):
    page = (Path(__file__).parent.parent / "docs/operate.md").read_text()
    shown = [json.loads(line) for line in page.splitlines() if line.startswith('    {"kind": ')]
    assert [line["kind"] for line in shown] == list(export.SHAPES)
    for line in shown:
        import_._check(line)
    first = {line["kind"]: line for line in reversed(records(exported(original)))}
    for line in shown:
        assert list(line) == list(first[line["kind"]])


def test_a_database_on_which_no_server_ever_ran_is_exported_and_read_back(tmp_path: Path):
    prepare(tmp_path / "one.db")
    text = exported(tmp_path / "one.db")
    assert [line["kind"] for line in records(text)] == ["header", "end"]
    assert exported(imported(text, tmp_path / "other.db")) == text


FORMAT_1 = b"""\
{"kind": "header", "program": "kener-async", "format": 1}
{"kind": "service", "last_seen": 1767183300, "rolled_until": 1767182400, "kept_from": 1743062400}
{"kind": "monitor", "tag": "earth", "history": []}
{"kind": "sample", "monitor": "earth", "minute": 1767182400, "status": "UP", "latency": 0.5, "source": "push"}
{"kind": "token", "id": "50bc", "name": "door", "scopes": ["status:write"], "tags": null, \
"created_at": 1767182400, "expires_at": null, "last_used": null, "revoked_at": null}
{"kind": "end", "lines": 5}
"""


def test_an_export_of_the_format_before_is_read_too(tmp_path: Path):
    again = records(exported(imported(FORMAT_1, tmp_path / "kener.db")))
    (monitor,) = [line for line in again if line["kind"] == "monitor"]
    (token,) = [line for line in again if line["kind"] == "token"]
    assert (again[0]["format"], monitor["last_heard"]) == (6, None)
    assert (token["name"], token["digest"]) == ("door", None)


FORMAT_2 = b"""\
{"kind": "header", "program": "kener-async", "format": 2}
{"kind": "service", "last_seen": 1767183300, "rolled_until": 1767182400, "kept_from": 1743062400}
{"kind": "monitor", "tag": "earth", "last_heard": null, "history": []}
{"kind": "incident", "number": 1, "title": "Storm", "body": "", "tags": ["earth"], "start": 1767182400, \
"end": 1767182700, "impact": "DOWN", "is_maintenance": false, "is_identified": true, "is_resolved": true, \
"created_at": 1767182400, "resolved_at": 1767182700, "closed_at": 1767182700, "ended_by_resolving": true, \
"comments": [{"id": 1, "body": "over", "created_at": 1767182760}]}
{"kind": "end", "lines": 4}
"""


def test_an_incident_of_an_older_export_was_last_edited_when_it_was_last_heard_of(tmp_path: Path):
    again = records(exported(imported(FORMAT_2, tmp_path / "kener.db")))
    (incident,) = [line for line in again if line["kind"] == "incident"]
    assert (incident["updated_at"], incident["revision"]) == (1767182760, 0)


def test_an_incident_of_an_older_export_that_lasts_for_ever_lasts_as_long_as_dates_do(tmp_path: Path):
    text = FORMAT_2.replace(b'"end": 1767182700', b'"end": 253402300799')
    again = records(exported(imported(text, tmp_path / "kener.db")))
    (incident,) = [line for line in again if line["kind"] == "incident"]
    assert (incident["start"], incident["end"]) == (1767182400, 253402127999)


def test_a_database_keeps_its_identity_through_an_export_and_an_older_one_gets_one(tmp_path: Path):
    first = records(exported(imported(FORMAT_2, tmp_path / "one.db")))[1]["identity"]
    other = records(exported(imported(FORMAT_2, tmp_path / "other.db")))[1]["identity"]
    again = exported(imported(exported(tmp_path / "one.db"), tmp_path / "again.db"))
    assert records(again)[1]["identity"] == first == str(UUID(first)) != other


FORMAT_3 = b"""\
{"kind": "header", "program": "kener-async", "format": 3}
{"kind": "service", "last_seen": 1767183300, "rolled_until": 1767182400, "kept_from": 1743062400, \
"identity": "5f6a1c0e-3c55-4b1e-8a0d-5b6f0c0e9d21"}
{"kind": "monitor", "tag": "earth", "last_heard": null, "history": []}
{"kind": "incident", "number": 1, "title": "Storm", "body": "", "tags": ["earth"], "start": 1767182400, \
"end": null, "impact": "DOWN", "is_maintenance": false, "is_identified": true, "is_resolved": false, \
"created_at": 1767182400, "resolved_at": null, "closed_at": null, "ended_by_resolving": false, \
"updated_at": 1767182460, "revision": 1, "comments": []}
{"kind": "end", "lines": 4}
"""


def test_an_incident_of_an_export_from_before_alerts_covers_its_minutes(tmp_path: Path):
    again = records(exported(imported(FORMAT_3, tmp_path / "kener.db")))
    (incident,) = [line for line in again if line["kind"] == "incident"]
    assert (incident["source"], incident["covers"], incident["is_draft"]) == ("api", True, False)
    assert (incident["updated_at"], incident["touched_at"]) == (1767182460, None)


FORMAT_4 = b"""\
{"kind": "header", "program": "kener-async", "format": 4}
{"kind": "gap", "start": 1767182400, "end": 1767186000}
{"kind": "end", "lines": 2}
"""


def test_in_a_gap_of_an_export_from_before_checks_the_server_did_not_run(tmp_path: Path):
    (_, gap, _) = records(exported(imported(FORMAT_4, tmp_path / "kener.db")))
    assert gap["cause"] == "not_running"


@pytest.mark.parametrize("wrong", [{"format": 0}, {"format": "1"}, {"format": 5}])
def test_what_an_older_format_lacks_is_not_made_up_for_another(tmp_path: Path, wrong: dict[str, Any]):
    lines = records(FORMAT_1)
    lines[0] |= wrong
    with pytest.raises(ImportRefused):
        import_.load([json.dumps(line).encode() for line in lines], tmp_path / "kener.db")


# Any database

TAGS = ("earth", "mars", "phobos")
INSTANTS = st.integers(NOON - DAY, NOON + DAY)
MAYBE = st.none() | INSTANTS
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
EXPECTATIONS = st.sampled_from(
    [
        None,
        EveryInterval(60, 30, 600),
        AtSchedule(Cron("*/20 * * * *", "Europe/Berlin"), 60, 900, 60),
        OnChange(5400),
    ]
)
SETTINGS = st.builds(
    MonitorSettings,
    default_status=st.sampled_from([None, Status.UP, Status.DOWN]),
    include_degraded_in_downtime=st.booleans(),
    expectation=EXPECTATIONS,
    stale_after=st.integers(1, DAY),
)
SAMPLES = st.builds(
    Sample,
    monitor=st.integers(1, len(TAGS)),
    minute=INSTANTS.map(lambda instant: instant - instant % 60),
    status=st.sampled_from([Status.UP, Status.DEGRADED, Status.DOWN]),
    latency=st.floats(0, MAX_LATENCY) | st.integers(0, 10**6).map(lambda n: n / 1e4),
    source=st.sampled_from(SampleSource),
)
UPDATES = st.builds(
    Update,
    id=st.just(0),
    body=TEXT,
    created_at=INSTANTS,
    at=INSTANTS,
    state=st.none() | st.sampled_from(IncidentState),
    impacts=st.dictionaries(st.sampled_from(TAGS), st.none() | st.sampled_from(Impact)),
    author=TEXT,
    edited_at=MAYBE,
)
INCIDENTS = st.builds(
    Incident,
    number=st.integers(1, 50),
    title=TEXT,
    body=TEXT,
    tags=st.lists(st.sampled_from(TAGS), unique=True).map(tuple),
    start=INSTANTS,
    end=MAYBE,
    impact=st.sampled_from([None, Status.DEGRADED, Status.DOWN]),
    is_maintenance=st.booleans(),
    is_identified=st.booleans(),
    is_resolved=st.booleans(),
    created_at=INSTANTS,
    resolved_at=MAYBE,
    closed_at=MAYBE,
    ended_by_resolving=st.booleans(),
    updated_at=INSTANTS,
    revision=st.integers(0, 9),
    source=st.sampled_from(IncidentSource),
    covers=st.booleans(),
    is_draft=st.booleans(),
    is_monitoring=st.booleans(),
    touched_at=MAYBE,
    postmortem=TEXT,
    postmortem_at=MAYBE,
)
ENDS = st.one_of(
    st.just({"until": None, "closed_at": None, "closing": None}),
    st.fixed_dictionaries({"until": MAYBE, "closed_at": INSTANTS, "closing": st.sampled_from(Closing)}),
)
ALERTS = st.builds(
    lambda alert, end: replace(alert, **end),
    st.builds(
        Alert,
        id=st.just(0),
        monitor=st.integers(1, len(TAGS)),
        rule=TEXT,
        severity=st.sampled_from(Severity),
        since=INSTANTS,
        opened_at=INSTANTS,
        told_at=MAYBE,
        reminders=st.integers(0, 20),
        reminded_at=MAYBE,
        because=st.none() | st.integers(1, len(TAGS)),
        is_flapping=st.booleans(),
        settled_at=MAYBE,
        acknowledged_at=MAYBE,
        acknowledged_by=TEXT,
        acknowledged_from=TEXT,
        snoozed_until=MAYBE,
        incident=st.none() | st.integers(1, 50),
    ),
    ENDS,
)
FACTS = st.builds(
    Facts,
    monitor=TEXT,
    severity=st.sampled_from(Severity),
    before=st.none() | st.sampled_from(Status),
    status=st.none() | st.sampled_from(Status),
    since=MAYBE,
    until=MAYBE,
    reason=TEXT,
    latency=st.none() | st.floats(0, MAX_LATENCY),
    bad_now=st.integers(0, 9),
)
DONE = st.sampled_from(
    [DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.MERGED, DeliveryState.DROPPED]
)
NOTICES = st.tuples(
    st.sampled_from(NoticeKind),
    INSTANTS,
    FACTS,
    st.tuples(st.lists(TEXT, max_size=2), INSTANTS.map(lambda at: at + 0.5), DONE, TEXT),
)
TOKENS = st.builds(
    Token,
    id=st.text("abc123", min_size=1, max_size=8),
    name=TEXT,
    scopes=st.sampled_from([(), ("status:write",), ("status:read", "admin")]),
    tags=st.sampled_from([None, (), ("site-7-*", "mars")]),
    created_at=INSTANTS,
    expires_at=MAYBE,
    last_used=MAYBE,
    revoked_at=MAYBE,
    digest=st.none() | st.binary(min_size=32, max_size=32),
)
SECONDS = st.floats(0, 3600)
ATTEMPTS = st.builds(
    Attempt,
    at=INSTANTS.map(lambda at: at + 0.25),
    status=st.sampled_from([None, Status.UP, Status.DEGRADED, Status.DOWN]),
    seconds=SECONDS,
    reason=TEXT,
    phases=st.builds(Phases, *[st.none() | SECONDS] * 4),
)
CERTIFICATES = st.builds(
    SeenCertificate,
    fingerprint=st.binary(min_size=32, max_size=32),
    subject=TEXT,
    issuer=TEXT,
    ends=INSTANTS,
    fault=TEXT,
)
RUNS = st.tuples(st.integers(1, len(TAGS)), st.sampled_from(["", "a", "b"]), st.floats(NOON - 900, NOON))


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    history=st.lists(
        st.tuples(INSTANTS, st.lists(SETTINGS, min_size=len(TAGS), max_size=len(TAGS))), max_size=3
    ),
    batch=st.lists(SAMPLES, max_size=60),
    events=st.lists(INCIDENTS, max_size=4, unique_by=lambda incident: incident.number),
    remarks=st.lists(TEXT, max_size=3),
    said=st.lists(UPDATES, max_size=3),
    own=st.dictionaries(st.sampled_from(TAGS), st.sampled_from(Impact)),
    gaps=st.lists(st.tuples(INSTANTS, st.integers(1, 7200)), max_size=3),
    everyone=st.lists(TOKENS, max_size=3, unique_by=lambda token: token.id),
    begun=st.lists(RUNS, max_size=3),
    heard=st.dictionaries(st.integers(1, len(TAGS)), INSTANTS),
    alerted=st.lists(ALERTS, max_size=3, unique_by=lambda alert: (alert.monitor, alert.rule)),
    told=st.lists(NOTICES, max_size=3),
    failed=st.lists(st.tuples(st.integers(1, len(TAGS)), ATTEMPTS), max_size=3),
    seen=st.lists(
        st.tuples(st.integers(1, len(TAGS)), st.lists(CERTIFICATES, max_size=3), INSTANTS), max_size=3
    ),
)
def test_export_of_import_of_export_is_the_export_and_every_figure_is_the_same(
    history: Sequence[tuple[int, Sequence[MonitorSettings]]],
    batch: Sequence[Sample],
    events: Sequence[Incident],
    remarks: Sequence[str],
    said: Sequence[Update],
    own: Mapping[str, Impact],
    gaps: Sequence[tuple[int, int]],
    everyone: Sequence[Token],
    begun: Sequence[tuple[int, str, float]],
    heard: dict[int, int],
    alerted: Sequence[Alert],
    told: Sequence[tuple[NoticeKind, int, Facts, tuple[Sequence[str], float, DeliveryState, str]]],
    failed: Sequence[tuple[int, Attempt]],
    seen: Sequence[tuple[int, Sequence[SeenCertificate], int]],
):
    def store(connection: sqlite3.Connection) -> None:
        observer.begin(connection, NOON - DAY, DAY)
        monitors.register(connection, {tag: MonitorSettings() for tag in TAGS}, NOON - DAY)
        for since, each in sorted(history, key=lambda version: version[0]):
            monitors.register(connection, dict(zip(TAGS, each, strict=True)), since)
        samples.record(connection, batch)
        for incident in events:
            impacts = {tag: impact for tag, impact in own.items() if tag in incident.tags}
            incidents.insert(connection, replace(incident, impacts=impacts), [])
            for update in said:
                incident_updates.add(connection, incident.number, update)
            for words in remarks:
                incidents.remark(connection, incident.number, words, NOON)
        for start, seconds in gaps:
            gap = Gap(start, start + seconds, GapKind(start % 2))
            observer.save_seen(connection, [gap], NOON)
        for monitor, attempt in failed:
            check_faults.add(connection, monitor, [attempt])
        for monitor, chain, now in seen:
            certificates.note(connection, monitor, chain, now)
        for token in everyone:
            tokens.add(connection, token)
        for run in begun:
            runs.begin(connection, *run)
        monitors.save_last_heard(connection, heard)
        for alert in alerted:
            alerts.add(connection, alert)
        for kind, at, facts, (channels, due_at, state, answer) in told:
            about = next((alert.id for alert in alerts.all_open(connection)), None)
            notices.add(connection, kind, at, about, None, facts, channels, due_at)
            deliveries._finish(
                connection, [one.id for one in deliveries.waiting(connection)], state, at, answer
            )
            for channel in channels:
                channel_states.note_fault(connection, channel, answer, for_good=True)
        dirty.mark_closed(connection, NOON + DAY)
        kept, until = observer.kept_from(connection), dirty.rolled_until(connection)
        for monitor in range(1, len(TAGS) + 1):
            dirty.mark(connection, [(monitor, kept, until)])
            rollups.settle(connection, monitor, (kept, until), until, 10**9)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder / "one.db")
        with closing(connect(folder / "one.db")) as connection:
            transaction(connection, store)
        text = exported(folder / "one.db")
        other = imported(text, folder / "other.db")
        assert exported(other) == text
        assert stored(other) == stored(folder / "one.db")


# What is no export


def lines_of(original: Path) -> list[bytes]:
    return exported(original).splitlines(keepends=True)


def test_an_export_cut_short_at_any_line_is_refused(original: Path, tmp_path: Path):
    lines = lines_of(original)
    for length in [*range(0, len(lines), 29), len(lines) - 1]:
        with pytest.raises(ImportRefused, match=f"line {length + 1}: is missing: the export is cut short"):
            import_.load(lines[:length], tmp_path / f"{length}.db")


def changed(kind: str, /, **fields: Any) -> Callable[[list[dict[str, Any]]], None]:
    """Change the first line of a kind."""

    def change(lines: list[dict[str, Any]]) -> None:
        next(line for line in lines if line["kind"] == kind).update(fields)

    return change


def without_a_sample(lines: list[dict[str, Any]]) -> None:
    del lines[next(position for position, line in enumerate(lines) if line["kind"] == "sample")]


def with_a_sample_twice(lines: list[dict[str, Any]]) -> None:
    position = next(position for position, line in enumerate(lines) if line["kind"] == "sample")
    lines.insert(position, lines[position])


def with_a_line_after_the_end(lines: list[dict[str, Any]]) -> None:
    lines.append(lines[1])


def with_another_field(lines: list[dict[str, Any]]) -> None:
    lines[1]["colour"] = "red"


UPDATE: dict[str, Any] = {
    "id": 1,
    "body": "",
    "created_at": NOON,
    "at": NOON,
    "state": None,
    "impacts": {},
    "author": "",
    "edited_at": None,
}
DELIVERY = {
    "id": 1, "channel": "chat", "state": "sent", "attempts": 1, "due_at": 1767182400.5, "merged_into": None,
    "answer": "", "reference": "", "done_at": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("header", format=7), "line 1: is of format 7; this program knows up to 6"),
        (changed("header", program="other"), "line 1: is not an export of this program"),
        (changed("monitor", kind="moon"), "line 3: is of an unknown kind: 'moon'"),
        (with_another_field, "line 2: has missing or unknown fields for a service: colour"),
        (changed("sample", minute="60"), 'line 5: minute: has the invalid value "60"'),
        (changed("sample", minute=True), "line 5: minute: has the invalid value true"),
        (changed("sample", minute=61), "line 5: minute: must be the begin of a minute, not 61"),
        (changed("sample", minute=2**63), "line 5: "),
        (changed("sample", monitor="pluto"), "line 5: 'pluto'"),
        (changed("sample", status="NO_DATA"), "line 5: status: no sample is NO_DATA"),
        (changed("sample", source="guess"), "line 5: 'GUESS'"),
        (changed("sample", latency=None), "line 5: latency: has the invalid value null"),
        (changed("sample", minute=-60), "line 5: minute: must be UTC seconds"),
        (changed("gap", end=253402300799), "end: must be UTC seconds"),
        (changed("incident", end=253402300799), "end: must be UTC seconds from 0 to 253402127999, not"),
        (changed("incident", start=-1), "start: must be UTC seconds"),
        (
            changed("incident", updates=[UPDATE | {"created_at": 2**63 - 1}]),
            "created_at: must be UTC seconds",
        ),
        (changed("token", expires_at=2**63 - 1), "expires_at: must be UTC seconds"),
        (changed("incident", tags=["pluto"]), "tags: names an unknown monitor"),
        (changed("incident", source="moon"), "'MOON'"),
        (changed("alert", severity="loud"), "'LOUD'"),
        (changed("alert", monitor="pluto"), "'pluto'"),
        (changed("alert", closed_at=None, closing="resolved"), "CHECK constraint failed"),
        (changed("alert", told_at=-1), "told_at: must be UTC seconds"),
        (changed("notice", event="moon"), "'MOON'"),
        (changed("notice", facts={"colour": "red"}), "unexpected keyword argument 'colour'"),
        (changed("notice", deliveries=[{"id": 1}]), "has missing or unknown fields for a delivery: "),
        (changed("notice", deliveries=[DELIVERY | {"due_at": "now"}]), 'due_at: has the invalid value "now"'),
        (changed("notice", deliveries=[DELIVERY | {"done_at": -1}]), "done_at: must be UTC seconds"),
        (changed("notice", deliveries=[DELIVERY | {"state": "lost"}]), "'LOST'"),
        (changed("notice", deliveries=[DELIVERY, DELIVERY]), "UNIQUE constraint failed"),
        (changed("channel", failures="many"), "failures: has the invalid value"),
        (changed("monitor", history=[{"since": 1, "settings": {}}]), "line 3: "),
        (without_a_sample, "should be the last of"),
        (with_a_sample_twice, "line 6: minute: comes twice"),
        (with_a_line_after_the_end, "is followed by another line"),
    ],
)
def test_a_line_that_cannot_be_is_named(
    original: Path, tmp_path: Path, change: Callable[[list[dict[str, Any]]], None], words: str
):
    lines = records(exported(original))
    change(lines)
    with pytest.raises(ImportRefused) as refusal:
        import_.load([json.dumps(line).encode() for line in lines], tmp_path / "kener.db")
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"[]\n", b"{}\n", b"not JSON\n", b'{"kind": ["header"]}\n', b"\xff\n"]
)
def test_what_is_no_export_is_refused(tmp_path: Path, text: bytes):
    with pytest.raises(ImportRefused, match="line 1: "):
        imported(text, tmp_path / "kener.db")


# The commands


@pytest.fixture
def machine(tmp_path: Path, original: Path) -> Server:
    (tmp_path / "machine").mkdir()
    server = Server(tmp_path / "machine")
    shutil.copy(original, server.database)
    return server


@pytest.mark.process
def test_an_export_moves_everything_to_another_machine(machine: Server, original: Path, tmp_path: Path):
    (tmp_path / "other").mkdir()
    other, file = Server(tmp_path / "other"), tmp_path / "all.jsonl"
    assert machine.run("export", "--with-people", str(file)).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert machine.run("export", "--with-people").stdout.encode() == file.read_bytes()
    assert machine.run("export").stdout.encode() == exported(original, with_people=False)
    done = other.run("import", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert unaudited(other.database) == unaudited(original)
    assert other.run("verify").returncode == 0


@pytest.mark.process
def test_an_import_replaces_a_database_only_with_force_and_keeps_it(
    machine: Server, original: Path, tmp_path: Path
):
    file = tmp_path / "all.jsonl"
    file.write_bytes(exported(original))
    refused = machine.run("import", str(file))
    assert (refused.returncode, "exists; with --force" in refused.stderr) == (1, True)
    done = machine.run("import", str(file), "--force")
    assert done.returncode == 0
    (kept,) = machine.folder.glob("kener.db.before-restore-*")
    assert contents(kept) == contents(original)
    assert unaudited(machine.database) == unaudited(original)
    assert len(contents(machine.database)["audit"]) == len(contents(original)["audit"]) + 1


@pytest.mark.process
def test_an_import_that_fails_leaves_no_database(machine: Server, original: Path, tmp_path: Path):
    file = tmp_path / "all.jsonl"
    file.write_bytes(exported(original)[:-40])
    machine.database.unlink()
    assert machine.run("import", str(file)).returncode == 1
    assert not list(machine.folder.glob("*kener.db")) + list(machine.folder.glob(".kener*"))
