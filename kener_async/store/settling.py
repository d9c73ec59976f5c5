"""Count dirty quarters of many monitors at once, as a quarter's turn needs it.

Nearly all monitors have one and the same mark then: that of the quarter that has just ended. These are
counted together, in a few statements. Monitors with longer marks, and those that follow from others, are
counted one by one (store/rollups.py).
"""

from collections.abc import Sequence
from time import perf_counter

from kener_async.domain.calendar import HOUR, quarter_from, quarter_of
from kener_async.domain.timeline import count_quarters
from kener_async.store import dirty, followers, layers, quarters, rollups
from kener_async.store.dirty import Span
from kener_async.store.interface import Session
from kener_async.store.observer import kept_from
from kener_async.store.rollups import QUARTERS_AT_ONCE, CountedSpan

MONITORS_AT_ONCE = 20
LONGEST_TOGETHER = HOUR  # of a mark that is counted together with those of others


def settle_for(
    session: Session, seconds: float, monitors: Sequence[int], window: Span, now: int
) -> tuple[list[CountedSpan], list[int]]:
    """Count the dirty quarters of these monitors in the window until none is left or the time is up.

    Returns what was counted, and the monitors that are left to be counted.
    """
    dirty.mark_closed(session, now)
    left, alone, counted = list(monitors), list[int](), list[CountedSpan]()
    until = perf_counter() + seconds
    while (left or alone) and perf_counter() < until:
        if alone:
            spans, is_all = rollups.settle(session, alone[-1], window, now, QUARTERS_AT_ONCE)
            counted += [(alone[-1], *span) for span in spans]
            if is_all:
                alone.pop()
            continue
        some, left = left[-MONITORS_AT_ONCE:], left[:-MONITORS_AT_ONCE]
        together, alone = settle_together(session, some, window, now)
        counted += together
    return counted, left + alone


def settle_together(
    session: Session, monitors: Sequence[int], window: Span, now: int
) -> tuple[list[CountedSpan], list[int]]:
    """Count what is dirty of monitors with one short mark; what was counted, and the monitors left dirty."""
    start, end = quarter_of(window[0]), min(quarter_from(window[1]), quarter_of(now))
    marks = dirty.spans_of(session, monitors, start, end)
    following = followers.among(session, list(marks))
    kept, counted, alone = kept_from(session), list[CountedSpan](), list[int]()
    by_span: dict[Span, list[int]] = {}
    for monitor, spans in marks.items():
        first, last = max(spans[0][0], start, kept), min(spans[0][1], end)
        is_short = len(spans) == 1 and 0 < last - first <= LONGEST_TOGETHER and spans[0][0] >= kept
        if is_short and monitor not in following:
            by_span.setdefault((first, last), []).append(monitor)
        else:
            alone.append(monitor)
    for span, some in by_span.items():
        # Unmarked first, so that a mark set by a transaction at the same time survives the count.
        dirty.unmark_many(session, some, *span)
        stored = layers.load_many(session, some, *span)
        quarters.replace_many(session, *span, {one: count_quarters(stored[one], *span) for one in some})
        counted += [(monitor, *span) for monitor in some]
    return counted, alone
