"""Groups: the minutes of a monitor that follow from the minutes of others (docs/uptime.md)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kener_async.domain.samples import Status

DEEPEST_GROUPS = 4  # a group of groups of groups of groups

Step = tuple[int, Status]  # from this minute on it has this status
Steps = Sequence[Step]  # of one monitor and a span, oldest first; the first is at the start of the span


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """A monitor without samples, whose minutes follow from its `members`, given by their tags.

    `min_up` of the members that are known must be UP or DEGRADED, else it is DOWN: a number, or a percentage
    of them that is rounded up. With `is_degraded` it is DEGRADED while a member is not UP.
    """

    members: tuple[str, ...]
    min_up: int = 100
    is_percentage: bool = True
    is_degraded: bool = True

    def needed_of(self, known: int) -> int:
        """How many of so many members must be UP or DEGRADED."""
        return -(-known * self.min_up // 100) if self.is_percentage else self.min_up

    def status_of(self, counts: Sequence[int]) -> Status:
        """The status that follows from how many members have each status, by its number."""
        up, degraded, down, maintenance, _ = counts
        known = up + degraded + down
        if known == 0:
            return Status.MAINTENANCE if maintenance else Status.NO_DATA
        if up + degraded < self.needed_of(known):
            return Status.DOWN
        return Status.DEGRADED if self.is_degraded and up < known else Status.UP


def counts_of(statuses: Iterable[Status]) -> list[int]:
    """How many there are of each status, by its number."""
    counts = [0] * len(Status)
    for status in statuses:
        counts[status] += 1
    return counts


def folded(group: GroupSettings, members: Sequence[Steps], start: int, end: int) -> Iterator[Step]:
    """The steps of a group in `[start, end)`, given those of its members, which reach over all of it.

    The counts are carried from change to change, so that members that stay the same cost nothing more.
    """
    for minute, counts in _counted(members, start, end):
        yield minute, group.status_of(counts)


def downs(parents: Sequence[Steps], start: int, end: int) -> Iterator[tuple[int, bool]]:
    """From which minutes of `[start, end)` on one of these monitors is DOWN, and from which on none is."""
    for minute, counts in _counted(parents, start, end):
        yield minute, counts[Status.DOWN] > 0


def _counted(monitors: Sequence[Steps], start: int, end: int) -> Iterator[tuple[int, Sequence[int]]]:
    """How many monitors have each status, from the start and from each change on; one list is reused."""
    counts = [0] * len(Status)
    changes: list[tuple[int, Status, Status]] = []
    for steps in monitors:
        first = before = Status.NO_DATA
        for minute, status in steps:
            if minute >= end:
                break
            if minute <= start:
                first = status
            else:
                changes.append((minute, before, status))
            before = status
        counts[first] += 1
    changes.sort()
    minute = start
    for at, before, after in changes:
        if at > minute:
            yield minute, counts
            minute = at
        counts[before] -= 1
        counts[after] += 1
    yield minute, counts
