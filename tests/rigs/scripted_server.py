"""A server of the tests that answers lines by a script."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

HANG, CLOSE, UPGRADE = object(), object(), object()
Step = bytes | object


@dataclass(slots=True)
class ScriptedServer:
    """A server that runs; `heard` has the lines that came, `open` how many connections are."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)
    open: int = 0


@asynccontextmanager
async def scripted_server(
    greeting: Sequence[Step],
    answers: Mapping[bytes, Sequence[Step]] | None = None,
    tls: ssl.SSLContext | None = None,
    *,
    is_tls: bool = False,
) -> AsyncIterator[ScriptedServer]:
    """Send the greeting, then for each line what stands for its first word.

    A step is what is sent, or HANG, CLOSE, or UPGRADE: begin TLS. `is_tls`: it begins with the connection.
    """
    running = ScriptedServer()

    async def play(steps: Sequence[Step], writer: asyncio.StreamWriter) -> bool:
        for step in steps:
            if step is HANG:
                await asyncio.Event().wait()
            elif step is CLOSE:
                return False
            elif step is UPGRADE:
                assert tls is not None
                await writer.start_tls(tls)
            else:
                assert isinstance(step, bytes)
                writer.write(step)
                await writer.drain()
        return True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running.open += 1
        try:
            goes_on = await play(greeting, writer)
            while goes_on and (line := await reader.readline()):
                running.heard.append(line.strip())
                goes_on = await play((answers or {}).get(_word(line), [b"500 unknown\r\n"]), writer)
        except (OSError, ValueError):
            pass
        finally:
            running.open -= 1
            writer.close()

    tasks: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls if is_tls else None)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        for task in [*tasks]:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _word(line: bytes) -> bytes:
    """The command of a line; of IMAP the one after the tag."""
    words = line.split()
    return b"" if not words else words[1] if words[0] == b"a" and len(words) > 1 else words[0]
