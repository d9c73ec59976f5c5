"""What people do about a channel: test it, resume it."""

from dataclasses import asdict

from kener_async.domain.notices import ChannelState
from kener_async.domain.people import Actor
from kener_async.store import audit, channel_states
from kener_async.store.interface import Session


def resume(session: Session, channel: str, actor: Actor, now: int) -> ChannelState:
    """Send to a channel again, and begin to count its faults anew; its state."""
    before = channel_states.get(session, channel)
    channel_states.resume(session, channel)
    after = channel_states.get(session, channel)
    audit.record(session, actor, "channel.resume", f"channel {channel}", asdict(before), asdict(after), now)
    return after


def note_test(session: Session, channel: str, actor: Actor, now: int) -> None:
    """Note that somebody sends an example through a channel."""
    audit.record(session, actor, "channel.test", f"channel {channel}", None, None, now)


def note_test_delivered(session: Session, channel: str, now: int) -> None:
    """Note that a channel took an example: one that was paused is used again."""
    channel_states.note_sent(session, channel, now)
