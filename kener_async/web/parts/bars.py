"""The bars of a monitor's days: one link each, as short as can be, for there are thousands on a page.

They are joined here and not in a template, which would take fifteen times as long.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

from kener_async.domain.calendar import MINUTE
from kener_async.domain.samples import Status
from kener_async.web.pages import labels
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.snapshot import DayView

# The height of a partial bar, by the share of the day that had its status: up to so many percent, a class.
STEPS = ((10, "s1"), (20, "s2"), (40, "s3"), (60, "s4"), (80, "s5"), (99.999, "s6"))


def bars(days: Sequence[DayView], address: str, locale: Locale, is_partial: bool) -> Markup:
    """Links to the days below `address`, oldest first, each with its text. Only the last is a tab stop;
    from there arrow keys lead to the others.
    """
    start = f'<a tabindex=-1 href="{escape(address)}/'
    links = [
        f'{start}{day.date}" class="{_classes(day, is_partial)}" '
        f'aria-label="{escape(labels.day(locale, day))}"></a>'
        for day in days
    ]
    if links:
        links[-1] = links[-1].replace(" tabindex=-1", "", 1)
    return Markup("".join(links))  # noqa: S704 - everything in it is escaped


def _classes(day: DayView, is_partial: bool) -> str:
    name = labels.CLASSES[day.status]
    if not is_partial or day.status is Status.NO_DATA:
        return name
    step = next((step for share, step in STEPS if _share(day) <= share), "")
    return f"{name} {step}".rstrip()


def _share(day: DayView) -> float:
    """How much of the day had the status it counts as, in percent."""
    counts = day.counts
    minutes = {
        Status.UP: counts.up,
        Status.DEGRADED: counts.degraded,
        Status.DOWN: counts.down,
        Status.MAINTENANCE: counts.maintenance,
    }[day.status]
    return 100 * minutes * MINUTE / (day.end - day.start)
