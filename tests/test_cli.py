"""The command line itself: help, how the program is called, and options that override the configuration."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kener_async.cli.common import program
from kener_async.cli.main import main
from kener_async.config.model import Config
from kener_async.config.schema import needs_restart
from kener_async.process import run
from kener_async.resources import shipped
from tests.rigs.process import ROOT

SHORT = 45  # characters of a command's help that click shows in the list of commands


def commands(command: click.Command = main, name: str = "kener-async") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for word, inner in command.commands.items():
            yield from commands(inner, f"{name} {word}")


@pytest.mark.parametrize(("name", "command"), [each for each in commands() if each[1] is not main])
def test_the_list_of_commands_shows_a_whole_sentence(name: str, command: click.Command):
    shown = command.get_short_help_str(SHORT)
    assert shown.endswith(".")
    assert not shown.endswith("...")
    assert (command.help or "").startswith(shown)


def test_every_option_has_its_help():
    options = [
        (name, option)
        for name, command in commands()
        for option in command.params
        if isinstance(option, click.Option)
    ]
    assert [(name, option.name) for name, option in options if not option.help] == []


def module(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "kener_async", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT)},
        timeout=30,
        check=False,
    )


def test_the_package_is_the_same_program(tmp_path: Path):
    (tmp_path / "config.toml").write_text('[[monitors]]\ntag = "earth"\n[[monitors]]\ntag = "mars"\n')
    done = module("check-config", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "OK: 2 monitors, 0 categories\n")
    assert module("-h", cwd=tmp_path).stdout.startswith("Usage: python -m kener_async ")


def test_the_package_installs_a_script_that_runs_it_from_anywhere(tmp_path: Path):
    assert module("install", "--root", str(tmp_path), cwd=tmp_path).returncode == 0
    script = tmp_path / "usr/local/bin/kener-async"
    done = subprocess.run([script, "--version"], capture_output=True, text=True, cwd="/", check=True)
    assert done.stdout.startswith("kener-async, version ")


def test_init_writes_the_commented_configuration_where_there_is_none(tmp_path: Path):
    done = module("init", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"wrote {tmp_path / 'config.toml'}" in done.stderr
    assert (tmp_path / "config.toml").read_text() == shipped("config.toml")
    assert (tmp_path / "config.toml").stat().st_mode & 0o007 == 0
    assert module("check-config", cwd=tmp_path).returncode == 0

    (tmp_path / "config.toml").write_text("mine")
    again = module("init", cwd=tmp_path)
    assert again.returncode == 1
    (line,) = again.stderr.splitlines()
    assert line.endswith("config.toml: exists, and is left as it is; name another file by --config")
    assert (tmp_path / "config.toml").read_text() == "mine"
    assert module("init", "--config", "other.toml", cwd=tmp_path).returncode == 0
    assert module("init", "--config", "no/such/folder.toml", cwd=tmp_path).stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("/usr/local/bin/kener-async", "/usr/local/bin/kener-async"),
        ("run.py", "/python run.py"),
        ("/opt/kener/kener_async/__main__.py", "python -m kener_async"),
    ],
)
def test_examples_call_the_program_as_it_was_called(
    monkeypatch: pytest.MonkeyPatch, argument: str, words: str
):
    monkeypatch.setattr(sys, "executable", "/elsewhere/bin/python")
    monkeypatch.setattr(sys, "argv", [argument])
    assert program().endswith(words)


def test_the_welcome_names_the_page_and_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    printed = served(monkeypatch, tmp_path, "--welcome", "--port", "3001").output
    assert "http://127.0.0.1:3001/" in printed
    assert "python -m kener_async token create --name my-device" in printed


@pytest.mark.parametrize(
    ("options", "url"),
    [
        (["--host", "0.0.0.0"], "http://127.0.0.1:3000/"),
        (["--host", "::", "--port", "3001"], "http://[::1]:3001/"),
        (["--host", "::1", "--port", "0"], "http://[::1]:41234/"),
        (["--host", "192.0.2.7"], "http://192.0.2.7:3000/"),
    ],
)
def test_the_welcome_names_an_address_that_can_be_opened(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], url: str
):
    assert f"The page      {url}\n" in served(monkeypatch, tmp_path, "--welcome", *options).output


class Started:
    """What `serve` runs instead of the service."""

    config: Config
    reload: Callable[[], Config]
    output: str

    def __call__(self, config: Config, reload: Callable[[], Config], announce: Callable[[int], None]) -> int:
        self.config, self.reload = config, reload
        announce(config.server.port or 41234)
        return 0


def served(monkeypatch: pytest.MonkeyPatch, folder: Path, *options: str) -> Started:
    started = Started()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(run, "run", started)
    monkeypatch.setattr(sys, "argv", [str(ROOT / "kener_async/__main__.py")])
    (folder / "config.toml").touch()
    done = CliRunner().invoke(main, ["serve", *options])
    assert done.exit_code == 0, done.output
    started.output = done.output
    return started


CHANGED = """
[server]
host = "0.0.0.0"
port = 4000
[database]
path = "elsewhere.db"
"""


def test_a_reload_reports_a_changed_address_and_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    started = served(monkeypatch, tmp_path)
    (tmp_path / "config.toml").write_text(CHANGED)
    changed = needs_restart(started.config, started.reload())
    assert {"server.host", "server.port", "database.path"} <= set(changed)


def test_the_command_line_wins_at_a_reload_as_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    started = served(monkeypatch, tmp_path, "--host", "::1", "--port", "0", "--database", "mine.db")
    (tmp_path / "config.toml").write_text(CHANGED)
    reloaded = started.reload()
    for config in (started.config, reloaded):
        assert (config.server.host, config.server.port) == ("::1", 0)
        assert config.database.path == tmp_path / "mine.db"
    assert not {"server.host", "server.port", "database.path"} & set(needs_restart(started.config, reloaded))
