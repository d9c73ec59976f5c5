"""Latencies over time, in steps of any length."""

import json

from kener_async.domain.calendar import quarter_of
from kener_async.domain.samples import MAX_LATENCY
from kener_async.domain.uptime import Counts
from kener_async.store import dirty
from kener_async.store.interface import Session

PLAIN = "iif(typeof({0}) = 'integer', {0} / 1e6, {0})"  # see schema.sql
COLUMNS = ", ".join(PLAIN.format(f"latency_{name}") for name in ("sum", "min", "max"))
SAMPLE = ", ".join(["minute", "1", *[f"min({PLAIN.format('latency')}, {MAX_LATENCY})"] * 3])


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
            UNION ALL
            SELECT {SAMPLE} FROM samples
             WHERE monitor_id = :monitor AND minute >= :counted_until AND minute < :end AND minute <= :now
            UNION ALL
            SELECT {SAMPLE} FROM marked CROSS JOIN samples  -- few spans first, then their samples
             WHERE monitor_id = :monitor AND minute >= first AND minute < last
        )
        SELECT at - (at - :start) % :step, sum(count), sum(sum), min(low), max(high)
          FROM parts
         GROUP BY 1
         ORDER BY 1
        """,  # noqa: S608 - names of ours
        {
            "monitor": monitor,
            "start": start,
            "end": end,
            "step": step,
            "now": now,
            "counted_until": counted_until,
            "marked": json.dumps(marked),
        },
    )
    return {
        at: Counts(latency_count=count, latency_sum=total, latency_min=low, latency_max=high)
        for at, count, total, low, high in rows
    }
