"""Commands: a program of the operator's that gets the message as JSON on its standard input."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping
from contextlib import suppress

from kener_async.channels.document import document_of
from kener_async.channels.message import Message, NotDelivered, Receipt
from kener_async.config.channels import CommandChannel

TIMEOUT_SECONDS = 30
OUTPUT_BYTES = 2000
ANSWER_CHARACTERS = 500

# Exit statuses of sysexits.h and of shells for which another try would end the same way: wrong usage, data,
# input, user, host; no permission, wrong configuration; what is to be executed is no program or is not there.
PERMANENT_STATUSES = frozenset({64, 65, 66, 67, 68, 77, 78, 126, 127})


class CommandRun:
    """Execute the program of a channel, without a shell and in a process group of its own."""

    takes_one_at_a_time = False
    keeps_state = False

    def __init__(self, settings: CommandChannel, *, timeout: float = TIMEOUT_SECONDS) -> None:
        self._command = settings.command
        self._timeout = timeout

    async def send(self, message: Message, references: Mapping[str, str]) -> Receipt:
        """Return when the program has ended with status 0; see channels/message.py."""
        status, output = await self._run(json.dumps(document_of(message)).encode())
        answer = self._masked(_one_line(output))
        if status == 0:
            return Receipt(answer)
        raise NotDelivered(
            f"{ended_how(status)}: {answer}".removesuffix(": "), for_good=status in PERMANENT_STATUSES
        )

    async def _run(self, text: bytes) -> tuple[int, bytes]:
        """The exit status, and the beginning of the output. At the time-out the process group is killed."""
        process = await self._started()
        try:
            async with asyncio.timeout(self._timeout):
                output, _ = await asyncio.gather(_output_of(process), _write(process, text))
                return await process.wait(), output
        except TimeoutError:
            if process.returncode is None:
                raise NotDelivered(f"did not end within {self._timeout:g} s") from None
            _kill_group(process)  # it has ended, but what it left behind kept its output open
            return process.returncode, b""
        finally:
            if process.returncode is None:
                await _end(process)

    async def _started(self) -> Process:
        """Start it. A cancellation meanwhile takes effect once the whole group can be killed."""
        starting = asyncio.create_task(self._start())
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            with suppress(NotDelivered):
                await _end(await starting)
            raise

    async def _start(self) -> Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=STDOUT,
                cwd="/",
                env=environment(os.environ),
                start_new_session=True,
            )
        except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
            raise NotDelivered(f"cannot be executed: {error.strerror}", for_good=True) from None
        except OSError as error:
            raise NotDelivered(f"cannot be executed: {error.strerror}") from None

    def _masked(self, text: str) -> str:
        """Without the arguments of the program, which may be secrets."""
        for argument in sorted(self._command[1:], key=len, reverse=True):
            if len(argument) >= 8:
                text = text.replace(argument, "***")
        return text


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program: nothing of the server's, which holds secrets, but where things are."""
    return {"LANG": "C.UTF-8", "PATH": os.defpath} | {
        name: own[name] for name in ("HOME", "PATH", "TZ") if name in own
    }


def ended_how(status: int) -> str:
    """In words: by an exit status, or by a signal, which asyncio gives as a negative number."""
    return f"ended with status {status}" if status >= 0 else f"was ended by signal {-status}"


async def _output_of(process: Process) -> bytes:
    """The beginning of the output; the rest is read and dropped, so that the program never has to wait."""
    pipe = process.stdout
    beginning = b""
    while pipe is not None and (part := await pipe.read(65536)):
        beginning += part[: OUTPUT_BYTES - len(beginning)]
    return beginning


async def _write(process: Process, text: bytes) -> None:
    """Write its standard input; a program need not read it."""
    pipe = process.stdin
    if pipe is not None:
        with suppress(BrokenPipeError, ConnectionResetError):
            pipe.write(text)
            await pipe.drain()
        pipe.close()
        # Else asyncio logs the broken pipe as an exception that was never retrieved.
        with suppress(BrokenPipeError, ConnectionResetError):
            await pipe.wait_closed()


async def _end(process: Process) -> None:
    """Kill the group, and wait for the program; but not for what left the group and keeps its pipes open."""
    _kill_group(process)
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await process.wait()


def _kill_group(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _one_line(output: bytes) -> str:
    return " ".join(output.decode(errors="replace").split())[:ANSWER_CHARACTERS]
