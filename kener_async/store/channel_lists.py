"""What screens show of channels: their states, and how much waits for each."""

from collections.abc import Mapping
from dataclasses import dataclass

from kener_async.domain.notices import ChannelState
from kener_async.store import channel_states, deliveries
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class ListedChannels:
    """By the name of the channel; those that were never used, and those that nothing waits for, left out."""

    states: Mapping[str, ChannelState]
    waiting: Mapping[str, int]


def load(session: Session) -> ListedChannels:
    """Load what is known of all channels."""
    return ListedChannels(channel_states.all_states(session), deliveries.count_waiting_by_channel(session))
