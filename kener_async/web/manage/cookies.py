"""The cookies of the signed-in side: of a session, of a step of a sign-in under way, of a known browser.

Over https they are called __Host-..., which browsers keep for this host alone. Without it browsers would send
them over the network in clear text, so they are set only where the browser speaks to its own machine.
"""

from urllib.parse import urlsplit

from aiohttp import web

from kener_async.domain.passkeys import is_loopback
from kener_async.identity.sessions import Visit
from kener_async.identity.sign_in import KNOWN_BROWSER_SECONDS
from kener_async.web.manage.frame import OpenPage, session_cookie, session_cookie_name, set_cookie
from kener_async.web.manage.origins import is_secure, visit_of_request

STEP_SUFFIX, VISITOR_SUFFIX, BROWSER_SUFFIX = "-step", "-oidc", "-browser"


def may_sign_in(page: OpenPage) -> bool:
    """Whether a cookie may be set: by https, or where the browser speaks to its own machine."""
    host = urlsplit(f"//{page.request.host}").hostname or ""
    return is_secure(page.request, page.config) or is_loopback(host)


def visit_of(page: OpenPage) -> Visit:
    """Where a session begins."""
    return visit_of_request(page.request)


def keep_session(page: OpenPage, response: web.StreamResponse, cookie: str) -> web.StreamResponse:
    """Give the browser the cookie of a new session; a step under way has ended by that."""
    set_cookie(page, response, session_cookie_name(page), cookie, page.config.manage.session_length)
    if session_cookie_name(page) + STEP_SUFFIX in page.request.cookies:
        drop_step(page, response)
    return response


def drop_session(page: OpenPage, response: web.StreamResponse) -> web.StreamResponse:
    """Take the cookie of the session from the browser."""
    set_cookie(page, response, session_cookie_name(page), "", 0)
    return response


def old_session(page: OpenPage) -> str:
    """The cookie of the session that the browser had before; empty without one."""
    return session_cookie(page.request)


def keep_step(page: OpenPage, response: web.StreamResponse, secret: str, seconds: int) -> web.StreamResponse:
    """Give the browser the secret of a step of a sign-in."""
    set_cookie(page, response, session_cookie_name(page) + STEP_SUFFIX, secret, seconds)
    return response


def step_of(page: OpenPage) -> str:
    """The secret of the step that the browser is at; empty without one."""
    return page.request.cookies.get(session_cookie_name(page) + STEP_SUFFIX, "")


def drop_step(page: OpenPage, response: web.StreamResponse) -> web.StreamResponse:
    """Take the secret of a step from the browser."""
    set_cookie(page, response, session_cookie_name(page) + STEP_SUFFIX, "", 0)
    return response


def keep_visitor(
    page: OpenPage, response: web.StreamResponse, secret: str, seconds: int
) -> web.StreamResponse:
    """Give the browser the secret by which it is known when it comes back from a provider."""
    set_cookie(page, response, session_cookie_name(page) + VISITOR_SUFFIX, secret, seconds)
    return response


def visitor_of(page: OpenPage) -> str:
    """The secret of a browser that went to a provider; empty without one."""
    return page.request.cookies.get(session_cookie_name(page) + VISITOR_SUFFIX, "")


def drop_visitor(page: OpenPage, response: web.StreamResponse) -> web.StreamResponse:
    """Take that secret from the browser."""
    set_cookie(page, response, session_cookie_name(page) + VISITOR_SUFFIX, "", 0)
    return response


def keep_browser(page: OpenPage, response: web.StreamResponse, secret: str) -> web.StreamResponse:
    """Give the browser the secret by which it is known from now on."""
    set_cookie(page, response, session_cookie_name(page) + BROWSER_SUFFIX, secret, KNOWN_BROWSER_SECONDS)
    return response


def browser_secret(page: OpenPage) -> str:
    """The secret by which the browser is known; empty without one."""
    return page.request.cookies.get(session_cookie_name(page) + BROWSER_SUFFIX, "")
