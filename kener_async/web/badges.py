"""/badge/{tag}/status, uptime and dot: as SVG, and with .json at the end for shields.io's endpoint badges.

The tag `_` stands for all visible monitors.
"""

from base64 import b64encode
from dataclasses import dataclass, replace
from hashlib import sha256

import orjson

from kener_async import keys
from kener_async.api.http.responses import ANY_ORIGIN
from kener_async.config.fields import OVERALL
from kener_async.domain.calendar import MINUTE, minute_end
from kener_async.domain.errors import NotFound
from kener_async.domain.samples import Status
from kener_async.domain.uptime import NOTHING, Counts
from kener_async.domain.windows import WINDOWS
from kener_async.locales.locale import ENGLISH
from kener_async.store import rollups
from kener_async.web.formats import badge_svg
from kener_async.web.formats.badge_svg import (
    DOT_CSS,
    NO_DATA_COLOR,
    WORDS,
    Badge,
    Options,
    options,
    status_badge,
    uptime_badge,
)
from kener_async.web.pages import labels
from kener_async.web.pages.page import PageRequest, by_path_and_query, page
from kener_async.web.pages.snapshot import MonitorView
from kener_async.web.parts import palette

SVG = "image/svg+xml; charset=utf-8"
JSON = "application/json; charset=utf-8"
_DOT_HASH = b64encode(sha256(DOT_CSS.encode()).digest()).decode()
HEADERS = {
    **ANY_ORIGIN,
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_DOT_HASH}'",
}


@page(SVG, key=by_path_and_query, language=None, headers=HEADERS)
async def image(page: PageRequest) -> str:
    subject = _subject(page)
    chosen = options(page.request.query, subject.name)
    if page.request.match_info["kind"] == "dot":
        color = chosen.color or _colors(page)[subject.status]
        return badge_svg.dot(color, chosen.is_pinging, f"{chosen.label}: {subject.words}")
    return badge_svg.svg(await _badge(page, subject, chosen))


@page(JSON, key=by_path_and_query, language=None, headers=HEADERS)
async def endpoint(page: PageRequest) -> bytes:
    if page.request.match_info["kind"] == "dot":
        raise NotFound("a dot has no text")
    subject = _subject(page)
    chosen = options(page.request.query, subject.name)
    return orjson.dumps(badge_svg.endpoint(await _badge(page, subject, chosen)))


@dataclass(frozen=True, slots=True)
class Subject:
    """What a badge is about: the monitor of a tag, or all visible ones; `words` name its status."""

    tag: str
    name: str
    status: Status
    words: str


def _subject(page: PageRequest) -> Subject:
    """The subject of the address; raises NotFound for an unknown monitor."""
    tag = page.request.match_info["tag"]
    if tag == OVERALL:
        headline = page.snapshot.headline
        words = labels.headline_words(ENGLISH, headline).lower()
        return Subject(tag, page.config.site.name, headline.status, words)
    now = page.snapshot.named(tag)
    return Subject(tag, now.monitor.name, now.status, WORDS[now.status])


def _colors(page: PageRequest) -> dict[Status, str]:
    return {**palette.colors(page.config.site), Status.NO_DATA: NO_DATA_COLOR}


async def _badge(page: PageRequest, subject: Subject, chosen: Options) -> Badge:
    if page.request.match_info["kind"] == "status":
        return status_badge(chosen, subject.status, subject.words, _colors(page))
    if subject.tag == OVERALL:
        return await _overall_uptime(page, chosen)
    view = await page.view(subject.tag)
    counts = await _counts(page, view, chosen.since_last)
    end = minute_end(page.now)
    basis = labels.rests_on(ENGLISH, view, counts, (end - chosen.since_last, end))
    return uptime_badge(chosen, counts.uptime, basis)


async def _overall_uptime(page: PageRequest, chosen: Options) -> Badge:
    """The uptime of all minutes of all visible monitors.

    It is that of a window that is known of every monitor, because counting another one of all of them would
    take too long.
    """
    longer = (name for name, seconds in WINDOWS.items() if seconds >= chosen.since_last)
    name = next(longer, "90d")
    states = [monitor.state for monitor in page.snapshot.monitors]
    overviews = await page.app[keys.OVERVIEWS].of(states, page.config.site.timezone)
    counts = sum((overview.windows[name] for overview in overviews), start=NOTHING)
    return uptime_badge(replace(chosen, since_last=WINDOWS[name]), counts.uptime)


async def _counts(page: PageRequest, view: MonitorView, seconds: int) -> Counts:
    """The counts of a window that ends with the snapshot's minute."""
    name = next((name for name, length in WINDOWS.items() if length == seconds), None)
    if name is not None:
        return view.windows[name]
    state = await page.app[keys.LOADER].state(view.monitor.tag)
    end = minute_end(page.now)
    window = (end - seconds // MINUTE * MINUTE, end)
    await page.app[keys.ROLLUPS].settle([state.id], *window)
    return await page.app[keys.DATABASE].read(rollups.count_window, state.id, window, page.now)
