"""/api/docs: the API description, rendered by Swagger UI from our own files."""

from pathlib import Path

from aiohttp import web

from kener_async.domain.errors import NotFound

STATIC = Path(__file__).parent / "static"
SWAGGER_UI = frozenset(file.name for file in (STATIC / "swagger-ui").iterdir())
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; style-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


async def api_docs(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "api-docs.html", headers={"Content-Security-Policy": POLICY})


async def swagger_ui(request: web.Request) -> web.FileResponse:
    """A file of Swagger UI."""
    name = request.match_info["name"]
    if name not in SWAGGER_UI:
        raise NotFound("not found")
    return web.FileResponse(STATIC / "swagger-ui" / name)
