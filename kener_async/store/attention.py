"""What the overview of the signed-in side shows beside the current statuses, in one transaction."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kener_async.domain.alerts import Alert
from kener_async.domain.calendar import DAY
from kener_async.domain.incidents import Incident
from kener_async.domain.notices import ChannelState
from kener_async.store import (
    alerts,
    channel_states,
    deliveries,
    devices,
    incident_lists,
    managed,
    monitors,
)
from kener_async.store.devices import DeviceSummary
from kener_async.store.incident_lists import IncidentThread
from kener_async.store.interface import Session
from kener_async.store.managed import Managed

FAILED_WITHIN = DAY
DRAFTS = 20  # of the newest


@dataclass(frozen=True, slots=True)
class StoredAttention:
    """Open alerts with the tags of their monitors by id; the incidents that are open or planned; drafts.

    And what is wrong with the service: the states of channels, how many deliveries failed within a day, by
    channel, the devices, and what was made here beside config.toml.
    """

    alerts: Sequence[Alert]
    tags: Mapping[int, str]
    incidents: Sequence[IncidentThread]
    drafts: Sequence[Incident]
    channels: Mapping[str, ChannelState]
    failed: Mapping[str, int]
    devices: Sequence[DeviceSummary]
    managed: Sequence[Managed]


def load(session: Session, now: int) -> StoredAttention:
    """What is stored now; the number of statements does not grow with the rows."""
    found = alerts.all_open(session)
    numbers = {alert.monitor for alert in found} | {one.because for one in found if one.because is not None}
    return StoredAttention(
        alerts=found,
        tags=monitors.tags_of(session, numbers),
        incidents=incident_lists.current(session, now),
        drafts=incident_lists.managed(session, is_draft=True, tags=None, before=None, limit=DRAFTS),
        channels=channel_states.all_states(session),
        failed=Counter(one.channel for one in deliveries.failed_since(session, now - FAILED_WITHIN)),
        devices=devices.summaries(session),
        managed=managed.everything(session),
    )
