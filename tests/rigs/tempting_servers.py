"""Servers of the tests that answer with whatever they were sent, where a program may quote it.

At each connection another word of what was sent is sent back, at another place, so that a reason which is cut
is cut within it, too.
"""

import base64
import html
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

SHORTEST_WORD = 20  # characters; secrets of the tests are longer
FILLINGS = (0, 46, 86, 180)  # characters before it: reasons are cut after 60, 100 or 200

Answer = Callable[[str, str], str]  # from what was sent, and filling, what is sent back


def http(first: str, headers: str = "", body: str = "") -> str:
    length = len(body.encode())
    return f"HTTP/1.1 {first}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"


def one_line(sent: str) -> str:
    return " ".join(sent.split())


def in_every_form(sent: str) -> str:
    """What was sent as it was, and as programs write it: URL-encoded, as JSON, as HTML and in base64."""
    forms = (sent, quote(sent, safe=""), json.dumps(sent), html.escape(sent), as_base64(sent))
    return "\n".join(forms)


def as_base64(sent: str) -> str:
    return " ".join(base64.b64encode(word.encode()).decode() for word in sent.split())


HTTP_ANSWERS: dict[str, Answer] = {
    "body": lambda sent, fill: http("500 Sorry", body=fill + in_every_form(sent)),
    "json": lambda sent, fill: http("200 OK", body=json.dumps({"echo": fill + one_line(sent)})),
    "status": lambda sent, fill: http(f"500 {fill}{one_line(sent)}"),
    "header": lambda sent, fill: http("200 OK", f"X-Echo: {fill}{one_line(sent)}\r\n"),
    "bad-header": lambda sent, fill: http("200 OK", f"{fill}{one_line(sent)}\x00\r\n"),
    "bad-length": lambda sent, fill: f"HTTP/1.1 200 OK\r\nContent-Length: {fill}{one_line(sent)}\r\n\r\n",
    "no-http": lambda sent, fill: f"{fill}{one_line(sent)}\r\n\r\n",
    "upgrade": lambda sent, fill: http(
        f"101 {one_line(sent)}",
        f"Upgrade: {fill}{one_line(sent)}\r\nSec-WebSocket-Accept: {one_line(sent)}\r\n",
    ),
    "elsewhere": lambda sent, fill: http(
        "302 Found",
        f"Location: http://user:{quote(one_line(sent), safe='')}@127.0.0.1:1/{fill}{quote(sent)}\r\n",
    ),
    "nowhere": lambda sent, fill: http("302 Found", f"Location: {quote(sent, safe='')}:/{fill}\r\n"),
    "no-port": lambda sent, fill: http("302 Found", f"Location: http://a:{fill}{quote(sent, safe='')}/\r\n"),
}
TEXT_ANSWERS: dict[str, Answer] = {"line": lambda sent, fill: f"500 {fill}{one_line(sent)}\r\n"}


class TemptingServer:
    """Runs in threads. `heard` is all that was sent to it, `how` is how it answers."""

    def __init__(self, how: str, tls: ssl.SSLContext | None = None, *, is_udp: bool = False) -> None:
        self.how = how
        self.heard = ""
        self.turns = 0  # how often each word was sent back
        self._answer = {**HTTP_ANSWERS, **TEXT_ANSWERS}[how]
        self._tls = tls
        self._is_udp = is_udp
        self._connections = 0
        self._socket = socket.socket(type=socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        if not is_udp:
            self._socket.listen(64)
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve_datagrams if is_udp else self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_closing = True
        kind = socket.SOCK_DGRAM if self._is_udp else socket.SOCK_STREAM
        with suppress(OSError), socket.socket(type=kind) as waking:
            waking.connect(("127.0.0.1", self.port))
            waking.send(b"bye")
        self._thread.join(5)
        self._socket.close()

    def _reply(self, sent: str) -> bytes:
        self.heard += sent
        words = [word for word in re.split(r"[\s?]+", sent) if len(word) >= SHORTEST_WORD]
        turn, which = divmod(self._connections, max(1, len(words)))
        self._connections += 1
        self.turns = turn
        fill = "-" * FILLINGS[turn % len(FILLINGS)]
        return self._answer(words[which] if words else "nothing", fill).encode(errors="replace")

    def _serve_datagrams(self) -> None:
        while not self._is_closing:
            sent, address = self._socket.recvfrom(65536)
            self._socket.sendto(self._reply(sent.decode(errors="replace")), address)

    def _serve(self) -> None:
        while not self._is_closing:
            connection, _ = self._socket.accept()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), self._spoken_over(connection) as stream:
            if sent := self._request(stream):
                stream.sendall(self._reply(sent))
                stream.shutdown(socket.SHUT_WR)
                while stream.recv(65536):
                    pass

    def _spoken_over(self, connection: socket.socket) -> socket.socket:
        connection.settimeout(5)
        if self._tls is None:
            return connection
        try:
            return self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            raise

    def _request(self, connection: socket.socket) -> str:
        """All of an HTTP request; else what comes first."""
        sent = ""
        while part := connection.recv(65536):
            sent += part.decode(errors="replace")
            head, end, body = sent.partition("\r\n\r\n")
            length = head.lower().partition("content-length:")[2].split("\r\n")[0].strip()
            if self.how == "line" or (end and len(body) >= int(length or 0)):
                break
        return sent
