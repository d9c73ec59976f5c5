"""Make the record of a new token and the text that its holder keeps: a JWT, or a push key."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from kener_async.domain.access import DEFAULT_SCOPES, Grant
from kener_async.domain.errors import Forbidden
from kener_async.store import tokens
from kener_async.store.tokens import Token

GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class TokenOrder:
    """What a new token is to be. No scopes: the default ones; no tags: all monitors.

    `lifetime` is in seconds, None: it does not expire. `sender` is the id of the token whose devices it
    continues. A push key reports the one monitor of `tags`, and has the scope for that alone.
    """

    name: str
    scopes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    lifetime: int | None = None
    sender: str | None = None
    is_push_key: bool = False


def made(order: TokenOrder, sign: Callable[[Token], str], now: int) -> tuple[Token, str]:
    """The record of a new token, and the token itself, which is not stored; `sign` makes the JWT."""
    key = secrets.token_urlsafe(32) if order.is_push_key else ""
    record = Token(
        id=secrets.token_hex(8),
        name=order.name,
        scopes=("status:write",) if order.is_push_key else order.scopes or DEFAULT_SCOPES,
        tags=order.tags or None,
        created_at=now,
        expires_at=None if order.lifetime is None else now + order.lifetime,
        digest=tokens.digest_of(key) if order.is_push_key else None,
        sender=order.sender,
    )
    return record, key or sign(record)


def require_within(grant: Grant, order: TokenOrder) -> None:
    """Raise Forbidden where a new token would do more than the grant that makes it."""
    if grant.tags is not None and not covers(grant, order.tags or None):
        raise Forbidden("the token must be for monitors of your own")


def covers(grant: Grant, tags: tuple[str, ...] | None) -> bool:
    """Whether a grant covers all that the tags of a token stand for; patterns only where it covers all."""
    if grant.tags is None:
        return True
    return bool(tags) and all(not GLOB.intersection(tag) and grant.allows_tag(tag) for tag in tags or ())
