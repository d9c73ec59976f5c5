"""Addresses where senders made for other services report: refused in their words, and never told to a log."""

import re
from collections.abc import Callable

import orjson
from aiohttp import web

ErrorFormat = Callable[[web.Response, str], None]


def _plain(response: web.Response, message: str) -> None:
    response.content_type = "text/plain"
    response.text = message


def _like_uptime_kuma(response: web.Response, message: str) -> None:
    response.body = orjson.dumps({"ok": False, "msg": message})


ERROR_FORMATS: dict[str, ErrorFormat] = {
    "/beat/": _plain,
    "/ping/": _plain,
    "/api/push/": _like_uptime_kuma,
    "/api/v1/endpoints/": _plain,
}
SENDER_PATHS = tuple(ERROR_FORMATS)
UNCACHED = ("/api", *SENDER_PATHS)

# Wherever it stands in a path: a proxy that is set up wrongly may put something before it.
_SECRET = re.compile(r"(/(?:beat|ping|api/push)/).+", re.IGNORECASE | re.DOTALL)


def translated(refusal: web.Response, path: str) -> web.Response | None:
    """A refusal in our envelope as the sender at the path expects it; None: it expects nothing special."""
    for beginning, dialect in ERROR_FORMATS.items():
        if path.startswith(beginning):
            message = orjson.loads(refusal.body)["error"]  # type: ignore[arg-type]
            dialect(refusal, message)
            return refusal
    return None


def masked(path: str) -> str:
    """The path as logs may have it, without a secret."""
    return _SECRET.sub(r"\1***", path)
