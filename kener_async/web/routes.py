"""The public routes, and the parts that their handlers share."""

from aiohttp import web

from kener_async import keys
from kener_async.web import badges, days, docs, embeds, feeds, home, incidents, monitors, robots
from kener_async.web.errors import ERROR_PAGES, ErrorPages
from kener_async.web.home import ROW_CACHE, RowCache
from kener_async.web.pages import assets, templates
from kener_async.web.pages.assets import ASSETS, Assets
from kener_async.web.pages.page import PAGES, Pages
from kener_async.web.pages.snapshot import MonitorViews, RecentIncidents, Snapshots, StatusSince
from kener_async.web.pages.templates import Templates
from kener_async.web.pages.throttle import FairQueue, RenderThrottle


def add_routes(app: web.Application) -> None:
    app.add_routes(
        [
            web.get("/", home.home),
            web.get("/category/{name:[^/]+}", home.category),
            web.get("/incidents", incidents.archive),
            web.get("/incidents/{month}", incidents.archive),
            web.get("/incident/{number}", incidents.incident),
            web.get("/badge/{tag}/{kind:status|uptime|dot}", badges.image),
            web.get("/badge/{tag}/{kind:status|uptime|dot}.json", badges.endpoint),
            web.get("/monitor/{tag}", monitors.monitor),
            web.get("/monitor/{tag}/{day:[0-9]{4}-[0-9]{2}-[0-9]{2}}", days.day),
            web.get("/embed/{tag}.js", embeds.script),
            web.get("/embed/{tag}", embeds.embed),
            web.get("/feed.atom", feeds.atom),
            web.get("/feed.rss", feeds.rss),
            web.get("/feed.json", feeds.json_feed),
            web.get("/monitor/{tag}/feed.atom", feeds.atom),
            web.get("/monitor/{tag}/feed.rss", feeds.rss),
            web.get("/monitor/{tag}/feed.json", feeds.json_feed),
            web.get("/maintenance.ics", feeds.maintenance),
            web.get("/monitor/{tag}/maintenance.ics", feeds.maintenance),
            web.get("/api/v2/{name:.+[.]json}", feeds.statuspage_document),
            web.get("/sitemap.xml", robots.sitemap),
            web.get("/robots.txt", robots.robots),
            web.get("/preview.png", robots.preview_image),
            web.get("/static/{name}", assets.static),
            web.get("/assets/{path:.+}", assets.assets),
            web.get("/favicon.ico", assets.favicon),
        ]
    )
    docs.add_routes(app)
    app.on_startup.append(_add_parts)


async def _add_parts(app: web.Application) -> None:
    """Wire the parts that pages share; on startup, because the database is opened only then."""
    running, states, clock = app[keys.RUNNING], app[keys.STATES], app[keys.CLOCK]
    database, writer, metrics = app[keys.DATABASE], app[keys.WRITER], app[keys.METRICS]
    queue = FairQueue()
    metrics.pages_waiting.set_function(lambda: queue.waiting)
    throttle = RenderThrottle(lambda: writer.stored)
    snapshots = Snapshots(
        running,
        states,
        clock,
        app[keys.OBSERVER].is_needed,
        MonitorViews(app[keys.LOADER].current, app[keys.OVERVIEWS].of, StatusSince(database)),
        RecentIncidents(database, states, clock),
        throttle,
    )
    app[ASSETS] = Assets(throttle)
    pages_templates = Templates(templates.environment(app), app[ASSETS])
    app[PAGES] = Pages(running, snapshots, pages_templates, queue, throttle, metrics)
    app[ERROR_PAGES] = ErrorPages(running, pages_templates, queue)
    app[ROW_CACHE] = RowCache(pages_templates)
