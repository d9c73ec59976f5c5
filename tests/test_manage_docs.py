"""The page about the signed-in side: its roles are those of the code, its settings load, its commands run."""

import re
from asyncio import to_thread
from pathlib import Path

import pytest
from click.testing import CliRunner

from kener_async.cli.main import main
from kener_async.config.load import load
from kener_async.domain.people import Act
from tests.rigs.service import SECRET, FakeClock, a_config, a_monitor, running

PAGE = (Path(__file__).parent.parent / "docs/manage.md").read_text()
ROW = re.compile(r"^\| ([^|]+) \|([^|]*)\|([^|]*)\|([^|]*)\|([^|]*)\| ([^|]+) \|$", re.MULTILINE)
ROLES = ("viewer", "responder", "editor", "admin")
OF_ONESELF = (Act.ACCOUNT, Act.CHANGE_FACTORS)


def rows() -> set[tuple[str, str | None, bool]]:
    """The role from which on, the scope, and whether it must be fresh, of each row of the table."""
    found = set()
    for _, *cells, scope in ROW.findall(PAGE):
        marks = [cell.strip() for cell in cells]
        if not set(marks) <= {"", "yes", "fresh"}:
            continue
        first = next(place for place, mark in enumerate(marks) if mark)
        assert all(marks[first:]), marks
        named = None if scope == "never" else scope.strip("`")
        found.add((ROLES[first], named, marks[first] == "fresh"))
    return found


def test_the_roles_are_those_of_the_code():
    acts = {
        (act.permission.role.name.lower(), act.permission.scope, act.permission.is_fresh)
        for act in Act
        if act not in OF_ONESELF
    }
    assert rows() == acts


@pytest.mark.parametrize(
    "section", re.findall(r"((?:^    .*\n|^\n)*^    \[manage\.\w+\]\n(?:^    .*\n)+)", PAGE, re.M)
)
def test_the_settings_load(tmp_path: Path, section: str):
    text = "".join(line[4:] if line.strip() else line for line in section.splitlines(keepends=True))
    file = tmp_path / "config.toml"
    file.write_text(f'[auth]\nsecret_key = "{SECRET}"\n{text}')
    config = load(file, {"OIDC_SECRET": "x" * 32})
    assert config.manage.oidc is not None or config.manage.proxy is not None


def test_both_sections_are_there():
    assert len(re.findall(r"^    \[manage\.\w+\]$", PAGE, re.MULTILINE)) == 2


async def test_the_commands_run_beside_the_service(tmp_path: Path, clock: FakeClock):
    async with running(a_config(tmp_path, a_monitor("payments")), clock):
        config = tmp_path / "config.toml"
        config.write_text(config.read_text() + '[[monitors]]\ntag = "payments"\n')
        commands = re.findall(r"^    kener-async ((?:person|incident) .+)$", PAGE, re.MULTILINE)
        assert len(commands) == 4
        for command in commands:
            words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command.replace(" 7", " 1"))]
            result = await to_thread(CliRunner().invoke, main, ["--config", str(config), *words])
            assert result.exit_code == 0, (command, result.output)
