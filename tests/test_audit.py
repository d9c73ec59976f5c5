"""The audit log: every change is a row, and a changed or missing row is found."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kener_async.domain.people import Actor, ActorKind, Role
from kener_async.store import audit
from kener_async.store.admin import backup, restore
from kener_async.store.admin.verify import verify
from kener_async.store.audit import AuditSearch, ChainEnd, Facts
from kener_async.store.observer import begin
from kener_async.store.sqlite import transactions
from kener_async.store.sqlite.errors import DatabaseFileError
from kener_async.store.sqlite.upgrade import prepare

ADA = Actor(ActorKind.PERSON, "ada", "192.0.2.7")
DEPLOY = Actor(ActorKind.TOKEN, "deploy")
NOW = 1_800_000_000
DAY = 86400


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with six rows, a minute apart."""
    path = tmp_path / "kener.db"
    prepare(path)
    transactions.write(path, begin, NOW, 400 * DAY)
    for number in range(6):
        add(path, ADA if number % 2 else DEPLOY, "incident.change", f"incident {number}", NOW + 60 * number)
    return path


def add(path: Path, actor: Actor, act: str, thing: str, now: int, after: Facts | None = None) -> int:
    return transactions.write(path, audit.record, actor, act, thing, {"title": "Störung"}, after, now)


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def faults(path: Path, noted: ChainEnd | None = None) -> list[str]:
    return list(verify(path, path.parent, noted=noted))


def end(path: Path) -> ChainEnd:
    return transactions.read(path, audit.end_of)


def found(path: Path, **criteria: Any) -> list[int]:
    rows = transactions.read(path, audit.search, AuditSearch(**criteria))
    return [row.id for row in rows]


# The chain

TAMPERING = {
    "edited actor": (["UPDATE audit SET actor = 'person:grace' WHERE id = 3"], "row 3 was changed"),
    "edited instant": (["UPDATE audit SET at = at + 1 WHERE id = 1"], "row 1 was changed"),
    "edited facts": (["UPDATE audit SET before = '{}' WHERE id = 6"], "row 6 was changed"),
    "facts taken away": (["UPDATE audit SET before = NULL WHERE id = 6"], "row 6 was changed"),
    "edited link": (["UPDATE audit SET link = zeroblob(32) WHERE id = 6"], "row 6 was changed"),
    "deleted first": (["DELETE FROM audit WHERE id = 1"], "row 1 is missing"),
    "deleted within": (["DELETE FROM audit WHERE id IN (3, 4)"], "rows 3 to 4 are missing"),
    "deleted last": (["DELETE FROM audit WHERE id = 6"], "row 6 is missing"),
    "deleted all": (["DELETE FROM audit"], "rows 1 to 6 are missing"),
    "inserted": (
        ["INSERT INTO audit (at, actor, act, object, link) VALUES (1, 'person:ada', 'a', 'b', zeroblob(32))"],
        "row 7 was changed",
    ),
    "reordered": (
        [
            "UPDATE audit SET id = 100 WHERE id = 2",
            "UPDATE audit SET id = 2 WHERE id = 3",
            "UPDATE audit SET id = 3 WHERE id = 100",
        ],
        "row 2 was changed",
    ),
    "closed up": (
        ["DELETE FROM audit WHERE id = 2", "UPDATE audit SET id = id - 1 WHERE id > 2"],
        "row 2 was changed",
    ),
    "anchor": (["UPDATE service SET audit_from = 0, audit_link = randomblob(32)"], "row 1 was changed"),
}


def test_an_untouched_chain_is_whole(database: Path):
    assert faults(database) == []
    assert faults(database, end(database)) == []


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found(database: Path, name: str):
    statements, expected = TAMPERING[name]
    change(database, *statements)
    assert [line for line in faults(database) if line.startswith(f"audit: {expected}")]


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_with_the_source_is_found_in_an_archive_and_by_a_restore(
    database: Path, tmp_path: Path, name: str
):
    change(database, *TAMPERING[name][0])
    archive = tmp_path / "backup.tar.gz"
    backup.save(backup.BackupSource(database, {}), archive, NOW)
    assert [line for line in faults(archive) if TAMPERING[name][1] in line]
    with pytest.raises(restore.RestoreError, match=TAMPERING[name][1]):
        restore.restore(archive, tmp_path / "restored.db", NOW)


def test_a_row_after_a_deleted_one_does_not_hide_it(database: Path):
    change(database, "DELETE FROM audit WHERE id = 6")
    assert add(database, ADA, "incident.change", "incident 9", NOW) == 7
    assert faults(database)[0] == "audit: row 6 is missing"


def test_a_cut_of_the_end_with_its_counter_is_found_by_a_noted_end_only(database: Path):
    noted = end(database)
    change(
        database,
        "DELETE FROM audit WHERE id > 4",
        "UPDATE sqlite_sequence SET seq = 4 WHERE name = 'audit'",
    )
    assert faults(database) == []
    assert faults(database, noted) == ["audit: row 6, which was noted, is missing"]
    for number in (7, 8):
        add(database, ADA, "incident.change", f"incident {number}", NOW)
    assert faults(database) == []
    assert faults(database, noted) == ["audit: row 6 has another link than was noted"]


def test_a_noted_end_is_read_as_it_is_printed(database: Path):
    assert ChainEnd.of(str(end(database))) == end(database)
    for text in ("", "6", "6:", "6:abcd", f"-1:{'0' * 64}", f"x:{'0' * 64}", f"6:{'g' * 64}"):
        with pytest.raises(ValueError):
            ChainEnd.of(text)


# Retention


def test_old_rows_go_and_the_chain_stays_whole(database: Path):
    noted = end(database)
    while transactions.write(database, audit.delete_before, NOW + 150, 2):
        pass
    assert found(database) == [6, 5, 4]
    assert faults(database, noted) == []
    change(database, "DELETE FROM audit WHERE id = 4")
    assert faults(database) == ["audit: row 4 is missing"]


def test_after_all_rows_went_the_chain_continues_from_the_anchor(database: Path):
    noted = end(database)
    assert not transactions.write(database, audit.delete_before, NOW + DAY, 100)
    assert found(database) == []
    assert end(database) == noted
    assert add(database, ADA, "incident.change", "incident 9", NOW + DAY) == 7
    assert faults(database, noted) == []
    assert faults(database, ChainEnd(6, bytes(32))) == ["audit: row 6 has another link than was noted"]
    assert faults(database, ChainEnd(2, bytes(32))) == [
        "audit: row 2, which was noted, was deleted by its age"
    ]


def test_a_row_of_a_clock_set_back_takes_no_newer_rows_with_it(database: Path):
    add(database, ADA, "incident.change", "incident 9", NOW - 365 * DAY)
    assert not transactions.write(database, audit.delete_before, NOW - DAY, 100)
    assert found(database) == [7, 6, 5, 4, 3, 2, 1]


# Search


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"actor": "person:ada"}, [6, 4, 2]),
        ({"actor": "person"}, [6, 4, 2]),
        ({"actor": "per"}, []),
        ({"actor": "token", "below": 4}, [3, 1]),
        ({"act": "incident"}, [6, 5, 4, 3, 2, 1]),
        ({"act": "incident.change", "thing": "incident 3"}, [4]),
        ({"act": "incident.delete"}, []),
        ({"thing": "incident"}, [6, 5, 4, 3, 2, 1]),
        ({"start": NOW + 60, "end": NOW + 180}, [4 - 1, 2]),
    ],
)
def test_rows_are_found(database: Path, criteria: dict[str, Any], expected: list[int]):
    assert found(database, **criteria) == expected


def test_a_page_has_fifty_rows(database: Path):
    for number in range(50):
        add(database, ADA, "template.save", f"template {number}", NOW)
    first = found(database)
    assert first == list(range(56, 6, -1))
    assert found(database, below=first[-1]) == [6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize("criteria", [{"actor": "person:ada"}, {"act": "incident"}, {"thing": "incident 1"}])
def test_a_search_uses_an_index(database: Path, criteria: dict[str, Any]):
    conditions, values = audit._conditions(AuditSearch(**criteria))
    with closing(sqlite3.connect(database)) as connection:
        plan = connection.execute(
            f"EXPLAIN QUERY PLAN SELECT id FROM audit WHERE {' AND '.join(conditions)}", values
        ).fetchall()
    assert "audit_by_" in str(plan)
    assert "SCAN" not in str(plan)


# Facts


def test_secrets_are_masked_and_values_are_plain(database: Path):
    after = {
        "password": "correct horse",
        "settings": [{"secret": "s3cret", "name": "ops"}],
        "digest": b"123",
        "bytes": b"123",
        "role": Role.ADMIN,
        "tags": ("earth",),
        "token": None,
    }
    add(database, ADA, "person.change", "person grace", NOW, after)
    (row,) = transactions.read(database, audit.search, AuditSearch(thing="person grace"))
    assert row.before == {"title": "Störung"}
    assert row.after == {
        "password": "***",
        "settings": [{"secret": "***", "name": "ops"}],
        "digest": "***",
        "bytes": "***",
        "role": "admin",
        "tags": ["earth"],
        "token": None,
    }
    assert (row.actor, row.network, row.act, row.at) == ("person:ada", "192.0.2.7", "person.change", NOW)
    assert faults(database) == []


def test_a_change_that_fails_leaves_no_row(database: Path):
    def work(session: sqlite3.Connection) -> None:
        audit.record(session, ADA, "incident.open", "incident 7", None, {}, NOW)
        session.execute("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(DatabaseFileError):
        transactions.write(database, work)
    assert len(found(database)) == 6
    assert faults(database) == []


# Several processes

WRITER = """
import sys
from pathlib import Path
from kener_async.domain.people import Actor, ActorKind
from kener_async.store import audit
from kener_async.store.sqlite import transactions

for number in range(40):
    actor = Actor(ActorKind.COMMAND, sys.argv[2])
    transactions.write(Path(sys.argv[1]), audit.record, actor, "a.b", f"thing {number}", None, {"n": 1}, 5)
"""


def test_six_processes_write_one_chain(database: Path):
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(database), f"user-{each}"]) for each in range(6)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0] * 6
    with closing(sqlite3.connect(database)) as connection:
        counts = dict(
            connection.execute("SELECT actor, count(*) FROM audit WHERE act = 'a.b' GROUP BY actor")
        )
        numbers = [number for (number,) in connection.execute("SELECT id FROM audit ORDER BY id")]
    assert counts == {f"command:user-{each}": 40 for each in range(6)}
    assert numbers == list(range(1, 247))
    assert faults(database) == []


# Commands


def run(config: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "kener_async", *words, "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_lists_rows_and_prints_the_end_which_verify_takes(database: Path, tmp_path: Path):
    config = tmp_path / "config.toml"
    config.write_text(f'[database]\npath = "{database}"\n')
    listed = run(config, "audit", "--actor", "person", "--limit", "2")
    assert listed.returncode == 0, listed.stderr
    heads, *lines = listed.stdout.splitlines()
    assert heads.split() == ["number", "time", "actor", "from", "act", "thing"]
    assert [line.split()[0] for line in lines] == ["6", "4"]
    noted = listed.stderr.split()[-1]
    assert noted == str(end(database))
    (row,) = map(json.loads, run(config, "audit", "--json", "--thing", "incident 3").stdout.splitlines())
    assert row["id"] == 4
    assert row["before"] == {"title": "Störung"}
    assert run(config, "verify", "--audit-end", noted).returncode == 0
    assert run(config, "verify", "--audit-end", "nonsense").returncode == 2
    change(database, "DELETE FROM audit WHERE id = 6")
    broken = run(config, "verify", "--audit-end", noted)
    assert broken.returncode == 1
    assert broken.stdout.splitlines()[0] == "audit: row 6 is missing"


# Beside it


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (
            "INSERT INTO managed VALUES ('template', 'down', '[]', 1, 1, 'person:ada')",
            "managed: the template down is not a table",
        ),
        (
            "INSERT INTO people (name, role, categories, made_at) VALUES ('ada', 3, '[1]', 1)",
            "people: the categories of ada are not names",
        ),
        (
            "INSERT INTO passkeys VALUES (x'01', 7, x'02', 0, 'phone', 1, NULL)",
            "passkeys: a row refers to a missing row of people",
        ),
    ],
)
def test_what_people_are_stored_with_is_verified(database: Path, statement: str, fault: str):
    change(database, statement)
    assert fault in faults(database)
