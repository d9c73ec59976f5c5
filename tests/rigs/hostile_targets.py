"""Targets that answer an HTTP request in five hundred wrong ways, each made from its name alone.

    async with HostileTarget() as target:
        await probe(f"http://127.0.0.1:{target.port}/{kind}")   # for each kind of KINDS

What is sent follows from the path of the request, so that one server has them all.
"""

import asyncio
import gzip
import random
import struct
import sys
import time
import zlib
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from socket import SO_LINGER, SOL_SOCKET
from typing import Self

from kener_async.domain.checks import Attempt, CheckTiming
from kener_async.domain.conditions import parse
from kener_async.probes.attempt import attempt
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import CheckSettings, HttpTarget
from kener_async.probes.vantage import Vantage
from tests.rigs.process import ROOT

GOOD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 40\r\n"
    b"Set-Cookie: a=b\r\nX-Powered-By: nothing\r\n\r\n" + b"0123456789" * 4
)
RESET = struct.pack("ii", 1, 0)  # linger for no time: closing sends RST
CHUNK = 1 << 16
GIB = 1 << 30

Send = Callable[[], AsyncIterator[bytes]]


def _fixed(data: bytes) -> Send:
    async def send() -> AsyncIterator[bytes]:
        for at in range(0, len(data), CHUNK):
            yield data[at : at + CHUNK]

    return send


def _endless(head: bytes, part: bytes, most: int = GIB) -> Send:
    async def send() -> AsyncIterator[bytes]:
        yield head
        sent = 0
        block = part * max(1, CHUNK // len(part))
        while sent < most:
            yield block
            sent += len(block)

    return send


def _drip(data: bytes, pause: float) -> Send:
    async def send() -> AsyncIterator[bytes]:
        for byte in data:
            yield bytes([byte])
            await asyncio.sleep(pause)
        await asyncio.sleep(3600)

    return send


def _silent(data: bytes) -> Send:
    async def send() -> AsyncIterator[bytes]:
        yield data
        await asyncio.sleep(3600)

    return send


def _bomb(encoding: str) -> Send:
    async def send() -> AsyncIterator[bytes]:
        yield f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nConnection: close\r\n\r\n".encode()
        packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
        zeros = bytes(1 << 20)
        for _ in range(1024):
            yield packer.compress(zeros)
            await asyncio.sleep(0)
        yield packer.flush()

    return send


def _chunked(body: bytes) -> Send:
    return _fixed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


def _with_body(body: bytes, head: bytes = b"") -> Send:
    length = f"Content-Length: {len(body)}\r\n".encode()
    return _fixed(b"HTTP/1.1 200 OK\r\n" + head + length + b"\r\n" + body)


def _redirect(location: bytes, status: int = 302) -> Send:
    head = f"HTTP/1.1 {status} Found\r\nContent-Length: 0\r\nLocation: ".encode()
    return _fixed(head + location + b"\r\n\r\n")


def _named() -> Iterator[tuple[str, Send]]:
    ok = b"HTTP/1.1 200 OK\r\n"
    yield "endless-headers", _endless(ok, b"X-More: " + b"a" * 100 + b"\r\n")
    yield "endless-different-headers", _endless(ok, b"".join(b"X-%d: a\r\n" % n for n in range(4000)))
    yield "endless-header", _endless(ok + b"X-More: ", b"a")
    yield "endless-folded-header", _endless(ok + b"X-More: a\r\n", b" a\r\n")
    yield "endless-status-line", _endless(b"HTTP/1.1 200 ", b"O")
    yield "endless-blank-lines", _endless(b"", b"\r\n")
    yield "endless-continue", _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n")
    yield "endless-early-hints", _endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n")
    yield "endless-body", _endless(ok + b"Connection: close\r\n\r\n", b"a")
    yield "gib-body", _endless(ok + b"Content-Length: %d\r\n\r\n" % GIB, b"a")
    yield "endless-chunks", _endless(ok + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n")
    yield "endless-chunk", _endless(ok + b"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n", b"a")
    yield "endless-chunk-extension", _endless(ok + b"Transfer-Encoding: chunked\r\n\r\n1;", b"a")
    yield "endless-trailers", _endless(ok + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n")
    yield "endless-chunk-size", _endless(ok + b"Transfer-Encoding: chunked\r\n\r\n", b"0")
    yield "endless-brackets", _endless(ok + b"Connection: close\r\n\r\n", b"[")
    yield "endless-invalid-utf-8", _endless(ok + b"Connection: close\r\n\r\n", b"\xff\xfe\xc0")
    yield (
        "endless-nothing-in-gzip",
        _endless(ok + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"", mtime=0)),
    )
    for encoding in ("gzip", "deflate"):
        yield f"{encoding}-bomb", _bomb(encoding)
        yield f"{encoding}-cut", _with_body(gzip.compress(b"a" * 9999)[:20], b"Content-Encoding: gzip\r\n")
        yield f"{encoding}-none", _with_body(b"not packed", f"Content-Encoding: {encoding}\r\n".encode())
    yield "gzip-in-gzip", _with_body(gzip.compress(gzip.compress(b"a")), b"Content-Encoding: gzip, gzip\r\n")
    for packing in (b"br", b"zstd", b"compress", b"x-none", b"gzip, br, deflate", b",,,", b"\xff"):
        yield f"encoding-{packing!r}", _with_body(b"not packed", b"Content-Encoding: " + packing + b"\r\n")
    yield "megabyte-of-brackets", _with_body(b"[" * (1 << 20))
    yield "megabyte-of-braces", _with_body(b'{"a":' * (200 << 10))
    yield "megabyte-of-lists", _with_body(b"[" + b"[]," * (349 << 10) + b"[]]")
    yield "megabyte-of-digits", _with_body(b"9" * (1 << 20))
    yield "megabyte-of-invalid-utf-8", _with_body(b"\xff" * (1 << 20))
    yield "megabyte-of-zeros", _with_body(bytes(1 << 20))
    yield "megabyte-of-quotes", _with_body(b'"' + b"\\u0000" * (170 << 10) + b'"')
    for charset in (
        "utf-7",
        "utf-16",
        "utf-32",
        "idna",
        "punycode",
        "rot13",
        "unicode_escape",
        "x" * 99,
        "\xff",
    ):
        head = f"Content-Type: text/plain; charset={charset}\r\n".encode("latin-1")
        yield f"charset-{charset!r}", _with_body(b"a\xff-" * (300 << 10), head)
    for word in (b"0", b"-1", b"99", b"1000", b"99999999999999999999", b"abc", b"", b"2 00", b"\xb2"):
        yield f"status-{word!r}", _fixed(b"HTTP/1.1 " + word + b" OK\r\nContent-Length: 0\r\n\r\n")
    for status in (100, 101, 102, 103, 199, 204, 205, 206, 304, 401, 407, 417, 418, 426, 451, 500, 599):
        yield f"only-{status}", _fixed(b"HTTP/1.1 %d A\r\nContent-Length: 3\r\n\r\nabc" % status)
        yield f"only-{status}-silent", _silent(b"HTTP/1.1 %d A\r\n\r\n" % status)
    for version in (
        b"HTTP/0.9",
        b"HTTP/1.0",
        b"HTTP/1.2",
        b"HTTP/2.0",
        b"HTTP/9.9",
        b"http/1.1",
        b"ICY",
        b"RTSP/1.0",
    ):
        yield f"version-{version!r}", _fixed(version + b" 200 OK\r\nContent-Length: 0\r\n\r\n")
    yield "http-0.9", _fixed(b"<html>hello</html>")
    yield "http-2-preface", _fixed(b"\0\0\x12\x04\0\0\0\0\0" + bytes(18))
    yield "tls-alert", _fixed(b"\x15\x03\x01\x00\x02\x02\x28")
    yield "ssh", _silent(b"SSH-2.0-OpenSSH_9.2\r\n")
    yield "smtp", _silent(b"220 mail.example.org ESMTP\r\n")
    yield "silence", _silent(b"")
    yield "nothing", _fixed(b"")
    yield "two-answers", _fixed(GOOD + GOOD)
    yield "answer-and-garbage", _fixed(GOOD + bytes(range(256)) * 400)
    for length in (b"-1", b"+1", b"1e3", b"0x10", b"1,1", b"1 1", b"", b"9" * 30, b"abc", b"\xff"):
        yield f"length-{length!r}", _fixed(ok + b"Content-Length: " + length + b"\r\n\r\nabc")
    yield "two-lengths", _fixed(ok + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")
    yield (
        "length-and-chunked",
        _fixed(ok + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    )
    yield "body-too-short", _fixed(ok + b"Content-Length: 300\r\n\r\nabc")
    yield "body-too-short-silent", _silent(ok + b"Content-Length: 300\r\n\r\nabc")
    for number, body in enumerate(
        (
            b"zz\r\n", b"-1\r\n", b"0x3\r\nabc\r\n0\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"3\nabc\n0\n\n", b"\r\n",
            b"3\r\nabc", b"3\r\nabc\r\n", b"ffffffffffffffffff\r\n", b"3 \r\nabc\r\n0\r\n\r\n", b"3;a=\"b\r\nabc\r\n0\r\n\r\n",
            b"0\r\nX: y", b"0\r\n\xff: \xff\r\n\r\n", b"00000000000000003\r\nabc\r\n0\r\n\r\n", b"\x00\r\n", b"3\rabc\r0\r\r",
        )
    ):  # fmt: skip
        yield f"chunks-{number}", _chunked(body)
        yield (
            f"chunks-{number}-drip",
            _drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body, 0.01),
        )
    for number, line in enumerate(
        (
            b"no colon", b": no name", b" leading: blank", b"a b: c", b"a\x00b: c", b"a: \x00", b"a: b\rc: d", b"\xff: a",
            b"a: \xff\xfe", b"a:\x7f", b"a" * 70_000 + b": b", b"a: " + b"b" * 70_000, b"a: b\n", b"\x0b: a", b"a: \x0b", b"=: =",
            b"Connection: close, keep-alive", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, chunked",
            b"Transfer-Encoding: identity", b"Upgrade: h2c\r\nConnection: upgrade", b"Set-Cookie: ;;;=", b"Location: ://",
            b"Content-Type: ;;;", b"Content-Type: text/html; charset=\"", b"Keep-Alive: timeout=-1", b"Date: never",
        )
    ):  # fmt: skip
        yield f"header-{number}", _fixed(ok + line + b"\r\nContent-Length: 3\r\n\r\nabc")
    many = b"".join(b"X-%d: a\r\n" % number for number in range(200))
    yield "many-headers", _fixed(ok + many + b"Content-Length: 0\r\n\r\n")
    yield "many-cookies", _with_body(b"a", b"".join(b"Set-Cookie: a%d=b\r\n" % n for n in range(100)))
    yield from _redirects()
    for pause in (0.001, 0.01, 0.05, 0.2):
        yield f"drip-{pause}", _drip(GOOD, pause)
        yield f"drip-{pause}-headers", _drip(ok + b"X-A: b\r\n" * 9999, pause)


def _redirects() -> Iterator[tuple[str, Send]]:
    places = (
        b"/redirect-to-itself-302", b"file:///etc/passwd", b"ftp://example.org/", b"gopher://x/", b"javascript:alert(1)",
        b"data:text/html,a", b"http://", b"http:///a", b"//", b"http://[", b"http://[::1", b"http://a:99999/", b"http://a:-1/",
        b"http://a:b/", b"http://\xff/", b"http://a b/", b"http://a\x00b/", b"\x00", b"\xff\xfe", b"http://127.0.0.1:1/",
        b"http://0.0.0.0:1/", b"http://[::1]:1/", b"https://127.0.0.1:1/", b"http://user:word@127.0.0.1:1/", b"?" * 9000,
        b"http://" + b"a" * 300 + b"/", b"http://" + b"a." * 200 + b"/", b"http://xn--a/", b"http://.../", b"http:a", b"unix:/run/x",
        b"ws://127.0.0.1:1/", b"HTTP://127.0.0.1:1/", b"http://2130706433:1/", b"http://0x7f000001:1/", b"#", b"", b" ",
        b"http://127.0.0.1:1/\r\nX-Injected: 1", b"http://localhost:0/", b"\\\\127.0.0.1\\a", b"http://127.0.0.1:1\\@a/",
    )  # fmt: skip
    for number, place in enumerate(places):
        yield f"redirect-{number}", _redirect(place)
    for status in (301, 302, 303, 307, 308):
        yield f"redirect-to-itself-{status}", _redirect(f"/redirect-to-itself-{status}".encode(), status)
        yield (
            f"redirect-{status}-without-location",
            _fixed(b"HTTP/1.1 %d A\r\nContent-Length: 0\r\n\r\n" % status),
        )
        yield (
            f"redirect-{status}-endless-body",
            _endless(
                b"HTTP/1.1 %d A\r\nLocation: /nothing\r\nContent-Length: %d\r\n\r\n" % (status, GIB), b"a"
            ),
        )


def _mutations(count: int) -> Iterator[tuple[str, Send]]:
    """Good answers with some bytes changed, removed or doubled."""
    for seed in range(count):
        chosen = random.Random(seed)
        data = bytearray(GOOD)
        for _ in range(chosen.randint(1, 8)):
            at = chosen.randrange(len(data))
            match chosen.randrange(4):
                case 0:
                    data[at] = chosen.randrange(256)
                case 1:
                    del data[at : at + chosen.randint(1, 9)]
                case 2:
                    data[at:at] = data[at : at + chosen.randint(1, 30)]
                case _:
                    data[at:at] = bytes(chosen.randrange(256) for _ in range(chosen.randint(1, 9)))
        yield f"mutation-{seed}", _fixed(bytes(data))


def _kinds() -> dict[str, Send]:
    kinds = dict(_named())
    kinds |= {f"reset-at-{at}": _fixed(GOOD[:at]) for at in range(len(GOOD))}
    kinds |= {f"close-at-{at}": _fixed(GOOD[:at]) for at in range(0, len(GOOD), 3)}
    kinds |= dict(_mutations(150))
    return {_as_path(name): send for name, send in kinds.items()}


def _as_path(name: str) -> str:
    return "".join(each if each.isalnum() or each in "-." else "_" for each in name)


KINDS = _kinds()


class HostileTarget:
    """Listens on `port` of 127.0.0.1; what it answers is the kind that the path names."""

    def __init__(self) -> None:
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._taken, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _taken(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._answer(reader, writer)
        finally:
            writer.transport.abort()

    async def _answer(self, reader: StreamReader, writer: StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        kind = request.split(b" ")[1].decode().removeprefix("/").partition("?")[0]
        async for part in KINDS.get(kind, _fixed(GOOD))():
            writer.write(part)
            await writer.drain()
        if kind.startswith("reset-"):
            writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, RESET)
        elif writer.can_write_eof():
            writer.write_eof()
            await reader.read()  # until the probe closes


async def _serve() -> None:
    async with HostileTarget() as target:
        print(target.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)  # until the test closes it


@asynccontextmanager
async def hostile_process() -> AsyncIterator[int]:
    """The port of a hostile target in a process of its own, whose work is not that of the probe's loop."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.rigs.hostile_targets", stdin=PIPE, stdout=PIPE, cwd=ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


class LoopMeter:
    """The longest time for which the loop was held, in CPU seconds: other processes do not count."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._before = time.thread_time()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._before = time.thread_time()
        self._timer = asyncio.get_running_loop().call_later(0.001, self._tick)

    def stop(self) -> None:
        """End it."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self.longest = max(self.longest, time.thread_time() - self._before)
        self.start()


@dataclass(frozen=True)
class Outcome:
    """What the probe made of a kind: the attempt, the seconds it took, and those that the loop was held."""

    kind: str
    attempt: Attempt
    seconds: float
    held: float


async def looked_at(kinds: Iterable[str], port: int, vantage: Vantage, timeout: float) -> list[Outcome]:
    """Look at each of the kinds, one after another."""
    conditions = tuple(
        parse(each) for each in ('not exists header "x-none"', "json $.a == 1", 'body contains "b"')
    )
    outcomes = []
    for kind in kinds:
        check = CheckSettings(
            kind, HttpTarget(f"http://127.0.0.1:{port}/{kind}"), CheckTiming(60, timeout), expect=conditions
        )
        probe = probe_of(check, vantage)
        meter = LoopMeter()
        began = time.perf_counter()
        meter.start()
        try:
            made = await attempt(check, probe, time.time(), vantage)
        finally:
            meter.stop()
        outcomes.append(Outcome(kind, made, time.perf_counter() - began, meter.longest))
    return outcomes


if __name__ == "__main__":
    asyncio.run(_serve())
