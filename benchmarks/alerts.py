"""Measure the evaluator: its processor time, and how soon a webhook hears of a DOWN.

Two servers get the same reports, a minute each of every monitor, spread evenly: one without alert rules, one
with three for every monitor. The difference of their processor time is what the rules cost. Meanwhile the
second server is told of outages, each of another monitor, and each time is taken from before the request
until the first byte at the webhook.
"""

import argparse
import json
import math
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from benchmarks.servers import Server, configure, free_port, load_now, machine, ours, workplace

CPU_BUDGET = 0.05  # of a core, for 1,000 monitors with three rules each
P50_BUDGET, P99_BUDGET = 0.3, 1.0  # seconds
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
RULES = """
[[channels]]
name = "hook"
kind = "webhook"
url = "http://127.0.0.1:{port}/"
gather = "0s"
per_minute = 10000
[[alerts]]
name = "outage"
to = ["hook"]
[[alerts]]
name = "degraded"
when = "DEGRADED"
after = "5m"
to = ["hook"]
[[alerts]]
name = "slow"
latency_above = 0.8
count = 3
to = ["hook"]
"""


def main() -> int:
    options = _options()
    print(machine())
    with workplace() as folder, ExitStack() as stack:
        hook = stack.enter_context(webhook())
        plain = stack.enter_context(_server(folder / "off", options.monitors, "rules off", ""))
        text = RULES.format(port=hook.port)
        ruled = stack.enter_context(_server(folder / "on", options.monitors, "rules on", text))
        for server in (plain, ruled):
            _report_all(server, options.monitors)
            server.become_idle()
        share = _share(plain, ruled, options.monitors, options.seconds)
        delays = _delays(ruled, hook, options.monitors, options.outages)
    p50, p99 = median(delays), delays[math.ceil(0.99 * len(delays)) - 1]
    print(f"POST of a DOWN to the first byte at the webhook, {len(delays)} times:")
    print(f"  p50 {p50:.3f} s (budget {P50_BUDGET} s), p99 {p99:.3f} s (budget {P99_BUDGET} s); {load_now()}")
    return 0 if share <= CPU_BUDGET and p50 <= P50_BUDGET and p99 <= P99_BUDGET else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alerts", description=__doc__)
    parser.add_argument("--monitors", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=180, help="how long processor time is measured")
    parser.add_argument("--outages", type=int, default=100)
    return parser.parse_args()


@dataclass
class Webhook:
    """A receiver of webhooks; `heard` are the monotonic times of the first byte, by what was sent."""

    port: int
    heard: list[tuple[float, bytes]] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def first_about(self, tag: str, since: int) -> float:
        """Wait for a request about a monitor after the first `since` ones; when its first byte came."""
        with self.arrived:
            deadline = time.monotonic() + 30
            while True:
                for instant, body in self.heard[since:]:
                    if json.dumps(tag).encode() in body:
                        return instant
                if not self.arrived.wait(deadline - time.monotonic()):
                    raise SystemExit(f"the webhook heard nothing of {tag} for 30 s")


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A receiver on a free port, which takes every request."""
    with socket.create_server(("127.0.0.1", free_port())) as listener:
        hook = Webhook(listener.getsockname()[1])
        threading.Thread(target=_accept, args=(listener, hook), daemon=True).start()
        yield hook


def _accept(listener: socket.socket, hook: Webhook) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_receive, args=(connection, hook), daemon=True).start()


def _receive(connection: socket.socket, hook: Webhook) -> None:
    with connection:
        data = connection.recv(65536)
        instant = time.monotonic()
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < int(length.split(b":")[1]):
            body += connection.recv(65536)
        connection.sendall(ANSWER)
    with hook.arrived:
        hook.heard.append((instant, body))
        hook.arrived.notify_all()


@contextmanager
def _server(folder: Path, monitors: int, name: str, rules: str) -> Iterator[Server]:
    folder.mkdir()
    config = configure(folder, monitors)
    config.write_text(config.read_text() + rules)
    with ours(folder, config, name) as server:
        yield server


def _post(connection: HTTPConnection, server: Server, tag: str, status: str = "UP") -> None:
    body = json.dumps({"tag": tag, "status": status, "latency": 0.1})
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/status", body, headers)
    reply = connection.getresponse()
    answer = reply.read()
    if reply.status != 200:
        raise SystemExit(f"{server.name}: {reply.status} {answer!r}")


def _report_all(server: Server, monitors: int) -> None:
    with closing(HTTPConnection("127.0.0.1", server.port)) as connection:
        for number in range(monitors):
            _post(connection, server, f"monitor-{number}")


@contextmanager
def reporting(server: Server, monitors: int) -> Iterator[None]:
    """Report every monitor once a minute, evenly, until left."""
    stop = threading.Event()
    sender = threading.Thread(target=_send, args=(server, monitors, stop))
    sender.start()
    try:
        yield
    finally:
        stop.set()
        sender.join()


def _send(server: Server, monitors: int, stop: threading.Event) -> None:
    begin, sent = time.monotonic(), 0
    with closing(HTTPConnection("127.0.0.1", server.port)) as connection:
        while not stop.wait(max(0.0, begin + sent * 60 / monitors - time.monotonic())):
            _post(connection, server, f"monitor-{monitors - 1 - sent % monitors}")
            sent += 1


def _share(plain: Server, ruled: Server, monitors: int, seconds: int) -> float:
    """What the rules cost, as a share of a core."""
    with reporting(plain, monitors), reporting(ruled, monitors):
        before = [server.cpu_seconds for server in (plain, ruled)]
        time.sleep(seconds)
        used = [server.cpu_seconds - spent for server, spent in zip((plain, ruled), before, strict=True)]
    share = (used[1] - used[0]) / seconds
    print(f"{monitors} monitors with 3 rules, a report a minute each, for {seconds} s:")
    print(f"  off {used[0] / seconds:.2%}, on {used[1] / seconds:.2%} of a core; {load_now()}")
    print(f"  evaluator: {share:.2%} (budget {CPU_BUDGET:.0%})")
    return share


def _delays(server: Server, hook: Webhook, monitors: int, outages: int) -> list[float]:
    """The seconds from each outage's report to the webhook, sorted; the others go on reporting."""
    delays = []
    with reporting(server, monitors), closing(HTTPConnection("127.0.0.1", server.port)) as connection:
        for number in range(outages):
            since, tag = len(hook.heard), f"monitor-{number}"
            began = time.monotonic()
            _post(connection, server, tag, "DOWN")
            delays.append(hook.first_about(tag, since) - began)
            time.sleep(0.37)  # so that reports come at all phases of the evaluator's pace
    return sorted(delays)


if __name__ == "__main__":
    sys.exit(main())
