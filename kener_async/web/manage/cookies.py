"""The cookies of the signed-in side: of a session, of a step of a sign-in under way, of a known browser.

Over https they are called __Host-..., which browsers keep for this host alone. Without it browsers would send
them over the network in clear text, so they are set only where the browser speaks to its own machine.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from kener_async.domain.passkeys import is_loopback
from kener_async.identity.sessions import Visit
from kener_async.web.manage.frame import OpenPage, session_cookie, session_cookie_name, set_cookie
from kener_async.web.manage.origins import is_secure, visit_of_request


@dataclass(frozen=True, slots=True)
class SignInCookie:
    """A cookie with a secret of a browser that signs in, beside that of the session."""

    suffix: str  # of the name of the session's

    def keep(
        self, page: OpenPage, response: web.StreamResponse, secret: str, seconds: int
    ) -> web.StreamResponse:
        """Give it to the browser."""
        set_cookie(page, response, session_cookie_name(page) + self.suffix, secret, seconds)
        return response

    def secret(self, page: OpenPage) -> str:
        """What the browser has; empty without one."""
        return page.request.cookies.get(session_cookie_name(page) + self.suffix, "")

    def drop(self, page: OpenPage, response: web.StreamResponse) -> web.StreamResponse:
        """Take it from the browser."""
        return self.keep(page, response, "", 0)


STEP = SignInCookie("-step")  # of a sign-in under way
VISITOR = SignInCookie("-oidc")  # of a browser that went to a provider
BROWSER = SignInCookie("-browser")  # of one that is known, because it signed in before


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
    if STEP.secret(page):
        STEP.drop(page, response)
    return response


def drop_session(page: OpenPage, response: web.StreamResponse) -> web.StreamResponse:
    """Take the cookie of the session from the browser."""
    set_cookie(page, response, session_cookie_name(page), "", 0)
    return response


def old_session(page: OpenPage) -> str:
    """The cookie of the session that the browser had before; empty without one."""
    return session_cookie(page.request)
