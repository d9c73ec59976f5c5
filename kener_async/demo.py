"""The demo: the whole service on a throw-away database, with 90 days of made-up history and live devices.

The history goes through the rules that hold for real ones: samples, incidents and settings are stored as of
their time, and the publisher counts them.
"""

import asyncio
import math
import random
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from sqlite3 import Connection
from tempfile import TemporaryDirectory
from typing import Any

import click
from aiohttp import ClientError, ClientSession, ClientTimeout, web

from kener_async import keys
from kener_async import log as logs
from kener_async.api.auth import mint
from kener_async.app import apply, create_app
from kener_async.clock import system_clock
from kener_async.config import Config, load
from kener_async.domain.access import DEFAULT_SCOPES
from kener_async.domain.calendar import DAY, HOUR, MINUTE, minute_of, utc_day_of
from kener_async.domain.incidents import edited, opened
from kener_async.domain.samples import Sample, Status
from kener_async.secret import signing_secret
from kener_async.server import listening_socket, serve
from kener_async.store import database, incidents, monitors, observer, samples, tokens

DAYS = 90
OFTEN_DAYS = 2
SEED = 90
BATCH = 20_000

CONFIG = """
[database]
path = "demo.db"
synchronous = "NORMAL"

[log]
level = "warning"

[site]
title = "Status of the demo"

[[categories]]
name = "Services"
description = "What people use"

[[categories]]
name = "Behind the scenes"
description = "What keeps the services going"

[[monitors]]
tag = "website"
name = "Website"
description = "Nothing is expected: each minute that is reported counts, and no other"
category = "Services"
latency_unit = "ms"
day_degraded_minimum_count = 2
day_down_minimum_count = 2

[[monitors]]
tag = "api"
name = "API"
description = "Expected every quarter of an hour; degraded minutes lower the uptime, too"
category = "Services"
latency_unit = "ms"
include_degraded_in_downtime = true
[monitors.heartbeat]
interval = "15m"
grace = "2m"
down_after = "20m"

[[monitors]]
tag = "mail"
name = "Mail"
description = "A test message every half an hour"
category = "Services"
[monitors.heartbeat]
interval = "30m"
grace = "3m"
down_after = "1h"

[[monitors]]
tag = "archive"
name = "Archive"
description = "Tells only of trouble and of its end; otherwise it counts as up"
category = "Services"
default_status = "UP"
[monitors.heartbeat]
stale_after = "365d"

[[monitors]]
tag = "backup"
name = "Backup"
description = "Expected every night at half past two"
category = "Behind the scenes"
[monitors.heartbeat]
cron = "30 2 * * *"
timezone = "UTC"
grace = "30m"
down_after = "6h"

[[monitors]]
tag = "gateway"
name = "Gateway"
description = "Reports when something changes; what it said last is held for a day"
category = "Behind the scenes"
latency_unit = "ms"
[monitors.heartbeat]
carry_forward = true
stale_after = "1d"

[[monitors]]
tag = "sensor"
name = "Sensor"
description = "A small device on a bad line"
category = "Behind the scenes"
[monitors.heartbeat]
interval = "15m"
grace = "2m"
down_after = "45m"
"""

WELCOME = """
  The page    {url}/
  The API     {url}/api/docs
  A token     {token}
  Try it      curl {url}/api/status -H "Authorization: Bearer $TOKEN" \\
                -d '{{"tag": "website", "status": "DOWN", "latency": 0}}'

  Ctrl-C stops it; nothing is kept.
"""


@dataclass(frozen=True, slots=True)
class Device:
    """Reports `every` so many seconds, `offset` after UTC midnight, since it was set up `since_days` ago.

    `often` instead of `every` in the last days, and while it runs: a longer past of every minute would take
    too long to make. `latency` is typical, `swing` how far it follows the hours of the day. One that
    `tells_only_trouble` is silent from when all is well again.
    """

    tag: str
    every: int
    often: int
    latency: float
    digits: int
    swing: float = 0.3
    offset: int = 0
    since_days: int = DAYS
    tells_only_trouble: bool = False
    is_flaky: bool = False


DEVICES = (
    Device("website", 15 * MINUTE, MINUTE, 180, 0),
    Device("api", 15 * MINUTE, MINUTE, 42, 1, swing=0.45),
    Device("mail", 30 * MINUTE, 5 * MINUTE, 2.4, 2),
    Device("archive", MINUTE, MINUTE, 0, 0, tells_only_trouble=True),
    Device("backup", DAY, DAY, 640, 0, swing=0, offset=2 * HOUR + 41 * MINUTE),
    Device("gateway", 6 * HOUR, 6 * HOUR, 12, 0, offset=17 * MINUTE),
    Device("sensor", 15 * MINUTE, 2 * MINUTE, 0.35, 3, since_days=76, is_flaky=True),
)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong with a device in `[start, end)`; `status` None: it is not heard."""

    tag: str
    start: int
    end: int
    status: Status | None
    slower: float = 1

    def covers(self, minute: int) -> bool:
        return self.start <= minute < self.end


def at(now: int, days_ago: int, clock: str) -> int:
    """The instant of a clock time, UTC, so many days ago; negative days are to come."""
    hours, minutes = clock.split(":")
    return utc_day_of(now) - days_ago * DAY + int(hours) * HOUR + int(minutes) * MINUTE


def troubles(now: int) -> list[Trouble]:
    """What went wrong in the last 90 days, and what does now."""
    mail_slow_since = minute_of(now) - 160 * MINUTE

    def trouble(
        tag: str, days_ago: int, begin: str, length: int, status: Status | None, slower: float = 1
    ) -> Trouble:
        start = at(now, days_ago, begin)
        return Trouble(tag, start, start + length * MINUTE, status, slower)

    down, degraded, silent = Status.DOWN, Status.DEGRADED, None
    return [
        trouble("website", 81, "03:12", 50, down),
        trouble("website", 58, "16:40", 65, degraded, 6),
        trouble("website", 23, "13:05", 245, degraded, 5),
        trouble("website", 12, "22:04", 71, down),
        trouble("api", 66, "08:31", 40, degraded, 4),
        trouble("api", 37, "10:05", 52, silent),
        trouble("api", 23, "12:58", 262, degraded, 7),
        trouble("api", 12, "22:01", 80, silent),
        trouble("api", 4, "17:20", 35, degraded, 3),
        trouble("mail", 44, "05:00", 95, down),
        trouble("mail", 12, "22:00", 85, silent),
        trouble("archive", 29, "09:15", 33, down),
        trouble("backup", 52, "02:00", 60, down),
        trouble("backup", 9, "02:00", 60, silent),
        trouble("gateway", 70, "00:00", 3 * 1440, silent),
        trouble("sensor", 48, "19:26", 2 * 1440 + 610, silent),
        *(trouble("sensor", days, "21:40", 11 + days, silent) for days in (61, 33, 19, 7, 2)),
        *(trouble("sensor", days, "11:10", 34, degraded, 8) for days in (56, 33, 15)),
        Trouble("mail", mail_slow_since, now + DAY * DAYS, degraded, 9),
    ]


def past_incidents(now: int) -> list[dict[str, Any]]:
    """Incidents as their authors would have written them; `comments` by minutes after the begin."""
    return [
        {
            "title": "API does not answer",
            "body": "Requests to the API end in a timeout.",
            "tags": ("api",),
            "start": at(now, 37, "10:05"),
            "impact": Status.DOWN,
            "comments": [
                (6, "We are looking into it."),
                (21, "A full disk keeps the API from starting. Space is being made."),
                (54, "The API answers again. An alarm for disk space has been added."),
            ],
            "resolved_after": 54,
        },
        {
            "title": "Slow answers",
            "body": "The website and the API take several seconds to answer.",
            "tags": ("website", "api"),
            "start": at(now, 23, "13:00"),
            "impact": Status.DEGRADED,
            "comments": [
                (15, "The cause is a report that was started by mistake."),
                (240, "The report has been stopped; answers are as quick as usual."),
            ],
            "resolved_after": 260,
        },
        {
            "title": "New switches",
            "body": "The network is interrupted while switches are replaced.",
            "tags": ("website", "api", "mail"),
            "start": at(now, 12, "22:00"),
            "end": at(now, 12, "23:30"),
            "is_maintenance": True,
            "announced": 3 * DAY,
            "comments": [(88, "The new switches are in place.")],
        },
        {
            "title": "Mail is delayed",
            "body": "Messages arrive up to twenty minutes late. None is lost.",
            "tags": ("mail",),
            "start": minute_of(now) - 160 * MINUTE,
            "impact": Status.DEGRADED,
            "is_identified": True,
            "comments": [
                (12, "A filter is short of memory; its queue is worked off."),
                (95, "Half of the queue is done."),
            ],
        },
        {
            "title": "Update of the database",
            "body": "The website can be read, but nothing can be changed.",
            "tags": ("website", "api"),
            "start": at(now, -3, "21:00"),
            "end": at(now, -3, "22:00"),
            "is_maintenance": True,
            "announced": 4 * DAY,
            "comments": [],
        },
    ]


class Line:
    """What a device measures, minute by minute; the same for the same seed and begin."""

    def __init__(self, device: Device, expected: list[Trouble], seed: str) -> None:
        self.device = device
        self.dice = random.Random(seed)  # noqa: S311 - made-up figures
        self._troubles = [trouble for trouble in expected if trouble.tag == device.tag]
        # Quiet at night, busy in the afternoon.
        hours = (2 * math.pi * (minute / 1440 - 0.62) for minute in range(1440))
        self._rhythm = [device.latency * (1 + device.swing * math.cos(hour)) for hour in hours]

    def report(self, minute: int) -> tuple[Status, float] | None:
        """Status and latency, or None when nothing is sent."""
        trouble = next((one for one in self._troubles if one.covers(minute)), None)
        typical = self._rhythm[minute % DAY // MINUTE]
        latency = round(typical * (0.85 + self.dice.expovariate(7)), self.device.digits)
        if trouble is None:
            is_news = any(one.end == minute for one in self._troubles)
            return (Status.UP, latency) if is_news or not self.device.tells_only_trouble else None
        if trouble.status is None:
            return None
        return trouble.status, round(latency * trouble.slower, self.device.digits)

    def minutes(self, now: int) -> Iterator[int]:
        """When it was to report until now."""
        today = utc_day_of(now) + self.device.offset
        change = today - OFTEN_DAYS * DAY
        yield from range(today - self.device.since_days * DAY, change, self.device.every)
        yield from range(change, minute_of(now), self.device.often)


def recorded(lines: list[Line], ids: Mapping[str, int], now: int) -> Iterator[Sample]:
    """The samples of the past."""
    for line in lines:
        for minute in line.minutes(now):
            report = line.report(minute)
            if report is not None:
                yield Sample(ids[line.device.tag], minute, *report)


def fill(connection: Connection, config: Config, lines: list[Line], now: int) -> None:
    """Store the layers of 90 days, as if the service had been there all the time."""
    begin = utc_day_of(now) - DAYS * DAY
    observer.begin(connection, begin, config.database.retention_days * DAY)
    settings = {monitor.tag: monitor.settings for monitor in config.monitors}
    ids = monitors.register(connection, settings, begin)
    batch: list[Sample] = []
    for sample in recorded(lines, ids, now):
        batch.append(sample)
        if len(batch) == BATCH:
            samples.record(connection, batch)
            batch.clear()
    samples.record(connection, batch)
    for fields in past_incidents(now):
        _report_incident(connection, dict(fields), now)
    observer.seen(connection, (), now)


def _report_incident(connection: Connection, fields: dict[str, Any], now: int) -> None:
    comments, resolved_after = fields.pop("comments"), fields.pop("resolved_after", None)
    created = min(fields["start"] + MINUTE, now) - fields.pop("announced", 0)
    number = incidents.add(connection, lambda number: opened(number, fields, created)).number
    for minutes, text in comments:
        incidents.comment(connection, number, text, fields["start"] + minutes * MINUTE)
    if resolved_after is not None:
        resolved = fields["start"] + resolved_after * MINUTE
        incidents.change(
            connection, number, lambda incident: edited(incident, {"is_resolved": True}, resolved)
        )


def run(host: str, port: int) -> int:
    """Serve the demo until stopped; the exit status. Its folder is gone afterwards."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # until the service listens to signals
    try:
        with closing(listening_socket(host, port)) as free:
            port = free.getsockname()[1]
        with TemporaryDirectory(prefix="kener-demo-", ignore_cleanup_errors=True) as folder:
            return _run_in(Path(folder), host, port)
    except OSError as error:
        click.echo(f"{host}:{port}: {error.strerror}", err=True)
        return 1


def _run_in(folder: Path, host: str, port: int) -> int:
    file = folder / "config.toml"
    file.write_text(CONFIG, encoding="utf-8")
    config = load(file, {})
    config = replace(config, server=replace(config.server, host=host, port=port, shutdown_seconds=5))
    logs.configure(config.log)
    click.echo(f"Making up {DAYS} days of history ...", err=True)
    now = system_clock()
    expected = troubles(now)
    lines = [Line(device, expected, f"{SEED} {device.tag}") for device in DEVICES]
    database.prepare(config.database.path)
    with closing(database.connect(config.database.path, synchronous="OFF")) as connection:
        database.transaction(connection, lambda connection: fill(connection, config, lines, now))
        send = _token(connection, config, "simulated devices", ("status:write",), now)
        try_with = _token(connection, config, "demo", DEFAULT_SCOPES, now)
    tokens.announce(config.database.path)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    app = create_app(config)
    app.cleanup_ctx.append(_reporting(lines, url, send, WELCOME.format(url=url, token=try_with)))
    return asyncio.run(serve(app, config, lambda: apply(app, config)))


def _token(connection: Connection, config: Config, name: str, scopes: tuple[str, ...], now: int) -> str:
    record = tokens.Token(secrets.token_hex(8), name, scopes, None, now, now + 7 * DAY)
    database.transaction(connection, lambda connection: tokens.add(connection, record))
    return mint(signing_secret(config.auth), record)


def _reporting(
    lines: list[Line], url: str, token: str, welcome: str
) -> Callable[[web.Application], AbstractAsyncContextManager[None]]:
    """The devices, which report from when the service answers until it stops."""

    @asynccontextmanager
    async def reporting(app: web.Application) -> AsyncIterator[None]:
        await app[keys.PUBLISHER].roll()  # all of the past is counted before the first visitor comes
        task = asyncio.create_task(_report_all(lines, url, token, welcome), name="devices")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return reporting


async def _report_all(lines: list[Line], url: str, token: str, welcome: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with ClientSession(url, headers=headers, timeout=ClientTimeout(total=10)) as session:
        while not await _is_sent(session, lines[0]):  # noqa: ASYNC110 - only an answer tells that it listens
            await asyncio.sleep(0.1)
        click.echo(welcome)
        await asyncio.gather(*(_keep_reporting(session, line) for line in lines))


async def _keep_reporting(session: ClientSession, line: Line) -> None:
    if line.device.every >= DAY:
        return  # it has its hour
    while True:
        await _is_sent(session, line)
        missed = line.dice.choice((0, 0, 0, 0, 0, 9)) if line.device.is_flaky else 0
        await asyncio.sleep(line.device.often * (1 + missed))


async def _is_sent(session: ClientSession, line: Line) -> bool:
    """Send what the device measures now; whether the server took it."""
    report = line.report(minute_of(system_clock()))
    if report is None:
        return False
    status, latency = report
    if line.device.is_flaky and line.dice.random() < 0.2:
        status, latency = Status.DEGRADED, latency * 10
    body = {"tag": line.device.tag, "status": status.name, "latency": round(latency, 3)}
    try:
        async with session.post("/api/status", json=body) as reply:
            return reply.status == 200
    except (ClientError, TimeoutError):
        return False  # a device that cannot reach the server tries again when its next report is due
