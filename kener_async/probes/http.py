"""HTTP: one request and the redirects after it, each on a new connection."""

import asyncio
import codecs
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import (
    ClientConnectionError,
    ClientError,
    ClientOSError,
    ClientPayloadError,
    ClientResponse,
    ClientResponseError,
    InvalidURL,
    ServerDisconnectedError,
    encode_basic_auth,
)
from multidict import CIMultiDictProxy
from yarl import URL

from kener_async.domain.checks import Obstacle
from kener_async.domain.conditions import Value
from kener_async.domain.masking import shortened
from kener_async.probes.connector import Hop, connecting
from kener_async.probes.oauth import BearerToken, bearer_token
from kener_async.probes.own_faults import obstacle_of, words_of
from kener_async.probes.probe import NoAnswer, NotMeasured, Observation, Trace
from kener_async.probes.settings import CheckSettings, HttpTarget, OAuth
from kener_async.probes.sockets import Route
from kener_async.probes.vantage import Vantage

REDIRECTS = frozenset({301, 302, 303, 307, 308})
SCHEMES = frozenset({"http", "https"})
READING_SECONDS = 0.002  # for which reading may hold the loop
READ_BYTES = 1 << 9  # of which even a body in chunks of one byte takes few milliseconds
UNAUTHORIZED = 401
CONTENT_TYPE = ("Content-Type",)
QUICK_SHARE = 0.1  # of the time-out, that fetching a token may take from the target
# What another host is told, too: these tell it nothing that it should not know.
HARMLESS_HEADERS: Final = frozenset({"accept", "accept-language", "cache-control", "pragma", "user-agent"})
# Encodings of texts; those of Python that are none, or are slow, are not for strangers to choose.
ENCODINGS: Final = (
    "utf-8",
    "utf-16-",
    "iso8859",
    "cp125",
    "ascii",
    "koi8",
    "gb",
    "big5",
    "euc",
    "shift_jis",
    "mac",
)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: URL
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_plain(self) -> bool:
        """Whether aiohttp adds no type of a body to it."""
        return self.method == "GET" and not self.body

    @property
    def tells_secrets(self) -> bool:
        """Whether there is anything in it, besides the address, that not everybody may know."""
        return bool(self.body) or any(name.lower() not in HARMLESS_HEADERS for name in self.headers)


class HttpProbe:
    """Looks at a target over HTTP. Reusable; see probes/probe.py."""

    def __init__(self, target: HttpTarget, check: CheckSettings, vantage: Vantage) -> None:
        self._target = target
        self._vantage = vantage
        self._route = Route.of(check)
        self._timeout = check.timing.timeout
        reads = frozenset().union(*(each.reads for each in (*(check.expect or ()), *check.warn)))
        self._reads_body = not reads.isdisjoint({"body", "json"})
        self._reads_headers = "header" in reads
        self._request = _first_request(target)
        self._proxy, self._proxy_authorization = _proxy(target.proxy)

    async def look(self, trace: Trace) -> Observation:
        """Send the request, follow redirects, and read what conditions ask for; raises as every probe."""
        if self._proxy is not None and not self._route.is_trusted:
            raise NotMeasured(Obstacle.PERMISSION, "a proxy may be used by checks of config.toml only")
        if self._target.oauth is None:
            return await self._ask(self._request, trace)
        token = await self._token(self._target.oauth, trace)
        observation = await self._ask(_with_token(self._request, token.value), trace)
        if observation.values["status"] == UNAUTHORIZED and token.is_cached:
            token = await self._token(self._target.oauth, trace, is_stale=True)
            trace.clear()
            observation = await self._ask(_with_token(self._request, token.value), trace)
        return observation

    async def _token(self, oauth: OAuth, trace: Trace, *, is_stale: bool = False) -> BearerToken:
        """The token to show; when fetching it takes long, the target is not blamed for the time."""
        trace.excuse = NotMeasured(Obstacle.SECRET, f"no token from {URL(oauth.token_url).host} in time")
        began = time.perf_counter()
        token = await bearer_token(self._vantage, oauth, self._route, is_stale=is_stale)
        if time.perf_counter() - began < QUICK_SHARE * self._timeout:
            trace.excuse = None
        trace.secrets = (*trace.secrets, token.value)
        return token

    async def _ask(self, request: _Request, trace: Trace) -> Observation:
        hop = Hop(self._route, trace, self._target.tls, self._proxy_authorization)
        with connecting(hop):
            began = time.perf_counter()
            redirects = 0
            while True:
                try:
                    response = await self._send(request)
                    hop.answers.append(response)
                except NotMeasured as error:
                    if redirects and error.obstacle is Obstacle.PERMISSION:
                        raise NoAnswer(f"redirects to where it must not: {error}", is_network=False) from None
                    raise
                trace.add(
                    first_byte=time.perf_counter()
                    - began
                    - sum(each or 0 for each in trace.phases)
                    - trace.own
                )
                if (following := _redirected(request, response, self._target.max_redirects)) is None:
                    return await self._observed(response, hop, began)
                redirects += 1
                if redirects > self._target.max_redirects:
                    raise NoAnswer(f"more than {self._target.max_redirects} redirects", is_network=False)
                request = following
                hop.abort()

    async def _send(self, request: _Request) -> ClientResponse:
        """Send one request; returns with the headers of its answer."""
        headers = dict(request.headers)
        if self._proxy_authorization and request.url.scheme == "http":
            headers["Proxy-Authorization"] = self._proxy_authorization
        try:
            return await self._vantage.session.request(
                request.method,
                request.url,
                headers=headers,
                data=request.body or None,
                skip_auto_headers=None if request.is_plain else CONTENT_TYPE,
                allow_redirects=False,
                proxy=self._proxy,
            )
        except InvalidURL:
            raise NoAnswer("the address is not valid", is_network=False) from None
        except ClientError as error:
            raise failure(error) from None
        except ValueError:
            raise NotMeasured(Obstacle.SECRET, "a header is not valid: it has a line break") from None

    async def _observed(self, response: ClientResponse, hop: Hop, began: float) -> Observation:
        values: dict[str, Value] = {"status": response.status, "url": str(response.url.with_fragment(None))}
        if hop.peer and self._proxy is None:
            values["ip"] = hop.peer
        if self._reads_body:
            hop.trace.awaited = "complete answer"
            values["body"] = await _body(response, self._target.max_body)
        return Observation(
            time.perf_counter() - began,
            values,
            _headers(response.headers) if self._reads_headers else {},
            f"status is {response.status}" if response.status >= 400 else "",
        )


def without_user(
    url: URL, headers: Mapping[str, str], user: str = "", password: str = ""
) -> tuple[URL, dict[str, str]]:
    """The address without user and password, and the headers with them, by the basic scheme."""
    headers = dict(headers)
    user, password = user or url.user or "", password or url.password or ""
    if (user or password) and not _has(headers, "authorization"):
        headers["Authorization"] = encode_basic_auth(user, password, "utf-8")
    return url.with_user(None), headers


def _first_request(target: HttpTarget) -> _Request:
    url, headers = without_user(URL(target.url), target.headers, target.user, target.password)
    if target.body and not _has(headers, "content-type") and _is_json(target.body):
        headers["Content-Type"] = "application/json"
    return _Request(target.method, url, headers, target.body.encode())


def _has(headers: Mapping[str, str], name: str) -> bool:
    return any(each.lower() == name for each in headers)


def _with_token(request: _Request, token: str) -> _Request:
    others = {name: value for name, value in request.headers.items() if name.lower() != "authorization"}
    return replace(request, headers={**others, "Authorization": f"Bearer {token}"})


def _proxy(text: str) -> tuple[URL | None, str]:
    """The address of a proxy without user and password, and what it is to be shown for them."""
    if not text:
        return None, ""
    url = URL(text if "://" in text else f"http://{text}")
    authorization = encode_basic_auth(url.user or "", url.password or "", "utf-8") if url.user else ""
    return url.with_user(None), authorization


def _redirected(request: _Request, response: ClientResponse, most: int) -> _Request | None:
    """The request after a redirect, or None if the answer is the last; raises NoAnswer for a bad one."""
    location = response.headers.get("Location") if response.status in REDIRECTS and most else None
    if not location:
        return None
    try:
        url = request.url.join(URL(location))
        host = url.host
    except ValueError:
        raise NoAnswer("redirects to an address that is not valid", is_network=False) from None
    if url.scheme not in SCHEMES or not host:
        scheme = f"a {shortened(url.scheme, 20)}:" if url.scheme not in SCHEMES else "an"
        raise NoAnswer(f"redirects to {scheme} address, which is not followed", is_network=False)
    url = url.with_user(None)
    if _becomes_get(request.method, response.status):
        kept = {name: value for name, value in request.headers.items() if name.lower() != "content-type"}
        request = replace(request, method="GET", body=b"", headers=kept)
    if _is_elsewhere(request.url, url):
        if request.body:
            raise NoAnswer(
                f"redirects a {request.method} with a body to another host or port", is_network=False
            )
        harmless = {name: each for name, each in request.headers.items() if name.lower() in HARMLESS_HEADERS}
        request = replace(request, headers=harmless)
    if request.url.scheme == "https" and url.scheme == "http" and request.tells_secrets:
        raise NoAnswer("redirects from https to http, which would show secrets", is_network=False)
    return replace(request, url=url)


def _is_elsewhere(before: URL, after: URL) -> bool:
    """Whether another service may answer there: of another host, or at another port by the same scheme."""
    return before.host != after.host or (before.scheme == after.scheme and before.port != after.port)


def _becomes_get(method: str, status: int) -> bool:
    """As browsers do (RFC 9110 15.4)."""
    return (status == 303 and method != "HEAD") or (status in {301, 302} and method == "POST")


async def _body(response: ClientResponse, most: int) -> str:
    """The beginning of the body as text; what cannot be decoded is replaced."""
    decoder = codecs.getincrementaldecoder(_encoding(response))("replace")
    parts: list[str] = []
    left, until = most, time.perf_counter() + READING_SECONDS
    try:
        while left > 0 and (part := await response.content.read(min(left, READ_BYTES))):
            parts.append(decoder.decode(part))
            left -= len(part)
            if time.perf_counter() > until:  # a body that is all there would be unpacked in one go
                await asyncio.sleep(0)
                until = time.perf_counter() + READING_SECONDS
    except ClientPayloadError:
        raise NoAnswer("the answer is incomplete") from None
    except ClientError as error:
        raise failure(error) from None
    return "".join((*parts, decoder.decode(b"", final=True)))


def _encoding(response: ClientResponse) -> str:
    try:
        name = codecs.lookup(response.charset or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    if name == "utf-16":  # whose decoder refuses a text that does not begin with the mark of its order
        return "utf-16-le"
    return name if name.startswith(ENCODINGS) else "utf-8"


def _headers(headers: CIMultiDictProxy[str]) -> Mapping[str, str]:
    """By names in lower case; those that are sent several times are joined by commas."""
    joined: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


def failure(error: ClientError) -> NoAnswer | NotMeasured:
    """What an error of aiohttp means."""
    if isinstance(error, ClientOSError):
        return NotMeasured(own, words_of(error)) if (own := obstacle_of(error)) else NoAnswer(words_of(error))
    if isinstance(error, ServerDisconnectedError):
        return NoAnswer("the connection was closed without an answer")
    if isinstance(error, ClientResponseError):
        return NoAnswer(f"the answer is not HTTP: {_first_line(error.message)}", is_network=False)
    if isinstance(error, ClientPayloadError):
        return NoAnswer("the answer is incomplete")
    if isinstance(error, ClientConnectionError):
        return NoAnswer("the connection was closed")
    return NoAnswer(f"the answer is not HTTP: {type(error).__name__}", is_network=False)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(":") or "it cannot be read"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
