"""Dropping what is older than the operator wants to keep, a little at a time."""

import sqlite3

from kener_async.domain.calendar import quarter_of


def drop_before(connection: sqlite3.Connection, instant: int, limit: int) -> bool:
    """Drop up to `limit` rows each of samples and quarters before the instant; whether more are left.

    Each monitor's newest sample before it stays: later minutes may be judged by it.
    """
    horizon = quarter_of(instant)
    connection.execute("UPDATE service SET kept_from = max(kept_from, ?)", (horizon,))
    dropped = 0
    for (monitor,) in connection.execute("SELECT id FROM monitors").fetchall():
        dropped += connection.execute(
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
        dropped += connection.execute(
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
