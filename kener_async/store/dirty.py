"""Dirty marks: the quarters whose stored counts may differ from the layers.

A mark is set in the transaction that changes a layer, and deleted in the one that counts its quarters again,
so that a crash loses none.
"""

import json
from collections.abc import Iterable, Sequence

from kener_async.domain.calendar import quarter_from, quarter_of
from kener_async.store import followers
from kener_async.store.interface import Session

Span = tuple[int, int]


def mark(session: Session, spans: Iterable[tuple[int, int, int]]) -> None:
    """Mark quarters dirty: (monitor, start, end), both on the quarter."""
    ends: dict[tuple[int, int], int] = {}
    for monitor, start, end in spans:
        ends[monitor, start] = max(end, ends.get((monitor, start), end))
    rows = [(*key, end) for key, end in sorted(ends.items())]
    for first in range(0, len(rows), 500):
        some = rows[first : first + 500]
        session.execute(
            f"""
            INSERT INTO dirty (monitor_id, start, "end")
            VALUES {", ".join(["(?, ?, ?)"] * len(some))}
                ON CONFLICT (monitor_id, start) DO UPDATE
               SET "end" = excluded."end" WHERE excluded."end" > dirty."end"
            """,  # noqa: S608 - only placeholders are joined
            [value for row in some for value in row],
        )


def mark_span(session: Session, monitors: Iterable[int], start: int, end: int | None) -> None:
    """Mark all quarters of the monitors that overlap `[start, end)` and have been counted before."""
    mark_spans(session, [(monitor, start, end) for monitor in monitors])


def mark_spans(session: Session, spans: Iterable[tuple[int, int, int | None]]) -> None:
    """Mark the quarters that overlap spans and have been counted before: (monitor, start, end or None).

    Quarters that were never counted need no mark, because `mark_closed` marks each once it has ended.
    """
    rolled_until, kept_from = session.execute("SELECT rolled_until, kept_from FROM service").fetchone()
    counted = [
        (
            monitor,
            max(quarter_of(start), kept_from),
            rolled_until if end is None else min(quarter_from(end), rolled_until),
        )
        for monitor, start, end in spans
    ]
    mark_with_followers(session, [span for span in counted if span[1] < span[2]])


def mark_with_followers(session: Session, spans: Sequence[tuple[int, int, int]]) -> None:
    """Mark quarters of monitors dirty as `mark` does, and the same ones of those that follow them."""
    by_monitor = followers.of(session, {monitor for monitor, _, _ in spans}) if spans else {}
    also = [
        (follower, start, end) for monitor, start, end in spans for follower in by_monitor.get(monitor, ())
    ]
    mark(session, [*spans, *also])


def mark_closed(session: Session, now: int) -> None:
    """Mark the quarters that have ended since the last call, for every monitor."""
    counted_until = rolled_until(session)
    open_quarter = quarter_of(now)
    if counted_until < open_quarter:
        # In one statement, because there are thousands of monitors, and heartbeats wait for it.
        session.execute(
            """
            INSERT INTO dirty (monitor_id, start, "end") SELECT id, ?, ? FROM monitors WHERE true
                ON CONFLICT (monitor_id, start) DO UPDATE
               SET "end" = excluded."end" WHERE excluded."end" > dirty."end"
            """,
            (counted_until, open_quarter),
        )
        session.execute("UPDATE service SET rolled_until = ?", (open_quarter,))


def rolled_until(session: Session) -> int:
    """The quarter before which every quarter has been marked at least once."""
    (quarter,) = session.execute("SELECT rolled_until FROM service").fetchone()
    return int(quarter)


def is_settled(session: Session, monitor: int, window: Span, now: int) -> bool:
    """Whether the stored counts of the ended quarters in the window agree with the layers."""
    open_quarter = quarter_of(now)
    return rolled_until(session) >= open_quarter and not spans(
        session, monitor, window[0], min(window[1], open_quarter)
    )


def unsettled(session: Session, monitors: Iterable[int], window: Span, now: int) -> list[int]:
    """Those of the monitors whose stored counts in the window are not settled."""
    return [monitor for monitor in monitors if not is_settled(session, monitor, window, now)]


def monitors(session: Session, now: int) -> list[int]:
    """The monitors with dirty quarters that have ended."""
    rows = session.execute("SELECT DISTINCT monitor_id FROM dirty WHERE start < ?", (quarter_of(now),))
    return [monitor for (monitor,) in rows]


def spans(session: Session, monitor: int, start: int, end: int) -> list[Span]:
    """The dirty spans that overlap `[start, end)`, joined where they touch."""
    return spans_of(session, [monitor], start, end).get(monitor, [])


def spans_of(session: Session, monitors: Sequence[int], start: int, end: int) -> dict[int, list[Span]]:
    """The same of several monitors; those without any are left out."""
    rows = session.execute(
        """
        SELECT monitor_id, start, "end" FROM dirty
         WHERE monitor_id IN (SELECT value FROM json_each(?)) AND start < ? AND "end" > ?
         ORDER BY monitor_id, start
        """,
        (json.dumps(monitors), end, start),
    )
    found: dict[int, list[Span]] = {}
    for monitor, first, last in rows:
        joined = found.setdefault(monitor, [])
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return found


def unmark(session: Session, monitor: int, start: int, end: int) -> None:
    """Remove `[start, end)` from every mark; the parts of a mark before and after it stay."""
    unmark_many(session, [monitor], start, end)


def unmark_many(session: Session, monitors: Sequence[int], start: int, end: int) -> None:
    """The same for several monitors."""
    overlapping = session.execute(
        """
        DELETE FROM dirty
         WHERE monitor_id IN (SELECT value FROM json_each(?)) AND start < ? AND "end" > ?
     RETURNING monitor_id, start, "end"
        """,
        (json.dumps(monitors), end, start),
    ).fetchall()
    remainders = [(monitor, first, start) for monitor, first, _ in overlapping if first < start]
    remainders += [(monitor, end, last) for monitor, _, last in overlapping if last > end]
    mark(session, remainders)
