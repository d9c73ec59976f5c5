"""A back-test of a rule equals what the evaluator did, when nothing was late (docs/alerts.md)."""

import os
import random
from dataclasses import dataclass, replace
from typing import Any

from kener_async.domain.alert_streaks import StreakCondition
from kener_async.domain.alerts import Alert, AlertRule, Closing
from kener_async.domain.back_tests import Replay, ReplayedAlert, stretches
from kener_async.domain.calendar import MINUTE, minute_end
from kener_async.domain.heartbeats import merged
from kener_async.domain.samples import Status
from tests.rigs.alert_histories import (
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
