"""A look at a monitor: what decides about its alerts besides its streaks and what is stored of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kener_async.domain.alert_streaks import AlertStreak, Side
from kener_async.domain.alerts import AlertRule, StatusIs
from kener_async.domain.samples import Status

PARENT_IS_BAD = StatusIs(Status.DEGRADED)  # or worse: then nobody is told of the monitors that depend on it


@dataclass(frozen=True, slots=True)
class AlertLook:
    """A monitor to decide about at `now`; `rules` that are gone leave none.

    `parents` are the ids of those it depends on. `late_report_at` is when a report of a backlog last came in,
    `figures` are the streaks of rules about figures, by name. `bad_now` of `monitors` are bad.
    """

    now: int
    monitor: int
    tag: str
    name: str = ""
    category: str = ""
    rules: tuple[AlertRule, ...] = ()
    parents: tuple[int, ...] = ()
    late_report_at: int | None = None
    figures: Mapping[str, AlertStreak] = field(default_factory=dict)
    bad_now: int = 0
    monitors: int = 0


def needs_earlier_of_parent(rule: AlertRule, streak: AlertStreak, now: int) -> bool:
    """Whether earlier minutes of a parent can change what it means for a rule."""
    if streak.is_whole or streak.is_cut:
        return False
    return streak.side is None or (streak.side is Side.GOOD and streak.elapsed(now) < rule.after)


def said_by_parents(streaks: Iterable[tuple[int, AlertStreak]]) -> tuple[int | None, int | None]:
    """A parent that is bad, and the instant from which all are good, None while one is not.

    Those of which nothing was ever known say nothing.
    """
    bad_parent: int | None = None
    good_from: int | None = 0
    for parent, streak in streaks:
        if streak.side is None:
            continue
        if streak.side is Side.BAD or not streak.speaks:
            good_from = None
            if streak.speaks:
                bad_parent = parent
        elif good_from is not None:
            good_from = max(good_from, streak.counted_from)
    return bad_parent, good_from
