"""The API documentation in Chromium, and requests sent from it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, Page, Response

from kener_async.domain.access import SCOPES
from tests.e2e.browser import WIDTHS, opened
from tests.rigs.service import FakeClock, Service, a_config, a_monitor, running

pytestmark = pytest.mark.browser

METHODS = ("get", "post", "put", "patch", "delete")


NEEDS_A_TIME = "/api/manage/maintenance"  # its end, which is within 31 days


def is_named_by_hand(method: str, path: str) -> bool:
    """Whether what an operation acts on must be chosen: no example may tell a channel or delete anything."""
    return (path.startswith("/api/manage/") and "{" in path) or (method, path) == ("POST", NEEDS_A_TIME)


@pytest.mark.parametrize("width", WIDTHS)
async def test_the_description_of_the_api_is_rendered(browser: Browser, site: Service, width: int):
    described = await site.get("/api/openapi.json")
    methods = [method for item in described["paths"].values() for method in item]
    operations = sum(method in METHODS for method in methods)
    async with opened(browser, site, "/api/docs", width) as watched:
        page = watched.page
        await page.locator(".opblock").first.wait_for()
        assert await page.locator(".opblock").count() == operations
        assert described["info"]["title"] in await page.locator(".info .title").inner_text()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


@pytest_asyncio.fixture(loop_scope="session")
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    """A service of a monitor, of which nothing was reported yet, and of a hidden one before it."""
    monitors = a_monitor("secret", hidden=True), a_monitor("garden")
    async with running(a_config(tmp_path, *monitors), FakeClock()) as service:
        yield service


async def test_every_operation_works_with_the_examples_that_are_filled_in(browser: Browser, service: Service):
    token = await service.mint(scopes=SCOPES)
    async with opened(browser, service, "/api/docs") as watched:
        page = watched.page
        await authorize(page, token)
        operations = page.locator(".opblock")
        await operations.first.wait_for()
        count = await operations.count()
        assert count >= 15
        answers = {}
        for place in range(count):
            operation = operations.nth(place)
            name = (await operation.locator(".opblock-summary").inner_text()).split("\n")
            path = await operation.locator("[data-path]").get_attribute("data-path")
            assert path is not None
            if is_named_by_hand(name[0], path):
                continue
            await operation.locator(".opblock-summary-control").dispatch_event("click")
            reply = await execute(page, operation)
            answers[" ".join(name[:2])] = (reply.status, await reply.text())
            await operation.locator(".opblock-summary-control").dispatch_event("click")  # folds it again
    assert {name: answer for name, answer in answers.items() if answer[0] != 200} == {}
    incident = json.loads(answers["POST /api/incident"][1])
    assert incident["startDatetime"] == service.clock()
    assert incident["tags"] == ["garden"]
    assert json.loads(answers["POST /api/status"][1])["message"] == f"success at {service.clock()}"
    assert json.loads(answers["POST /api/status/batch"][1])["rejected"] == 0


async def test_trying_the_examples_never_names_an_incident_to_change_that_was_not_opened_there(
    browser: Browser, service: Service
):
    await service.post("/api/incident", {"title": "Real", "tags": ["garden"]})
    async with opened(browser, service, "/api/docs") as watched:
        page = watched.page
        await page.locator(".opblock").first.wait_for()
        filled = {}
        for method in ("get", "patch"):
            operation = page.locator(
                f".opblock-{method}", has=page.locator('[data-path="/api/incident/{incidentNumber}"]')
            )
            await operation.locator(".opblock-summary-control").click()
            field = operation.locator("[data-param-name=incidentNumber] input")
            await field.wait_for()
            filled[method] = await field.input_value()
    assert filled == {"get": "1", "patch": ""}


async def execute(page: Page, operation: Locator) -> Response:
    """Press Execute as a person does: Swagger UI keeps its example half a second after it shows it."""
    button = operation.locator(".btn.execute")
    await button.wait_for()
    await page.wait_for_timeout(600)
    async with page.expect_response(lambda reply: not reply.url.endswith("/docs")) as answered:
        await button.dispatch_event("click")
    return await answered.value


async def authorize(page: Page, token: str) -> None:
    await page.locator(".btn.authorize").first.click()
    await page.locator(".auth-container input").fill(token)
    await page.locator(".auth-container .btn.authorize").click()
    await page.locator(".btn.btn-done").click()


async def test_an_operation_can_be_tried_with_a_token(browser: Browser, site: Service):
    async with opened(browser, site, "/api/docs") as watched:
        page = watched.page
        await authorize(page, site.token)
        operation = page.locator(".opblock", has=page.locator('[data-path="/api/monitors"]'))
        await operation.locator(".opblock-summary-control").click()
        async with page.expect_response("**/api/monitors") as answered:
            await operation.locator(".btn.execute").click()
        reply = await answered.value
        assert reply.status == 200
        assert [one["tag"] for one in json.loads(await reply.text())][:2] == ["web", "api"]
        await operation.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
