"""/: the page that shows how everything stands, whole without JavaScript."""

import asyncio
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp_jinja2
from aiohttp import web
from jinja2 import FileSystemLoader

from kener_async import __version__, keys
from kener_async.config import Config, Monitor
from kener_async.domain.board import Live, Report
from kener_async.domain.calendar import DAY, HOUR, MINUTE, day_of, day_start, days_between, minute_of
from kener_async.domain.incidents import Incident
from kener_async.domain.samples import Status
from kener_async.domain.uptime import Counts
from kener_async.store import incidents, rollups

DAYS = 90
WINDOWS = {"24 hours": 24 * HOUR, "7 days": 7 * DAY, "30 days": 30 * DAY, "90 days": 90 * DAY}
AT_ONCE = 100  # incidents
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data: https:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
WORDS = {
    Status.UP: "Operational",
    Status.DEGRADED: "Degraded",
    Status.DOWN: "Down",
    Status.MAINTENANCE: "Maintenance",
    Status.NO_DATA: "No data",
}


@dataclass(frozen=True, slots=True)
class Day:
    """A day in the site's zone, as one bar shows it."""

    date: date
    kind: Status
    counts: Counts


@dataclass(frozen=True, slots=True)
class Shown:
    """A monitor with everything the page says of it."""

    monitor: Monitor
    report: Report
    windows: dict[str, Counts]
    days: list[Day]


class Home:
    """The finished page, kept until the minute, a monitor's report or the configuration is another.

    Those who ask while it is made wait for it, unless it was begun before they asked: so it is never older
    than what they have been told already.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._made_of: list[object] = []
        self._begun = 0.0
        self._html = self._compressed = b""

    async def html(self, app: web.Application) -> tuple[bytes, bytes]:
        """The page, and the page compressed."""
        asked = monotonic()
        async with self._turn:
            if self._begun <= asked:
                await self._make(app)
            return self._html, self._compressed

    async def _make(self, app: web.Application) -> None:
        begun, config = monotonic(), app[keys.RUNNING].config
        monitors = [monitor for monitor in config.monitors if not monitor.hidden]
        lives = [await app[keys.PUBLISHER].live(monitor.tag) for monitor in monitors]
        now = app[keys.CLOCK]()
        reports = [live.report(now) for live in lives]
        made_of = [config, *reports]
        is_same = len(made_of) == len(self._made_of) and all(map(_is, made_of, self._made_of))
        if not is_same or not self._html:
            windows = await app[keys.PUBLISHER].windows(lives, WINDOWS.values())
            for live in lives:
                await app[keys.PUBLISHER].settle(live.id, now - (DAYS + 2) * DAY, now)
            shown, known = await app[keys.DATABASE].read(
                partial(
                    _read,
                    monitors=monitors,
                    lives=lives,
                    reports=reports,
                    windows=windows,
                    zone=config.site.timezone,
                    now=now,
                )
            )
            template = aiohttp_jinja2.get_env(app).get_template("home.html")
            context = _context(config, shown, known, now)
            self._html = (await asyncio.to_thread(template.render, context)).encode()
            self._compressed = await asyncio.to_thread(gzip.compress, self._html, 6)
        self._made_of, self._begun = made_of, begun


def _is(one: object, other: object) -> bool:
    return one is other


def _read(
    connection: Connection,
    monitors: Sequence[Monitor],
    lives: Sequence[Live],
    reports: Sequence[Report],
    windows: Sequence[dict[int, Counts]],
    zone: ZoneInfo,
    now: int,
) -> tuple[list[Shown], list[Incident]]:
    wanted = incidents.Search(closed=False, tags=[monitor.tag for monitor in monitors], limit=AT_ONCE)
    return [
        Shown(
            monitor,
            report,
            {name: counts[length] for name, length in WINDOWS.items()},
            _days(connection, live.id, monitor, zone, now),
        )
        for monitor, live, report, counts in zip(monitors, lives, reports, windows, strict=True)
    ], incidents.search(connection, wanted, now)


def _days(connection: Connection, monitor: int, settings: Monitor, zone: ZoneInfo, now: int) -> list[Day]:
    """The last 90 days and today, oldest first."""
    until = minute_of(now) + MINUTE
    first = day_start(date.fromordinal(day_of(now, zone).toordinal() - DAYS), zone)
    days = []
    for day, start, end in days_between(first, until, zone):
        counts = rollups.count_window(connection, monitor, (start, min(end, until)), now)
        days.append(Day(day, _kind(counts, settings), counts))
    return days


def _kind(counts: Counts, monitor: Monitor) -> Status:
    if counts.down >= monitor.day_down_minimum_count:
        return Status.DOWN
    if counts.degraded >= monitor.day_degraded_minimum_count:
        return Status.DEGRADED
    if counts.maintenance:
        return Status.MAINTENANCE
    return Status.UP if counts.counted else Status.NO_DATA


def banner(statuses: Sequence[Status]) -> tuple[Status, str]:
    """All monitors in one sentence: the worst of them speaks."""
    known = [status for status in statuses if status is not Status.NO_DATA]
    if not known:
        return Status.NO_DATA, "No data"
    if Status.DOWN in known:
        return Status.DOWN, "Major outage" if set(known) == {Status.DOWN} else "Partial outage"
    if Status.DEGRADED in known:
        return Status.DEGRADED, "Degraded performance"
    if Status.MAINTENANCE in known:
        return Status.MAINTENANCE, "Maintenance under way"
    return Status.UP, "All systems operational" if len(known) == len(
        statuses
    ) else "All that report are operational"


def _context(config: Config, shown: Sequence[Shown], known: Sequence[Incident], now: int) -> dict[str, Any]:
    oldest_first = sorted(known, key=lambda incident: (incident.start, incident.number))
    return {
        "site": config.site,
        "version": __version__,
        "zone": config.site.timezone,
        "now": now,
        "banner": banner([one.report.standing.status for one in shown]),
        "ongoing": [incident for incident in oldest_first if incident.start <= now],
        "upcoming": [incident for incident in oldest_first if incident.start > now],
        "names": {one.monitor.tag: one.monitor.name for one in shown},
        "groups": list(_groups(config, shown)),
        "words": WORDS,
        "instant": lambda instant: datetime.fromtimestamp(instant, config.site.timezone),
        "age": lambda instant: _age(now - instant),
    }


def _groups(config: Config, shown: Sequence[Shown]) -> Iterator[tuple[str, str, list[Shown]]]:
    """Monitors by category, in the order of the configuration; those without one come last."""
    for name, description in [*((one.name, one.description) for one in config.categories), ("", "")]:
        members = [one for one in shown if one.monitor.category == name]
        if members:
            yield name, description, members


def _age(seconds: int) -> str:
    for unit, length in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return "1 min"


HOME = web.AppKey("home", Home)


async def home(request: web.Request) -> web.Response:
    html, compressed = await request.app[HOME].html(request.app)
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        html = compressed
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=html, content_type="text/html", charset="utf-8", headers=headers)


async def no_icon(_: web.Request) -> web.Response:
    """For browsers that ask before they have read of static/icon.svg."""
    return web.Response(status=204)


def add_routes(app: web.Application) -> None:
    app[HOME] = Home()
    aiohttp_jinja2.setup(
        app,
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    app.router.add_get("/", home)
    app.router.add_get("/favicon.ico", no_icon)
