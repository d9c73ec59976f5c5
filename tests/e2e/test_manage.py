"""The way that matters: from /manage to a published incident, on a phone, over a bad line, in Chromium."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Dialog, Page, Route

from kener_async import keys
from kener_async.domain.incidents import Incident
from kener_async.domain.people import Person, Role
from kener_async.identity.sessions import LOOPBACK_COOKIE
from kener_async.store import incident_lists, incident_updates
from tests.e2e.browser import Watched, watching
from tests.rigs.people import a_person, a_session
from tests.rigs.service import FakeClock, Service, a_config, a_monitor, running

WIDTH = 390
ROUND_TRIP, SPEED = 400, 50_000  # milliseconds, bytes a second
LONGEST = 6.0  # seconds from the first tap to the confirmation
HEAVIEST = 40_000  # bytes of the whole way, as sent
SCRIPTS = pytest.mark.parametrize("script", [True, False], ids=["scripts", "no scripts"])


@pytest_asyncio.fixture(loop_scope="session")
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service with 40 monitors, of which three are bad."""
    monitors = [a_monitor(f"m{number}", name=f"Monitor {number}") for number in range(37)]
    bad = [a_monitor(tag, name=tag.title()) for tag in ("payments", "checkout", "invoices")]
    async with running(a_config(tmp_path, *bad, *monitors), FakeClock()) as service:
        for monitor in monitors:
            await service.beat(monitor.tag, "UP")
        for monitor in bad:
            await service.beat(monitor.tag, "DOWN")
        yield service


@pytest_asyncio.fixture(loop_scope="session")
async def ada(service: Service) -> Person:
    return await a_person(service, role=Role.RESPONDER, password=None)


@asynccontextmanager
async def phone(
    browser: Browser, service: Service, person: Person, script: bool = True
) -> AsyncIterator[Watched]:
    """A phone on which a person is signed in."""
    async with watching(browser, service, WIDTH, script=script, has_touch=True, is_mobile=True) as watched:
        cookie = {"name": LOOPBACK_COOKIE, "value": await a_session(service, person), "url": watched.origin}
        await watched.page.context.add_cookies([cookie])  # type: ignore[list-item]
        yield watched


async def stored(service: Service) -> list[Incident]:
    found: list[Incident] = await service.app[keys.DATABASE].read(incident_lists.newest, 50)
    return found


async def said(service: Service, number: int) -> list[str]:
    """The texts of the updates of an incident."""
    found = await service.app[keys.DATABASE].read(incident_updates.of, [number])
    return [update.body for update in found[number] if update.body]


async def publish(page: Page) -> None:
    """Three taps."""
    await page.get_by_role("link", name="Tell visitors").tap()
    await page.get_by_label("Some requests to").check()
    await page.get_by_role("button", name="Publish").tap()
    await page.get_by_text("Published. Visitors see it now.").wait_for()


@SCRIPTS
async def test_three_taps_and_no_typed_letter(browser: Browser, service: Service, ada: Person, script: bool):
    async with phone(browser, service, ada, script) as watched:
        await watched.goto("/manage")
        await publish(watched.page)
    (incident,) = await stored(service)
    assert incident.title == "Some requests to Payments, Checkout and Invoices fail"
    assert incident.tags == ("payments", "checkout", "invoices")


@SCRIPTS
async def test_a_slow_line_takes_six_seconds(browser: Browser, service: Service, ada: Person, script: bool):
    async with phone(browser, service, ada, script) as watched:
        await throttle(watched.page)
        await watched.goto("/manage")
        began = monotonic()
        await publish(watched.page)
        assert monotonic() - began <= LONGEST


async def throttle(page: Page) -> None:
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Network.enable")
    line = {"latency": ROUND_TRIP, "downloadThroughput": SPEED, "uploadThroughput": SPEED, "offline": False}
    await devtools.send("Network.emulateNetworkConditions", line)


async def test_the_way_is_light(browser: Browser, service: Service, ada: Person):
    async with phone(browser, service, ada) as watched:
        sent: list[tuple[str, int]] = []
        devtools = await watched.page.context.new_cdp_session(watched.page)
        await devtools.send("Network.enable")
        urls: dict[str, str] = {}

        def begun(one: dict[str, Any]) -> None:
            urls[one["requestId"]] = one["response"]["url"]

        def finished(one: dict[str, Any]) -> None:
            sent.append((urls.get(one["requestId"], ""), int(one["encodedDataLength"])))

        devtools.on("Network.responseReceived", begun)
        devtools.on("Network.loadingFinished", finished)
        await watched.goto("/manage")
        await watched.page.wait_for_load_state("networkidle")
        cold = [url for url, size in sent if size]
        assert len(cold) <= 6, cold
        weight = sum(size for _, size in sent)
        sent.clear()
        await watched.goto("/manage")
        await watched.page.wait_for_load_state("networkidle")
        warm = [url for url, size in sent if size]
        assert len(warm) == 1, warm
        sent.clear()
        await publish(watched.page)
        assert weight + sum(size for _, size in sent) <= HEAVIEST, sent


# A bad line


class Line:
    """The line of a page, which can be lost: before a POST has arrived, or before its answer has."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.is_lost = ""

    async def watch(self) -> None:
        await self.page.route("**/*", self._pass)

    async def _pass(self, route: Route) -> None:
        if not self.is_lost:
            await route.continue_()
            return
        if self.is_lost == "after":
            await route.fetch(max_redirects=0)
        await route.abort("connectionfailed")


async def fail(page: Page) -> None:
    """Press the button that publishes, and see the browser's own page of errors."""
    is_error = "chrome-error://chromewebdata/".__eq__
    async with page.expect_event("framenavigated", lambda frame: is_error(frame.url)):
        await page.get_by_role("button", name="Publish").tap(no_wait_after=True)
    await page.evaluate("document.readyState")  # attached


@SCRIPTS
@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_line_lost_while_publishing_loses_and_doubles_nothing(
    browser: Browser, service: Service, ada: Person, script: bool, lost: str
):
    async with phone(browser, service, ada, script) as watched:
        page, line = watched.page, Line(watched.page)
        await line.watch()
        await watched.goto("/manage/incidents/new?from=alerts")
        await page.get_by_label("Title").fill("Nobody can pay")
        line.is_lost = lost
        await fail(page)
        watched.faults.clear()  # of the line
        line.is_lost = ""
        await page.go_back()
        if script:
            assert await page.get_by_label("Title").input_value() == "Nobody can pay"
            assert await page.get_by_text("is back").is_visible()
        else:
            await page.get_by_label("Title").fill("Nobody can pay")
        await page.get_by_role("button", name="Publish").tap()
        await page.get_by_text("Published. Visitors see it now.").wait_for()
        watched.faults.clear()
    assert [one.title for one in await stored(service)] == ["Nobody can pay"]


@SCRIPTS
async def test_a_double_press_publishes_once(browser: Browser, service: Service, ada: Person, script: bool):
    async with phone(browser, service, ada, script) as watched:
        page = watched.page
        await watched.goto("/manage/incidents/new?from=alerts")
        await page.get_by_role("button", name="Publish").dblclick(no_wait_after=True)
        await page.get_by_text("Published. Visitors see it now.").wait_for()
    assert len(await stored(service)) == 1


async def test_an_update_takes_three_taps(browser: Browser, service: Service, ada: Person):
    async with phone(browser, service, ada) as watched:
        page = watched.page
        await watched.goto("/manage")
        await publish(page)
        await watched.goto("/manage")
        await page.get_by_role("link", name="Add an update").tap()
        await page.get_by_role("link", name="Identified").tap()
        await page.get_by_role("button", name="Post", exact=True).tap()
        await page.get_by_text("Posted. Visitors see it now.").wait_for()
    (incident,) = await stored(service)
    assert incident.is_identified
    assert await said(service, incident.number) == ["The cause is known, and we are working on it."]


async def test_text_that_is_left_is_warned_of_and_back_the_next_time(
    browser: Browser, service: Service, ada: Person
):
    async with phone(browser, service, ada) as watched:
        page = watched.page
        await watched.goto("/manage/incidents/new?from=alerts")
        await page.get_by_label("Title").fill("Half a thought")
        asked: list[str] = []

        async def leave(dialog: Dialog) -> None:
            asked.append(dialog.type)
            await dialog.accept()

        page.on("dialog", leave)
        await watched.goto("/manage/incidents")
        watched.faults.clear()  # it is the dialog
        assert asked == ["beforeunload"]
        await watched.goto("/manage/incidents/new?from=alerts")
        assert await page.get_by_label("Title").input_value() == "Half a thought"
        await page.get_by_role("button", name="Discard it").tap()
        await page.get_by_label("Title").wait_for()
        await page.wait_for_function("document.querySelector('#new-title').value.startsWith('Payments')")
        watched.faults.clear()


async def test_the_overview_is_refreshed_and_says_when_it_is_not(
    browser: Browser, service: Service, ada: Person
):
    async with phone(browser, service, ada) as watched:
        page, line = watched.page, Line(watched.page)
        await page.clock.install()
        await watched.goto("/manage")
        await page.get_by_text("3 of 40 monitors are down").wait_for()
        await service.beat("m1", "DOWN")
        await page.clock.run_for(21_000)
        await page.get_by_text("4 of 40 monitors are down").wait_for()
        await line.watch()
        line.is_lost = "before"
        for _ in range(2):
            async with page.expect_event("requestfailed"):
                await page.clock.run_for(21_000)
        await page.get_by_text("This page could not be updated since").wait_for()
        watched.faults.clear()  # of the line


async def test_text_of_another_outage_is_offered_and_not_put_in(
    browser: Browser, service: Service, ada: Person
):
    async with phone(browser, service, ada) as watched:
        page = watched.page
        await watched.goto("/manage/incidents/new?from=alerts")
        await page.get_by_label("Title").fill("Half a thought")
        page.on("dialog", Dialog.accept)
        await watched.goto("/manage/incidents")
        service.pass_time(600)
        for tag in ("payments", "checkout"):
            await service.beat(tag, "UP")
        await watched.goto("/manage/incidents/new?from=alerts")
        watched.faults.clear()  # it is the dialog
        assert await page.get_by_label("Title").input_value() == "Invoices not working"
        await page.get_by_role("button", name="Put it back").tap()
        assert await page.get_by_label("Title").input_value() == "Half a thought"
