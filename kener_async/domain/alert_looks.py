"""A look at a monitor: what decides about its alerts besides its streaks and what is stored of them."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import assert_never

from kener_async.domain.alert_decisions import silencer
from kener_async.domain.alert_streaks import AlertStreak, Side
from kener_async.domain.alerts import (
    Alert,
    AlertRule,
    BurnRate,
    CertificateWithin,
    LatencyAbove,
    StatusIs,
    UptimeBelow,
)
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Layers

PARENT_IS_BAD = StatusIs(Status.DEGRADED)  # or worse: then nobody is told of the monitors that depend on it


@dataclass(frozen=True, slots=True)
class AlertLook:
    """A monitor to decide about at `now`; `rules` that are gone leave none.

    `parents` are the ids of those it depends on. `late_report_at` is when a report of a backlog last came in,
    `figures` are the streaks of rules about figures, by name. `failing_parents` are those with a run under
    way whose newest attempt was bad; `awaits_parents`: they are being checked just now.
    """

    now: int
    monitor: int
    tag: str = ""
    name: str = ""
    category: str = ""
    rules: tuple[AlertRule, ...] = ()
    parents: tuple[int, ...] = ()
    late_report_at: int | None = None
    figures: Mapping[str, AlertStreak] = field(default_factory=dict)
    failing_parents: frozenset[int] = frozenset()
    awaits_parents: bool = False


def good_latency(rules: Iterable[AlertRule]) -> float:
    """Up to which latency a sample that is UP is good for all of these rules but those about figures."""
    limits = [inf]
    for rule in rules:
        match rule.condition:
            case LatencyAbove(limit):
                limits.append(limit)
            case StatusIs() | UptimeBelow() | BurnRate() | CertificateWithin():
                pass
            case _:
                assert_never(rule.condition)
    return min(limits)


def silenced_by(
    rule: AlertRule,
    rules: Iterable[AlertRule],
    open_alerts: Mapping[str, Alert],
    streaks: Mapping[str, AlertStreak],
    now: int,
) -> Alert | None:
    """The open alert of another rule of the monitor that keeps this one quiet; alerts, streaks by rule."""
    others = [other for other in rules if other.name in open_alerts and other.name != rule.name]
    return silencer([(other, open_alerts[other.name], streaks[other.name]) for other in others], now)


def is_in_maintenance(layers: Layers, now: int) -> bool:
    """Whether a maintenance of the monitor is under way."""
    return any(overlay.maintenance and overlay.active_at(now) for overlay in layers.overlays)


def needs_earlier_of_parent(rule: AlertRule, streak: AlertStreak, now: int) -> bool:
    """Whether earlier minutes of a parent can change what it means for a rule."""
    if streak.is_whole or streak.is_cut:
        return False
    return streak.side is None or (streak.side is Side.GOOD and streak.elapsed(now) < rule.after)


def said_by_parents(
    streaks: Iterable[tuple[int, AlertStreak]], failing: Container[int] = frozenset()
) -> tuple[int | None, int | None]:
    """A parent that is bad, and the instant from which all are good, None while one is not.

    Those of which nothing was ever known say nothing. `failing` are those whose check fails and is about to
    be confirmed: they count as bad.
    """
    bad_parent: int | None = None
    good_from: int | None = 0
    for parent, streak in streaks:
        if parent in failing:
            bad_parent, good_from = parent, None
            continue
        if streak.side is None:
            continue
        if streak.side is Side.BAD or not streak.speaks:
            good_from = None
            if streak.speaks:
                bad_parent = parent
        elif good_from is not None:
            good_from = max(good_from, streak.counted_from)
    return bad_parent, good_from
