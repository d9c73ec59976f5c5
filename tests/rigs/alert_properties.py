"""Properties of alerts that hold in every history, and histories that are made to break one of them."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kener_async.domain.alerts import AlertRule, LatencyAbove, StatusIs
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings, OnChange
from kener_async.domain.samples import Status
from tests.rigs.alert_histories import (
    Away,
    Cover,
    Deciding,
    History,
    Judging,
    Pass,
    Reports,
    Rules,
    Step,
    T,
    Watcher,
    World,
    a_history,
    made_small,
)
from tests.rigs.alert_judge import BAD, BRIDGE, CUT, GOOD, JudgedEvent

MINUTE, DAY = 60, 86400
OPENINGS = ("opened", "flapping")
CLOSINGS = ("resolved", "retracted", "removed")

JUDGE = "the rule equals the independent judge"
RESTART = "a restart at any point changes no event"
INCIDENTS = "incidents change no event"
ALTERNATE = "opened and closed alternate"
MAINTENANCE = "nobody is told during a maintenance"
PRESENT = "an alert opens only while it is bad now"
EARLY = "no threshold is met early"
PAST = "what ended before it was known is never told"
ONCE = "down around a maintenance or our absence is told once"
RECOVERED = "recovered in a maintenance or in our absence is told once"
BATCHES = "order, splitting and repetition of batches change no event but 'retracted'"
BACKLOGS = "a backlog opens no alert about what is over"


@dataclass
class Findings:
    """The first fault of each property, and how often each event was seen."""

    faults: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    events: Counter[str] = field(default_factory=Counter)
    histories: int = 0
    looks: int = 0

    def add(self, other: "Findings") -> None:
        for name, faults in other.faults.items():
            self.faults[name] += faults
        self.events += other.events
        self.histories += other.histories
        self.looks += other.looks


def examine(seed: int) -> Findings:
    """Live through the random history of a seed, and hold every property against it."""
    found = Findings()
    history = a_history(seed)
    for name in _faults_of(history, found):
        found.faults[name].append(described(seed, history, name))
    return found


def described(seed: int, history: History, name: str) -> str:
    """A fault in words, in as short a history as still has it."""
    small = made_small(history, lambda shorter: name in _faults_of(shorter, Findings()))
    lines = [f"seed {seed}: {name}", str(small.settings), *map(str, small.rules), *map(str, small.steps)]
    watchers: dict[str, Watcher] = {"judge": Judging(), "rule": Deciding(), "rule, restarted": Deciding(300)}
    for who, events in zip(watchers, small.live(list(watchers.values())), strict=True):
        lines += [who, *(f"  {event.at - T:+} {event}" for event in events)]
    return "\n".join(lines)


def _faults_of(history: History, found: Findings) -> set[str]:
    broken: set[str] = set()
    is_open: set[str] = set()

    def each_look(world: World, logs: list[list[JudgedEvent]]) -> None:
        found.looks += 1
        judged, decided, restarted = logs
        found.events.update(event.what if event.is_told else f"{event.what} quietly" for event in decided)
        if judged != decided:
            broken.add(JUDGE)
        if decided != restarted:
            broken.add(RESTART)
        for event in decided:
            broken.update(_faults_at(event, world, is_open))

    _, decided, _ = history.live([Judging(), Deciding(), Deciding(300)], each_look)
    found.histories += 1
    changes = [step.rules for step in history.steps if isinstance(step, Rules)]
    rules = [rule for some in (history.rules, *changes) for rule in some]
    has_incidents = any(isinstance(step, Cover) and step.impact is not None for step in history.steps)
    if has_incidents and all(isinstance(rule.condition, StatusIs | LatencyAbove) for rule in rules):
        (without,) = history.without_impacts().live([Deciding()])
        if without != decided:
            broken.add(INCIDENTS)
    return broken


def _faults_at(event: JudgedEvent, world: World, is_open: set[str]) -> Iterator[str]:
    """What is wrong about an event by itself, seen from the minutes that were known when it happened."""
    if (event.what in OPENINGS) == (event.rule in is_open) and event.what != "settled":
        yield ALTERNATE
    if event.what in OPENINGS:
        is_open.add(event.rule)
    if event.what in CLOSINGS:
        is_open.discard(event.rule)
    if event.what == "removed":
        return
    now, known = world.now, world.known
    if known.is_in_maintenance(now):
        yield MAINTENANCE
    rule = next(rule for rule in world.rules if rule.name == event.rule)
    if not isinstance(rule.condition, StatusIs | LatencyAbove):
        return

    def words(start: int) -> str:
        minutes = range(start // MINUTE * MINUTE, now + 1, MINUTE)
        assert isinstance(rule.condition, StatusIs | LatencyAbove)
        return "".join(known.word(rule.condition, minute, now) for minute in minutes)

    if event.what in OPENINGS:
        spoken = words(known.first_minute()).rstrip(".")
        if not spoken.endswith(BAD):
            yield PRESENT
        if GOOD in words(event.since):
            yield PAST
        if not _is_time(words(now - rule.after), GOOD, rule.after) or not _is_count(world, rule, BAD):
            yield EARLY
    if event.what in CLOSINGS:
        after = rule.recover_after
        if not _is_time(words(now - after), BAD, after) or not _is_count(world, rule, GOOD):
            yield EARLY


def _is_time(words: str, other: str, seconds: int) -> bool:
    """Whether these minutes do not hold what would begin the time anew."""
    return seconds == 0 or (other not in words and CUT not in words)


def _is_count(world: World, rule: AlertRule, side: str) -> bool:
    """Whether enough reports came in since the last other side or cut, or one that was missed."""
    now, known = world.now, world.known
    assert isinstance(rule.condition, StatusIs | LatencyAbove)
    count = 0
    for minute in range(now // MINUTE * MINUTE, known.first_minute() - MINUTE, -MINUTE):
        word = known.word(rule.condition, minute, now)
        if word == BRIDGE:
            continue
        if word != side:
            break
        if minute in known.samples:
            count += 1
        elif side == BAD and not known.is_reported(minute, now):
            return True
    return count >= (rule.count if side == BAD else rule.recover_count)


# Histories that are made for one property

PLAIN = MonitorSettings()
BEAT = MonitorSettings(expectation=EveryInterval(60, 60, 240))
CHANGES = MonitorSettings(expectation=OnChange(3 * DAY))
IS_DOWN = StatusIs(Status.DOWN)


def minutes_of(status: Status, minutes: int) -> list[Step]:
    """A report in each of these minutes."""
    return [step for _ in range(minutes) for step in (Reports(((0, status, 0.2),)), Pass(MINUTE))]


def _pause(dice: random.Random) -> list[Step]:
    """A maintenance in which something or nothing is reported, or an absence of the server."""
    seconds = dice.choice((60, 61, 150, 600, 1800))
    if dice.random() < 0.5:
        return [Away(seconds), *([Away(dice.choice((5, 90)))] if dice.random() < 0.3 else [])]
    steps: list[Step] = [Cover(0, seconds)]
    reported = dice.choice((Status.UP, Status.DOWN, Status.DEGRADED, None))
    if reported is None:
        return [*steps, Pass(seconds)]
    return [*steps, *minutes_of(reported, -(-seconds // MINUTE))]


def _told(history: History, after: int = 0) -> list[str]:
    """What is told from an instant on."""
    (events,) = history.live([Deciding(300)])
    return [event.what for event in events if event.is_told and event.at >= T + after]


def _around(seed: int, after_it: Status, expected: list[str]) -> str | None:
    dice = random.Random(seed)
    rule = AlertRule("outage", IS_DOWN, after=dice.choice((0, 60, 120)), count=dice.choice((0, 1, 2)))
    steps = minutes_of(Status.UP, dice.randint(0, 3)) + minutes_of(Status.DOWN, dice.randint(4, 8))
    for _ in range(dice.randint(1, 3)):
        steps += _pause(dice)
    # A maintenance ends with its last minute, and what was reported in it is held after it.
    steps += [Pass(MINUTE), *minutes_of(after_it, dice.randint(4, 8))]
    told = _told(History(dice.choice((PLAIN, CHANGES)), (rule,), tuple(steps)))
    return None if told == expected else f"seed {seed}: told {told}"


def down_around_a_pause(seed: int) -> str | None:
    return _around(seed, Status.DOWN, ["opened"])


def recovered_in_a_pause(seed: int) -> str | None:
    return _around(seed, Status.UP, ["opened", "resolved"])


def batches(seed: int) -> str | None:
    """A backlog at once, and the same in another order, in pieces, and partly twice.

    It ends in the present, and while it is bad then no alert is open before it: a piece that ends in a
    recovery would close that. The first piece has a report that is late, which is how a backlog is known.
    """
    dice = random.Random(seed)
    was_silent = dice.random() < 0.5  # long enough for the silence to open an alert
    settings = BEAT if was_silent else PLAIN
    rule = AlertRule("outage", IS_DOWN, dice.choice((0, 60, 120)), dice.choice((0, 1, 2)))
    length = dice.randint(8, 40)
    begin: list[Step] = [*minutes_of(Status.UP, 3), Pass(length * MINUTE)]
    statuses = [dice.choice((Status.UP, Status.UP, Status.DOWN, Status.DEGRADED)) for _ in range(length)]
    if was_silent:
        statuses[0] = Status.UP
    reports = [(MINUTE * ago, status, 0.2) for ago, status in enumerate(statuses)]
    late = dice.choice(reports[3:])
    pieces = [[late], *([] for _ in range(dice.randint(1, 4)))]
    for report in (*dice.sample(reports, len(reports)), *dice.sample(reports, dice.randint(0, 4))):
        dice.choice(pieces).append(report)
    split: list[Step] = []
    for place, piece in enumerate(pieces):
        # One after the other, 5 s later each.
        split += [Reports(tuple((ago + 5 * place, status, it) for ago, status, it in piece)), Pass(5)]
    rest = Pass(5 * len(pieces))
    end = [Pass(30), *minutes_of(statuses[0], 5)]
    logs = []
    for arrival in ([Reports(tuple(reports)), rest], split):
        (events,) = History(settings, (rule,), (*begin, *arrival, *end)).live([Deciding(300)])
        logs.append(
            [(event.what.replace("retracted", "resolved"), event.since, event.is_told) for event in events]
        )
    return None if logs[0] == logs[1] else f"seed {seed}: at once {logs[0]}, in pieces {logs[1]}"


def backlog(seed: int, days: float) -> str | None:
    """A device that was offline sends all it measured meanwhile in random chunks; it is up now.

    It had outages, which are over. Nothing may open from the first chunk on.
    """
    dice = random.Random(seed)
    every = dice.choice((1, 1, 5, 15, 60)) * MINUTE
    settings = dice.choice(
        (PLAIN, CHANGES, MonitorSettings(expectation=EveryInterval(every, 2 * MINUTE, every + 10 * MINUTE)))
    )
    rule = AlertRule("outage", IS_DOWN, dice.choice((0, 0, 60, 300)), dice.choice((0, 1, 3)))
    seconds = int(dice.uniform(10 * MINUTE, days * DAY)) // MINUTE * MINUTE
    reports, status = [], Status.UP
    for ago in range(seconds, 0, -every):
        if dice.random() < 0.05:
            status = dice.choice((Status.UP, Status.DOWN, Status.DOWN, Status.DEGRADED))
        reports.append((ago, status, 0.2))
    reports.append((0, Status.UP, 0.2))
    order = dice.choice(("oldest first", "newest first", "shuffled"))
    if order == "newest first":
        reports.reverse()
    if order == "shuffled":
        dice.shuffle(reports)
    absence = Away(seconds) if settings is PLAIN else Leap(seconds)  # of the server, or of the device only
    steps: list[Step] = [Reports(((0, Status.UP, 0.2),)), absence]
    cuts = sorted(dice.sample(range(1, len(reports)), min(dice.randint(0, 25), len(reports) - 1)))
    passed = 0
    for start, end in zip([0, *cuts], [*cuts, len(reports)], strict=True):
        chunk = tuple((ago + passed, status, it) for ago, status, it in reports[start:end])
        pause = dice.randint(0, 25)
        steps += [Reports(chunk), Wait(pause)]
        passed += pause
    steps += [Reports(((0, Status.UP, 0.2),)), Pass(5 * MINUTE)]
    told = [what for what in _told(History(settings, (rule,), tuple(steps)), seconds) if what in OPENINGS]
    return f"seed {seed}: {order}, {days} days: told {told}" if told else None


@dataclass(frozen=True)
class Leap:
    """Time passes while the server is there, and nothing is looked at but once at its end."""

    seconds: int

    def take(self, world: World) -> None:
        world.now += self.seconds - 1
        world.look()
        world.now += 1
        world.last_seen = world.now


@dataclass(frozen=True)
class Wait:
    """Time passes, and at its end something makes the rule look again."""

    seconds: int

    def take(self, world: World) -> None:
        Pass(self.seconds).take(world)
        world.look()


def first_faults(check: Callable[[int], str | None], seeds: range) -> list[str]:
    return [fault for seed in seeds if (fault := check(seed)) is not None][:3]
