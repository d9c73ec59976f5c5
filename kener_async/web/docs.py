"""/api/docs: the API's description, rendered in the browser from files of ours."""

from pathlib import Path

from aiohttp import web

STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; style-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def api_docs(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "api-docs.html", headers={"Content-Security-Policy": POLICY})


def add_routes(app: web.Application) -> None:
    app.router.add_get("/api/docs", api_docs)
    app.router.add_static("/static/", STATIC)
