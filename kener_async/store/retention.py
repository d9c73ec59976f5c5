"""Dropping what is older than the operator wants to keep, a little at a time."""

from collections.abc import Sequence

from kener_async.domain.calendar import quarter_of
from kener_async.store.interface import Session


def monitors(session: Session, instant: int) -> list[int]:
    """Note that nothing before the instant is kept any more; all monitors of which something may be."""
    session.execute("UPDATE service SET kept_from = max(kept_from, ?)", (quarter_of(instant),))
    return [monitor for (monitor,) in session.execute("SELECT id FROM monitors ORDER BY id")]


def drop_before(session: Session, some: Sequence[int], instant: int, limit: int) -> bool:
    """Drop up to `limit` rows of samples and quarters of these monitors; whether more are left to drop.

    Each monitor's newest sample before it stays: later minutes may be judged by it.
    """
    horizon = quarter_of(instant)
    dropped = 0
    for monitor in some:
        dropped += session.execute(
            """
            DELETE FROM samples
             WHERE monitor_id = :monitor
               AND minute IN (SELECT minute FROM samples
                               WHERE monitor_id = :monitor
                                 AND minute < (SELECT max(minute) FROM samples
                                                WHERE monitor_id = :monitor AND minute < :horizon)
                               ORDER BY minute LIMIT :limit)
            """,
            {"monitor": monitor, "horizon": horizon, "limit": max(limit - dropped, 0)},
        ).rowcount
        dropped += session.execute(
            """
            DELETE FROM quarters
             WHERE monitor_id = :monitor
               AND quarter IN (SELECT quarter FROM quarters
                                WHERE monitor_id = :monitor AND quarter < :horizon
                                ORDER BY quarter LIMIT :limit)
            """,
            {"monitor": monitor, "horizon": horizon, "limit": max(limit - dropped, 0)},
        ).rowcount
        if dropped >= limit:
            return True
    return False
