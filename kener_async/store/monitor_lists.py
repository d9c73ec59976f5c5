"""What a list of monitors shows of each that is not in memory: the newest fault, and the open alerts."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kener_async.domain.checks import Attempt
from kener_async.store import alerts, check_faults
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class ListedMonitors:
    """By the id of the monitor; those without any are left out."""

    faults: Mapping[int, Attempt]
    alerts: Mapping[int, int]


def load(session: Session, monitors: Collection[int]) -> ListedMonitors:
    """Load what a list shows of these monitors."""
    found = alerts.open_of(session, monitors)
    return ListedMonitors(check_faults.newest(session, monitors), Counter(alert.monitor for alert in found))
