"""Addresses with a slash at the end: routes of senders take it, others redirect to the address without it."""

from aiohttp import web

from kener_async.api.http.aiohttp_private import set_path
from kener_async.api.http.policy import PUBLIC_API, policy_of, with_policy
from kener_async.api.http.rerouting import Rerouting
from kener_async.keys import Running

IS_TRIED = web.RequestKey("path without slash is tried", bool)


def add_routes(app: web.Application, running: Running) -> None:
    """Add them; must be called after all others, so that they cost only paths that match no other."""
    app.router.register_resource(WithoutSlash(app.router, running))


class WithoutSlash(Rerouting):
    """Resolve a path that ends with a slash as if it did not."""

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        path = request.rel_url.raw_path
        bare = path.rstrip("/")
        if bare == path or not bare or bare.startswith("//") or IS_TRIED in request:
            return None, set()
        request[IS_TRIED] = True
        set_path(request, bare)
        match = await self.router.resolve(request)
        policy = None if match.http_exception is not None else policy_of(match.handler)
        if policy is not None and policy.takes_slash:
            return match, set()
        location = f"{self.running.config.server.base_path}{request.rel_url}"
        set_path(request, path)
        return (None if policy is None else self._redirection(location)), set()

    def _redirection(self, location: str) -> web.UrlMappingMatchInfo:
        async def redirect(_: web.Request) -> web.StreamResponse:
            raise web.HTTPPermanentRedirect(location)  # 308: the method and the body stay

        return web.UrlMappingMatchInfo({}, web.ResourceRoute("*", with_policy(PUBLIC_API, redirect), self))
