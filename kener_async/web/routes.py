"""Every public route, at a glance."""

from aiohttp import web

from kener_async import keys
from kener_async.web import badges, days, docs, embeds, feeds, home, incidents, monitors, robots
from kener_async.web.errors import ERRORS, ErrorPages
from kener_async.web.home import ROWS, Rows
from kener_async.web.pages import assets, templates
from kener_async.web.pages.cache import FAIR_QUEUE, PAGE_CACHE, RENDER_THROTTLE, VARIANTS, PageCache
from kener_async.web.pages.snapshot import SNAPSHOTS, Snapshots
from kener_async.web.pages.throttle import FairQueue, RenderThrottle


def add_routes(app: web.Application) -> None:
    """Add the pages, and what they share."""
    app[RENDER_THROTTLE] = RenderThrottle(lambda: app[keys.WRITER].stored)
    app[SNAPSHOTS] = Snapshots(app[RENDER_THROTTLE])
    app[PAGE_CACHE], app[VARIANTS] = PageCache(), PageCache()
    app[FAIR_QUEUE] = turnstile = FairQueue()
    app[keys.METRICS].pages_waiting.set_function(lambda: turnstile.waiting)
    app[ROWS], app[ERRORS] = Rows(), ErrorPages()
    templates.setup(app)
    app.add_routes(
        [
            web.get("/", home.home),
            web.get("/category/{name:[^/]+}", home.category),
            web.get("/incidents", incidents.archive),
            web.get("/incidents/{month}", incidents.archive),
            web.get("/incident/{number}", incidents.incident),
            web.get("/badge/{tag}/{kind:status|uptime|dot}{form:(\\.json)?}", badges.badge),
            web.get("/monitor/{tag}", monitors.monitor),
            web.get("/monitor/{tag}/{day:[0-9]{4}-[0-9]{2}-[0-9]{2}}", days.day),
            web.get("/embed/{tag}.js", embeds.script),
            web.get("/embed/{tag}", embeds.embed),
            web.get("/feed.{form:atom|rss|json}", feeds.feed),
            web.get("/monitor/{tag}/feed.{form:atom|rss|json}", feeds.feed),
            web.get("/maintenance.ics", feeds.maintenance),
            web.get("/monitor/{tag}/maintenance.ics", feeds.maintenance),
            web.get("/api/v2/{name:.+[.]json}", feeds.summarized),
            web.get("/sitemap.xml", robots.sitemap),
            web.get("/robots.txt", robots.robots),
            web.get("/preview.png", robots.preview_image),
            web.get("/static/{name}", assets.static),
            web.get("/assets/{path:.+}", assets.assets),
            web.get("/favicon.ico", assets.favicon),
        ]
    )
    docs.add_routes(app)
