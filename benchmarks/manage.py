"""Measure lists of the management API and screens: with a hundred stored alerts and with a million.

They are written by SQL, of as many monitors as are configured, with a notice and a delivery each. Then a
server runs on each database, and requests alternate between them. Screens are asked for by a person who is
signed in.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

from benchmarks.servers import Server, configure, load_now, machine, ours, workplace
from kener_async.clock import system_clock
from kener_async.config.load import load
from kener_async.domain.calendar import DAY
from kener_async.domain.people import Actor, ActorKind, Role
from kener_async.identity.sessions import LOOPBACK_COOKIE, digest_of
from kener_async.ops import tokens
from kener_async.store import monitors, observer, people, sessions
from kener_async.store.sessions import StoredSession
from kener_async.store.sqlite import connections, upgrade

BUDGET_MS, SCREEN_BUDGET_MS = 50, 20
COOKIE = "k" * 43
OPEN = 20
PAGES = {
    "alerts": "/api/manage/alerts",
    "open": "/api/manage/alerts?open=true",
    "of a monitor": "/api/manage/alerts?monitor=monitor-7",
    "an old page": "/api/manage/alerts?before={middle}",
    "deliveries": "/api/manage/deliveries",
    "failed ones": "/api/manage/deliveries?state=failed",
}
SCREENS = {
    "overview": "/manage",
    "monitors": "/manage/monitors",
    "incidents": "/manage/incidents",
    "alerts screen": "/manage/alerts",
}


def main() -> int:
    options = _options()
    print(machine())
    with workplace() as folder, ExitStack() as stack:
        servers = {}
        for count in options.alerts:
            own = folder / str(count)
            own.mkdir()
            config = configure(own, options.monitors)
            fill(config, count)
            sign_in(config)
            token = tokens.create(load(config, {}), "benchmark", ("manage:read",), (), None, None)
            servers[count] = stack.enter_context(ours(own, config, f"{count:,} alerts", secret=token))
        for server in servers.values():
            server.become_idle()
        slowest = [_compare(name, path, servers, options.times) for name, path in PAGES.items()]
        screens = {name: _compare(name, path, servers, options.times) for name, path in SCREENS.items()}
    print(f"slowest median: {max(slowest):.1f} ms (budget {BUDGET_MS} ms)")
    print(f"overview: {screens['overview']:.1f} ms (budget {SCREEN_BUDGET_MS} ms)")
    return 0 if max(slowest) <= BUDGET_MS and screens["overview"] <= SCREEN_BUDGET_MS else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.manage", description=__doc__)
    parser.add_argument("--monitors", type=int, default=1000)
    parser.add_argument("--alerts", nargs="+", type=int, default=[100, 1_000_000])
    parser.add_argument("--times", type=int, default=15)
    return parser.parse_args()


def fill(config: Path, count: int) -> None:
    """Write so many alerts to the database, the newest of which are open."""
    settings = load(config, {})
    path = config.parent / "kener.db"
    upgrade.prepare(path)
    now = system_clock()
    with closing(connections.connect(path, synchronous="OFF")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        observer.begin(connection, now=now, retention=0)
        wanted = {monitor.tag: monitor.settings for monitor in settings.monitors}
        ids = sorted(monitors.register(connection, wanted, now).values())
        span = {"first": ids[0], "monitors": len(ids), "count": count, "now": now, "closed": count - OPEN}
        for statement in STATEMENTS:
            connection.execute(statement, span)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def sign_in(config: Path) -> None:
    """Add a person with a session of COOKIE."""
    now = system_clock()
    with closing(connections.connect(config.parent / "kener.db", synchronous="OFF")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        actor = Actor(ActorKind.COMMAND, "benchmark")
        person = people.add(connection, "ada", Role.ADMIN, None, "", actor, now)
        session = StoredSession(digest_of(COOKIE), person.id, bytes(32), now, now, now + DAY, now, "", "")
        sessions.add(connection, session)
        connection.execute("COMMIT")


STATEMENTS = (
    """
    WITH RECURSIVE numbers (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
    INSERT INTO alerts (monitor_id, rule, severity, since, opened_at, told_at, until, closed_at, closing)
    SELECT :first + n % :monitors, 'rule-' || n % 3, 2, :now - 30 * (:count - n), :now - 30 * (:count - n),
           :now - 30 * (:count - n), iif(n <= :closed, :now, NULL), iif(n <= :closed, :now, NULL),
           iif(n <= :closed, 0, NULL)
      FROM numbers
    """,
    """
    INSERT INTO notices (kind, at, alert, body)
    SELECT 0, opened_at, alerts.id, json_object('monitor', tag, 'rule', rule)
      FROM alerts JOIN monitors ON monitors.id = monitor_id ORDER BY alerts.id
    """,
    """
    INSERT INTO deliveries (notice, channel, state, attempts, due_at, done_at, answer)
    SELECT id, 'ops', iif(id % 20 = 0, 3, 2), 1, at, at, '200 ok' FROM notices ORDER BY id
    """,
)


def _compare(name: str, path: str, servers: dict[int, Server], times: int) -> float:
    """Print the medians of a request; that of the server with the most alerts in milliseconds."""
    taken: dict[int, list[float]] = {count: [] for count in servers}
    before = {count: server.cpu_seconds for count, server in servers.items()}
    for _ in range(times):
        for count, server in servers.items():
            taken[count].append(_seconds(server, path.format(middle=count // 2)))
    cpu = {count: (server.cpu_seconds - before[count]) / times * 1000 for count, server in servers.items()}
    medians = {count: median(each) * 1000 for count, each in taken.items()}
    figures = "  ".join(
        f"{servers[count].name} {each:6.1f} ms (CPU {cpu[count]:5.1f})" for count, each in medians.items()
    )
    fewest, most = min(servers), max(servers)
    print(f"  {name:14} {figures}  ratio {_ratio(taken[most], taken[fewest]):.2f}  {load_now()}")
    return medians[most]


def _seconds(server: Server, path: str) -> float:
    headers = {"Authorization": f"Bearer {server.token}", "Cookie": f"{LOOPBACK_COOKIE}={COOKIE}"}
    started = time.perf_counter()
    answer = server.ask(path, headers)
    taken = time.perf_counter() - started
    assert answer.status == 200, (path, answer.status)
    return taken


def _ratio(subject: Sequence[float], reference: Sequence[float]) -> float:
    return median(mine / theirs for mine, theirs in zip(subject, reference, strict=True))


if __name__ == "__main__":
    sys.exit(main())
