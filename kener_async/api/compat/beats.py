"""GET and POST /beat/{key}: a heartbeat from a client that can only request a URL."""

from aiohttp import web
from aiohttp.hdrs import METH_HEAD

from kener_async.api import schemas
from kener_async.api.compat.senders import SENDER, SENDER_REPORTS
from kener_async.api.http.auth import AUTHENTICATOR
from kener_async.api.http.compiled_loader import loader
from kener_async.api.http.endpoint import Routes, loaded
from kener_async.api.http.request_log import REQUESTER, Requester

routes = Routes()

load_query = loader(schemas.BeatQuery())


@routes.get("/beat/{key}", policy=SENDER)
@routes.post("/beat/{key}", policy=SENDER)
async def beat(request: web.Request) -> web.Response:
    """Store `status` (UP) and `latency` (0) for the key's monitor; HEAD only tests the key."""
    reports = request.app[SENDER_REPORTS]
    token = await request.app[AUTHENTICATOR].push_key(request, request.match_info["key"])
    tag = (token.tags or ("",))[0]
    request[REQUESTER] = Requester(token.name, token.id, tag)
    state = await reports.admit(token.id, tag)
    query = loaded(load_query, request.query)
    if request.method != METH_HEAD:
        await reports.store(state, query["status"], query["latency"])
    return web.Response(text="OK")
