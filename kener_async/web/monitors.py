"""/monitor/{tag}: one monitor, and how its uptime figures are computed."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from babel.numbers import format_decimal

from kener_async import keys
from kener_async.config.model import MonitorConfig
from kener_async.domain.calendar import minute_end
from kener_async.domain.certificates import ends_at
from kener_async.domain.samples import Sample
from kener_async.domain.windows import WINDOWS
from kener_async.store import certificates, check_faults, histories
from kener_async.store.explanations import Explanation
from kener_async.store.interface import Session
from kener_async.web.pages import labels
from kener_async.web.pages.cache import RenderedPage
from kener_async.web.pages.page import PageRequest, page
from kener_async.web.pages.snapshot import IncidentView, MonitorNow, MonitorView, Snapshot, visible
from kener_async.web.pages.templates import TemplateContext
from kener_async.web.parts import latency, share
from kener_async.web.parts.bars import bars

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Figure:
    """A window's uptime; `query` asks the API for the same. `basis`: since when, if little is known of it."""

    name: str
    label: str
    explained: Explanation
    query: str
    basis: str


@page()
async def monitor(page: PageRequest) -> RenderedPage:
    app, snapshot, locale, now = page.app, page.snapshot, page.locale, page.now
    view = await page.view(page.request.match_info["tag"])
    monitor = view.monitor
    state = await app[keys.LOADER].state(monitor.tag)
    windows = spans(view, now)
    await app[keys.ROLLUPS].settle([state.id], min(start for start, _ in windows.values()), now)
    days = [(day.start, day.end) for day in view.days]
    history = await app[keys.DATABASE].read(
        histories.load, state.id, monitor.tag, windows, latency.frames(now), days, windows["90d"][0], now
    )
    seen = await _seen(page, view, state.id)
    texts, address = labels.windows(locale), f"/monitor/{monitor.tag}"
    draw = partial(latency.of_monitor, page.context, view, history, texts, now)
    is_partial = page.config.site.bar_style == "partial"
    return await page.render(
        "monitor.html",
        path=address,
        monitor_view=view,
        monitor=monitor,
        newest=view.current.newest,
        held=view.current.held,
        last_heard=app[keys.STATES].last_heard(state, now),
        missing=history.missing,
        category_path=f"/category/{quote(monitor.category, safe='')}",
        reason=view.current.reason,
        is_group=monitor.settings.group is not None,
        reason_words=labels.reason_now(page.locale, view.current),
        checked=labels.checked(page.locale, monitor.check),
        seen=seen,
        members=_members(monitor, snapshot),
        bars=bars(view.days, page.context.link(address), locale, is_partial),
        figures=list(_figures(page.context, view, history.windows, texts)),
        charts=await asyncio.to_thread(lambda: list(draw())),
        ongoing=_affecting(monitor.tag, snapshot.ongoing),
        upcoming=_affecting(monitor.tag, snapshot.upcoming),
        past=_closed(visible(history.incidents, snapshot), now),
        names={other.monitor.tag: other.monitor.name for other in snapshot.monitors},
        share=share.snippets(page.context, monitor),
        number=partial(format_decimal, locale=locale.cldr),
    )


@dataclass(frozen=True, slots=True)
class SeenByCheck:
    """What the check of a monitor saw, as far as visitors may know; empty and None: nothing.

    `reason`: why the status is bad that holds now. `certificate_ends` is in UTC seconds.
    """

    reason: str = ""
    certificate_ends: int | None = None


async def _seen(page: PageRequest, view: MonitorView, number: int) -> SeenByCheck:
    if view.monitor.check is None or not view.monitor.show_reasons:
        return SeenByCheck()
    return await page.app[keys.DATABASE].read(_load_seen, number, view.current.held)


def _load_seen(session: Session, number: int, held: Sample | None) -> SeenByCheck:
    fault = None if held is None else check_faults.of_sample(session, held)
    chain = certificates.of(session, [number]).get(number, ())
    return SeenByCheck("" if fault is None else fault.reason, ends_at(chain))


def _members(monitor: MonitorConfig, snapshot: Snapshot) -> list[MonitorNow]:
    """The visible members of a group; none of another monitor."""
    group = monitor.settings.group
    tags = () if group is None else group.members
    return [snapshot.by_tag[tag] for tag in tags if tag in snapshot.by_tag]


def spans(view: MonitorView, now: int) -> dict[str, Span]:
    """The windows by name, longest first; all up to the end of the current minute."""
    end = minute_end(now)
    return {
        **{name: (end - length, end) for name, length in reversed(WINDOWS.items())},
        "today": (view.days[-1].start, end),
    }


def _figures(
    context: TemplateContext, view: MonitorView, windows: Mapping[str, Explanation], texts: Mapping[str, str]
) -> Iterator[Figure]:
    for name, explained in windows.items():
        query = f"window={name}"
        if name == "today":
            query += f"&timezone={context.site.timezone.key}"
        basis = labels.rests_on(context.locale, view, explained.counts, explained.window)
        yield Figure(name, texts[name], explained, query, basis)


def _affecting(tag: str, incidents: Sequence[IncidentView]) -> list[IncidentView]:
    return [view for view in incidents if tag in view.tags]


def _closed(incidents: Sequence[IncidentView], now: int) -> list[IncidentView]:
    """Closed incidents, newest first."""
    return [view for view in reversed(incidents) if view.incident.closed_as_of(now) is not None]
