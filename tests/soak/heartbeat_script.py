"""Run the shell script through network cuts and kills: every sample that it kept arrives, for its minute.

    python -m tests.soak.heartbeat_script --cuts 50 --kills 20

The real script runs in real shells against a real server, with a faulty proxy between them. Under BusyBox,
curl is the only other program. The rig controls the time: the server's clock, the device's clock and its
/proc are files, and rounds of reports are 30 seconds apart. In a round several runs are concurrent, some are
killed, and for some the network is cut or the server is down. For the first half the token is for other
monitors than one of those reported, whose samples are refused.

Exit status 0 is a promise; samples of other runs may be stored or not, but nothing else may be. Of two
samples of one minute the later one wins. With --clock the device's clock is wrong: 3 hours fast, in 1970 for
the first half, or stepping back repeatedly. Only with a right clock does the device reboot, because the
samples of a boot that never learned the time and sent nothing cannot be placed. At the end the server's
database is recounted (`verify`).
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.rigs.network import FaultyNetwork
from tests.rigs.process import MINUTE, ROOT, STATUSES, Key, Server, a_config, damage, reading
from tests.soak.agent import Row, stored_rows
from tests.soak.clock import HOUR

SCRIPT = ROOT / "contrib/heartbeat.sh"
SHELLS = {"ash": ("busybox", "ash"), "dash": ("dash",), "bash": ("bash", "--posix")}
CLOCKS = ("right", "fast", "1970", "back")
TAGS = ("earth", "mars", "moon")
ROUND = MINUTE // 2
REQUEST_SECONDS = 1  # which a request may take
LONGEST_RUN = 60.0  # seconds: three requests that stall, the locks of others, a slow machine
CLOCK_IN_A_FILE = "import kener_async.clock; kener_async.clock.system_clock = lambda: int(open({!r}).read())"
# Bugs on purpose, to prove that the rig sees them: what is replaced in the script, and by what.
FAULTS = {
    "forgetful": ('say "kept for a later run', 'true > "$1"; say "kept for a later run'),  # what was not sent
    "hasty": ('mv "$draft" "$state/new.$order.$$" &&', "true &&"),  # a promise, and no sample
    "simple": ('monotonic_json=",', 'monotonic_json="" other=",'),  # no monotonic clock
    "uncounted": ("count=$((count + 1))", "count=$((count + count % 2))"),  # a number for two samples
}


@dataclass(frozen=True)
class Attempt:
    """What a run reported; `is_kept` is its promise."""

    key: Key
    row: Row
    is_kept: bool


@dataclass
class Report:
    shell: str
    clock: str
    seed: int
    cuts: int = 0
    script_kills: int = 0
    server_kills: int = 0
    boots: int = 0
    met: dict[str, int] = field(default_factory=dict)
    kept: int = 0
    not_promised: int = 0
    stored: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return not self.faults and self.kept > 0

    def __str__(self) -> str:
        met = ", ".join(f"{count} {kind}" for kind, count in sorted(self.met.items()))
        lines = [
            f"{self.shell}, clock {self.clock}, seed {self.seed}: {self.cuts} cuts, {self.boots} boots, "
            f"{self.script_kills} kills of the script, {self.server_kills} of the server; connections: {met}",
            f"  {self.kept} samples kept, {self.not_promised} not promised, {self.stored} minutes stored, "
            f"{len(self.faults)} faults",
        ]
        return "\n".join([*lines, *(f"  {fault}" for fault in self.faults[:20])])


def faults_of(attempts: Sequence[Attempt], stored: dict[Key, Row]) -> Iterator[str]:
    """What differs between what was promised and what is stored."""
    may_be: dict[Key, list[Row]] = {}
    for attempt in attempts:
        may_be[attempt.key] = (
            [attempt.row] if attempt.is_kept else [*may_be.get(attempt.key, ()), attempt.row]
        )
    for key in {attempt.key for attempt in attempts if attempt.is_kept} - stored.keys():
        yield f"lost: {key} {may_be[key]}"
    for key, row in stored.items():
        if row not in may_be.get(key, ()):
            yield f"{key} is {row}, reported was {may_be.get(key)}"


def miscounted(database: Path) -> Iterator[str]:
    """A device that counted anew would be seen as one that was reset, or as a second one."""
    with closing(reading(database)) as connection:
        devices = connection.execute("SELECT restarts FROM devices").fetchall()
    if devices != [(0,)]:
        yield f"devices, with their restarts: {devices}"


class Device:
    """A machine with the script: its shell, its programs, and its clocks, which the rig sets."""

    def __init__(self, folder: Path, shell: str, script: Path) -> None:
        self.state = folder / "state"
        self._folder = folder
        self._proc = folder / "proc"
        self._boots = 0
        self._booted = 0
        programs = folder / "programs"
        programs.mkdir(parents=True)
        _write_program(programs / "date", f'case $* in +%s) cat "{folder}/now" ;; *) exit 1 ;; esac')
        self.path = f"{programs}:/usr/bin:/bin"
        if shell == "ash":
            self.path = f"{programs}:{only_busybox(folder / 'busybox')}"
        self._command = [str(shutil.which(SHELLS[shell][0])), *SHELLS[shell][1:], str(script)]

    def boot(self, now: int) -> None:
        self._boots += 1
        self._booted = now - 20
        _replace(self._proc / "sys/kernel/random/boot_id", f"boot-{self._boots}\n")

    def tell_time(self, true: int, shown: int) -> None:
        _replace(self._proc / "uptime", f"{true - self._booted}.{true % 100:02} 0.00\n")
        _replace(self._folder / "now", f"{shown}\n")

    async def launch(self, port: int, token: str, *words: str) -> asyncio.subprocess.Process:
        with open(self._folder / "messages", "ab") as messages:
            return await asyncio.create_subprocess_exec(
                *self._command,
                *words,
                env={
                    "PATH": self.path,
                    "KENER_URL": f"http://127.0.0.1:{port}",
                    "KENER_TOKEN": token,
                    "KENER_STATE": str(self.state),
                    "KENER_PROC": str(self._proc),
                    "KENER_DEVICE": "device",
                    "KENER_TIMEOUT": str(REQUEST_SECONDS),
                },
                stdin=asyncio.subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                start_new_session=True,
            )

    def left(self) -> list[str]:
        """The files of samples that are not sent yet."""
        kinds = ("tmp.*", "new.*", "numbered.*", "spool.*", "refused.*", "bad.*")
        return [path.name for kind in kinds for path in self.state.glob(kind) if path.stat().st_size]


def only_busybox(folder: Path) -> Path:
    """A folder with BusyBox's programs and curl."""
    folder.mkdir()
    busybox, curl = shutil.which("busybox"), shutil.which("curl")
    assert busybox is not None
    assert curl is not None
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout
    for name in listed.split():
        (folder / name).symlink_to(busybox)
    (folder / "curl").symlink_to(curl)
    return folder


def _write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _replace(path: Path, text: str) -> None:
    """Never seen half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(text)
    draft.rename(path)


class Rig:
    def __init__(self, folder: Path, report: Report, rounds: int, fault: str) -> None:
        self.report = report
        self.chance = random.Random(report.seed)
        self.now = int(time.time()) // MINUTE * MINUTE - (rounds + 4) * ROUND + ROUND // 2
        self._offset = {"fast": 3 * HOUR, "1970": 20 - self.now}.get(report.clock, 0)
        self._learns_time_at = self.now + rounds // 2 * ROUND
        self._true = folder / "true"
        script = folder / "heartbeat.sh"
        script.write_text(with_fault(SCRIPT.read_text(), fault))
        self.device = Device(folder / "device", report.shell, script)
        self.device.boot(self.now)
        self._tell_time()
        self.server = Server(folder, a_config(None, TAGS), fault=CLOCK_IN_A_FILE.format(str(self._true)))
        self.attempts: list[Attempt] = []
        self._number = 0

    def _tell_time(self) -> None:
        _replace(self._true, str(self.now))
        self.device.tell_time(self.now, self.now + self._offset)

    def _pass_time(self) -> None:
        self.now += ROUND
        if self.report.clock == "back":
            self._offset -= self.chance.randint(1, HOUR)
        if self.report.clock == "1970" and self.now >= self._learns_time_at:
            self._offset = 0
        self._tell_time()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._token = self.server.add_token(id="narrow", tags=TAGS[:2])
        with self.server:
            await asyncio.to_thread(self.server.start)
            async with FaultyNetwork(self.server.port, seed=self.report.seed, chance=0.3) as self.network:
                yield

    async def live(self, rounds: int, cuts: int, kills: int) -> None:
        """So many rounds, with all of that happening in any order."""
        events = [self._cut] * cuts + [self._kill_server] * kills
        events += [self._rest] * (rounds - len(events))
        self.chance.shuffle(events)
        to_be_killed = set(self.chance.sample(range(rounds), kills))
        for number, event in enumerate(events):
            if number == len(events) // 2:
                self._token = self.server.add_token(sender="narrow")
            self._pass_time()
            if self.report.clock == "right" and self.chance.random() < 0.05:
                self.device.boot(self.now)
                self._tell_time()
                self.report.boots += 1
            runs = self._runs(with_a_kill=number in to_be_killed)
            await event()
            self.attempts += await asyncio.gather(*runs)

    def _runs(self, *, with_a_kill: bool) -> "list[asyncio.Task[Attempt]]":
        tags = self.chance.sample(TAGS, self.chance.randint(1, len(TAGS)))
        killed = self.chance.choice(tags) if with_a_kill else None
        return [asyncio.create_task(self._report(tag, is_killed=tag == killed)) for tag in tags]

    async def _report(self, tag: str, *, is_killed: bool) -> Attempt:
        self._number += 1
        status, latency = self.chance.choice(STATUSES), self._number / 1000
        words = (tag, status, f"{latency:.3f}")
        if self.chance.random() < 0.2:
            status, latency = self.chance.choice((("UP", 0.0), ("DOWN", 0.0)))
            words = (tag, "--", "true" if status == "UP" else "false")
        run = await self.device.launch(self.network.port, self._token, *words)
        if is_killed:
            await self._kill(run)
        exit_status = await asyncio.wait_for(run.wait(), LONGEST_RUN)
        self.report.script_kills += exit_status == -signal.SIGKILL
        return Attempt((tag, self.now // MINUTE * MINUTE), (status, latency), is_kept=exit_status == 0)

    async def _kill(self, run: asyncio.subprocess.Process) -> None:
        """The shell alone, or all that it has started."""
        await asyncio.sleep(self.chance.uniform(0, 0.1))
        end = self.chance.choice((os.kill, os.killpg))
        with suppress(ProcessLookupError):
            end(run.pid, signal.SIGKILL)

    async def _cut(self) -> None:
        """For a part of this round, or for a few rounds more."""
        self.network.mend()
        self.network.cut("reset" if self.chance.random() < 0.5 else "stall")
        self.report.cuts += 1
        if self.chance.random() < 0.5:
            await asyncio.sleep(self.chance.uniform(0, 1.5 * REQUEST_SECONDS))
            self.network.mend()

    async def _kill_server(self) -> None:
        await asyncio.sleep(self.chance.uniform(0, 0.2))
        await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.server.start)
        self.report.server_kills += 1

    async def _rest(self) -> None:
        """Nothing happens, but that a cut may be over."""
        if self.chance.random() < 0.5:
            self.network.mend()

    async def arrive(self) -> None:
        """In a network that works, send until nothing is left."""
        self.network.chance = 0
        self.network.mend()
        for _ in range(5):
            self._pass_time()
            run = await self.device.launch(self.network.port, self._token, "--flush")
            if await run.wait() == 0:
                break
        left = self.device.left()
        if left:
            self.report.faults.append(f"left on the device: {left[:10]}")

    def judge(self) -> None:
        database = self.server.database
        stored = stored_rows(database)
        self.report.met = dict(self.network.met)
        self.report.kept = sum(attempt.is_kept for attempt in self.attempts)
        self.report.not_promised = len(self.attempts) - self.report.kept
        self.report.stored = len(stored)
        self.report.faults += faults_of(self.attempts, stored)
        self.report.faults += miscounted(database)
        self.report.faults += damage(self.server)


def with_fault(script: str, name: str) -> str:
    if not name:
        return script
    old, new = FAULTS[name]
    assert old in script, f"the script has changed: {old} is not in it"
    return script.replace(old, new)


async def run(
    folder: Path,
    shell: str,
    clock: str = "right",
    cuts: int = 50,
    kills: int = 20,
    seed: int = 1,
    fault: str = "",
) -> Report:
    report, rounds = Report(shell, clock, seed), 2 * (cuts + kills)
    rig = Rig(folder, report, rounds, fault)
    async with rig.running():
        await rig.live(rounds, cuts, kills)
        await rig.arrive()
        await asyncio.to_thread(rig.server.stop)  # with the last rollup done
        rig.judge()
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20, help="of the script, and as many of the server")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--shell", choices=SHELLS, help="one only")
    parser.add_argument(
        "--clock", choices=CLOCKS, help="one only; else all, the wrong ones with fewer events"
    )
    parser.add_argument(
        "--fault", choices=FAULTS, default="", help="put this bug into the script; it must be seen"
    )
    options = parser.parse_args()
    ok = True
    for shell in [options.shell] if options.shell else SHELLS:
        for clock in [options.clock] if options.clock else CLOCKS:
            share = 1 if clock == "right" or options.clock else 4
            cuts, kills = options.cuts // share, options.kills // share
            with tempfile.TemporaryDirectory(prefix="kener-script-") as folder:
                report = asyncio.run(
                    run(Path(folder), shell, clock, cuts, kills, options.seed, options.fault)
                )
            print(report, flush=True)
            ok = ok and report.is_ok
    print("OK" if ok else "FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
