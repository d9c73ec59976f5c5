"""/api/manage/tokens: list tokens, make one, revoke one."""

from typing import Any

from kener_async import keys
from kener_async.api.http.auth import AUTHENTICATOR
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.http.new_tokens import GLOB, TokenOrder, covers, made, require_within
from kener_async.api.manage import schemas
from kener_async.domain.access import Grant
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.people import Actor
from kener_async.store import token_acts, tokens
from kener_async.store.interface import Session
from kener_async.store.tokens import Token

routes = Routes()

YEAR = 365 * 86_400  # seconds: how long a token lasts unless said otherwise; a push key has no end


@routes.get("/api/manage/tokens")
@endpoint(
    Spec(
        operation="listTokens",
        summary="List tokens",
        group="Management",
        scope="admin",
        reply=schemas.TokenSchema(),
        many=True,
    )
)
async def list_tokens(call: Call) -> list[dict[str, Any]]:
    """The tokens that were made here, oldest first, without what they are verified by.

    A token with tags sees those for monitors of its own.
    """
    app = call.request.app
    found = await app[keys.DATABASE].read(tokens.all_tokens)
    now = app[keys.CLOCK]()
    return [rendered(token, now) for token in found.values() if covers(call.grant, token.tags)]


@routes.post("/api/manage/tokens")
@endpoint(
    Spec(
        operation="createToken",
        summary="Make a token",
        group="Management",
        scope="admin",
        body=schemas.TokenRequest(),
        reply=schemas.NewTokenSchema(),
        errors=(408, 413, 415, 503),
    )
)
async def create(call: Call) -> dict[str, Any]:
    """Make a token, or with `pushKey` a key for /beat/KEY that reports one monitor.

    `token` of the answer is what its holder keeps: only a record of it is stored, so it is never shown again.
    A token with tags makes tokens for monitors of its own.
    """
    app = call.request.app
    now = app[keys.CLOCK]()
    order = ordered(call.body)
    require_within(call.grant, order)
    record, text = made(order, app[AUTHENTICATOR].mint, now)
    await app[keys.DATABASE].write(token_acts.create, record, call.actor)
    return rendered(record, now) | {"token": text}


@routes.delete("/api/manage/tokens/{tokenId}")
@endpoint(
    Spec(
        operation="revokeToken",
        summary="Revoke a token",
        group="Management",
        scope="admin",
        path={"tokenId": "id of the token"},
        reply=schemas.TokenSchema(),
        errors=(404, 503),
    )
)
async def revoke(call: Call) -> dict[str, Any]:
    """Refuse a token from now on; its record stays. That cannot be taken back."""
    app = call.request.app
    actor, now = call.actor, app[keys.CLOCK]()
    number = call.request.match_info["tokenId"]
    revoked = await app[keys.DATABASE].write(revoke_visible, number, call.grant, actor, now)
    await app[AUTHENTICATOR].reload()
    return rendered(revoked, now)


def revoke_visible(session: Session, token_id: str, grant: Grant, actor: Actor, now: int) -> Token:
    """Revoke the token of an id; its record then.

    Raises NotFound, also for one that the grant does not cover.
    """
    found = tokens.all_tokens(session).get(token_id)
    if found is None or not covers(grant, found.tags):
        raise NotFound("token not found")
    token_acts.revoke_known(session, token_id, actor, now)
    return tokens.all_tokens(session)[token_id]


def ordered(values: dict[str, Any]) -> TokenOrder:
    """The order of a new token with the values of TokenRequest; raises Invalid."""
    tags, is_push_key = tuple(values.get("tags", ())), values.get("is_push_key", False)
    if is_push_key and (len(tags) != 1 or GLOB.intersection(tags[0])):
        raise Invalid("Invalid tags: a push key needs exactly one tag, without * ? [")
    if is_push_key and values.get("scopes"):
        raise Invalid("Invalid scopes: a push key has none, it reports its monitor")
    default = None if is_push_key else YEAR
    return TokenOrder(
        values["name"],
        tuple(values.get("scopes", ())),
        tags,
        values.get("lifetime", default),
        is_push_key=is_push_key,
    )


def rendered(token: Token, now: int) -> dict[str, Any]:
    """A token as it is answered; instants are UTC seconds."""
    return {
        "id": token.id,
        "name": token.name,
        "state": token.state(now),
        "scopes": token.scopes,
        "tags": token.tags,
        "pushKey": token.digest is not None,
        "createdAt": token.created_at,
        "lastUsedAt": token.last_used,
        "expiresAt": token.expires_at,
        "revokedAt": token.revoked_at,
    }
