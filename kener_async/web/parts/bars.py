"""The bars of a monitor's days: one link for each, as short as possible, because a page has thousands.

They are joined here because a template takes fifteen times as long.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

from kener_async.domain.samples import Status
from kener_async.locales.locale import Locale
from kener_async.web.pages import labels
from kener_async.web.pages.snapshot import DayView

# The CSS class of a partial bar by the share of the day, in percent, that had its status.
STEPS = ((10, "s1"), (20, "s2"), (40, "s3"), (60, "s4"), (80, "s5"), (99.999, "s6"))


def bars(days: Sequence[DayView], address: str, locale: Locale, is_partial: bool) -> Markup:
    """Links to the days below `address`, oldest first.

    Only the last is a tab stop; from there arrow keys lead to the others (page.js).
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
    if not is_partial or day.status in (Status.UP, Status.NO_DATA):
        return name
    step = next((step for share, step in STEPS if _share(day) <= share), "")
    return f"{name} {step}".rstrip()


def _share(day: DayView) -> float:
    """How much of what is known of the day had the status of the bar, in percent."""
    counts = day.counts
    minutes = {
        Status.DEGRADED: counts.degraded,
        Status.DOWN: counts.down,
        Status.MAINTENANCE: counts.maintenance,
    }[day.status]
    return 100 * minutes / (counts.counted + counts.maintenance)
