"""Check faults: the attempts of checks that did not see UP, as an explanation of what was measured."""

import json
from collections.abc import Iterable, Iterator, Sequence
from math import inf

from kener_async.domain.calendar import MINUTE
from kener_async.domain.checks import Attempt, Phases
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.store.interface import Session

COLUMNS = "monitor_id, at, status, latency, reason, phases"
EXPORTED_AT_ONCE = 500

FaultRow = tuple[int, float, int | None, float, str, str]


def add(session: Session, monitor: int, attempts: Sequence[Attempt]) -> int:
    """Store the attempts that were not UP; how many were new: those that are stored already stay."""
    return sum(
        session.execute(
            f"INSERT INTO check_faults ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",  # noqa: S608
            _values(monitor, attempt),
        ).rowcount
        for attempt in attempts
        if attempt.status is not Status.UP
    )


def recent(session: Session, monitor: int, limit: int, before: float | None = None) -> list[Attempt]:
    """The newest faults of a monitor, newest first; only those from before an instant, if one is given."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS} FROM check_faults
         WHERE monitor_id = ? AND at < ? ORDER BY at DESC LIMIT ?
        """,  # noqa: S608
        (monitor, inf if before is None else before, limit),
    )
    return [_attempt(row) for row in rows]


def newest(session: Session, monitors: Iterable[int]) -> dict[int, Attempt]:
    """The newest fault of each of these monitors; those without any are left out."""
    rows = session.execute(
        f"""
        SELECT {COLUMNS}
          FROM json_each(?) AS wanted
         CROSS JOIN check_faults ON monitor_id = wanted.value
           AND at = (SELECT max(at) FROM check_faults WHERE monitor_id = wanted.value)
        """,  # noqa: S608
        (json.dumps(list(monitors)),),
    )
    return {row[0]: _attempt(row) for row in rows}


def of_sample(session: Session, sample: Sample) -> Attempt | None:
    """The last attempt that saw what the sample of a check says; None: the sample is good, or a push."""
    row = session.execute(
        f"""
        SELECT {COLUMNS} FROM check_faults
         WHERE monitor_id = ? AND at >= ? AND at < ? AND status = ? ORDER BY at DESC LIMIT 1
        """,  # noqa: S608
        (sample.monitor, sample.minute, sample.minute + MINUTE, sample.status),
    ).fetchone()
    return None if row is None or sample.source is not SampleSource.CHECK else _attempt(row)


def delete_before(session: Session, instant: float, limit: int) -> bool:
    """Delete up to `limit` faults from before an instant; whether more may be left."""
    deleted = session.execute(
        """
        DELETE FROM check_faults
         WHERE (monitor_id, at) IN (SELECT monitor_id, at FROM check_faults
                                     WHERE at < ? ORDER BY at LIMIT ?)
        """,
        (instant, limit),
    ).rowcount
    return deleted == limit


def all_faults(session: Session) -> Iterator[tuple[int, Attempt]]:
    """All faults with their monitors, by monitor and oldest first, some at a time."""
    last: tuple[int, float] = (-1, 0.0)
    while True:
        rows = session.execute(
            f"""
            SELECT {COLUMNS} FROM check_faults
             WHERE (monitor_id, at) > (?, ?) ORDER BY monitor_id, at LIMIT ?
            """,  # noqa: S608
            (*last, EXPORTED_AT_ONCE),
        ).fetchall()
        if not rows:
            return
        yield from ((row[0], _attempt(row)) for row in rows)
        last = rows[-1][:2]


def _values(monitor: int, attempt: Attempt) -> FaultRow:
    phases = {name: seconds for name, seconds in attempt.phases._asdict().items() if seconds is not None}
    return monitor, attempt.at, attempt.status, attempt.seconds, attempt.reason, json.dumps(phases)


def _attempt(row: FaultRow) -> Attempt:
    _, at, status, seconds, reason, phases = row
    return Attempt(
        at, None if status is None else Status(status), seconds, reason, Phases(**json.loads(phases))
    )
