"""The policy of a route: what the middleware does for it beside calling its handler."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, TypeVar

from aiohttp import web

from kener_async.domain.people import Act

H = TypeVar("H", bound=Callable[..., Any])


class ErrorFormat(Enum):
    """How an error is written."""

    ENVELOPE = auto()  # {"error": "..."}
    PAGE = auto()  # a page for browsers, the envelope for other clients
    PLAIN_TEXT = auto()
    UPTIME_KUMA = auto()  # {"ok": false, "msg": "..."}


@dataclass(frozen=True, slots=True)
class RoutePolicy:
    """What is the same for every request to a route."""

    error_format: ErrorFormat
    is_public: bool = False  # no bearer token is required
    is_heartbeat: bool = False  # counted as a heartbeat by /metrics
    is_cacheable: bool = False  # else no-store, unless a response sets Cache-Control itself
    is_cross_origin: bool = False  # scripts of any site may read it, so it answers preflights
    takes_slash: bool = False  # a slash at the end of the path makes no difference
    has_secret_path: bool = False  # the segments that vary are a secret, masked in logs
    act: Act | None = None  # what people must be allowed to do; None: it is for no signed-in person


PAGE = RoutePolicy(ErrorFormat.PAGE, is_public=True, is_cacheable=True)
CROSS_ORIGIN_PAGE = replace(PAGE, is_cross_origin=True)
PUBLIC_API = RoutePolicy(ErrorFormat.ENVELOPE, is_public=True)
CROSS_ORIGIN_API = replace(PUBLIC_API, is_cross_origin=True)
SCREEN = RoutePolicy(ErrorFormat.PAGE, is_public=True)  # of the signed-in side; each with an act of its own


def with_policy(policy: RoutePolicy, handler: H) -> H:
    """Attach the policy to the handler of a route; a handler has one policy, however many its routes."""
    if getattr(handler, "policy", policy) != policy:
        raise ValueError(f"{handler.__qualname__} has another policy")
    handler.policy = policy  # type: ignore[attr-defined]
    return handler


def policy_of(handler: Callable[..., Any]) -> RoutePolicy | None:
    """The policy of a handler; None for aiohttp's own, which raise 404 and 405."""
    policy: RoutePolicy | None = getattr(handler, "policy", None)
    return policy


class RoutePolicies:
    """The policies of a router's routes, applied to paths that match no route."""

    def __init__(self, router: web.UrlDispatcher) -> None:
        self._by_beginning: dict[tuple[str, ...], RoutePolicy] = {}
        secrets = []
        for path, policy in _policies(router):
            fixed = _fixed_segments(path)
            for beginning in (fixed, fixed[:2]):  # the first segment of every path is empty
                # A request that matches no route is no heartbeat.
                self._by_beginning.setdefault(beginning, replace(policy, is_heartbeat=False))
            if policy.has_secret_path:
                secrets.append(re.escape("/".join(fixed)))
        self._depth = max(map(len, self._by_beginning))
        # Anywhere in a path, because a misconfigured proxy may prepend something to it.
        self._secret = re.compile(rf"((?:{'|'.join(secrets)})/).+", re.IGNORECASE | re.DOTALL)

    def closest(self, path: str) -> RoutePolicy:
        """The policy of a route whose fixed segments begin the path, else of one with the same first segment.

        Of several such routes the first that was registered decides: below /api it is the API's own, because
        senders of other services are known by more than that segment.
        """
        segments = tuple(path.split("/", self._depth)[: self._depth])
        beginnings = (segments[:length] for length in range(len(segments), 0, -1))
        return next((self._by_beginning[start] for start in beginnings if start in self._by_beginning), PAGE)

    def masked(self, path: str) -> str:
        """The path without a secret, as it may be logged."""
        return self._secret.sub(r"\1***", path)


def _policies(router: web.UrlDispatcher) -> Iterator[tuple[str, RoutePolicy]]:
    for route in router.routes():
        policy = policy_of(route.handler)
        if policy is not None and route.resource is not None:
            yield route.resource.canonical, policy


def _fixed_segments(path: str) -> tuple[str, ...]:
    """The segments before the first that varies: ("", "beat") of /beat/{key}."""
    segments = path.split("/")
    return tuple(segments[: next((n for n, text in enumerate(segments) if "{" in text), len(segments))])
