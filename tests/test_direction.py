"""Names and texts that are written from right to left, in every format."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from kener_async.config.model import Announcement, Category, Config, Hero, Link
from kener_async.domain.samples import Status
from kener_async.locales.direction import isolated
from kener_async.web.formats.badge_svg import options, status_badge, svg
from tests.rigs.service import Service, a_config, a_monitor

ARABIC, HEBREW = "\u062e\u062f\u0645\u0629 API 2", "\u05e9\u05d9\u05e8\u05d5\u05ea"
FSI, PDI = "\u2068", "\u2069"
LEFTWARD = re.compile("[\u0590-\u06ff]")
VOID = re.compile(r"<(?:!|(?:img|br|hr|meta|link|input|path|rect|use|circle)\b)")
OWN_DIRECTION = re.compile(r"<(?:bdi|[a-z0-9]+ [^>]*dir=\"auto\"[^>]*)>|\u2068")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = a_config(
        tmp_path,
        a_monitor("earth", name=ARABIC, description=f"{HEBREW} *1*", category=HEBREW),
        a_monitor("mars"),
    )
    site = replace(
        config.site,
        name=ARABIC,
        title=ARABIC,
        header=ARABIC,
        footer=HEBREW,
        hero=Hero(ARABIC, HEBREW, ""),
        nav=(Link(HEBREW, "/", ""),),
    )
    return replace(
        config,
        site=site,
        categories=(Category(HEBREW, ARABIC, hidden=False),),
        announcements=(Announcement(HEBREW, ARABIC, "warning", None, None),),
    )


@pytest.fixture
async def told(service: Service) -> Service:
    """A service with an ongoing incident whose texts are written from right to left."""
    body = f"{ARABIC}\n\n- {HEBREW}"
    await service.beat("earth", "DOWN")
    await service.post("/api/incident", {"title": HEBREW, "body": body, "tags": ["earth"], "impact": "DOWN"})
    await service.post("/api/incident/1/comment", {"body": ARABIC})
    return service


def without_direction(html: str) -> list[str]:
    """The texts and labels from right to left that have no direction of their own."""
    found, open_elements = [], list[str]()
    for tag, text in re.findall(r"(<[^>]*>)([^<]*)", html):
        if tag.startswith("</"):
            while open_elements and not re.match(rf"<{tag[2:-1]}\b", open_elements.pop()):
                pass
        elif not VOID.match(tag):
            open_elements.append(tag)
        has_own = FSI in text or any(OWN_DIRECTION.match(element) for element in open_elements)
        if LEFTWARD.search(text) and not has_own:
            found.append(f"{open_elements[-1]}{text}")
        labels = re.findall(r'aria-label="([^"]*)"', tag)
        found += [label for label in labels if LEFTWARD.search(label) and FSI not in label]
    return found


@pytest.mark.parametrize(
    "path",
    [
        "/",
        f"/category/{HEBREW}",
        "/monitor/earth",
        "/monitor/earth/2025-12-31",
        "/incident/1",
        "/incidents",
        "/incidents?tag=earth",
        "/embed/earth",
        "/nowhere",
    ],
)
async def test_a_name_or_text_from_right_to_left_has_a_direction_of_its_own(told: Service, path: str):
    async with told.client.get(path, headers={"Accept": "text/html"}) as reply:
        html = await reply.text()
    assert ARABIC in html or HEBREW in html
    body = html[html.index("<body") :]
    assert without_direction(body) == []


@pytest.mark.parametrize("path", ["/feed.atom", "/feed.rss", "/feed.json"])
async def test_feeds_isolate_names_and_give_texts_their_direction(told: Service, path: str):
    async with told.client.get(path) as reply:
        text = await reply.text()
    assert f"{FSI}{ARABIC}{PDI}" in text
    assert re.search(r'dir=\\?(?:"|&quot;)auto', text)


def test_a_name_is_isolated_only_if_it_needs_to_be():
    assert [isolated(name) for name in ("Earth", "Größe", "東京", "")] == ["Earth", "Größe", "東京", ""]
    assert isolated(HEBREW) == f"{FSI}{HEBREW}{PDI}"
    assert isolated(f"API {HEBREW}") == f"{FSI}API {HEBREW}{PDI}"


@pytest.mark.parametrize("style", ["flat", "social", "for-the-badge"])
def test_a_badge_writes_a_label_from_right_to_left_in_its_direction(style: str):
    drawn = svg(status_badge(options({"style": style}, ARABIC), Status.UP, "up", {}))
    texts = re.findall(r"<text ([^>]*)>([^<]*)<", drawn)
    assert {text: 'direction="rtl"' in attributes for attributes, text in texts} == {
        text: bool(re.search("[\u0600-\u06ff]", text)) for _, text in texts
    }
    assert f'aria-label="{FSI}{ARABIC}{PDI}: up"' in drawn
