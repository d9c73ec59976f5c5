"""Every command where it cannot do its work: no traceback, status 1, and one line that says what to do."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.rigs.process import ROOT, Server, a_config

pytestmark = pytest.mark.process

NOBODY = 65534
IS_ROOT = os.geteuid() == 0
Done = subprocess.CompletedProcess[str]

ON_DATABASE = [
    ["token", "create", "--name", "x"],
    ["token", "create", "--beat", "--tag", "earth"],
    ["token", "list"],
    ["token", "revoke", "x"],
    ["incident", "list"],
    ["incident", "delete", "1", "--yes"],
    ["status"],
    ["backup", "out.tar.gz"],
    ["verify"],
    ["export", "out.jsonl"],
    ["migrate"],
]
MANAGING = [
    ["incident", "open", "x", "--monitor", "earth"],
    ["incident", "comment", "1", "x"],
    ["incident", "resolve", "1"],
    ["incident", "show", "1"],
    ["incident", "publish", "1"],
    ["incident", "unpublish", "1"],
    ["incident", "merge", "1", "--into", "2", "--yes"],
    ["maintenance", "plan", "x", "--monitor", "earth", "--begin", "now", "--length", "1h"],
    ["maintenance", "end", "1"],
    ["maintenance", "move", "1", "--length", "1h"],
    ["maintenance", "cancel", "1"],
    ["maintenance", "delete-series", "x", "--yes"],
    ["person", "add", "--role", "viewer", "ada"],
    ["person", "reset", "ada"],
    ["person", "deactivate", "ada"],
    ["alert", "ack", "earth"],
    ["channel", "test", "x"],
]
LISTING = [[thing, "list"] for thing in ("incident", "maintenance", "person", "alert", "channel")]
WRITING = [*ON_DATABASE[:2], ["token", "revoke", "x"]]
INTO_DATABASE = [["restore", "backup.tar.gz"], ["import", "all.jsonl"]]
SERVE = ["serve", "--port", "0"]
OTHERS = [["check-config"], ["openapi"], ["doctor"]]


def named(words: Sequence[str]) -> str:
    return " ".join(words)


@dataclass
class Place:
    """A folder with config.toml, a database and what commands read; commands run in it as nobody."""

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "data/kener.db"

    def run(self, *words: str, user: int = NOBODY, program: Sequence[str] = (), **environment: str) -> Done:
        return subprocess.run(
            [*program, sys.executable, str(ROOT / "run.py"), *words],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            user=user if IS_ROOT else None,
            group=user if IS_ROOT else None,
            extra_groups=[] if IS_ROOT else None,
        )

    def give_to(self, user: int) -> None:
        if IS_ROOT:
            for path in [self.folder, *self.folder.rglob("*")]:
                os.chown(path, user, user)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place whose service has run once, with a backup and an export of it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "config.toml").write_text(a_config())
    with Server(folder, database=folder / "data/kener.db") as server:
        server.start()
        server.stop()
        for words in (["backup", "backup.tar.gz"], ["export", "all.jsonl"]):
            assert server.run(*words).returncode == 0
    return folder


@pytest.fixture
def place(made: Path) -> Iterator[Place]:
    """A copy of it that belongs to nobody; not in pytest's folder, which is closed to other users."""
    with tempfile.TemporaryDirectory(prefix="kener-place-") as folder:
        found = Place(Path(shutil.copytree(made, folder, dirs_exist_ok=True)))
        found.give_to(NOBODY)
        found.folder.chmod(0o755)
        yield found


def assert_one_line(done: Done, *texts: str) -> None:
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("using ")]
    assert len(lines) == 1, done.stderr
    assert any(text in lines[0] for text in texts), lines[0]


# The circumstances

Circumstance = Callable[[Place], None]


def no_configuration(place: Place) -> None:
    (place.folder / "config.toml").unlink()


def closed_configuration(place: Place) -> None:
    (place.folder / "config.toml").chmod(0o640)
    if IS_ROOT:
        os.chown(place.folder / "config.toml", 0, 0)
    else:
        (place.folder / "config.toml").chmod(0)


def no_database(place: Place) -> None:
    shutil.rmtree(place.folder / "data", ignore_errors=True)
    for left in place.folder.glob("kener.db*"):
        left.unlink()


def closed_folder(place: Place) -> None:
    if IS_ROOT:
        os.chown(place.database.parent, 0, 0)
    place.database.parent.chmod(0o700 if IS_ROOT else 0)


def text_as_database(place: Place) -> None:
    place.database.write_text("Dear diary, " * 1000)


def other_database(place: Place) -> None:
    place.database.unlink()
    with closing(sqlite3.connect(place.database)) as other:
        other.execute("CREATE TABLE dashboards (id INTEGER)")
        other.commit()
    place.give_to(NOBODY)


def read_only_folder(place: Place) -> None:
    if IS_ROOT:
        for path in [place.database.parent, *place.database.parent.iterdir()]:
            os.chown(path, 0, 0)
            path.chmod(0o755 if path.is_dir() else 0o644)
    else:
        place.database.parent.chmod(0o555)


SUDO = "run this with sudo, or as the user that owns it"
CASES = [
    (no_configuration, [*ON_DATABASE, *INTO_DATABASE, SERVE, *OTHERS], ["there is no such file"]),
    (closed_configuration, [*ON_DATABASE, *INTO_DATABASE, SERVE, *OTHERS], [SUDO]),
    (
        no_database,
        [*ON_DATABASE, *MANAGING, *LISTING[1:]],
        ["start the service first, or name its configuration with --config"],
    ),
    (closed_folder, [*ON_DATABASE, *INTO_DATABASE, SERVE], [SUDO]),
    (
        text_as_database,
        [*ON_DATABASE, SERVE],
        ["file is not a database: name another", "nor a database: name another"],
    ),
    (other_database, [*ON_DATABASE, SERVE], ["is a database of another program: name another file"]),
    (read_only_folder, [*WRITING, *INTO_DATABASE, SERVE], [SUDO]),
]


@pytest.mark.parametrize(
    ("circumstance", "words", "texts"),
    [
        pytest.param(circumstance, words, texts, id=f"{circumstance.__name__}-{named(words)}")
        for circumstance, commands, texts in CASES
        for words in commands
    ],
)
def test_a_command_says_in_one_line_what_to_do(
    place: Place, circumstance: Circumstance, words: list[str], texts: list[str]
):
    circumstance(place)
    try:
        assert_one_line(place.run(*words), *texts)
    finally:
        if not IS_ROOT:
            place.database.parent.chmod(0o755)


@pytest.mark.parametrize(
    ("circumstance", "finding"),
    [
        (no_database, "warn  database: "),
        (text_as_database, "fail  database: "),
        (other_database, "fail  database: "),
        (read_only_folder, "fail  disk speed: "),
    ],
)
def test_the_doctor_finds_what_other_commands_stumble_over(
    place: Place, circumstance: Circumstance, finding: str
):
    circumstance(place)
    done = place.run("doctor")
    assert "Traceback" not in done.stderr
    assert finding in done.stdout


def test_the_doctor_says_what_it_may_not_read(place: Place):
    closed_folder(place)
    assert_one_line(place.run("doctor"), SUDO)


# A full disk

FULL = [
    ["token", "create", "--init", "--name", "x"],
    ["token", "create", "--init", "--beat", "--tag", "earth"],
    ["backup", "data/out.tar.gz"],
    ["export", "data/out.jsonl"],
    ["restore", "backup.tar.gz"],
    ["import", "all.jsonl"],
]
ON_A_FULL_DISK = """
mount -t tmpfs -o size=2m,mode=777 full data &&
{ [ -z "$KEPT" ] || cp -a kept/. data; } &&
dd if=/dev/zero of=data/filling bs=4k 2>/dev/null
exec "$@"
"""


@pytest.mark.skipif(not IS_ROOT, reason="only root mounts a file system of its own")
@pytest.mark.parametrize("kept", ["", "1"], ids=["before the first start", "after it"])
@pytest.mark.parametrize("words", FULL, ids=named)
def test_a_full_disk_is_named(place: Place, words: list[str], kept: str):
    shutil.copytree(place.database.parent, place.folder / "kept")
    program = ["unshare", "-m", "sh", "-c", ON_A_FULL_DISK, "sh"]
    done = place.run(*words, user=0, program=program, KEPT=kept)
    if not kept and words[0] in {"backup", "export"}:
        assert_one_line(done, "there is no database yet")
    else:
        assert_one_line(done, "free some space", "MB are free", "--force")


@pytest.mark.skipif(not IS_ROOT, reason="only root mounts a file system of its own")
def test_a_service_that_finds_a_full_disk_at_its_first_start_says_so(place: Place):
    program = ["unshare", "-m", "sh", "-c", ON_A_FULL_DISK, "sh"]
    assert_one_line(place.run(*SERVE, user=0, program=program, KEPT=""), "free some space")


# Many at once, and the first time


def test_a_token_is_not_made_for_a_service_that_is_not_there(place: Place):
    no_database(place)
    done = place.run("token", "create", "--name", "x")
    assert done.stdout == ""
    assert str(place.database) in done.stderr
    assert str(place.folder / "config.toml") in done.stderr
    assert not place.database.parent.exists()
    assert place.run("token", "create", "--init", "--name", "x").returncode == 0


def test_before_the_first_start_each_command_works_or_says_in_a_line_what_is_missing(place: Place):
    no_database(place)
    done = place.run("person", "add", "--init", "--role", "admin", "grace")
    assert (done.returncode, "/manage/invitation/" in done.stdout) == (0, True)
    assert_one_line(place.run(*MANAGING[0]), "with these monitors yet: earth: start the service once")
    for words in MANAGING[1:]:
        done = place.run(*words)
        if done.returncode:
            assert_one_line(
                done, "not found", "there is no", "not stored yet: start the service once", "no monitor"
            )
    for words in LISTING:
        assert place.run(*words).returncode == 0, words


@pytest.mark.parametrize("first", [True, False], ids=["the first ones", "later ones"])
def test_six_commands_at_once_all_make_their_token(place: Place, first: bool):
    if first:
        no_database(place)
    with ThreadPoolExecutor(6) as pool:
        runs = [
            pool.submit(place.run, "token", "create", "--init", "--name", f"t{number}") for number in range(6)
        ]
        done = [run.result() for run in runs]
    assert [run.stderr for run in done if run.returncode] == []
    assert len({run.stdout for run in done}) == 6
    listed = place.run("token", "list", "--json")
    assert {token["name"] for token in json.loads(listed.stdout)} == {f"t{number}" for number in range(6)}


def test_tokens_are_managed_also_while_monitors_are_configured_wrongly(place: Place):
    with (place.folder / "config.toml").open("a") as file:
        file.write('[[monitors]]\nname = "without a tag"\n')
    assert place.run("token", "create", "--name", "door", KENER_SITE_LOCALE="de").returncode == 0
    assert '"door"' in place.run("token", "list", "--json").stdout
    assert place.run("token", "revoke", "door").returncode == 0
    for words in (["token", "create", "--beat", "--tag", "earth"], ["incident", "list"]):
        assert_one_line(place.run(*words), "tag: is missing")
    (place.folder / "config.toml").write_text("[auth]\nsecret_kay = 1\n")
    assert_one_line(place.run("token", "list"), "secret_kay: unknown key")


# The configuration that is used


def test_a_command_that_was_not_told_a_configuration_says_which_it_uses(place: Place):
    file = place.folder / "config.toml"
    told = [place.run("--config", "config.toml", "status"), place.run("status", KENER_CONFIG="config.toml")]
    for words in [*ON_DATABASE, ["doctor"]]:
        assert place.run(*words).stderr.startswith(f"using {file}\n"), words
    assert [done.stderr for done in told] == [
        "no server is running on this database: this is the state when one last was\n"
    ] * 2


def test_a_database_of_another_program_is_left_as_it_was(place: Place):
    other_database(place)
    before = place.database.read_bytes()
    for words in ON_DATABASE:
        place.run(*words)
    assert place.database.read_bytes() == before


def test_no_command_and_no_log_shows_a_secret(tmp_path: Path):
    secrets = {"SIGNING": "9" * 20 + "Zq8" + "x" * 20, "PUSH": "Zq8-push-token", "PING": "Zq8-ping"}
    more = """
[watch]
ping_url = "http://127.0.0.1:1/$PING"
ping_every = 1
[[monitors]]
tag = "venus"
uptime_kuma = { token = "$PUSH" }
"""
    text = a_config(
        {"auth": {"secret_key": "$SIGNING"}, "log": {"level": "debug", "requests": "all"}}, more=more
    )
    with Server(tmp_path, text, environment=secrets) as server:
        server.start()
        for words in (["check-config"], ["status"], ["status", "--json"], ["doctor"], ["openapi"]):
            done = server.run(*words)
            assert "Zq8" not in done.stdout + done.stderr, words
        server.config.write_text(text + "bad = 1")
        server.send(signal.SIGHUP)
        server.until_logged("the new configuration is not used; the old one stays")
        server.stop()
        assert "Zq8" not in server.log_text()
