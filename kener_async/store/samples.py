"""Samples: one row for each minute of a monitor that was reported."""

import json
from collections.abc import Iterable, Mapping, Sequence

from kener_async.domain.calendar import HOUR, QUARTER, quarter_of
from kener_async.domain.samples import MAX_LATENCY, Sample, SampleSource, Status, winners
from kener_async.store.dirty import mark, mark_with_followers, rolled_until
from kener_async.store.interface import Session

MILLION = 1_000_000
ROWS_PER_STATEMENT = 500


def record(session: Session, batch: Sequence[Sample]) -> Mapping[tuple[int, int], Sample]:
    """Store a batch in order of arrival, and mark the quarters it changes; the samples stored, by key."""
    checked = [(sample.monitor, sample.minute) for sample in batch if sample.source is SampleSource.CHECK]
    stored = winners(batch, at(session, checked))
    put(session, stored)
    return stored


def put(session: Session, stored: Mapping[tuple[int, int], Sample]) -> None:
    """Store these samples, replacing any stored before, and mark the quarters that this changes."""
    rows = sorted(stored.values())  # in the order of the primary key, which halves the work
    # Many rows in one statement, because executemany releases the GIL for each row.
    for first in range(0, len(rows), ROWS_PER_STATEMENT):
        some = rows[first : first + ROWS_PER_STATEMENT]
        values = [
            value
            for sample in some
            for value in (
                sample.monitor,
                sample.minute,
                sample.status,
                sample.source,
                packed_latency(sample.latency),
            )
        ]
        session.execute(
            f"""
            INSERT INTO samples (monitor_id, minute, status, source, latency)
            VALUES {", ".join(["(?, ?, ?, ?, ?)"] * len(some))}
                ON CONFLICT (monitor_id, minute) DO UPDATE
               SET status = excluded.status, source = excluded.source, latency = excluded.latency
            """,  # noqa: S608 - only placeholders are joined
            values,
        )
    _mark_touched(session, stored)


def at(session: Session, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Sample]:
    """The samples stored for these keys."""
    stored: dict[tuple[int, int], Sample] = {}
    for first in range(0, len(keys), ROWS_PER_STATEMENT):
        some = keys[first : first + ROWS_PER_STATEMENT]
        rows = session.execute(
            f"""
            WITH wanted (monitor, moment) AS (VALUES {", ".join(["(?, ?)"] * len(some))})
            SELECT monitor_id, minute, status, source, latency
              FROM wanted JOIN samples ON monitor_id = monitor AND minute = moment
            """,  # noqa: S608 - only placeholders are joined
            [value for key in some for value in key],
        )
        stored.update({row[:2]: _sample(row) for row in rows})
    return stored


def _mark_touched(session: Session, stored: Mapping[tuple[int, int], Sample]) -> None:
    """Mark each sample's quarter and the quarters until the next sample, whose status it may decide.

    From `rolled_until` on nothing has been counted yet, so the sample's own quarter is enough there.
    """
    counted_until = rolled_until(session)
    stretches = _stretches(stored)
    late = [(monitor, last) for monitor, _, last in stretches if quarter_of(last) < counted_until]
    following = _following(session, late) if late else {}
    counted, new = list[tuple[int, int, int]](), list[tuple[int, int, int]]()
    for monitor, first, last in stretches:
        end = quarter_of(last) + QUARTER
        if (monitor, last) in following:
            minute = following[monitor, last]
            reach = counted_until if minute is None else quarter_of(minute) + QUARTER
            end = max(end, min(reach, counted_until))
        is_counted = quarter_of(first) < counted_until
        (counted if is_counted else new).append((monitor, quarter_of(first), end))
    mark(session, new)
    if counted:
        mark_with_followers(session, counted)


def _following(session: Session, keys: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int | None]:
    """The minute of the next sample after each (monitor, minute); None: there is none."""
    rows = session.execute(
        """
        WITH late (monitor, moment) AS (SELECT value ->> 0, value ->> 1 FROM json_each(?))
        SELECT monitor, moment,
               (SELECT min(minute) FROM samples WHERE monitor_id = monitor AND minute > moment)
          FROM late
        """,
        (json.dumps(keys),),
    )
    return {(monitor, moment): minute for monitor, moment, minute in rows}


def _stretches(keys: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Group the minutes of each monitor that are at most an hour apart: monitor, first and last minute."""
    stretches: list[tuple[int, int, int]] = []
    for monitor, minute in sorted(keys):
        if stretches and stretches[-1][0] == monitor and minute - stretches[-1][2] <= HOUR:
            stretches[-1] = (monitor, stretches[-1][1], minute)
        else:
            stretches.append((monitor, minute, minute))
    return stretches


def spans(session: Session, monitors: Sequence[int], start: int, end: int) -> dict[int, dict[int, Sample]]:
    """The samples of `[start, end)` by monitor and minute; monitors without any are left out."""
    rows = session.execute(
        """
        SELECT monitor_id, minute, status, source, latency
          FROM samples
         WHERE monitor_id IN (SELECT value FROM json_each(?)) AND minute >= ? AND minute < ?
         ORDER BY monitor_id, minute
        """,
        (json.dumps(monitors), start, end),
    )
    found: dict[int, dict[int, Sample]] = {}
    for row in rows:
        found.setdefault(row[0], {})[row[1]] = _sample(row)
    return found


def newest_before(session: Session, monitors: Sequence[int], instant: int) -> dict[int, Sample]:
    """The newest sample of a minute before the instant, by monitor."""
    rows = session.execute(
        """
        WITH wanted (monitor) AS (SELECT value FROM json_each(?))
        SELECT monitor_id, minute, status, source, latency
          FROM wanted
         CROSS JOIN samples ON monitor_id = monitor
           AND minute = (SELECT max(minute) FROM samples WHERE monitor_id = monitor AND minute < ?)
        """,
        (json.dumps(monitors), instant),
    )
    return {row[0]: _sample(row) for row in rows}


def _sample(row: tuple[int, int, int, int, int | float]) -> Sample:
    monitor, minute, status, source, latency = row
    return Sample(monitor, minute, Status(status), plain_latency(latency), SampleSource(source))


def packed_latency(latency: float) -> int | float:
    """The latency as stored: an integer of millionths if that is exact, else a float."""
    millionths = round(latency * MILLION) if latency < MILLION * MILLION else -1
    return millionths if millionths / MILLION == latency else float(latency)


def plain_latency(stored: int | float) -> float:
    """The latency of a stored value, at most MAX_LATENCY: earlier versions stored any number."""
    return stored / MILLION if isinstance(stored, int) else min(stored, float(MAX_LATENCY))
