"""Rollups: the counts of each quarter-hour, counted from the layers, and their sums."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from time import perf_counter

from kener_async.domain.calendar import HOUR, MINUTE, QUARTER, quarter_from, quarter_of
from kener_async.domain.timeline import count_quarters, count_span
from kener_async.domain.uptime import NOTHING, Counts
from kener_async.store import dirty, followers, layers
from kener_async.store.dirty import Span
from kener_async.store.interface import Session
from kener_async.store.observer import kept_from
from kener_async.store.sample_rows import packed_latency

COUNTS = """
    up, degraded, degraded_as_downtime, down, maintenance,
    latency_count, latency_sum, latency_min, latency_max
"""
# latency_* are stored as samples' latencies are: INTEGER millionths, or REAL.
SUMS = """
    coalesce(sum(up), 0), coalesce(sum(degraded), 0), coalesce(sum(degraded_as_downtime), 0),
    coalesce(sum(down), 0), coalesce(sum(maintenance), 0), coalesce(sum(latency_count), 0),
    coalesce(sum(iif(typeof(latency_sum) = 'integer', latency_sum / 1e6, latency_sum)), 0.0),
    min(iif(typeof(latency_min) = 'integer', latency_min / 1e6, latency_min)),
    max(iif(typeof(latency_max) = 'integer', latency_max / 1e6, latency_max))
"""

QUARTERS_AT_ONCE = 96  # counted in one step: a day

CountedSpan = tuple[int, int, int]  # monitor, start, end

# Interned, because the day-counts cache (domain/day_counts.py) holds thousands of days.
MINUTES = tuple(range(25 * HOUR // MINUTE + 1))


def settle_for(
    session: Session, seconds: float, monitors: Sequence[int], window: Span, now: int
) -> tuple[list[CountedSpan], list[int]]:
    """Count the dirty quarters of these monitors in the window until none is left or the time is up.

    Returns what was counted, and the monitors that are left to be counted.
    """
    dirty.mark_closed(session, now)
    left, counted = list(monitors), list[CountedSpan]()
    until = perf_counter() + seconds
    while left and perf_counter() < until:
        spans, is_all = settle(session, left[-1], window, now, QUARTERS_AT_ONCE)
        counted += [(left[-1], *span) for span in spans]
        if is_all:
            left.pop()
    return counted, left


def settle(session: Session, monitor: int, window: Span, now: int, limit: int) -> tuple[list[Span], bool]:
    """Count again up to `limit` dirty quarters of a monitor within the window.

    Only quarters that have ended are counted, oldest first. Returns the spans, and whether none is left.
    """
    counted: list[Span] = []
    kept = kept_from(session)
    limit = max(1, limit // (1 + followers.count_followed(session, monitor)))  # as many minutes are read
    start, end = quarter_of(window[0]), min(quarter_from(window[1]), quarter_of(now))
    left = limit
    for marked in dirty.spans(session, monitor, start, end):
        first, last = max(marked[0], start), min(marked[1], end, max(marked[0], start) + left * QUARTER)
        if first < last:
            # Unmarked first, so that a mark set by a transaction at the same time survives the count.
            dirty.unmark(session, monitor, first, last)
            if last > kept:
                _count_again(session, monitor, max(first, kept), last)
            counted.append((first, last))
            left -= (last - first) // QUARTER
        if left == 0:
            break
    return counted, left > 0


def _count_again(session: Session, monitor: int, start: int, end: int) -> None:
    counted = count_quarters(layers.load(session, monitor, start, end), start, end)
    session.execute(
        "DELETE FROM quarters WHERE monitor_id = ? AND quarter >= ? AND quarter < ?", (monitor, start, end)
    )
    session.executemany(
        f"INSERT INTO quarters (monitor_id, quarter, {COUNTS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        [(monitor, quarter, *_row(counts)) for quarter, counts in counted.items()],
    )


def _row(counts: Counts) -> tuple[int | float | None, ...]:
    latencies = (counts.latency_sum, counts.latency_min, counts.latency_max)
    return (
        counts.up,
        counts.degraded,
        counts.degraded_as_downtime,
        counts.down,
        counts.maintenance,
        counts.latency_count,
        *(None if latency is None else packed_latency(latency) for latency in latencies),
    )


def total(session: Session, monitor: int, start: int, end: int) -> Counts:
    """The stored counts of whole quarters `[start, end)`."""
    row = session.execute(
        f"SELECT {SUMS} FROM quarters WHERE monitor_id = ? AND quarter >= ? AND quarter < ?",  # noqa: S608
        (monitor, start, end),
    ).fetchone()
    minutes, latencies = row[:6], row[6:]
    return Counts(*(MINUTES[count] if count < len(MINUTES) else count for count in minutes), *latencies)


def by_quarter(session: Session, monitor: int, start: int, end: int) -> Mapping[int, Counts]:
    """The counts of each quarter of `[start, end)`, all of which have ended; empty ones are left out."""
    counted: dict[int, Counts] = {}
    for first, last, clean in _by_cleanness(session, monitor, start, end):
        if clean:
            rows = session.execute(
                f"""
                SELECT quarter, {SUMS} FROM quarters
                 WHERE monitor_id = ? AND quarter >= ? AND quarter < ? GROUP BY quarter
                """,  # noqa: S608
                (monitor, first, last),
            )
            counted.update((quarter, Counts(*counts)) for quarter, *counts in rows)
        else:
            for begin, until, stored in layers.load_pieces(session, monitor, (first, last), last):
                counted.update(count_quarters(stored, begin, until))
    return counted


def count_window(session: Session, monitor: int, window: Span, now: int) -> Counts:
    """The counts of a window of minutes that have begun, both ends on the minute.

    Whole quarters that have ended come from the rollups. Dirty quarters, partial ones at the ends and the
    current one are counted from the layers.
    """
    counts = NOTHING
    kept = (max(window[0], kept_from(session)), window[1])
    for start, end, whole in pieces(kept, now):
        if not whole:
            counts += _count_from_layers(session, monitor, (start, end), now)
            continue
        for first, last, clean in _by_cleanness(session, monitor, start, end):
            if clean:
                counts += total(session, monitor, first, last)
            else:
                counts += _count_from_layers(session, monitor, (first, last), now)
    return counts


def _count_from_layers(session: Session, monitor: int, span: Span, now: int) -> Counts:
    counts = NOTHING
    for start, end, stored in layers.load_pieces(session, monitor, span, now):
        counts += count_span(stored, start, end)
    return counts


def count_spans(
    session: Session,
    monitor: int,
    spans: Collection[Span],
    cached: Mapping[Span, Counts],
    now: int,
) -> dict[Span, Counts]:
    """The counts of spans of whole quarters that have ended and are kept, equal to those of `count_window`.

    Counts that are `cached` are used if no quarter of the span is dirty.
    """
    first = min((start for start, _ in spans), default=0)
    last = max((end for _, end in spans), default=0)
    pieces = _by_cleanness(session, monitor, first, last)
    marked = [(start, end) for start, end, clean in pieces if not clean]
    counted: dict[Span, Counts] = {}
    # One statement for each span: grouped in a single statement they take half again as long, because SQLite
    # sorts all quarters before it groups them.
    for span in spans:
        if any(start < span[1] and span[0] < end for start, end in marked):
            counted[span] = count_window(session, monitor, span, now)
        else:
            counted[span] = cached[span] if span in cached else total(session, monitor, *span)
    return counted


def _by_cleanness(session: Session, monitor: int, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Divide ended quarters `[start, end)` into spans whose stored counts are right (True) and the others.

    The others are few, because callers have them settled first, unless the disk is full.
    """
    marked_until = max(start, min(end, dirty.rolled_until(session)))
    marked = dirty.spans(session, monitor, start, marked_until) if start < marked_until else []
    for first, last in marked:
        if start < first:
            yield start, first, True
        yield max(start, first), min(last, marked_until), False
        start = min(last, marked_until)
    if start < marked_until:
        yield start, marked_until, True
        start = marked_until
    if start < end:
        yield start, end, False


def pieces(window: Span, now: int) -> Iterator[tuple[int, int, bool]]:
    """Divide a span into whole ended quarters (True) and what is before and after them (False)."""
    start, end = window
    first = min(quarter_from(start), end)
    last = max(first, min(quarter_of(end), quarter_of(now)))
    if start < first:
        yield start, first, False
    if first < last:
        yield first, last, True
    if last < end:
        yield last, end, False
