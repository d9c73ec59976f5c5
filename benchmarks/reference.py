"""The bare servers that ours is compared with: aiohttp and uvloop, and nothing else."""

import sys
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field

import uvloop
from aiohttp import web

LARGEST_PAGE = 1 << 26  # bytes

routes = web.RouteTableDef()


@dataclass
class Page:
    """A finished answer."""

    status: int = 404
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


PAGE = web.AppKey("page", Page)


@routes.post("/api/status")
async def post(request: web.Request) -> web.Response:
    """Reads the JSON of the body and answers as ours would, without keeping anything."""
    await request.json()
    return web.json_response({"status": 200, "message": "success at 1731251760"})


@routes.get("/api/status")
async def get(request: web.Request) -> web.Response:
    return web.json_response({"status": "UP", "uptime": "99.9306", "lastUpdatedAt": 1731251760})


@routes.put("/")
async def keep(request: web.Request) -> web.Response:
    """Takes the answer that `GET /` is to give from now on."""
    given, page = await request.json(), request.app[PAGE]
    page.status, page.headers, page.body = given["status"], given["headers"], b64decode(given["body"])
    return web.Response(status=204)


@routes.get("/")
async def send(request: web.Request) -> web.Response:
    page = request.app[PAGE]
    return web.Response(status=page.status, headers=page.headers, body=page.body)


def main() -> None:
    app = web.Application(client_max_size=LARGEST_PAGE)
    app[PAGE] = Page()
    app.add_routes(routes)
    port = int(sys.argv[1])
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
