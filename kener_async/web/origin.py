"""How this server is reached from outside, for what must name its whole address: feeds, maps of the site."""

from ipaddress import ip_address

from aiohttp import web

from kener_async import keys


def origin_of(request: web.Request) -> str:
    """Scheme and host, without a slash at the end: as configured, else as this visitor reached us.

    What a proxy says of the scheme counts only when it is one of `trusted_proxies`.
    """
    server = request.app[keys.RUNNING].config.server
    if server.public_url:
        return server.public_url
    scheme = request.scheme
    told = request.headers.get("X-Forwarded-Proto", "")
    if told in ("http", "https") and _is_trusted(request):
        scheme = told
    return f"{scheme}://{request.host}"


def _is_trusted(request: web.Request) -> bool:
    try:
        peer = ip_address(request.remote or "")
    except ValueError:
        return False
    return any(peer in network for network in request.app[keys.RUNNING].config.server.trusted_proxies)
