"""systemd's part in a test: a listening socket that is passed on, and the notify socket."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rigs.process import Server, a_config

# Passes the descriptor as the third, to the process that it becomes itself.
PASS_ON = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def activated(folder: Path, config: str = "", fault: str = "") -> Iterator[Server]:
    """A server, not started yet, that takes its listening socket from this process."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=4096) as held,
        Server(
            folder,
            config or a_config(),
            before=[sys.executable, "-c", PASS_ON, str(held.fileno())],
            environment={"LISTEN_FDS": "1", "LISTEN_FDNAMES": "http"},
            inherits=[held.fileno()],
            fault=fault,
        ) as server,
    ):
        server.port = held.getsockname()[1]
        yield server


class NotifySocket:
    """The socket of sd_notify: receives datagrams, each with one or more states."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def next(self, seconds: float = 10) -> list[str]:
        """The states of the next message; empty on timeout."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(4096).decode().splitlines()
        except TimeoutError:
            return []

    def until(self, state: str, seconds: float = 20) -> list[str]:
        """Wait for a state; all states received up to it."""
        states: list[str] = []
        deadline = time.monotonic() + seconds
        while state not in states:
            assert time.monotonic() < deadline, f"{state} was not received: {states}"
            states += self.next(1)
        return states

    def drain(self) -> None:
        """Discard all messages received so far."""
        while self.next(0.001):
            pass

    def close(self) -> None:
        self._socket.close()
