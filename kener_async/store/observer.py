"""The observer: when the server was last running, and the gaps in which it was not."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from kener_async.domain.calendar import quarter_of
from kener_async.domain.heartbeats import Gap, GapKind
from kener_async.store import dirty, quarters
from kener_async.store.interface import Session
from kener_async.store.seal_state import hot_days_from


def begin(session: Session, now: int, retention: int) -> bool:
    """Add the service row to a new database; earlier quarters are counted only if samples are reported.

    Returns whether it is a new one.
    """
    added = session.execute(
        """
        INSERT INTO service (id, last_seen, rolled_until, kept_from, identity, hot_from, late_before)
        VALUES (1, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO NOTHING
        """,
        (now, quarter_of(now), quarter_of(now - retention), str(uuid4()), *[hot_days_from(now)] * 2),
    )
    return added.rowcount > 0


def identity(session: Session) -> UUID:
    """The identity of the database, which stays the same through backups, exports and moves."""
    (text,) = session.execute("SELECT identity FROM service").fetchone()
    return UUID(text)


def save_seen(session: Session, gaps: Sequence[Gap], now: int) -> None:
    """Store that the server is running now, and the gaps before.

    For every monitor the quarters from a gap on are marked, because it may excuse later missing reports.
    """
    for gap in gaps:
        session.execute(
            'INSERT INTO gaps (start, "end", kind) VALUES (?, ?, ?)', (gap.start, gap.end, gap.kind)
        )
        dirty.mark_span(session, _monitor_ids(session), gap.start, None)
    session.execute("UPDATE service SET last_seen = ?", (now,))


def save_offline(session: Session, gap: Gap) -> None:
    """Store a gap in which the server is offline, up to now; called again it grows, so a crash loses little.

    The quarters from its begin on are marked for every monitor, as by `save_seen`.
    """
    grown = session.execute(
        'UPDATE gaps SET "end" = max("end", ?) WHERE start = ? AND kind = ?', (gap.end, gap.start, gap.kind)
    )
    if not grown.rowcount:
        session.execute(
            'INSERT INTO gaps (start, "end", kind) VALUES (?, ?, ?)', (gap.start, gap.end, gap.kind)
        )
    dirty.mark_span(session, _monitor_ids(session), gap.start, None)


def has_begun(session: Session) -> bool:
    """Whether a server has ever run on the database."""
    return session.execute("SELECT 1 FROM service").fetchone() is not None


def last_seen(session: Session) -> int:
    """When the server was last running."""
    (instant,) = session.execute("SELECT last_seen FROM service").fetchone()
    return int(instant)


def integrity_passed_at(session: Session) -> int | None:
    """When the large tables last passed the integrity check; None: never."""
    (instant,) = session.execute("SELECT integrity_passed_at FROM service").fetchone()
    return None if instant is None else int(instant)


def save_integrity_passed(session: Session, now: int) -> None:
    """Store that the large tables have passed the integrity check."""
    session.execute("UPDATE service SET integrity_passed_at = ?", (now,))


def rewind(session: Session, seen: int, now: int, retention: int) -> bool:
    """Delete what was stored for instants after now, because the clock was set back from `seen`.

    Samples stay, because devices made them. Quarters from now on are counted again when they have ended.
    Returns whether states of monitors have changed; after a small step back they seldom have.
    """
    deleted = [
        session.execute("DELETE FROM gaps WHERE start >= ?", (now,)),
        session.execute('UPDATE gaps SET "end" = ? WHERE "end" > ?', (now, now)),
        session.execute("DELETE FROM settings WHERE since > ?", (now,)),
        session.execute("DELETE FROM starts WHERE started_at > ?", (now,)),
    ]
    uncounted = quarters.delete_from(session, quarter_of(now))
    session.execute("DELETE FROM check_faults WHERE at > ?", (now,))
    session.execute(
        """
        UPDATE certificates SET first_seen = min(first_seen, :now), last_seen = :now WHERE last_seen > :now
        """,
        {"now": now},
    )
    dropped_until, counted_until = kept_from(session), dirty.rolled_until(session)
    # Not further back than the clock: where a longer retention is configured than what is kept, all of the
    # difference would be counted, though nothing of it is stored.
    kept = max(quarter_of(now - retention), dropped_until - (quarter_of(seen) - quarter_of(now)))
    session.execute(
        """
        UPDATE service
           SET last_seen = ?, rolled_until = min(rolled_until, ?), kept_from = min(kept_from, ?)
        """,
        (now, quarter_of(now), kept),
    )
    dirty.mark_span(session, _monitor_ids(session), kept, dropped_until)
    return (
        kept < dropped_until
        or quarter_of(now) < counted_until
        or uncounted > 0
        or any(each.rowcount for each in deleted)
    )


def last_gap_end(session: Session) -> int | None:
    """The end of the latest gap in which the server did not run; None without any."""
    (instant,) = session.execute(
        'SELECT max("end") FROM gaps WHERE kind = ?', (GapKind.NOT_RUNNING,)
    ).fetchone()
    return None if instant is None else int(instant)


def had_long_gap(session: Session, since: int, seconds: int) -> bool:
    """Whether a gap of more than so many seconds in which the server did not run ended after an instant."""
    row = session.execute(
        'SELECT 1 FROM gaps WHERE kind = ? AND "end" > ? AND "end" - start > ? LIMIT 1',
        (GapKind.NOT_RUNNING, since, seconds),
    ).fetchone()
    return row is not None


def kept_from(session: Session) -> int:
    """The instant before which samples and quarters have been deleted."""
    (instant,) = session.execute("SELECT kept_from FROM service").fetchone()
    return int(instant)


def _monitor_ids(session: Session) -> list[int]:
    return [monitor for (monitor,) in session.execute("SELECT id FROM monitors")]
