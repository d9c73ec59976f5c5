"""The shape of the house: imports point one way, and what ships is complete."""

import subprocess
import sys
from pathlib import Path

from kener_async.resources import shipped

ROOT = Path(__file__).parent.parent


def test_imports_point_one_way():
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_sql_is_written_in_the_store_and_for_the_agents_spool_only():
    words = ("SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM")
    for file in (ROOT / "kener_async").rglob("*.py"):
        if "store" not in file.parts and file.name != "spool.py":
            assert not any(word in file.read_text() for word in words), file


def test_the_schema_and_the_configuration_are_found_beside_the_package():
    assert "CREATE TABLE samples" in shipped("schema.sql")
    assert "[server]" in shipped("config.toml")
