"""What search engines and social networks look for: /robots.txt, /sitemap.xml and the preview image."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote
from xml.etree import ElementTree

from aiohttp import web

from kener_async import keys
from kener_async.config.model import Config
from kener_async.domain.summary import summary
from kener_async.web.pages import labels, locales
from kener_async.web.pages.cache import VARIANTS, page
from kener_async.web.pages.locales import ENGLISH, Locale
from kener_async.web.pages.origin import origin_of
from kener_async.web.pages.snapshot import Snapshot
from kener_async.web.parts import calendar, palette

XML = "application/xml; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"


async def robots(request: web.Request) -> web.StreamResponse:
    """Everything may be read but the API; or nothing, if the site is not to be found."""
    origin = origin_of(request)

    async def make(snapshot: Snapshot, _: Locale) -> str:
        config = snapshot.config
        base = config.server.base_path
        if not config.site.indexed:
            return "User-agent: *\nDisallow: /\n"
        return f"User-agent: *\nDisallow: {base}/api/\n\nSitemap: {origin}{base}/sitemap.xml\n"

    return await page(request, make, f"{origin}/robots.txt", TEXT, locale=ENGLISH, kept=VARIANTS)


async def sitemap(request: web.Request) -> web.StreamResponse:
    """The pages that there are, after the sitemaps.org protocol."""
    origin = origin_of(request)

    async def make(snapshot: Snapshot, _: Locale) -> bytes:
        urls = ElementTree.Element("urlset", xmlns=NAMESPACE)
        for path, changed in _paths(snapshot):
            url = ElementTree.SubElement(urls, "url")
            ElementTree.SubElement(url, "loc").text = f"{origin}{snapshot.config.server.base_path}{path}"
            moment = datetime.fromtimestamp(changed, UTC)
            ElementTree.SubElement(url, "lastmod").text = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        document: bytes = ElementTree.tostring(urls, encoding="utf-8", xml_declaration=True)
        return document

    return await page(request, make, f"{origin}/sitemap.xml", XML, locale=ENGLISH, kept=VARIANTS)


def _paths(snapshot: Snapshot) -> Iterator[tuple[str, int]]:
    """Paths, each with when it last changed."""
    yield "/", snapshot.now
    yield "/incidents", snapshot.now
    used = {shown.monitor.category for shown in snapshot.monitors}
    for category in snapshot.config.categories:
        if category.name in used:
            yield f"/category/{quote(category.name, safe='')}", snapshot.now
    for shown in snapshot.monitors:
        yield f"/monitor/{shown.monitor.tag}", snapshot.now
    for event in (*snapshot.ongoing, *snapshot.upcoming, *snapshot.recent):
        said = [comment.created_at for comment in event.comments]
        yield f"/incident/{event.incident.number}", max([event.incident.created_at, *said])


async def preview_image(request: web.Request) -> web.StreamResponse:
    """The picture that social networks show beside a link to the site."""
    from kener_async.web.formats.preview import preview  # brings Pillow, which many a service never needs

    async def make(snapshot: Snapshot, locale: Locale) -> bytes:
        whole = summary(snapshot.statuses)
        colors = palette.colors(snapshot.config.site)
        bars = [colors[status] for status in calendar.measured(snapshot.monitors).values()]
        sentence = labels.summary(locale, whole)
        title = snapshot.config.site.name
        return await asyncio.to_thread(preview, title, sentence, colors[whole.status], bars, whole.status)

    return await page(
        request, make, "/preview.png", "image/png", locale=_default(request.app[keys.RUNNING].config)
    )


def _default(config: Config) -> Locale:
    return locales.locale(config.site.locale)
