"""Old news: what a copy of a database would still tell, although its original has most probably told it."""

import sqlite3

from kener_async.store import deliveries

ANSWER = "not sent: it waited in a copy of the database that was put in place later"


def drop(connection: sqlite3.Connection, now: int) -> None:
    """Drop the deliveries that wait in a copy which is put in place, and forget what was not told.

    An open alert of which no channel has heard becomes one that opened quietly: if it is still bad, it is
    told anew, with the facts of then. A copy with an older schema than that of alerts is left as it is.
    """
    known = "SELECT count(*) FROM sqlite_schema WHERE name IN ('alerts', 'deliveries')"
    if connection.execute(known).fetchone() != (2,):
        return
    connection.execute(
        """
        UPDATE alerts SET told_at = NULL
         WHERE closed_at IS NULL
           AND EXISTS (SELECT 1 FROM notices JOIN deliveries ON notice = notices.id
                        WHERE alert = alerts.id AND state IN (0, 1))
           AND NOT EXISTS (SELECT 1 FROM notices JOIN deliveries ON notice = notices.id
                            WHERE alert = alerts.id AND state IN (2, 4))
        """
    )
    waiting = [delivery.id for delivery in deliveries.waiting(connection)]
    deliveries.drop(connection, waiting, now, ANSWER)
