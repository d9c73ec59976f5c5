"""Name look-ups, in threads of their own or by name servers of their own.

The default pool of the loop is not used: thirty look-ups at a dead name server would make every page wait.
Nothing is cached but the question that is under way, which all that ask for the same name wait for.
"""

import asyncio
import os
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, Literal, NamedTuple, Protocol

from kener_async.domain.checks import Obstacle
from kener_async.probes.own_faults import without_files
from kener_async.probes.probe import NoAnswer, NotMeasured

IpVersion = Literal[0, 4, 6]  # 0: either

RESOLVER_IS_ALIVE_SECONDS = 60
HOSTS_FILE = "/etc/hosts"
FAMILIES: Final[Mapping[IpVersion, socket.AddressFamily]] = {
    0: socket.AF_UNSPEC,
    4: socket.AF_INET,
    6: socket.AF_INET6,
}

NOT_FOUND = frozenset({socket.EAI_NONAME})
HAS_NO_ADDRESS = frozenset(
    {getattr(socket, name) for name in ("EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)}
)


class _Question(NamedTuple):
    host: str
    ip: IpVersion


class _LookUp:
    """A look-up under way; `is_queued` until a thread has taken it."""

    __slots__ = ("answer", "is_queued")

    def __init__(self, answer: asyncio.Future[tuple[str, ...]]) -> None:
        self.answer = answer
        self.is_queued = True


class TemporaryFailure(Exception):
    """The resolver had no answer now; the text says why."""


class NameServers(Protocol):
    """Look-ups by name servers that the operator named, without the system's resolver."""

    async def addresses(self, host: str, ip: IpVersion) -> tuple[str, ...]:
        """The addresses of a name; raises NoAnswer, NotMeasured, and TemporaryFailure for no answer now."""
        ...


class Names:
    """Look up names, until close. Threads that hang do not delay the end of the process."""

    def __init__(
        self,
        threads: int = 16,
        servers: NameServers | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        hosts_file: str = HOSTS_FILE,
    ) -> None:
        self._threads = _LookUpThreads(threads)
        self._servers = servers
        self._monotonic = monotonic
        self._local_names = _LocalNames(hosts_file)
        self._pending: dict[_Question, _LookUp] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._answered = _LastAnswers()

    def close(self) -> None:
        """End the threads that are not in a look-up, and what asks name servers."""
        for task in self._tasks:
            task.cancel()
        self._threads.close()

    async def resolve(self, host: str, ip: IpVersion = 0) -> tuple[str, ...]:
        """The addresses of a host, at least one; IPv6 ones may have a zone (`fe80::1%2`).

        Raises NoAnswer when there is no such name or it has no address, and NotMeasured when the name cannot
        be resolved now and no other name could be within the last minute.
        """
        if (literal := literal_address(host)) is not None:
            if ip in {0, literal.version}:
                return (str(literal),)
            raise NoAnswer(f"{host} is not an IPv{ip} address", is_network=False)
        question = _Question(host.lower().removesuffix("."), ip)
        look_up = self._pending.get(question) or self._begin(question)
        return await asyncio.shield(look_up.answer)

    def unanswered(self, host: str) -> NoAnswer | NotMeasured:
        """The error for a look-up that is under way when the time of an attempt is over."""
        name = host.lower().removesuffix(".")
        pending = [each for question, each in self._pending.items() if question.host == name]
        if pending and all(each.is_queued for each in pending):
            return NotMeasured(Obstacle.NAMES, f"no thread was free to look up {host}")
        return self.failure(name, "no answer")

    def note_answer(self, host: str) -> None:
        """Note that the resolver answered a question for a name, not a file of this host."""
        if not self._local_names.has(host):
            self._answered.note(host, self._monotonic())

    def failure(self, host: str, why: str) -> NoAnswer | NotMeasured:
        """The error for a name without an answer: it is our own fault if no other name had one lately."""
        text = f"{host} cannot be resolved: {why[:1].lower()}{why[1:]}"
        if self._answered.others(host) > self._monotonic() - RESOLVER_IS_ALIVE_SECONDS:
            return NoAnswer(text)
        return NotMeasured(Obstacle.NAMES, f"{text}, and no other name could be")

    def _begin(self, question: _Question) -> _LookUp:
        loop = asyncio.get_running_loop()
        look_up = _LookUp(loop.create_future())
        look_up.answer.add_done_callback(partial(self._forget, question))
        if self._servers is not None and not self._local_names.has(question.host):
            look_up.is_queued = False
            task = loop.create_task(self._ask(self._servers, question, look_up))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._put(loop, question, look_up)
        self._pending[question] = look_up
        return look_up

    def _forget(self, question: _Question, answer: asyncio.Future[tuple[str, ...]]) -> None:
        self._pending.pop(question, None)
        if not answer.cancelled():
            answer.exception()  # so that it counts as seen, also when all that waited are gone

    async def _ask(self, servers: NameServers, question: _Question, look_up: _LookUp) -> None:
        try:
            addresses = await servers.addresses(question.host, question.ip)
        except NoAnswer as error:
            self._answered.note(question.host, self._monotonic())
            self._settle(look_up, error)
        except TemporaryFailure as error:
            self._settle(look_up, self.failure(question.host, str(error)))
        except asyncio.CancelledError:
            look_up.answer.cancel()
            raise
        except Exception as error:
            self._settle(look_up, error)
        else:
            self._answered.note(question.host, self._monotonic())
            self._settle(look_up, addresses)

    def _put(self, loop: asyncio.AbstractEventLoop, question: _Question, look_up: _LookUp) -> None:
        """Let a thread look it up."""

        def look() -> None:
            look_up.is_queued = False
            try:
                answer: tuple[str, ...] | Exception = _system_addresses(question.host, question.ip)
            except Exception as error:
                answer = error
            with suppress(RuntimeError):  # the loop is closed: nothing waits any more
                loop.call_soon_threadsafe(self._take, question, look_up, answer)

        try:
            self._threads.submit(look)
        except (RuntimeError, MemoryError):
            error = NotMeasured(Obstacle.MEMORY, "no thread can be started to look up names")
            self._settle(look_up, error)

    def _take(self, question: _Question, look_up: _LookUp, answer: tuple[str, ...] | Exception) -> None:
        """Take what a thread found."""
        if isinstance(answer, socket.gaierror):
            answer = self._judge(question, answer)
        elif isinstance(answer, MemoryError):
            answer = NotMeasured(Obstacle.MEMORY, "out of memory")
        elif isinstance(answer, ValueError):  # it cannot be encoded as a name
            answer = NoAnswer(f"{question.host} is not a valid name", is_network=False)
        elif not isinstance(answer, Exception):
            self.note_answer(question.host)
        self._settle(look_up, answer)

    def _judge(self, question: _Question, error: socket.gaierror) -> Exception:
        host = question.host
        if error.errno in NOT_FOUND | HAS_NO_ADDRESS:
            if (own := without_files()) is not None:  # the system says that nothing exists when it has none
                return own
            self.note_answer(host)
            if error.errno in NOT_FOUND:
                return NoAnswer(f"name not found: {host}")
            return NoAnswer(f"{host} has no {'' if question.ip == 0 else f'IPv{question.ip} '}address")
        if error.errno == socket.EAI_MEMORY:
            return NotMeasured(Obstacle.MEMORY, "out of memory")
        if (own := without_files()) is not None:
            return own
        return self.failure(host, error.strerror or "no answer")

    @staticmethod
    def _settle(look_up: _LookUp, answer: tuple[str, ...] | Exception) -> None:
        if look_up.answer.done():
            return
        if isinstance(answer, Exception):
            look_up.answer.set_exception(answer)
        else:
            look_up.answer.set_result(answer)


@lru_cache(maxsize=4096)
def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, when it is not a name; brackets around it are allowed."""
    if not host[-1:].isdigit() and ":" not in host:  # a quick no for most names
        return None
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def _system_addresses(host: str, ip: IpVersion) -> tuple[str, ...]:
    """By getaddrinfo, in its order."""
    found = socket.getaddrinfo(host, None, FAMILIES[ip], socket.SOCK_STREAM)
    return tuple(dict.fromkeys(_with_zone(family, address) for family, *_, address in found))


def _with_zone(family: int, address: Any) -> str:
    host = str(address[0])
    if family == socket.AF_INET6 and address[3] and "%" not in host:
        return f"{host}%{address[3]}"
    return host


class _LastAnswers:
    """When the resolver last answered, and when for another name than that; both monotonic."""

    def __init__(self) -> None:
        self._last = ("", float("-inf"))
        self._before = ("", float("-inf"))

    def note(self, host: str, now: float) -> None:
        if host != self._last[0]:
            self._before = self._last
        self._last = (host, now)

    def others(self, host: str) -> float:
        """When it last answered a question for another name than this one."""
        return (self._last if self._last[0] != host else self._before)[1]


class _LocalNames:
    """Names that a file of this host answers, which say nothing about the resolver."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._read_at: int | None = None
        self._names: frozenset[str] = frozenset()

    def has(self, host: str) -> bool:
        if host == "localhost" or host.endswith((".localhost", ".local")):
            return True
        self._read()
        return host in self._names

    def _read(self) -> None:
        try:
            changed_at = os.stat(self._path).st_mtime_ns
            if changed_at != self._read_at:
                self._names = frozenset(_hosts(self._path))
                self._read_at = changed_at
        except OSError:
            self._names = frozenset()


def _hosts(path: str) -> Iterator[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            yield from (name.lower() for name in line.partition("#")[0].split()[1:])


class _LookUpThreads:
    """Daemon threads, started as they are needed: one that hangs in a look-up must not delay a stop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._started = 0
        self._idle = 0
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    def submit(self, work: Callable[[], None]) -> None:
        """Queue a look-up; raises RuntimeError when there is no thread and none can be started."""
        with self._lock:
            if self._queue.qsize() >= self._idle and self._started < self._most:
                try:
                    threading.Thread(target=self._run, name="look-up", daemon=True).start()
                    self._started += 1
                except (RuntimeError, MemoryError):
                    if not self._started:
                        raise
        self._queue.put(work)

    def close(self) -> None:
        """Let the threads end as they become free."""
        for _ in range(self._started):
            self._queue.put(None)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            self._idle += 1
        work = self._queue.get()
        with self._lock:
            self._idle -= 1
        return work
