"""Run an agent through network cuts and kills, also of the server: each sample arrives once, for its minute.

    python -m tests.soak.agent --cuts 50 --kills 20

A real agent and a real server run in real time, with a faulty proxy between them. The agent checks every
second, so that samples of one minute replace each other. Expected samples are read from a journal, which a
wrapper around the spool writes after each commit, and from the spool where a kill came between commit and
journal. The true minute of a sample follows from its monotonic clock, which is never set. Compared are the
stored samples, the verdict on each sample, and the sequence numbers that the server has received. For the
first half of the events the server does not know some of the monitors, and refuses their samples.

With --clock the agent runs under libfaketime: 3 hours fast, in 1970, or stepping back repeatedly; without it,
all clocks are tested in turn. With --power the spool is on a file system that loses unwritten data, as in
soak/power.py. At the end the server's database is recounted (`verify`).
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.rigs.device import AgentProcess
from tests.rigs.network import FaultyNetwork
from tests.rigs.process import MINUTE, STATUSES, Server, a_config, damage, reading
from tests.rigs.stored_samples import samples_in
from tests.soak.clock import HOUR, FakedClock, preload
from tests.soak.power import Disk, ext4

WEB = [f"web{number}" for number in range(10)]
TAGS = [*WEB, "port", "closed", "command", "file", "alive"]
UNKNOWN = ("web0", "alive")  # monitors that the server is given half way
SETTINGS = {"rollups": {"interval_seconds": 1}}
PAUSE = 4.0  # seconds between two events at most, and as long a cut may last
SETTLING = 3.0  # seconds for the agent to send what is left
LONGEST_WAIT = 30.0  # seconds for the agent to take a sample
CLOCKS = ("right", "fast", "1970", "back")
# How near to the end of a minute its sample may be taken for one of the next, in seconds. What a wrong clock
# says is placed by when a message arrived, which may have been on its way for so long.
EDGE = {"right": 0.05, "fast": 5, "1970": 5, "back": 5}

JOURNALS = """
import json, os
from kener_async.agent import responses, spool
flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY
journal, verdicts = os.open("journal", flags), os.open("verdicts", flags)
def write(to, lines):
    os.write(to, "".join(json.dumps(line) + "\\n" for line in lines).encode())
def add(self, samples, before=spool.Spool.add):
    samples = list(samples)
    dropped = before(self, samples)
    (last,) = self._one("SELECT seq FROM sqlite_sequence WHERE name = 'samples'")
    rows = zip(range(last - len(samples) + 1, last + 1), samples)
    write(journal, [[seq, each.tag, each.status, each.latency, each.moment.monotonic] for seq, each in rows])
    return dropped
spool.Spool.add = add
def reply(status, headers, body, samples, before=responses.reply):
    reply = before(status, headers, body, samples)
    if isinstance(reply, responses.Delivered):
        results = zip(samples, json.loads(body)["results"])
        write(verdicts, [[each.seq, result["verdict"], result.get("minute", 0)] for each, result in results])
    return reply
responses.reply = reply
"""
# Bugs on purpose, to prove that the rig sees them.
FAULTS = {
    "forgetful": """
from kener_async.agent import uploader
async def post(self, server, batch, before=uploader.Uploader._post):
    await self._spool.remove(batch, 0)   # before the server has it
    return await before(self, server, batch)
uploader.Uploader._post = post
""",
    "hasty": """
from kener_async.agent import spool
prepare = spool._prepare
def hasty(connection):
    prepare(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
spool._prepare = hasty
""",
    "simple": """
from kener_async.agent import batches
def as_sent(spooled, newest, before=batches._as_sent):
    return {key: value for key, value in before(spooled, newest).items() if key not in ("monotonic", "boot")}
batches._as_sent = as_sent
assert batches.corrected                        # which corrects samples taken before a step
batches.corrected = lambda moment, newest: moment
""",
}


@dataclass(frozen=True)
class Sample:
    """A sample as the agent measured it, at a true time."""

    seq: int
    tag: str
    status: str
    latency: float
    at: float

    def minutes(self, edge: float) -> set[int]:
        """Those it may be taken for."""
        return {int(moment // MINUTE) * MINUTE for moment in (self.at - edge, self.at + edge)}


Row = tuple[str, float]  # status and latency
Verdict = tuple[int, str, int]  # number, verdict, minute


@dataclass
class Report:
    clock: str
    seed: int
    cuts: int = 0
    agent_kills: int = 0
    server_kills: int = 0
    power_cuts: int = 0
    met: dict[str, int] = field(default_factory=dict)
    measured: int = 0
    stored: int = 0
    refused: int = 0
    left: int = 0
    faults: list[str] = field(default_factory=list)
    resident: tuple[int, int] = (0, 0)  # MB of the agent, at the first look and at the end

    @property
    def is_ok(self) -> bool:
        return not self.faults and not self.left and self.measured > 0 and self.refused > 0

    def __str__(self) -> str:
        met = ", ".join(f"{count} {kind}" for kind, count in sorted(self.met.items()))
        lines = [
            f"clock {self.clock}, seed {self.seed}: {self.cuts} cuts, {self.agent_kills} kills of the agent, "
            f"{self.server_kills} of the server, {self.power_cuts} power cuts; connections: {met}",
            f"  {self.measured} samples measured, {self.stored} minutes stored, "
            f"{self.refused} refused for a while, {self.left} left, "
            f"{len(self.faults)} faults; agent: {self.resident[0]} to {self.resident[1]} MB",
        ]
        return "\n".join([*lines, *(f"  {fault}" for fault in self.faults[:20])])


def faults_of(samples: Sequence[Sample], stored: dict[tuple[str, int], Row], edge: float) -> Iterator[str]:
    """What differs between what was measured and what is stored; of a minute the highest number speaks."""
    numbers = sorted(sample.seq for sample in samples)
    if numbers != list(range(1, len(numbers) + 1)):
        yield "the numbers of the samples are not 1, 2, 3 and so on"
    certain: dict[tuple[str, int], int] = {}
    speakers: dict[tuple[str, int], dict[Row, int]] = {}
    for sample in samples:
        minutes = sample.minutes(edge)
        for minute in minutes:
            speakers.setdefault((sample.tag, minute), {})[sample.status, sample.latency] = sample.seq
        if len(minutes) == 1:
            key = sample.tag, minutes.pop()
            certain[key] = max(certain.get(key, 0), sample.seq)
    for key in certain.keys() - stored.keys():
        yield f"lost: {key}, sample {certain[key]}"
    for key, row in stored.items():
        seq = speakers.get(key, {}).get(row)
        if seq is None:
            yield f"never measured: {key} {row}"
        elif seq < certain.get(key, 0):
            yield f"sample {seq} speaks for {key} in place of {certain[key]}"


def misjudged(samples: Sequence[Sample], verdicts: Sequence[Verdict], edge: float) -> Iterator[str]:
    """What the server told of each sample, where it was wrong, or nothing at all."""
    by_seq = {sample.seq: sample for sample in samples}
    for seq, verdict, minute in verdicts:
        if verdict == "rejected":
            yield f"sample {seq} was rejected"
        elif minute not in by_seq[seq].minutes(edge):
            yield f"sample {seq} of {by_seq[seq].at:.1f} was {verdict} for {minute}"
    unanswered = by_seq.keys() - {seq for seq, *_ in verdicts}
    if unanswered:
        yield f"there is no verdict on samples {sorted(unanswered)[:10]}"


def stored_rows(database: Path) -> dict[tuple[str, int], Row]:
    return {(one.tag, one.minute): (one.status, one.latency) for one in samples_in(database)}


def miscounted(database: Path, count: int) -> Iterator[str]:
    """What the server has noted of the device's numbers, where it is not: each of them, once."""
    with closing(reading(database)) as connection:
        devices = connection.execute("SELECT lost, restarts FROM devices").fetchall()
        spans = connection.execute("SELECT first, last FROM heard ORDER BY first").fetchall()
    if devices != [(0, 0)]:
        yield f"devices, with their losses and restarts: {devices}"
    if spans != [(1, count)]:
        yield f"numbers heard: {spans}, of {count}"


class Rig:
    def __init__(self, folder: Path, report: Report, disk: Disk | None, pause: float, fault: str) -> None:
        self.folder = folder
        self.report = report
        self.chance = random.Random(report.seed)
        known = [tag for tag in TAGS if tag not in UNKNOWN]
        self.server = Server(folder, a_config(SETTINGS, known))
        self.clock = FakedClock(folder)
        self.disk = disk
        self._pause_seconds = pause
        self._fault = fault
        self._set_clock()

    def _set_clock(self) -> None:
        match self.report.clock:
            case "fast":
                self.clock.step_to(3 * HOUR)
            case "1970":
                self.clock.step_to(20 - int(time.time()))
            case "back":
                self.clock.step_to(self.clock.offset - self.chance.randint(1, 3 * HOUR))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        token = self.server.add_token()
        async with (
            a_world() as world,
            FaultyNetwork(self.server.port, seed=self.report.seed, chance=0.2) as self.network,
        ):
            config = agent_config(f"http://127.0.0.1:{self.network.port}", token, world, self.network.port)
            environment = {} if self.report.clock == "right" else self.clock.environment()
            code = JOURNALS + self._fault
            self.agent = AgentProcess(self.folder / "device", config, environment=environment, fault=code)
            if self.disk is not None:
                self.agent.spool = self.disk.point / "spool.db"
            with self.server, self.agent:
                await asyncio.to_thread(self.server.start)
                self.agent.launch()
                yield

    async def live(self, cuts: int, kills: int, power_cuts: int) -> None:
        """Let all of that happen, in any order."""
        events = [self._cut] * cuts + [self._kill_agent, self._kill_server] * kills
        events += [self._cut_power] * power_cuts
        self.chance.shuffle(events)
        for number, event in enumerate(events):
            if number == len(events) // 2:
                self._add_monitors()
            await self._pause()
            await event()
            if self.report.clock == "back":
                self._set_clock()

    def _add_monitors(self) -> None:
        self.server.config.write_text(a_config(SETTINGS, TAGS))
        self.server.send(signal.SIGHUP)

    async def _pause(self) -> None:
        await asyncio.sleep(self.chance.uniform(self._pause_seconds / 8, self._pause_seconds))

    async def _cut(self) -> None:
        self.network.cut("reset" if self.chance.random() < 0.5 else "stall")
        await self._pause()
        if self.report.clock == "back":
            # Samples that wait for the network across a step are the ones a wrong clock can misplace.
            await self._until_spooled()
            self._set_clock()
        self.network.mend()
        self.report.cuts += 1

    async def _until_spooled(self) -> None:
        """Wait for a sample that is taken while nothing can be sent."""
        size = self._journal_bytes()
        async with asyncio.timeout(LONGEST_WAIT):
            while self._journal_bytes() == size:
                await asyncio.sleep(0.05)

    def _journal_bytes(self) -> int:
        return self.journal.stat().st_size if self.journal.exists() else 0

    async def _kill_agent(self) -> None:
        await asyncio.to_thread(self.agent.kill)
        self.note_spooled()
        self.agent.launch()
        self.report.agent_kills += 1

    async def _cut_power(self) -> None:
        """Of the device: what its file system holds in memory is gone."""
        assert self.disk is not None
        await asyncio.to_thread(self.agent.freeze)
        await asyncio.to_thread(self.disk.cut_power)
        await asyncio.to_thread(self.agent.kill)
        self.disk.unmount()
        self.disk.mount()
        self.note_spooled()
        self.agent.launch()
        self.report.power_cuts += 1

    async def _kill_server(self) -> None:
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(self.chance.uniform(0, 1))
        await asyncio.to_thread(self.server.start)
        self.report.server_kills += 1

    async def arrive(self) -> None:
        """In a network that works, stop the agent again and again until it has left nothing behind."""
        self.network.chance = 0
        for _ in range(10):
            await asyncio.sleep(SETTLING)
            self.report.resident = (self.report.resident[0] or self._resident(), self._resident())
            status = await asyncio.to_thread(self.agent.stop)
            if status:
                self.report.faults.append(f"the agent ended with status {status}")
            self.note_spooled()
            self.report.left = len(self.agent.spooled())
            if not self.report.left:
                return
            self.agent.launch()

    def _resident(self) -> int:
        text = Path(f"/proc/{self.agent.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) // 1024

    @property
    def journal(self) -> Path:
        return self.agent.folder / "journal"

    def note_spooled(self) -> None:
        """Put into the journal what the spool has and the kill kept from it."""
        journaled = {sample.seq for sample in self.samples()}
        with open(self.journal, "a") as journal:
            for row in self.agent.spooled():
                if row[0] not in journaled:
                    journal.write(json.dumps(row) + "\n")

    def samples(self) -> list[Sample]:
        began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        rows = map(json.loads, self.journal.read_text().splitlines()) if self.journal.exists() else ()
        return [
            Sample(seq, tag, STATUSES[status], latency, began + monotonic)
            for seq, tag, status, latency, monotonic in rows
        ]

    def _verdicts(self) -> list[Verdict]:
        lines = (self.agent.folder / "verdicts").read_text().splitlines()
        verdicts = [(seq, verdict, minute) for seq, verdict, minute in map(json.loads, lines)]
        self.report.refused = sum(verdict == "refused" for _, verdict, _ in verdicts)
        return [each for each in verdicts if each[1] != "refused"]

    def judge(self) -> None:
        samples, database = self.samples(), self.server.database
        stored = stored_rows(database)
        self.report.met = dict(self.network.met)
        self.report.measured, self.report.stored = len(samples), len(stored)
        self.report.faults += faults_of(samples, stored, EDGE[self.report.clock])
        self.report.faults += misjudged(samples, self._verdicts(), EDGE[self.report.clock])
        self.report.faults += miscounted(database, len(samples))
        self.report.faults += damage(self.server)


@asynccontextmanager
async def a_world() -> AsyncIterator[str]:
    """What the agent looks at: pages that are fine, slow, or broken, by chance."""
    chance = random.Random(0)

    async def page(_: web.Request) -> web.Response:
        await asyncio.sleep(chance.choice((0, 0, 0, 0.05, 0.3)))
        return web.Response(status=chance.choice((200, 200, 500)))

    app = web.Application()
    app.router.add_get("/", page)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


def agent_config(server: str, token: str, world: str, port: int) -> str:
    """Of an agent with checks of every kind but units, each of them every second."""
    checks: list[dict[str, Any]] = [{"tag": tag, "http": world, "degraded_above": 0.2} for tag in WEB]
    checks += [
        {"tag": "port", "tcp": f"127.0.0.1:{port}"},
        {"tag": "closed", "tcp": "127.0.0.1:1"},
        {"tag": "command", "command": ["sh", "-c", "exit $(($$ % 3))"], "degraded_exit": 1},
        {"tag": "file", "file": "spool.db", "max_age": 3},
        {"tag": "alive", "alive": True},
    ]
    lines = ["[agent]", f'servers = ["{server}"]', f'token = "{token}"', "send_every = 1", "send_timeout = 2"]
    for check in checks:
        lines.append("[[agent.checks]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in ({"every": 1} | check).items()]
    return "\n".join(lines) + "\n"


async def run(
    folder: Path,
    clock: str = "right",
    cuts: int = 50,
    kills: int = 20,
    power_cuts: int = 0,
    seed: int = 1,
    pause: float = PAUSE,
    fault: str = "",
) -> Report:
    report = Report(clock, seed)
    with ext4(folder / "disk") if power_cuts else nullcontext() as disk:
        rig = Rig(folder, report, disk, pause, fault)
        async with rig.running():
            await asyncio.to_thread(rig.agent.until_logged, "started")
            await rig.live(cuts, kills, power_cuts)
            await rig.arrive()
            await asyncio.to_thread(rig.server.stop)  # with the last rollup done
            rig.judge()
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--kills", type=int, default=20, help="of the agent, and as many of the server")
    parser.add_argument("--power", type=int, default=0, help="cuts of the device's power; needs root")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument(
        "--clock", choices=CLOCKS, help="one only; else all, the wrong ones with fewer events"
    )
    parser.add_argument("--fault", choices=FAULTS, help="run an agent with this bug, which must be seen")
    options = parser.parse_args()
    if preload() is None and options.clock != "right":
        print("libfaketime is missing")
        return 1
    ok = True
    for clock in [options.clock] if options.clock else CLOCKS:
        share = 1 if clock == "right" or options.clock else 4
        with tempfile.TemporaryDirectory(prefix="kener-agent-") as folder:
            report = asyncio.run(
                run(
                    Path(folder),
                    clock,
                    options.cuts // share,
                    options.kills // share,
                    options.power // share,
                    options.seed,
                    fault=FAULTS.get(options.fault, ""),
                )
            )
        print(report, flush=True)
        ok = ok and report.is_ok
    print("OK" if ok else "FAILED")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
