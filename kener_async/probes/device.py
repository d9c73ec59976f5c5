"""Probes of what only the device itself can see: commands, units of systemd, files, and that it runs.

They leave no process behind, also when they are cancelled.
"""

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from kener_async.domain.checks import Obstacle
from kener_async.domain.samples import Status
from kener_async.probes.own_faults import obstacle_of, words_of
from kener_async.probes.probe import NotMeasured, Observation, Probe, Trace
from kener_async.probes.settings import AliveTarget, CommandTarget, DeviceTarget, FileTarget, UnitTarget

KILL_SECONDS = 1.0  # seconds to wait for a killed process


def device_probe(target: DeviceTarget, environment: Mapping[str, str]) -> Probe:
    """The probe of a target; commands run with the environment."""
    match target:
        case CommandTarget():
            return CommandProbe(target, environment)
        case UnitTarget():
            return UnitProbe(target, environment)
        case FileTarget():
            return FileProbe(target)
        case AliveTarget():
            return AliveProbe()


@dataclass(frozen=True, slots=True)
class CommandProbe:
    target: CommandTarget
    environment: Mapping[str, str]

    async def look(self, trace: Trace) -> Observation:
        """Run the command; its exit status says how it is."""
        trace.awaited = "result"
        began = time.monotonic()
        exit_status, _ = await _run(self.target.words, self.environment, DEVNULL)
        seconds = time.monotonic() - began
        if exit_status == 0:
            return Observation(seconds)
        fault = f"ended by signal {-exit_status}" if exit_status < 0 else f"exit status {exit_status}"
        is_degraded = exit_status == self.target.degraded_status
        return Observation(seconds, fault=fault, status=Status.DEGRADED if is_degraded else Status.DOWN)


@dataclass(frozen=True, slots=True)
class UnitProbe:
    target: UnitTarget
    environment: Mapping[str, str]

    async def look(self, trace: Trace) -> Observation:
        """Ask systemd for the state of the unit; one that reloads is still running."""
        trace.awaited = "result"
        words = ("systemctl", "show", "--property=ActiveState", "--value", "--", self.target.name)
        exit_status, output = await _run(words, self.environment, PIPE)
        if exit_status:
            raise NotMeasured(Obstacle.PROGRAM, f"systemctl ended with status {exit_status}")
        state = output.decode(errors="replace").strip()
        is_running = state in ("active", "reloading")
        return Observation(0.0, fault="" if is_running else f"is {state or 'unknown'}")


class FileProbe:
    """While a disk hangs, only one thread waits for it."""

    def __init__(self, target: FileTarget) -> None:
        self._target = target
        self._pending: asyncio.Future[float | None] | None = None

    async def look(self, trace: Trace) -> Observation:
        """Ask for the age of the file, which is negative when the clock was set back."""
        trace.awaited = "result"
        if self._pending is None or self._pending.done():
            self._pending = asyncio.get_running_loop().run_in_executor(None, age_of, self._target)
        age = await asyncio.shield(self._pending)
        if age is None:
            return Observation(0.0, fault="file not found")
        return Observation(0.0, fault=f"written {age:.0f} s ago" if age > self._target.max_age else "")


class AliveProbe:
    async def look(self, trace: Trace) -> Observation:
        return Observation(0.0)


def age_of(target: FileTarget) -> float | None:
    """The seconds since a file was written, None if there is none; raises OSError."""
    try:
        return time.time() - target.path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None


async def _run(words: Sequence[str], environment: Mapping[str, str], stdout: int) -> tuple[int, bytes]:
    """Run a command in a process group of its own; returns its exit status and output."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words, env=environment, stdin=DEVNULL, stdout=stdout, stderr=DEVNULL, start_new_session=True
        )
    except OSError as error:
        text = f"{words[0]}: {error.strerror or words_of(error)}"
        raise NotMeasured(obstacle_of(error) or Obstacle.PROGRAM, text) from error
    try:
        output, _ = await process.communicate()
        return await process.wait(), output or b""
    finally:
        await _kill(process)


async def _kill(process: Process) -> None:
    """Kill a running command with its children; a process that waits for a disk may survive."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(KILL_SECONDS):
            await process.wait()
