"""A back-test of a rule equals what the evaluator did, when nothing was late (docs/alerts.md)."""

import json
import os
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kener_async import keys
from kener_async.api.manage import rules
from kener_async.cli import alerts as commands
from kener_async.cli.main import main
from kener_async.config.alert_plan import alert_plan
from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.domain.alert_streaks import StreakCondition
from kener_async.domain.alerts import Alert, AlertRule, Closing, LatencyAbove, StatusIs
from kener_async.domain.back_test_results import BackTest, planned
from kener_async.domain.back_tests import Replay, ReplayedAlert, stretches
from kener_async.domain.calendar import DAY, MINUTE, minute_end
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings, merged
from kener_async.domain.samples import Sample, Status
from kener_async.store import back_tests, monitors, notices, samples
from kener_async.store.back_tests import BackTestRun, replay
from kener_async.store.interface import Session
from tests.rigs.alert_histories import (
    EXPECTATIONS,
    STATUSES,
    Away,
    Begin,
    Cover,
    Deciding,
    History,
    Pass,
    Reports,
    Step,
    T,
    World,
    a_rule,
    a_setting,
    layers_of,
)
from tests.rigs.alerts import an_alert_config, look
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

HISTORIES = int(os.environ.get("KENER_HISTORIES", "0")) or 150


# Histories in which nothing is late: each report comes in right after its minute began.


def punctual_steps(dice: random.Random, length: int) -> list[Step]:
    is_nervous, status = dice.random() < 0.3, Status.UP
    steps: list[Step] = [Away(0)]  # the server starts
    for _ in range(length):
        report = None
        if dice.random() < (0.7 if is_nervous else 0.15):
            status = dice.choice(STATUSES)
        if dice.random() < 0.75:
            report = Reports(((0, status, dice.choice((0.2, 0.2, 1.5))),))
        steps.append(NextMinute(report))
        match dice.choices(range(5), (70, 5, 3, 4, 2))[0]:
            case 1:
                start = dice.choice((7, 45, 60, 200))
                steps.append(Cover(start, dice.choice((None, start + 20, start + 100, start + 600))))
            case 2:
                steps.append(EndMaintenance())
            case 3:
                steps.append(Away(dice.choice((5, 60, 90, 240, 700))))
                steps.append(dice.choice((NextMinute(), Return(status))))
            case 4:
                steps.append(Begin())
    return steps


@dataclass(frozen=True)
class NextMinute:
    """The next minute begins, and perhaps a report comes in."""

    report: Reports | None = None

    def take(self, world: World) -> None:
        Pass(-world.now % MINUTE or MINUTE).take(world)
        if self.report is not None:
            self.report.take(world)


@dataclass(frozen=True)
class Return:
    """A report comes in as soon as the server is back after a gap, in a minute without one."""

    status: Status

    def take(self, world: World) -> None:
        was_away = bool(world.known.gaps) and world.known.gaps[-1].end == world.now
        if was_away and world.now // MINUTE * MINUTE not in world.known.samples:
            Reports(((0, self.status, 0.2),)).take(world)


class EndMaintenance:
    """What is under way, and what is planned, ends within the minute."""

    def take(self, world: World) -> None:
        Pass(20).take(world)
        now = world.now
        world.known.overlays = [
            replace(one, end=max(one.start, now)) if one.end is None or one.end > now else one
            for one in world.known.overlays
        ]
        world.change()


def a_punctual_history(seed: int) -> History:
    dice = random.Random(seed)
    settings = a_setting(dice)
    rule = a_rule(dice, "outage")
    while not isinstance(rule.condition, StreakCondition):
        rule = a_rule(dice, "outage")
    return History(settings, (rule,), tuple(punctual_steps(dice, dice.randint(5, 120))))


def facts_of(alert: Alert) -> tuple[Any, ...]:
    """What a back-test says of an alert."""
    return tuple(
        value if not isinstance(value, int) or value < T else value - T
        for value in (
            alert.since,
            alert.opened_at,
            alert.told_at,
            alert.reminders,
            alert.because,
            alert.is_flapping,
            alert.settled_at,
            alert.until,
            alert.closed_at,
            alert.closing,
        )
    )


def replayed(world: World, rule: AlertRule) -> list[ReplayedAlert]:
    """The back-test by all that is known at the end."""
    assert isinstance(rule.condition, StreakCondition)
    start = world.known.first_minute()
    layers = layers_of(world.known, start, world.now).begun_by(world.now)
    replay = Replay(rule, 7, world.now, merged(world.known.gaps))
    for stretch in stretches(rule.condition, layers, start, minute_end(world.now)):
        replay.take(stretch)
    return list(replay.alerts)


def both(history: History) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The alerts of the rule as it looked each time, and those of the back-test afterwards."""
    evaluator, worlds = Deciding(), list[World]()
    history.live([evaluator], lambda world, events: worlds.append(world))
    would = [facts_of(found.alert) for found in replayed(worlds[-1], history.rules[0])]
    return [facts_of(alert) for alert in evaluator.rows], would


def test_a_back_test_equals_what_the_rule_did_when_nothing_was_late():
    ends, flapping, reminders = set[object](), 0, 0
    for seed in range(HISTORIES):
        history = a_punctual_history(seed)
        did, would = both(history)
        assert would == did, f"seed {seed}: {history.settings} {history.rules[0]}"
        ends.update(alert[-1] for alert in did)
        flapping += sum(alert[5] for alert in did)
        reminders += sum(alert[3] for alert in did)
    assert ends == {None, Closing.RESOLVED, Closing.RETRACTED}
    assert flapping
    assert reminders


# The same with the service: the evaluator, the store, rollups, a parent


RULES = {
    "outage": AlertRule("outage", StatusIs(Status.DOWN), to=("ops",)),
    "late": AlertRule("late", StatusIs(Status.DEGRADED), after=120, remind_every=300, to=("ops",)),
    "slow": AlertRule("slow", LatencyAbove(0.8), count=2, recover_count=2, flap_quiet=300, to=("ops",)),
}
CHILD = EveryInterval(60, 60, 300)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.timeout(120)
async def test_a_back_test_equals_what_the_evaluator_stored(seed: int, tmp_path: Path, clock: FakeClock):
    dice = random.Random(seed)
    settings = MonitorSettings(expectation=CHILD)
    monitors = (a_monitor("router", settings), a_monitor("earth", settings, depends_on=("router",)))
    config = an_alert_config(tmp_path, *RULES.values(), monitors=monitors)
    async with running(config, clock) as service:
        service.change("ingest", token_rate=0)
        await live(service, dice, 6 * 60)
        for name in RULES:
            found = await service.app[keys.DATABASE].read(result_of, name, config, clock.now)
            did = sorted(found.did, key=lambda alert: alert.id)
            would = sorted((one.alert for one in found.would), key=lambda alert: alert.opened_at)
            assert sorted(map(facts_of, would), key=repr) == sorted(map(facts_of, did), key=repr), name
            assert did
            told = await service.app[keys.DATABASE].read(notices_of, did)
            assert sum(len(one.notices) for one in found.would) == told, name


async def live(service: Service, dice: random.Random, minutes: int) -> None:
    """Hours of reports that come when their minute has begun, hours of them good, with a maintenance."""
    state = {"router": "UP", "earth": "UP"}
    for minute in range(minutes):
        await look(service, MINUTE - service.clock.now % MINUTE)
        is_calm = minute % 120 > 60
        for tag in state:
            if dice.random() < 0.15:
                state[tag] = dice.choice(("UP", "UP", "DOWN", "DEGRADED"))
        samples = [
            {"tag": tag, "status": "UP" if is_calm else status, "latency": dice.choice((0.2, 0.2, 1.5))}
            for tag, status in state.items()
            if is_calm or dice.random() < 0.9
        ]
        if is_calm:
            samples = [sample | {"latency": 0.2} for sample in samples]
        if samples:
            await service.post("/api/status/batch", {"samples": samples})
        await look(service)
        if minute == 30:
            start = service.clock.now + 7
            body = {"title": "x", "tags": ["earth"], "isMaintenance": True, "startDatetime": start}
            await service.post("/api/incident", body | {"endDatetime": start + 400})
        if minute % 15 == 14:
            await service.roll()


def result_of(session: Session, rule: str, config: Config, now: int) -> BackTest:
    run = BackTestRun(planned(alert_plan(config), rule, None, 30, now), monitors.tags(session))
    for monitor in config.monitors:
        run.test(session, monitor.tag)
    return run.result(session)


def notices_of(session: Session, alerts: list[Alert]) -> int:
    return sum(len(found) for found in notices.of_alerts(session, [alert.id for alert in alerts]).values())


@pytest.mark.parametrize("seed", range(24))
async def test_quarters_that_are_passed_over_change_nothing(
    seed: int, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    dice = random.Random(seed)
    settings = replace(a_setting(dice), expectation=dice.choice(EXPECTATIONS))
    config = a_config(tmp_path, a_monitor("earth", settings))
    every = dice.choice((1, 1, 2, 3, 5, 6, 7))
    rules = [a_punctual_history(dice.randrange(10**6)).rules[0] for _ in range(8)]
    async with running(config, clock) as service:
        service.pass_time(2 * DAY)
        minutes = sorted(
            dice.sample(range(NOON, clock.now, 60 * every), 2 * 1440 // every - dice.randint(1, 9))
        )
        bad = {dice.randrange(NOON, clock.now, 900) for _ in range(5)}
        await service.app[keys.DATABASE].write(
            samples.record,
            [
                Sample(1, minute, dice.choice(STATUSES) if minute // 900 * 900 in bad else Status.UP, 0.2)
                for minute in minutes
            ],
        )
        await service.roll()
        database = service.app[keys.DATABASE]
        passed: list[tuple[int, int]] = []

        def pass_good(self: Replay, start: int, end: int) -> None:
            passed.append((start, end))
            PASS(self, start, end)

        monkeypatch.setattr(Replay, "pass_good", pass_good)
        quick = [await database.read(replay, 1, rule, {}, NOON, clock.now) for rule in rules]
        assert passed or not settings.expectation or every > 1
        monkeypatch.setattr(back_tests, "_good_spans", lambda *args, **options: iter(()))
        assert quick == [await database.read(replay, 1, rule, {}, NOON, clock.now) for rule in rules]


PASS = Replay.pass_good


# The route and the command


@pytest.fixture
async def service(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Service]:
    plain = a_config(tmp_path, a_monitor("earth"), a_monitor("mars"))
    plain.file.write_text(plain.file.read_text() + FILE)
    async with running(load(plain.file, {}), clock) as running_service:
        running_service.token = await running_service.mint(scopes=("manage:read", "status:write"))
        for status in ("UP", "DOWN", "DOWN", "UP"):
            await look(running_service, MINUTE)
            for tag in ("earth", "mars"):
                await running_service.beat(tag, status)
            await look(running_service)
        yield running_service


FILE = """
[[monitors]]
tag = "earth"
[[monitors]]
tag = "mars"
[[channels]]
name = "ops"
kind = "command"
command = ["/bin/true"]
[[alerts]]
name = "outage"
to = ["ops"]
monitors = ["*"]
[[alerts]]
name = "promise"
uptime_below = 99
window = "24h"
to = ["ops"]
"""


async def test_the_route_says_what_would_have_been_beside_what_was(service: Service):
    answer = await service.post("/api/manage/rules/outage/back-test", None)
    assert answer["rule"] == "outage"
    assert answer["to"] - answer["from"] == 30 * DAY
    assert (answer["monitors"], answer["untested"], answer["messages"]) == (2, [], 4)
    assert (answer["wouldCount"], answer["didCount"], answer["onlyWould"], answer["onlyDid"]) == (2, 2, 0, 0)
    would = next(each for each in answer["would"] if each["monitor"] == "earth")
    did = next(each for each in answer["did"] if each["monitor"] == "earth")
    assert would["alertId"] == did["id"]
    assert {key: would[key] for key in ("since", "openedAt", "until", "closedAt", "closing", "toldAt")} == {
        key: did[key] for key in ("since", "openedAt", "until", "closedAt", "closing", "toldAt")
    }
    assert [message["kind"] for message in would["messages"]] == ["opened", "resolved"]
    assert (would["seconds"], would["quiet"]) == (120, None)


async def test_a_back_test_is_of_the_monitors_and_days_that_were_asked_for(service: Service):
    path = "/api/manage/rules/outage/back-test"
    answer = await service.post(path, {"days": 1, "monitors": ["mars"]})
    assert [each["monitor"] for each in answer["would"] + answer["did"]] == ["mars", "mars"]
    service.pass_time(2 * DAY)
    assert (await service.post(path, {"days": 1}))["would"] == []
    limited = await service.mint(scopes=("manage:read",), tags=("earth",))
    _, answer = await service.ask("POST", path, limited)
    assert {each["monitor"] for each in answer["would"] + answer["did"]} == {"earth"}


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("none", {}, 404, "there is no rule none, or it holds for no monitor"),
        ("promise", {}, 400, "a rule about an uptime or a burn rate cannot be back-tested"),
        ("outage", {"days": 91}, 400, "Invalid days: must be an integer from 1 to 90"),
        ("outage", {"days": "30"}, 400, "Invalid days: must be an integer from 1 to 90"),
        ("outage", {"monitors": "earth"}, 400, "Invalid monitors: must be a list of tags"),
        ("outage", {"monitors": ["pluto"]}, 400, "Invalid monitors: the rule outage does not hold for pluto"),
    ],
)
async def test_a_request_that_cannot_be_met_is_refused(
    service: Service, path: str, body: dict[str, Any], status: int, error: str
):
    answer = await service.ask("POST", f"/api/manage/rules/{path}/back-test", json=body)
    assert answer == (status, {"error": error})


async def test_monitors_beyond_the_time_are_named(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rules, "SECONDS_AT_MOST", -1.0)
    answer = await service.post("/api/manage/rules/outage/back-test", {})
    assert (answer["monitors"], answer["untested"], answer["would"]) == (0, ["earth", "mars"], [])


async def test_the_command_prints_a_row_for_each_alert(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(commands, "system_clock", service.clock)
    monkeypatch.delenv("KENER_CONFIG", raising=False)
    file = str(service.app[keys.RUNNING].config.file)
    await service.app[keys.DATABASE].write(
        lambda session: session.execute("DELETE FROM alerts WHERE monitor_id = 1")
    )
    done = CliRunner().invoke(main, ["alert", "back-test", "outage", "--config", file])
    assert done.stdout.splitlines() == [
        "monitor  since             until             for  would  messages  did",
        "mars     2025-12-31 12:02  2025-12-31 12:04  2m   tell   2         alert 2, resolved",
        "earth    2025-12-31 12:02  2025-12-31 12:04  2m   tell   2         nothing",
    ]
    assert done.stderr == "outage: would have told 2 alerts in 4 messages; had 1 alert\n"
    words = ["alert", "back-test", "outage", "--monitor", "mars", "--json", "--config", file]
    document = json.loads(CliRunner().invoke(main, words).stdout)
    assert [each["alertId"] for each in document["would"]] == [2]
    failed = CliRunner().invoke(main, ["alert", "back-test", "outage", "--monitor", "x", "--config", file])
    assert (failed.exit_code, failed.stderr) == (1, "Invalid monitors: the rule outage does not hold for x\n")
