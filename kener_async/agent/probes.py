"""Looking at a thing: at most as long as the check allows, and leaving nothing behind."""

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
from kener_async.agent.results import Seen
from kener_async.agent.settings import Alive, Check, Command, FileAge, Http, Probe, Tcp, Unit
from kener_async.domain.samples import Status

LARGEST_BODY = 1 << 20  # bytes of an answer that are searched for a text
LAST_WORDS = 1.0  # seconds for a killed process to be gone
OUR_OWN = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS}


class NotMeasured(Exception):
    """The check could not be made, and nothing is known of the thing; says why."""


class Prober:
    """Looks at things; commands are given the `environment`."""

    def __init__(self, session: ClientSession, environment: Mapping[str, str]) -> None:
        self._session = session
        self._environment = environment
        self._stats: dict[FileAge, asyncio.Future[float | None]] = {}

    @classmethod
    @asynccontextmanager
    async def running(cls, name: str, environment: Mapping[str, str]) -> AsyncIterator["Prober"]:
        """`name` is how it introduces itself to web servers."""
        connector = TCPConnector(limit=0, force_close=True)  # what is measured includes the connection
        async with ClientSession(connector=connector, headers={"User-Agent": name}) as session:
            yield cls(session, environment)

    async def look(self, check: Check) -> Seen:
        """Raises NotMeasured when the fault is ours."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(check.timeout):
                seen = await self._seen(check.probe)
        except TimeoutError:
            return results.too_late(check)
        except (ClientError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in OUR_OWN:
                raise NotMeasured(_named(error)) from error
            seen = Seen(Status.DOWN, reason=_named(error))
        if isinstance(check.probe, Unit | FileAge | Alive):
            return seen
        return results.timed(check, seen, time.monotonic() - began)

    async def _seen(self, probe: Probe) -> Seen:
        match probe:
            case Http():
                return await self._answered(probe)
            case Tcp():
                return await _connected(probe)
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
                return Seen(Status.UP)

    async def _answered(self, probe: Http) -> Seen:
        async with self._session.get(probe.url, timeout=ClientTimeout()) as reply:
            body = await read_up_to(reply.content, LARGEST_BODY) if probe.text else b""
            return results.of_answer(probe, reply.status, body.decode(errors="replace"))

    async def _age(self, probe: FileAge) -> float | None:
        """A disk that hangs has one thread waiting for it, not one more each time."""
        pending = self._stats.get(probe)
        if pending is None or pending.done():
            pending = asyncio.get_running_loop().run_in_executor(None, _age, probe)
            self._stats[probe] = pending
        return await asyncio.shield(pending)


def _named(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _age(probe: FileAge) -> float | None:
    try:
        return time.time() - probe.path.stat().st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return None


async def _connected(probe: Tcp) -> Seen:
    _, writer = await asyncio.open_connection(probe.host, probe.port)
    writer.transport.abort()
    return Seen(Status.UP)


async def _run(words: Sequence[str], environment: Mapping[str, str], stdout: int) -> tuple[int, bytes]:
    """The exit status and the output of a command, which leads a group of processes of its own."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words, env=environment, stdin=DEVNULL, stdout=stdout, stderr=DEVNULL, start_new_session=True
        )
    except OSError as error:
        raise NotMeasured(f"{words[0]}: {_named(error)}") from error
    try:
        output, _ = await process.communicate()
        return await process.wait(), output or b""
    finally:
        await _ended(process)


async def _ended(process: Process) -> None:
    """Kill it and all its children, if it runs. What waits for a disk can not be killed."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORDS):
            await process.wait()
