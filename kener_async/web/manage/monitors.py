"""/manage/monitors: all monitors, hidden ones too, the worst first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kener_async import keys
from kener_async.config.model import MonitorConfig
from kener_async.domain.checks import Attempt
from kener_async.domain.people import Act
from kener_async.domain.samples import Status
from kener_async.locales.locale import Locale
from kener_async.store import monitor_lists
from kener_async.web.manage.attention import BAD, monitors_now
from kener_async.web.manage.frame import ManagePage, manage_page
from kener_async.web.manage.lists import paged, query_choice, query_text
from kener_async.web.pages import labels
from kener_async.web.pages.snapshot import MonitorNow

STATUSES = {"bad": BAD, **{status.name: (status,) for status in Status}}
KINDS = ("check", "heartbeat", "group", "pushed")


@dataclass(frozen=True, slots=True)
class ListedMonitor:
    """A monitor of the list. `fault` is its newest, of its check; `alerts` counts its open ones."""

    monitor: MonitorConfig
    status: Status
    why: str
    kind: str
    last_heard: int | None
    fault: Attempt | None
    alerts: int


@manage_page(Act.SEE)
async def monitors(page: ManagePage) -> str:
    """All monitors that the person may see, filtered by the query string."""
    seen = [one for one in page.config.monitors if one.tag in page.tags]
    wanted = query_choice(page, "status", STATUSES, tuple(Status))
    kind, category, text = query_text(page, "kind"), query_text(page, "category"), query_text(page, "q")
    asked = [
        one
        for one in await monitors_now(page, seen)
        if one.status in wanted
        and (kind not in KINDS or kind_of(one.monitor) == kind)
        and category in ("", one.monitor.category)
        and _matches(one.monitor, text.casefold())
    ]
    asked.sort(key=lambda one: labels.SEVERITY[one.status])
    shown, pages = paged(page, asked)
    return await page.render(
        "manage/monitors.html",
        monitors=await _listed(page, shown),
        found=len(asked),
        total=len(seen),
        pages=pages,
        kinds=kind_names(page.locale),
        **_options(page, seen),
        asked={"status": page.query.get("status", ""), "kind": kind, "category": category, "q": text},
    )


def _options(page: ManagePage, seen: Sequence[MonitorConfig]) -> dict[str, Any]:
    """What the list can be filtered by: pairs of a value and a text."""
    _, used = page.locale.gettext, {one.category for one in seen}
    statuses = [(status.name, labels.status(page.locale, status)) for status in labels.CLASSES]
    categories = [(one.name, one.name) for one in page.config.categories if one.name in used]
    return {
        "status_options": [("", _("all")), ("bad", _("Down or degraded")), *statuses],
        "kind_options": [("", _("all")), *kind_names(page.locale).items()],
        "category_options": [("", _("all")), *categories],
    }


async def _listed(page: ManagePage, shown: Sequence[MonitorNow]) -> list[ListedMonitor]:
    """What the list shows of monitors, with one query for all."""
    found = await page.app[keys.DATABASE].read(monitor_lists.load, [one.state.id for one in shown])
    last_heard = page.app[keys.STATES].last_heard
    return [
        ListedMonitor(
            one.monitor,
            one.status,
            labels.reason_now(page.locale, one.current),
            kind_of(one.monitor),
            last_heard(one.state, page.now),
            found.faults.get(one.state.id),
            found.alerts.get(one.state.id, 0),
        )
        for one in shown
    ]


def _matches(monitor: MonitorConfig, text: str) -> bool:
    return not text or text in monitor.tag.casefold() or text in monitor.name.casefold()


def kind_of(monitor: MonitorConfig) -> str:
    """Where the minutes of a monitor come from: one of KINDS."""
    if monitor.settings.group is not None:
        return "group"
    if monitor.check is not None:
        return "check"
    return "pushed" if monitor.settings.expectation is None else "heartbeat"


def kind_names(locale: Locale) -> dict[str, str]:
    """The words for the kinds of monitors."""
    _ = locale.gettext
    return {
        "check": _("Check"),
        "heartbeat": _("Heartbeat"),
        "group": _("Group"),
        "pushed": _("Pushed"),
    }
