"""Network namespaces of the tests, and work done within them, also as another user; needs root."""

import asyncio
import ctypes
import os
import pickle
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

NOBODY = 65_534
CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16_384, 1 << 18
libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace; `ipv4` and `ipv6` are its addresses."""

    name: str
    ipv4: str
    ipv6: str

    def run(self, *words: str, text: str = "") -> None:
        """Run a command within it, with a text on its standard input."""
        command = ["ip", "netns", "exec", self.name, *words]
        subprocess.run(command, check=True, capture_output=True, input=text.encode())

    def filter(self, rule: str, hook: str = "input") -> None:
        """Replace the rules of its firewall by one of nftables; empty: by none."""
        chain = f"chain c {{\ntype filter hook {hook} priority 0; policy accept;\n{rule}\n}}\n"
        table = f"table inet t {{\n{chain}}}\n" if rule else ""
        self.run("nft", "-f", "-", text=f"flush ruleset\n{table}")

    def look(
        self, work: Callable[[], Coroutine[Any, Any, T]], *, user: int = 0, hosts: Path | None = None
    ) -> T:
        """What a coroutine returns in a process within it, of this user, with this /etc/hosts."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            status = 1
            try:
                self._enter(user, hosts)
                with os.fdopen(writing, "wb") as pipe:
                    pickle.dump(asyncio.run(work()), pipe)
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            result = pipe.read()
        _, status = os.waitpid(child, 0)
        assert status == 0, "the process in the namespace failed: see its output"
        made: T = pickle.loads(result)
        return made

    def _enter(self, user: int, hosts: Path | None) -> None:
        with open(f"/run/netns/{self.name}") as file:
            _checked(libc.setns(file.fileno(), CLONE_NEWNET))
        if hosts is not None:
            _checked(libc.unshare(CLONE_NEWNS))
            _checked(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
            _checked(libc.mount(os.fsencode(hosts), b"/etc/hosts", None, MS_BIND, None))
        if user:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)


@contextmanager
def two_namespaces() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces with a line between them."""
    ours = Namespace(f"kener-{os.getpid()}-a", "10.99.0.1", "fd99::1")
    theirs = Namespace(f"kener-{os.getpid()}-b", "10.99.0.2", "fd99::2")
    both = (ours, theirs)
    try:
        for each in both:
            subprocess.run(["ip", "netns", "add", each.name], check=True)
        line = ["type", "veth", "peer", "name", "line", "netns", theirs.name]
        subprocess.run(["ip", "link", "add", "line", "netns", ours.name, *line], check=True)
        for each in both:
            each.run("ip", "link", "set", "lo", "up")
            each.run("ip", "link", "set", "line", "up")
            each.run("ip", "address", "add", f"{each.ipv4}/24", "dev", "line")
            each.run("ip", "address", "add", f"{each.ipv6}/64", "dev", "line", "nodad")
        yield ours, theirs
    finally:
        for each in both:
            subprocess.run(["ip", "netns", "delete", each.name], check=False, capture_output=True)


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
