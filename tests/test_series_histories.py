"""Random histories of series, cut off at any statement: no occurrence is twice, missing or rewritten."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kener_async import keys
from kener_async.config.load import load
from kener_async.domain.calendar import DAY, HOUR
from kener_async.domain.errors import Invalid
from kener_async.domain.people import Actor, ActorKind
from kener_async.domain.recurrence import parse_rule
from kener_async.domain.series import AHEAD, LEAST_AHEAD, MaintenanceSeries, next_occurrences, occurrences
from kener_async.store import incidents, maintenance
from kener_async.store import series as store
from kener_async.store.interface import Session
from kener_async.store.series import SeriesPlan
from tests.rigs.process import Server
from tests.rigs.process import a_config as a_process_config
from tests.rigs.service import FakeClock, Service, running
from tests.test_series_store import HEAD, START

HISTORIES = int(os.environ.get("KENER_HISTORIES", "12"))
STEPS = 40
ADA = Actor(ActorKind.PERSON, "ada")
RULES = (
    *("FREQ=DAILY", "FREQ=DAILY;INTERVAL=3", "FREQ=WEEKLY;BYDAY=SU,WE", "FREQ=MONTHLY;BYDAY=-1SU"),
    *("FREQ=DAILY;COUNT=20", "FREQ=WEEKLY;INTERVAL=2"),
)
SECONDS_OF_KILLS = (0.3, 0.5, 0.7, 0.9, 1.1)  # after the start


class Killed(Exception):
    """The process ended at this statement."""


class MortalSession:
    """A session that ends after some statements."""

    def __init__(self, session: Session, statements: int) -> None:
        self._session, self._left = session, statements

    def execute(self, *arguments: Any) -> Any:
        self._live()
        return self._session.execute(*arguments)

    def executemany(self, *arguments: Any) -> Any:
        self._live()
        return self._session.executemany(*arguments)

    def _live(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed


@dataclass(frozen=True)
class Row:
    """What is stored of an occurrence."""

    number: int
    day: str
    start: int
    end: int
    title: str
    is_changed: bool
    is_closed: bool


def rows_of(session: Session) -> list[Row]:
    found = session.execute(
        """SELECT number, substr(occurrence, 1, 10), start, "end", title, is_changed, closed_at IS NOT NULL
             FROM incidents WHERE series = 's'"""
    )
    return [
        Row(number, day, start, end, title, bool(is_changed), bool(is_closed))
        for number, day, start, end, title, is_changed, is_closed in found
    ]


class History:
    """One series that is edited, made and looked at, while the clock goes on, and steps."""

    def __init__(self, service: Service, random: Random) -> None:
        self.service, self.random = service, random
        self.series: MaintenanceSeries | None = a_series(random)
        self.made_at: int | None = None
        self.is_edited = True
        self.past: dict[int, Row] = {}
        service.app[keys.SERIES].plan_of = self.plan  # the job of the service does the same beside us

    def plan(self, _: object) -> SeriesPlan:
        return SeriesPlan({} if self.series is None else {"s": self.series})

    @property
    def now(self) -> int:
        return self.service.clock.now

    async def write(self, work: Callable[[Session], Any]) -> Any:
        """Do it; before that, mostly, be killed in it at some statement."""
        for _ in range(self.random.randint(0, 2)):
            statements = self.random.randint(0, 60)
            try:
                return await self.service.app[keys.DATABASE].write(
                    lambda session, n=statements: work(MortalSession(session, n))
                )
            except Killed:
                continue
        return await self.service.app[keys.DATABASE].write(work)

    async def step(self) -> None:
        act = self.random.choice(
            ["pass", "pass", "pass", "away", "edit", "by hand", "cancel", "gone", "back"]
        )
        if act == "pass":
            self.service.clock.now += self.random.randint(1, 3 * DAY)
        elif act == "away":
            self.service.clock.now += self.random.randint(10, 40) * DAY
        elif act == "edit":
            self.series, self.is_edited = a_series(self.random), True
        elif act == "gone":
            self.series, self.is_edited = None, True
        elif act == "back":
            self.service.clock.now -= self.random.randint(1, 3 * DAY)
            self.past = {number: row for number, row in self.past.items() if row.start <= self.now}
        else:
            await self.change(act)
        await self.make()

    async def change(self, act: str) -> None:
        rows = await self.service.app[keys.DATABASE].read(rows_of)
        coming = [row for row in rows if row.start > self.now and not row.is_closed]
        if not coming:
            return
        row, now = self.random.choice(coming), self.now
        if act == "cancel":
            await self.write(lambda session: maintenance.cancel(session, row.number, ADA, now))
        else:
            fields = {"start": row.start + HOUR, "end": row.end + 2 * HOUR}
            await self.write(lambda session: incidents.change(session, row.number, fields, ADA, now))

    async def make(self) -> None:
        now = self.now
        await self.write(lambda session: store.make_occurrences(session, self.plan, now))
        rows = await self.service.app[keys.DATABASE].read(rows_of)
        assert not await self.service.app[keys.DATABASE].read(store.is_due, self.plan, now)
        self.check(rows)
        self.made_at, self.is_edited = now, False
        self.past = {row.number: row for row in rows if row.start <= now}

    def check(self, rows: list[Row]) -> None:
        days = [row.day for row in rows]
        assert len(days) == len(set(days)), "an occurrence is there twice"
        by_number = {row.number: row for row in rows}
        for number, row in self.past.items():
            assert replace(by_number[number], is_closed=False) == replace(row, is_closed=False), (
                "the past changed"
            )
        coming = [row for row in rows if row.start > self.now]
        if self.series is None:
            assert all(row.is_closed for row in coming)
            return
        expected = [*occurrences(self.series, self.now + 1, self.now + AHEAD)]
        expected += next_occurrences(self.series, self.now, LEAST_AHEAD)
        if self.made_at is not None and not self.is_edited and self.made_at < self.now:
            expected += occurrences(self.series, self.made_at + 1, self.now)
        assert {each.day for each in expected} <= set(days), "an occurrence is missing"
        valid = {each.day: each for each in occurrences(self.series, self.now + 1, self.now + 800 * DAY)}
        for row in coming:
            if not row.is_changed and not row.is_closed:
                one = valid[row.day]
                assert (row.start, row.end, row.title) == (one.start, one.end, self.series.title)


def a_series(random: Random) -> MaintenanceSeries:
    rule = random.choice(RULES)
    return MaintenanceSeries(
        name="s",
        title=random.choice(["Updates", "Reboots"]),
        text="",
        tags=random.choice([("earth",), ("earth", "mars")]),
        begin=datetime(2026, 2, 1, random.randint(0, 23), 30) + timedelta(days=random.randint(0, 60)),
        zone=ZoneInfo(random.choice(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])),
        length=random.choice([HOUR, 3 * HOUR]),
        rule=parse_rule(rule),
        rule_text=rule,
    )


@pytest.mark.parametrize("seed", range(HISTORIES))
async def test_no_occurrence_is_twice_missing_or_rewritten(tmp_path: Path, seed: int) -> None:
    (tmp_path / "config.toml").write_text(HEAD)
    async with running(load(tmp_path / "config.toml", {}), FakeClock(START)) as service:
        history = History(service, Random(seed))
        await history.make()
        for _ in range(STEPS):
            try:
                await history.step()
            except Invalid:
                continue  # such as a change that would end it before it begins


# Killed for real


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    begin = datetime.now(UTC) + timedelta(days=1, hours=1)
    text = (
        a_process_config()
        + f"""
[[maintenance]]
name = "daily"
title = "Updates"
monitors = ["*"]
begin = {begin:%Y-%m-%dT%H:%M:%S}
length = "1h"
rrule = "FREQ=DAILY"
"""
    )
    server = Server(tmp_path, text)
    yield server
    server.kill()


def test_a_process_that_is_killed_at_any_moment_makes_each_once(server: Server) -> None:
    for seconds in SECONDS_OF_KILLS:
        server.launch()
        time.sleep(seconds)  # of the process's own clock: it is killed wherever it is then
        server.kill()
    server.start()
    with closing(sqlite3.connect(server.database)) as connection:
        days = [day for (day,) in connection.execute("SELECT substr(occurrence, 1, 10) FROM incidents")]
    assert len(days) == len(set(days)) == 13
