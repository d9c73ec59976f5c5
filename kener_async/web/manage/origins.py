"""Where a request for the signed-in side comes from: its network, its scheme, the page that sent a form."""

from urllib.parse import urlsplit

from aiohttp import web

from kener_async import keys
from kener_async.api.http.forwarded import client_address, client_origin, is_within
from kener_async.config.model import Config
from kener_async.domain.errors import Forbidden, NotFound
from kener_async.identity.sessions import Visit


def require_allowed(request: web.Request) -> None:
    """Raise NotFound where the client is in no network of `[manage] allowed_ips`."""
    config = request.app[keys.RUNNING].config
    if config.manage.allowed_ips:
        address = client_address(request, config.server.trusted_proxies)
        if address is None or not is_within(address, config.manage.allowed_ips):
            raise NotFound("not found")


def is_secure(request: web.Request, config: Config) -> bool:
    """Whether the browser speaks https, perhaps to a proxy before this server."""
    return client_origin(request, config.server.trusted_proxies).startswith("https:") or (
        config.server.public_url.startswith("https:")
    )


def network_of(request: web.Request) -> str:
    """The address of the client; empty if a proxy does not say it."""
    address = client_address(request, request.app[keys.RUNNING].config.server.trusted_proxies)
    return "" if address is None else str(address)


def visit_of_request(request: web.Request) -> Visit:
    """Where a session begins, as the request says."""
    agent = request.headers.get("User-Agent", "")
    return Visit(network_of(request), agent.encode("utf-8", "replace").decode())  # no lone surrogates


def require_own_origin(request: web.Request) -> None:
    """Raise Forbidden unless a page of ours sent the form.

    By Sec-Fetch-Site, which scripts cannot set, and by Origin. Where a proxy that is not trusted ends TLS
    the scheme that this server sees is not the browser's; then the browser must say that it is the same.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if (site is None and origin is None) or site not in (None, "same-origin"):
        raise Forbidden("the form was sent from another site")
    if origin is None:
        return
    server = request.app[keys.RUNNING].config.server
    own = {client_origin(request, server.trusted_proxies)}
    if server.public_url:
        own.add(_origin_of(server.public_url))
    is_own_host = site == "same-origin" and urlsplit(origin).netloc in {urlsplit(one).netloc for one in own}
    if origin not in own and not is_own_host:
        raise Forbidden("the form was sent from another site")


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
