"""The cookies of the signed-in side: of a session, and of a step of a sign-in under way.

Over https they are called __Host-..., which browsers keep for this host alone. Without it browsers would send
them over the network in clear text, so they are set only where the browser speaks to its own machine.
"""

from urllib.parse import urlsplit

from aiohttp import web

from kener_async.domain.passkeys import is_loopback
from kener_async.identity.sessions import COOKIE, LOOPBACK_COOKIE, Visit
from kener_async.web.manage.frame import OpenPage, is_secure, session_cookie

STEP_SUFFIX = "-step"


def may_sign_in(page: OpenPage) -> bool:
    """Whether a cookie may be set: by https, or where the browser speaks to its own machine."""
    host = urlsplit(f"//{page.request.host}").hostname or ""
    return is_secure(page.request, page.config) or is_loopback(host)


def visit_of(page: OpenPage) -> Visit:
    """Where a session begins."""
    return Visit(page.network, page.request.headers.get("User-Agent", ""))


def keep_session(page: OpenPage, response: web.StreamResponse, cookie: str) -> web.StreamResponse:
    """Give the browser the cookie of a new session; a step under way has ended by that."""
    _set(page, response, _name(page), cookie, page.config.manage.session_length)
    if _name(page) + STEP_SUFFIX in page.request.cookies:
        drop_step(page, response)
    return response


def drop_session(page: OpenPage, response: web.StreamResponse) -> web.StreamResponse:
    """Take the cookie of the session from the browser."""
    _set(page, response, _name(page), "", 0)
    return response


def old_session(page: OpenPage) -> str:
    """The cookie of the session that the browser had before; empty without one."""
    return session_cookie(page.request)


def keep_step(page: OpenPage, response: web.StreamResponse, secret: str, seconds: int) -> web.StreamResponse:
    """Give the browser the secret of a step of a sign-in."""
    _set(page, response, _name(page) + STEP_SUFFIX, secret, seconds)
    return response


def step_of(page: OpenPage) -> str:
    """The secret of the step that the browser is at; empty without one."""
    return page.request.cookies.get(_name(page) + STEP_SUFFIX, "")


def drop_step(page: OpenPage, response: web.StreamResponse) -> web.StreamResponse:
    """Take the secret of a step from the browser."""
    _set(page, response, _name(page) + STEP_SUFFIX, "", 0)
    return response


def _name(page: OpenPage) -> str:
    return COOKIE if is_secure(page.request, page.config) else LOOPBACK_COOKIE


def _set(page: OpenPage, response: web.StreamResponse, name: str, value: str, seconds: int) -> None:
    """Set a cookie for this host; with no seconds it is deleted."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path="/",
        secure=is_secure(page.request, page.config),
        httponly=True,
        samesite="Lax",
    )
