"""Monitors by tag, and the history of their settings."""

from collections.abc import Mapping

from kener_async.domain.heartbeats import MonitorSettings
from kener_async.store import dirty
from kener_async.store.interface import Session
from kener_async.store.layers import settings_text

# A monitor that was taken out of the configuration: nothing is expected of it any more.
REMOVED = settings_text(MonitorSettings())


def register(session: Session, settings: Mapping[str, MonitorSettings], now: int) -> dict[str, int]:
    """Make the configured monitors known and note which settings hold from now on; their ids by tag.

    A version is added only where something changed, so earlier minutes keep the settings of their time.
    """
    session.executemany(
        "INSERT INTO monitors (tag) VALUES (?) ON CONFLICT DO NOTHING", [(tag,) for tag in settings]
    )
    # What was noted of the future, when the clock was ahead, does not hold after what is loaded now.
    session.execute("DELETE FROM settings WHERE since > ?", (now,))
    ids: dict[str, int] = dict(session.execute("SELECT tag, id FROM monitors"))
    current = _current(session)
    changed: dict[int, str] = {}
    for tag, monitor in ids.items():
        body = settings_text(settings[tag]) if tag in settings else REMOVED
        if body != current.get(monitor):
            changed[monitor] = body
    session.executemany(
        """
        INSERT INTO settings (monitor_id, since, body) VALUES (?, ?, ?)
            ON CONFLICT (monitor_id, since) DO UPDATE SET body = excluded.body
        """,
        [(monitor, now, body) for monitor, body in changed.items()],
    )
    if changed:
        dirty.mark_span(session, changed, now, None)
    return {tag: ids[tag] for tag in settings}


def _current(session: Session) -> dict[int, str]:
    """The newest settings of each monitor, as stored."""
    return dict(
        session.execute(
            """
            SELECT monitor_id, body
              FROM settings
              JOIN (SELECT monitor_id AS monitor, max(since) AS newest FROM settings GROUP BY monitor_id)
                ON monitor_id = monitor AND since = newest
            """
        ).fetchall()
    )


def note_heard(session: Session, heard: Mapping[int, int]) -> None:
    """Note when reports of these monitors came in, about whatever minutes; of up to 10,000 at once."""
    if not heard:
        return
    session.execute(
        f"""
        WITH noted (monitor, instant) AS (VALUES {", ".join(["(?, ?)"] * len(heard))})
        UPDATE monitors SET last_heard = max(coalesce(last_heard, 0), instant) FROM noted WHERE id = monitor
        """,  # noqa: S608 - only placeholders are joined
        [value for pair in sorted(heard.items()) for value in pair],
    )


def last_heard(session: Session) -> dict[int, int]:
    """When a report of each monitor last came in, where that is known."""
    return dict(
        session.execute("SELECT id, last_heard FROM monitors WHERE last_heard IS NOT NULL").fetchall()
    )
