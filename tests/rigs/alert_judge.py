"""Judge alerts, one minute at a time, from what is known at each look.

The rule of alerts in docs/alerts.md is written down here as naively as possible: it walks back over single
minutes, keeps nothing that it could compute, and shares nothing with the code it is compared to except the
records of the settings. The status of a minute is that of tests/rigs/recount.py.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kener_async.domain.alerts import AlertRule, BurnRate, LatencyAbove, StatusIs, UptimeBelow
from kener_async.domain.heartbeats import Gap, Version
from kener_async.domain.incidents import Overlay
from kener_async.domain.samples import Sample, Status
from tests.rigs import recount

WINDOWS = {"24h": 86400, "7d": 7 * 86400, "30d": 30 * 86400, "90d": 90 * 86400}

GOOD, BAD, BRIDGE, CUT = "+", "-", ".", "|"


@dataclass
class Known:
    """What is known of one monitor; `changed` has to be called when anything but `late_report_at` changed.

    `parent` is the id of a parent that is bad; `parents_good_from` is since when all of them are good: None
    while one is not, 0 without any.
    """

    samples: dict[int, Sample] = field(default_factory=dict)
    overlays: list[Overlay] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    late_report_at: int | None = None
    parent: int | None = None
    parents_good_from: int | None = 0
    _words: dict[tuple[object, int], str] = field(default_factory=dict)

    def changed(self) -> None:
        self._words.clear()

    def status(self, minute: int, now: int, *, is_published: bool = False) -> Status:
        """As measured, or as published: with what incidents say."""
        return recount.minute_status(minute, **self._layers(now, is_published))

    def _layers(self, now: int, is_published: bool = False) -> dict[str, Any]:
        begun = [one for one in self.overlays if one.start <= now]
        return {
            "samples": self.samples,
            "overlays": [one for one in begun if one.maintenance or is_published],
            "versions": self.versions,
            "gaps": self.gaps,
            "starts": [start for start in self.starts if start <= now],
        }

    def first_minute(self) -> int:
        """Before it there is neither a sample nor a setting, so that nothing is good or bad."""
        return min([*self.samples, *(one.since // 60 * 60 for one in self.versions)])

    def word(self, condition: StatusIs | LatencyAbove, minute: int, now: int) -> str:
        """Whether a minute is good, bad, a bridge or a cut."""
        if minute + 60 > now:  # what this minute says may change while it lasts
            return self._word(condition, minute, now)
        if (condition, minute) not in self._words:
            self._words[condition, minute] = self._word(condition, minute, now)
        return self._words[condition, minute]

    def _word(self, condition: StatusIs | LatencyAbove, minute: int, now: int) -> str:
        status = self.status(minute, now)
        if status is Status.MAINTENANCE:
            return CUT
        if status is Status.NO_DATA:
            if not recount.is_observed(minute, **self._layers(now)):
                return CUT
            is_known = any(one.since < minute + 60 for one in self.versions)
            is_looked_for = isinstance(condition, StatusIs) and condition.status is Status.NO_DATA
            return BAD if is_looked_for and is_known else BRIDGE
        if isinstance(condition, LatencyAbove):
            sample = self.samples.get(minute) or self.held(minute, now)
            is_slow = sample is not None and sample.latency > condition.limit
            return BAD if is_slow or status is Status.DOWN else GOOD
        if condition.status is Status.NO_DATA:
            return GOOD
        worse = {Status.DOWN} if condition.status is Status.DOWN else {Status.DOWN, Status.DEGRADED}
        return BAD if status in worse else GOOD

    def held(self, minute: int, now: int) -> Sample | None:
        starts = [start for start in self.starts if start <= now]
        return recount.held_sample(
            minute, samples=self.samples, versions=self.versions, starts=starts, gaps=self.gaps
        )

    def is_reported(self, minute: int, now: int) -> bool:
        """Whether a minute has its status from a report or a default, not from a silence."""
        if self.status(minute, now) is Status.NO_DATA:
            return False
        if minute in self.samples or self.held(minute, now) is not None:
            return True
        settings = recount.settings_in_force(minute, self.versions)
        is_expected = settings is not None and settings.expectation is not None
        return not (is_expected and any(at < minute for at in self.samples))

    def is_backlog_coming_in(self, now: int) -> bool:
        return self.late_report_at is not None and 0 <= now - self.late_report_at <= 30

    def is_in_maintenance(self, now: int) -> bool:
        return any(
            one.maintenance and one.start <= now and (one.end is None or now < one.end)
            for one in self.overlays
        )


@dataclass(frozen=True)
class Streak:
    """The side that reaches the present, if there is one; while a cut is newer, nothing can be said."""

    side: str = ""
    since: int = 0
    counted_from: int = 0
    samples: int = 0
    is_countless: bool = False
    is_cut: bool = False

    def meets(self, after: int, count: int, now: int) -> bool:
        return max(now - self.counted_from, 0) >= after and (self.is_countless or self.samples >= count)


def streak(known: Known, condition: StatusIs | LatencyAbove, now: int) -> Streak:
    """Walk back from the current minute to the first one that says the opposite."""
    side, since, counted_from, samples = "", 0, 0, 0
    is_countless, is_cut, is_counting = False, False, True
    for minute in range(now // 60 * 60, known.first_minute() - 60, -60):
        word = known.word(condition, minute, now)
        if word == BRIDGE:
            continue
        if word == CUT:
            is_cut, is_counting = is_cut or not side, is_counting and not side
            continue
        if side and word != side:
            break
        side, since = word, minute
        if is_counting:
            is_sample = minute in known.samples
            counted_from = minute + 60 if is_sample else minute
            samples += is_sample
            if word == BAD and not is_sample:
                is_countless = is_countless or not known.is_reported(minute, now)
    return Streak(side, since, counted_from, samples, is_countless, is_cut)


def figure_side(known: Known, condition: UptimeBelow | BurnRate, now: int) -> str:
    """Good, bad, or empty: nothing is known, or it lies between the two limits."""
    if isinstance(condition, UptimeBelow):
        good, counted = _counts(known, WINDOWS[condition.window], now)
        if counted == 0:
            return ""
        percent = Decimal(recount.uptime_text(good, counted))
        if percent < Decimal(str(condition.percent)):
            return BAD
        return GOOD if percent >= Decimal(str(condition.recover_at)) else ""
    sides = set()
    for seconds in (condition.long, condition.short):
        good, counted = _counts(known, seconds, now)
        if counted == 0:
            sides.add("")
            continue
        used, budget = Decimal(counted - good) / counted, 1 - Decimal(str(condition.target)) / 100
        sides.add(BAD if used > 0 and used >= Decimal(str(condition.rate)) * budget else GOOD)
    return GOOD if GOOD in sides else "" if "" in sides else BAD


def _counts(known: Known, seconds: int, now: int) -> tuple[int, int]:
    """The good and all counted minutes of the window that ends with the current minute."""
    end = now // 60 * 60 + 60
    good = counted = 0
    for minute in range(max(end - seconds, known.first_minute()), end, 60):
        status = known.status(minute, now, is_published=True)
        settings = recount.settings_in_force(minute, known.versions)
        counted += status in (Status.UP, Status.DEGRADED, Status.DOWN)
        is_strict = settings is not None and settings.include_degraded_in_downtime
        good += status is Status.UP or (status is Status.DEGRADED and not is_strict)
    return good, counted


@dataclass
class JudgedAlert:
    """An alert as the judge remembers it."""

    since: int
    opened_at: int
    told_at: int | None = None
    reminded_at: int | None = None
    reminders: int = 0
    acknowledged_at: int | None = None
    snoozed_until: int | None = None
    closed_at: int | None = None


@dataclass(frozen=True)
class JudgedEvent:
    """What happened to an alert at a look; `is_told` is whether anybody hears of it.

    `what` is opened, told (one that opened quietly), reminded, resolved, retracted, removed, flapping or
    settled. `until` and `changes` are of closings and of the end of flapping.
    """

    at: int
    rule: str
    what: str
    since: int
    is_told: bool = True
    until: int | None = None
    changes: int = 0


class MonitorJudge:
    """Judge the rules of one monitor, by name; `events` has everything that happened."""

    def __init__(self) -> None:
        self.judges: dict[str, RuleJudge] = {}
        self.events: list[JudgedEvent] = []

    def look(self, now: int, known: Known, rules: list[AlertRule]) -> list[JudgedEvent]:
        """Look at all rules in their order; those that are gone are closed."""
        found: list[JudgedEvent] = []
        for name, judge in sorted(self.judges.items()):
            if name not in [rule.name for rule in rules]:
                found += judge.remove(now)
        for rule in rules:
            self.judges.setdefault(rule.name, RuleJudge(rule)).rule = rule
        judges = [self.judges[rule.name] for rule in rules]
        for judge in judges:
            found += judge.look(now, known, judges)
        self.events += found
        return found

    def acknowledge(self, now: int) -> None:
        for judge in self.judges.values():
            if judge.open is not None:
                judge.open.acknowledged_at = now

    def snooze(self, until: int) -> None:
        for judge in self.judges.values():
            if judge.open is not None:
                judge.open.snoozed_until = until

    def restart(self) -> None:
        """Forget what is kept in memory only: since when a figure is good or bad."""
        for judge in self.judges.values():
            judge.figure = Streak()


class RuleJudge:
    """Judge one rule of one monitor.

    The clock may be set back: instants of alerts that lie ahead of now are read as now.
    """

    def __init__(self, rule: AlertRule) -> None:
        self.rule = rule
        self.alerts: list[JudgedAlert] = []
        self.figure = Streak()
        self.changes: list[int] | None = None  # since the pair began to flap

    @property
    def open(self) -> JudgedAlert | None:
        return next((alert for alert in self.alerts if alert.closed_at is None), None)

    @property
    def is_flapping(self) -> bool:
        """Whether no opening or closing is told."""
        return self.rule.flapping and self.changes is not None

    def streak(self, now: int, known: Known) -> Streak:
        condition = self.rule.condition
        if isinstance(condition, StatusIs | LatencyAbove):
            return streak(known, condition, now)
        return self.figure

    def remove(self, now: int) -> list[JudgedEvent]:
        self.figure = Streak()
        alert = self.open
        if alert is None:
            return []
        alert.closed_at = now
        return [
            JudgedEvent(now, self.rule.name, "removed", min(alert.since, now), alert.told_at is not None, now)
        ]

    def look(self, now: int, known: Known, judges: list["RuleJudge"]) -> list[JudgedEvent]:
        self._look_at_figure(now, known)
        if known.is_in_maintenance(now):
            return []
        seen = self.streak(now, known)
        if not seen.side or seen.is_cut:
            return []
        found: list[JudgedEvent] = []
        if self.open is None:
            found += self._opening(now, known, seen, judges)
        elif seen.side == GOOD:
            found += self._closing(now, known, seen, self.open)
        found += self._settling(now, seen)
        if self.open is not None and seen.side == BAD:
            found += self._telling(now, known, seen, self.open)
        return found

    def _look_at_figure(self, now: int, known: Known) -> None:
        if isinstance(self.rule.condition, UptimeBelow | BurnRate):
            side = figure_side(known, self.rule.condition, now)
            if side and side != self.figure.side:
                self.figure = Streak(side, now, now, is_countless=True)

    def _opening(self, now: int, known: Known, seen: Streak, judges: list["RuleJudge"]) -> list[JudgedEvent]:
        rule = self.rule
        if seen.side != BAD or not seen.meets(rule.after, rule.count, now):
            return []
        if known.is_backlog_coming_in(now):
            return []
        lately = [alert for alert in self.alerts if now - alert.opened_at <= 3600]
        alert = JudgedAlert(seen.since, now)
        self.alerts.append(alert)
        silencer = self._silencer(now, known, judges)
        if silencer is not None:
            alert.acknowledged_at, alert.snoozed_until = silencer.acknowledged_at, silencer.snoozed_until
        is_quiet = silencer is not None or known.parent is not None or self.is_flapping
        begins_to_flap = rule.flapping and len(lately) >= 3 and not is_quiet
        if self.is_flapping or begins_to_flap:
            self.changes = [*(self.changes or []), now]
        if not is_quiet:
            alert.told_at = now
        what = "flapping" if begins_to_flap else "opened"
        return [JudgedEvent(now, rule.name, what, alert.since, not is_quiet)]

    def _silencer(self, now: int, known: Known, judges: list["RuleJudge"]) -> JudgedAlert | None:
        """The open alert of another rule for which a person's word holds here, too.

        An acknowledgement, then a snooze; both within the streak that the other alert is about.
        """
        bad: list[tuple[JudgedAlert, Streak]] = []
        for judge in judges:
            is_figure = isinstance(judge.rule.condition, UptimeBelow | BurnRate)
            if judge is not self and judge.open is not None and not is_figure:
                seen = judge.streak(now, known)
                if seen.side == BAD:
                    bad.append((judge.open, seen))
        for alert, seen in bad:
            if alert.acknowledged_at is not None and seen.since <= min(alert.acknowledged_at, now):
                return alert
        for alert, _ in bad:
            if alert.snoozed_until is not None and alert.snoozed_until > now:
                return alert
        return None

    def _closing(self, now: int, known: Known, seen: Streak, alert: JudgedAlert) -> list[JudgedEvent]:
        rule = self.rule
        if not seen.meets(rule.recover_after, rule.recover_count, now):
            return []
        what, until = "resolved", seen.since
        condition = rule.condition
        if isinstance(condition, StatusIs | LatencyAbove):
            minutes = range(min(alert.since, now) // 60 * 60, now // 60 * 60 + 60, 60)
            if not any(known.word(condition, minute, now) == BAD for minute in minutes):
                what, until = "retracted", min(alert.since, now)  # there was no outage
        alert.closed_at = now
        is_told = alert.told_at is not None and not self.is_flapping
        if self.is_flapping and self.changes is not None:
            self.changes.append(now)
        return [JudgedEvent(now, rule.name, what, min(alert.since, now), is_told, until)]

    def _settling(self, now: int, seen: Streak) -> list[JudgedEvent]:
        if not self.is_flapping or self.changes is None:
            return []
        is_side = seen.side == (GOOD if self.open is None else BAD)
        if not is_side or not seen.meets(self.rule.flap_quiet, 0, now):
            return []
        newest = self.alerts[-1]
        changed_at = newest.opened_at if newest.closed_at is None else newest.closed_at
        if changed_at <= now < changed_at + self.rule.flap_quiet:
            return []
        changes, self.changes = len(self.changes), None
        if self.open is not None:
            self.open.told_at = now
        return [JudgedEvent(now, self.rule.name, "settled", min(self.alerts[-1].since, now), changes=changes)]

    def _telling(self, now: int, known: Known, seen: Streak, alert: JudgedAlert) -> list[JudgedEvent]:
        rule = self.rule
        is_snoozed = alert.snoozed_until is not None and alert.snoozed_until > now
        if alert.acknowledged_at is not None or is_snoozed or self.is_flapping:
            return []
        if alert.told_at is None:
            good_from = known.parents_good_from
            if known.parent is not None or good_from is None or known.is_backlog_coming_in(now):
                return []
            if max(now - max(good_from, seen.counted_from), 0) < rule.after:
                return []
            alert.told_at = now
            return [JudgedEvent(now, rule.name, "told", min(alert.since, now))]
        last = alert.told_at if alert.reminded_at is None else max(alert.reminded_at, alert.told_at)
        if (
            not rule.remind_every
            or alert.reminders >= rule.remind_times
            or now - min(last, now) < rule.remind_every
        ):
            return []
        alert.reminded_at, alert.reminders = now, alert.reminders + 1
        return [JudgedEvent(now, rule.name, "reminded", min(alert.since, now))]
