"""Errors of our own that keep checks from measuring: known by monitor, and logged once for each change."""

from collections.abc import Container

import structlog

from kener_async.domain.checks import Attempt, Obstacle

log = structlog.get_logger(__name__)

# Those of the whole process, which one line in the log names for all monitors.
SHARED = frozenset(
    {Obstacle.FILES, Obstacle.MEMORY, Obstacle.ADDRESS, Obstacle.STALL, Obstacle.NAMES, Obstacle.OFFLINE}
)


class Obstacles:
    """What kept the last attempt of each monitor's check from measuring."""

    def __init__(self) -> None:
        self._reasons: dict[str, tuple[Obstacle, str]] = {}  # by tag

    def reason(self, tag: str) -> str:
        """Why the last attempt was not measured; empty if it was."""
        return self._reasons.get(tag, (None, ""))[1]

    def note(self, tag: str, attempt: Attempt) -> bool:
        """Take note of an attempt; whether the obstacle of its monitor changed."""
        before = self._reasons.get(tag)
        if attempt.obstacle is None:
            if before is not None:
                self._clear(tag)
            return before is not None
        was_known = self._is_logged(attempt.obstacle, tag)
        if before is not None and before[0] is not attempt.obstacle:
            self._clear(tag)
        self._reasons[tag] = attempt.obstacle, attempt.reason
        if not was_known:
            log.warning(
                "checks cannot be measured", why=attempt.obstacle.value, monitor=tag, reason=attempt.reason
            )
        return before is None or before[0] is not attempt.obstacle

    def keep_only(self, tags: Container[str]) -> None:
        """Drop those of monitors that have no check any more."""
        self._reasons = {tag: reason for tag, reason in self._reasons.items() if tag in tags}

    def _is_logged(self, obstacle: Obstacle, tag: str) -> bool:
        if obstacle in SHARED:
            return any(one is obstacle for one, _ in self._reasons.values())
        return self._reasons.get(tag, (None, ""))[0] is obstacle

    def _clear(self, tag: str) -> None:
        obstacle, _ = self._reasons.pop(tag)
        if not self._is_logged(obstacle, tag):
            log.info("checks can be measured again", why=obstacle.value, monitor=tag)
