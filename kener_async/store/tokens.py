"""The tokens made here, and what became of them."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from kener_async.domain.errors import NotFound
from kener_async.store.interface import Session

Stamp = tuple[int, int] | None


def stamp(database: Path) -> Stamp:
    """Differs from every earlier stamp once a token was added or revoked, also by another process.

    A look at a file beside the database, for it must be cheap enough for every request.
    """
    try:
        found = os.stat(f"{database}-tokens")
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size


def announce(database: Path) -> None:
    """Give the file a new stamp, by one more byte; after the commit that changed the tokens."""
    with open(f"{database}-tokens", "ab", buffering=0) as file:
        file.write(b".")


@dataclass(frozen=True, slots=True)
class Token:
    """A token's record; instants are UTC seconds, `expires_at` None: never.

    `digest` is that of a beat key, which stands for the one monitor that `tags` names; None: it is a JWT.
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


def digest_of(key: str) -> bytes:
    """What is kept of a beat key."""
    return sha256(key.encode("utf-8", "surrogateescape")).digest()


def add(session: Session, token: Token) -> None:
    session.execute(
        """
        INSERT INTO tokens (id, name, scopes, tags, created_at, expires_at, last_used, revoked_at, digest)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
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
        ),
    )


def everyone(session: Session) -> dict[str, Token]:
    """All records by id, oldest first."""
    rows = session.execute(
        """
        SELECT id, name, scopes, tags, created_at, expires_at, last_used, revoked_at, digest
          FROM tokens ORDER BY created_at, id
        """
    )
    return {row[0]: _token(row) for row in rows}


def revoke(session: Session, token_id: str, now: int) -> None:
    """Refuse the token from now on, also one made elsewhere; raises NotFound for a malformed id."""
    if not token_id or len(token_id) > 200:
        raise NotFound("no such token")
    session.execute(
        """
        INSERT INTO tokens (id, name, scopes, created_at, revoked_at) VALUES (?, '(made elsewhere)', '', ?, ?)
            ON CONFLICT (id) DO UPDATE SET revoked_at = coalesce(tokens.revoked_at, excluded.revoked_at)
        """,
        (token_id, now, now),
    )


def used(session: Session, uses: Mapping[str, int]) -> None:
    """Note when tokens were last used."""
    session.executemany(
        "UPDATE tokens SET last_used = max(coalesce(last_used, 0), ?) WHERE id = ?",
        [(instant, token_id) for token_id, instant in sorted(uses.items())],
    )


Row = tuple[str, str, str, str | None, int, int | None, int | None, int | None, bytes | None]


def _token(row: Row) -> Token:
    token_id, name, scopes, tags, created_at, expires_at, last_used, revoked_at, digest = row
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
    )
