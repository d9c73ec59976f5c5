"""Preflight requests (Fetch Standard, 4.8) for the routes whose policy lets scripts of any site read them."""

from aiohttp import web
from aiohttp.hdrs import METH_OPTIONS

from kener_async.api.http.policy import PUBLIC_API, policy_of, with_policy
from kener_async.api.http.responses import ANY_ORIGIN, Handler, PrebuiltResponse, prebuilt_head

MAX_AGE = 86400  # seconds for which a browser need not ask again


def add_preflights(router: web.UrlDispatcher) -> None:
    """Add OPTIONS to each resource that may be read from any site; for no other."""
    for resource in list(router.resources()):
        policies = [policy_of(route.handler) for route in resource]
        if isinstance(resource, web.Resource) and any(
            policy and policy.is_cross_origin for policy in policies
        ):
            methods = ", ".join(sorted({route.method for route in resource}))
            resource.add_route(METH_OPTIONS, _preflight(methods))


def _preflight(methods: str) -> Handler:
    head = prebuilt_head(
        204,
        (
            *ANY_ORIGIN.items(),
            ("Access-Control-Allow-Methods", methods),
            ("Access-Control-Allow-Headers", "*"),
            ("Access-Control-Max-Age", str(MAX_AGE)),
            ("Allow", f"{methods}, {METH_OPTIONS}"),
        ),
    )

    async def preflight(_: web.Request) -> web.StreamResponse:
        """Allow the request that a script of another site wants to send."""
        return PrebuiltResponse(head, b"")

    return with_policy(PUBLIC_API, preflight)
