"""/monitor/{tag}: one monitor, all that is known of it, and how its figures come about."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from aiohttp import web
from babel.numbers import format_decimal

from kener_async import keys
from kener_async.domain.calendar import MINUTE, minute_of
from kener_async.domain.states import MonitorState
from kener_async.domain.timeline import Reason, runs
from kener_async.domain.windows import WINDOWS
from kener_async.store import histories
from kener_async.store.explanations import Explanation
from kener_async.web.pages import labels
from kener_async.web.pages.assets import ASSETS
from kener_async.web.pages.cache import page
from kener_async.web.pages.locales import Locale
from kener_async.web.pages.reasons import reason_in_words
from kener_async.web.pages.snapshot import IncidentView, MonitorView, Snapshot, visible
from kener_async.web.pages.templates import TemplateContext, render
from kener_async.web.parts import latency, share
from kener_async.web.parts.bars import bars

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Figure:
    """A window's uptime; `query` asks the API for the same."""

    name: str
    label: str
    explained: Explanation
    query: str


async def monitor(request: web.Request) -> web.StreamResponse:
    async def make(snapshot: Snapshot, locale: Locale) -> str:
        shown = snapshot.named(request.match_info["tag"])
        return await _made(request.app, snapshot, locale, shown)

    return await page(request, make)


async def _made(app: web.Application, snapshot: Snapshot, locale: Locale, shown: MonitorView) -> str:
    monitor, now = shown.monitor, snapshot.now
    state = await app[keys.LOADER].state(monitor.tag)
    windows = spans(shown, now)
    await app[keys.ROLLUPS].settle([state.id], min(start for start, _ in windows.values()), now)
    past = await app[keys.DATABASE].read(
        histories.load, state.id, monitor.tag, windows, latency.frames(now), windows["90d"][0], now
    )
    view, texts = TemplateContext(snapshot.config, locale, app[ASSETS]), labels.windows(locale)
    charts = partial(latency.of_monitor, view, shown, past.latencies, texts, now)
    address = f"/monitor/{monitor.tag}"
    return await render(
        app,
        "monitor.html",
        snapshot.config,
        locale,
        path=address,
        now=now,
        shown=shown,
        monitor=monitor,
        newest=shown.report.current.newest,
        heard=app[keys.STATES].last_heard(state, now),
        missing=past.missing,
        category_path=f"/category/{quote(monitor.category, safe='')}",
        reason=_reason_now(state, shown, now),
        bars=bars(shown.days, view.link(address), locale, view.site.bar_style == "partial"),
        figures=list(_figures(view, past.windows, texts)),
        drawn=await asyncio.to_thread(lambda: list(charts())),
        ongoing=_of(snapshot.ongoing, monitor.tag),
        upcoming=_of(snapshot.upcoming, monitor.tag),
        past=_closed(visible(past.incidents, snapshot), now),
        names={one.monitor.tag: one.monitor.name for one in snapshot.monitors},
        shared=share.everything(view, monitor),
        number=partial(format_decimal, locale=locale.cldr),
        reason_in_words=reason_in_words,
    )


def spans(shown: MonitorView, now: int) -> dict[str, Span]:
    """The windows by name, all up to the end of the current minute."""
    end = minute_of(now) + MINUTE
    return {
        **{name: (end - length, end) for name, length in reversed(WINDOWS.items())},
        "today": (shown.days[-1].start, end),
    }


def _reason_now(state: MonitorState, shown: MonitorView, now: int) -> Reason | None:
    """Why it stands as it does; None where that may be another a moment ago."""
    run = next(runs(state.layers, minute_of(now), minute_of(now) + MINUTE))
    return run.reason if run.status is shown.status else None


def _figures(
    view: TemplateContext, windows: Mapping[str, Explanation], labels: Mapping[str, str]
) -> Iterator[Figure]:
    for name, explained in windows.items():
        query = f"window={name}"
        if name == "today":
            query += f"&timezone={view.site.timezone.key}"
        yield Figure(name, labels[name], explained, query)


def _of(events: Sequence[IncidentView], tag: str) -> list[IncidentView]:
    return [event for event in events if tag in event.tags]


def _closed(events: Sequence[IncidentView], now: int) -> list[IncidentView]:
    """Those that are over, newest first."""
    return [event for event in reversed(events) if event.incident.closed_as_of(now) is not None]
