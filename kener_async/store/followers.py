"""Followers: the monitors whose minutes follow from those of others, which are groups and excused children.

They are noted by all settings in the history, because a late report may be about a minute of any of them.
"""

import json
from collections.abc import Iterable, Mapping

from kener_async.domain.heartbeats import MonitorSettings
from kener_async.store.interface import Session


def note(session: Session, settings: Mapping[int, MonitorSettings]) -> None:
    """Note whom these monitors follow by their settings, beside what was noted of them before."""
    named = [(tag, follower) for follower, given in settings.items() for tag in given.related]
    if named:
        session.executemany(
            """
            INSERT INTO followers (monitor_id, follower_id)
            SELECT id, ?2 FROM monitors WHERE tag = ?1
                ON CONFLICT DO NOTHING
            """,
            named,
        )


def of(session: Session, monitors: Iterable[int]) -> dict[int, list[int]]:
    """All that follow these monitors, also through others, by monitor; those without are left out."""
    rows = session.execute(
        """
        WITH RECURSIVE reached (monitor, follower) AS (
            SELECT monitor_id, follower_id FROM followers
             WHERE monitor_id IN (SELECT value FROM json_each(?))
             UNION
            SELECT monitor, follower_id FROM reached CROSS JOIN followers ON monitor_id = follower
        )
        SELECT monitor, follower FROM reached WHERE monitor <> follower
        """,
        (json.dumps(list(monitors)),),
    )
    found: dict[int, list[int]] = {}
    for monitor, follower in rows:
        found.setdefault(monitor, []).append(follower)
    return found


def count_followed(session: Session, follower: int) -> int:
    """How many monitors one follows, also through others."""
    (count,) = session.execute(
        """
        WITH RECURSIVE reached (monitor) AS (
            SELECT monitor_id FROM followers WHERE follower_id = ?
             UNION
            SELECT monitor_id FROM reached CROSS JOIN followers ON follower_id = monitor
        )
        SELECT count(*) FROM reached
        """,
        (follower,),
    ).fetchone()
    return int(count)


def among(session: Session, monitors: Iterable[int]) -> set[int]:
    """Those of the monitors that follow others."""
    rows = session.execute(
        "SELECT DISTINCT follower_id FROM followers WHERE follower_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(monitors)),),
    )
    return {follower for (follower,) in rows}
