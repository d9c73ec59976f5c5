"""The shell script: small, sound, and what it keeps arrives."""

import subprocess
from pathlib import Path

import pytest

from tests.process import ROOT, Server, a_config, stored_samples

SCRIPT = ROOT / "contrib/heartbeat.sh"


def test_it_is_short():
    assert len(SCRIPT.read_text().splitlines()) < 100


@pytest.mark.process
@pytest.mark.parametrize("shell", [("dash",), ("bash", "--posix")], ids=["dash", "bash"])
def test_what_was_kept_while_the_server_was_away_arrives(tmp_path: Path, shell: tuple[str, ...]):
    with Server(tmp_path, a_config()) as server:
        environment = {
            "PATH": "/usr/bin:/bin",
            "KENER_URL": f"http://127.0.0.1:{server.port}",
            "KENER_TOKEN": server.add_token(),
            "KENER_STATE": str(tmp_path / "state"),
            "KENER_TIMEOUT": "5",
        }

        def run(*words: str) -> int:
            return subprocess.run([*shell, str(SCRIPT), *words], env=environment, check=False).returncode

        assert run("earth", "DOWN", "0.25") == 0
        assert run("not a tag") == 2
        server.start()
        assert run("mars", "--", "true") == 0
        stored = {tag: status for (tag, _), status in stored_samples(server.database).items()}
        assert stored == {"earth": "DOWN", "mars": "UP"}
