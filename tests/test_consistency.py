"""A figure is the same on every page, badge and route, and in a recount.

Random histories (tests/test_histories.py) end with a comparison, to the digit, of all figures of one monitor:
its uptime in every window, and that of some of its days.

KENER_HISTORIES=2000 runs that many instead of a few.
"""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kener_async.domain.heartbeats import MonitorSettings
from kener_async.domain.samples import Status
from kener_async.locales.locale import NAMES
from tests.rigs import recount
from tests.rigs.markup import Element, parsed
from tests.rigs.service import NOON
from tests.test_histories import (
    DAY,
    HISTORIES,
    HOUR,
    MINUTE,
    SHOWN_ZONES,
    TAGS,
    WINDOWS,
    Beat,
    History,
    LookAtAll,
    Moment,
    Recount,
    Roll,
    Span,
    Stored,
    World,
    histories,
    last_days,
    lived,
)

EMBEDDED = "90d"
ORDER = ("90d", "30d", "7d", "24h", "today")
Told = dict[str, str]  # what a figure is, by where it is told; "-" where it is told that there is none


def number(text: str) -> str:
    """The first number in a text, with a point for its decimals; what a figure rests on follows it."""
    found = re.findall(r"\d+(?:[.,]\d+)?", text)
    return found[0].replace(",", ".") if found else "-"


def minutes(text: str) -> list[int]:
    """The whole numbers in a text, however its language parts their thousands."""
    return [int(re.sub(r"\D", "", found)) for found in re.findall(r"\d(?:[\d.,\s]*\d)?", text)]


def figure(up: int, degraded: int, downtime: int, down: int) -> str:
    return recount.uptime_text(up + degraded - downtime, up + degraded + down)


class Reader:
    """Who looks up all that is told of one monitor, in one language."""

    def __init__(self, world: World, tag: str, language: str, kept_from: int) -> None:
        self.service = world.service
        self.tag = tag
        self.language = language
        self.zone = str(world.config.site.timezone)
        self.days = last_days(world.now, self.zone)
        self.end = world.now // MINUTE * MINUTE + MINUTE
        self.kept_from = kept_from

    async def figures(self, ago: tuple[int, ...]) -> AsyncIterator[tuple[str, Span, Told]]:
        """Of each window, and of the days so many days ago: its name, its minutes, and what is told of it."""
        self.row = (await self._page("/")).one("article", id=self.tag)
        self.monitor = await self._page(f"/monitor/{self.tag}")
        self.embed = await self._page(f"/embed/{self.tag}")
        starts = {name: self.end - MINUTE * length for name, length in WINDOWS.items()}
        for name, start in {**starts, "today": self.days[-1][1]}.items():
            yield name, self._kept(start, self.end), await self._window(name, start)
        for days in ago:
            day, start, end = self.days[-1 - days]
            yield str(day), self._kept(start, end), await self._day(days)

    def _kept(self, start: int, end: int) -> Span:
        """What of a span has begun and is kept, which may be nothing."""
        end = min(end, self.end)
        return min(max(start, self.kept_from), end), end

    async def _window(self, name: str, start: int) -> Told:
        span = self._kept(start, self.end)
        zone = {"timezone": self.zone} if name == "today" else {}
        shown = self.monitor.one(id="figures").all("dd")[ORDER.index(name)]
        told = {
            "home": number(self.row.one(kind=f"w-{name}").text),
            "monitor": number(shown.text),
            **await self._explanation(name, span),
            **await self._badges(self.end - start),
            **await self._uptime(span, window=name, **zone),
        }
        if name == EMBEDDED:
            told["embed"] = number(self.embed.one(kind="scale").all("span")[2].text)
        if name != "today" or self.zone == "UTC":  # the API's own day is that of UTC
            listed = await self._get("/api/monitors")
            told["GET monitors"] = next(one["uptime"][name] for one in listed if one["tag"] == self.tag)
        if name == "today" and self.zone == "UTC":
            told["GET status"] = (await self._get("/api/status", tag=self.tag))["uptime"]
        return told

    async def _explanation(self, name: str, span: Span) -> Told:
        """What "How is this computed?" comes to: its table, its formula, and the request it names."""
        how = self.monitor.one(id=f"how-{name}")
        up, degraded, downtime, down = (minutes(one.text)[0] for one in how.all("tbody")[0].all("td"))
        told = {"table": figure(up, degraded, downtime, down), "formula": "-"}
        if how.all(kind="formula"):
            good, counted, result = how.one(kind="formula").all("span")
            assert minutes(good.text) == [up, degraded, downtime]
            assert minutes(counted.text) == [up, degraded, down]
            told["formula"] = number(result.text)
        path = how.one("code").text.removeprefix("GET ")
        answer = await self._answer(span, path)
        return told if answer is None else told | {"request named": answer["uptime"]}

    async def _badges(self, seconds: int) -> Told:
        path, asked = f"/badge/{self.tag}/uptime", {"sinceLast": str(seconds)}
        drawn = parsed(await self._text(path, **asked)).one("title").text
        endpoint = await self._get(f"{path}.json", **asked)
        return {"badge": number(drawn.rpartition(": ")[2]), "badge's JSON": number(endpoint["message"])}

    async def _uptime(self, span: Span, **query: str) -> Told:
        answer = await self._answer(span, f"/api/monitors/{self.tag}/uptime", **query)
        if answer is None:
            return {}
        counted = [answer["minutes"][name] for name in ("up", "degraded", "degradedAsDowntime", "down")]
        return {"GET uptime": answer["uptime"], "minutes of GET uptime": figure(*counted)}

    async def _day(self, ago: int) -> Told:
        day, start, end = self.days[-1 - ago]
        span, bounds = self._kept(start, end), {"from": str(start), "to": str(end)}
        told = {**self._bars_and_tables(ago), **await self._uptime(span, **bounds)}
        asked = {**bounds, "resolution": "day", "timezone": self.zone}
        history = await self._answer(span, f"/api/monitors/{self.tag}/history", **asked)
        if history is not None:
            (item,) = history["items"]
            assert item["date"] == str(day)
            page = await self._page(f"/monitor/{self.tag}/{day}")
            told |= {"GET history": item["uptime"], "day": number(page.one(kind="current-status").text)}
        return told

    def _bars_and_tables(self, ago: int) -> Told:
        bars = {"home": self.row, "monitor": self.monitor.one(id="bars"), "embed": self.embed}
        labels = {place: self._label(within, ago) for place, within in bars.items()}
        told = {f"bar, {place}": number(uptime) for place, (_, _, uptime) in labels.items()}
        name = labels["home"][0]
        rows = [("monitor", row) for row in self.monitor.one(id="days").all("tr")]
        rows += [("home", row) for row in self.row.all("tr")]  # the days with downtime
        for place, row in rows:
            if row.all("th")[0].text == name:
                told[f"table, {place}"] = number(row.all("td")[1].text)
        return told

    def _label(self, within: Element, ago: int) -> list[str]:
        """The lines of a bar's text."""
        bar = within.one(kind="bars").all("a")[-1 - ago]
        assert bar.attributes["href"] == f"/monitor/{self.tag}/{self.days[-1 - ago][0]}"
        return bar.attributes["aria-label"].split("\n")

    async def _answer(self, span: Span, path: str, **query: str) -> Any:
        """The API's; None when there is no minute to speak of, which it refuses."""
        status, answer = await self.service.ask("GET", path, params=query)
        assert status == (200 if span[0] < span[1] else 400), answer
        return answer if status == 200 else None

    async def _get(self, path: str, **query: str) -> Any:
        return await self.service.get(path, **query)

    async def _page(self, path: str) -> Element:
        return parsed(await self._text(path))

    async def _text(self, path: str, **query: str) -> str:
        headers = {"Accept-Language": self.language}
        async with self.service.client.get(path, params=query, headers=headers) as reply:
            assert reply.status == 200, path
            return await reply.text()


@dataclass(frozen=True)
class LookEverywhere:
    """One monitor is read of, everywhere, in place of the last look of a history."""

    which: int
    ago: tuple[int, ...]
    language: str

    async def take(self, world: World) -> None:
        tag = world.tags[self.which % len(world.tags)]
        await world.service.ask(
            "GET", "/api/monitors"
        )  # a clock that was set back is noticed before it is read
        kept_from, told = None, list[tuple[str, Span, Told]]()
        while (stored := Stored(world.file)).kept_from != kept_from:  # retention may be at work just now
            kept_from = stored.kept_from
            reader = Reader(world, tag, self.language, kept_from)
            told = [one async for one in reader.figures(self.ago)]
        mine = Recount(stored, tag, world.now, {})
        for name, span, figures in told:
            assert figures == dict.fromkeys(figures, mine.uptime(span)), (tag, name)


def ending(history: History, end: Any) -> History:
    return replace(history, end=end)


EDGES = [HOUR * 24, *(DAY * days for days in (7, 30, 90))]
MIDNIGHTS = [HOUR * 12, HOUR * 13, HOUR * 17 + MINUTE * 30]  # before NOON: of UTC, Berlin and Kolkata


@pytest.mark.parametrize("zone", SHOWN_ZONES)
def test_a_window_is_the_same_to_the_minute_on_every_page_and_route(zone: str, tmp_path: Path) -> None:
    """The minutes at each window's begin are bad, those at its end are good: one more or less tells."""
    beats = [Beat("earth", Status.UP, Moment(-MINUTE * ago), 0.1) for ago in range(8)]
    for ago in (*(edge - MINUTE for edge in EDGES), *MIDNIGHTS):
        beats += [Beat("earth", Status.DEGRADED, Moment(-ago), 0.1)]
        beats += [Beat("earth", Status.DOWN, Moment(-ago - MINUTE), 0.1)]
    strict = MonitorSettings(include_degraded_in_downtime=True)
    history = History(NOON, 400, {"earth": strict}, [*beats, Roll()], 0, LookAtAll((), "UTC", 0), zone)
    asyncio.run(lived(ending(history, LookEverywhere(0, (0, 1, 7, 30, 90), "hi")), tmp_path))


looks = st.builds(
    LookEverywhere,
    which=st.integers(0, len(TAGS) - 1),
    ago=st.lists(st.one_of(st.integers(0, 3), st.integers(0, 90)), min_size=2, max_size=4, unique=True).map(
        tuple
    ),
    language=st.sampled_from(list(NAMES)),
)


@pytest.mark.timeout(0 if HISTORIES else 300)
def test_a_figure_is_the_same_on_every_page_and_route(capsys: pytest.CaptureFixture[str]) -> None:
    count = 0

    @settings(
        max_examples=HISTORIES or 8,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.builds(ending, histories, looks))
    def holds(history: History) -> None:
        nonlocal count
        count += 1
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(lived(history, Path(folder)))

    holds()
    if HISTORIES:
        with capsys.disabled():
            print(f"\n{count} histories, every figure the same everywhere")
