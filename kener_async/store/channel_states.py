"""The state of each channel that was used: its faults in a row, and whether it is paused."""

from kener_async.domain.notices import ChannelState
from kener_async.store.interface import Session


def all_states(session: Session) -> dict[str, ChannelState]:
    """The state of each channel that was used, by name."""
    rows = session.execute("SELECT channel, failures, paused_at, last_sent, last_fault FROM channel_states")
    return {row[0]: ChannelState(*row) for row in rows}


def get(session: Session, channel: str) -> ChannelState:
    """The state of a channel; that of one that was never used is blank."""
    return all_states(session).get(channel, ChannelState(channel))


def insert(session: Session, state: ChannelState) -> None:
    """Store the exported state of a channel."""
    session.execute(
        """
        INSERT INTO channel_states (channel, failures, paused_at, last_sent, last_fault)
        VALUES (?, ?, ?, ?, ?)
        """,
        (state.channel, state.failures, state.paused_at, state.last_sent, state.last_fault),
    )


def note_sent(session: Session, channel: str, now: int) -> None:
    """Note that the channel took a message: it works, also if it was paused."""
    session.execute(
        """
        INSERT INTO channel_states (channel, last_sent) VALUES (?, ?)
            ON CONFLICT (channel) DO UPDATE
           SET failures = 0, paused_at = NULL, last_sent = excluded.last_sent, last_fault = ''
        """,
        (channel, now),
    )


def note_fault(session: Session, channel: str, fault: str, *, for_good: bool) -> ChannelState:
    """Note that the channel did not take a message, and count it if that was for good; the state after."""
    session.execute(
        """
        INSERT INTO channel_states (channel, failures, last_fault) VALUES (?, ?, ?)
            ON CONFLICT (channel) DO UPDATE
           SET failures = failures + excluded.failures, last_fault = excluded.last_fault
        """,
        (channel, int(for_good), fault),
    )
    return get(session, channel)


def pause(session: Session, channel: str, now: int) -> None:
    """Send nothing more to the channel until `resume`."""
    session.execute(
        """
        INSERT INTO channel_states (channel, paused_at) VALUES (?, ?)
            ON CONFLICT (channel) DO UPDATE SET paused_at = coalesce(paused_at, excluded.paused_at)
        """,
        (channel, now),
    )


def resume(session: Session, channel: str) -> None:
    """Send to the channel again, and begin to count its faults anew."""
    session.execute("UPDATE channel_states SET failures = 0, paused_at = NULL WHERE channel = ?", (channel,))
