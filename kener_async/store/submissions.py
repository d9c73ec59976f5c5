"""One-time keys of forms that were submitted, so that a form which is sent twice acts once."""

from hashlib import sha256

from kener_async.domain.calendar import DAY
from kener_async.store.interface import Session

KEPT = 31 * DAY  # longer than a form stays open by any sensible length of a session


def claim(session: Session, key: str, location: str, now: int) -> str | None:
    """Take the key of a form as used, in the transaction of its act.

    None when it is new; else where the act before led to, and the caller must not act again.
    """
    before = location_of(session, key)
    if before is None:
        session.execute(
            "INSERT INTO submissions (digest, at, location) VALUES (?, ?, ?)", (_digest(key), now, location)
        )
    return before


def location_of(session: Session, key: str) -> str | None:
    """Where the act of a form with this key led to; None: it has not acted."""
    row = session.execute("SELECT location FROM submissions WHERE digest = ?", (_digest(key),)).fetchone()
    return None if row is None else str(row[0])


def settle(session: Session, key: str, location: str) -> None:
    """Store where the act of a claimed key led to, where that is known only after it."""
    session.execute("UPDATE submissions SET location = ? WHERE digest = ?", (location, _digest(key)))


def drop_old(session: Session, now: int) -> int:
    """Delete the keys of forms that nobody sends again; how many."""
    return session.execute("DELETE FROM submissions WHERE at <= ?", (now - KEPT,)).rowcount


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
