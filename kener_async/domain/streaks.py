"""Streaks: since when a monitor has had one status, minutes without data aside."""

from collections.abc import Sequence

from kener_async.domain.samples import Status
from kener_async.domain.timeline import Run


def streak(timeline: Sequence[Run], status: Status) -> tuple[int | None, bool]:
    """The start of the last streak of a status in runs, oldest first; None when the last status is another.

    The second value tells whether another status came before it, so that no earlier run can extend it.
    """
    begin: int | None = None
    for run in reversed(timeline):
        if run.status is status:
            begin = run.start
        elif run.status is not Status.NO_DATA:
            return begin, True
    return begin, False
