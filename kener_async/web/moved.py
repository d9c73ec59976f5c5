"""The public addresses of Kener 2, which redirect for good: pages and frames of other sites go on working."""

from urllib.parse import quote

from aiohttp import web

from kener_async import keys
from kener_async.api.http.responses import Handler
from kener_async.domain.calendar import DAY


def moved(folder: str) -> Handler:
    """A handler that redirects to the page of this `name` in a folder, such as /monitor, with its options."""

    async def redirect(request: web.Request) -> web.Response:
        base = request.app[keys.RUNNING].config.server.base_path
        query = request.rel_url.raw_query_string
        location = f"{base}{folder}/{quote(request.match_info['name'], safe='')}"
        headers = {
            "Location": f"{location}?{query}" if query else location,
            "Cache-Control": f"public, max-age={DAY}",
        }
        return web.Response(status=301, headers=headers)

    return redirect
