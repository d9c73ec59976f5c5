"""Steps of a sign-in under way, each bound to one browser by a secret of which the digest is stored."""

import json
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from kener_async.store.interface import Session


def add(session: Session, kind: str, body: Mapping[str, Any], ends_at: int) -> str:
    """Store a step with its JSON object; the secret (43 characters) by which it is found."""
    secret = secrets.token_urlsafe(32)
    session.execute(
        "INSERT INTO challenges (digest, kind, body, ends_at) VALUES (?, ?, ?, ?)",
        (_digest(secret), kind, json.dumps(body, ensure_ascii=False), ends_at),
    )
    return secret


def find(session: Session, kind: str, secret: str, now: int) -> dict[str, Any] | None:
    """The JSON object of a step that has not ended, which stays."""
    row = session.execute(
        "SELECT body FROM challenges WHERE digest = ? AND kind = ? AND ends_at > ?",
        (_digest(secret), kind, now),
    ).fetchone()
    return None if row is None else json.loads(row[0])


def take(session: Session, kind: str, secret: str, now: int) -> dict[str, Any] | None:
    """The JSON object of a step that has not ended, which is deleted: each is taken once."""
    body = find(session, kind, secret, now)
    session.execute("DELETE FROM challenges WHERE digest = ? AND kind = ?", (_digest(secret), kind))
    return body


def claim(session: Session, kind: str, secret: str, ends_at: int) -> bool:
    """Store a step by a secret that was made elsewhere; False if it is stored already."""
    added = session.execute(
        "INSERT INTO challenges (digest, kind, body, ends_at) VALUES (?, ?, '{}', ?) ON CONFLICT DO NOTHING",
        (_digest(secret), kind, ends_at),
    )
    return added.rowcount == 1


def keep_newest(session: Session, kind: str, person: int, most: int) -> None:
    """Delete the steps of a kind and a person but those that end last."""
    session.execute(
        """
        DELETE FROM challenges
         WHERE digest IN (SELECT digest FROM challenges
                           WHERE kind = ? AND body ->> '$.person' = ?
                           ORDER BY ends_at DESC, digest LIMIT -1 OFFSET ?)
        """,
        (kind, person, most),
    )


def drop_ended(session: Session, now: int) -> int:
    """Delete the steps that were not completed in time; how many."""
    return session.execute("DELETE FROM challenges WHERE ends_at <= ?", (now,)).rowcount


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
