"""Latencies over time, in steps of any length."""

import json

from kener_async.domain.calendar import quarter_of
from kener_async.domain.uptime import NOTHING, Counts
from kener_async.store import dirty, samples
from kener_async.store.interface import Session

PLAIN = "iif(typeof({0}) = 'integer', {0} / 1e6, {0})"  # see schema.sql
COLUMNS = ", ".join(PLAIN.format(f"latency_{name}") for name in ("sum", "min", "max"))


def by_step(session: Session, monitor: int, start: int, end: int, step: int, now: int) -> dict[int, Counts]:
    """The latency counts of each step of `[start, end)` by its start; empty steps are left out.

    `start` is on a quarter, and `step` is a whole number of quarters. Counted quarters come from the rollups,
    the others, which are few, from the samples.
    """
    counted_until = max(start, min(end, quarter_of(now), dirty.rolled_until(session)))
    marked = [
        (max(first, start), min(last, counted_until))
        for first, last in dirty.spans(session, monitor, start, counted_until)
    ]
    rows = session.execute(
        f"""
        WITH marked (first, last) AS (SELECT value ->> 0, value ->> 1 FROM json_each(:marked)),
        parts (at, count, sum, low, high) AS (
            SELECT quarter, latency_count, {COLUMNS} FROM quarters
             WHERE monitor_id = :monitor AND quarter >= :start AND quarter < :counted_until
               AND latency_count > 0
               AND NOT EXISTS (SELECT 1 FROM marked WHERE quarter >= first AND quarter < last)
        )
        SELECT at - (at - :start) % :step, sum(count), sum(sum), min(low), max(high)
          FROM parts
         GROUP BY 1
         ORDER BY 1
        """,  # noqa: S608 - names of ours
        {
            "monitor": monitor,
            "start": start,
            "step": step,
            "counted_until": counted_until,
            "marked": json.dumps(marked),
        },
    )
    counted = {
        at: Counts(latency_count=count, latency_sum=total, latency_min=low, latency_max=high)
        for at, count, total, low, high in rows
    }
    for first, last in [*marked, (counted_until, min(end, now + 1))]:
        for minute, sample in samples.spans(session, [monitor], first, last).get(monitor, {}).items():
            at = minute - (minute - start) % step
            counted[at] = counted.get(at, NOTHING) + _of_one(sample.latency)
    return dict(sorted(counted.items()))


def _of_one(latency: float) -> Counts:
    return Counts(latency_count=1, latency_sum=latency, latency_min=latency, latency_max=latency)
