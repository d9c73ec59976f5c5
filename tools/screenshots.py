"""Take screenshots of the demo into `docs/images/`: `make screenshots`.

Debian's Chromium renders each page narrow and wide, light and dark. Images of pages that are no longer taken
are deleted.
"""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, Literal, cast

from PIL import Image
from playwright.async_api import Browser, Page, Route, async_playwright

from kener_async.demo import SCENES

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"
CHROMIUM = Path(os.environ.get("KENER_TEST_CHROMIUM", "/usr/bin/chromium"))
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
HEIGHTS = {390: 844, 1440: 900}  # of the window, by its width
PHONE = 390  # where the signed-in side has a bar at the foot of the window
TALLEST = 2400
LARGEST = 90_000  # bytes
READY_SECONDS = 180
PASSWORD = "only for these pictures"  # noqa: S105

Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")


@dataclass(frozen=True, slots=True)
class Picture:
    """A page of a scene, from its path on; `follow` is a link there that leads to the page itself."""

    name: str
    scene: str
    path: str = "/"
    follow: str = ""

    @property
    def is_signed_in(self) -> bool:
        return self.path.startswith("/manage")


# A day with trouble, and a month with much of it, as `demo/history/past.toml` has them.
DAY = (datetime.now(UTC) - timedelta(days=23)).date()
MONTH = (datetime.now(UTC) - timedelta(days=12)).strftime("%Y-%m")
PICTURES = (
    Picture("home", "busy"),
    Picture("home-calm", "calm"),
    Picture("home-outage", "outage"),
    Picture("home-maintenance", "maintenance"),
    Picture("home-empty", "empty"),
    Picture("category", "busy", "/category/On%20the%20hill"),
    Picture("monitor", "busy", "/monitor/api"),
    Picture("day", "busy", f"/monitor/api/{DAY}"),
    Picture("incident", "outage", follow="#ongoing h3 a"),
    Picture("incidents", "busy", f"/incidents/{MONTH}"),
    Picture("manage-overview", "outage", "/manage"),
    Picture("manage-new-incident", "outage", "/manage/incidents/new?from=alerts"),
    Picture("manage-incident", "outage", "/manage/incidents?state=open", follow="td.name a"),
    Picture("manage-audit", "outage", "/manage/audit"),
)
BADGES = {
    "status": "api/status",
    "status-degraded": "mail/status",
    "uptime": "api/uptime",
    "uptime-7d": "api/uptime?sinceLast=604800",
    "label": "api/uptime?label=catalogue&hideDuration=true",
    "colors": "api/status?labelColor=1d4f91&color=teal",
    "flat-square": "api/status?style=flat-square",
    "plastic": "api/status?style=plastic",
    "for-the-badge": "api/status?style=for-the-badge",
    "social": "api/status?style=social",
    "dot": "api/dot",
    "dot-ping": "api/dot?animate=ping",
}
# A page of another site, which has two monitors in it.
ELSEWHERE = """<!doctype html><title>Elsewhere</title>
<style>body {{ max-width: 640px; margin: 0 auto; padding: 24px; font: 16px/1.5 sans-serif }}</style>
<body style="background: {ground}; color: {ink}">
<h1 style="font-size: 22px">Before you ask for help</h1>
<p>See how the services are doing that you want to use.</p>
<script async src="{url}/embed/api.js?theme={theme}"></script>
<p></p>
<script async src="{url}/embed/mail.js?theme={theme}"></script>
"""
GROUNDS = {"light": ("#ffffff", "#222222"), "dark": ("#1e1f26", "#eeeeee")}


@asynccontextmanager
async def demo(scene: str) -> AsyncIterator[tuple[str, str]]:
    """The address of a demo that shows the scene, and the link by which its admin signs in."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "run.py"), "demo", "--scene", scene, "--port", "0", stdout=PIPE
    )
    output = cast(asyncio.StreamReader, process.stdout)
    try:
        async with asyncio.timeout(READY_SECONDS):
            welcome = await output.readuntil(b"Ctrl-C")
        url, invitation = re.findall(r"http://[0-9.:]+(?=/\n)|http://\S+/invitation/\S+", welcome.decode())
        yield url, invitation
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def window(browser: Browser, width: int, theme: Theme) -> AsyncIterator[Page]:
    context = await browser.new_context(
        viewport={"width": width, "height": HEIGHTS[width]},
        color_scheme=theme,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id="UTC",
    )
    yield await context.new_page()
    await context.close()


async def session(browser: Browser, invitation: str) -> Any:
    """The cookies of the admin, who sets a password by the link."""
    async with window(browser, 1440, "light") as page:
        await page.goto(invitation)
        await page.fill("[name=password]", PASSWORD)
        await page.fill("[name=repeated]", PASSWORD)
        await page.click("main form button")
        await page.wait_for_url("**/manage*")
        return await page.context.cookies()


async def drawn(browser: Browser, scene: str, url: str, invitation: str) -> AsyncIterator[tuple[str, bytes]]:
    """Names and contents of all images of a scene."""
    pictures = [picture for picture in PICTURES if picture.scene == scene]
    is_signed_in = any(picture.is_signed_in for picture in pictures)
    cookies = await session(browser, invitation) if is_signed_in else []
    for width, theme in product(HEIGHTS, THEMES):
        async with window(browser, width, theme) as page:
            await page.context.add_cookies(cookies)
            for picture in pictures:
                await show(page, url, picture)
                shot = await page.screenshot(full_page=not picture.is_signed_in or width > PHONE)
                yield f"{picture.name}-{width}-{theme}.png", small(shot)
            if scene == "busy":
                await show_elsewhere(page, url, theme)
                yield f"embed-{width}-{theme}.png", small(await page.screenshot(full_page=True))
    if scene == "busy":
        async with window(browser, 1440, "light") as page:
            for name, path in BADGES.items():
                yield f"badge-{name}.svg", await fetched(page, f"{url}/badge/{path}")
            yield "preview.png", small(await fetched(page, f"{url}/preview.png"))


async def show(page: Page, url: str, picture: Picture) -> None:
    await page.goto(url + picture.path)
    if picture.follow:
        await page.goto(url + str(await page.locator(picture.follow).first.get_attribute("href")))
    await page.evaluate("for (const image of document.images) image.loading = 'eager'")
    await page.wait_for_load_state("networkidle")


async def show_elsewhere(page: Page, url: str, theme: Theme) -> None:
    """Wait until the embed's script has added its frame, and the frame has sent its height."""
    ground, ink = GROUNDS[theme]
    await page.set_viewport_size({"width": cast(Any, page.viewport_size)["width"], "height": 200})
    body = ELSEWHERE.format(url=url, theme=theme, ground=ground, ink=ink)
    await page.route(f"{url}/elsewhere", partial(Route.fulfill, content_type="text/html", body=body))
    await page.goto(f"{url}/elsewhere")
    await page.wait_for_function("document.querySelectorAll('iframe[style*=height]').length === 2")
    await page.wait_for_load_state("networkidle")


async def fetched(page: Page, address: str) -> bytes:
    reply = await page.request.get(address, fail_on_status_code=True)
    return await reply.body()


def small(png: bytes) -> bytes:
    """The image cut at TALLEST, in as many colours as LARGEST allows."""
    with Image.open(BytesIO(png)) as whole:
        image = whole.convert("RGB").crop((0, 0, whole.width, min(whole.height, TALLEST)))
    packed = b""
    for colors in (256, 128, 64, 32):
        file = BytesIO()
        quantized = image.quantize(colors, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        quantized.save(file, "PNG", optimize=True)
        packed = file.getvalue()
        if len(packed) <= LARGEST:
            break
    return packed


def stale(names: set[str]) -> Iterator[Path]:
    """Images of an earlier run that this one did not draw."""
    for file in IMAGES.iterdir():
        if file.suffix in (".png", ".svg") and file.name not in names:
            yield file


async def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    sizes: dict[str, int] = {}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for scene in SCENES:
            async with demo(scene) as (url, invitation):
                async for name, content in drawn(browser, scene, url, invitation):
                    (IMAGES / name).write_bytes(content)
                    sizes[name] = len(content)
        await browser.close()
    for file in stale(set(sizes)):
        file.unlink()
    print(
        f"{len(sizes)} images, {sum(sizes.values()) // 1000} KB, the largest {max(sizes.values()) // 1000} KB"
    )


if __name__ == "__main__":
    asyncio.run(main())
