"""A server whose uplink is cut, in network namespaces: 50 targets and witnesses outside, 5 targets inside.

KENER_CUT_SECONDS=600 makes it ten minutes instead of two.
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.rigs.stored_samples import STATUSES, samples_in

ROOT = Path(__file__).parents[2]
OUTSIDE, INSIDE = 50, 5
CUT_SECONDS = int(os.environ.get("KENER_CUT_SECONDS", "130"))
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root"),
    pytest.mark.timeout(CUT_SECONDS + 300),
]
TARGET = """
import asyncio, sys
async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
    writer.close()
async def main():
    server = await asyncio.start_server(answer, sys.argv[1], 8000, backlog=500)
    await server.serve_forever()
asyncio.run(main())
"""
NO_DATA, UP, DOWN = 4, 0, 2


def sh(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@contextmanager
def namespaces() -> Iterator[tuple[str, str]]:
    """A host and the world, with a link between them; the host has also addresses of its own."""
    host, world = f"kener-host-{os.getpid()}", f"kener-world-{os.getpid()}"
    try:
        for name in (host, world):
            sh("ip", "netns", "add", name)
            sh("ip", "-n", name, "link", "set", "lo", "up")
        sh(
            "ip",
            "-n",
            host,
            "link",
            "add",
            "uplink",
            "type",
            "veth",
            "peer",
            "name",
            "downlink",
            "netns",
            world,
        )
        sh("ip", "-n", host, "address", "add", "192.0.2.1/24", "dev", "uplink")
        sh("ip", "-n", world, "address", "add", "192.0.2.2/24", "dev", "downlink")
        for name, device in ((host, "uplink"), (world, "downlink")):
            sh("ip", "-n", name, "link", "set", device, "up")
        sh("ip", "-n", host, "route", "add", "default", "via", "192.0.2.2")
        sh("ip", "-n", world, "address", "add", "198.51.100.1/24", "dev", "lo")
        yield host, world
    finally:
        for name in (host, world):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@contextmanager
def process(namespace: str, *words: str) -> Iterator[None]:
    running = subprocess.Popen(
        ["ip", "netns", "exec", namespace, *words], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        running.terminate()
        running.wait(30)


def config_of(folder: Path, witnesses: bool) -> Path:
    lines = [
        '[auth]\nsecret_key = "for-tests-only-kkkkkkkkkkkkkkkkkkkkkkkkk"\n[database]\npath = "kener.db"\n'
    ]
    if witnesses:
        lines.append('[checks]\nwitnesses = ["198.51.100.1:8000", "192.0.2.2:8000"]\n')
    for number in range(OUTSIDE + INSIDE):
        host = "127.0.0.1" if number >= OUTSIDE else "198.51.100.1"
        lines.append(
            f'[[monitors]]\ntag = "target-{number}"\n[monitors.check]\nhttp = "http://{host}:8000/"\n'
        )
        lines.append('every = "20s"\ntimeout = "5s"\nretries = 1\nretry_every = "5s"\n')
    lines.append('[[channels]]\nname = "ops"\nkind = "command"\ncommand = ["/bin/true"]\n')
    lines.append('[[alerts]]\nname = "outage"\nto = ["ops"]\n')
    path = folder / "config.toml"
    path.write_text("".join(lines))
    return path


def cut_off(folder: Path, witnesses: bool) -> tuple[int, int]:
    """Run a server, cut its uplink for a while; the first and last whole minutes of that."""
    config = config_of(folder, witnesses)
    run = [sys.executable, str(ROOT / "run.py"), "--config", str(config)]
    sh(*run, "token", "create", "--init", "--name", "test")
    with namespaces() as (host, world):
        outside = [sys.executable, "-c", TARGET, "0.0.0.0"]
        inside = [sys.executable, "-c", TARGET, "127.0.0.1"]
        with process(world, *outside), process(host, *inside), process(host, *run, "serve", "--port", "3001"):
            time.sleep(50)
            sh("ip", "-n", world, "link", "set", "downlink", "down")
            began = time.time()
            time.sleep(CUT_SECONDS)
            sh("ip", "-n", world, "link", "set", "downlink", "up")
            ended = time.time()
            time.sleep(45)
    return -int(-began // 60) * 60, int(ended // 60) * 60


def read(folder: Path, query: str) -> list[tuple[int, ...]]:
    with closing(sqlite3.connect(folder / "kener.db")) as connection:
        return connection.execute(query).fetchall()


def counted(folder: Path, first: int, last: int, is_inside: Callable[[int], bool]) -> dict[int, int]:
    """How many samples of each status there are of these minutes."""
    return Counter(
        STATUSES.index(one.status)
        for one in samples_in(folder / "kener.db")
        if first <= one.minute < last and is_inside(int(one.tag[7:]))
    )


async def test_targets_outside_are_not_observed_and_those_inside_measured(tmp_path: Path) -> None:
    first, last = await asyncio.to_thread(cut_off, tmp_path, True)
    minutes = (last - first) // 60
    assert counted(tmp_path, first, last, lambda number: number < OUTSIDE) == {}
    assert counted(tmp_path, first, last, lambda number: number >= OUTSIDE) == {UP: INSIDE * minutes}
    assert counted(tmp_path, 0, 1 << 40, lambda number: True).keys() == {UP}
    assert read(tmp_path, "SELECT count(*) FROM alerts") == [(0,)]
    ((start, end, kind),) = read(tmp_path, 'SELECT start, "end", kind FROM gaps WHERE kind = 1')
    assert start <= first
    assert end >= last
    assert kind == 1


async def test_without_witnesses_they_are_down(tmp_path: Path) -> None:
    first, last = await asyncio.to_thread(cut_off, tmp_path, False)
    minutes = (last - first) // 60
    assert counted(tmp_path, first, last, lambda number: number < OUTSIDE) == {DOWN: OUTSIDE * minutes}
    assert counted(tmp_path, first, last, lambda number: number >= OUTSIDE) == {UP: INSIDE * minutes}
    assert read(tmp_path, "SELECT count(*) FROM alerts") == [(OUTSIDE,)]
    assert read(tmp_path, "SELECT count(*) FROM gaps WHERE kind = 1") == [(0,)]
