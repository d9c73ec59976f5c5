"""Tokens of OAuth 2 by client credentials, kept until they end.

A token that cannot be had is no fault of the target, which was not asked: the attempt is not measured. The
server of tokens deserves a check of its own.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import ClientError, encode_basic_auth
from yarl import URL

from kener_async.domain.checks import Obstacle
from kener_async.probes.connector import Hop, connecting
from kener_async.probes.own_faults import words_of
from kener_async.probes.probe import NoAnswer, NotMeasured, Trace
from kener_async.probes.settings import OAuth, TlsSettings
from kener_async.probes.sockets import Route
from kener_async.probes.vantage import Vantage

LARGEST_ANSWER = 1 << 16  # bytes
DEFAULT_LIFE = 300.0  # seconds, where the server does not say
SPARE_SHARE = 0.1  # of its life that a token is renewed before its end
REFUSED = frozenset({400, 401})


@dataclass(frozen=True, slots=True)
class BearerToken:
    """`is_cached`: it was fetched for an earlier attempt."""

    value: str = field(repr=False)
    is_cached: bool


@dataclass(slots=True)
class StoredToken:
    """The token of a client; `ends` is monotonic. `in_body`: this server wants the secret in the body."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    value: str = field(default="", repr=False)
    ends: float = 0.0
    in_body: bool = False


async def bearer_token(
    vantage: Vantage, oauth: OAuth, route: Route, *, is_stale: bool = False
) -> BearerToken:
    """The token of a client, fetched where there is none; `is_stale`: the target refused the one there is.

    Raises NotMeasured when there is none to be had.
    """
    stored = vantage.tokens.setdefault(oauth, StoredToken())
    refused = stored.value if is_stale else ""
    async with stored.lock:
        if stored.value and stored.value != refused and time.monotonic() < stored.ends:
            return BearerToken(stored.value, is_cached=True)
        where = URL(oauth.token_url).host
        try:
            await _fetch(vantage, oauth, route, stored)
        except (NoAnswer, NotMeasured) as error:
            raise NotMeasured(Obstacle.SECRET, f"no token from {where}: {error}") from None
        except ClientError as error:
            text = words_of(error) if isinstance(error, OSError) else "no complete answer"
            raise NotMeasured(Obstacle.SECRET, f"no token from {where}: {text}") from None
        except OSError as error:
            raise NotMeasured(Obstacle.SECRET, f"no token from {where}: {words_of(error)}") from None
        return BearerToken(stored.value, is_cached=False)


async def _fetch(vantage: Vantage, oauth: OAuth, route: Route, stored: StoredToken) -> None:
    status, answer = await _asked(vantage, oauth, route, in_body=stored.in_body)
    if status in REFUSED and answer.get("error") in {None, "invalid_client", "invalid_request"}:
        # Most servers take the secret in a header, as RFC 6749 prefers, and some only in the body.
        stored.in_body = not stored.in_body
        status, answer = await _asked(vantage, oauth, route, in_body=stored.in_body)
    token = answer.get("access_token")
    if status != 200 or not isinstance(token, str) or not token.isascii() or not token.isprintable():
        error = answer.get("error")
        raise NoAnswer(f"status {status}{f', {error}' if isinstance(error, str) else ''}")
    life = answer.get("expires_in")
    try:
        seconds = float(life) if isinstance(life, int | float | str) else DEFAULT_LIFE
    except ValueError:
        seconds = DEFAULT_LIFE
    stored.value = token
    stored.ends = time.monotonic() + seconds * (1 - SPARE_SHARE)


async def _asked(
    vantage: Vantage, oauth: OAuth, route: Route, *, in_body: bool
) -> tuple[int, Mapping[str, Any]]:
    form = {"grant_type": "client_credentials", **({"scope": oauth.scope} if oauth.scope else {})}
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    if in_body:
        form |= {"client_id": oauth.client, "client_secret": oauth.secret}
    else:
        client, secret = quote(oauth.client, safe=""), quote(oauth.secret, safe="")
        headers["Authorization"] = encode_basic_auth(client, secret, "utf-8")
    with connecting(Hop(route, Trace(), TlsSettings())):
        async with vantage.session.post(
            oauth.token_url, data=urlencode(form).encode(), headers=headers, allow_redirects=False
        ) as response:
            body = await response.content.read(LARGEST_ANSWER)
            while len(body) < LARGEST_ANSWER and (part := await response.content.read(LARGEST_ANSWER)):
                body += part
            return response.status, _object(body)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
