"""What is imported: libraries that only sign-ins use not by a start, the service not by a command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kener_async.store.sqlite import database
from tests.rigs.process import ROOT, a_config

OF_SIGN_INS = {"argon2", "fido2", "pyotp", "segno"}
OF_THE_SERVICE = {"kener_async.app", "kener_async.web", "kener_async.api.manage", "jinja2", *OF_SIGN_INS}

# Starts the service, answers the page and a status, and stops it.
SERVICE = """
import asyncio, sys
from pathlib import Path
from aiohttp.test_utils import TestClient, TestServer
from kener_async.app import create_app
from kener_async.config.load import load

async def run():
    async with TestClient(TestServer(create_app(load(Path(sys.argv[1]), {})))) as client:
        for path in ("/", "/metrics", "/api/status?tag=earth", "/feed.atom", "/manage"):
            await client.get(path)

asyncio.run(run())
"""
COMMAND = """
import sys
from kener_async.cli.main import main
main([*sys.argv[2:], "--config", sys.argv[1]], standalone_mode=False)
"""
SIGN_IN = "from kener_async.identity import passwords\npasswords.argon2id()"
REPORT = "\nimport json\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A configuration with its database."""
    async with database.opened(tmp_path / "kener.db", "normal"):
        pass
    file = tmp_path / "config.toml"
    file.write_text(a_config({"database": {"path": str(tmp_path / "kener.db")}}))
    return file


def imported(script: str, *arguments: str) -> set[str]:
    """The modules that a script has imported at its end."""
    command = [sys.executable, "-c", script + REPORT, *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(ended.stderr.splitlines()[-1]))


def test_a_service_that_nobody_signs_in_to_imports_no_library_of_sign_ins(file: Path):
    modules = imported(SERVICE, str(file))
    assert {"kener_async.app", "kener_async.web.manage.passkeys"} <= modules
    assert not OF_SIGN_INS & modules


@pytest.mark.parametrize("words", ["check-config", "token list", "incident list", "person list"])
def test_a_command_imports_nothing_of_the_service(file: Path, words: str):
    modules = imported(COMMAND, str(file), *words.split())
    assert "kener_async.config.load" in modules
    assert not OF_THE_SERVICE & modules


def test_a_hash_imports_the_library_of_hashes():
    assert "argon2" in imported(f"import sys\n{SIGN_IN}")
