"""The minutes of a day as SVG, an hour in each row; each status has a shape of its own."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from kener_async.domain.calendar import HOUR, MINUTE
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Reason, Run
from kener_async.locales.locale import Locale
from kener_async.web.pages import labels

# The bands drawn for a status in a row 20 units high, each from and to.
BANDS = {
    Status.UP: ((3, 17),),
    Status.DEGRADED: ((3, 8), (12, 17)),
    Status.DOWN: ((0, 20),),
    Status.MAINTENANCE: ((7, 13),),
    Status.NO_DATA: ((9, 11),),
}


@dataclass(frozen=True, slots=True)
class Hour:
    """A row: the time of day at its start, and its minutes as SVG."""

    label: str
    start: int
    drawing: Markup


REPORTED = (Reason.SAMPLE, Reason.HELD)


def joined(timeline: Iterable[Run]) -> list[Run]:
    """Join adjacent runs of the same status, reason and incident.

    A status held from one report to the next counts as reported, so that it does not split a run.
    """
    joined_runs = []
    for _, equal in groupby(timeline, key=_identity):
        runs = list(equal)
        is_reported = any(run.reason is Reason.SAMPLE for run in runs)
        reason = Reason.SAMPLE if is_reported else runs[0].reason
        joined_runs.append(replace(runs[0], end=runs[-1].end, reason=reason))
    return joined_runs


def _identity(run: Run) -> tuple[Status, Reason, int | None]:
    return run.status, Reason.SAMPLE if run.reason in REPORTED else run.reason, run.incident


def hours(timeline: Sequence[Run], start: int, end: int, zone: ZoneInfo, locale: Locale) -> Iterator[Hour]:
    """The rows of the day `[start, end)`; the last may be shorter than an hour."""
    is_odd = end - start != 24 * HOUR
    remaining = list(reversed(timeline))
    for begin in range(start, end, HOUR):
        until = min(begin + HOUR, end)
        pieces = []
        while remaining and remaining[-1].start < until:
            run = remaining.pop()
            pieces.append(replace(run, end=min(run.end, until)))
            if run.end > until:
                remaining.append(replace(run, start=until))
        label = clock(begin, zone, locale, is_odd)
        yield Hour(label, begin, _drawing(pieces, begin, zone, locale, is_odd))


def clock(instant: int, zone: ZoneInfo, locale: Locale, is_odd: bool) -> str:
    """The time of day; on a day when clocks change with the zone's name, because an hour may come twice."""
    text = locale.time(instant, zone)
    return f"{text} {datetime.fromtimestamp(instant, zone):%Z}" if is_odd else text


def shape(status: Status, start: int, end: int) -> str:
    """The SVG path of the minutes `[start, end)` of an hour."""
    width = end - start
    return "".join(f"M{start} {top}h{width}v{bottom - top}h-{width}z" for top, bottom in BANDS[status])


def _drawing(pieces: Sequence[Run], begin: int, zone: ZoneInfo, locale: Locale, is_odd: bool) -> Markup:
    # Joined here because a template is slow for what may be more than a thousand pieces.
    paths = []
    for run in pieces:
        first, last = (run.start - begin) // MINUTE, (run.end - begin) // MINUTE
        times = [clock(instant, zone, locale, is_odd) for instant in (run.start, run.end)]
        text = f"{labels.status(locale, run.status)}, {labels.reason(locale, run.reason)}"
        paths.append(
            f'<path class="{labels.CLASSES[run.status]}" d="{shape(run.status, first, last)}">'
            f"<title>{escape('–'.join(times))}\n{escape(text)}</title></path>"  # noqa: RUF001
        )
    return Markup("".join(paths))  # noqa: S704 - everything in it is escaped
