"""The private attributes of aiohttp that this program depends on.

aiohttp has no public way to do what these functions do, and any release may rename the attributes. So they
are used here only, pyproject.toml bounds aiohttp above, and tests/test_aiohttp_private.py names one that is
gone.
"""

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

REQUEST_ATTRIBUTES = ("_rel_url", "_message", "_cache")
CONNECTION_ATTRIBUTES = (
    "_request_count",
    "_waiter",
    "_messages",
    "_reading_paused",
    "_buffer_paused",
    "_max_msg_queue_size",
    "_msg_queue_resume_size",
)

MAX_QUEUED, RESUME_AT = 2, 1


def remove_path_prefix(request: web.Request, prefix: str) -> None:
    """Change the request's path, which must begin with the prefix."""
    set_path(request, request.rel_url.raw_path[len(prefix) :] or "/")


def set_path(request: web.Request, path: str) -> None:
    """Change the request's path, which is encoded as in a URL; the query stays.

    `Request.clone` does not help: the router would match the clone, but the handler gets the original.
    """
    request._rel_url = request.rel_url.with_path(path, encoded=True, keep_query=True)
    if request.raw_path.startswith("/"):  # else the target is an absolute URL, which is compared with Host
        _, mark, query = request.raw_path.partition("?")
        request._message = request._message._replace(path=f"{path}{mark}{query}")
    request._cache.clear()  # because it has values that were derived from the old path


def received_requests(connection: RequestHandler) -> int:
    """How many heads of requests have come in."""
    return connection._request_count


def is_idle(connection: RequestHandler) -> bool:
    """Whether the connection waits for the head of a request, and none that came in is yet unhandled."""
    return connection._waiter is not None and not connection._messages


def is_reading_paused(connection: RequestHandler) -> bool:
    """Whether reading waits for a body to be read, or for queued requests to be handled."""
    return connection._reading_paused or connection._buffer_paused


def limit_pipelining(connection: RequestHandler) -> None:
    """Read no more requests while two wait for the one that is handled, instead of 32 of a megabyte each."""
    connection._max_msg_queue_size, connection._msg_queue_resume_size = MAX_QUEUED, RESUME_AT
