"""Files that root makes for the service belong to the service's user, who goes on with them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest

from kener_async.store.sqlite import transactions
from tests.rigs.process import ROOT, Server, a_config

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user"),
]

SERVICE = 61234  # a user and a group


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of the service's user, which that user can reach; pytest's own are root's."""
    folder = Path(tempfile.mkdtemp(prefix="kener-home-"))
    os.chown(folder, SERVICE, SERVICE)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    """Run by the service's user, not started yet; the key is secret.key beside the database."""
    with Server(home, a_config({"auth": {}}), as_user=SERVICE) as one:
        yield one


def as_root(server: Server, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *words, "--config", str(server.config)],
        capture_output=True,
        text=True,
        env={**server.environment, "KENER_DATABASE_PATH": str(server.database)},
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def owners(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path.name: (path.stat().st_uid, path.stat().st_gid)
        for path in folder.rglob("*")
        if path.name not in ("config.toml", "server.log")
    }


def test_the_service_starts_on_a_key_that_root_made_before(server: Server):
    server.database = server.folder / "data" / "kener.db"
    work = (
        "import os, sys; from pathlib import Path; from kener_async.config.load import load;"
        "from kener_async.ops.signing_key import signing_secret;"
        "signing_secret(load(Path(sys.argv[1]), os.environ).auth)"
    )
    subprocess.run(
        [sys.executable, "-c", work, server.config],
        check=True,
        cwd=ROOT,
        env={**server.environment, "KENER_DATABASE_PATH": str(server.database)},
    )
    assert owners(server.folder) == {"data": (SERVICE, SERVICE), "secret.key": (SERVICE, SERVICE)}
    server.start()
    assert server.stop() == 0


def test_a_database_that_root_made_belongs_to_the_owner_of_the_folder(home: Path, server: Server):
    server.database = home / "one" / "two" / "kener.db"
    work = (
        "import sys; from pathlib import Path; from kener_async.store.sqlite import transactions;"
        "transactions.write(Path(sys.argv[1]), lambda session: None)"
    )
    subprocess.run([sys.executable, "-c", work, server.database], check=True, cwd=ROOT)
    assert set(owners(home).values()) == {(SERVICE, SERVICE)}
    server.start()
    assert server.stop() == 0


def test_what_root_creates_beside_the_service_the_user_of_the_service_revokes_and_the_other_way(
    server: Server,
):
    server.start()
    made_by_root = as_root(server, "token", "create", "--name", "first", "--init")
    made_by_user = server.mint("--name", "second")
    assert set(owners(server.folder).values()) == {(SERVICE, SERVICE)}
    ids = [
        jwt.decode(token, options={"verify_signature": False})["jti"]
        for token in (made_by_root, made_by_user)
    ]
    assert server.run("token", "revoke", ids[0]).returncode == 0
    as_root(server, "token", "revoke", ids[1])
    listed = json.loads(as_root(server, "token", "list", "--json"))
    assert all(token["revoked_at"] for token in listed)
    assert set(owners(server.folder).values()) == {(SERVICE, SERVICE)}
    assert server.stop() == 0


def roots_folder(server: Server) -> Path:
    os.chown(server.database.parent, 0, 0)
    os.chmod(server.database.parent, 0o700)
    return server.database.parent


def roots_database(server: Server) -> Path:
    os.chown(server.database, 0, 0)
    os.chmod(server.database, 0o600)
    return server.database


def roots_readable_database(server: Server) -> Path:
    os.chown(server.database, 0, 0)
    os.chmod(server.database, 0o644)
    return server.database


def roots_key(server: Server) -> Path:
    key = server.database.with_name("secret.key")
    key.write_text("r" * 20 + "o" * 20 + "t" * 20)
    os.chmod(key, 0o600)
    return key


def roots_lock(server: Server) -> Path:
    lock = Path(f"{server.database}.lock")
    lock.touch(0o600)
    return lock


@pytest.mark.parametrize(
    "make", [roots_folder, roots_database, roots_readable_database, roots_key, roots_lock]
)
def test_a_start_that_a_file_of_root_prevents_names_it_in_one_line(
    home: Path, make: Callable[[Server], Path]
):
    config = a_config({"auth": {}, "database": {"path": "data/kener.db"}})
    with Server(home, config, as_user=SERVICE) as server:
        server.database = home / "data" / "kener.db"
        transactions.write(server.database, lambda session: None)
        path = make(server)
        server.launch()
        assert server.wait(30) == 1, server.log_text()
        (line,) = server.logs()
        assert (line["event"], "Traceback" in server.log_text()) == ("cannot start", False)
        assert line["reason"].startswith(str(path))
