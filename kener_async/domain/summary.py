"""The overall status of several monitors: the worst of their statuses."""

from collections.abc import Iterable
from enum import StrEnum

from kener_async.domain.samples import Status


class Summary(StrEnum):
    """The overall status."""

    NO_DATA = "no data"
    OPERATIONAL = "operational"
    MAINTENANCE = "maintenance"
    DEGRADED = "degraded"
    PARTIAL_OUTAGE = "partial outage"
    MAJOR_OUTAGE = "major outage"

    @property
    def status(self) -> Status:
        """The status whose colour and icon stand for it."""
        return _STATUS[self]


_STATUS = {
    Summary.NO_DATA: Status.NO_DATA,
    Summary.OPERATIONAL: Status.UP,
    Summary.MAINTENANCE: Status.MAINTENANCE,
    Summary.DEGRADED: Status.DEGRADED,
    Summary.PARTIAL_OUTAGE: Status.DOWN,
    Summary.MAJOR_OUTAGE: Status.DOWN,
}


def summary(statuses: Iterable[Status]) -> Summary:
    """Summarize statuses: the worst wins, NO_DATA is ignored, an outage is major when all others are DOWN."""
    with_data = {status for status in statuses if status is not Status.NO_DATA}
    if not with_data:
        return Summary.NO_DATA
    if Status.DOWN in with_data:
        return Summary.MAJOR_OUTAGE if with_data == {Status.DOWN} else Summary.PARTIAL_OUTAGE
    if Status.DEGRADED in with_data:
        return Summary.DEGRADED
    return Summary.MAINTENANCE if Status.MAINTENANCE in with_data else Summary.OPERATIONAL
