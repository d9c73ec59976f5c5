"""The API documentation in Chromium, and requests sent from it."""

import json

import pytest
from playwright.async_api import Browser

from tests.e2e.browser import WIDTHS, opened
from tests.rigs.service import Service

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", WIDTHS)
async def test_the_description_of_the_api_is_rendered(browser: Browser, site: Service, width: int):
    described = await site.get("/api/openapi.json")
    methods = [method for item in described["paths"].values() for method in item]
    operations = sum(method in ("get", "post", "patch") for method in methods)
    async with opened(browser, site, "/api/docs", width) as watched:
        page = watched.page
        await page.locator(".opblock").first.wait_for()
        assert await page.locator(".opblock").count() == operations
        assert described["info"]["title"] in await page.locator(".info .title").inner_text()
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_an_operation_can_be_tried_with_a_token(browser: Browser, site: Service):
    async with opened(browser, site, "/api/docs") as watched:
        page = watched.page
        await page.locator(".btn.authorize").first.click()
        await page.locator(".auth-container input").fill(site.token)
        await page.locator(".auth-container .btn.authorize").click()
        await page.locator(".btn.btn-done").click()
        operation = page.locator(".opblock", has=page.locator('[data-path="/api/monitors"]'))
        await operation.locator(".opblock-summary-control").click()
        async with page.expect_response("**/api/monitors") as answered:
            await operation.locator(".btn.execute").click()
        reply = await answered.value
        assert reply.status == 200
        assert [one["tag"] for one in json.loads(await reply.text())][:2] == ["web", "api"]
        await operation.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
