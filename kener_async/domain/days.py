"""The status of a day, as a bar shows it."""

from kener_async.domain.samples import Status
from kener_async.domain.uptime import Counts


def status_of_day(counts: Counts, degraded_minimum: int, down_minimum: int) -> Status:
    """The worst status that reaches the monitor's minimum count of minutes."""
    if counts.down >= down_minimum:
        return Status.DOWN
    if counts.degraded >= degraded_minimum:
        return Status.DEGRADED
    if counts.counted:
        return Status.UP
    return Status.MAINTENANCE if counts.maintenance else Status.NO_DATA
