"""/api/openapi.json, and /api/docs, which renders it by Swagger UI from our own files."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import orjson
from aiohttp import web

from kener_async import keys
from kener_async.api.http.responses import JSON
from kener_async.api.openapi import document
from kener_async.config.model import Config, ServerConfig
from kener_async.domain.errors import NotFound
from kener_async.web.pages.cache import CachedPage, RenderedPage
from kener_async.web.pages.throttle import RenderThrottle

STATIC = Path(__file__).parent / "static"
PLAIN_TEXT = "text/plain; charset=utf-8"
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
SWAGGER_UI = frozenset(file.name for file in (STATIC / "swagger-ui").iterdir())
POLICY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; style-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}


class ApiDocs:
    """The description and the files, each read or built once and shared by all requests."""

    def __init__(self, router: web.UrlDispatcher, running: keys.Running, throttle: RenderThrottle) -> None:
        self._router = router
        self._running = running
        self._throttle = throttle
        self._building = asyncio.Lock()
        self._server: ServerConfig | None = None
        self._description: CachedPage | None = None
        self._files: dict[Path, CachedPage] = {}

    async def description(self) -> CachedPage:
        """The OpenAPI document for the current configuration, whose addresses are in it."""
        async with self._building:
            config = self._running.config
            if self._description is None or config.server != self._server:
                # In a thread, because it takes longer than a heartbeat may wait.
                page = await asyncio.to_thread(_described, self._router, config)
                self._description = CachedPage(page, JSON, {}, self._throttle)
                self._server = config.server
            return self._description

    async def file(self, path: Path, headers: Mapping[str, str]) -> CachedPage:
        """One of our own files."""
        if path not in self._files:
            page = await asyncio.to_thread(lambda: RenderedPage.of(path.read_bytes()))
            content_type = CONTENT_TYPES.get(path.suffix, PLAIN_TEXT)
            if path not in self._files:  # another request may have read it meanwhile
                self._files[path] = CachedPage(page, content_type, headers, self._throttle)
        return self._files[path]


def _described(router: web.UrlDispatcher, config: Config) -> RenderedPage:
    return RenderedPage.of(orjson.dumps(document(router, config), option=orjson.OPT_INDENT_2))


API_DOCS = web.AppKey("API docs", ApiDocs)


async def openapi(request: web.Request) -> web.StreamResponse:
    """The description of this server."""
    return await (await request.app[API_DOCS].description()).response_to(request)


async def api_docs(request: web.Request) -> web.StreamResponse:
    page = await request.app[API_DOCS].file(STATIC / "api-docs.html", POLICY)
    return await page.response_to(request)


async def swagger_ui(request: web.Request) -> web.StreamResponse:
    """A file of Swagger UI."""
    name = request.match_info["name"]
    if name not in SWAGGER_UI:
        raise NotFound("not found")
    page = await request.app[API_DOCS].file(STATIC / "swagger-ui" / name, {})
    return await page.response_to(request)
