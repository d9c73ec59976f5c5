"""Sign-in by the header of a trusted proxy, before any screen is made."""

from hmac import compare_digest

import structlog
from aiohttp import web

from kener_async import keys
from kener_async.api.http.forwarded import is_within, peer_address
from kener_async.domain.errors import Forbidden
from kener_async.identity.proxy import HeaderRefused, ProxySettings, identity_of
from kener_async.identity.sessions import SignedIn
from kener_async.store.identities import ExternalIdentity
from kener_async.web.manage.federation import FEDERATION, proxy_settings
from kener_async.web.manage.origins import visit_of_request

log = structlog.get_logger(__name__)


def named_by_proxy(request: web.Request) -> ExternalIdentity | None:
    """Whom a trusted proxy names; None without one, or where that is not configured.

    Raises Forbidden for a request that has the header and may not, which the log says.
    """
    config = request.app[keys.RUNNING].config
    settings = proxy_settings(config)
    if settings is None:
        return None
    peer = peer_address(request)
    is_trusted = peer is not None and is_within(peer, config.server.trusted_proxies)
    try:
        return identity_of(settings, request.headers, is_trusted=is_trusted)
    except HeaderRefused as error:
        log.warning("a request with the header of a proxy was refused", reason=str(error), peer=str(peer))
        raise Forbidden("this request names a person in a way that is not allowed here") from None


async def session_by_header(request: web.Request, found: SignedIn | None) -> str | None:
    """What the cookie of the session shall hold from now on; None: the one that it has is right.

    `found` is the session of the cookie. One of another person than the header names ends, and so does one
    whose groups give another role now. A form is not accepted in the same request: it was made before, for
    nobody or for another, so the cookie is empty then. Raises Forbidden.
    """
    identity, settings = named_by_proxy(request), proxy_settings(request.app[keys.RUNNING].config)
    if identity is None or settings is None:
        return None
    if found is not None and _is_of(found, identity, settings):
        return None
    if request.method not in ("GET", "HEAD"):
        return ""
    old = None if found is None else found.digest
    return await request.app[FEDERATION].by_header(settings, identity, visit_of_request(request), old)


def _is_of(found: SignedIn, identity: ExternalIdentity, settings: ProxySettings) -> bool:
    """Whether a session is that of the named person, with the role that their groups give."""
    person = found.person
    is_named = compare_digest(person.name.casefold().encode(), identity.name.casefold().encode())
    return is_named and (not settings.groups_header or person.role == identity.role)
