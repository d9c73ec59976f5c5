"""Records of the tokens made here, and of those revoked here."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from kener_async.domain.access import is_expired
from kener_async.domain.errors import Invalid, NotFound
from kener_async.store.interface import Session

Version = tuple[int, int]  # see `changed_since`
NO_VERSION: Version = (-1, -1)  # before anything was read

REVOKED_WITHIN = 0.25  # seconds: how long a running server may go on accepting a token that was revoked


@dataclass(frozen=True, slots=True)
class Token:
    """The record of a token; instants are UTC seconds, and a token without `expires_at` never expires.

    `digest` is that of a push key, which is for the one monitor that `tags` names; None for a JWT. `sender`
    is the id of the token whose devices it continues; None: it has its own.
    """

    id: str
    name: str
    scopes: tuple[str, ...]
    tags: tuple[str, ...] | None
    created_at: int
    expires_at: int | None
    last_used: int | None = None
    revoked_at: int | None = None
    digest: bytes | None = None
    sender: str | None = None

    def state(self, now: int) -> Literal["valid", "expired", "revoked"]:
        """Whether it is accepted, or why not."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if is_expired(self.expires_at, now) else "valid"


def digest_of(key: str) -> bytes:
    """The digest of a push key, by which it is found; the key itself is not stored."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def add(session: Session, token: Token) -> None:
    """Store a new token."""
    session.execute(
        """
        INSERT INTO tokens (id, name, scopes, tags, created_at, expires_at, last_used, revoked_at, digest,
                            sender)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            token.id,
            token.name,
            " ".join(token.scopes),
            None if token.tags is None else json.dumps(token.tags),
            token.created_at,
            token.expires_at,
            token.last_used,
            token.revoked_at,
            token.digest,
            token.sender,
        ),
    )


def all_tokens(session: Session) -> dict[str, Token]:
    """All records by id, oldest first."""
    rows = session.execute(
        """
        SELECT id, name, scopes, tags, created_at, expires_at, last_used, revoked_at, digest, sender
          FROM tokens ORDER BY created_at, id
        """
    )
    return {row[0]: _token(row) for row in rows}


def changed_since(session: Session, version: Version) -> tuple[Version, dict[str, Token]] | None:
    """The records and their version, or None if no token was added or revoked since `version`.

    The version is how many tokens there are and how many of them are revoked: records are only ever added,
    and a revocation is never taken back. Another process that commits a change has thereby announced it.
    """
    (added, revoked) = session.execute("SELECT count(*), count(revoked_at) FROM tokens").fetchone()
    return None if (added, revoked) == version else ((added, revoked), all_tokens(session))


def revoke(session: Session, token_id: str, now: int) -> None:
    """Revoke the token, which may have been made elsewhere; raises NotFound for a malformed id."""
    if not token_id or len(token_id) > 200:
        raise NotFound("no such token")
    session.execute(
        """
        INSERT INTO tokens (id, name, scopes, created_at, revoked_at) VALUES (?, '(made elsewhere)', '', ?, ?)
            ON CONFLICT (id) DO UPDATE SET revoked_at = coalesce(tokens.revoked_at, excluded.revoked_at)
        """,
        (token_id, now, now),
    )


def revoke_known(session: Session, wanted: str, now: int) -> Token:
    """Revoke the token of an id, or of a name that only one valid token has; its record.

    Raises NotFound, and Invalid with the ids where several have the name.
    """
    records = all_tokens(session)
    named = [record for record in records.values() if record.name == wanted]
    valid = [token for token in named if token.revoked_at is None and not is_expired(token.expires_at, now)]
    found = [records[wanted]] if wanted in records else valid or named[-1:]
    if not found:
        raise NotFound("no token has this id or name, see token list")
    if len(found) > 1:
        ids = ", ".join(record.id for record in found)
        raise Invalid(f"{len(found)} tokens have this name, give the id of one: {ids}")
    revoke(session, found[0].id, now)
    return found[0]


def save_uses(session: Session, uses: Mapping[str, int]) -> None:
    """Store when tokens were last used."""
    session.executemany(
        "UPDATE tokens SET last_used = max(coalesce(last_used, 0), ?) WHERE id = ?",
        [(instant, token_id) for token_id, instant in sorted(uses.items())],
    )


Row = tuple[str, str, str, str | None, int, int | None, int | None, int | None, bytes | None, str | None]


def _token(row: Row) -> Token:
    token_id, name, scopes, tags, created_at, expires_at, last_used, revoked_at, digest, sender = row
    patterns: Iterable[str] | None = None if tags is None else json.loads(tags)
    return Token(
        token_id,
        name,
        tuple(scopes.split()),
        None if patterns is None else tuple(patterns),
        created_at,
        expires_at,
        last_used,
        revoked_at,
        digest,
        sender,
    )
