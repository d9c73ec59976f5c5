"""Random histories of one monitor under alert rules, and what looks at them.

A history is a list of steps: reports in any order, maintenance that is made, moved and deleted, incidents,
new settings and rules, time that passes, a clock that jumps, absences of the server. After each step, and
once in every minute, all watchers look at what is known then.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from kener_async.clock import Cron
from kener_async.domain.alert_decisions import (
    FLAPPING_SPAN,
    AlertClosed,
    AlertContext,
    AlertEvent,
    AlertOpened,
    AlertReminded,
    AlertSettled,
    AlertTold,
    changed,
    decide,
    is_late_report,
    needs_earlier,
    opened_alert,
    removed,
    silencer,
)
from kener_async.domain.alert_figures import burn_side, figure_streak, uptime_side
from kener_async.domain.alert_streaks import NO_STREAK, AlertStreak, StreakCondition, measured_runs, streak_of
from kener_async.domain.alerts import Alert, AlertRule, BurnRate, LatencyAbove, StatusIs, UptimeBelow
from kener_async.domain.calendar import MINUTE, minute_end
from kener_async.domain.heartbeats import (
    AtSchedule,
    EveryInterval,
    Expectation,
    MonitorSettings,
    OnChange,
    Version,
    gap_between,
    merged,
)
from kener_async.domain.incidents import Overlay
from kener_async.domain.samples import Sample, Status
from kener_async.domain.timeline import Layers, count_span
from kener_async.domain.uptime import Counts
from tests.rigs.alert_judge import WINDOWS, JudgedEvent, Known, MonitorJudge

T = 1_767_182_400  # noon
MONITOR, PARENT = 7, 3
SLOW = 0.8

Report = tuple[int, Status, float]  # how many seconds ago, the status, the latency


# Steps


class Step(Protocol):
    def take(self, world: "World") -> None: ...


@dataclass(frozen=True)
class Reports:
    """Reports that come in together."""

    reports: tuple[Report, ...]

    def take(self, world: "World") -> None:
        for ago, status, latency in self.reports:
            minute = (world.now - ago) // MINUTE * MINUTE
            world.known.samples[minute] = Sample(MONITOR, minute, status, latency)
            if is_late_report(minute, world.now):
                world.known.late_report_at = world.now
        world.change()


@dataclass(frozen=True)
class Pass:
    """Time passes while the server is there."""

    seconds: int

    def take(self, world: "World") -> None:
        end = world.now + self.seconds
        while (world.now // MINUTE + 1) * MINUTE <= end:
            world.now = (world.now // MINUTE + 1) * MINUTE
            world.look()
        world.now = world.last_seen = end


@dataclass(frozen=True)
class Away:
    """The server is not running, or the machine sleeps."""

    seconds: int

    def take(self, world: "World") -> None:
        world.restart()
        world.now += self.seconds
        world.observe()


@dataclass(frozen=True)
class Jump:
    """The clock is set."""

    seconds: int

    def take(self, world: "World") -> None:
        world.now += self.seconds
        world.observe()


@dataclass(frozen=True)
class Cover:
    """A maintenance, or an incident with an impact, is written down; an end of None: it is open."""

    start: int
    end: int | None
    impact: Status | None = None
    is_maintenance: bool = True

    def take(self, world: "World") -> None:
        end = None if self.end is None else world.now + self.end
        number, start = next(world.numbers), world.now + self.start
        overlay = Overlay(number, start, end, self.impact, self.is_maintenance)
        world.known.overlays.append(overlay)
        world.change()


@dataclass(frozen=True)
class Recover:
    """A maintenance or an incident is moved, ended now, or deleted."""

    place: int
    how: str
    seconds: int

    def take(self, world: "World") -> None:
        overlays = world.known.overlays
        if not overlays:
            return
        place = self.place % len(overlays)
        one = overlays.pop(place)
        if self.how == "end":
            overlays.insert(place, replace(one, end=max(one.start, world.now)))
        if self.how == "move":
            end = None if one.end is None else one.end + self.seconds
            overlays.insert(place, replace(one, start=one.start + self.seconds, end=end))
        world.change()


@dataclass(frozen=True)
class Configure:
    """The settings of the monitor change."""

    settings: MonitorSettings

    def take(self, world: "World") -> None:
        if world.known.versions[-1].since <= world.now:  # the clock was not set back behind it
            world.known.versions.append(Version(world.now, self.settings))
        world.change()


@dataclass(frozen=True)
class Rules:
    """The rules change; those that are not there any more are gone."""

    rules: tuple[AlertRule, ...]

    def take(self, world: "World") -> None:
        world.rules = list(self.rules)
        world.look()


@dataclass(frozen=True)
class Begin:
    """The job of the monitor says that it began."""

    def take(self, world: "World") -> None:
        world.known.starts = sorted([*world.known.starts, world.now])
        world.change()


@dataclass(frozen=True)
class Parent:
    """A parent is measured good, bad, or nothing is known of it."""

    state: str

    def take(self, world: "World") -> None:
        known = world.known
        was_good = known.parents_good_from is not None
        known.parent = PARENT if self.state == "bad" else None
        if self.state != "good":
            known.parents_good_from = None
        elif not was_good:
            known.parents_good_from = world.now
        world.look()


@dataclass(frozen=True)
class Answer:
    """A person acknowledges all open alerts, or snoozes them for some seconds."""

    snooze: int | None = None

    def take(self, world: "World") -> None:
        for watcher in world.watchers:
            watcher.answer(world.now, self.snooze)
        world.look()


# What looks


class Watcher(Protocol):
    """What decides about alerts."""

    def look(self, now: int, known: Known, rules: list[AlertRule]) -> list[JudgedEvent]: ...

    def answer(self, now: int, snooze: int | None) -> None: ...

    def restart(self) -> None: ...


class Judging:
    """The independent judge."""

    def __init__(self) -> None:
        self.judge = MonitorJudge()

    def look(self, now: int, known: Known, rules: list[AlertRule]) -> list[JudgedEvent]:
        return self.judge.look(now, known, rules)

    def answer(self, now: int, snooze: int | None) -> None:
        if snooze is None:
            self.judge.acknowledge(now)
        else:
            self.judge.snooze(now + snooze)

    def restart(self) -> None:
        self.judge.restart()


class Deciding:
    """The rule under test, as its callers use it: alerts are rows, figures are kept in memory.

    At first `seconds` are looked at, and more where the rule asks for it; None: all there is.
    """

    def __init__(self, seconds: int | None = None) -> None:
        self.seconds = seconds
        self.rows: list[Alert] = []
        self.figures: dict[str, AlertStreak] = {}

    def open(self, rule: str) -> Alert | None:
        return next((row for row in self.rows if row.rule == rule and row.closed_at is None), None)

    def answer(self, now: int, snooze: int | None) -> None:
        for place, row in enumerate(self.rows):
            if row.closed_at is None and snooze is None:
                self.rows[place] = replace(row, acknowledged_at=now, acknowledged_by="Ada")
            elif row.closed_at is None and snooze is not None:
                self.rows[place] = replace(row, snoozed_until=now + snooze)

    def restart(self) -> None:
        self.figures.clear()

    def look(self, now: int, known: Known, rules: list[AlertRule]) -> list[JudgedEvent]:
        names = {rule.name for rule in rules}
        gone = [row for row in self.rows if row.closed_at is None and row.rule not in names]
        gone.sort(key=lambda row: row.rule)
        found = [self._store(row.rule, removed(row, now), now) for row in gone]
        for name in self.figures.keys() - names:
            del self.figures[name]
        for rule in rules:
            self._look_at_figure(rule, known, now)
        for rule in rules:
            while event := self.decide(rule, rules, known, now):
                found.append(self._store(rule, event, now))
        return found

    def decide(self, rule: AlertRule, rules: list[AlertRule], known: Known, now: int) -> AlertEvent | None:
        recent = [row for row in self.rows if row.rule == rule.name and row.closed_at is not None]
        if self.seconds is not None:  # as few as the rule asks for
            lately = [row for row in recent if row.opened_at >= now - FLAPPING_SPAN]
            recent = lately or recent[-1:]
        others = [one for one in rules if one.name != rule.name and self.open(one.name) is not None]
        context = AlertContext(
            now,
            known.late_report_at,
            known.is_in_maintenance(now),
            known.parent,
            known.parents_good_from,
            silencer([(one, self._opened(one), self._streak(one, known, now)) for one in others], now),
        )
        return decide(rule, self._streak(rule, known, now), self.open(rule.name), recent, context)

    def _opened(self, rule: AlertRule) -> Alert:
        row = self.open(rule.name)
        assert row is not None
        return row

    def _streak(self, rule: AlertRule, known: Known, now: int) -> AlertStreak:
        condition = rule.condition
        if not isinstance(condition, StreakCondition):
            return self.figures.get(rule.name, NO_STREAK)
        first = known.first_minute()
        seconds = now - first + MINUTE if self.seconds is None else self.seconds
        newest = next((row for row in reversed(self.rows) if row.rule == rule.name), None)
        while True:
            start = max((now - seconds) // MINUTE * MINUTE, first)
            layers = layers_of(known, start, now)
            streak = streak_of(condition, layers, measured_runs(layers, start, now))
            if start == first or not needs_earlier(rule, streak, start, newest, now):
                return streak
            seconds *= 4

    def _look_at_figure(self, rule: AlertRule, known: Known, now: int) -> None:
        condition = rule.condition
        if isinstance(condition, UptimeBelow):
            side = uptime_side(condition, counts_of(known, WINDOWS[condition.window], now))
        elif isinstance(condition, BurnRate):
            long, short = (counts_of(known, seconds, now) for seconds in (condition.long, condition.short))
            side = burn_side(condition, long, short)
        else:
            return
        self.figures[rule.name] = figure_streak(side, now, self.figures.get(rule.name, NO_STREAK))

    def _store(self, rule: AlertRule | str, event: AlertEvent, now: int) -> JudgedEvent:
        """Keep what an event changes, and say it in the judge's words."""
        if isinstance(event, AlertOpened):
            assert isinstance(rule, AlertRule)
            self.rows.append(opened_alert(event, len(self.rows) + 1, MONITOR, rule, now))
            what = "flapping" if event.is_flapping and not self._was_flapping(rule) else "opened"
            return JudgedEvent(now, rule.name, what, event.since, event.is_told)
        name = rule if isinstance(rule, str) else rule.name
        row = event.alert if isinstance(event, AlertSettled) else self.open(name)
        assert row is not None
        self.rows[row.id - 1] = changed(self.rows[row.id - 1], event, now)
        since = min(row.since, now)
        if isinstance(event, AlertClosed):
            return JudgedEvent(now, name, event.closing.name.lower(), since, event.is_told, event.until)
        if isinstance(event, AlertSettled):
            return JudgedEvent(now, name, "settled", since, changes=event.changes)
        what = {AlertTold: "told", AlertReminded: "reminded"}[type(event)]
        return JudgedEvent(now, name, what, since)

    def _was_flapping(self, rule: AlertRule) -> bool:
        earlier = [row for row in self.rows[:-1] if row.rule == rule.name]
        return bool(earlier) and earlier[-1].is_flapping and earlier[-1].settled_at is None


def layers_of(known: Known, start: int, now: int) -> Layers:
    """The layers from a minute on, as the store would give them."""
    samples = {minute: sample for minute, sample in known.samples.items() if minute >= start}
    earlier = max((minute for minute in known.samples if minute < start), default=None)
    return Layers(
        samples,
        None if earlier is None else known.samples[earlier],
        known.overlays,
        known.versions,
        merged(known.gaps),
        [instant for instant in known.starts if instant <= now],
    )


def counts_of(known: Known, seconds: int, now: int) -> Counts:
    """The counts of the window that ends with the current minute, as published."""
    end = minute_end(now)
    layers = layers_of(known, end - seconds, now).begun_by(now)
    return count_span(layers, max(end - seconds, known.first_minute()), end)


# A world in which a history happens


@dataclass
class World:
    """What is known at `now`; `each_look` is called after every look, with what each watcher said."""

    watchers: Sequence[Watcher]
    rules: list[AlertRule]
    known: Known
    each_look: Callable[["World", list[list[JudgedEvent]]], None]
    now: int = T
    last_seen: int = T
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def change(self) -> None:
        self.known.changed()
        self.look()

    def look(self) -> None:
        self.each_look(self, [one.look(self.now, self.known, self.rules) for one in self.watchers])

    def restart(self) -> None:
        for watcher in self.watchers:
            watcher.restart()

    def observe(self) -> None:
        """Look again after an absence, or after the clock was set."""
        gap = gap_between(self.last_seen, self.now)
        if gap is not None:
            self.known.gaps.append(gap)
        self.last_seen = self.now
        self.change()


@dataclass(frozen=True)
class History:
    """Settings and rules at the start, and what happens then."""

    settings: MonitorSettings
    rules: tuple[AlertRule, ...]
    steps: tuple[Step, ...]

    def live(
        self,
        watchers: Sequence[Watcher],
        each_look: Callable[[World, list[list[JudgedEvent]]], None] = lambda world, events: None,
    ) -> list[list[JudgedEvent]]:
        """Live through it; the events of each watcher."""
        log: list[list[JudgedEvent]] = [[] for _ in watchers]

        def noted(world: World, events: list[list[JudgedEvent]]) -> None:
            for place, new in enumerate(events):
                log[place] += new
            each_look(world, events)

        world = World(watchers, list(self.rules), Known(versions=[Version(T, self.settings)]), noted)
        for step in self.steps:
            step.take(world)
        return log

    def without_impacts(self) -> "History":
        """The same, but the incidents say nothing of any minute."""
        steps = [replace(step, impact=None) if isinstance(step, Cover) else step for step in self.steps]
        return replace(self, steps=tuple(steps))


def made_small(history: History, fails: Callable[[History], bool]) -> History:
    """Leave out steps as long as it still fails."""
    width = max(len(history.steps) // 2, 1)
    while True:
        for start in range(0, len(history.steps), width):
            shorter = replace(history, steps=history.steps[:start] + history.steps[start + width :])
            if fails(shorter):
                return made_small(shorter, fails)
        if width == 1:
            return history
        width //= 2


# Random ones

EXPECTATIONS: tuple[Expectation | None, ...] = (
    None,
    EveryInterval(60, 60, 240),
    EveryInterval(300, 60, 600),
    EveryInterval(60, 60, 120),  # DOWN at once
    EveryInterval(120, 0, 300),
    OnChange(600),
    AtSchedule(Cron("*/5 * * * *"), 60, 240, 5),
)
CONDITIONS = (
    *(5 * (StatusIs(Status.DOWN),)),
    *(3 * (StatusIs(Status.DEGRADED),)),
    StatusIs(Status.NO_DATA),
    LatencyAbove(SLOW),
    LatencyAbove(SLOW),
    UptimeBelow(90.0, "24h", 90.0),
    UptimeBelow(90.0, "24h", 95.0),
    BurnRate(2.0, 90.0, 1200, 300),
)
WEIGHTS = (50, 10, 5, 5, 2, 4, 4, 2, 2, 1, 3, 3, 3)  # of the steps in `_a_step`
STATUSES = (Status.UP, Status.DOWN, Status.DOWN, Status.DEGRADED)


def a_setting(dice: random.Random) -> MonitorSettings:
    return MonitorSettings(
        default_status=dice.choice((None, None, None, Status.UP, Status.DOWN)),
        include_degraded_in_downtime=dice.random() < 0.2,
        expectation=dice.choice(EXPECTATIONS),
    )


def a_rule(dice: random.Random, name: str) -> AlertRule:
    return AlertRule(
        name,
        dice.choice(CONDITIONS),
        after=dice.choice((0, 0, 0, 60, 120, 300)),
        count=dice.choice((0, 1, 1, 1, 2, 3)),
        recover_after=dice.choice((0, 0, 0, 60, 180)),
        recover_count=dice.choice((0, 1, 1, 1, 2)),
        remind_every=dice.choice((0, 60, 120, 600)),
        remind_times=dice.choice((20, 2)),
        flapping=dice.random() < 0.8,
        flap_quiet=dice.choice((120, 300, 900)),
    )


def some_rules(dice: random.Random) -> tuple[AlertRule, ...]:
    names = dice.choice((["outage"], ["outage"], ["outage", "slow"]))
    return tuple(a_rule(dice, name) for name in names)


def a_history(seed: int, steps: int = 30) -> History:
    """The same one for the same seed."""
    dice = random.Random(seed)
    settings, rules = a_setting(dice), some_rules(dice)
    is_nervous = dice.random() < 0.3  # changes its status with nearly every report
    weights = list(WEIGHTS)
    weights[dice.randrange(len(weights))] += 15  # some of them have much of one thing
    made: list[Step] = []
    for _ in range(dice.randint(5, steps)):
        made.append(_a_step(dice, weights, rules, is_nervous))
        if dice.random() < 0.7:
            made.append(Pass(dice.choice((7, 20, 60, 60, 60, 100, 300))))
    return History(settings, rules, tuple(made))


def _a_step(
    dice: random.Random, weights: Sequence[int], rules: tuple[AlertRule, ...], is_nervous: bool
) -> Step:
    match dice.choices(range(13), weights)[0]:
        case 0:
            status = dice.choice((Status.UP, Status.DOWN) if is_nervous else STATUSES)
            return Reports(((0, status, dice.choice((0.2, 0.2, 1.5))),))
        case 1:
            return a_backlog(dice)
        case 2:
            start, end = dice.choice((-300, 0, 0, 45, 120)), dice.choice((None, 20, 100, 300, 900))
            return Cover(start, end if end is None else max(start, end))
        case 3:
            start, end = dice.choice((-300, 0, 0)), dice.choice((None, 60, 300))
            return Cover(start, end, dice.choice((Status.DOWN, Status.DEGRADED)), is_maintenance=False)
        case 4:
            return Recover(dice.randrange(9), "move", dice.choice((-600, -100, 100, 600)))
        case 5:
            return Recover(dice.randrange(9), dice.choice(("end", "end", "delete")), 0)
        case 6:
            return Away(dice.choice((1, 10, 59, 60, 90, 200, 700)))
        case 7:
            return Jump(dice.choice((-300, -90, -5, 5, 120, 600)))
        case 8:
            return Configure(a_setting(dice))
        case 9:
            return Begin()
        case 10:
            return Rules(dice.choice((rules, (), some_rules(dice), some_rules(dice))))
        case 11:
            return Parent(dice.choice(("good", "good", "bad", "bad", "unknown")))
        case _:
            return Answer(dice.choice((None, 60, 300)))


def a_backlog(dice: random.Random) -> Reports:
    """Reports of the last minutes, from a device that was offline."""
    oldest = dice.choice((180, 300, 900, 3000))
    reports = [
        (ago, dice.choice(STATUSES), dice.choice((0.2, 1.5)))
        for ago in dice.sample(range(0, oldest, 60), dice.randint(1, min(8, oldest // 60)))
    ]
    dice.shuffle(reports)
    return Reports(tuple(reports))
