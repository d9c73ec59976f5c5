"""GET and POST /beat/{key}: a heartbeat of what can only fetch an address."""

from aiohttp import web
from aiohttp.hdrs import METH_HEAD

from kener_async.api import schemas
from kener_async.api.compat.senders import SENDER, admitted, store
from kener_async.api.http.auth import AUTHENTICATOR
from kener_async.api.http.compiled_loader import loader
from kener_async.api.http.endpoint import Routes, loaded

routes = Routes()

load_query = loader(schemas.BeatQuery())


@routes.get("/beat/{key}", policy=SENDER)
@routes.post("/beat/{key}", policy=SENDER)
async def beat(request: web.Request) -> web.Response:
    """Store `status` (UP) and `latency` (0) of the key's monitor; HEAD only says whether the key is good."""
    token = await request.app[AUTHENTICATOR].beat(request, request.match_info["key"])
    said = loaded(load_query, request.query)
    state = await admitted(request, token.id, (token.tags or ("",))[0])
    if request.method != METH_HEAD:
        await store(request, state, said["status"], said["latency"])
    return web.Response(text="OK")
