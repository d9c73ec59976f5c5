"""The minutes of a day, an hour a row: each run of minutes a shape that tells its status without colour."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from kener_async.domain.calendar import HOUR, MINUTE
from kener_async.domain.samples import Status
from kener_async.domain.timeline import Reason, Run
from kener_async.web.pages import labels
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.reasons import reason_in_words

# Where a status is drawn in a row of 20 units: bands, each from and to.
BANDS = {
    Status.UP: ((3, 17),),
    Status.DEGRADED: ((3, 8), (12, 17)),
    Status.DOWN: ((0, 20),),
    Status.MAINTENANCE: ((7, 13),),
    Status.NO_DATA: ((9, 11),),
}


@dataclass(frozen=True, slots=True)
class Hour:
    """A row: what the clock shows at its begin, and its minutes as SVG."""

    label: str
    start: int
    drawing: Markup


HEARD = (Reason.SAMPLE, Reason.HELD)


def joined(timeline: Iterable[Run]) -> list[Run]:
    """The runs, those that meet and say the same made one.

    A status that is held from one report to the next is that of the reports.
    """
    found = []
    for _, alike in groupby(timeline, key=_said):
        first, *others = alike
        reasons = {run.reason for run in (first, *others)}
        reason = Reason.SAMPLE if Reason.SAMPLE in reasons else first.reason
        found.append(replace(first, end=others[-1].end if others else first.end, reason=reason))
    return found


def _said(run: Run) -> tuple[Status, Reason, int | None]:
    return run.status, Reason.SAMPLE if run.reason in HEARD else run.reason, run.incident


def hours(timeline: Sequence[Run], start: int, end: int, zone: ZoneInfo, locale: Locale) -> Iterator[Hour]:
    """The rows of the day `[start, end)`; its last may be shorter than an hour."""
    is_odd = end - start != 24 * HOUR
    left = list(reversed(timeline))
    for begin in range(start, end, HOUR):
        until = min(begin + HOUR, end)
        pieces = []
        while left and left[-1].start < until:
            run = left.pop()
            pieces.append(replace(run, end=min(run.end, until)))
            if run.end > until:
                left.append(replace(run, start=until))
        label = clock(begin, zone, locale, is_odd)
        yield Hour(label, begin, _drawing(pieces, begin, zone, locale, is_odd))


def clock(instant: int, zone: ZoneInfo, locale: Locale, is_odd: bool) -> str:
    """The time of day; on odd days, when clocks are set, with the zone's name, as an hour may come twice."""
    text = locale.time(instant, zone)
    return f"{text} {datetime.fromtimestamp(instant, zone):%Z}" if is_odd else text


def shape(status: Status, start: int, end: int) -> str:
    """The path of the minutes `[start, end)` of an hour."""
    width = end - start
    return "".join(f"M{start} {top}h{width}v{bottom - top}h-{width}z" for top, bottom in BANDS[status])


def _drawing(pieces: Sequence[Run], begin: int, zone: ZoneInfo, locale: Locale, is_odd: bool) -> Markup:
    """Joined here, not in a template: there may be more than a thousand pieces."""
    paths = []
    for run in pieces:
        first, last = (run.start - begin) // MINUTE, (run.end - begin) // MINUTE
        times = [clock(instant, zone, locale, is_odd) for instant in (run.start, run.end)]
        said = f"{labels.status(locale, run.status)}, {reason_in_words(locale, run.reason)}"
        paths.append(
            f'<path class="{labels.CLASSES[run.status]}" d="{shape(run.status, first, last)}">'
            f"<title>{escape('–'.join(times))}\n{escape(said)}</title></path>"  # noqa: RUF001
        )
    return Markup("".join(paths))  # noqa: S704 - everything in it is escaped
