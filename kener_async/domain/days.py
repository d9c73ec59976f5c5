"""The status of a day, as a bar shows it."""

from kener_async.domain.samples import Status
from kener_async.domain.uptime import Counts


def status_of_day(counts: Counts, degraded_minimum: int, down_minimum: int) -> Status:
    """The worst status that reaches the minimum count of minutes; of maintenance one minute is enough."""
    if counts.down >= down_minimum:
        return Status.DOWN
    if counts.degraded >= degraded_minimum:
        return Status.DEGRADED
    if counts.maintenance:
        return Status.MAINTENANCE
    return Status.UP if counts.counted else Status.NO_DATA
