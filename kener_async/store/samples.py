"""Samples: one for each minute of a monitor that was reported, in three tables that are read as one.

Those of the last days are in `samples` (hot_samples.py), older ones in `sealed` (sealed_days.py), and those
that come in for sealed days in `late_samples` until they are merged. `seal_state.py` says which counts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType

from kener_async.domain.calendar import DAY, HOUR, MINUTE, QUARTER, quarter_of, utc_day_of
from kener_async.domain.samples import Sample, SampleSource, winners
from kener_async.store import (
    hot_samples,
    last_reports,
    late_samples,
    packing,
    sample_rows,
    seal_state,
    sealed_days,
)
from kener_async.store.dirty import mark, mark_with_followers
from kener_async.store.interface import Session
from kener_async.store.sample_rows import Key, Row, row_of, sample_of
from kener_async.store.seal_state import SealState

ROWS_AT_ONCE = 10_000
NONE_HEARD: Mapping[int, int] = MappingProxyType({})


def record(session: Session, batch: Sequence[Sample], received: int | None = None) -> Mapping[Key, Sample]:
    """Store a batch in order of arrival, and mark the quarters it changes; the samples stored, by key.

    Monitors of pushes were heard when they were `received`, if that is given.
    """
    checked = [(sample.monitor, sample.minute) for sample in batch if sample.source is SampleSource.CHECK]
    stored = winners(batch, at(session, checked) if checked else {})
    pushed = {sample.monitor for sample in stored.values() if sample.source is SampleSource.PUSH}
    put(session, stored, {} if received is None else dict.fromkeys(pushed, received))
    return stored


def put(session: Session, stored: Mapping[Key, Sample], heard: Mapping[int, int]) -> None:
    """Store these samples, replacing any stored before, and mark the quarters that this changes.

    `heard` is when monitors were heard, also those whose reports are not stored.
    """
    state = seal_state.read(session)
    _insert(session, [row_of(sample) for sample in stored.values()], state, heard)
    _mark_touched(session, stored, state)


def _insert(
    session: Session, rows: Sequence[Row], state: SealState, heard: Mapping[int, int] = NONE_HEARD
) -> None:
    late = [row for row in rows if row[1] < state.late_before]
    hot_samples.put(session, [row for row in rows if row[1] >= state.late_before] if late else rows)
    late_samples.put(session, late)
    last_reports.note(session, _newest(rows), heard)


def _newest(rows: Iterable[Row]) -> Mapping[int, int]:
    """The newest minute of each monitor in rows."""
    newest: dict[int, int] = {}
    for monitor, minute, *_ in rows:
        newest[monitor] = max(minute, newest.get(monitor, minute))
    return newest


def insert_many(session: Session, samples: Iterable[Sample]) -> None:
    """Store samples without marks, as an import does; of a minute the last one stays.

    They should come by monitor and minute, so that days are sealed whole.
    """
    state = seal_state.read(session)
    waiting: list[Row] = []
    for (monitor, day), some in groupby(map(row_of, samples), key=lambda row: (row[0], utc_day_of(row[1]))):
        rows = list(some)
        if day < state.hot_from:
            sealed_days.merge(session, monitor, day, rows)
            sample_rows.delete_of(session, "late_samples", monitor, [row[1] for row in rows])
            last_reports.note(session, _newest(rows), NONE_HEARD)
            continue
        waiting += rows
        if len(waiting) >= ROWS_AT_ONCE:
            _insert(session, waiting, state)
            waiting = []
    _insert(session, waiting, state)


def at(session: Session, keys: Sequence[Key]) -> dict[Key, Sample]:
    """The samples stored for these keys."""
    state = seal_state.read(session)
    found = late_samples.at(session, [key for key in keys if key[1] < state.late_before])
    hot = [key for key in keys if key[1] >= state.hot_from]
    found = hot_samples.at(session, hot) | found
    sealed = [key for key in keys if key[1] < state.hot_from and key not in found]
    return found | sealed_days.at(session, sealed) if sealed else found


def _mark_touched(session: Session, stored: Mapping[Key, Sample], state: SealState) -> None:
    """Mark each sample's quarter and the quarters until the next sample, whose status it may decide.

    From `rolled_until` on nothing has been counted yet, so the sample's own quarter is enough there.
    """
    counted_until = state.rolled_until
    stretches = _stretches(stored)
    late = [(monitor, last) for monitor, _, last in stretches if quarter_of(last) < counted_until]
    next_minutes = _following(session, late, state) if late else {}
    counted, new = list[tuple[int, int, int]](), list[tuple[int, int, int]]()
    for monitor, first, last in stretches:
        end = quarter_of(last) + QUARTER
        if quarter_of(last) < counted_until:
            minute = next_minutes.get((monitor, last))
            reach = counted_until if minute is None else quarter_of(minute) + QUARTER
            end = max(end, min(reach, counted_until))
        is_counted = quarter_of(first) < counted_until
        (counted if is_counted else new).append((monitor, quarter_of(first), end))
    mark(session, new)
    if counted:
        mark_with_followers(session, counted)


def following(session: Session, keys: Sequence[Key]) -> Mapping[Key, int]:
    """The minute of the next sample after each (monitor, minute); those without one are left out."""
    return _following(session, keys, seal_state.read(session))


def _following(session: Session, keys: Sequence[Key], state: SealState) -> Mapping[Key, int]:
    early = [key for key in keys if key[1] + MINUTE < state.late_before]
    late = late_samples.following(session, early) if early else {}
    old = [key for key in early if key[1] + MINUTE < state.hot_from]
    sealed = sealed_days.following(session, old, state.hot_from) if old else {}
    # Later than any that is sealed, so looked for only where none is.
    rest = [key for key in keys if key not in sealed]
    found = {**(hot_samples.following(session, rest, state.hot_from) if rest else {}), **sealed}
    for key, minute in late.items():
        found[key] = min(minute, found.get(key, minute))
    return found


def _stretches(keys: Iterable[Key]) -> list[tuple[int, int, int]]:
    """Group the minutes of each monitor that are at most an hour apart: monitor, first and last minute."""
    stretches: list[tuple[int, int, int]] = []
    for monitor, minute in sorted(keys):
        if stretches and stretches[-1][0] == monitor and minute - stretches[-1][2] <= HOUR:
            stretches[-1] = (monitor, stretches[-1][1], minute)
        else:
            stretches.append((monitor, minute, minute))
    return stretches


def spans(session: Session, monitors: Sequence[int], start: int, end: int) -> dict[int, dict[int, Sample]]:
    """The samples of `[start, end)` by monitor and minute, in order; monitors without any are left out."""
    state = seal_state.read(session)
    found: dict[int, dict[int, Sample]] = {}
    for row in sealed_days.rows(session, monitors, start, min(end, state.hot_from)):
        found.setdefault(row[0], {})[row[1]] = sample_of(row)
    for row in hot_samples.rows(session, monitors, max(start, state.hot_from), end):
        found.setdefault(row[0], {})[row[1]] = sample_of(row)
    late = late_samples.rows(session, monitors, start, min(end, state.late_before))
    for monitor, rows in groupby(late, key=lambda row: row[0]):
        before = found.get(monitor, {})
        merged = before | {row[1]: sample_of(row) for row in rows}
        found[monitor] = {minute: merged[minute] for minute in sorted(merged)} if before else merged
    return found


def minutes(session: Session, monitor: int, start: int, end: int) -> list[int]:
    """The minutes of `[start, end)` of which a monitor has samples, in order."""
    state = seal_state.read(session)
    late = late_samples.rows(session, [monitor], start, min(end, state.late_before))
    old = sealed_days.minutes(session, monitor, start, min(end, state.hot_from))
    new = hot_samples.minutes(session, monitor, max(start, state.hot_from), end)
    return sorted({*old, *new, *(row[1] for row in late)})


def newest_before(session: Session, monitors: Sequence[int], instant: int) -> dict[int, Sample]:
    """The newest sample of a minute before the instant, by monitor."""
    state = seal_state.read(session)
    found = hot_samples.newest_before(session, monitors, instant, state.hot_from)
    old = [monitor for monitor in monitors if monitor not in found]
    if old:
        found |= sealed_days.newest_before(session, old, min(instant, state.hot_from))
    for monitor, late in late_samples.newest_before(session, monitors, instant).items():
        if monitor not in found or late.minute >= found[monitor].minute:
            found[monitor] = late
    return found


def newest_minutes(session: Session, monitors: Sequence[int], instant: int) -> Mapping[int, int]:
    """The minutes of what `newest_before` finds, in less time."""
    state = seal_state.read(session)
    hot = hot_samples.newest_before(session, monitors, instant, state.hot_from)
    found = {monitor: sample.minute for monitor, sample in hot.items()}
    old = [monitor for monitor in monitors if monitor not in found]
    found |= sealed_days.newest_minutes(session, old, min(instant, state.hot_from)) if old else {}
    for monitor, sample in late_samples.newest_before(session, monitors, instant).items():
        found[monitor] = max(sample.minute, found.get(monitor, sample.minute))
    return found


def every(session: Session, monitor: int) -> Iterator[Sample]:
    """All samples of a monitor, oldest first; a day of them is held at once."""
    state = seal_state.read(session)
    days = {day for day in sealed_days.days(session, monitor) if day < state.hot_from}
    days |= late_samples.days(session, monitor) | hot_samples.days(session, monitor, state.hot_from)
    for day in sorted(days):
        yield from spans(session, [monitor], day, day + DAY).get(monitor, {}).values()


def delete_before(session: Session, monitor: int, minute: int, limit: int) -> int:
    """Delete up to `limit` rows of a monitor from before a minute; how many.

    A sealed day, and what came in late for it, stays until all of it is before the minute.
    """
    state = seal_state.read(session)
    day = utc_day_of(min(minute, state.hot_from))
    # The sealed ones first: without what is to be merged into them they would hold other values.
    deleted = sealed_days.delete_before(session, monitor, day, max(limit, 0))
    deleted += late_samples.delete_before(session, monitor, day, max(limit - deleted, 0))
    hot = hot_samples.minutes(session, monitor, state.late_before, minute)[: max(limit - deleted, 0)]
    sample_rows.delete_of(session, "samples", monitor, hot)
    return deleted + len(hot)


def count(session: Session) -> int:
    """The number of samples of all monitors."""
    state = seal_state.read(session)
    total = hot_samples.count_from(session, state.hot_from)
    late = late_samples.places(session)
    for monitor, day, present in sealed_days.all_presences(session, state.hot_from):
        total += (present | late.pop((monitor, day), 0)).bit_count()
    for (monitor, day), present in late.items():
        hot = hot_samples.minutes(session, monitor, day, day + DAY) if day >= state.hot_from else []
        total += (present & ~packing.mask((minute - day) // MINUTE for minute in hot)).bit_count()
    return total


def first_minute(session: Session, monitor: int) -> int | None:
    """The first minute of which a monitor has a sample; None: it has none."""
    found = following(session, [(monitor, -MINUTE)])
    return found.get((monitor, -MINUTE))
