"""A filled database of each released schema comes to the current one with all its rows, and works."""

import asyncio
import sqlite3
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from kener_async.store.admin import export, import_, startable
from kener_async.store.admin.verify import verify
from kener_async.store.sqlite.migrations import APPLICATION_ID, VERSION
from kener_async.store.sqlite.upgrade import prepare
from tests.rigs.database import contents, fill
from tests.rigs.service import FakeClock
from tests.rigs.stored_samples import samples_in

DATA = Path(__file__).parent / "data"
RELEASED = sorted(DATA.glob("schema_v*.sql"))
RENAMED = {"comments": "updates"}  # tables by their names of before
COUNTED = ("quarters", "dirty", "followers", "days")  # anew, from others
SAMPLES = ("samples", "late_samples", "sealed")  # moved from one to another


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled database of the current schema."""
    return asyncio.run(fill(tmp_path_factory.mktemp("original"), FakeClock()))


def columns(connection: sqlite3.Connection, table: str, schema: str = "main") -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA {schema}.table_info('{table}')")]


def older(original: Path, schema: Path, path: Path) -> Path:
    """A database of a released schema with the rows of a current one, as far as it knows of them."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(f"PRAGMA application_id = {APPLICATION_ID}; {schema.read_text()}")
        connection.execute(f"PRAGMA user_version = {int(schema.stem.removeprefix('schema_v'))}")
        connection.execute("ATTACH ? AS new", (str(original),))
        for table in tables(connection):
            source = RENAMED.get(table, table)
            known = columns(connection, source, "new")
            common = [name for name in columns(connection, table) if name in known]
            names = ", ".join(f'"{name}"' for name in common)
            where = "WHERE body <> ''" if table == "comments" else ""
            connection.execute(f'INSERT INTO "{table}" ({names}) SELECT {names} FROM new."{source}" {where}')
    return path


def tables(connection: sqlite3.Connection) -> list[str]:
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    return [name for (name,) in names if not name.startswith("sqlite_")]


def rows(path: Path, table: str, names: list[str]) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        listed = ", ".join(f'"{name}"' for name in names)
        return connection.execute(f'SELECT {listed} FROM "{table}" ORDER BY {listed}').fetchall()


@pytest.mark.parametrize("schema", RELEASED, ids=[schema.stem for schema in RELEASED])
def test_every_row_is_kept_and_the_file_is_whole(original: Path, tmp_path: Path, schema: Path):
    path = older(original, schema, tmp_path / "kener.db")
    with closing(sqlite3.connect(path)) as connection:
        before = {table: columns(connection, table) for table in tables(connection)}
        filled = {table: rows(path, table, names) for table, names in before.items()}
    assert [table for table, found in filled.items() if not found and table not in COUNTED] == []
    samples = samples_in(path)

    prepare(path)

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert {*tables(connection), "sqlite_sequence"} == contents(original).keys()
        kept = {
            table: [name for name in names if name in columns(connection, RENAMED.get(table, table))]
            for table, names in before.items()
        }
    assert samples_in(path) == samples
    for table, names in kept.items():
        if table not in (*COUNTED, *SAMPLES):
            places = [before[table].index(name) for name in names]
            was = sorted([tuple(row[place] for place in places) for row in filled[table]], key=repr)
            assert sorted(rows(path, RENAMED.get(table, table), names), key=repr) == was, table
    startable.require(path, tmp_path)
    assert [line for line in verify(path, tmp_path, quick=False, days=1) if "stored" not in line] == []


@pytest.mark.parametrize("schema", RELEASED, ids=[schema.stem for schema in RELEASED])
def test_an_export_after_the_upgrade_is_imported_again(original: Path, tmp_path: Path, schema: Path):
    path = older(original, schema, tmp_path / "kener.db")
    prepare(path)
    out = BytesIO()
    export.write(path, out, with_people=True)
    import_.load(out.getvalue().splitlines(keepends=True), tmp_path / "again.db")
    again = BytesIO()
    export.write(tmp_path / "again.db", again, with_people=True)
    assert again.getvalue() == out.getvalue()
