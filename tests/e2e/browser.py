"""A page in Chromium: its console messages, its requests, its width."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

from tests.rigs.service import Service

Scheme = Literal["light", "dark"]

WIDTHS = {390: 844, 1440: 900}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
# Said on the console, where every fault is looked for, also by frames within frames.
REPORT = """addEventListener("securitypolicyviolation", (fault) =>
    console.error(`policy: ${fault.violatedDirective} ${fault.blockedURI} ${fault.sample}`))"""


class Watched:
    """A page, and the errors that it caused."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.faults: list[str] = []
        self._expected = 200
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        page.on("request", self._asked)
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    @asynccontextmanager
    async def at(self, path: str, status: int = 200) -> AsyncIterator[Page]:
        """The page of this address; on leaving, nothing that it did may have been at fault."""
        try:
            await self.goto(path, status)
            yield self.page
        finally:
            faults, self.faults = self.faults, []
        assert faults == []

    async def goto(self, path: str, status: int = 200) -> Response:
        """Open a page that answers with this status."""
        self._expected = status
        answer = await self.page.goto(self.origin + path)
        assert answer is not None
        assert answer.status == status, path
        return answer

    def _on_console(self, message: ConsoleMessage) -> None:
        is_own_status = self._expected >= 400 and message.location.get("url") == self.page.url
        if message.type in ("error", "warning") and not is_own_status:
            self.faults.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in ("data", "blob") and not self._is_ours(request.url):
            self.faults.append(f"off-site: {request.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # as an icon under way is when the page is left
            self.faults.append(f"{request.failure}: {request.url}")

    def _answered(self, answer: Response) -> None:
        is_page = answer.request.is_navigation_request() and answer.frame == self.page.main_frame
        if answer.status >= 400 and not (is_page and answer.status == self._expected):
            self.faults.append(f"{answer.status}: {answer.url}")

    def _is_ours(self, url: str) -> bool:
        return url == self.origin or url.startswith(f"{self.origin}/")


@asynccontextmanager
async def watching(
    browser: Browser,
    service: Service,
    width: int = 1440,
    scheme: Scheme = "light",
    script: bool = True,
    **options: Any,
) -> AsyncIterator[Watched]:
    """An empty page of a visitor's own; on leaving, nothing that it showed may have been at fault.

    `options` are those of the browser's context, such as `timezone_id`.
    """
    context: BrowserContext = await browser.new_context(
        viewport={"width": width, "height": WIDTHS.get(width, 844)},
        color_scheme=scheme,
        java_script_enabled=script,
        **cast(Any, options),
    )
    try:
        await context.add_init_script(REPORT)
        watched = Watched(await context.new_page(), str(service.client.make_url("")).rstrip("/"))
        yield watched
        assert watched.faults == []
    finally:
        await context.close()


@asynccontextmanager
async def opened(
    browser: Browser,
    service: Service,
    path: str,
    width: int = 1440,
    scheme: Scheme = "light",
    script: bool = True,
    status: int = 200,
    **options: Any,
) -> AsyncIterator[Watched]:
    """The same with a page of the service in it."""
    async with watching(browser, service, width, scheme, script, **options) as watched:
        await watched.goto(path, status)
        yield watched


async def dresses(page: Page) -> AsyncIterator[str]:
    """Show the page in every width and both schemes, one after the other; each says which it is."""
    for width, height in WIDTHS.items():
        await page.set_viewport_size({"width": width, "height": height})
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            yield f"{width} px, {scheme}"


async def beyond(page: Page) -> list[str]:
    """What is wider than the window, or lies beside it.

    These are the document, menus once they are open, and boxes that are in no box that scrolls.
    """
    return cast(list[str], await page.evaluate(BEYOND))


BEYOND = """() => {
  const width = document.documentElement.clientWidth;
  const menus = [...document.querySelectorAll("details.menu:not([open])")];
  for (const menu of menus) menu.open = true;
  const isBeside = (box) => box.left < -0.5 || box.right > width + 0.5;
  const found = [...document.querySelectorAll("body *:not(.hidden, .hidden *, .sprite *, .table *, svg *)")]
    .filter((one) => isBeside(one.getBoundingClientRect()))
    .map((one) => one.outerHTML.slice(0, 200));
  for (const menu of menus) menu.open = false;
  return document.documentElement.scrollWidth > width ? [...found, "the document"] : found;
}"""
