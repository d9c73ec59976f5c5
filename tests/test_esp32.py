"""contrib/esp32/main.py, run by MicroPython against the real server, through power cuts.

Only the board is made up: MicroPython, its `requests` and its LittleFS are the real ones. Python runs the
example too, in a plain folder, and alone where there is no MicroPython to install.
"""

import json
import os
import platform
import shutil
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kener_async.store import devices
from tests.rigs.process import MINUTE, ROOT, Server, a_config, reading
from tests.rigs.stored_samples import samples_in

MICROPYTHON = shutil.which("micropython", path=str(Path(sys.executable).parent)) or "micropython"
HEAP = "heapsize=128k"  # objects take twice as much as on an ESP32
COMMANDS = {"micropython": [MICROPYTHON, "-X", HEAP], "python": [sys.executable, "-uB"]}
TAGS = [f"board-{number}" for number in range(150)]
NOTHING_MISSING = (0, 0)

pytestmark = pytest.mark.process
MUST_BE_THERE = "CI" in os.environ and platform.machine() == "x86_64"
needs_micropython = pytest.mark.skipif(
    not shutil.which(MICROPYTHON) and not MUST_BE_THERE, reason="no MicroPython for this machine"
)


class Esp32:
    """A board with the example on it, and what it has measured.

    `measured` has the moment of each sample by its number, which is what it gives as its latency. Its clock
    loses `slow` seconds a second. With a flash, and not only a folder, its power may go amid a write.
    """

    def __init__(self, interpreter: str, server: Server, tag: str) -> None:
        self.command = COMMANDS[interpreter]
        self.server = server
        self.tag = tag
        self.token = server.add_token()
        self.url = f"http://127.0.0.1:{server.port}/api/status/batch"
        self.folder = server.folder / tag
        self.folder.mkdir()
        self.spool = self.folder / "spool.txt"
        self.flash: Path | None = None
        self.clock = server.folder / "now"
        self.slow = 0.0
        self.measured: dict[int, float] = {}
        self.said = ""
        self.wait(-int(self.clock.read_text()) % MINUTE + 7)

    def boot(self, *, cut: int | None = None) -> bool:
        """Whether it came up. The power goes in the middle of the write after `cut` others."""
        given = {
            "now": int(self.clock.read_text()),
            "clock": str(self.clock),
            "example": str(ROOT / "contrib/esp32"),
            "settings": {"URL": self.url, "TOKEN": self.token, "TAG": self.tag},
            "number": max(self.measured, default=0),
            "slow": self.slow,
            "flash": None if self.flash is None else str(self.flash),
            "cut": cut,
        }
        self._process = subprocess.Popen(
            [*self.command, str(ROOT / "tests/rigs/esp32_board.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
        )
        return self._tell(given)

    def run(
        self,
        minutes: int,
        *,
        wifi: bool = True,
        sensor: bool = True,
        takes: int = 0,
        loses: bool = False,
        **settings: Any,
    ) -> bool:
        """Whether the power lasts. A request `takes` seconds, and may lose its answer."""
        seconds, world = minutes * MINUTE, {"wifi": wifi, "sensor": sensor, "takes": takes, "loses": loses}
        return self._tell({"seconds": seconds, **world, "settings": settings})

    def _tell(self, order: dict[str, Any]) -> bool:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._listen()

    def _listen(self) -> bool:
        """Note what it tells until it waits, or ends."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            match json.loads(line) if line.startswith("[") else None:
                case ["paused", _]:
                    return True
                case ["measured", number, moment]:
                    self.measured[number] = moment
                case _:
                    self.said += line
        assert "power" in self.said, self.said
        self.cut_power()
        return False

    def cut_power(self) -> None:
        self._process.kill()
        self._process.communicate()

    def wait(self, seconds: int) -> None:
        """Time passes without power."""
        self.clock.write_text(str(int(self.clock.read_text()) + seconds))

    def __enter__(self) -> "Esp32":
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()

    @property
    def right(self) -> dict[int, float]:
        """What should be stored: of each minute the number that was measured in it, the last of two."""
        return {int(moment) // MINUTE * MINUTE: number for number, moment in sorted(self.measured.items())}

    def stored(self) -> dict[int, float]:
        """The number that is stored of each minute."""
        found = samples_in(self.server.database)
        return {one.minute: one.latency for one in found if one.tag == self.tag}

    def heard(self) -> list[tuple[int, int]]:
        """Of each name that it gave itself: how many numbers are missing, how often it counted anew."""
        with closing(reading(self.server.database)) as connection:
            everyone = devices.summaries(connection)
        return [(device.missing, device.restarts) for device in everyone if self.tag in device.tags]


@contextmanager
def somebody(reply: bytes) -> Iterator[str]:
    """The address of a server that reads a request and gives this reply, whatever was asked."""

    class Somebody(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while line := self.rfile.readline().strip().lower():
                if line.startswith(b"content-length:"):
                    length = int(line.split()[1])
            self.rfile.read(length)
            self.wfile.write(reply)

    with socketserver.TCPServer(("127.0.0.1", 0), Somebody) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{listener.server_address[1]}/"
        finally:
            listener.shutdown()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Whose clock is a file that the board writes."""
    folder = tmp_path_factory.mktemp("server")
    now = folder / "now"
    now.write_text(str(int(time.time())))
    clock = f"lambda: int(open({str(now)!r}).read())"
    fault = f"import kener_async.clock\nkener_async.clock.system_clock = {clock}"
    with Server(folder, a_config(tags=TAGS), fault=fault) as server:
        yield server.start()


@pytest.fixture(scope="module")
def tags() -> Iterator[str]:
    """Each for one board."""
    return iter(TAGS)


@pytest.fixture(params=[pytest.param("micropython", marks=needs_micropython), "python"])
def board(request: pytest.FixtureRequest, server: Server, tags: Iterator[str]) -> Iterator[Esp32]:
    with Esp32(request.param, server, next(tags)) as board:
        yield board


def test_a_sample_has_the_right_minute_though_the_board_has_no_calendar(board: Esp32):
    board.run(3)
    assert len(board.measured) == 3
    assert board.stored() == board.right


def test_what_was_measured_while_the_server_was_away_arrives_once(board: Esp32):
    board.run(2)
    board.server.kill()
    board.run(5)
    assert len(board.stored()) == 2
    board.server.start()
    board.run(1)
    assert len(board.measured) == 8
    assert board.stored() == board.right
    assert board.heard() == [NOTHING_MISSING]


def test_what_waits_outlives_a_power_cut(board: Esp32):
    board.run(2)
    board.run(3, wifi=False)
    board.cut_power()
    board.wait(300)
    board.boot()
    board.run(2)
    assert len(board.measured) == 7
    assert board.stored() == board.right
    assert board.heard() == [NOTHING_MISSING]


def test_sending_again_after_a_lost_answer_changes_nothing(board: Esp32):
    board.run(1)
    board.run(3, loses=True)
    before = board.stored()
    assert before == board.right
    board.run(1)
    assert board.stored() == board.right
    assert before.items() < board.stored().items()
    assert board.heard() == [NOTHING_MISSING]


def test_what_a_bad_token_sends_is_kept(board: Esp32):
    board.run(1)
    board.run(3, TOKEN="revoked")
    assert len(board.stored()) == 1
    board.run(1, TOKEN=board.token)
    assert len(board.stored()) == 5
    assert board.stored() == board.right


def test_what_the_server_refuses_is_kept(board: Esp32):
    """The token is for other monitors."""
    board.run(1)
    board.run(3, TOKEN=board.server.add_token(tags=("nothing",)))
    assert len(board.stored()) == 1
    board.run(1, TOKEN=board.token)
    assert len(board.stored()) == 5
    assert board.stored() == board.right
    assert board.heard()[0] == NOTHING_MISSING


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b'HTTP/1.1 200 OK\r\n\r\n{"results": []}',
        b"HTTP/1.1 300\r\nLocation: x\r\n\r\n",
    ],
    ids=["nobody", "a captive portal", "fewer verdicts", "an odd redirection"],
)
def test_what_somebody_else_answers_for_is_kept(board: Esp32, reply: bytes):
    with somebody(reply) as address:
        board.run(1)
        board.run(2, URL=address)
        board.run(1, URL=board.url)
        assert len(board.stored()) == 4
        assert board.stored() == board.right


@pytest.mark.parametrize(
    "left",
    [1, 2, 60, -2, -1],
    ids=[
        "its line feed",
        "a letter",
        "a part",
        "all but a letter and its line feed",
        "all but the line feed",
    ],
)
def test_a_line_that_was_torn_harms_no_other(board: Esp32, left: int):
    board.run(2)
    board.run(2, wifi=False)
    board.cut_power()
    text = board.spool.read_bytes()
    begin = text.rindex(b"\n", 0, -1)
    board.spool.write_bytes(text[:begin] + text[begin:][:left])
    if left != -1:
        del board.measured[4]
    board.boot()
    board.run(2, wifi=False)
    board.run(1)
    assert board.stored() == board.right
    assert board.heard() == [NOTHING_MISSING]


@needs_micropython
def test_a_power_cut_at_any_write_costs_at_most_the_sample_of_that_moment(
    server: Server, tags: Iterator[str]
):
    for writes, tag in enumerate(tags):
        board = Esp32("micropython", server, tag)
        board.flash = board.folder / "flash"
        board.flash.write_bytes(b"\xff" * 4096 * 32)
        lasts = board.boot(cut=writes) and board.run(1) and board.run(2, wifi=False) and board.run(1)
        at_risk = set() if lasts else {max(board.measured, default=0)}
        board.cut_power()
        board.wait(90)
        with board:
            board.run(2)
        assert board.stored().items() <= board.right.items()
        assert set(board.measured) - set(board.stored().values()) <= at_risk
        assert board.heard() == [NOTHING_MISSING]
        if lasts:
            assert writes > 10
            return
    pytest.fail("it has never gone through without a cut")


def test_a_sensor_that_fails_costs_its_minutes_and_no_number(board: Esp32):
    board.run(1)
    board.run(2, sensor=False)
    board.run(1)
    assert len(board.stored()) == 2
    assert board.stored() == board.right
    assert board.heard() == [NOTHING_MISSING]


def test_no_minute_is_skipped_however_long_a_request_takes(board: Esp32):
    board.run(180, takes=7)
    minutes = sorted(board.stored())
    assert len(minutes) == 180
    assert {later - earlier for earlier, later in pairwise(minutes)} == {MINUTE}


def test_a_server_that_hangs_neither_restarts_the_board_nor_is_made_up_for(board: Esp32):
    board.run(30, takes=100)
    before = len(board.measured)
    board.run(5)
    assert len(board.measured) - before <= 6


def test_a_backlog_of_hours_fits_into_flash_and_memory(board: Esp32):
    board.run(1)
    board.run(900, wifi=False)
    assert 600 < len(board.measured) < 700
    board.run(1)
    assert board.stored() == board.right
    assert board.heard() == [NOTHING_MISSING]


def test_what_its_clock_is_wrong_does_not_add_up(board: Esp32):
    board.cut_power()
    board.slow = 0.0005
    board.boot()
    board.run(3 * 24 * 60, EVERY=3600_000)
    stored = {number: minute for minute, number in board.stored().items()}
    assert len(stored) > 70
    assert all(0 <= moment - stored[number] < 2 * MINUTE for number, moment in board.measured.items())
