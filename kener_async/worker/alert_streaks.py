"""Streaks of alert rules in memory: of the minutes at hand, and of earlier ones read when they matter."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from kener_async.domain.alert_streaks import NO_STREAK, AlertStreak, StreakCondition, streak_of
from kener_async.domain.alerts import Alert
from kener_async.domain.states import MonitorState
from kener_async.domain.timeline import Run
from kener_async.store import alert_streaks
from kener_async.store.interface import Database

NeedsEarlier = Callable[[AlertStreak, int], bool]  # given a streak and its first minute
Key = tuple[int, StreakCondition]


@dataclass(frozen=True, slots=True)
class EarlierStreak:
    """The streak at the end of the minutes `[start, end)`; `start` 0: of all that is stored."""

    start: int
    end: int
    streak: AlertStreak


class EarlierStreaks:
    """The streaks before the minutes that monitor states hold, kept until something of them changes.

    So a monitor that has been DOWN for five days does not have five days read each minute: when its state
    moves on by a quarter, that quarter is read.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._earlier: dict[int, dict[StreakCondition, EarlierStreak]] = {}

    def forget(self, monitors: Iterable[int]) -> None:
        """Drop those of monitors of which something before may have changed."""
        for monitor in monitors:
            self._earlier.pop(monitor, None)

    def note_reports(self, oldest: Mapping[int, int]) -> None:
        """Drop those that reports are about, given the oldest minute by monitor."""
        for monitor, minute in oldest.items():
            kept = self._earlier.get(monitor)
            if kept and any(minute < earlier.end for earlier in kept.values()):
                del self._earlier[monitor]

    def clear(self) -> None:
        """Drop all: the monitors and the conditions of which any are needed may have changed."""
        self._earlier.clear()

    async def streak(
        self,
        state: MonitorState,
        condition: StreakCondition,
        minutes: Sequence[Run],
        alert: Alert | None,
        needs_earlier: NeedsEarlier,
    ) -> AlertStreak:
        """The streak of a condition at the end of the state's minutes, with earlier ones if it needs them.

        `alert` is the newest of the pair of monitor and rule.
        """

        def streak_after(earlier: AlertStreak) -> AlertStreak:
            return streak_of(condition, state.layers, minutes, earlier)

        def is_enough(earlier: AlertStreak, start: int) -> bool:
            return not start or not needs_earlier(streak_after(earlier), start)

        if is_enough(NO_STREAK, state.base):
            return streak_after(NO_STREAK)
        kept = self._earlier.get(state.id, {}).get(condition)
        if kept is not None and kept.end < state.base:
            streak = await self._database.read(
                alert_streaks.extended, state.id, condition, kept.streak, kept.end, state.base
            )
            kept = EarlierStreak(kept.start, state.base, streak)
        if kept is None or kept.end != state.base or not is_enough(kept.streak, kept.start):
            streak, start = await self._database.read(
                alert_streaks.before, state.id, condition, state.base, alert, is_enough
            )
            kept = EarlierStreak(start, state.base, streak)
        self._earlier.setdefault(state.id, {})[condition] = kept
        return streak_after(kept.streak)
