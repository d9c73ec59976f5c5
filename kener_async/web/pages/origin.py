"""How this server is reached from outside, for what must name its whole address: feeds, maps of the site."""

from aiohttp import web

from kener_async import keys
from kener_async.api.http.forwarded import client_origin


def origin_of(request: web.Request) -> str:
    """Scheme and host, without a slash at the end: as configured, else as this visitor reached us."""
    server = request.app[keys.RUNNING].config.server
    return server.public_url or client_origin(request, server.trusted_proxies)
