"""Random histories of a whole service: every figure it serves equals a recount of what it has stored.

A history is a list of steps: heartbeats in any order, also of sealed days, incidents and their edits, new
settings, time that passes, a clock that jumps, turns of the jobs, restarts and crashes. Afterwards, and at
some points before, the layers are read from the file without the service's help, every minute is recounted
(tests/rigs/recount.py, docs/uptime.md), and all answers are held against that. What was accepted is
remembered too, so that a lost sample is noticed.

KENER_HISTORIES=2000 runs that many instead of a few.
"""

import asyncio
import json
import os
import random
import sqlite3
import tempfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kener_async import keys
from kener_async.clock import Cron
from kener_async.config.model import Config, MonitorConfig, Senders
from kener_async.domain.groups import GroupSettings
from kener_async.domain.heartbeats import (
    AtSchedule,
    EveryInterval,
    Expectation,
    Gap,
    GapKind,
    MonitorSettings,
    OnChange,
    Version,
)
from kener_async.domain.incidents import IncidentSource, Overlay, opened
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.domain.uptime import Counts
from kener_async.store import incidents, observer
from kener_async.store.admin import integrity
from kener_async.store.admin.verify import verify
from kener_async.store.sealing import seal_turn
from kener_async.worker.housekeeping import close_ended, drop_old
from kener_async.worker.stop import NEVER
from tests.rigs import recount
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running
from tests.rigs.stored_samples import samples_in, samples_of

HISTORIES = int(os.environ.get("KENER_HISTORIES", "0"))

TAGS = ("earth", "mars", "phobos", "titan")
GROUPS = ("planets", "all")
MEASURED = (Status.UP, Status.DEGRADED, Status.DOWN)
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns")
SHOWN_ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata")
WINDOWS = {"24h": 1440, "7d": 7 * 1440, "30d": 30 * 1440, "90d": 90 * 1440}
MINUTE, QUARTER, HOUR, DAY = 60, 900, 3600, 86400
STARTS = (
    NOON,
    NOON + 12 * HOUR - 600,  # just before a new day, month and year
    1_774_738_200,  # 2026-03-28 22:50 UTC: Berlin loses an hour soon
    1_775_317_500,  # 2026-04-04 15:45 UTC: Lord Howe gains half an hour now
)

UNNOTICED = 5  # seconds by which a clock may be set back without anything being taken back

# In a recount: a DEGRADED minute that counts as downtime.
DEGRADED_AS_DOWNTIME = 5

Span = tuple[int, int]


# What is stored, read without the service


class Stored:
    """The four layers of all monitors as they are in the file."""

    def __init__(self, file: Path) -> None:
        self.samples: dict[str, dict[int, Sample]] = defaultdict(dict)
        self.overlays: dict[str, list[Overlay]] = defaultdict(list)
        self.versions: dict[str, list[Version]] = defaultdict(list)
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            connection.execute("BEGIN")
            self._read(connection)

    def _read(self, connection: sqlite3.Connection) -> None:
        tags = dict(connection.execute("SELECT id, tag FROM monitors"))
        (self.kept_from,) = connection.execute("SELECT kept_from FROM service").fetchone()
        for one in samples_of(connection):
            self.samples[one.tag][one.minute] = Sample(0, one.minute, Status[one.status], one.latency)
        for monitor, since, body in connection.execute("SELECT monitor_id, since, body FROM settings"):
            self.versions[tags[monitor]].append(Version(since, settings_of(json.loads(body))))
        self.starts: dict[str, list[int]] = defaultdict(list)
        for monitor, started_at in connection.execute("SELECT monitor_id, started_at FROM starts"):
            self.starts[tags[monitor]].append(started_at)
        self.gaps = [
            Gap(start, end, GapKind(kind))
            for start, end, kind in connection.execute('SELECT start, "end", kind FROM gaps')
        ]
        for monitor, number, start, end, closed_at, impact, own, is_maintenance in connection.execute(
            """
            SELECT monitor_id, number, start, "end", closed_at, incidents.impact, incident_monitors.impact,
                   is_maintenance
              FROM incident_monitors JOIN incidents USING (number)
             WHERE covers = 1 AND is_draft = 0
            """
        ):
            ends = [max(instant, start) for instant in (end, closed_at) if instant is not None]
            of_it = impact if own is None else {0: None, 1: 1, 2: 2}[own]
            self.overlays[tags[monitor]].append(
                Overlay(
                    number,
                    start,
                    min(ends, default=None),
                    None if of_it is None else Status(of_it),
                    is_maintenance == 1,
                )
            )

    def of(self, tag: str, now: int) -> dict[str, Any]:
        """The layers of a monitor as tests/rigs/recount.py takes them; what has not begun is not painted."""
        return {
            "samples": self.samples[tag],
            "overlays": [overlay for overlay in self.overlays[tag] if overlay.start <= now],
            "versions": self.versions[tag],
            "gaps": self.gaps,
            "starts": [start for start in self.starts[tag] if start <= now],
        }


def settings_of(body: Mapping[str, Any]) -> MonitorSettings:
    default, expected = body["default_status"], body["expectation"]
    expectation: Expectation | None = None
    if expected is not None and "interval" in expected:
        expectation = EveryInterval(**expected)
    elif expected is not None and "cron" in expected:
        schedule = Cron(expected["cron"], expected["timezone"])
        expectation = AtSchedule(schedule, expected["grace"], expected["down_after"], expected["early"])
    elif expected is not None:
        expectation = OnChange(**expected)
    return MonitorSettings(
        default_status=None if default is None else Status[default],
        include_degraded_in_downtime=body["include_degraded_in_downtime"],
        expectation=expectation,
        stale_after=body["stale_after"],
        group=group_of(body["group"]) if "group" in body else None,
        excused_by=tuple(body.get("excused_by", ())),
    )


def group_of(body: Mapping[str, Any]) -> GroupSettings:
    return GroupSettings(tuple(body["members"]), body["min_up"], body["is_percentage"], body["is_degraded"])


# The recount


class Recount:
    """Every minute of a monitor, from the first of which anything is known to the current one.

    `family` has the recounts of the others by tag, as of the same instant.
    """

    def __init__(self, stored: Stored, tag: str, now: int, family: "dict[str, Recount]") -> None:
        self.now = now
        self.tag = tag
        self._stored, self._family = stored, family
        family[tag] = self
        self._said: dict[int, recount.Said] = {}
        self.kept_from = stored.kept_from
        self.end = now // MINUTE * MINUTE + MINUTE
        self.layers = stored.of(tag, now)
        self.samples: dict[int, Sample] = self.layers["samples"]
        firsts = [*self.samples, *(one.start for one in self.layers["overlays"])]
        firsts += [one.since for one in self.layers["versions"]]
        self.first = min([*firsts, now]) // MINUTE * MINUTE
        self.versions = sorted(self.layers["versions"], key=lambda version: version.since)
        self._order = sorted(self.samples)

    @cached_property
    def codes(self) -> bytes:
        codes = bytes(self._codes())
        for place in {0, len(codes) // 2, len(codes) - 1}:
            minute = self.first + MINUTE * place
            whole = recount.minute_status(minute, **self.layers, others=partial(self._other, minute))
            assert self.said(minute)[0] is whole
        return codes

    def _codes(self) -> Iterator[int]:
        for minute in range(self.first, self.end, MINUTE):
            status, _ = self.said(minute)
            begun = [version for version in self.versions if version.since < minute + MINUTE]
            as_downtime = (
                status is Status.DEGRADED and begun and begun[-1].settings.include_degraded_in_downtime
            )
            yield DEGRADED_AS_DOWNTIME if as_downtime else status

    def said(self, minute: int) -> recount.Said:
        """Only what can matter to a minute is handed to its recount, which would take long otherwise.

        That is the newest earlier sample, what overlaps the minute, and what has ended since that sample.
        """
        if minute in self._said:
            return self._said[minute]
        before = bisect_left(self._order, minute)
        heard = self._order[before - 1] if before else self.first
        overlays, gaps = self.layers["overlays"], self.layers["gaps"]
        self._said[minute] = said = recount.said_of(
            minute,
            {at: self.samples[at] for at in (heard, minute) if at in self.samples},
            [one for one in overlays if _near(one, minute) or _ended(one, heard, minute)],
            [version for version in self.versions if version.since < minute + MINUTE],
            [gap for gap in gaps if _near(gap, minute) or _ended(gap, heard, minute)],
            self.layers["starts"],
            partial(self._other, minute),
        )
        return said

    def _other(self, minute: int, tag: str) -> recount.Said:
        return self.other(tag).said(minute)

    def other(self, tag: str) -> "Recount":
        if tag not in self._family:
            Recount(self._stored, tag, self.now, self._family)
        return self._family[tag]

    def status(self, minute: int) -> Status:
        if minute < self.first:
            return Status.NO_DATA
        code = self.codes[(minute - self.first) // MINUTE]
        return Status.DEGRADED if code == DEGRADED_AS_DOWNTIME else Status(code)

    def minutes(self, span: Span) -> dict[str, int]:
        """As the API names them."""
        start, end = (max(instant - self.first, 0) // MINUTE for instant in span)
        counts = [self.codes.count(code, start, end) for code in range(6)]
        return {
            "up": counts[Status.UP],
            "degraded": counts[Status.DEGRADED] + counts[DEGRADED_AS_DOWNTIME],
            "degradedAsDowntime": counts[DEGRADED_AS_DOWNTIME],
            "down": counts[Status.DOWN],
            "maintenance": counts[Status.MAINTENANCE],
            "noData": (span[1] - span[0]) // MINUTE - sum(counts) + counts[Status.NO_DATA],
        }

    def uptime(self, span: Span) -> str:
        minutes = self.minutes(span)
        good = minutes["up"] + minutes["degraded"] - minutes["degradedAsDowntime"]
        return recount.uptime_text(good, minutes["up"] + minutes["degraded"] + minutes["down"])

    def latencies(self, span: Span) -> list[float]:
        return [
            self.samples[minute].latency for minute in sorted(self.samples) if span[0] <= minute < span[1]
        ]

    def window(self, name: str) -> Span:
        """As far as it is kept."""
        start = self.now // DAY * DAY if name == "today" else self.end - MINUTE * WINDOWS[name]
        return min(max(start, self.kept_from), self.end), self.end

    def newest(self) -> Sample | None:
        if self._in_force().group is not None:
            return None
        minutes = [minute for minute in self.samples if minute <= self.now]
        return self.samples[max(minutes)] if minutes else None

    def current(self) -> tuple[Status, Status | None]:
        """The status to show, and that of the contract."""
        active = [
            overlay
            for overlay in self.layers["overlays"]
            if overlay.start <= self.now and (overlay.end is None or self.now < overlay.end)
        ]
        impacts = [overlay.impact for overlay in active if overlay.impact is not None]
        impact = None if not impacts else Status.DOWN if Status.DOWN in impacts else Status.DEGRADED
        measured, known = self._measured()
        if any(overlay.maintenance for overlay in active):
            return Status.MAINTENANCE, known if impact is None else impact
        if impact is not None:
            return impact, impact
        if self._is_excused():
            return Status.NO_DATA, Status.DOWN
        return measured, known if measured in (Status.NO_DATA, Status.MAINTENANCE) else measured

    def _is_excused(self) -> bool:
        """Whether only a parent keeps it from being DOWN now, where no person says anything else."""
        is_down = self._measured()[0] is Status.DOWN
        return is_down and any(self.other(parent)._is_down() for parent in self._in_force().excused_by)

    def _is_down(self) -> bool:
        shown, kener = self.current()
        is_excused = (shown, kener) == (Status.NO_DATA, Status.DOWN) and self._is_excused()
        return shown is Status.DOWN or is_excused

    def _in_force(self) -> MonitorSettings:
        minute = self.now // MINUTE * MINUTE
        return recount.settings_in_force(minute, self.layers["versions"]) or MonitorSettings()

    def _measured(self) -> tuple[Status, Status | None]:
        """What it measures now, and what the contract's route says where that is nothing."""
        group = self._in_force().group
        if group is None:
            newest = self.newest()
            known = self._in_force().default_status if newest is None else newest.status
            return self._measured_alone(), known
        members = [self.other(tag).current() for tag in group.members]
        said = [kener for _, kener in members if kener is not None]
        known = recount.status_of_group(group, said) if said else None
        return recount.status_of_group(group, [shown for shown, _ in members]), known

    def _measured_alone(self) -> Status:
        minute, newest, in_force = self.now // MINUTE * MINUTE, self.newest(), self._in_force()
        if newest is not None:
            if newest.minute == minute:
                return newest.status
            if in_force.expectation is not None:
                over = [one for one in self.layers["overlays"] if one.end is not None and one.end <= self.now]
                versions, gaps = self.layers["versions"], self.layers["gaps"]
                starts = self.layers["starts"]
                return recount.status_of_silence(minute, newest, over, versions, gaps, starts)
            if minute <= newest.minute + in_force.stale_after:
                return newest.status
        is_unknown = any(_near(gap, minute) for gap in self.layers["gaps"])
        is_unknown |= not any(version.since < minute + MINUTE for version in self.layers["versions"])
        default = in_force.default_status
        return Status.NO_DATA if is_unknown or default is None else default


def _near(span: Gap | Overlay, minute: int) -> bool:
    return span.start < minute + MINUTE and (span.end is None or span.end > minute)


def _ended(span: Gap | Overlay, heard: int, minute: int) -> bool:
    return span.end is not None and heard < span.end <= minute


@cache
def _date(zone: str, quarter: int) -> str:
    return datetime.fromtimestamp(quarter, ZoneInfo(zone)).date().isoformat()


# The questions, and how their answers are judged


class World:
    """The service, and what it was told and has accepted."""

    def __init__(self, config: Config, clock: FakeClock) -> None:
        self.config = config
        self.clock = clock
        self.latest = clock.now
        self.accepted: dict[str, dict[int, tuple[Status, float]]] = defaultdict(dict)
        self.pushed: set[tuple[str, int]] = set()
        self.incidents: list[Told] = []  # without those that were deleted
        self.made = 0  # incidents, also deleted ones
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        self.service: Service = await self._stack.enter_async_context(running(self.config, self.clock))
        self.manager = await self.service.mint(scopes=("incident:write", "incident:delete"))

    async def manage(self, method: str, path: str, body: Any = None) -> None:
        """Let an editor do something, which must be accepted."""
        status, answer = await self.service.ask(method, path, self.manager, json=body)
        assert status == 200, answer

    async def stop(self) -> None:
        await self._stack.aclose()

    @property
    def now(self) -> int:
        return self.clock.now

    @property
    def file(self) -> Path:
        return self.config.database.path

    @property
    def tags(self) -> list[str]:
        return [monitor.tag for monitor in self.config.monitors]

    def is_group(self, tag: str) -> bool:
        return any(one.tag == tag and one.settings.group is not None for one in self.config.monitors)

    def remember(self) -> None:
        """How far the clock ever was."""
        self.latest = max(self.latest, self.now)

    async def judge(self, questions: Sequence["Question"]) -> None:
        """Ask all, then read what is stored, and hold the one against the other."""
        kept_from = None
        answers: list[tuple[int, Any]] = []
        while (stored := Stored(self.file)).kept_from != kept_from:  # retention may be at work just now
            kept_from = stored.kept_from
            answers = [await one.ask(self.service) for one in questions]
        self._compare_with_accepted(stored)
        with closing(
            sqlite3.connect(f"file:{self.file}?mode=ro", uri=True, isolation_level=None)
        ) as connection:
            assert list(integrity.sum_days(connection)) == []
        families: dict[int, dict[str, Recount]] = defaultdict(dict)
        for question, (status, answer) in zip(questions, answers, strict=True):
            family = families[question.now]
            told = {
                tag: family[tag] if tag in family else Recount(stored, tag, question.now, family)
                for tag in question.tags
            }
            question.judge(status, answer, told)

    def _compare_with_accepted(self, stored: Stored) -> None:
        horizon = (self.latest - self.config.database.retention_days * DAY) // QUARTER * QUARTER
        for tag in (*TAGS, *GROUPS):
            found = {minute: (one.status, one.latency) for minute, one in stored.samples[tag].items()}
            sent = self.accepted[tag]
            assert {minute: sent[minute] for minute in sent if minute >= horizon} == {
                minute: found[minute] for minute in found if minute >= horizon
            }, f"samples of {tag}"
            assert found.items() <= sent.items(), f"samples of {tag}"
            told = [(one.number, one.overlay_on(tag)) for one in self.incidents if one.covers_minutes_of(tag)]
            assert told == [(one.number, one) for one in stored.overlays[tag]], f"incidents of {tag}"
        for monitor in self.config.monitors:
            newest = max(stored.versions[monitor.tag], key=lambda version: version.since)
            assert newest.settings == monitor.settings, f"settings of {monitor.tag}"


@dataclass(frozen=True)
class Question:
    """A request, and the judgement of its answer; `now` is the instant the answer is about."""

    path: str
    query: dict[str, Any]
    tags: tuple[str, ...]
    now: int
    judge: Callable[[int, Any, dict[str, Recount]], None]

    async def ask(self, service: Service) -> tuple[int, Any]:
        return await service.ask("GET", self.path, params=self.query)


class OverviewQuestion(Question):
    """Asked inside the service, as the page does."""

    async def ask(self, service: Service) -> tuple[int, Any]:
        states = [await service.app[keys.LOADER].state(tag) for tag in self.tags]
        return 200, await service.app[keys.OVERVIEWS].of(states, ZoneInfo(self.query["timezone"]))


def about_overviews(world: World, zone: str) -> Question:
    tags = tuple(world.tags)

    def judge(status: int, answer: Any, told: dict[str, Recount]) -> None:
        for tag, overview in zip(tags, answer, strict=True):
            mine = told[tag]
            assert set(overview.windows) == set(WINDOWS)
            for name in WINDOWS:
                assert counted(overview.windows[name]) == recounted(mine, mine.window(name)), (tag, name)
            days = last_days(mine.now, zone)
            assert [day[:3] for day in overview.days] == days, tag
            for day, start, end, counts in overview.days:
                span = min(max(start, mine.kept_from), mine.end), min(max(end, mine.kept_from), mine.end)
                assert counted(counts) == recounted(mine, span), (tag, day)

    return OverviewQuestion("", {"timezone": zone}, tags, world.now, judge)


def counted(counts: Counts) -> dict[str, Any]:
    """What an overview says of a span, save what is left of it."""
    assert counts == counts.without_latencies
    return {
        "up": counts.up,
        "degraded": counts.degraded,
        "degradedAsDowntime": counts.degraded_as_downtime,
        "down": counts.down,
        "maintenance": counts.maintenance,
    }


def recounted(told: Recount, span: Span) -> dict[str, Any]:
    minutes = told.minutes(span)
    del minutes["noData"]
    return minutes


@cache
def last_days(now: int, zone: str) -> list[tuple[date, int, int]]:
    """The 90 days before today in a zone, and today: found quarter by quarter."""
    days: dict[date, list[int]] = {}
    for quarter in range(now // QUARTER * QUARTER - 93 * DAY, now + 2 * DAY, QUARTER):
        days.setdefault(datetime.fromtimestamp(quarter, ZoneInfo(zone)).date(), []).append(quarter)
    today = datetime.fromtimestamp(now, ZoneInfo(zone)).date()
    return [
        (day, quarters[0], quarters[-1] + QUARTER)
        for day, quarters in days.items()
        if today - timedelta(days=90) <= day <= today
    ]


def about_all(world: World) -> Question:
    tags = tuple(world.tags)

    def judge(status: int, answer: Any, told: dict[str, Recount]) -> None:
        assert status == 200, answer
        assert [one["tag"] for one in answer] == list(tags)
        for one in answer:
            mine = told[one["tag"]]
            newest = mine.newest()
            assert one["uptime"] == {
                name: mine.uptime(mine.window(name)) for name in ("today", "24h", "7d", "30d", "90d")
            }, one["tag"]
            assert one["status"] == mine.current()[0].name, one["tag"]
            assert one["lastUpdatedAt"] == (newest and newest.minute), one["tag"]
            assert one["latency"] == (newest and newest.latency), one["tag"]

    return Question("/api/monitors", {}, tags, world.now, judge)


def about_status(world: World, tag: str, instant: int | None = None) -> Question:
    """The current status, or that as of an instant."""

    def judge(status: int, answer: Any, told: dict[str, Recount]) -> None:
        if instant is not None and instant > world.now:
            assert status == 400, answer
            return
        mine = told[tag]
        reported, newest = mine.current()[1], mine.newest()
        expected: dict[str, Any] = {"uptime": mine.uptime(mine.window("today"))}
        if reported is not None:
            expected["status"] = reported.name
        if newest is not None:
            expected["lastUpdatedAt"] = newest.minute
        assert (status, answer) == (200, expected), tag

    query = {"tag": tag} if instant is None else {"tag": tag, "timestamp": str(instant)}
    return Question("/api/status", query, (tag,), world.now if instant is None else instant, judge)


def about_uptime(world: World, tag: str, window: "str | Span") -> Question:
    def judge(status: int, answer: Any, told: dict[str, Recount]) -> None:
        mine = told[tag]
        span = _asked(mine, window)
        if span is None:
            assert status == 400, answer
            return
        assert status == 200, answer
        assert (answer["from"], answer["to"]) == span
        minutes = mine.minutes(span)
        assert answer["minutes"] == minutes, (tag, window)
        assert answer["uptime"] == mine.uptime(span), (tag, window)
        excluded = {"MAINTENANCE": 0, "NO_DATA": 0}
        for one in answer["excluded"]:
            assert span[0] <= one["from"] < one["to"] <= span[1]
            excluded[one["status"]] += one["minutes"]
        assert excluded == {"MAINTENANCE": minutes["maintenance"], "NO_DATA": minutes["noData"]}, tag
        latencies = mine.latencies(span)
        assert answer["latency"] == {
            "count": len(latencies),
            "average": pytest.approx(sum(latencies) / len(latencies)) if latencies else None,
            "min": min(latencies, default=None),
            "max": max(latencies, default=None),
            "unit": "s",
        }, (tag, window)

    return Question(f"/api/monitors/{tag}/uptime", _query(window), (tag,), world.now, judge)


def about_sums(world: World, tag: str, window: "str | Span", zone: str | None) -> Question:
    """The history by day of a zone or, without one, by quarter."""

    def judge(status: int, answer: Any, told: dict[str, Recount]) -> None:
        mine = told[tag]
        span = _asked(mine, window)
        if span is None:
            assert status == 400, answer
            return
        assert status == 200, answer
        pieces: dict[Any, Span] = {}
        for quarter in range(span[0] // QUARTER * QUARTER, span[1], QUARTER):
            key = quarter if zone is None else _date(zone, quarter)
            start = pieces[key][0] if key in pieces else max(quarter, span[0])
            pieces[key] = start, min(quarter + QUARTER, span[1])
        assert [(one["from"], one["to"]) for one in answer["items"]] == list(pieces.values())
        if zone is not None:
            assert [one["date"] for one in answer["items"]] == list(pieces)
        for item, piece in zip(answer["items"], pieces.values(), strict=True):
            assert item["minutes"] == mine.minutes(piece), (tag, piece)
            assert item["uptime"] == mine.uptime(piece), (tag, piece)
            latencies = mine.latencies(piece)
            average = pytest.approx(sum(latencies) / len(latencies)) if latencies else None
            assert item["latency"] == average, (tag, piece)

    shape = {"resolution": "quarter"} if zone is None else {"resolution": "day", "timezone": zone}
    return Question(f"/api/monitors/{tag}/history", _query(window) | shape, (tag,), world.now, judge)


def about_minutes(world: World, tag: str, window: "str | Span") -> Question:
    def judge(status: int, answer: Any, told: dict[str, Recount]) -> None:
        mine = told[tag]
        span = _asked(mine, window)
        if span is None:
            assert status == 400, answer
            return
        assert status == 200, answer
        expected = [
            (
                minute,
                minute + MINUTE,
                mine.status(minute).name,
                mine.samples[minute].latency if minute in mine.samples else None,
            )
            for minute in range(*span, MINUTE)
        ]
        items = answer["items"]
        assert [(one["from"], one["to"], one["status"], one["latency"]) for one in items] == expected, tag

    query = _query(window) | {"resolution": "minute"}
    return Question(f"/api/monitors/{tag}/history", query, (tag,), world.now, judge)


def _query(window: "str | Span") -> dict[str, str]:
    if isinstance(window, str):
        return {"window": window}
    return {"from": str(window[0]), "to": str(window[1])}


def _asked(told: Recount, window: "str | Span") -> Span | None:
    """The minutes that are answered about; None when there are none, which is refused."""
    if isinstance(window, str):
        return told.window(window)
    start = max(window[0] // MINUTE * MINUTE, told.kept_from)
    end = min(-(-window[1] // MINUTE) * MINUTE, told.end)
    return (start, end) if start < end else None


# The steps of a history


class Step(Protocol):
    async def take(self, world: World) -> None: ...


@dataclass(frozen=True)
class Moment:
    """An instant near now, rounded down to a grid."""

    offset: int
    grid: int = 1

    def at(self, now: int) -> int:
        return (now + self.offset) // self.grid * self.grid


@dataclass(frozen=True)
class Beat:
    """A heartbeat for a moment; None: without a timestamp."""

    tag: str
    status: Status
    moment: Moment | None
    latency: float

    async def take(self, world: World) -> None:
        config, now = world.config.ingest, world.now
        body = {"tag": self.tag, "status": self.status.name, "latency": self.latency}
        at = now
        if self.moment is not None:
            at = body["timestampInSeconds"] = self.moment.at(now)
        known = self.tag in world.tags and not world.is_group(self.tag)
        minute = min(at, now) // MINUTE * MINUTE
        oldest = now // MINUTE * MINUTE - config.max_age_days * DAY
        accepted = known and at <= now + config.clock_skew_seconds and minute >= oldest
        if accepted:
            world.accepted[self.tag][minute] = self.status, self.latency
            world.pushed.add((self.tag, minute))
        status, answer = await world.service.ask("POST", "/api/status", json=body)
        assert status == (200 if accepted else 400), answer
        if accepted:
            assert answer["message"] == f"success at {minute}"


@dataclass(frozen=True)
class Checked:
    """A run of a check has decided some minutes, `every` seconds apart, the newest last."""

    tag: str
    statuses: tuple[Status, ...]
    last: Moment
    every: int

    async def take(self, world: World) -> None:
        state = world.service.app[keys.STATES].find(self.tag)
        if state is None:
            return
        last = min(self.last.at(world.now), world.now)
        for place, status in enumerate(reversed(self.statuses)):
            minute, latency = (last - self.every * place) // MINUTE * MINUTE, place / 8
            before = world.accepted[self.tag].get(minute)
            if (self.tag, minute) not in world.pushed and (before is None or before[0] <= status):
                world.accepted[self.tag][minute] = status, latency
            await world.service.app[keys.WRITER].put(
                Sample(state.id, minute, status, latency, SampleSource.CHECK)
            )


@dataclass(frozen=True)
class Offline:
    """The server was offline for a while, and stores it in two steps."""

    seconds: int

    async def take(self, world: World) -> None:
        start = world.now - self.seconds
        for end in (start + self.seconds // 2, world.now):
            if start < end:
                gap = Gap(start, end, GapKind.OFFLINE)
                await world.service.app[keys.DATABASE].write(observer.save_offline, gap)
                world.service.app[keys.STATES].mark_stale()


@dataclass(frozen=True)
class Start:
    """A job of the monitor says that it begins."""

    tag: str

    async def take(self, world: World) -> None:
        if self.tag not in world.tags or world.is_group(self.tag):
            return
        address = f"/ping/{check_of(self.tag)}/start"
        async with world.service.client.post(address) as reply:
            assert reply.status == 200, await reply.text()


def check_of(tag: str) -> str:
    return f"00000000-0000-4000-8000-{TAGS.index(tag):012}"


@dataclass(frozen=True)
class Backlog:
    """Heartbeats of different minutes, all on their way at once, `every` seconds apart, the newest last."""

    tag: str
    statuses: tuple[Status, ...]
    last: Moment
    every: int

    async def take(self, world: World) -> None:
        last = min(self.last.at(world.now), world.now) - world.now
        beats = [
            Beat(self.tag, status, Moment(last - self.every * place), 0.25)
            for place, status in enumerate(self.statuses)
        ]
        await asyncio.gather(*(beat.take(world) for beat in reversed(beats)))


@dataclass(frozen=True)
class Told:
    """An incident as it was told to the service."""

    number: int
    tags: tuple[str, ...]
    start: int
    end: int | None = None
    impact: str | None = None
    maintenance: bool = False
    resolved_at: int | None = None
    ended_by_resolving: bool = False
    covers: bool = True
    is_draft: bool = False
    impacts: Mapping[str, str] = field(default_factory=dict)

    def covers_minutes_of(self, tag: str) -> bool:
        return tag in self.tags and self.covers and not self.is_draft

    def overlay_on(self, tag: str) -> Overlay:
        ends = [max(instant, self.start) for instant in (self.end, self.resolved_at) if instant is not None]
        own = self.impacts.get(tag, self.impact)
        impact = None if own in (None, "NONE") else Status[own]
        return Overlay(self.number, self.start, min(ends, default=None), impact, self.maintenance)

    def changed(self, body: Mapping[str, Any], now: int) -> "Told | None":
        """After an edit; None when it must be refused."""
        after = replace(
            self,
            tags=tuple(body.get("tags", self.tags)),
            start=body.get("startDatetime", self.start),
            end=body.get("endDatetime", self.end),
            impact=body.get("impact", self.impact),
            maintenance=body.get("isMaintenance", self.maintenance),
        )
        kept = {} if "impact" in body else self.impacts
        after = replace(after, impacts={tag: one for tag, one in kept.items() if tag in after.tags})
        if after.end != self.end:
            after = replace(after, ended_by_resolving=False)
        resolved = body.get("isResolved", self.resolved_at is not None)
        if resolved:
            resolved_at = now if self.resolved_at is None else self.resolved_at
            after = replace(after, resolved_at=resolved_at)
            if after.end is None or after.ended_by_resolving:
                after = replace(after, end=max(resolved_at, after.start), ended_by_resolving=True)
        elif self.resolved_at is not None:
            after = replace(after, resolved_at=None)
            if after.ended_by_resolving:
                after = replace(after, end=None, ended_by_resolving=False)
        if after.end is None or (after.start, after.end) == (self.start, self.end):
            return after
        in_order = after.start < after.end or (after.start == after.end and after.ended_by_resolving)
        return after if in_order else None


@dataclass(frozen=True)
class Open:
    """A new incident or maintenance. Moments among the fields become instants when it is sent."""

    fields: Mapping[str, Any]

    async def take(self, world: World) -> None:
        body = _sent(self.fields, world.now) | {"title": "x"}
        blank = Told(world.made + 1, (), world.now)
        after = blank.changed(body, world.now) if set(body["tags"]) <= set(world.tags) else None
        status, answer = await world.service.ask("POST", "/api/incident", json=body)
        assert status == (400 if after is None else 200), answer
        if after is not None:
            assert answer["incidentNumber"] == after.number
            world.incidents.append(after)
            world.made += 1


@dataclass(frozen=True)
class ByRule:
    """A new incident of an alert rule, which covers nothing; nobody edits a draft."""

    tags: tuple[str, ...]
    impact: str
    start: Moment
    is_draft: bool

    async def take(self, world: World) -> None:
        if not set(self.tags) <= set(world.tags):
            return
        told = Told(
            world.made + 1, self.tags, min(self.start.at(world.now), world.now), None, self.impact,
            covers=False, is_draft=self.is_draft,
        )  # fmt: skip
        fields = {
            "title": "x",
            "tags": told.tags,
            "start": told.start,
            "impact": Status[told.impact or "DOWN"],
        }
        made = opened(told.number, fields, world.now)
        made = replace(made, source=IncidentSource.RULE, covers=False, is_draft=told.is_draft)
        await world.service.app[keys.DATABASE].write(incidents.save_automatic, made)
        world.service.app[keys.STATES].note_incident_change()
        world.incidents.append(told)
        world.made += 1


@dataclass(frozen=True)
class ImpactOn:
    """An impact on a single monitor of an incident, which may be a draft; None: that of the incident."""

    which: int
    monitor: int
    impact: str | None

    async def take(self, world: World) -> None:
        if not world.incidents:
            return
        place = self.which % len(world.incidents)
        told = world.incidents[place]
        tag = told.tags[self.monitor % len(told.tags)]
        path = f"/api/manage/incidents/{told.number}/monitors/{tag}"
        await world.manage("PUT", path, {"impact": self.impact})
        impacts = {other: one for other, one in told.impacts.items() if other != tag}
        impacts |= {} if self.impact is None else {tag: self.impact}
        world.incidents[place] = replace(told, impacts=impacts)


@dataclass(frozen=True)
class Hide:
    """An incident becomes a draft, or public."""

    which: int
    is_draft: bool

    async def take(self, world: World) -> None:
        if not world.incidents:
            return
        place = self.which % len(world.incidents)
        told = world.incidents[place]
        act = "unpublish" if self.is_draft else "publish"
        await world.manage("POST", f"/api/manage/incidents/{told.number}/{act}")
        world.incidents[place] = replace(told, is_draft=self.is_draft)


@dataclass(frozen=True)
class Delete:
    """An incident is deleted, as if it had never been."""

    which: int

    async def take(self, world: World) -> None:
        if world.incidents:
            told = world.incidents.pop(self.which % len(world.incidents))
            await world.manage("DELETE", f"/api/manage/incidents/{told.number}")


@dataclass(frozen=True)
class Edit:
    """A change of an incident, by PATCH or, where all is said by it, as a new status."""

    which: int
    fields: Mapping[str, Any]
    by_status: bool

    async def take(self, world: World) -> None:
        if not world.incidents:
            return
        place = self.which % len(world.incidents)
        incident = world.incidents[place]
        body = _sent(self.fields, world.now)
        known = True
        if self.by_status:
            body = {key: body[key] for key in ("endDatetime", "isResolved") if body.get(key) is not None}
            method, path = "POST", f"/api/incident/{incident.number}/status"
        else:
            body = {"title": "y", "tags": incident.tags} | body
            known = set(body["tags"]) <= {*world.tags, *incident.tags}
            method, path = "PATCH", f"/api/incident/{incident.number}"
        after = incident.changed(body, world.now) if known else None
        status, answer = await world.service.ask(method, path, json=body)
        if incident.is_draft:
            assert status == 404, answer
            return
        assert status == (400 if after is None else 200), answer
        if after is not None:
            world.incidents[place] = after


def _sent(fields: Mapping[str, Any], now: int) -> dict[str, Any]:
    return {name: value.at(now) if isinstance(value, Moment) else value for name, value in fields.items()}


def watched(tag: str, given: MonitorSettings) -> MonitorConfig:
    """A monitor whose job can say that it begins."""
    if given.group is not None or tag in GROUPS:
        return a_monitor(tag, given)
    return a_monitor(tag, given, senders=Senders(checks=(check_of(tag),)))


@dataclass(frozen=True)
class Configure:
    """Other settings for some monitors; None: the monitor is taken out."""

    changes: Mapping[str, MonitorSettings | None]

    async def take(self, world: World) -> None:
        self.plan(world)
        await world.service.configure(*world.config.monitors)

    def plan(self, world: World) -> None:
        before = {monitor.tag: monitor.settings for monitor in world.config.monitors}
        after = {tag: given for tag, given in {**before, **self.changes}.items() if given is not None}
        after = after or {TAGS[0]: MonitorSettings()}
        monitors = tuple(watched(tag, given) for tag, given in after.items())
        world.config = replace(world.config, monitors=monitors)


@dataclass(frozen=True)
class Pass:
    """Time passes while the service is there: `seconds`, or so many after the next full `to_end_of`."""

    seconds: int
    to_end_of: int | None = None

    async def take(self, world: World) -> None:
        seconds = self.seconds
        if self.to_end_of is not None:
            seconds += self.to_end_of - world.now % self.to_end_of
        await world.service.app[keys.LOADER].observe()  # as it does each second
        world.service.pass_time(max(seconds, 0))
        world.remember()


@dataclass(frozen=True)
class Jump:
    """The clock steps."""

    seconds: int

    async def take(self, world: World) -> None:
        world.service.jump(self.seconds)
        world.remember()


@dataclass(frozen=True)
class Roll:
    """The rollup job runs, and then the one that stores the sums of days."""

    async def take(self, world: World) -> None:
        await world.service.roll()
        await world.service.app[keys.DAY_SUMS].store(world.config.site.timezone)


@dataclass(frozen=True)
class Seal:
    """Some turns of the sealing job, of `limit` days of a monitor each; None: all that there is to do."""

    turns: int | None
    limit: int

    async def take(self, world: World) -> None:
        turns = 0
        while turns != self.turns:
            turns += 1
            if not await world.service.app[keys.DATABASE].write(seal_turn, world.now, self.limit):
                break


@dataclass(frozen=True)
class Tidy:
    """The other jobs run: incidents that ended are closed, what is old is dropped."""

    async def take(self, world: World) -> None:
        app = world.service.app
        await close_ended(app[keys.DATABASE], app[keys.STATES], world.clock)
        await drop_old(
            app[keys.DATABASE],
            app[keys.STATES],
            world.clock,
            lambda: world.config.database.retention_days * DAY,
            NEVER,
        )


@dataclass(frozen=True)
class Restart:
    """The service stops, or crashes, and starts again later, perhaps with another configuration."""

    away: int
    crash: bool
    changes: Configure | None

    async def take(self, world: World) -> None:
        snapshot = world.file.with_name("snapshot.db")
        before = world.now
        noticed = world.service.app[keys.OBSERVER].last_seen <= before + UNNOTICED
        if self.crash:
            with (
                closing(sqlite3.connect(world.file)) as source,
                closing(sqlite3.connect(snapshot)) as target,
            ):
                source.backup(target)
        await world.stop()
        if self.crash:
            snapshot.replace(world.file)
        if self.changes is not None:
            self.changes.plan(world)
        world.clock.now += self.away
        world.remember()
        await world.start()
        if noticed and self.away >= MINUTE + UNNOTICED:
            gaps = [gap for gap in Stored(world.file).gaps if gap.start <= before + UNNOTICED]
            assert any(gap.end == world.now for gap in gaps), "the absence is no gap"


@dataclass(frozen=True)
class Look:
    """One monitor is asked about, in some way, in the middle of its history."""

    tag: str
    way: int
    window: str
    span: tuple[Moment, Moment]

    async def take(self, world: World) -> None:
        if self.tag not in world.tags:
            return
        span = self.span[0].at(world.now), self.span[1].at(world.now)
        match self.way:
            case 0:
                question = about_status(world, self.tag)
            case 1:
                question = about_uptime(world, self.tag, self.window)
            case 2:
                question = about_uptime(world, self.tag, span)
            case 3:
                question = about_sums(world, self.tag, self.window, None)
            case 4:
                question = about_status(world, self.tag, span[0])
            case 5:
                question = about_all(world)
            case _:
                question = about_overviews(world, str(world.config.site.timezone))
        await world.judge([question])


@dataclass(frozen=True)
class LookAtAll:
    """Every figure of every monitor, asked for in some order."""

    spans: tuple[tuple[Moment, Moment], ...]
    zone: str
    order: int

    async def take(self, world: World) -> None:
        spans = [(first.at(world.now), second.at(world.now)) for first, second in self.spans]
        shown = str(world.config.site.timezone)
        questions = [about_all(world), *(about_overviews(world, zone) for zone in (shown, *SHOWN_ZONES))]
        for tag in world.tags:
            questions.append(about_status(world, tag))
            questions += [about_status(world, tag, span[0]) for span in spans]
            questions += [about_uptime(world, tag, window) for window in ("today", *WINDOWS)]
            questions += [about_uptime(world, tag, span) for span in spans]
            questions.append(about_sums(world, tag, (world.now - 3 * DAY, world.now), None))
            questions.append(about_sums(world, tag, "7d", self.zone))
            questions += [about_sums(world, tag, span, None) for span in spans[:1]]
            questions.append(about_minutes(world, tag, "24h"))
        random.Random(self.order).shuffle(questions)
        await world.judge(questions)


# How histories are drawn


def weighted(*choices: tuple[int, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """Each strategy as often as it weighs; one_of would take a repeated one once."""
    return st.sampled_from([one for weight, one in choices for _ in range(weight)]).flatmap(lambda one: one)


offsets = st.one_of(
    st.integers(-150, 70),
    st.integers(-2 * HOUR, 0),
    st.integers(-2 * DAY, 0),
    st.integers(-8 * DAY, 0),
    st.sampled_from([0, 60, -60, -QUARTER, -DAY]),
)
grids = st.sampled_from([1, 1, MINUTE, QUARTER, HOUR, DAY])
past_moments = st.builds(Moment, offsets, grids)
moments = st.one_of(
    past_moments,
    st.builds(Moment, offsets.map(lambda offset: -offset), grids),
    st.builds(Moment, st.integers(1, 40)),
)
tags = st.sampled_from(TAGS)
all_tags = st.sampled_from((*TAGS, *TAGS, *GROUPS))
statuses = st.sampled_from(MEASURED)
latencies = st.sampled_from([0.0, 0.1, 12.0, 0.000_000_3, 1234.567_891])


@st.composite
def drawn_settings(draw: st.DrawFn) -> MonitorSettings:
    grace = draw(st.sampled_from([0, 45, 60, 600]))
    longer = draw(st.sampled_from([0, 30, 120, 1800, 3 * HOUR]))
    expectation: Expectation | None = None
    match draw(st.sampled_from(["nothing", "nothing", "every", "every", "at", "on change", "checked"])):
        case "every":
            interval = draw(st.sampled_from([60, 90, 300, HOUR]))
            expectation = EveryInterval(interval, grace, interval + grace + longer)
        case "at":
            schedule = draw(
                st.sampled_from(
                    [
                        Cron("*/5 * * * *"),
                        Cron("7,37 * * * *"),
                        Cron("0 */3 * * *", "Asia/Kathmandu"),
                        Cron("30 2 * * *", "Europe/Berlin"),
                    ]
                )
            )
            early = max(60, grace // 10)  # as config.toml would have it
            expectation = AtSchedule(schedule, grace, grace + longer, early)
        case "on change":
            expectation = OnChange(draw(st.sampled_from([90, 600, 3 * HOUR])))
        case "checked":
            expectation = OnChange(draw(st.sampled_from([130, 190, 3 * HOUR])), is_check=True)
    return MonitorSettings(
        default_status=draw(st.sampled_from([None, None, *MEASURED])),
        include_degraded_in_downtime=draw(st.booleans()),
        expectation=expectation,
        stale_after=draw(st.sampled_from([HOUR, 120, DAY])),
    )


@st.composite
def settings_for(draw: st.DrawFn, tag: str) -> MonitorSettings:
    """It follows from monitors before it only, so that there is no circle."""
    place = (*TAGS, *GROUPS).index(tag)
    before = st.sampled_from((*TAGS, *GROUPS)[: max(place, 1)])
    is_group = place > 1 and draw(st.integers(0, 5 if tag in TAGS else 1)) == 0
    given = draw(drawn_settings())
    if place and draw(st.integers(0, 3)) == 0:
        parents = draw(st.lists(before, min_size=1, max_size=2, unique=True))
        given = replace(given, excused_by=tuple(parents))
    if not is_group and not (tag in GROUPS and draw(st.booleans())):
        return given
    members = tuple(draw(st.lists(before, min_size=1, max_size=5, unique=True)))
    is_percentage = draw(st.booleans())
    min_up = draw(
        st.sampled_from([1, 34, 50, 66, 67, 100]) if is_percentage else st.integers(1, len(members))
    )
    group = GroupSettings(members, min_up, is_percentage, draw(st.booleans()))
    return replace(given, group=group, expectation=None, default_status=None)


some_tags = st.lists(all_tags, min_size=1, max_size=3, unique=True)
times = {"startDatetime": moments, "endDatetime": moments}
incident_fields: dict[str, st.SearchStrategy[Any]] = times | {
    "impact": st.sampled_from(["DOWN", "DEGRADED"]),
    "isMaintenance": st.booleans(),
    "isResolved": st.booleans(),
}
edit_fields = incident_fields | {
    "endDatetime": weighted((2, moments), (1, st.none())),
    "impact": st.sampled_from(["DOWN", "DEGRADED", None]),
    "tags": some_tags,
}
configurations = st.builds(
    Configure,
    st.lists(
        all_tags.flatmap(
            lambda tag: st.tuples(st.just(tag), weighted((5, settings_for(tag)), (1, st.none())))
        ),
        min_size=1,
        max_size=2,
    ).map(dict),
)
spans = st.tuples(past_moments, moments)
passing = st.one_of(
    st.builds(Pass, st.integers(0, 130)),
    st.builds(Pass, st.integers(0, 2 * HOUR)),
    st.builds(Pass, st.integers(0, DAY)),
    st.builds(Pass, st.integers(0, 4 * DAY)),
    st.builds(Pass, st.integers(-2, 2), st.sampled_from([MINUTE, QUARTER, QUARTER, HOUR, DAY])),
)
jumps = st.one_of(st.integers(-70, 70), st.integers(-2 * HOUR, 2 * HOUR), st.integers(-2 * DAY, 2 * DAY))
beats = st.builds(Beat, tags, statuses, weighted((2, st.none()), (3, past_moments)), latencies)
backlogs = st.builds(
    Backlog,
    tags,
    st.lists(statuses, min_size=2, max_size=10).map(tuple),
    past_moments,
    st.sampled_from([60, 60, 120, 300, HOUR, 7 * HOUR]),
)
checks = st.builds(
    Checked,
    tags,
    st.lists(statuses, min_size=1, max_size=4).map(tuple),
    weighted(
        (3, st.builds(Moment, st.integers(-5 * MINUTE, 0))), (1, st.builds(Moment, st.integers(-8 * DAY, 0)))
    ),
    st.sampled_from([20, 40, MINUTE]),
)
openings = st.builds(
    Open,
    weighted(
        (1, st.fixed_dictionaries({"tags": some_tags}, optional=incident_fields)),
        (3, st.fixed_dictionaries({"tags": some_tags, "impact": incident_fields["impact"]}, optional=times)),
    ),
)
by_rules = st.builds(
    ByRule, some_tags.map(tuple), st.sampled_from(["DOWN", "DEGRADED"]), past_moments, st.booleans()
)
edits = st.builds(Edit, st.integers(0, 7), st.fixed_dictionaries({}, optional=edit_fields), st.booleans())
places = st.integers(0, 7)
managed = st.one_of(
    st.builds(ImpactOn, places, places, st.sampled_from(["DOWN", "DEGRADED", "NONE", None])),
    st.builds(ImpactOn, places, places, st.sampled_from(["DOWN", "DEGRADED", "NONE", None])),
    st.builds(Hide, places, st.booleans()),
    st.builds(Delete, places),
)
restarts = st.builds(
    Restart,
    st.one_of(st.integers(0, 200), st.integers(0, 5 * HOUR), st.integers(-3 * HOUR, DAY)),
    st.booleans(),
    weighted((2, st.none()), (1, configurations)),
)
sealings = st.builds(Seal, st.sampled_from([1, 2, 5, None]), st.sampled_from([1, 3, 100]))
looks = st.builds(Look, all_tags, st.integers(0, 9), st.sampled_from(["today", *WINDOWS]), spans)
steps: st.SearchStrategy[Step] = weighted(
    (6, beats),
    (2, checks),
    (1, st.builds(Offline, st.one_of(st.integers(1, 300), st.integers(1, 3 * HOUR)))),
    (1, st.builds(Start, tags)),
    (2, backlogs),
    (2, openings),
    (1, by_rules),
    (2, edits),
    (2, managed),
    (4, passing),
    (1, configurations),
    (1, st.builds(Jump, jumps)),
    (2, st.builds(Roll)),
    (3, sealings),
    (1, st.builds(Tidy)),
    (1, restarts),
    (2, looks),
)
looks_at_all = st.builds(
    LookAtAll, st.lists(spans, max_size=2).map(tuple), st.sampled_from(ZONES), st.integers(0, 1000)
)


@dataclass(frozen=True)
class History:
    start: int
    retention_days: int
    monitors: Mapping[str, MonitorSettings]
    steps: list[Step]
    long_wait: int
    end: LookAtAll
    zone: str = "UTC"  # the site's
    seals_at_the_end: bool = True


histories = st.builds(
    History,
    start=st.builds(lambda start, more: start + more, st.sampled_from(STARTS), st.integers(0, 1000)),
    retention_days=st.sampled_from([400, 400, 3]),
    monitors=st.fixed_dictionaries(
        {"earth": st.just(MonitorSettings())} | {tag: settings_for(tag) for tag in (*TAGS[1:], *GROUPS)}
    ),
    steps=st.lists(st.lists(steps, max_size=7), min_size=2, max_size=6).map(
        lambda parts: [step for part in parts for step in part]  # longer than one list would be drawn
    ),
    long_wait=st.sampled_from([0] * 14 + [40 * DAY]),
    end=looks_at_all,
    zone=st.sampled_from(SHOWN_ZONES),
    seals_at_the_end=st.sampled_from([False, False, True]),
)


async def lived(history: History, folder: Path) -> None:
    clock = FakeClock(history.start)
    monitors = [watched(tag, given) for tag, given in history.monitors.items()]
    config = a_config(folder, *monitors)
    config = replace(
        config,
        database=replace(config.database, retention_days=history.retention_days, synchronous="NORMAL"),
        site=replace(config.site, timezone=ZoneInfo(history.zone)),
        ingest=replace(config.ingest, max_age_days=min(config.ingest.max_age_days, history.retention_days)),
    )
    world = World(config, clock)
    await world.start()
    try:
        for step in history.steps:
            await step.take(world)
        if history.long_wait:
            await Pass(history.long_wait).take(world)
            await Tidy().take(world)
        await history.end.take(world)
        if history.seals_at_the_end:
            stored = samples_in(world.file)
            await Seal(None, 3).take(world)
            assert samples_in(world.file) == stored
            await history.end.take(world)
    finally:
        await world.stop()
    assert list(verify(world.file, folder)) == []


UP_ALWAYS, DOWN_ALWAYS = (
    MonitorSettings(default_status=Status.UP),
    MonitorSettings(default_status=Status.DOWN),
)
HELD_LONG = MonitorSettings(expectation=OnChange(stale_after=30 * DAY))
WATCHED = MonitorSettings(expectation=EveryInterval(600, 60, 1800))
HOURLY = MonitorSettings(expectation=EveryInterval(HOUR, 600, HOUR + 1200))
CHECKED = MonitorSettings(expectation=OnChange(190, is_check=True))
NIGHTLY = MonitorSettings(expectation=AtSchedule(Cron("30 2 * * *"), 600, 7200, 60))


def short(sentence: str, given: MonitorSettings, steps: list[Step], *spans: tuple[Moment, Moment]) -> object:
    """A history of one monitor, whose samples are kept for three days."""
    return pytest.param(History(NOON, 3, {"earth": given}, steps, 0, LookAtAll(spans, "UTC", 0)), id=sentence)


def a_group(*members: str, **given: Any) -> MonitorSettings:
    return MonitorSettings(group=GroupSettings(members, **given))


def of_groups(sentence: str, monitors: Mapping[str, MonitorSettings], steps: list[Step]) -> object:
    return pytest.param(History(NOON, 3, monitors, steps, 0, LookAtAll((), "UTC", 0)), id=sentence)


@pytest.mark.parametrize(
    "history",
    [
        of_groups(
            "a late report of a member comes after the quarters of its groups were counted",
            {
                "earth": WATCHED,
                "mars": HELD_LONG,
                "planets": a_group("earth", "mars", min_up=50),
                "all": a_group("planets", "mars", is_degraded=False),
            },
            [
                Beat("earth", Status.UP, None, 0.1),
                Beat("mars", Status.UP, None, 0.1),
                Pass(3 * HOUR),
                Roll(),
                Beat("mars", Status.DOWN, Moment(-2 * HOUR), 0.1),
                Beat("earth", Status.DEGRADED, Moment(-HOUR), 0.1),
                Roll(),
                Pass(HOUR),
            ],
        ),
        of_groups(
            "a maintenance of a member and an incident of its group are edited, and members leave",
            {"earth": UP_ALWAYS, "mars": WATCHED, "planets": a_group("earth", "mars")},
            [
                Beat("mars", Status.DOWN, None, 0.1),
                Open({"tags": ["mars"], "isMaintenance": True, "endDatetime": Moment(2 * HOUR)}),
                Open({"tags": ["planets"], "impact": "DEGRADED", "endDatetime": Moment(HOUR)}),
                Pass(4 * HOUR),
                Roll(),
                Edit(0, {"endDatetime": Moment(-3 * HOUR)}, by_status=False),
                Configure({"planets": a_group("earth"), "mars": None}),
                Pass(HOUR),
                Restart(20 * MINUTE, crash=True, changes=Configure({"planets": a_group("mars")})),
                Pass(HOUR),
            ],
        ),
        of_groups(
            "two groups are in one another, one after the other",
            {"earth": UP_ALWAYS, "planets": a_group("earth"), "all": a_group("planets")},
            [
                Pass(HOUR),
                Configure({"all": a_group("earth"), "planets": a_group("all")}),
                Open({"tags": ["earth"], "impact": "DOWN", "startDatetime": Moment(-30 * MINUTE)}),
                Pass(20 * MINUTE),
                Roll(),
            ],
        ),
        of_groups(
            "a parent that excuses was DOWN, as is known later, and stops excusing",
            {
                "earth": WATCHED,
                "mars": replace(HELD_LONG, excused_by=("earth",)),
                "phobos": replace(DOWN_ALWAYS, excused_by=("mars",)),
            },
            [
                Beat("earth", Status.UP, None, 0.1),
                Beat("mars", Status.DOWN, None, 0.1),
                Pass(3 * HOUR),
                Roll(),
                Beat("earth", Status.UP, Moment(-HOUR), 0.1),
                Roll(),
                Configure({"mars": HELD_LONG}),
                Pass(HOUR),
            ],
        ),
        short(
            "a late heartbeat decides the quarter after its own, which is counted already",
            HELD_LONG,
            [
                Beat("earth", Status.UP, None, 0.1),
                Pass(3 * HOUR),
                Roll(),
                Beat("earth", Status.DOWN, Moment(-20 * MINUTE), 0.1),
                Roll(),
            ],
        ),
        short(
            "a day begins with what the last heartbeat of the day before says",
            HELD_LONG,
            [Beat("earth", Status.UP, None, 0.1), Pass(0, DAY)],
        ),
        short(
            "an incident was resolved before its end",
            UP_ALWAYS,
            [
                Open({"tags": ["earth"], "impact": "DOWN", "endDatetime": Moment(4 * HOUR)}),
                Pass(HOUR),
                Edit(0, {"isResolved": True}, by_status=True),
                Pass(2 * HOUR),
            ],
        ),
        short(
            "an impact is that of a monitor alone, and is cleared by one for all",
            UP_ALWAYS,
            [
                Open({"tags": ["earth", "mars"], "impact": "DEGRADED", "startDatetime": Moment(-3 * HOUR)}),
                ImpactOn(0, 0, "DOWN"),
                ImpactOn(0, 1, "NONE"),
                Pass(HOUR),
                Roll(),
                ImpactOn(0, 1, "DOWN"),
                Edit(0, {"impact": "DEGRADED"}, by_status=False),
                ImpactOn(0, 0, "NONE"),
            ],
        ),
        short(
            "an incident is hidden, shown again with other impacts, and deleted when its minutes are counted",
            UP_ALWAYS,
            [
                Open({"tags": ["earth", "mars"], "impact": "DOWN", "startDatetime": Moment(-3 * HOUR)}),
                Pass(HOUR),
                Roll(),
                Hide(0, True),
                ImpactOn(0, 1, "DEGRADED"),
                Pass(HOUR),
                Roll(),
                Hide(0, False),
                Roll(),
                Delete(0),
                Open({"tags": ["mars"], "impact": "DEGRADED", "startDatetime": Moment(-2 * HOUR)}),
            ],
        ),
        short(
            "a maintenance over a deadline is deleted, and silence counts from the last report again",
            WATCHED,
            [
                Beat("earth", Status.UP, None, 0.1),
                Open({"tags": ["earth"], "isMaintenance": True, "endDatetime": Moment(4 * HOUR)}),
                Pass(6 * HOUR),
                Roll(),
                Delete(0),
                Pass(HOUR),
            ],
        ),
        short(
            "an incident of an alert rule covers nothing, also when a person has edited it",
            WATCHED,
            [
                Beat("earth", Status.UP, None, 0.1),
                ByRule(("earth",), "DOWN", Moment(-HOUR), is_draft=False),
                ByRule(("earth",), "DEGRADED", Moment(-HOUR), is_draft=True),
                Pass(HOUR),
                Roll(),
                Edit(0, {"impact": "DEGRADED"}, by_status=False),
                Edit(1, {"impact": None}, by_status=False),
                Pass(HOUR),
            ],
        ),
        short(
            "a maintenance over a deadline is shortened when the quarters after it are counted already",
            WATCHED,
            [
                Beat("earth", Status.UP, None, 0.1),
                Open({"tags": ["earth"], "isMaintenance": True, "endDatetime": Moment(4 * HOUR)}),
                Pass(6 * HOUR),
                Roll(),
                Edit(0, {"endDatetime": Moment(-5 * HOUR)}, by_status=False),
            ],
        ),
        short(
            "a maintenance is cancelled by no longer being one, after the next report came",
            WATCHED,
            [
                Beat("earth", Status.UP, None, 0.1),
                Open({"tags": ["earth"], "isMaintenance": True, "endDatetime": Moment(HOUR)}),
                Pass(3 * HOUR),
                Beat("earth", Status.UP, None, 0.1),
                Pass(HOUR),
                Roll(),
                Edit(0, {"isMaintenance": False}, by_status=False),
            ],
        ),
        short(
            "a monitor returns after twelve minutes, and its expectation is changed later",
            WATCHED,
            [
                Beat("earth", Status.UP, None, 0.1),
                Configure({"earth": None, "mars": MonitorSettings()}),
                Pass(12 * MINUTE),
                Configure({"earth": WATCHED}),
                Pass(HOUR),
                Roll(),
                Configure({"earth": HELD_LONG}),
                Configure({"earth": NIGHTLY}),
                Pass(20 * HOUR),
                Beat("earth", Status.DOWN, None, 0.1),
                Pass(2 * DAY),
            ],
        ),
        short(
            "a job began and did not end within its grace",
            HOURLY,
            [
                Beat("earth", Status.UP, None, 0.1),
                Pass(30 * MINUTE + 17),
                Start("earth"),
                Pass(17 * MINUTE),
                Roll(),
                Beat("earth", Status.UP, None, 0.1),
                Pass(5 * MINUTE),
                Start("earth"),
                Pass(2 * MINUTE),
                Start("earth"),
                Pass(2 * HOUR),
            ],
        ),
        short(
            "three attempts in one minute, a report of it, and a check after the report",
            CHECKED,
            [
                Checked("earth", (Status.UP, Status.DOWN, Status.DEGRADED), Moment(0), 20),
                Pass(MINUTE),
                Checked("earth", (Status.DOWN,), Moment(0), MINUTE),
                Beat("earth", Status.UP, None, 0.1),
                Checked("earth", (Status.DOWN,), Moment(0), MINUTE),
                Roll(),
            ],
        ),
        short(
            "a check is held between its runs, but not while the server is offline",
            CHECKED,
            [
                Checked("earth", (Status.UP,), Moment(0), MINUTE),
                Pass(10 * MINUTE),
                Roll(),
                Offline(9 * MINUTE + 20),
                Pass(HOUR),
                Checked("earth", (Status.DOWN,), Moment(0), MINUTE),
                Pass(2 * MINUTE),
                Offline(30),
            ],
        ),
        short(
            "deadlines of reports begin anew after an offline gap",
            WATCHED,
            [
                Beat("earth", Status.UP, None, 0.1),
                Pass(20 * MINUTE),
                Roll(),
                Offline(15 * MINUTE),
                Pass(2 * HOUR),
            ],
        ),
        short(
            "a nightly job reports a second early",
            NIGHTLY,
            [
                Beat("earth", Status.UP, Moment(2 * HOUR, DAY), 0.1),
                Pass(14 * HOUR + 30 * MINUTE - 1),
                Beat("earth", Status.UP, None, 0.1),
                Pass(DAY),
            ],
        ),
        short(
            "a device says DOWN and the server is away for a while after it fell silent",
            WATCHED,
            [
                Beat("earth", Status.DOWN, None, 0.1),
                Pass(30 * MINUTE),
                Restart(20 * MINUTE, crash=False, changes=None),
                Pass(HOUR),
            ],
        ),
        short(
            "an incident begins later in this minute",
            UP_ALWAYS,
            [Open({"tags": ["earth"], "impact": "DOWN", "startDatetime": Moment(30)})],
        ),
        short(
            "the same hour comes again, for the clock was set back",
            UP_ALWAYS,
            [Pass(2 * HOUR), Roll(), Jump(-HOUR), Pass(2 * HOUR)],
        ),
        short(
            "settings loaded last are in force, also after the clock was set back a little",
            MonitorSettings(),
            [Configure({"earth": UP_ALWAYS}), Jump(-3), Configure({"earth": DOWN_ALWAYS})],
        ),
        short(
            "quarters that were dropped are counted again when the clock is set back and they are kept",
            UP_ALWAYS,
            [Pass(4 * DAY), Roll(), Tidy(), Jump(-DAY)],
        ),
        short(
            "a window that reaches back before what is kept begins there",
            DOWN_ALWAYS,
            [Pass(3 * DAY), Configure({"earth": UP_ALWAYS}), Pass(5 * DAY + 300), Roll(), Tidy()],
        ),
        short(
            "late reports and checks meet days that are sealed, that are being sealed, and that are hot",
            HELD_LONG,
            [
                Beat("earth", Status.UP, None, 0.1),
                Backlog("earth", (Status.UP, Status.DOWN, Status.DEGRADED) * 4, Moment(0), 7 * HOUR),
                Pass(2 * DAY),
                Roll(),
                Seal(1, 1),
                Beat("earth", Status.DOWN, Moment(-2 * DAY), 0.000_000_3),
                Checked("earth", (Status.DOWN, Status.UP), Moment(-2 * DAY - HOUR), HOUR),
                Look("earth", 1, "7d", (Moment(-3 * DAY), Moment(0))),
                Seal(2, 1),
                Beat("earth", Status.UP, Moment(-2 * DAY - MINUTE), 1234.567_891),
                Roll(),
                Seal(None, 1),
                Beat("earth", Status.DEGRADED, Moment(-2 * DAY - 3 * HOUR), 0.1),
                Roll(),
                Look("earth", 3, "7d", (Moment(-3 * DAY), Moment(0))),
                Seal(None, 1),
            ],
            (Moment(-3 * DAY), Moment(-2 * DAY)),
        ),
        short(
            "a crash ends a sealing under way, and the clock is set back into the day that it sealed",
            UP_ALWAYS,
            [
                Beat("earth", Status.DOWN, None, 0.1),
                Pass(3 * DAY),
                Seal(2, 1),
                Restart(HOUR, crash=True, changes=None),
                Seal(None, 1),
                Jump(-2 * DAY - 12 * HOUR),
                Beat("earth", Status.DEGRADED, None, 0.1),
                Seal(None, 1),
                Roll(),
                Pass(3 * DAY),
                Seal(None, 100),
            ],
        ),
        short(
            "what is kept begins within a sealed day, whose last report is held",
            HELD_LONG,
            [
                Backlog("earth", (Status.DOWN, Status.UP, Status.DEGRADED), Moment(0), 5 * HOUR),
                Pass(2 * DAY + 13 * HOUR),
                Seal(None, 3),
                Pass(20 * HOUR),
                Tidy(),
                Beat("earth", Status.UP, Moment(-2 * DAY), 0.1),
                Seal(None, 3),
                Pass(DAY),
                Tidy(),
                Seal(None, 3),
            ],
            (Moment(-3 * DAY), Moment(0)),
        ),
        short(
            "the day as of an instant begins where what is kept does",
            HELD_LONG,
            [
                Beat("earth", Status.UP, None, 0.1),
                Pass(9 * DAY + 300),
                Beat("earth", Status.DOWN, None, 0.1),
                Roll(),
                Tidy(),
            ],
            (Moment(-3 * DAY - HOUR), Moment(0)),
        ),
    ],
)
def test_figures_equal_the_recount_when(history: History, tmp_path: Path) -> None:
    asyncio.run(lived(history, tmp_path))


@pytest.mark.timeout(0 if HISTORIES else 300)
def test_every_figure_equals_the_recount_of_what_is_stored(capsys: pytest.CaptureFixture[str]) -> None:
    count = 0

    @settings(
        max_examples=HISTORIES or 20,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(histories)
    def holds(history: History) -> None:
        nonlocal count
        count += 1
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(lived(history, Path(folder)))

    holds()
    if HISTORIES:
        with capsys.disabled():
            print(f"\n{count} histories, every figure as recounted")
