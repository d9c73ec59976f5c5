"""The headline: the overall status of several monitors, which of them it is about, and since when.

The banner, the status document, badges, feeds and link previews of one instant all show this.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kener_async.domain.samples import Status

NAMED = 3  # affected monitors that are named; the others are counted


class HeadlineKind(StrEnum):
    """The overall status, the worst last."""

    OPERATIONAL = "operational"
    NOT_REPORTED = "not reported"
    MAINTENANCE = "maintenance"
    DEGRADED = "degraded"
    PARTIAL_OUTAGE = "partial outage"
    MAJOR_OUTAGE = "major outage"

    @property
    def status(self) -> Status:
        """The status whose colour and icon stand for it, and that of the monitors it is about."""
        return _STATUS[self]


_STATUS = {
    HeadlineKind.OPERATIONAL: Status.UP,
    HeadlineKind.NOT_REPORTED: Status.NO_DATA,
    HeadlineKind.MAINTENANCE: Status.MAINTENANCE,
    HeadlineKind.DEGRADED: Status.DEGRADED,
    HeadlineKind.PARTIAL_OUTAGE: Status.DOWN,
    HeadlineKind.MAJOR_OUTAGE: Status.DOWN,
}


@dataclass(frozen=True, slots=True)
class Member:
    """A visible monitor. `since` is when its status began; of NO_DATA the last report, None without any.

    `is_overdue`: its status is that of a missed deadline, not one that was reported.
    """

    name: str
    status: Status
    since: int | None = None
    is_overdue: bool = False


@dataclass(frozen=True, slots=True)
class Headline:
    """The overall status of `total` monitors.

    `names` are up to three of the `affected` monitors, those of the kind's status, none if all is well.
    `since`: when the first of them came to it, None if that is not known. `is_overdue`: all of them are
    DEGRADED because a report is overdue. `silent` monitors are NO_DATA, of which `never_reported` never
    reported at all.
    """

    kind: HeadlineKind
    names: tuple[str, ...]
    affected: int
    since: int | None
    is_overdue: bool
    silent: int
    never_reported: int
    total: int

    @property
    def status(self) -> Status:
        """The status whose colour and icon stand for it."""
        return self.kind.status


def headline(members: Sequence[Member]) -> Headline:
    """The headline of these monitors, which are named in the order given."""
    kind = kind_of([member.status for member in members])
    silent = [member for member in members if member.status is Status.NO_DATA]
    affected = [member for member in members if member.status is kind.status]
    if kind is HeadlineKind.OPERATIONAL:
        affected = []
    begun = [member.since for member in affected if member.since is not None]
    return Headline(
        kind,
        names=tuple(member.name for member in affected[:NAMED]),
        affected=len(affected),
        since=min(begun, default=None) if len(begun) == len(affected) else None,
        is_overdue=kind is HeadlineKind.DEGRADED and all(member.is_overdue for member in affected),
        silent=len(silent),
        never_reported=sum(member.since is None for member in silent),
        total=len(members),
    )


def kind_of(statuses: Collection[Status]) -> HeadlineKind:
    """The kind of headline: the worst status, and OPERATIONAL only when every monitor is known to be UP.

    An outage is major when every monitor is DOWN. A known fault or maintenance comes before silence.
    """
    if Status.DOWN in statuses:
        are_all_down = all(status is Status.DOWN for status in statuses)
        return HeadlineKind.MAJOR_OUTAGE if are_all_down else HeadlineKind.PARTIAL_OUTAGE
    if Status.DEGRADED in statuses:
        return HeadlineKind.DEGRADED
    if Status.MAINTENANCE in statuses:
        return HeadlineKind.MAINTENANCE
    if Status.NO_DATA in statuses or not statuses:
        return HeadlineKind.NOT_REPORTED
    return HeadlineKind.OPERATIONAL


def worst(statuses: Iterable[Status]) -> Status:
    """The worst status of several; NO_DATA only if there is no other. Silence hides nothing that is known."""
    return max(statuses, key=_SEVERITY.index, default=Status.NO_DATA)


_SEVERITY = (Status.NO_DATA, Status.UP, Status.MAINTENANCE, Status.DEGRADED, Status.DOWN)
