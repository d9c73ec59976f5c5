"""Probes of the agent: each ends within the timeout of its check and leaves no process or connection."""

import asyncio
import errno
import os
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

from kener_async.agent import results
from kener_async.agent.responses import read_up_to
from kener_async.agent.results import CheckResult
from kener_async.agent.settings import Alive, Check, Command, FileAge, Http, Probe, Tcp, Unit
from kener_async.domain.samples import Status

LARGEST_BODY = 1 << 20  # bytes of a response that are searched for a text
KILL_SECONDS = 1.0  # seconds to wait for a killed process
# Errors of this device, not of the target: out of files, memory, processes or buffers.
LOCAL_ERRORS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS}


class NotMeasured(Exception):
    """The check could not be made, so the status of the target is unknown."""


class Prober:
    """Makes checks; commands run with the `environment`."""

    def __init__(self, session: ClientSession, environment: Mapping[str, str]) -> None:
        self._session = session
        self._environment = environment
        self._stats: dict[FileAge, asyncio.Future[float | None]] = {}

    @classmethod
    @asynccontextmanager
    async def running(cls, name: str, environment: Mapping[str, str]) -> AsyncIterator["Prober"]:
        """Open the HTTP session, with `name` as User-Agent; closed on leaving."""
        connector = TCPConnector(limit=0, force_close=True)  # what is measured includes the connection
        async with ClientSession(connector=connector, headers={"User-Agent": name}) as session:
            yield cls(session, environment)

    async def measure(self, check: Check) -> CheckResult:
        """Make a check; raises NotMeasured for errors of this device."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(check.timeout):
                result = await self._probe(check.probe)
        except TimeoutError:
            return results.timed_out(check)
        except (ClientError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in LOCAL_ERRORS:
                raise NotMeasured(_text_of(error)) from error
            result = CheckResult(Status.DOWN, reason=_text_of(error))
        if isinstance(check.probe, Unit | FileAge | Alive):
            return result
        return results.timed(check, result, time.monotonic() - began)

    async def _probe(self, probe: Probe) -> CheckResult:
        match probe:
            case Http():
                return await self._get(probe)
            case Tcp():
                return await _connect(probe)
            case Command():
                status, _ = await _run(probe.words, self._environment, DEVNULL)
                return results.of_exit(probe, status)
            case Unit(name):
                words = ("systemctl", "show", "--property=ActiveState", "--value", "--", name)
                status, output = await _run(words, self._environment, PIPE)
                if status:
                    raise NotMeasured(f"systemctl ended with status {status}")
                return results.of_unit(output.decode().strip())
            case FileAge():
                return results.of_age(probe, await self._age(probe))
            case Alive():
                return CheckResult(Status.UP)

    async def _get(self, probe: Http) -> CheckResult:
        async with self._session.get(probe.url, timeout=ClientTimeout()) as reply:
            body = await read_up_to(reply.content, LARGEST_BODY) if probe.text else b""
            return results.of_response(probe, reply.status, body.decode(errors="replace"))

    async def _age(self, probe: FileAge) -> float | None:
        """The age of a file in seconds. While a disk hangs, only one thread waits for each file."""
        pending = self._stats.get(probe)
        if pending is None or pending.done():
            pending = asyncio.get_running_loop().run_in_executor(None, _age, probe)
            self._stats[probe] = pending
        return await asyncio.shield(pending)


def _text_of(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _age(probe: FileAge) -> float | None:
    try:
        return time.time() - probe.path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None


async def _connect(probe: Tcp) -> CheckResult:
    _, writer = await asyncio.open_connection(probe.host, probe.port)
    writer.transport.abort()
    return CheckResult(Status.UP)


async def _run(words: Sequence[str], environment: Mapping[str, str], stdout: int) -> tuple[int, bytes]:
    """Run a command in a process group of its own; returns its exit status and output."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words, env=environment, stdin=DEVNULL, stdout=stdout, stderr=DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise NotMeasured(f"{words[0]}: {_text_of(error)}") from error
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
