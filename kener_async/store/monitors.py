"""Monitors by tag, and the history of their settings."""

import json
from collections.abc import Iterable, Mapping

from kener_async.domain.heartbeats import MonitorSettings
from kener_async.store import dirty, followers, last_reports
from kener_async.store.interface import Session
from kener_async.store.layers import settings_from, settings_text

# Of a monitor that was removed from the configuration: no reports are expected.
REMOVED = MonitorSettings()


def register(session: Session, settings: Mapping[str, MonitorSettings], now: int) -> dict[str, int]:
    """Add the configured monitors, and store the settings that apply from now on; their ids by tag.

    A version is stored only for settings that changed, so that earlier minutes keep those of their time.
    """
    session.executemany(
        "INSERT INTO monitors (tag) VALUES (?) ON CONFLICT DO NOTHING", [(tag,) for tag in settings]
    )
    # Versions of the future, stored while the clock was ahead, would override the ones stored now.
    session.execute("DELETE FROM settings WHERE since > ?", (now,))
    ids: dict[str, int] = dict(session.execute("SELECT tag, id FROM monitors"))
    current = _current(session)
    changed: dict[int, MonitorSettings] = {}
    for tag, monitor in ids.items():
        new = settings.get(tag, REMOVED)
        # Compared as settings, not as text: an older version may have written the same in other words.
        if monitor not in current or settings_from(current[monitor]) != new:
            changed[monitor] = new
    session.executemany(
        """
        INSERT INTO settings (monitor_id, since, body) VALUES (?, ?, ?)
            ON CONFLICT (monitor_id, since) DO UPDATE SET body = excluded.body
        """,
        [(monitor, now, settings_text(new)) for monitor, new in changed.items()],
    )
    followers.note(session, changed)
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


def save_last_heard(session: Session, heard: Mapping[int, int]) -> None:
    """Store when reports of up to 10,000 monitors arrived, whatever minutes they were about."""
    last_reports.note(session, {}, heard)


def last_heard(session: Session) -> dict[int, int]:
    """When a report of each monitor last arrived; monitors without any are left out."""
    return dict(
        session.execute("SELECT id, last_heard FROM monitors WHERE last_heard IS NOT NULL").fetchall()
    )


def tags(session: Session) -> dict[int, str]:
    """The tags of all monitors by id, also of those that are no longer configured."""
    return dict(session.execute("SELECT id, tag FROM monitors").fetchall())


def tags_of(session: Session, monitors: Iterable[int]) -> dict[int, str]:
    """The tags of these monitors by id."""
    rows = session.execute(
        "SELECT id, tag FROM monitors WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(monitors)),),
    )
    return dict(rows.fetchall())
