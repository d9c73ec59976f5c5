"""Rollups: the counts of each quarter-hour, counted from the layers, and their sums."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from kener_async.domain.calendar import QUARTER, quarter_from, quarter_of
from kener_async.domain.timeline import count_quarters, count_span
from kener_async.domain.uptime import NOTHING, Counts
from kener_async.store import day_sums, dirty, followers, layers, quarters
from kener_async.store.dirty import Span
from kener_async.store.interface import Session
from kener_async.store.observer import kept_from

QUARTERS_AT_ONCE = 96  # counted in one step: a day

CountedSpan = tuple[int, int, int]  # monitor, start, end


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
                begin = max(first, kept)
                counted_again = count_quarters(layers.load(session, monitor, begin, last), begin, last)
                quarters.replace(session, monitor, begin, last, counted_again)
            counted.append((first, last))
            left -= (last - first) // QUARTER
        if left == 0:
            break
    return counted, left > 0


def by_quarter(session: Session, monitor: int, start: int, end: int) -> Mapping[int, Counts]:
    """The counts of each quarter of `[start, end)`, all of which have ended; empty ones are left out."""
    counted: dict[int, Counts] = {}
    for first, last, clean in _by_cleanness(session, monitor, start, end):
        if clean:
            counted |= quarters.by_start(session, monitor, first, last)
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
                counts += day_sums.total(session, monitor, first, last)
            else:
                counts += _count_from_layers(session, monitor, (first, last), now)
    return counts


def count_windows(session: Session, monitors: Sequence[int], window: Span, now: int) -> dict[int, Counts]:
    """The counts of a window of several monitors, as `count_window` has them, in a few statements.

    The window is of whole quarters, at most a day of them: longer ones are counted by the sums of days.
    """
    start, end = max(window[0], kept_from(session)), window[1]
    if start >= end:
        return dict.fromkeys(monitors, NOTHING)
    if end > dirty.rolled_until(session):
        return {monitor: count_window(session, monitor, window, now) for monitor in monitors}
    marked = dirty.spans_of(session, monitors, start, end)
    clean = quarters.totals(session, [one for one in monitors if one not in marked], start, end)
    return {
        one: count_window(session, one, window, now) if one in marked else clean.get(one, NOTHING)
        for one in monitors
    }


def _count_from_layers(session: Session, monitor: int, span: Span, now: int) -> Counts:
    counts = NOTHING
    for start, end, stored in layers.load_pieces(session, monitor, span, now):
        counts += count_span(stored, start, end)
    return counts


def count_spans(
    session: Session, monitor: int, spans: Collection[Span], marked: Sequence[Span], now: int
) -> dict[Span, Counts]:
    """The minutes of spans of whole quarters that have ended and are kept, as `count_window` counts them.

    Latencies are left out. The sums of whole days are stored, unless they were counted again just now.
    `marked` is what `not_clean` says of these spans.
    """
    start = min((start for start, _ in spans), default=0)
    end = max((end for _, end in spans), default=0)
    stored = day_sums.load_minutes(session, monitor, start, end)
    first = quarters.first(session, monitor)
    counted: dict[Span, Counts] = {}
    # One statement for each span: grouped in a single statement they take half again as long, because SQLite
    # sorts all quarters before it groups them.
    for span in spans:
        if marked and any(start < span[1] and span[0] < end for start, end in marked):
            counted[span] = count_window(session, monitor, span, now).without_latencies
        elif span in stored:
            counted[span] = stored[span]
        elif first is None or span[1] <= first:
            counted[span] = NOTHING
        else:
            counted[span] = quarters.total_of_minutes(session, monitor, *span)
    return counted


def count_clean(
    session: Session, monitor: int, starts: Collection[int], marked: Sequence[Span]
) -> dict[int, Counts]:
    """The minutes of those of these quarters whose stored counts are right, by their start.

    `marked` is what `not_clean` says of these quarters.
    """
    clean = [at for at in starts if not any(start <= at < end for start, end in marked)]
    return dict.fromkeys(clean, NOTHING) | quarters.minutes_by_start(session, monitor, clean)


def days_counted(session: Session, monitor: int, start: int, end: int) -> dict[Span, Counts]:
    """The stored sums of days within `[start, end)` that are right, with latencies."""
    marked = not_clean(session, [monitor], start, end)[monitor]
    return {
        day: counts
        for day, counts in day_sums.load(session, monitor, start, end).items()
        if not any(first < day[1] and day[0] < last for first, last in marked)
    }


def not_clean(
    session: Session, monitors: Sequence[int], start: int, end: int
) -> Mapping[int, Sequence[Span]]:
    """The spans within ended quarters `[start, end)` whose stored counts may be wrong, in order, by monitor.

    They are few, because callers have them settled first, unless the disk is full.
    """
    marked_until = max(start, min(end, dirty.rolled_until(session)))
    marked = dirty.spans_of(session, monitors, start, marked_until) if start < marked_until else {}
    uncounted = [(marked_until, end)] if marked_until < end else []
    return {
        monitor: [(max(first, start), min(last, marked_until)) for first, last in marked.get(monitor, ())]
        + uncounted
        for monitor in monitors
    }


def _by_cleanness(session: Session, monitor: int, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Divide ended quarters `[start, end)` into spans whose stored counts are right (True) and the others."""
    for first, last in not_clean(session, [monitor], start, end)[monitor]:
        if start < first:
            yield start, first, True
        yield first, last, False
        start = last
    if start < end:
        yield start, end, True


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
