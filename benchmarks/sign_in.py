"""Measure signing in: whether an answer tells by its time that a name is known, and what 50 at once cost.

Each try has a name and an address of its own, as behind a reverse proxy, so that none is slowed down.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from statistics import median, quantiles
from urllib.parse import urlencode

from benchmarks.servers import Server, configure, machine, ours, token, workplace
from kener_async.domain.people import Actor, ActorKind, Role
from kener_async.identity.passwords import HASHER
from kener_async.store import people
from kener_async.store.interface import Session
from kener_async.store.sqlite import transactions

PASSWORD = "seven blue herons"
AT_ONCE = 50
GREATEST_DIFFERENCE = 0.05
MEMORY_MB = 25
GREATEST_RATIO = 2.0


def main() -> int:
    options = _options()
    print(machine())
    with workplace() as folder:
        config = configure(folder, 10)
        config.write_text('[server]\ntrusted_proxies = ["127.0.0.1"]\n' + config.read_text())
        secret = token(config)
        count = options.tries + AT_ONCE * (options.bursts + 1)
        transactions.write(folder / "kener.db", _fill, count)
        with ours(folder, config, secret=secret) as server:
            server.become_idle()
            tries = Tries(server)
            results = [
                _memory(tries, options.tries),  # first, while it has not hashed anything yet
                _difference(tries, options.tries),
                _heartbeats(tries, options.tries + AT_ONCE, options.bursts),
            ]
    return 0 if all(results) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sign_in", description=__doc__)
    parser.add_argument("--tries", type=int, default=1000, help="of known and as many of unknown names")
    parser.add_argument("--bursts", type=int, default=6, help=f"of {AT_ONCE} sign-ins at once")
    return parser.parse_args()


def _fill(session: Session, count: int) -> None:
    """Add people, all with the same password."""
    now, hashed = int(time.time()), HASHER.hash(PASSWORD)
    actor = Actor(ActorKind.COMMAND, "benchmark")
    for number in range(count):
        person = people.add(session, f"person-{number}", Role.VIEWER, None, "", actor, now)
        people.set_password(session, person.id, hashed, actor, now)


class Tries:
    """Sign-ins, each from another address."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._made = 0
        self._lock = threading.Lock()

    def make(self, name: str, password: str, expected: int) -> float:
        """The seconds until the answer."""
        with self._lock:
            self._made += 1
            number = self._made
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"http://127.0.0.1:{self.server.port}",
            "X-Forwarded-For": f"10.{number // 65536}.{number // 256 % 256}.{number % 256}",
        }
        body = urlencode({"name": name, "password": password}).encode()
        with closing(HTTPConnection("127.0.0.1", self.server.port, timeout=120)) as connection:
            connection.connect()
            started = time.perf_counter()
            connection.request("POST", "/manage/sign-in", body, headers)
            reply = connection.getresponse()
            reply.read()
            taken = time.perf_counter() - started
        if reply.status != expected:
            raise SystemExit(f"a sign-in was answered with {reply.status} instead of {expected}")
        return taken

    def at_once(self, first: int) -> None:
        """Sign in fifty people at the same time."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(
                pool.map(
                    lambda number: self.make(f"person-{number}", PASSWORD, 303),
                    range(first, first + AT_ONCE),
                )
            )


def _difference(tries: Tries, count: int) -> bool:
    """Known and unknown names with a wrong password, alternating."""
    known, unknown = [], []
    for number in range(count):
        known.append(tries.make(f"person-{number}", "a wrong password", 401))
        unknown.append(tries.make(f"nobody-{number}", "a wrong password", 401))
    ratio = median(known) / median(unknown)
    print(
        f"{count} wrong passwords each: known names {1000 * median(known):.1f} ms, unknown ones "
        f"{1000 * median(unknown):.1f} ms, a difference of {abs(ratio - 1):.1%} (budget "
        f"{GREATEST_DIFFERENCE:.0%})"
    )
    return abs(ratio - 1) < GREATEST_DIFFERENCE


def _memory(tries: Tries, first: int) -> bool:
    before, most, done = tries.server.resident_mb, [0.0], threading.Event()

    def watch() -> None:
        while not done.is_set():
            most[0] = max(most[0], tries.server.resident_mb)
            time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    tries.at_once(first)
    done.set()
    watcher.join()
    print(f"{AT_ONCE} sign-ins at once: {most[0] - before:.1f} MB more (budget {MEMORY_MB} MB)")
    return most[0] - before <= MEMORY_MB


def _heartbeats(tries: Tries, first: int, bursts: int) -> bool:
    """The p99 of heartbeats beside bursts of sign-ins, against as long without; rounds alternate."""
    alone: list[float] = []
    beside: list[float] = []
    for burst in range(bursts):
        with _beating(tries.server, beside):
            started = time.monotonic()
            tries.at_once(first + burst * AT_ONCE)
            seconds = time.monotonic() - started
        with _beating(tries.server, alone):
            time.sleep(seconds)
    ratio = _p99(beside) / _p99(alone)
    print(
        f"heartbeats beside {bursts} such bursts: p99 {1000 * _p99(beside):.1f} ms of {len(beside)}, without "
        f"{1000 * _p99(alone):.1f} ms of {len(alone)}: {ratio:.2f} times (budget {GREATEST_RATIO})"
    )
    return ratio <= GREATEST_RATIO


@contextmanager
def _beating(server: Server, times: list[float]) -> Iterator[None]:
    """Send heartbeats, one after the other, and note how long each took in seconds."""
    done = threading.Event()

    def send() -> None:
        headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
        body = json.dumps({"tag": "monitor-0", "status": "UP", "latency": 0.1})
        with closing(HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            while not done.is_set():
                started = time.perf_counter()
                connection.request("POST", "/api/status", body, headers)
                reply = connection.getresponse()
                reply.read()
                times.append(time.perf_counter() - started)
                if reply.status != 200:
                    raise SystemExit(f"a heartbeat was answered with {reply.status}")
                time.sleep(0.005)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        done.set()
        sender.join()


def _p99(times: Sequence[float]) -> float:
    return quantiles(times, n=100)[98]


if __name__ == "__main__":
    sys.exit(main())
