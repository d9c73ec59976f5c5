"""Invitations: links, each for one person and one use, by which they set what they sign in with."""

from kener_async.store.interface import Session


def add(session: Session, person: int, digest: bytes, ends_at: int, now: int) -> None:
    """Store an invitation in the place of those of the person before."""
    session.execute("DELETE FROM invitations WHERE person = ?", (person,))
    session.execute(
        "INSERT INTO invitations (digest, person, made_at, ends_at) VALUES (?, ?, ?, ?)",
        (digest, person, now, ends_at),
    )


def find(session: Session, digest: bytes, now: int) -> int | None:
    """The id of the person of an invitation that is neither used nor ended."""
    row = session.execute(
        "SELECT person FROM invitations WHERE digest = ? AND used_at IS NULL AND ends_at > ?", (digest, now)
    ).fetchone()
    return None if row is None else int(row[0])


def use(session: Session, digest: bytes, now: int) -> int | None:
    """Take an invitation as used; the id of its person, None when it was used before or has ended."""
    person = find(session, digest, now)
    if person is not None:
        session.execute("UPDATE invitations SET used_at = ? WHERE digest = ?", (now, digest))
    return person


def drop_ended(session: Session, now: int) -> int:
    """Delete the invitations that have ended; how many."""
    return session.execute("DELETE FROM invitations WHERE ends_at <= ?", (now,)).rowcount
