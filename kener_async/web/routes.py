"""The public routes, and the parts that their handlers share."""

import structlog
from aiohttp import web

from kener_async import keys
from kener_async.api.http.endpoint import meet_expectation
from kener_async.api.http.policy import (
    CROSS_ORIGIN_API,
    CROSS_ORIGIN_PAGE,
    PAGE,
    PUBLIC_API,
    RoutePolicy,
    with_policy,
)
from kener_async.api.http.responses import Handler
from kener_async.store import incident_lists
from kener_async.web import badges, days, docs, embeds, feeds, home, incidents, monitors, robots
from kener_async.web.docs import API_DOCS, ApiDocs
from kener_async.web.errors import ERROR_PAGES, ErrorPages
from kener_async.web.manage.frame import TEMPLATES as MANAGE_TEMPLATES
from kener_async.web.moved import moved
from kener_async.web.pages import assets, templates
from kener_async.web.pages.assets import ASSETS, Assets
from kener_async.web.pages.page import PAGES, Pages
from kener_async.web.pages.snapshot import (
    STATUS_SINCE,
    MonitorViews,
    RecentIncidents,
    Snapshots,
    StatusSince,
    StoredAnnouncements,
)
from kener_async.web.pages.templates import Templates
from kener_async.web.pages.throttle import FAIR_QUEUE, RenderThrottle
from kener_async.web.parts.rows import ROW_CACHE, RowCache

log = structlog.get_logger(__name__)


def add_routes(app: web.Application) -> None:
    app.add_routes(
        [
            get("/", home.home),
            get("/category/{name:[^/]+}", home.category),
            get("/incidents", incidents.archive),
            get("/incidents/{month}", incidents.archive),
            get("/incident/{number}", incidents.incident),
            get("/badge/{tag}/{kind:status|uptime|dot}", badges.image, CROSS_ORIGIN_PAGE),
            get("/badge/{tag}/{kind:status|uptime|dot}.json", badges.endpoint, CROSS_ORIGIN_PAGE),
            get("/monitor/{tag}", monitors.monitor),
            get("/monitor/{tag}/{day:[0-9]{4}-[0-9]{2}-[0-9]{2}}", days.day),
            get("/embed/{tag}.js", embeds.script, CROSS_ORIGIN_PAGE),
            get("/embed/{tag}", embeds.embed, CROSS_ORIGIN_PAGE),
            get("/monitor-{name}", moved("/monitor")),
            get("/category-{name}", moved("/category")),
            get("/embed-{name}", moved("/embed")),
            get("/embed-{tag}/js", embeds.script, CROSS_ORIGIN_PAGE),
            get("/feed.atom", feeds.atom, CROSS_ORIGIN_PAGE),
            get("/feed.rss", feeds.rss, CROSS_ORIGIN_PAGE),
            get("/feed.json", feeds.json_feed, CROSS_ORIGIN_PAGE),
            get("/monitor/{tag}/feed.atom", feeds.atom, CROSS_ORIGIN_PAGE),
            get("/monitor/{tag}/feed.rss", feeds.rss, CROSS_ORIGIN_PAGE),
            get("/monitor/{tag}/feed.json", feeds.json_feed, CROSS_ORIGIN_PAGE),
            get("/maintenance.ics", feeds.maintenance, CROSS_ORIGIN_PAGE),
            get("/monitor/{tag}/maintenance.ics", feeds.maintenance, CROSS_ORIGIN_PAGE),
            get("/api/v2/{name:.+[.]json}", feeds.statuspage_document, CROSS_ORIGIN_API),
            get("/sitemap.xml", robots.sitemap),
            get("/robots.txt", robots.robots),
            get("/preview.png", robots.preview_image),
            get("/static/{name}", assets.static),
            get("/assets/{path:.+}", assets.assets),
            get("/favicon.ico", assets.favicon),
            get("/api/openapi.json", docs.openapi, PUBLIC_API),
            get("/api/docs", docs.api_docs, PUBLIC_API),
            get("/static/swagger-ui/{name}", docs.swagger_ui),
        ]
    )
    app.on_startup.append(_add_parts)


def get(path: str, handler: Handler, policy: RoutePolicy = PAGE) -> web.RouteDef:
    return web.get(path, with_policy(policy, handler), expect_handler=meet_expectation)


async def _add_parts(app: web.Application) -> None:
    """Wire the parts that pages share; on startup, because the database is opened only then."""
    running, states, clock = app[keys.RUNNING], app[keys.STATES], app[keys.CLOCK]
    database, writer, metrics = app[keys.DATABASE], app[keys.WRITER], app[keys.METRICS]
    queue = app[FAIR_QUEUE]
    metrics.pages_waiting.set_function(lambda: queue.waiting)
    app[STATUS_SINCE] = since = StatusSince(database)
    throttle = RenderThrottle(lambda: writer.stored)
    snapshots = Snapshots(
        running,
        states,
        clock,
        app[keys.OBSERVER].is_needed,
        app[keys.LOADER].current,
        since,
        RecentIncidents(database, states, clock),
        StoredAnnouncements(database, states),
        throttle,
    )
    app[ASSETS] = Assets(throttle)
    app[API_DOCS] = ApiDocs(app.router, running, throttle)
    pages_templates = Templates(templates.environment(app), app[ASSETS])
    views = MonitorViews(app[keys.OVERVIEWS].of, since)
    app[MANAGE_TEMPLATES] = pages_templates
    app[PAGES] = Pages(running, snapshots, views, pages_templates, queue, throttle, metrics)
    app[ERROR_PAGES] = ErrorPages(running, pages_templates)
    app[ROW_CACHE] = RowCache(pages_templates)
    for number in await database.read(incident_lists.not_showable):
        log.warning("an incident has a time that cannot be shown, and is left out of pages", number=number)
