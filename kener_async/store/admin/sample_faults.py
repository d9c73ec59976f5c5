"""Faults of the tables of samples: rows where no reader looks for them, packed days that cannot be read."""

import sqlite3
from collections.abc import Iterator

from kener_async.domain.calendar import DAY, MINUTE
from kener_async.domain.samples import Status
from kener_async.store import hot_samples, packing, seal_state
from kener_async.store.observer import kept_from
from kener_async.store.seal_state import SealState

STATUSES = frozenset({Status.UP, Status.DEGRADED, Status.DOWN})


def faults(connection: sqlite3.Connection, *, quick: bool) -> Iterator[str]:
    """The faults of a database of the current schema, a line each; `quick` reads no packed days."""
    state = seal_state.read(connection)
    if state.hot_from % DAY or state.late_before % DAY or state.hot_from > state.late_before:
        yield f"service: samples are sealed up to {state.hot_from}, and late before {state.late_before}"
    yield from _hot_faults(connection)
    for monitor, minute in connection.execute(
        "SELECT monitor_id, max(minute) FROM late_samples WHERE minute >= ? GROUP BY monitor_id",
        (state.late_before,),
    ):
        yield f"late_samples: monitor {monitor} has a sample of minute {minute}, which is not late"
    for monitor, day in connection.execute(
        "SELECT monitor_id, max(day) FROM sealed WHERE day >= ? GROUP BY monitor_id", (state.late_before,)
    ):
        yield f"sealed: monitor {monitor} has a day {day}, which is not to be sealed yet"
    if not quick:
        yield from _damaged_days(connection)
        if state.hot_from < state.late_before:
            yield from _days_sealed_wrongly(connection, state)


def _hot_faults(connection: sqlite3.Connection) -> Iterator[str]:
    """Rows of missing monitors, and those that are later than their monitor's newest, which are not found."""
    rows = connection.execute(
        """
        SELECT monitor_id, newest_row, id, newest
          FROM (SELECT monitor_id, max(minute) AS newest_row FROM samples GROUP BY monitor_id)
          LEFT JOIN monitors ON id = monitor_id
         WHERE newest IS NULL OR newest < newest_row
        """
    )
    for monitor, minute, known, newest in rows:
        if known is None:
            yield f"samples: rows of monitor {monitor}, which does not exist"
        else:
            yield f"samples: monitor {monitor} has a sample of minute {minute}, after its newest, {newest}"


def _damaged_days(connection: sqlite3.Connection) -> Iterator[str]:
    for monitor, day, packed in connection.execute(
        "SELECT monitor_id, day, packed FROM sealed ORDER BY monitor_id, day"
    ):
        try:
            statuses = {status for _, status, _, _ in packing.unpack(packed)}
        except packing.DamagedDay as error:
            yield f"sealed: the day {day} of monitor {monitor} cannot be read: {error}"
            continue
        if not statuses <= STATUSES:
            yield f"sealed: the day {day} of monitor {monitor} has a status that no sample has"


def _days_sealed_wrongly(connection: sqlite3.Connection, state: SealState) -> Iterator[str]:
    """Rows of the day that is being sealed which are not in the packed row made of them.

    They are still read, and do not change any more; what is older than what is kept may be gone from either.
    """
    begin = max(state.hot_from, kept_from(connection))
    for monitor in _monitors_up_to(connection, state.sealed_monitor):
        rows = hot_samples.rows(connection, [monitor], begin, state.late_before)
        packed = connection.execute(
            "SELECT packed FROM sealed WHERE monitor_id = ? AND day = ?", (monitor, state.hot_from)
        ).fetchone()
        try:
            sealed = set() if packed is None else set(packing.unpack(packed[0]))
        except packing.DamagedDay:
            continue  # a fault of its own
        for _, minute, *values in rows:
            if ((minute - state.hot_from) // MINUTE, *values) not in sealed:
                yield f"sealed: the day {state.hot_from} of monitor {monitor} lacks the sample of {minute}"
                break


def _monitors_up_to(connection: sqlite3.Connection, last: int) -> list[int]:
    return [monitor for (monitor,) in connection.execute("SELECT id FROM monitors WHERE id <= ?", (last,))]
