"""Greetings of protocols and the way to STARTTLS: what is read and sent, line by line."""

import asyncio
from contextlib import suppress
from typing import Literal, NamedTuple, Protocol

from kener_async.domain.masking import shortened
from kener_async.probes.probe import NoAnswer
from kener_async.probes.sockets import Streams

MOST_LINES = 200  # of one reply
LONGEST_SHOWN = 100  # characters of a reply in a reason
QUIT_SECONDS = 0.5
SSH_IDENTIFICATION = b"SSH-2.0-kener_async\r\n"
LDAP_STARTTLS = b"1.3.6.1.4.1.1466.20037"
LDAP_REQUEST = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + LDAP_STARTTLS
LDAP_UNBIND = b"\x30\x05\x02\x01\x02\x42\x00"

DialogueName = Literal["ssh", "smtp", "imap", "pop3", "ftp", "ldap"]


class Reply(NamedTuple):
    """A reply of one or more lines; `code` is its number, of protocols that have none 0.

    `is_good`: the protocol calls it a success.
    """

    lines: tuple[str, ...]
    is_good: bool
    code: int = 0

    @property
    def shown(self) -> str:
        """Its first line, for a reason."""
        line = "".join(each if each.isprintable() else " " for each in self.lines[0])
        return shortened(line, LONGEST_SHOWN) or "an empty line"


class Dialogue(Protocol):
    """The dialogue of one protocol over a connection. Each method raises NoAnswer and OSError."""

    async def greeting(self) -> Reply:
        """Read the greeting."""
        ...

    async def offers_tls(self) -> bool:
        """Ask whether TLS can be begun."""
        ...

    async def begin_tls(self) -> Reply:
        """Ask to begin it; after a good reply the handshake follows."""
        ...

    async def quit(self) -> None:
        """Say goodbye."""
        ...


def dialogue_of(name: DialogueName, streams: Streams) -> Dialogue:
    """The dialogue of a protocol over these streams."""
    lines = _Lines(streams)
    match name:
        case "smtp":
            return _Smtp(lines)
        case "ftp":
            return _Ftp(lines)
        case "imap":
            return _Imap(lines)
        case "pop3":
            return _Pop3(lines)
        case "ssh":
            return _Ssh(lines)
        case "ldap":
            return _Ldap(streams)


async def quit_dialogue(dialogue: Dialogue) -> None:
    """Quit, and wait a moment for the answer; errors do not matter any more."""
    with suppress(TimeoutError, OSError, NoAnswer):
        async with asyncio.timeout(QUIT_SECONDS):
            await dialogue.quit()


class _Lines:
    """Lines of text over a connection."""

    def __init__(self, streams: Streams) -> None:
        self._reader, self._writer = streams

    async def send(self, line: bytes) -> None:
        self._writer.write(line + b"\r\n")
        await self._writer.drain()

    async def read(self) -> str:
        """A line without its end; raises NoAnswer."""
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise NoAnswer("the target closed the connection within a line") from None
            raise NoAnswer("the target closed the connection") from None
        except asyncio.LimitOverrunError:
            raise NoAnswer("the target sent a line without end", is_network=False) from None
        return line.rstrip(b"\r\n").decode(errors="replace")

    async def reply(self) -> Reply:
        """A reply with a code of three digits (RFC 5321, RFC 959)."""
        lines: list[str] = []
        code = ""
        while len(lines) < MOST_LINES:
            lines.append(line := await self.read())
            code = code or line[:3]
            is_last = line[:3] == code and line[3:4] in {"", " "}
            if not (len(code) == 3 and code.isascii() and code.isdigit()):
                raise NoAnswer(
                    f"not a reply with a code: {Reply(tuple(lines), False).shown}", is_network=False
                )
            if is_last:
                return Reply(tuple(lines), code[0] in "23", int(code))
        raise NoAnswer("the target sent a reply without end", is_network=False)


class _Smtp:
    def __init__(self, lines: _Lines) -> None:
        self._lines = lines

    async def greeting(self) -> Reply:
        return await self._lines.reply()

    async def offers_tls(self) -> bool:
        await self._lines.send(b"EHLO [127.0.0.1]")
        reply = await self._lines.reply()
        return reply.is_good and any(line[4:].strip().upper() == "STARTTLS" for line in reply.lines)

    async def begin_tls(self) -> Reply:
        await self._lines.send(b"STARTTLS")
        return await self._lines.reply()

    async def quit(self) -> None:
        await self._lines.send(b"QUIT")
        await self._lines.reply()


class _Ftp:
    def __init__(self, lines: _Lines) -> None:
        self._lines = lines

    async def greeting(self) -> Reply:
        return await self._lines.reply()

    async def offers_tls(self) -> bool:
        await self._lines.send(b"FEAT")
        reply = await self._lines.reply()
        return reply.is_good and any("AUTH TLS" in line.upper() for line in reply.lines)

    async def begin_tls(self) -> Reply:
        await self._lines.send(b"AUTH TLS")
        return await self._lines.reply()

    async def quit(self) -> None:
        await self._lines.send(b"QUIT")
        await self._lines.reply()


class _Imap:
    def __init__(self, lines: _Lines) -> None:
        self._lines = lines

    async def greeting(self) -> Reply:
        line = await self._lines.read()
        if not line.upper().startswith(("* OK", "* PREAUTH", "* BYE")):
            raise NoAnswer(f"not a greeting of IMAP: {Reply((line,), False).shown}", is_network=False)
        return Reply((line,), not line.upper().startswith("* BYE"))

    async def offers_tls(self) -> bool:
        reply = await self._command(b"CAPABILITY")
        return any("STARTTLS" in line.upper().split() for line in reply.lines)

    async def begin_tls(self) -> Reply:
        reply = await self._command(b"STARTTLS")
        return Reply(reply.lines[-1:], reply.is_good)

    async def quit(self) -> None:
        await self._command(b"LOGOUT")

    async def _command(self, command: bytes) -> Reply:
        await self._lines.send(b"a " + command)
        lines: list[str] = []
        while len(lines) < MOST_LINES:
            lines.append(line := await self._lines.read())
            if line.startswith("a "):
                return Reply(tuple(lines), line[2:4].upper() == "OK")
        raise NoAnswer("the target sent a reply without end", is_network=False)


class _Pop3:
    def __init__(self, lines: _Lines) -> None:
        self._lines = lines

    async def greeting(self) -> Reply:
        line = await self._lines.read()
        if not line.startswith(("+OK", "-ERR")):
            raise NoAnswer(f"not a greeting of POP3: {Reply((line,), False).shown}", is_network=False)
        return Reply((line,), line.startswith("+OK"))

    async def offers_tls(self) -> bool:
        reply = await self._command(b"CAPA")
        if not reply.is_good:
            return False
        for _ in range(MOST_LINES):
            if (line := await self._lines.read()) == ".":
                return False
            if line.upper().strip() == "STLS":
                break
        for _ in range(MOST_LINES):
            if await self._lines.read() == ".":
                return True
        raise NoAnswer("the target sent a reply without end", is_network=False)

    async def begin_tls(self) -> Reply:
        return await self._command(b"STLS")

    async def quit(self) -> None:
        await self._command(b"QUIT")

    async def _command(self, command: bytes) -> Reply:
        await self._lines.send(command)
        line = await self._lines.read()
        return Reply((line,), line.startswith("+OK"))


class _Ssh:
    """The identification, after which nothing is negotiated (RFC 4253, 4.2)."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines

    async def greeting(self) -> Reply:
        for _ in range(MOST_LINES):
            line = await self._lines.read()
            if line.startswith("SSH-"):
                is_good = line.startswith(("SSH-2.0-", "SSH-1.99-"))
                return Reply((line,), is_good)
        raise NoAnswer("not a greeting of SSH", is_network=False)

    async def offers_tls(self) -> bool:
        return False

    async def begin_tls(self) -> Reply:
        raise NoAnswer("SSH has no STARTTLS", is_network=False)

    async def quit(self) -> None:
        """Identify ourselves before the connection is closed, so that the server logs no malformed client."""
        await self._lines.send(SSH_IDENTIFICATION.strip())


class _Ldap:
    """The extended operation StartTLS (RFC 4511, 4.14); there is no greeting."""

    def __init__(self, streams: Streams) -> None:
        self._reader, self._writer = streams

    async def greeting(self) -> Reply:
        return Reply(("",), True)

    async def offers_tls(self) -> bool:
        return True

    async def begin_tls(self) -> Reply:
        self._writer.write(LDAP_REQUEST)
        await self._writer.drain()
        try:
            message = await self._message()
        except asyncio.IncompleteReadError:
            raise NoAnswer("the target closed the connection") from None
        code = ldap_result(message)
        if code is None:
            raise NoAnswer("not an answer of LDAP", is_network=False)
        return Reply((f"LDAP result {code}",), code == 0, code)

    async def _message(self) -> bytes:
        """The content of the outermost element."""
        tag, length = await self._reader.readexactly(2)
        if tag != 0x30:
            raise NoAnswer("not an answer of LDAP", is_network=False)
        if length > 0x80:
            if (width := length - 0x80) > 2:
                raise NoAnswer("not an answer of LDAP", is_network=False)
            length = int.from_bytes(await self._reader.readexactly(width))
        return await self._reader.readexactly(length)

    async def quit(self) -> None:
        self._writer.write(LDAP_UNBIND)
        await self._writer.drain()


def ldap_result(message: bytes) -> int | None:
    """The result of an extended response, from the content of its message; None: it is another message."""
    identifier, rest = _element(message)
    response, _ = _element(rest)
    if identifier is None or response is None or (identifier[0], response[0]) != (0x02, 0x78):
        return None
    result, _ = _element(response[1])
    if result is None or result[0] != 0x0A or len(result[1]) != 1:
        return None
    return result[1][0]


def _element(data: bytes) -> tuple[tuple[int, bytes] | None, bytes]:
    """The first element of BER as tag and content, None: there is none; and what follows it."""
    if len(data) < 2:
        return None, b""
    at, length = 2, data[1]
    if length >= 0x80:
        at += length - 0x80
        length = int.from_bytes(data[2:at])
    if at + length > len(data):
        return None, b""
    return (data[0], data[at : at + length]), data[at + length :]
