"""Backups: their contents, detection of any changed byte, and a restore that loses nothing."""

import asyncio
import gzip
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.api.http.auth import mint
from kener_async.config.load import load
from kener_async.config.model import BackupConfig, Config
from kener_async.config.redaction import without_secrets
from kener_async.config.schema import keys_of
from kener_async.config.tables import Document
from kener_async.domain.errors import Unavailable
from kener_async.errors import FatalError
from kener_async.metrics import Metrics
from kener_async.ops import backup_source
from kener_async.ops.backup_source import restore_key, restore_site, source_of
from kener_async.store import audit, tokens
from kener_async.store.admin import archive, restore, verify
from kener_async.store.admin import backup as backups
from kener_async.store.admin.archive import ArchiveEntry, ArchiveError, Manifest
from kener_async.store.admin.backup import BackupError, BackupSource
from kener_async.store.sqlite import files, migrations, transactions
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.errors import DatabaseFileError
from kener_async.store.sqlite.files import NotEnoughSpace, locked
from kener_async.worker.backups import RETRY_SECONDS, BackupPlan, Backups
from kener_async.worker.stop import NEVER, StopToken
from tests.rigs.database import contents, fill, flip, unaudited
from tests.rigs.process import ROOT, Senders, Server, connected, stored_samples
from tests.rigs.process import SECRET as SECRET_OF_PROCESS
from tests.rigs.process import a_config as a_process_config
from tests.rigs.service import NOON, SECRET, FakeClock, running
from tests.rigs.service import a_config as a_service_config

HOUR, DAY = 3600, 86400
LAST_SUCCESS = "kener_backup_last_success_timestamp_seconds"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled database that nobody changes."""
    return asyncio.run(fill(tmp_path_factory.mktemp("original"), FakeClock()))


@pytest.fixture
def database(original: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    (tmp_path / "data").mkdir()
    return Path(shutil.copy(original, tmp_path / "data/kener.db"))


@pytest.fixture
def backup(original: Path, tmp_path: Path) -> Path:
    """A backup of the filled database."""
    backups.save(BackupSource(original, {"config.toml": b"# as it was\n"}), tmp_path / "backup.tar.gz", NOON)
    return tmp_path / "backup.tar.gz"


def names_in(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# What is in a backup


def test_a_backup_restored_into_an_empty_folder_is_the_same_database(
    original: Path, backup: Path, tmp_path: Path
):
    restored = tmp_path / "new/kener.db"
    assert restore.restore(backup, restored, NOON) == (None, None)
    assert contents(restored) == contents(original)
    assert all(contents(restored)[table] for table in ("samples", "gaps", "updates", "tokens", "audit"))
    assert list(verify.verify(restored, tmp_path)) == []


def test_a_backup_says_what_is_in_it(original: Path, backup: Path):
    with tarfile.open(backup) as tar:
        assert tar.getnames() == ["manifest.json", "kener.db", "config.toml"]
        file = tar.extractfile("manifest.json")
        assert file is not None
        manifest = json.load(file)
    stored = {table: len(rows) for table, rows in contents(original).items() if table != "sqlite_sequence"}
    assert manifest["rows"] == stored
    assert (manifest["created_at"], manifest["schema"]) == (NOON, migrations.VERSION)
    assert manifest["files"]["config.toml"]["bytes"] == len(b"# as it was\n")


def test_any_tar_can_read_a_backup(original: Path, backup: Path, tmp_path: Path):
    done = subprocess.run(["tar", "-xzf", backup, "-C", tmp_path], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert contents(tmp_path / "kener.db") == contents(original)


def test_a_backup_is_for_its_owner_only(backup: Path):
    assert backup.stat().st_mode & 0o777 == 0o600


def test_a_backup_is_of_one_moment_whatever_is_written_meanwhile(database: Path, tmp_path: Path):
    before = contents(database)
    with closing(connect(database)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 10")

        def write(what: str, done: int, total: int) -> None:
            writer.execute('INSERT INTO gaps (start, "end") VALUES (1, 2)')
            writer.execute("UPDATE samples SET status = 2")

        backups.save(BackupSource(database, {}), tmp_path / "b.tar.gz", NOON, write)
        assert contents(database) != before
    restore.restore(tmp_path / "b.tar.gz", tmp_path / "new/kener.db", NOON)
    assert contents(tmp_path / "new/kener.db") == before


def test_a_backup_holds_what_is_in_the_log_only_and_leaves_it_there(database: Path, tmp_path: Path):
    with closing(connect(database)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE monitors SET tag = 'sedna' WHERE tag = 'earth'")
        stored = database.read_bytes()
        backups.save(BackupSource(database, {}), tmp_path / "b.tar.gz", NOON)
        assert database.read_bytes() == stored  # nothing was checkpointed
    restore.restore(tmp_path / "b.tar.gz", tmp_path / "new/kener.db", NOON)
    assert "sedna" in [tag for _, tag, *_ in contents(tmp_path / "new/kener.db")["monitors"]]


# The configuration and the key


def a_config(folder: Path, text: str) -> Config:
    (folder / "config.toml").write_text(text)
    return load(folder / "config.toml", {})


KEY = "k" * 40


@pytest.mark.parametrize(
    ("text", "with_key", "names"),
    [
        ("", False, {"config.toml"}),
        ("", True, {"config.toml", "secret.key"}),
        (f'[auth]\nsecret_key = "{KEY}"', False, {"config.toml"}),
        (f'# {KEY}\n[auth]\nsecret_key = "{KEY}"', False, set()),
        (f'[auth]\nsecret_key = "{KEY}"', True, {"config.toml", "secret.key"}),
    ],
)
def test_the_key_is_included_only_on_request(tmp_path: Path, text: str, with_key: bool, names: set[str]):
    assert source_of(a_config(tmp_path, text), with_key=with_key).beside.keys() == names


def test_the_key_is_put_back_where_there_is_none_and_never_over_another(tmp_path: Path):
    auth = a_config(tmp_path, "").auth
    auth.secret_key_file.parent.mkdir()
    assert restore_key(auth, KEY.encode()) == f"signing key restored to {auth.secret_key_file}"
    assert auth.secret_key_file.read_text() == KEY
    assert auth.secret_key_file.stat().st_mode & 0o777 == 0o600
    assert "is the one in the backup" in restore_key(auth, KEY.encode())
    assert "the one in the backup differs" in restore_key(auth, b"x" * 40)
    assert auth.secret_key_file.read_text() == KEY


SECRETS = """
# The organisation's own
[auth]
secret_key = "{key}"  # replaced every year
[[monitors]]
tag = "earth"
[monitors.healthchecks]
uuid = '07c2f548-9850-4b27-af5d-6c9dc157ec02'
[[monitors]]
tag = "mars"
uptime_kuma = {{ token = "kuma-token-1" }}
[[monitors]]
tag = "gatus"
[monitors.gatus]
key = "core_gate"
token = "$GATUS_TOKEN"
[agent]
token = "agents-own-token"
"""


def test_every_secret_of_the_configuration_is_left_out_and_said_so(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GATUS_TOKEN", "from-elsewhere")
    text = SECRETS.format(key=KEY)
    (tmp_path / "config.toml").write_text(text)
    config = load(tmp_path / "config.toml", os.environ)
    source = replace(source_of(config), database=database)
    manifest = backups.save(source, tmp_path / "b.tar.gz", NOON)
    assert list(manifest.left_out) == [
        "4 secrets of config.toml, $FILL_IN in their place",
        "the signing key",
    ]
    with tarfile.open(tmp_path / "b.tar.gz") as tar:
        content = b"".join(file.read() for member in tar if (file := tar.extractfile(member)) is not None)
    for secret in (KEY, "07c2f548", "kuma-token-1", "agents-own-token"):
        assert secret.encode() not in content
    kept = source.beside["config.toml"].decode()
    assert kept.splitlines()[1] == "# The organisation's own"
    assert 'token = "$GATUS_TOKEN"' in kept
    whole = source_of(config, with_key=True)
    assert whole.beside["config.toml"].decode() == text
    assert whole.left_out == ()


def test_a_secret_that_is_filled_in_again_is_asked_for_by_its_place(tmp_path: Path):
    text = source_of(a_config(tmp_path, f'[auth]\nsecret_key = "{KEY}"')).beside["config.toml"]
    with pytest.raises(FatalError, match=r"config\.toml.*auth\.secret_key: .*FILL_IN is not set"):
        a_config(tmp_path, text.decode())


def test_every_key_that_is_declared_secret_is_found():
    """A table with each of them, so that a new one is not forgotten."""

    def declared(table: type, at: str = "") -> Iterator[str]:
        for name, each in keys_of(table).items():
            for inner in each.tables:
                yield from declared(inner, f"{at}{name}.")
            if each.secret:
                yield f"{at}{name}"

    assert {"auth.secret_key", "monitors.healthchecks.uuid", "agent.token"} <= set(declared(Document))

    def written(table: type) -> str:
        lines = [
            f'{each.field.data_key or name} = "of {table.__name__} {name}"'
            for name, each in keys_of(table).items()
            if each.secret
        ]
        return "\n".join(lines)

    def tables(table: type) -> Iterator[type]:
        yield table
        for each in keys_of(table).values():
            for inner in each.tables:
                yield from tables(inner)

    for table in set(tables(Document)):
        if text := written(table):
            redacted = without_secrets(text.encode(), table)
            assert redacted is not None
            assert b"of " not in redacted[0]


@pytest.mark.parametrize(
    "text",
    [
        b"[auth\n",
        b'[auth]\nsecret_key = "\\u006b\\u006b\\u006b\\u006b"\n',
        b'# password1\n[agent]\ntoken = "password1"\n',
        b'[agent]\ntoken = "earth"\n[[monitors]]\ntag = "earth"\n',
    ],
    ids=["no TOML", "escapes", "in a comment", "also a tag"],
)
def test_a_secret_that_cannot_be_told_from_the_rest_leaves_the_file_out(text: bytes):
    assert without_secrets(text, Document) is None


# The files of the page


def site(folder: Path) -> str:
    """A folder of assets and a stylesheet, some of which are in no backup; the configuration."""
    (folder / "own/icons").mkdir(parents=True)
    for name in ("own/logo.svg", "own/icons/a.png", "own/.hidden.svg", "own/notes.txt"):
        (folder / name).write_text(name)
    (folder / "style.css").write_text("body { color: #123 }")
    return '[site]\nassets = "own"\ncustom_css = "style.css"\nlogo = "logo.svg"\n'


def test_assets_and_stylesheet_are_in_the_backup_and_restored_where_there_are_none(
    original: Path, tmp_path: Path
):
    (tmp_path / "one").mkdir()
    config = a_config(tmp_path / "one", site(tmp_path / "one"))
    manifest = backups.save(replace(source_of(config), database=original), tmp_path / "b.tar.gz", NOON)
    assert set(manifest.files) == {
        *("kener.db", "config.toml", "custom.css", "assets/logo.svg", "assets/icons/a.png")
    }
    (tmp_path / "two/own").mkdir(parents=True)
    (tmp_path / "two/own/logo.svg").write_text("the one that is there")
    shutil.copy(tmp_path / "one/config.toml", tmp_path / "two/config.toml")
    other = load(tmp_path / "two/config.toml", {}, site_files_missing=True)
    notes = []
    restore.restore(
        tmp_path / "b.tar.gz",
        tmp_path / "two/kener.db",
        NOON,
        beside=lambda folder: notes.append(restore_site(other.site, folder)),
    )
    assert notes == ["2 files of the page restored; 1 kept, which were there"]
    assert (tmp_path / "two/own/icons/a.png").read_text() == "own/icons/a.png"
    assert (tmp_path / "two/own/logo.svg").read_text() == "the one that is there"
    assert load(tmp_path / "two/config.toml", {}).site.custom_css == tmp_path / "two/style.css"


@pytest.mark.parametrize(("most", "largest"), [(1, 1000), (9, 20)])
def test_assets_beyond_a_bound_are_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, largest: int
):
    monkeypatch.setattr(backup_source, "MOST_ASSETS", most)
    monkeypatch.setattr(backup_source, "LARGEST_ASSETS", largest)
    source = source_of(a_config(tmp_path, site(tmp_path)))
    assert source.left_out[-1] == "the assets from logo.svg on: too many, or too large"
    assert set(source.paths) == {"custom.css", "assets/icons/a.png"}


# Damage


def test_a_flipped_byte_anywhere_in_a_backup_is_found(backup: Path, tmp_path: Path):
    whole = backup.read_bytes()
    for offset in range(len(whole)):
        flip(backup, offset)
        with pytest.raises(ArchiveError):
            archive.unpack(backup, tmp_path)
        flip(backup, offset)
    assert backup.read_bytes() == whole


def test_a_backup_cut_short_anywhere_is_found(backup: Path, tmp_path: Path):
    whole = backup.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        backup.write_bytes(whole[:length])
        with pytest.raises(ArchiveError):
            archive.unpack(backup, tmp_path)


def packed(path: Path, manifest: Manifest, folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """A backup whose manifest was changed, and sealed with that."""
    fields = asdict(manifest)
    change(fields)
    with pytest.MonkeyPatch.context() as patch, open(path, "wb") as out:
        patch.setattr(archive, "asdict", lambda _: fields)
        archive.pack(out, manifest, folder)


def lie_about_the_digest(fields: dict[str, Any]) -> None:
    fields["files"]["kener.db"]["sha256"] = "0" * 64


def lie_about_the_size(fields: dict[str, Any]) -> None:
    fields["files"]["kener.db"]["bytes"] = 1


def come_from_the_future(fields: dict[str, Any]) -> None:
    fields["format"] = archive.FORMAT + 1


def name_one_more(fields: dict[str, Any]) -> None:
    fields["files"]["secret.key"] = {"bytes": 1, "sha256": ""}


def name_a_stranger(fields: dict[str, Any]) -> None:
    fields["files"]["../evil"] = {"bytes": 1, "sha256": ""}


def name_an_asset_outside(fields: dict[str, Any]) -> None:
    fields["files"]["assets/../../evil"] = {"bytes": 1, "sha256": ""}


def name_none(fields: dict[str, Any]) -> None:
    fields["files"] = {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lie_about_the_digest, "differs from its manifest"),
        (lie_about_the_size, "differs from its manifest"),
        (come_from_the_future, "was made by a newer version"),
        (name_one_more, r"lacks secret\.key"),
        (name_a_stranger, "names unknown files"),
        (name_an_asset_outside, "names unknown files"),
        (name_none, "names unknown files, or no database"),
    ],
)
def test_a_backup_that_is_not_what_its_manifest_says_is_refused(
    original: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
):
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    shutil.copy(original, tmp_path / "from/kener.db")
    manifest = Manifest(NOON, "1", 1, {}, {"kener.db": archive.entry_of(original)})
    packed(tmp_path / "b.tar.gz", manifest, tmp_path / "from", change)
    with pytest.raises(ArchiveError, match=words):
        archive.unpack(tmp_path / "b.tar.gz", tmp_path / "to")


def test_a_file_that_the_manifest_does_not_name_is_not_unpacked(tmp_path: Path):
    text = json.dumps(asdict(Manifest(NOON, "1", 1, {}, {"kener.db": ArchiveEntry(1, "")}))).encode()
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as tar:
        for name, data in (("manifest.json", text), ("../evil", b"evil")):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with open(tmp_path / "b.tar.gz", "wb") as out:
        sealed = archive._SealedWriter(out)
        sealed.write(gzip.compress(inner.getvalue()))
        sealed.seal()
    (tmp_path / "to").mkdir()
    with pytest.raises(ArchiveError, match=r"holds '\.\./evil', which is not in its manifest"):
        archive.unpack(tmp_path / "b.tar.gz", tmp_path / "to")
    assert names_in(tmp_path) == ["b.tar.gz", "to"]


def damage(database: Path) -> None:
    """Garbage in the middle of a page of samples."""
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'samples'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with open(database, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 64)


def test_a_damaged_database_gives_no_backup_and_takes_no_good_one_away(database: Path, tmp_path: Path):
    kept, _ = backups.add(BackupSource(database, {}), tmp_path / "backups", NOON, keep=1)
    damage(database)
    with pytest.raises(FatalError, match=r"malformed|damaged"):
        backups.add(BackupSource(database, {}), tmp_path / "backups", NOON + DAY, keep=1)
    assert names_in(tmp_path / "backups") == [kept.name]


# Where backups go


def test_a_folder_keeps_the_newest_backups_of_a_database_and_all_that_is_not_one(
    database: Path, tmp_path: Path
):
    folder = tmp_path / "backups"
    folder.mkdir()
    others = [
        "kener-20200101.tar.gz",
        "kener-20209999T000000Z.tar.gz",
        "notes.txt",
        "other-20200101T000000Z.tar.gz",
    ]
    for name in others:
        (folder / name).touch()
    made = [
        backups.add(BackupSource(database, {}), folder, NOON + day * DAY, keep=2)[0].name for day in range(4)
    ]
    assert made[0] == "kener-20251231T120000Z.tar.gz"
    assert names_in(folder) == sorted([*others, *made[2:]])


def test_backups_from_a_future_that_never_came_are_the_first_to_go(database: Path, tmp_path: Path):
    folder = tmp_path / "backups"
    for day in (365, 366, 367):
        backups.add(BackupSource(database, {}), folder, NOON + day * DAY)
    assert backups.newest(folder, "kener", NOON) is None
    made = [
        backups.add(BackupSource(database, {}), folder, NOON + day * DAY, keep=2)[0].name for day in range(2)
    ]
    assert names_in(folder) == made
    assert backups.newest(folder, "kener", NOON + DAY) == NOON + DAY


def test_a_backup_takes_the_place_of_one_but_of_nothing_else(database: Path, backup: Path):
    before = database.read_bytes()
    with pytest.raises(BackupError, match="exists and is not a backup; it was left unchanged"):
        backups.save(BackupSource(database, {}), database, NOON)
    assert database.read_bytes() == before
    backups.save(BackupSource(database, {}), backup, NOON + 1)
    assert archive.unpack(backup, database.parent.parent).created_at == NOON + 1


@pytest.mark.parametrize("there", [True, False])
def test_what_is_no_database_of_ours_is_not_backed_up(tmp_path: Path, there: bool):
    if there:
        with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
            connection.execute("CREATE TABLE albums (title)")
    with pytest.raises(DatabaseFileError, match="of another program" if there else "there is no such file"):
        backups.save(BackupSource(tmp_path / "x.db", {}), tmp_path / "b.tar.gz", NOON)
    assert names_in(tmp_path) == ["x.db"] * there


def test_without_room_on_the_disk_nothing_is_begun(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    disk = os.statvfs(tmp_path)
    full = os.statvfs_result([*disk[:4], 1000, *disk[5:]])  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    with pytest.raises(NotEnoughSpace, match="but only 4 MB are free"):
        backups.add(BackupSource(database, {}), tmp_path / "backups", NOON)
    assert names_in(tmp_path / "backups") == []


def give_up(what: str, done: int, total: int) -> None:
    if what == "packing" or done == total:
        raise BackupError("enough")


def test_a_backup_that_is_given_up_leaves_nothing(database: Path, tmp_path: Path):
    with pytest.raises(BackupError, match="enough"):
        backups.add(BackupSource(database, {}), tmp_path / "backups", NOON, progress=give_up)
    assert names_in(tmp_path / "backups") == []


def test_what_a_killed_backup_left_is_swept_and_what_one_under_way_uses_is_not(tmp_path: Path):
    killed = tmp_path / ".kener-killed.partial"
    killed.mkdir()
    (killed / "kener.db").touch()
    with files.workspace(tmp_path) as mine:
        assert not killed.exists()
        with files.workspace(tmp_path) as other:
            assert mine.exists()
            assert mine != other
    assert names_in(tmp_path) == []


# The way back


def test_a_database_is_replaced_only_with_force(database: Path, backup: Path):
    before = contents(database)
    with pytest.raises(FatalError, match="exists; with --force it is kept under"):
        restore.restore(backup, database, NOON)
    assert contents(database) == before


def test_a_running_server_keeps_its_database_even_from_force(database: Path, backup: Path):
    with locked(database), pytest.raises(DatabaseFileError, match="another server is running"):
        restore.restore(backup, database, NOON, force=True)


def with_a_log(database: Path) -> dict[str, list[Any]]:
    """Give a database a write-ahead log that was never played in, as kill -9 leaves it; its contents."""
    with closing(connect(database)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE monitors SET tag = 'sedna' WHERE tag = 'mars'")
        for suffix in ("", "-wal"):
            shutil.copy(f"{database}{suffix}", f"{database}{suffix}.left")
    for suffix in ("", "-wal"):
        os.replace(f"{database}{suffix}.left", f"{database}{suffix}")
    assert "sedna" not in str(contents_without_log(database)["monitors"])
    return contents(database)


def contents_without_log(database: Path) -> dict[str, list[Any]]:
    copied = Path(shutil.copy(database, f"{database}.alone"))
    try:
        return contents(copied)
    finally:
        for left in copied.parent.glob(f"{copied.name}*"):
            left.unlink()


def test_the_database_before_is_kept_whole_and_its_log_does_not_touch_the_new_one(
    original: Path, database: Path, backup: Path
):
    before = with_a_log(database)
    kept, _ = restore.restore(backup, database, NOON, force=True)
    assert kept == database.with_name("kener.db.before-restore-20251231T120000Z")
    assert contents(kept) == before
    assert contents(database) == contents(original)


class Crash(Exception):
    pass


def test_a_restore_that_ends_at_any_step_leaves_the_old_database_or_the_new_one(
    original: Path, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wrapped = [(os, "link"), (os, "replace"), (os, "fsync"), (Path, "unlink")]
    outcomes = []
    for step in range(1, 100):
        database = tmp_path / f"{step}/kener.db"
        database.parent.mkdir()
        shutil.copy(original, database)
        before = with_a_log(database)
        calls = 0

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def crashing(*args: Any, **options: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == step:  # noqa: B023 - called within this turn of the loop only
                    raise Crash
                return call(*args, **options)

            return crashing

        with monkeypatch.context() as patch:
            for owner, name in wrapped:
                patch.setattr(owner, name, counted(getattr(owner, name)))
            try:
                restore.restore(backup, database, NOON, force=True)
                outcomes.append("done")
            except Crash:
                outcomes.append("old" if contents(database) == before else "new")
        assert contents(database) == (before if outcomes[-1] == "old" else contents(original))
        if outcomes[-1] == "done":
            break
    assert outcomes == sorted(outcomes, key=["old", "new", "done"].index)
    assert set(outcomes) == {"old", "new", "done"}


def test_a_damaged_backup_changes_nothing(database: Path, backup: Path):
    before = database.read_bytes()
    flip(backup, 1000)
    with pytest.raises(ArchiveError, match="is damaged or cut short"):
        restore.restore(backup, database, NOON, force=True)
    assert database.read_bytes() == before
    assert names_in(database.parent) == ["kener.db", "kener.db.lock"]


def test_a_plain_copy_of_a_database_is_restored_too(original: Path, tmp_path: Path):
    restore.restore(original, tmp_path / "new/kener.db", NOON)
    assert contents(tmp_path / "new/kener.db") == contents(original)


def test_a_plain_copy_that_is_damaged_is_not_restored(database: Path, tmp_path: Path):
    damage(database)
    with pytest.raises(FatalError, match=r"malformed|damaged"):
        restore.restore(database, tmp_path / "new/kener.db", NOON)
    assert names_in(tmp_path / "new") == ["kener.db.lock"]


def test_a_backup_of_a_newer_schema_is_refused(database: Path, tmp_path: Path):
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA user_version = {migrations.VERSION + 1}")
    with pytest.raises(DatabaseFileError, match="was written by a newer version"):
        restore.restore(database, tmp_path / "new/kener.db", NOON)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DROP TABLE runs", "lacks the table runs"),
        (
            "ALTER TABLE monitors DROP COLUMN last_heard",
            r"lacks the column last_heard \(INTEGER\) of monitors",
        ),
        ("UPDATE settings SET body = '{}'", "a service cannot read it: "),
        ("UPDATE tokens SET tags = 'no json'", "a service cannot read it: "),
        ("PRAGMA application_id = 1", "is a database of another program"),
        (f"PRAGMA user_version = {migrations.VERSION + 1}", "was written by a newer version"),
        ("PRAGMA user_version = 1", "its upgrade to the current schema fails: "),
    ],
)
def test_a_database_on_which_no_service_could_start_is_not_restored(
    database: Path, backup: Path, tmp_path: Path, change: str, words: str
):
    there = tmp_path / "new/kener.db"
    restore.restore(backup, there, NOON)
    before = there.read_bytes()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(change)
    with pytest.raises(FatalError, match=words) as refused:
        restore.restore(database, there, NOON, force=True)
    assert str(refused.value).startswith(f"{database}: ")
    assert there.read_bytes() == before
    assert names_in(there.parent) == ["kener.db", "kener.db.lock"]


def test_a_database_without_tables_is_not_restored_over_one_with_data(database: Path, tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "empty.db")) as connection:
        connection.execute("PRAGMA user_version = 0")
        connection.execute("VACUUM")
        connection.execute("CREATE TABLE x (y)")
        connection.execute("DROP TABLE x")
    before = database.read_bytes()
    with pytest.raises(FatalError, match="is an empty database: nothing is stored in it"):
        restore.restore(tmp_path / "empty.db", database, NOON, force=True)
    assert database.read_bytes() == before


@pytest.mark.parametrize(
    "made_of",
    [b"", b"no backup at all", gzip.compress(b"something else", mtime=0)],
    ids=["nothing", "text", "something else compressed"],
)
def test_what_is_no_backup_is_refused(tmp_path: Path, made_of: bytes):
    (tmp_path / "b.tar.gz").write_bytes(made_of)
    with pytest.raises(ArchiveError, match=r"is not a backup|is damaged or cut short"):
        restore.restore(tmp_path / "b.tar.gz", tmp_path / "new/kener.db", NOON)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_restores_belongs_to_whom_the_folder_belongs(backup: Path, tmp_path: Path):
    folder = tmp_path / "service"
    folder.mkdir()
    os.chown(folder, 12345, 54321)
    restore.restore(backup, folder / "kener.db", NOON)
    for name in ("kener.db", "kener.db.lock"):
        found = (folder / name).stat()
        assert (found.st_uid, found.st_gid) == (12345, 54321)


# Verifying


def faults(database: Path, **options: Any) -> list[str]:
    return list(verify.verify(database, database.parent, **options))


def changed(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute(statement).rowcount > 0


QUARTER_OF_NOON = "2025-12-31T12:15Z"
HOT_FROM = NOON // DAY * DAY - 2 * DAY
AT_NOON = f"minute BETWEEN {NOON + 900} AND {NOON + 1799}"


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        (
            f"UPDATE samples SET status = 2 WHERE monitor_id = 2 AND minute = {NOON + 900}",
            f"mars {QUARTER_OF_NOON}: stored up",
        ),
        (
            f"UPDATE samples SET latency = latency + 1 WHERE monitor_id = 2 AND minute = {NOON + 960}",
            f"mars {QUARTER_OF_NOON}: stored up",
        ),
        (f"DELETE FROM samples WHERE monitor_id = 2 AND {AT_NOON}", f"mars {QUARTER_OF_NOON}: stored up"),
        (
            f"DELETE FROM quarters WHERE monitor_id = 1 AND quarter = {NOON + 900}",
            f"earth {QUARTER_OF_NOON}: stored up 0, degraded 0, down 0, maintenance 0; recounted up",
        ),
        (
            f"UPDATE quarters SET down = down + 1 WHERE monitor_id = 1 AND quarter = {NOON + 900}",
            f"earth {QUARTER_OF_NOON}: stored up",
        ),
        (
            f"UPDATE incidents SET start = {NOON + 900} WHERE number = 1",
            f"earth {QUARTER_OF_NOON}: stored up",
        ),
        (
            "UPDATE samples SET monitor_id = 77 WHERE monitor_id = 1",
            "samples: rows of monitor 77, which does not exist",
        ),
        ("UPDATE sealed SET monitor_id = 77", "sealed: rows of monitor 77, which does not exist"),
        ("UPDATE late_samples SET monitor_id = 77", "late_samples: rows of monitor 77, which does not exist"),
        (
            "UPDATE service SET hot_from = hot_from - 60",
            f"service: samples are sealed up to {HOT_FROM - 60}, and",
        ),
        (
            f"UPDATE service SET late_before = {HOT_FROM - DAY}",
            f"service: samples are sealed up to {HOT_FROM}, and late before {HOT_FROM - DAY}",
        ),
        (
            "UPDATE monitors SET newest = newest - 60 WHERE id = 1",
            "samples: monitor 1 has a sample of minute ",
        ),
        (
            f"UPDATE late_samples SET minute = {HOT_FROM}",
            f"late_samples: monitor 2 has a sample of minute {HOT_FROM}, which is not late",
        ),
        (
            f"UPDATE sealed SET day = {HOT_FROM}",
            f"sealed: monitor 2 has a day {HOT_FROM}, which is not to be",
        ),
        (
            "UPDATE sealed SET packed = CAST(packed || x'00' AS BLOB)",
            f"sealed: the day {HOT_FROM - DAY} of monitor 2 cannot be read: ",
        ),
        (
            f"UPDATE service SET late_before = {HOT_FROM + 3 * DAY}, sealed_monitor = 1",
            f"sealed: the day {HOT_FROM} of monitor 1 lacks the sample of {NOON + 120}",
        ),
        (
            "DELETE FROM incidents WHERE number = 1",
            "incident_monitors: a row refers to a missing row of incidents",
        ),
        (
            "UPDATE check_faults SET phases = '{\"colour\": 1}'",
            "check_faults: the attempt of monitor 2 at ",
        ),
        (
            "UPDATE certificates SET monitor_id = 77",
            "certificates: a row refers to a missing row of monitors",
        ),
    ],
)
def test_what_differs_is_named_with_its_monitor_and_its_quarter(database: Path, statement: str, line: str):
    assert faults(database) == []
    changed(database, statement)
    assert faults(database)[0].startswith(line)


def test_a_quarter_that_is_marked_to_be_counted_again_may_differ(database: Path):
    changed(database, f"UPDATE samples SET status = 2 WHERE monitor_id = 2 AND minute = {NOON + 900}")
    assert len(faults(database)) == 1
    changed(database, f"INSERT INTO dirty VALUES (2, {NOON + 900}, {NOON + 1800})")
    assert faults(database) == []


def test_the_recount_can_be_limited_to_the_newest_days_or_left_out(database: Path):
    changed(database, f"UPDATE samples SET status = 2 WHERE monitor_id = 2 AND minute = {NOON + 900}")
    changed(database, f"UPDATE service SET rolled_until = {NOON + 3 * DAY}")
    assert f"mars {QUARTER_OF_NOON}" in " ".join(faults(database, days=3))
    assert QUARTER_OF_NOON not in " ".join(faults(database, days=2))
    assert faults(database, quick=True) == []


def test_a_backup_is_verified_like_the_database_in_it(database: Path, tmp_path: Path):
    changed(database, f"UPDATE samples SET status = 2 WHERE monitor_id = 2 AND minute = {NOON + 900}")
    backups.save(BackupSource(database, {}), tmp_path / "b.tar.gz", NOON)
    (line,) = faults(tmp_path / "b.tar.gz")
    assert line.startswith(f"mars {QUARTER_OF_NOON}")


def test_a_flipped_byte_in_a_database_is_found_wherever_it_could_change_a_figure(
    original: Path, database: Path
):
    """An incident's title is counted from nothing, and so is a quarter that has not ended."""
    before, size, found = counted(original), original.stat().st_size, 0
    for offset in range(1, size, max(1, size // 200)):
        shutil.copy(original, database)
        flip(database, offset)
        try:
            told = faults(database)
        except FatalError as fault:
            told = [str(fault)]
        found += bool(told)
        assert told or counted(database) == before, offset
    assert found > 10


def counted(database: Path) -> tuple[list[Any], list[Any]]:
    """The counts of quarters, and the samples they were counted from.

    The last bits of a latency are left out: those of a sum do not show them.
    """
    with closing(connect(database, read_only=True)) as connection:
        (until,) = connection.execute("SELECT rolled_until FROM service").fetchone()
        quarters = connection.execute("SELECT * FROM quarters ORDER BY monitor_id, quarter").fetchall()
        rows = connection.execute(
            """
            SELECT monitor_id, minute, status, source, round(latency, 12)
              FROM samples WHERE minute < ? ORDER BY monitor_id, minute
            """,
            (until,),
        )
        return quarters, rows.fetchall()


def test_an_identity_that_is_none_is_a_fault(database: Path):
    changed(database, "UPDATE service SET identity = 'me'")
    assert faults(database) == ["service: the identity is not a UUID"]


# Scheduled backups


@pytest.fixture
def planned(database: Path, tmp_path: Path) -> BackupPlan:
    return BackupPlan(database, lambda: BackupSource(database, {}), tmp_path / "backups", every=DAY, keep=2)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def value(metrics: Metrics, name: str) -> float | None:
    return metrics.registry.get_sample_value(name)


async def test_a_backup_is_made_when_the_newest_is_too_old(planned: BackupPlan, metrics: Metrics):
    clock = FakeClock()
    scheduled = Backups(lambda: planned, clock, metrics)
    for seconds in (0, 60, DAY - 61, 1, 60, DAY):
        clock.now += seconds
        await scheduled.make_if_due(NEVER)
    assert names_in(planned.folder) == ["kener-20260101T120000Z.tar.gz", "kener-20260102T120100Z.tar.gz"]
    assert value(metrics, LAST_SUCCESS) == NOON + 2 * DAY + 60
    (size,) = {path.stat().st_size for path in planned.folder.glob("*0102*")}
    assert value(metrics, "kener_backup_last_bytes") == size


async def test_a_restart_does_not_forget_when_the_last_backup_was_made(planned: BackupPlan, metrics: Metrics):
    backups.add(planned.source(), planned.folder, NOON - HOUR)
    await Backups(lambda: planned, FakeClock(), metrics).make_if_due(NEVER)
    assert len(names_in(planned.folder)) == 1
    assert value(metrics, LAST_SUCCESS) == NOON - HOUR


async def test_a_backup_that_cannot_be_made_is_tried_again_later(
    planned: BackupPlan, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
):
    planned.folder.write_text("a file in its place")
    now = 1000.0
    monkeypatch.setattr("kener_async.worker.backups.monotonic", lambda: now)
    scheduled = Backups(lambda: planned, FakeClock(), metrics)
    with pytest.raises(Unavailable, match="File exists"):
        await scheduled.make_if_due(NEVER)
    planned.folder.unlink()
    now += RETRY_SECONDS - 1
    await scheduled.make_if_due(NEVER)
    assert not planned.folder.exists()
    now += 1
    await scheduled.make_if_due(NEVER)
    assert len(names_in(planned.folder)) == 1


async def test_a_stop_gives_up_the_backup_that_is_under_way(planned: BackupPlan, metrics: Metrics):
    stop = StopToken()
    under_way = asyncio.create_task(Backups(lambda: planned, FakeClock(), metrics).make_if_due(stop))
    await asyncio.sleep(0)
    stop.set()
    await under_way
    assert names_in(planned.folder) == []


async def test_the_service_makes_backups_by_its_configuration(tmp_path: Path):
    config = a_service_config(tmp_path)
    config = replace(config, backup=BackupConfig(tmp_path / "backups", DAY, 7))
    async with running(config, FakeClock()) as service:
        await service.beat()
        async with asyncio.timeout(20):
            while value(service.app[keys.METRICS], LAST_SUCCESS) != NOON:
                await asyncio.sleep(0.01)
    (made,) = (tmp_path / "backups").iterdir()
    assert archive.unpack(made, tmp_path / "backups").rows["monitors"] == 2
    assert (tmp_path / "backups/kener.db").exists()


async def test_a_token_is_as_good_after_a_restore_as_before(original: Path, backup: Path, tmp_path: Path):
    config = a_service_config(tmp_path)
    restore.restore(backup, config.database.path, NOON)
    clock = FakeClock(NOON + 3 * HOUR)
    async with running(config, clock) as service:
        records = await service.app[keys.DATABASE].read(tokens.all_tokens)
        for name, expected in (("token-0", 200), ("revoked", 401)):
            token = mint(SECRET.encode(), records[name])
            status, _ = await service.ask("GET", "/api/status", token, params={"tag": "earth"})
            assert status == expected


# The commands, beside the real server


TAGS = ("earth", "mars", "venus", "titan")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Not started yet."""
    (tmp_path / "server").mkdir()
    with Server(tmp_path / "server", a_process_config(tags=TAGS)) as one:
        yield one


def elsewhere(folder: Path) -> Server:
    """Another machine, as it were: only the configuration is the same."""
    folder.mkdir()
    return Server(folder, a_process_config(tags=TAGS))


@pytest.mark.process
async def test_a_restore_drill_loses_nothing_that_was_acknowledged_before_the_backup(
    server: Server, tmp_path: Path
):
    server.start()
    senders = Senders(server.port, server.add_token(), TAGS)
    async with senders.running() as sent:
        while len(sent.acked) < 200:
            await asyncio.sleep(0.01)
        acked = dict(sent.acked)
        done = await asyncio.to_thread(server.run, "backup", str(tmp_path / "backup.tar.gz"))
        assert done.returncode == 0, done.stderr
    assert server.stop() == 0
    other = elsewhere(tmp_path / "machine")
    assert other.run("restore", str(tmp_path / "backup.tar.gz")).returncode == 0
    assert other.run("verify").returncode == 0
    stored = stored_samples(other.database)
    assert acked.items() <= stored.items()
    assert stored.items() <= (sent.acked | sent.unanswered).items()
    with other.start():
        assert other.stop() == 0
    assert stored_samples(other.database) == stored


def documented(heading: str) -> list[str]:
    """The commands of a section of docs/operate.md, as they are written."""
    text = (ROOT / "docs/operate.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    return [line.partition("  #")[0].strip() for line in lines if line and not line.startswith("#")]


@pytest.mark.process
def test_a_move_to_another_machine_as_it_is_documented(tmp_path: Path):
    """Each line is run as it is; only folders, ports and systemctl are those of this test."""
    machines = {name: tmp_path / name for name in ("old", "new")}
    for folder in machines.values():
        (folder / "etc").mkdir(parents=True)
    text = a_process_config({"database": {"path": "../data/kener.db"}}, TAGS, site(machines["old"] / "etc"))
    text = text.replace(f'secret_key = "{SECRET_OF_PROCESS}"', "")
    old = Server(machines["old"] / "etc", text, database=machines["old"] / "data/kener.db")
    new = Server(machines["new"] / "etc", "", database=machines["new"] / "data/kener.db")
    new.config.unlink()
    token, here = "", old
    for documented_line in documented("Move to another machine"):
        line = documented_line.removeprefix("sudo ").replace("/etc/kener-async", str(here.folder))
        words = line.replace("/tmp/move.tar.gz", str(machines["old"] / "move.tar.gz")).split()
        match words:
            case ["systemctl", "disable", "--now", *_]:
                old.start()
                token = old.mint()
                assert old.stop() == 0
            case ["kener-async", *command]:
                done = here.run(
                    *(str(here.folder.parent / word) if word == "move.tar.gz" else word for word in command)
                )
                assert done.returncode == 0, done.stderr
            case ["scp", source, _]:
                shutil.copy(source, machines["new"])
                here = new
            case ["tar", *_]:
                subprocess.run(words, check=True, cwd=here.folder.parent)
            case ["systemctl", "enable", "--now", *_]:
                new.start()
            case _:
                raise AssertionError(f"not understood: {line}")
    with new:
        assert asyncio.run(asked(new, "GET", "/assets/logo.svg")) == 200
        assert asyncio.run(asked(new, "GET", "/")) == 200
        assert (
            asyncio.run(
                asked(new, "POST", "/api/status", token, {"tag": "earth", "status": "UP", "latency": 1})
            )
            == 200
        )
        assert new.stop() == 0


async def asked(server: Server, method: str, path: str, token: str = "", body: Any = None) -> int:
    async with connected(server.port, token) as client:
        return (await client.ask(method, path, body)).status


@pytest.mark.process
def test_a_flipped_byte_is_reported_by_the_command_and_not_restored(
    original: Path, backup: Path, tmp_path: Path
):
    other = elsewhere(tmp_path / "machine")
    flip(backup, backup.stat().st_size // 2)
    for command in ("verify", "restore"):
        done = other.run(command, str(backup))
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.endswith("is damaged or cut short: its checksum is wrong")
    assert not other.database.exists()


@pytest.mark.process
def test_a_changed_figure_is_printed_with_its_monitor_and_its_quarter(database: Path, tmp_path: Path):
    changed(database, f"UPDATE samples SET status = 2 WHERE monitor_id = 2 AND minute = {NOON + 900}")
    done = elsewhere(tmp_path / "machine").run("verify", str(database))
    assert done.returncode == 1
    assert done.stdout.startswith(f"mars {QUARTER_OF_NOON}: stored up")
    assert done.stderr == f"{database}: verification failed\n"


@pytest.mark.process
def test_a_backup_goes_through_a_pipe(original: Path, tmp_path: Path):
    one, other = elsewhere(tmp_path / "one"), elsewhere(tmp_path / "other")
    shutil.copy(original, one.database)
    run = [sys.executable, str(ROOT / "run.py")]
    sent = subprocess.Popen(
        [*run, "backup", "-", "--with-key", "--config", one.config],
        stdout=subprocess.PIPE,
        env={**one.environment, "KENER_DATABASE_PATH": str(one.database)},
    )
    received = subprocess.run(
        [*run, "restore", "-", "--config", other.config],
        stdin=sent.stdout,
        env={**other.environment, "KENER_DATABASE_PATH": str(other.database)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert sent.stdout is not None
    sent.stdout.close()
    assert (sent.wait(), received.returncode) == (0, 0)
    assert "signing key kept: it is the one in the backup" in received.stderr
    assert unaudited(other.database) == unaudited(original)
    newest, *_ = transactions.read(other.database, audit.search, audit.AuditSearch())
    assert (newest.act, newest.thing) == ("database.restore", "database")


@pytest.mark.process
def test_a_folder_gets_a_backup_named_after_the_time_and_the_name_is_printed(original: Path, tmp_path: Path):
    machine = elsewhere(tmp_path / "machine")
    shutil.copy(original, machine.database)
    names = [machine.run("backup", f"{tmp_path}/backups/", "--keep", "1").stdout.strip() for _ in range(2)]
    assert [str(path) for path in (tmp_path / "backups").iterdir()] == names[1:]


@pytest.mark.process
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["backup"], 2),
        (["backup", "file.tar.gz", "--keep", "3"], 2),
        (["backup", "nowhere/file.tar.gz"], 1),
        (["backup", "file.tar.gz"], 1),  # there is no database
        (["restore", "nowhere.tar.gz"], 1),
        (["verify", "nowhere.tar.gz"], 1),
        (["verify", "--days", "0"], 2),
        (["export", "file.jsonl"], 1),
        (["import", "nowhere.jsonl"], 1),
        (["migrate"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_ends_with_a_status_and_a_line(tmp_path: Path, words: list[str], status: int):
    done = elsewhere(tmp_path / "machine").run(*words)
    assert done.returncode == status
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert status == 2 or len(done.stderr.splitlines()) == 1
