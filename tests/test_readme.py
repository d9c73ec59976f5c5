"""The README, followed word by word in an empty folder: answers are as printed, nothing is left."""

import asyncio
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.rigs.html_client import HtmlClient, session_of_client
from tests.rigs.people import PASSWORD
from tests.rigs.process import ROOT, a_free_port

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

README = (ROOT / "README.md").read_text()
DIGITS = re.compile(r"[0-9]{10}")
ID = re.compile(r"\b[0-9a-f]{16}\b")


def section(title: str) -> str:
    return README.partition(f"## {title}\n")[2].partition("\n## ")[0]


def commands(text: str) -> list[str]:
    """The commands of a section: indented lines, those of one command without a blank line between them."""
    blocks = re.findall(r"(?:^ {4}.*\n)+", text, re.MULTILINE)
    return ["".join(line[4:] for line in block.splitlines(keepends=True)).strip() for block in blocks]


def answers(text: str) -> list[str]:
    """The answers that a section prints, which begin as JSON or as a command's do."""
    quoted = re.findall(r"`((?:\{\"|deleted |revoked )[^`]*)`", text)
    return [" ".join(answer.split()) for answer in quoted]


def plain(text: str) -> str:
    """Without the numbers that differ each time."""
    return DIGITS.sub("<instant>", ID.sub("<id>", text.strip()))


class Tutorial:
    """A shell in the folder of a fresh checkout, and the service that its first command started."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.shell = subprocess.Popen(
            ["bash"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> str:
        """What the command prints; only the port differs from the README's."""
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        command = command.replace("127.0.0.1:3000", f"127.0.0.1:{self.port}").replace("curl ", "curl -sS ")
        self.shell.stdin.write(f"{command}\necho; echo done $?\n")
        self.shell.stdin.flush()
        printed = ""
        while not (ended := re.search(r"^done (\d+)$", printed, re.MULTILINE)):
            line = self.shell.stdout.readline()
            assert line, printed
            printed += line
        assert ended[1] == "0", printed
        return printed[: ended.start()].strip()

    def page(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/") as reply:
            return str(reply.read().decode())

    def await_on_page(self, text: str, is_there: bool = True) -> None:
        """Wait until the page has the text, or has it no more: it follows the terminal within seconds."""
        deadline = time.monotonic() + 10
        while (text in self.page()) != is_there:
            assert time.monotonic() < deadline, text
            time.sleep(0.1)


async def post_an_incident(origin: str, invitation: str) -> None:
    """Open the link, choose a password, and post what the README says, without JavaScript."""
    async with session_of_client() as session:
        browser = HtmlClient(session, origin)
        screen = await browser.open(invitation)
        form = screen.form(action=invitation)
        await form.fill(password=PASSWORD, repeated=PASSWORD).submit()
        overview = await browser.open("/manage")
        new = await overview.follow("New incident")
        published = await new.press("Publish", title="A first try", monitors=["earth"])
        assert "A first try" in published.said


@pytest.fixture
def tutorial(tmp_path: Path) -> Iterator[Tutorial]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode or not shutil.which("make") or not shutil.which("curl"):
        pytest.skip("no repository, make or curl")
    for name in listed.stdout.splitlines():
        if not name.startswith(("docs/images/", "tests/", "benchmarks/")) and (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    port = a_free_port()
    first, *_ = commands(section("Two commands"))
    service = subprocess.Popen(
        [*first.split(), "--old-file=.venv/run"],  # installed before
        cwd=tmp_path,
        env={**os.environ, "KENER_SERVER_PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert service.stdout is not None
        greeting = ""
        while "A heartbeat" not in greeting:
            line = service.stdout.readline()
            assert line, greeting
            greeting += line
        assert f"http://127.0.0.1:{port}/\n" in greeting
        followed = Tutorial(tmp_path, port)
        yield followed
        followed.shell.communicate("exit\n")
    finally:
        os.killpg(service.pid, signal.SIGINT)
        service.communicate(timeout=20)


def test_the_readme_is_true_word_by_word(tutorial: Tutorial):
    create, report, read = commands(section("A first heartbeat"))
    reported, shown = answers(section("A first heartbeat"))
    assert tutorial.run(create) == f"using {tutorial.folder / 'config.toml'}"
    assert plain(tutorial.run(report)) == plain(reported)
    assert plain(tutorial.run(read)) == plain(shown)

    (check,) = commands(section("A first check"))
    checked = tutorial.run(check)
    assert "UP  http://127.0.0.1:" in checked
    assert "first byte" in checked

    text = section("A first incident")
    added, commented, resolved, explained, deleted, revoked = commands(text)
    gone, refused = answers(text)
    path = tutorial.run(added).splitlines()[-1].rpartition(":3000")[2]
    asyncio.run(post_an_incident(f"http://127.0.0.1:{tutorial.port}", path))
    assert "A first try" in tutorial.page()
    tutorial.run(commented)
    tutorial.await_on_page("We found the cause.")
    tutorial.run(resolved)
    tutorial.await_on_page("All is well again.")
    assert json.loads(tutorial.run(explained))["minutes"]
    assert tutorial.run(deleted).splitlines()[-1] == gone
    assert plain(tutorial.run(revoked).splitlines()[-1]) == plain(refused)

    tutorial.await_on_page("A first try", is_there=False)
    with closing(sqlite3.connect(tutorial.folder / "data/kener.db")) as database:
        left = [database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES]
        valid = database.execute("SELECT name FROM tokens WHERE revoked_at IS NULL").fetchall()
    assert (left, valid) == ([0, 0, 0], [])


TABLES = ("incidents", "updates", "incident_monitors")
