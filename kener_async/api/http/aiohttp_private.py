"""The private attributes of aiohttp that this program depends on.

aiohttp has no public way to do what these functions do, and any release may rename the attributes. So they
are used here only, pyproject.toml bounds aiohttp above, and tests/test_aiohttp_private.py names one that is
gone.
"""

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

REQUEST_ATTRIBUTES = ("_rel_url", "_message", "_cache")
CONNECTION_ATTRIBUTES = ("_request_count",)


def remove_path_prefix(request: web.Request, prefix: str) -> None:
    """Change the request's path, which must begin with the prefix.

    `Request.clone` does not help: the router would match the clone, but the handler gets the original.
    """
    rest = request.rel_url.raw_path[len(prefix) :] or "/"
    request._rel_url = request.rel_url.with_path(rest, encoded=True, keep_query=True)
    if request.raw_path.startswith("/"):  # else the target is an absolute URL, which is compared with Host
        target = request.raw_path[len(prefix) :]
        path = target if target.startswith("/") else f"/{target}"
        request._message = request._message._replace(path=path)
    request._cache.clear()  # because it has values that were derived from the old path


def has_received_request(connection: RequestHandler) -> bool:
    """Whether the head of a first request has come in."""
    return connection._request_count > 0
