"""Errors of our own that keep checks from measuring: known by monitor, and logged once for each change."""

from collections.abc import Container
from typing import NamedTuple

import structlog

from kener_async.domain.calendar import HOUR
from kener_async.domain.checks import Attempt, Obstacle

log = structlog.get_logger(__name__)

# Those of the whole process, which one line in the log names for all monitors.
SHARED = frozenset(
    {Obstacle.FILES, Obstacle.MEMORY, Obstacle.ADDRESS, Obstacle.STALL, Obstacle.NAMES, Obstacle.OFFLINE}
)

NEWS_AGAIN = 12 * HOUR  # seconds: `status` and `doctor` read what was stored within a day


class KnownObstacle(NamedTuple):
    """Why the last attempt was not measured; `told_at` is the attempt, in UTC seconds, that was last news."""

    obstacle: Obstacle
    reason: str
    told_at: float


class Obstacles:
    """What kept the last attempt of each monitor's check from measuring."""

    def __init__(self) -> None:
        self._known: dict[str, KnownObstacle] = {}  # by tag

    def reason(self, tag: str) -> str:
        """Why the last attempt was not measured; empty if it was."""
        known = self._known.get(tag)
        return "" if known is None else known.reason

    def note(self, tag: str, attempt: Attempt) -> bool:
        """Take note of an attempt; whether it is news: another obstacle, or the same one for half a day."""
        before = self._known.get(tag)
        if attempt.obstacle is None:
            if before is not None:
                self._clear(tag)
            return before is not None
        if not self._is_logged(attempt.obstacle, tag):
            log.warning(
                "checks cannot be measured", why=attempt.obstacle.value, monitor=tag, reason=attempt.reason
            )
        told_at = attempt.at
        if before is not None and before.obstacle is not attempt.obstacle:
            self._clear(tag)
        elif before is not None and abs(attempt.at - before.told_at) < NEWS_AGAIN:
            told_at = before.told_at
        self._known[tag] = KnownObstacle(attempt.obstacle, attempt.reason, told_at)
        return told_at == attempt.at

    def keep_only(self, tags: Container[str]) -> None:
        """Drop those of monitors that have no check any more."""
        self._known = {tag: known for tag, known in self._known.items() if tag in tags}

    def _is_logged(self, obstacle: Obstacle, tag: str) -> bool:
        if obstacle in SHARED:
            return any(known.obstacle is obstacle for known in self._known.values())
        known = self._known.get(tag)
        return known is not None and known.obstacle is obstacle

    def _clear(self, tag: str) -> None:
        obstacle = self._known.pop(tag).obstacle
        if not self._is_logged(obstacle, tag):
            log.info("checks can be measured again", why=obstacle.value, monitor=tag)
