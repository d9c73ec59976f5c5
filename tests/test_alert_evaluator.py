"""The evaluator on a real database tells what the independent judge tells, also when it is restarted."""

import asyncio
import os
import random
import sqlite3
import tempfile
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.domain.alert_decisions import is_late_report
from kener_async.domain.alerts import AlertRule
from kener_async.domain.calendar import MINUTE
from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.notices import NoticeKind
from tests.rigs.alert_histories import (
    STATUSES,
    Away,
    Cover,
    Pass,
    Recover,
    Reports,
    Step,
    a_backlog,
    a_rule,
    a_setting,
)
from tests.rigs.alert_judge import JudgedEvent, Known, MonitorJudge
from tests.rigs.alert_properties import IS_DOWN, minutes_of
from tests.rigs.alerts import an_alert_config
from tests.rigs.service import NOON, FakeClock, Service, a_monitor, running
from tests.test_histories import Stored

HISTORIES = int(os.environ.get("KENER_HISTORIES", "0")) or 6
TOLD_AS = {"told": "OPENED"}


class Run:
    """A service with one monitor and one rule; the judge looks at what is stored when the evaluator does."""

    def __init__(self, folder: Path, settings: MonitorSettings, rule: AlertRule) -> None:
        self.rule = replace(rule, to=("ops",))
        self.config = an_alert_config(folder, self.rule, monitors=(a_monitor("earth", settings),))
        self.clock = FakeClock()
        self.judge = MonitorJudge()
        self.late_report_at: int | None = None
        self.maintenance: list[int] = []
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        self.service: Service = await self._stack.enter_async_context(running(self.config, self.clock))
        await self.look()

    async def stop(self) -> None:
        await self._stack.aclose()

    async def restart(self, seconds: int) -> None:
        await self.stop()
        self.clock.now += seconds
        await self.start()

    async def look(self) -> None:
        """Once; the evaluator may have looked by itself, at the same instant."""
        await self.service.app[keys.ALERTS].look()
        stored = Stored(self.config.database.path)
        layers = stored.of("earth", self.clock.now)
        self.judge.look(self.clock.now, Known(**layers, late_report_at=self.late_report_at), [self.rule])

    async def take(self, step: Step) -> None:
        now = self.clock.now
        match step:
            case Reports(reports):
                samples = [
                    {
                        "tag": "earth",
                        "status": status.name,
                        "latency": latency,
                        "timestampInSeconds": now - ago,
                    }
                    for ago, status, latency in reports
                ]
                await self.service.post("/api/status/batch", {"samples": samples})
                if any(is_late_report((now - ago) // MINUTE * MINUTE, now) for ago, _, _ in reports):
                    self.late_report_at = now
            case Pass(seconds):
                while (self.clock.now // MINUTE + 1) * MINUTE <= now + seconds:
                    self.service.pass_time(MINUTE - self.clock.now % MINUTE)
                    await self.look()
                self.service.pass_time(now + seconds - self.clock.now)
                return
            case Cover(start, end):
                body = {"title": "x", "tags": ["earth"], "isMaintenance": True, "startDatetime": now + start}
                if end is not None:
                    body["endDatetime"] = now + end
                created = await self.service.post("/api/incident", body)
                self.maintenance.append(created["incidentNumber"])
            case Recover(place) if self.maintenance:
                number = self.maintenance[place % len(self.maintenance)]
                await self.service.post(f"/api/incident/{number}/status", {"isResolved": True})
            case Away(seconds):
                await self.restart(seconds)
                return
        await self.look()

    def told(self) -> list[tuple[int, str]]:
        with closing(sqlite3.connect(self.config.database.path)) as connection:
            rows = connection.execute("SELECT at, kind FROM notices ORDER BY id").fetchall()
        return [(at - NOON, NoticeKind(kind).name) for at, kind in rows]

    def judged(self) -> list[tuple[int, str]]:
        told = [event for event in self.judge.events if event.is_told]
        return [(event.at - NOON, kind_of(event)) for event in told]


def kind_of(event: JudgedEvent) -> str:
    return TOLD_AS.get(event.what, event.what.upper())


def a_history(seed: int) -> tuple[MonitorSettings, AlertRule, list[Step]]:
    """One whose steps the routes of the API can take."""
    dice = random.Random(seed)
    rule = replace(a_rule(dice, "outage"), condition=IS_DOWN)
    settings, is_nervous = a_setting(dice), dice.random() < 0.3
    steps: list[Step] = []
    for _ in range(dice.randint(8, 25)):
        match dice.choices(range(5), (50, 8, 8, 6, 6))[0]:
            case 0:
                steps += minutes_of(dice.choice(STATUSES), 1 if is_nervous else dice.randint(1, 4))
            case 1:
                steps.append(a_backlog(dice))
            case 2:
                steps.append(Cover(dice.choice((0, 0, 60)), dice.choice((None, 100, 300, 900))))
            case 3:
                steps.append(Recover(dice.randrange(9), "end", 0))
            case _:
                steps.append(Away(dice.choice((5, 20, 90, 700))))
        steps.append(Pass(dice.choice((31, 60, 100))))
    return settings, rule, steps


async def lived(seed: int, folder: Path, *, with_restarts: bool) -> tuple[Any, Any]:
    """What was told, and what should have been; perhaps with a restart after every step."""
    settings, rule, steps = a_history(seed)
    run = Run(folder, settings, rule)
    await run.start()
    try:
        for step in steps:
            await run.take(step)
            if with_restarts and isinstance(step, Pass):
                await run.restart(0)
        return run.told(), run.judged()
    finally:
        await run.stop()


@pytest.mark.timeout(0 if HISTORIES > 100 else 300)
@pytest.mark.parametrize("with_restarts", [False, True], ids=["running on", "restarted after every step"])
def test_the_evaluator_tells_what_the_judge_tells(with_restarts: bool) -> None:
    count = 0
    for seed in range(max(HISTORIES // 3, 1) if with_restarts else HISTORIES):
        with tempfile.TemporaryDirectory() as folder:
            told, judged = asyncio.run(lived(seed, Path(folder), with_restarts=with_restarts))
        assert told == judged, f"seed {seed}"
        count += len(told)
    assert count > 0
