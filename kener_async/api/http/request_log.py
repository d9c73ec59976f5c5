"""The log of requests: why one was refused, for whom and from where, bounded in lines and lengths.

Anybody may send requests, so what is logged of those without a valid token has a rate of its own: a flood of
them neither fills the disk nor hides the refusals of tokens that are known.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog
from aiohttp import web

from kener_async.api.http.forwarded import client_address
from kener_async.api.http.policy import RoutePolicies
from kener_async.keys import Running
from kener_async.log import LineRate

log = structlog.get_logger("kener_async.requests")

MAX_TEXT, MAX_NAME = 300, 64  # characters of a path or an error, and of a name
TOLD_EVERY = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Requester:
    """For whom a request was: the name and the id of its token, and the monitor, where they are known."""

    token: str = ""
    token_id: str = ""
    tag: str = ""

    def fields(self) -> dict[str, str]:
        named = {"token": self.token, "token_id": self.token_id, "tag": self.tag}
        return {name: value[:MAX_NAME] for name, value in named.items() if value}


REQUESTER = web.RequestKey("requester", Requester)


class RequestLog:
    """Log requests; `policies` mask secrets in paths."""

    def __init__(
        self, running: Running, policies: RoutePolicies, clock: Callable[[], float] = monotonic
    ) -> None:
        self._running = running
        self._policies = policies
        self._rates = {
            "anonymous": LineRate(5, 200, clock),
            "known": LineRate(20, 400, clock),
            "failed": LineRate(1, 20, clock),
        }
        self._left_out: Counter[str] = Counter()

    def answered(self, request: web.Request, status: int, error: str | None) -> None:
        """Log a response; `error` is the reason of a refusal."""
        if status < 400:
            if self._running.config.log.requests == "all":
                log.info("answered", **self._fields(request), status=status)
            return
        fields: dict[str, Any] = {**self._fields(request), "status": status}
        if error is not None:
            fields["error"] = error[:MAX_TEXT]
        self._add(_kind(request), log.warning if status >= 500 else log.info, "answered", fields)

    def rejected(self, request: web.Request, **fields: Any) -> None:
        """Log the samples of a batch that were not stored."""
        self._add(_kind(request), log.info, "samples rejected", {**self._fields(request), **fields})

    def failed(self, request: web.Request) -> None:
        """Log the exception that is being handled."""
        self._add("failed", log.exception, "a request failed", self._fields(request))

    def _fields(self, request: web.Request) -> dict[str, Any]:
        peer = client_address(request, self._running.config.server.trusted_proxies)
        requester = request.get(REQUESTER)
        return {
            "method": request.method[:MAX_NAME],
            "path": self._policies.masked(request.path)[:MAX_TEXT],
            "peer": str(peer or "unknown"),
            **({} if requester is None else requester.fields()),
        }

    def _add(self, kind: str, write: Callable[..., Any], event: str, fields: dict[str, Any]) -> None:
        if self._rates[kind].admits():
            write(event, **fields)
            return
        if not self._left_out:
            asyncio.get_running_loop().call_later(TOLD_EVERY, self._tell_left_out)
        self._left_out[kind] += 1

    def _tell_left_out(self) -> None:
        left_out, self._left_out = self._left_out, Counter()
        log.info("lines left out, too many requests were refused", **left_out)


def _kind(request: web.Request) -> str:
    return "known" if REQUESTER in request else "anonymous"


REQUEST_LOG = web.AppKey("request log", RequestLog)
