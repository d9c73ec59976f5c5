"""The script that embeds a monitor in another site's page, in Chromium."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route

from kener_async import web

pytestmark = pytest.mark.browser

SCRIPT = (Path(web.__file__).parent / "static" / "embed.js").read_text()
HOST, OURS, OTHER = "https://blog.example.net", "https://status.example.org", "https://other.example.com"
ASKED = f"{OURS}/base/embed/earth.js?theme=dark&bgc=ffffff&locale=hi&callback=evil"
BLOG = f'<body><p id="before"></p><script async src="{ASKED}"></script><p id="after"></p></body>'
HEIGHT = '{"kener_async": "height", "height": 123}'
FRAME = f"<script>parent.postMessage({HEIGHT}, '*')</script>"


async def answer(route: Route) -> None:
    url = route.request.url
    if url == ASKED:
        await route.fulfill(body=SCRIPT, content_type="text/javascript")
    elif url.startswith(HOST):
        await route.fulfill(
            body="" if url.endswith("/empty") else BLOG,
            content_type="text/html",
            headers={"Content-Security-Policy": f"style-src 'none'; script-src {OURS} 'unsafe-eval'"},
        )
    else:
        await route.fulfill(body=FRAME, content_type="text/html")


@pytest_asyncio.fixture(loop_scope="session")
async def blog(browser: Browser) -> AsyncIterator[Page]:
    """A page of another site that has the script in it, after the frame has told its height."""
    context = await browser.new_context()
    await context.route("**/*", answer)
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    await page.goto(HOST)
    await page.wait_for_function("document.querySelector('iframe')?.style.height")
    yield page
    assert faults == []
    await context.close()


async def test_the_frame_follows_the_script_and_shows_the_monitor(blog: Page):
    frame = blog.locator("script + iframe")
    assert await frame.get_attribute("src") == f"{OURS}/base/embed/earth?theme=dark&bgc=ffffff&locale=hi"
    assert await frame.get_attribute("title") == "Status of earth"
    assert await frame.get_attribute("loading") == "lazy"
    assert await frame.get_attribute("sandbox") == "allow-scripts allow-same-origin allow-popups"


async def test_the_script_at_its_address_of_kener_2_frames_the_same_monitor(browser: Browser):
    old = f"{OURS}/base/embed-earth/js?theme=dark&bgc=ffffff&monitor={OURS}/base/embed-earth"
    context = await browser.new_context()

    async def answer_old(route: Route) -> None:
        if route.request.url == old:
            await route.fulfill(body=SCRIPT, content_type="text/javascript")
        elif route.request.url.startswith(HOST):
            await route.fulfill(
                body=f'<body><script async src="{old}"></script></body>', content_type="text/html"
            )
        else:
            await route.fulfill(body=FRAME, content_type="text/html")

    await context.route("**/*", answer_old)
    page = await context.new_page()
    await page.goto(HOST)
    await page.wait_for_function("document.querySelector('iframe')?.style.height")
    frame = page.locator("script + iframe")
    assert await frame.get_attribute("src") == f"{OURS}/base/embed/earth?theme=dark&bgc=ffffff"
    await context.close()


async def test_the_frame_is_as_wide_as_its_place_and_as_high_as_it_says(blog: Page):
    box = await blog.locator("iframe").bounding_box()
    place = await blog.locator("#before").bounding_box()
    assert box is not None
    assert place is not None
    assert (box["width"], box["height"]) == (place["width"], 123)


async def test_the_page_gets_no_new_globals(blog: Page):
    names = "Object.getOwnPropertyNames(window).filter((name) => name !== '0')"
    empty = await blog.context.new_page()
    await empty.goto(f"{HOST}/empty")
    assert set(await blog.evaluate(names)) == set(await empty.evaluate(names))
    assert await blog.evaluate("[typeof script, typeof own, typeof frame]") == ["undefined"] * 3


@pytest.mark.parametrize(
    "said",
    [
        '{"kener_async": "width", "height": 9}',
        '{"kener_async": "height", "height": "9"}',
        "null",
        '"height"',
    ],
)
async def test_other_messages_of_the_frame_change_nothing(blog: Page, said: str):
    await blog.frames[1].evaluate(f"parent.postMessage({said}, '*')")
    await the_next_message_arrived(blog)
    assert await height(blog) == "123px"


async def test_another_frame_of_the_same_site_cannot_set_the_height(blog: Page):
    await blog.evaluate(
        f"document.body.append(Object.assign(document.createElement('iframe'), {{src: '{OURS}/'}}))"
    )
    await blog.wait_for_function("window.length === 2")
    await blog.frames[2].wait_for_load_state()
    await blog.frames[2].evaluate(f"parent.postMessage({HEIGHT.replace('123', '9')}, '*')")
    await the_next_message_arrived(blog)
    assert await height(blog) == "123px"


async def test_the_frame_cannot_set_the_height_once_it_shows_another_site(blog: Page):
    await blog.frames[1].goto(f"{OTHER}/")
    await blog.frames[1].evaluate(f"parent.postMessage({HEIGHT.replace('123', '9')}, '*')")
    await the_next_message_arrived(blog)
    assert await height(blog) == "123px"


async def test_a_new_height_is_taken(blog: Page):
    await blog.frames[1].evaluate(f"parent.postMessage({HEIGHT.replace('123', '77')}, '*')")
    await blog.wait_for_function("document.querySelector('iframe').style.height === '77px'")


async def height(page: Page) -> str:
    return str(await page.evaluate("document.querySelector('iframe').style.height"))


async def the_next_message_arrived(page: Page) -> None:
    """A frame's messages arrive in their order: after one more, all before it are done."""
    last = "new Promise((done) => addEventListener('message', (sent) => sent.data === 1 && done()))"
    await page.evaluate(f"void (window.last = {last})")
    await page.frames[-1].evaluate("parent.postMessage(1, '*')")
    await page.evaluate("window.last")
