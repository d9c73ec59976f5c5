"""The actor of a request to the API, for the audit log."""

from aiohttp import web

from kener_async import keys
from kener_async.api.http.forwarded import client_address
from kener_async.domain.access import Grant
from kener_async.domain.people import Actor, ActorKind


def actor_of(request: web.Request, grant: Grant) -> Actor:
    """The token of a request, and the address that the request came from, as far as it is known."""
    proxies = request.app[keys.RUNNING].config.server.trusted_proxies
    return Actor(ActorKind.TOKEN, grant.subject, str(client_address(request, proxies) or "a proxy"))
