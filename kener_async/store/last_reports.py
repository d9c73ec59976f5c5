"""What each monitor last reported: when, and the newest minute. They are columns of the table `monitors`."""

from collections.abc import Mapping

from kener_async.store.interface import Session


def note(session: Session, newest: Mapping[int, int], heard: Mapping[int, int]) -> None:
    """Store the newest minutes of which samples were stored, and when reports arrived, by monitor.

    Neither goes back: the newest sample of a monitor is looked for from `newest` backwards. Of up to 10,000
    monitors at once.
    """
    monitors = sorted(newest.keys() | heard.keys())
    if not monitors:
        return
    session.execute(
        f"""
        WITH reported (monitor, moment, instant) AS (VALUES {", ".join(["(?, ?, ?)"] * len(monitors))})
        UPDATE monitors
           SET newest = max(coalesce(newest, moment), coalesce(moment, newest)),
               last_heard = max(coalesce(last_heard, instant), coalesce(instant, last_heard))
          FROM reported WHERE id = monitor
        """,  # noqa: S608 - only placeholders are joined
        [value for one in monitors for value in (one, newest.get(one), heard.get(one))],
    )
