"""Retention: delete what is older than the configured age, a few rows at a time."""

import json
from collections.abc import Sequence

from kener_async.domain.calendar import quarter_of
from kener_async.store import quarters, samples
from kener_async.store.interface import Session


def keep_from(session: Session, instant: int) -> list[int]:
    """Store that samples are kept from this instant on; the monitors that may have older ones."""
    session.execute("UPDATE service SET kept_from = max(kept_from, ?)", (quarter_of(instant),))
    return [monitor for (monitor,) in session.execute("SELECT id FROM monitors ORDER BY id")]


def delete_before(session: Session, monitors: Sequence[int], instant: int, limit: int) -> bool:
    """Delete up to `limit` rows of samples and quarters of these monitors; whether more are left to delete.

    The newest of a monitor's old samples stays, because it may decide the status of later minutes. Those of a
    sealed day go together, once all of it is old.
    """
    horizon = quarter_of(instant)
    deleted = 0
    newest = samples.newest_minutes(session, monitors, horizon)
    for monitor in monitors:
        if monitor in newest:
            deleted += samples.delete_before(session, monitor, newest[monitor], limit - deleted)
        deleted += quarters.delete_before(session, monitor, horizon, max(limit - deleted, 0))
        deleted += session.execute(
            """
            DELETE FROM starts
             WHERE monitor_id = :monitor
               AND started_at IN (SELECT started_at FROM starts
                                   WHERE monitor_id = :monitor AND started_at < :horizon
                                   ORDER BY started_at LIMIT :limit)
            """,
            {"monitor": monitor, "horizon": horizon, "limit": max(limit - deleted, 0)},
        ).rowcount
        if deleted >= limit:
            return True
    return False


def delete_alerts(session: Session, instant: int, limit: int) -> bool:
    """Delete up to `limit` each of the notices and alerts from before an instant; whether more are left.

    A notice goes with its deliveries, unless one of them waits or was done later, or its alert is open,
    or it announced a maintenance that may not have begun: without it that would be announced again. An
    alert goes once it has closed before the instant and has no notices.
    """
    old = [
        number
        for (number,) in session.execute(
            """
            SELECT id FROM notices
             WHERE at < :instant
               AND NOT EXISTS (SELECT 1 FROM deliveries
                                WHERE notice = notices.id AND (done_at IS NULL OR done_at >= :instant))
               AND NOT EXISTS (SELECT 1 FROM alerts WHERE alerts.id = alert AND closed_at IS NULL)
               AND (unique_key IS NULL
                    OR NOT EXISTS (SELECT 1 FROM incidents
                                    WHERE number = incident AND closed_at IS NULL AND start >= :instant))
             ORDER BY at LIMIT :limit
            """,
            {"instant": instant, "limit": limit},
        )
    ]
    numbers = json.dumps(old)
    session.execute("DELETE FROM deliveries WHERE notice IN (SELECT value FROM json_each(?))", (numbers,))
    session.execute("DELETE FROM notices WHERE id IN (SELECT value FROM json_each(?))", (numbers,))
    alerts = session.execute(
        """
        DELETE FROM alerts
         WHERE id IN (SELECT id FROM alerts
                       WHERE closed_at < :instant
                         AND NOT EXISTS (SELECT 1 FROM notices WHERE alert = alerts.id)
                       ORDER BY closed_at LIMIT :limit)
        """,
        {"instant": instant, "limit": limit},
    ).rowcount
    return len(old) == limit or alerts == limit
