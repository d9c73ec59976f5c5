"""Every route once more below `[server] base_path`, for reverse proxies that do not take the path away.

The path goes off the request before a route is looked for, so that all handlers see their own addresses.
"""

from collections.abc import Iterator
from typing import Any

from aiohttp import web
from yarl import URL

from kener_async.keys import Running

TAKEN_OFF = web.RequestKey("base path taken off", bool)


def add_routes(app: web.Application, running: Running) -> None:
    """To be added last: it is asked when no other route matches, so it costs the others nothing."""
    app.router.register_resource(BelowBasePath(app.router, running))


def first_segments(router: web.UrlDispatcher) -> frozenset[str]:
    """The first segments of the routes' paths, such as "api" of /api/status."""
    return frozenset(resource.canonical.split("/")[1] for resource in router.resources()) - {""}


class BelowBasePath(web.AbstractResource):
    """What lies below the base path in force; nothing, if there is none."""

    def __init__(self, router: web.UrlDispatcher, running: Running) -> None:
        super().__init__()
        self._router = router
        self._running = running

    @property
    def canonical(self) -> str:
        return "/"

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        base = self._running.config.server.base_path
        if not base or TAKEN_OFF in request or not self._is_below(request.rel_url.raw_path, base):
            return None, set()
        request[TAKEN_OFF] = True
        _take_off(request, base)
        return await self._router.resolve(request), set()

    @staticmethod
    def _is_below(path: str, base: str) -> bool:
        return path == base or path.startswith(f"{base}/")

    def raw_match(self, path: str) -> bool:
        return False

    def url_for(self, **_: str) -> URL:
        return URL(self._running.config.server.base_path)

    def add_prefix(self, prefix: str) -> None:
        raise NotImplementedError

    def get_info(self) -> Any:
        return {}

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[web.AbstractRoute]:
        return iter(())


def _take_off(request: web.Request, base: str) -> None:
    """A clone would be seen by the router alone, so the request itself has to change."""
    rest = request.rel_url.raw_path[len(base) :] or "/"
    request._rel_url = request.rel_url.with_path(rest, encoded=True, keep_query=True)
    if request.raw_path.startswith("/"):  # else the whole address, which the gate holds against Host
        raw = request.raw_path[len(base) :]
        request._message = request._message._replace(path=raw if raw.startswith("/") else f"/{raw}")
    request._cache.clear()  # what was derived from the address as it came
