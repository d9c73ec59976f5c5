"""What people do about tokens: make them, revoke them."""

from typing import Any

from kener_async.domain.people import Actor
from kener_async.store import audit, tokens
from kener_async.store.interface import Session
from kener_async.store.tokens import Token


def create(session: Session, token: Token, actor: Actor) -> None:
    """Store a new token."""
    tokens.add(session, token)
    audit.record(session, actor, "token.create", _thing(token), None, _audited(token), token.created_at)


def revoke_known(session: Session, wanted: str, actor: Actor, now: int) -> Token:
    """Revoke the token of an id, or of a name that only one valid token has; its record before.

    One that was revoked stays as it is. Raises NotFound, and Invalid where several have the name.
    """
    before = tokens.revoke_known(session, wanted, now)
    if before.revoked_at is None:
        after = _audited(before) | {"revokedAt": now}
        audit.record(session, actor, "token.revoke", _thing(before), _audited(before), after, now)
    return before


def revoke_foreign(session: Session, token_id: str, actor: Actor, now: int) -> None:
    """Revoke a token made elsewhere, which may have no record here; raises NotFound for a malformed id."""
    tokens.revoke(session, token_id, now)
    audit.record(session, actor, "token.revoke", f"token {token_id}", None, {"revokedAt": now}, now)


def _thing(token: Token) -> str:
    return f"token {token.id}"


def _audited(token: Token) -> dict[str, Any]:
    """What is known of a token without what it is verified by."""
    return {
        "name": token.name,
        "scopes": list(token.scopes),
        "tags": None if token.tags is None else list(token.tags),
        "expiresAt": token.expires_at,
        "isPushKey": token.digest is not None,
        "sender": token.sender,
        "revokedAt": token.revoked_at,
    }
