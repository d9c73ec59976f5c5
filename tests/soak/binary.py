"""Test the single binary in a minimal Debian without Python: commands, pages, signals, and resources.

python -m tests.soak.binary --suite bookworm

Needs root, for chroot; the tree is made by debootstrap and kept in build/.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.error import HTTPError, URLError

from tests.rigs.process import ROOT, a_free_port

BINARY = ROOT / "dist" / "kener-async"
LARGEST = 26_000_000  # bytes
LATEST = 1.5  # seconds from exec to the first page
MOST_RESIDENT = 100  # MB
STARTS = 7
SHUTDOWN = 5
CONFIG = f"""
[server]
shutdown_seconds = {SHUTDOWN}
[site]
title = "A bare machine"
timezone = "Europe/Berlin"
[[monitors]]
tag = "earth"
name = "Earth station"
"""
MARS = '[[monitors]]\ntag = "mars"\nname = "Mars station"\n'

Check = tuple[str, bool]  # a sentence, and whether it is so


@dataclass(frozen=True)
class Answer:
    status: int
    type: str
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def bare_debian(suite: str) -> Path:
    """Its tree, which gets its name only when it is complete."""
    tree = ROOT / "build" / suite
    if not tree.exists():
        draft = tree.with_name(f"{suite}.draft")
        command = ["debootstrap", "--variant=minbase", suite, str(draft)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        draft.rename(tree)
    return tree


@dataclass
class Tree:
    """A bare Debian with the binary in it, and a folder to serve from, which from outside is `at`."""

    root: Path

    @property
    def at(self) -> Path:
        return self.root / "srv/status"

    def prepare(self) -> None:
        shutil.rmtree(self.at, ignore_errors=True)
        self.at.mkdir(parents=True)
        (self.at / "config.toml").write_text(CONFIG)
        shutil.copy(BINARY, self.at)

    def command(self, words: Sequence[str], before: str = "", **environment: str) -> list[str]:
        """In mounts of its own, so that none is left behind; `before` is shell, run outside, in the tree.

        Nothing of our environment comes along, and the system's time zones are out of sight.
        """
        enter = f'cd "$0" && mount -t proc proc proc && {before or ":"} && exec chroot . "$@"'
        clean = ["env", "-i", "-C", "/srv/status", "PATH=/srv/status:/usr/bin:/bin", "PYTHONTZPATH="]
        given = [f"{name}={value}" for name, value in environment.items()]
        inside = [*clean, *given, "kener-async", *words]
        return ["unshare", "--mount", "sh", "-c", enter, str(self.root), *inside]

    def run(self, *words: str, before: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
        command = self.command(words, before, **environment)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def unpacked(self) -> list[Path]:
        """The folders that the binary unpacks itself to."""
        return list((self.root / "tmp").glob("_MEI*"))


@dataclass
class Server:
    """`serve` in a tree: `parent` unpacked and waits, `child` is Python."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def parent(self) -> int:
        return self.process.pid

    @property
    def child(self) -> int:
        return int(Path(f"/proc/{self.parent}/task/{self.parent}/children").read_text().split()[0])

    def ask(self, path: str, token: str = "", body: object = None, language: str = "en") -> Answer:
        headers = {"Accept-Language": language}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return Answer(answer.status, answer.headers["Content-Type"], answer.read())
        except HTTPError as error:
            return Answer(error.code, error.headers["Content-Type"], error.read())

    def until_answered(self) -> None:
        while True:
            with suppress(URLError, ConnectionError):
                self.ask("/")
                return
            assert self.process.poll() is None, "it ended"
            time.sleep(0.002)

    def resident(self) -> tuple[float, float]:
        """MB of both processes."""
        return _resident(self.parent), _resident(self.child)

    def worked(self) -> float:
        """Seconds of processor time of both processes."""
        return _worked(self.parent) + _worked(self.child)


def _worked(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> float:
    usage = Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2]
    return int(usage.split()[0]) * 1024 / 1e6


@contextmanager
def serving(tree: Tree, *words: str) -> Iterator[Server]:
    """Serve, or do as the words say; entered when the page has come."""
    port = a_free_port()
    with open(tree.at / "server.log", "ab") as log:
        command = tree.command([*(words or ["serve"]), "--port", str(port)])
        server = Server(subprocess.Popen(command, stderr=log), port)
    try:
        server.until_answered()
        yield server
    finally:
        with suppress(ProcessLookupError):
            server.process.send_signal(signal.SIGTERM)
        server.process.wait(20)


def _within(seconds: float, becomes_true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if becomes_true():
            return True
        time.sleep(0.02)
    return False


# What must hold


def commands(tree: Tree) -> Iterator[Check]:
    yield "there is no Python", not list((tree.root / "usr/bin").glob("python*"))
    yield "--version", tree.run("--version").stdout.startswith("kener-async, version ")
    yield "check-config", "OK: 1 monitor" in tree.run("check-config").stderr
    yield "openapi", "/api/status" in json.loads(tree.run("openapi").stdout)["paths"]
    yield "a fault ends with status 1", tree.run("check-config", "--config", "none.toml").returncode == 1
    yield "wrong usage ends with status 2", tree.run("serve", "--port", "x").returncode == 2
    installed = tree.run("install", "--root", "/srv/status/installed")
    unit = tree.at / "installed/etc/systemd/system/kener-async.service"
    yield "install puts binary and units in place", installed.returncode == 0 and unit.exists()


def requests(tree: Tree) -> Iterator[Check]:
    with serving(tree) as server:
        token = tree.run("token", "create", "--name", "test").stdout.strip()
        beat = {"tag": "earth", "status": "UP", "latency": 0.042}
        yield "a heartbeat is taken", server.ask("/api/status", token, beat).status == 200
        yield "and refused without a token", server.ask("/api/status", body=beat).status == 401
        answer = json.loads(server.ask("/api/status?tag=earth", token).body)
        yield "it is published", answer["status"] == "UP"
        yield "the page names the monitor", "Earth station" in server.ask("/").text
        yield "in German", 'lang="de"' in server.ask("/", language="de").text
        yield "in Chinese", 'lang="zh-CN"' in server.ask("/", language="zh-CN").text
        yield "a badge", server.ask("/badge/earth/status").text.startswith("<svg")
        yield "the preview picture", server.ask("/preview.png").body.startswith(b"\x89PNG")
        yield "a feed", "<feed" in server.ask("/feed.atom").text
        yield "the stylesheet", server.ask("/static/page.css").type.startswith("text/css")
        yield "the API's description", server.ask("/api/docs").status == 200
        yield "its script", len(server.ask("/static/swagger-ui/swagger-ui-bundle.js").body) > 1_000_000
        yield "metrics", "kener_samples_total 1.0" in server.ask("/metrics").text
        yield "a second server is refused", tree.run("serve", "--port", "0").returncode == 1


def copies(tree: Tree) -> Iterator[Check]:
    with serving(tree) as server:
        token = tree.run("token", "create", "--name", "test").stdout.strip()
        for minute in range(1, 50):
            beat = {"tag": "earth", "status": "DOWN", "timestampInSeconds": int(time.time()) - 60 * minute}
            server.ask("/api/status", token, beat | {"latency": 0})
        backup = tree.run("backup", "copy")
    yield "a backup beside the server", backup.returncode == 0 and (tree.at / "copy").exists()
    yield "verify finds no fault", tree.run("verify", "copy").returncode == 0
    flipped = bytearray((tree.at / "copy").read_bytes())
    flipped[len(flipped) // 2] ^= 1
    (tree.at / "flipped").write_bytes(flipped)
    yield "and one with a flipped bit not", tree.run("verify", "flipped").returncode == 1
    moved = tree.run("restore", "copy", KENER_DATABASE_PATH="moved/kener.db")
    yield "restore", moved.returncode == 0
    export, again = tree.run("export").stdout, tree.run("export", KENER_DATABASE_PATH="moved/kener.db").stdout
    yield "the restored one exports the same", export.count("DOWN") == 49 and _rows(export) == _rows(again)
    (tree.at / "export").write_text(export)
    read = tree.run("import", "export", KENER_DATABASE_PATH="read/kener.db")
    third = tree.run("export", KENER_DATABASE_PATH="read/kener.db").stdout
    yield "and so does what was imported", read.returncode == 0 and _rows(export) == _rows(third)
    yield "migrate has nothing to do", tree.run("migrate", "--dry-run").returncode == 0


def _rows(export: str) -> list[str]:
    """The rows of an export that both of two alike have.

    Not when it was made and how many lines it has, not what is written once a minute only (when the service
    and a monitor were seen), and not the audit log, in which a restore and an import are a row.
    """
    other = ('"kind":"service"', '"kind":"audit"', '"kind":"end"')
    lines = [line for line in export.splitlines()[1:] if not any(kind in line for kind in other)]
    return [re.sub(r'"last_heard":\d+', "", line) for line in lines]


def demo(tree: Tree) -> Iterator[Check]:
    with serving(tree, "demo", "--scene", "outage") as server:
        yield "the demo has its past, its pictures and its devices", "/assets/" in server.ask("/").text


def signals(tree: Tree) -> Iterator[Check]:
    config = tree.at / "config.toml"
    with serving(tree) as server:
        config.write_text(CONFIG + MARS)
        os.kill(server.parent, signal.SIGHUP)
        yield "SIGHUP reaches the service", _within(5, lambda: "Mars station" in server.ask("/").text)
        config.write_text(CONFIG)
        child, began = server.child, time.monotonic()
        os.kill(server.parent, signal.SIGTERM)
        status = server.process.wait(20)
        yield "SIGTERM stops it in time, with status 0", status == 0 and time.monotonic() - began < SHUTDOWN
        yield "both processes", not Path(f"/proc/{child}").exists()
        yield "and nothing is left of what was unpacked", not tree.unpacked()
    with serving(tree) as server:
        child = server.child
        os.kill(server.parent, signal.SIGKILL)
        yield "SIGKILL ends both", _within(5, lambda: not Path(f"/proc/{child}").exists())
        server.process.wait(20)
        yield "what was unpacked stays then", len(tree.unpacked()) == 1
    with serving(tree) as server:
        yield "the next start removes it", len(tree.unpacked()) == 1
        tree.run("--version")
        yield "and leaves alone what is in use", len(tree.unpacked()) == 1 and server.ask("/").status == 200
        os.kill(server.child, signal.SIGKILL)
        yield "a crash of the service is the binary's", server.process.wait(20) == -signal.SIGKILL


def temporary_folder(tree: Tree) -> Iterator[Check]:
    noexec = "mount -t tmpfs -o noexec none tmp"
    refused = tree.run("--version", before=noexec)
    yield "where /tmp is noexec it does not start", "failed to map" in refused.stderr
    yield "but with TMPDIR it does", tree.run("--version", before=noexec, TMPDIR="/var/tmp").returncode == 0
    full = tree.run("--version", before="mount -t tmpfs -o size=20m none tmp")
    yield "where there is no room it does not start", full.returncode != 0


def costs(tree: Tree) -> Iterator[Check]:
    size = BINARY.stat().st_size
    yield f"{size / 1e6:.1f} MB", size < LARGEST
    for name, start in (("cold", _forget), ("warm", os.sync)):
        times = []
        for _ in range(STARTS):
            start()
            times.append(_start(tree))
        best, work = min(wall for wall, _ in times), median(work for _, work in times)
        usual = median(wall for wall, _ in times)
        summary = f"best {best:.2f} s, median {usual:.2f} s, of which {work:.2f} s are work"
        yield f"a page after a {name} start: {summary}", best < LATEST
    with serving(tree) as server:
        parent, child = server.resident()
        yield (
            f"resident: {parent:.0f} MB that waits, {child:.0f} MB that serves",
            parent + child < MOST_RESIDENT,
        )


def _forget() -> None:
    """Make the system read everything from the disk anew."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def _start(tree: Tree) -> tuple[float, float]:
    """Seconds from exec to the first page, and how many of them the processor worked for it."""
    began = time.monotonic()
    with serving(tree) as server:
        return time.monotonic() - began, server.worked()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--suite", default="bookworm", help="the Debian to run in")
    options = parser.parse_args()
    tree = Tree(bare_debian(options.suite))
    tree.prepare()
    faults = 0
    for part in (commands, requests, copies, demo, signals, temporary_folder, costs):
        for sentence, holds in part(tree):
            print("ok    " if holds else "FAILED", sentence, flush=True)
            faults += not holds
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
