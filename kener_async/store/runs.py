"""Runs of jobs that have reported their start, until they report their end."""

from kener_async.domain.calendar import DAY
from kener_async.store import dirty
from kener_async.store.interface import Session

LONGEST = 3 * DAY
MOST = 100  # unfinished runs of one monitor


def begin(session: Session, monitor: int, run: str, now: float) -> None:
    """Store the start of a run of the monitor's job; runs that are too old or too many are deleted.

    The instant itself is kept as long as samples are, because it decides when the job is late.
    """
    session.execute(
        """
        INSERT INTO runs (monitor_id, run, started_at) VALUES (?, ?, ?)
            ON CONFLICT (monitor_id, run) DO UPDATE SET started_at = excluded.started_at
        """,
        (monitor, run, now),
    )
    session.execute(
        """
        DELETE FROM runs
         WHERE monitor_id = :monitor
           AND run NOT IN (SELECT run FROM runs
                            WHERE monitor_id = :monitor AND started_at >= :oldest
                            ORDER BY started_at DESC LIMIT :most)
        """,
        {"monitor": monitor, "oldest": now - LONGEST, "most": MOST},
    )
    session.execute("INSERT INTO starts VALUES (?, ?) ON CONFLICT DO NOTHING", (monitor, int(now)))
    dirty.mark_span(session, [monitor], int(now), None)


def started_at(session: Session, monitor: int, run: str, now: float) -> float | None:
    """When the run began; None if its start was not reported, or is older than LONGEST."""
    row = session.execute(
        "SELECT started_at FROM runs WHERE monitor_id = ? AND run = ? AND started_at >= ?",
        (monitor, run, now - LONGEST),
    ).fetchone()
    return None if row is None else float(row[0])


def end(session: Session, monitor: int, run: str, started: float) -> None:
    """Delete the run that began at `started`; a later one of the same name stays."""
    session.execute(
        "DELETE FROM runs WHERE monitor_id = ? AND run = ? AND started_at = ?", (monitor, run, started)
    )
