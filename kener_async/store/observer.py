"""What the server knows of its own absences."""

from collections.abc import Sequence

from kener_async.domain.calendar import quarter_of
from kener_async.domain.heartbeats import Gap
from kener_async.store import dirty
from kener_async.store.interface import Session


def begin(session: Session, now: int, retention: int) -> None:
    """The service row of a new database; nothing is counted before it, save what is reported later."""
    session.execute(
        """
        INSERT INTO service (id, last_seen, rolled_until, kept_from) VALUES (1, ?, ?, ?)
            ON CONFLICT (id) DO NOTHING
        """,
        (now, quarter_of(now), quarter_of(now - retention)),
    )


def seen(session: Session, gaps: Sequence[Gap], now: int) -> None:
    """Note that the server observes now, and the gaps before.

    A gap's quarters, and those its end excuses, are marked for every monitor.
    """
    for gap in gaps:
        session.execute('INSERT INTO gaps (start, "end") VALUES (?, ?)', (gap.start, gap.end))
        dirty.mark_span(session, _everyone(session), gap.start, None)
    session.execute("UPDATE service SET last_seen = ?", (now,))


def last_seen(session: Session) -> int:
    (instant,) = session.execute("SELECT last_seen FROM service").fetchone()
    return int(instant)


def rewind(session: Session, now: int, retention: int) -> None:
    """Take back what was noted of instants after now, when the clock has been set back.

    Samples stay: devices made them. Quarters from now on will be counted again when they have passed.
    """
    session.execute("DELETE FROM gaps WHERE start >= ?", (now,))
    session.execute('UPDATE gaps SET "end" = ? WHERE "end" > ?', (now, now))
    session.execute("DELETE FROM settings WHERE since > ?", (now,))
    session.execute("DELETE FROM quarters WHERE quarter >= ?", (quarter_of(now),))
    dropped_until = kept_from(session)
    session.execute(
        """
        UPDATE service
           SET last_seen = ?, rolled_until = min(rolled_until, ?), kept_from = min(kept_from, ?)
        """,
        (now, quarter_of(now), quarter_of(now - retention)),
    )
    dirty.mark_span(session, _everyone(session), kept_from(session), dropped_until)


def last_gap_end(session: Session) -> int | None:
    (instant,) = session.execute('SELECT max("end") FROM gaps').fetchone()
    return None if instant is None else int(instant)


def kept_from(session: Session) -> int:
    """The instant before which samples and quarters have been dropped."""
    (instant,) = session.execute("SELECT kept_from FROM service").fetchone()
    return int(instant)


def _everyone(session: Session) -> list[int]:
    return [monitor for (monitor,) in session.execute("SELECT id FROM monitors")]
