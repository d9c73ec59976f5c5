"""All routes also below `[server] base_path`, for reverse proxies that do not strip it.

It is removed from the request before the route is resolved, so handlers see the same paths either way.
"""

from aiohttp import web

from kener_async.api.http.aiohttp_private import remove_path_prefix
from kener_async.api.http.rerouting import Rerouting
from kener_async.keys import Running

IS_STRIPPED = web.RequestKey("base path is stripped", bool)


def add_routes(app: web.Application, running: Running) -> None:
    """Add them; must be called last, so that it is resolved last and costs the other routes nothing."""
    app.router.register_resource(BelowBasePath(app.router, running))


def first_segments(router: web.UrlDispatcher) -> frozenset[str]:
    """The first segments of the routes' paths, such as "api" of /api/status."""
    return frozenset(resource.canonical.split("/")[1] for resource in router.resources()) - {""}


class BelowBasePath(Rerouting):
    """Resolve what is below the current base path; nothing, if there is none."""

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        base = self.running.config.server.base_path
        if not base or IS_STRIPPED in request or not self._is_below(request.rel_url.raw_path, base):
            return None, set()
        request[IS_STRIPPED] = True
        remove_path_prefix(request, base)
        return await self.router.resolve(request), set()

    @staticmethod
    def _is_below(path: str, base: str) -> bool:
        return path == base or path.startswith(f"{base}/")
