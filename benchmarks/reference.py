"""The bare servers that ours is compared with: aiohttp and uvloop, and nothing else."""

import sys

import uvloop
from aiohttp import web

routes = web.RouteTableDef()


@routes.post("/api/status")
async def post(request: web.Request) -> web.Response:
    """Reads the JSON of the body and answers as ours would, without keeping anything."""
    await request.json()
    return web.json_response({"status": 200, "message": "success at 1731251760"})


@routes.get("/api/status")
async def get(request: web.Request) -> web.Response:
    return web.json_response({"status": "UP", "uptime": "99.9306", "lastUpdatedAt": 1731251760})


def main() -> None:
    app = web.Application()
    app.add_routes(routes)
    port = int(sys.argv[1])
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None, loop=uvloop.new_event_loop())


if __name__ == "__main__":
    main()
