"""/robots.txt and /sitemap.xml for search engines, /preview.png for links in chats and social networks."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote
from xml.etree import ElementTree

from kener_async.locales.locale import locale
from kener_async.web.formats.feeds import updated_at
from kener_async.web.pages import labels
from kener_async.web.pages.page import PageRequest, by_origin, page
from kener_async.web.pages.snapshot import Snapshot
from kener_async.web.parts import calendar, palette

XML = "application/xml; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"


@page(TEXT, key=by_origin, language=None)
async def robots(page: PageRequest) -> str:
    """Allow everything but the API; nothing if `[site] indexed` is false."""
    if not page.config.site.indexed:
        return "User-agent: *\nDisallow: /\n"
    api = f"{page.config.server.base_path}/api/"
    return f"User-agent: *\nDisallow: {api}\n\nSitemap: {page.base_url}/sitemap.xml\n"


@page(XML, key=by_origin, language=None)
async def sitemap(page: PageRequest) -> bytes:
    """All pages, as the sitemaps.org protocol lists them."""
    urls = ElementTree.Element("urlset", xmlns=NAMESPACE)
    for path, changed_at in _paths(page.snapshot):
        url = ElementTree.SubElement(urls, "url")
        ElementTree.SubElement(url, "loc").text = page.base_url + path
        changed = datetime.fromtimestamp(changed_at, UTC)
        ElementTree.SubElement(url, "lastmod").text = changed.strftime("%Y-%m-%dT%H:%M:%SZ")
    document: bytes = ElementTree.tostring(urls, encoding="utf-8", xml_declaration=True)
    return document


def _paths(snapshot: Snapshot) -> Iterator[tuple[str, int]]:
    """Paths, each with the instant of its last change."""
    yield "/", snapshot.now
    yield "/incidents", snapshot.now
    used = {view.monitor.category for view in snapshot.monitors}
    for category in snapshot.config.categories:
        if category.name in used:
            yield f"/category/{quote(category.name, safe='')}", snapshot.now
    for view in snapshot.monitors:
        yield f"/monitor/{view.monitor.tag}", snapshot.now
    for incident in (*snapshot.ongoing, *snapshot.upcoming, *snapshot.recent):
        yield f"/incident/{incident.incident.number}", updated_at(incident, snapshot.now)


@page("image/png", language=None)
async def preview_image(page: PageRequest) -> bytes:
    """The image that social networks show beside a link to the site, in the site's default language."""
    from kener_async.web.formats.preview import preview  # loads Pillow, which many servers never need

    site, overall = page.config.site, page.snapshot.headline
    colors = palette.colors(site)
    measured = await calendar.measured(page, page.snapshot.monitors)
    bars = [colors[status] for status in measured.values()]
    words = labels.headline_words(locale(site.locale), overall)
    return await asyncio.to_thread(preview, site.name, words, colors[overall.status], bars, overall.status)
