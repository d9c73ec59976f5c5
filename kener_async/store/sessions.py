"""Sessions of people who are signed in; found by the digest of what their cookie holds."""

from dataclasses import dataclass

from kener_async.domain.errors import NotFound, Unauthenticated
from kener_async.domain.people import Actor, Person
from kener_async.store import audit, people
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class StoredSession:
    """One session. Instants are UTC seconds; `fresh_at` is when the person last proved who they are."""

    digest: bytes
    person: int
    form_key: bytes
    made_at: int
    seen_at: int
    ends_at: int
    fresh_at: int
    network: str
    agent: str


_COLUMNS = """
    sessions.digest, sessions.person, sessions.form_key, sessions.made_at, sessions.seen_at,
    sessions.ends_at, sessions.fresh_at, sessions.network, sessions.agent
"""


def find(session: Session, digest: bytes) -> tuple[StoredSession, Person, bool] | None:
    """The session of a digest, its person as they are now, and whether they have a passkey.

    Also a session that has ended by time, or of an inactive person.
    """
    row = session.execute(
        f"SELECT {_COLUMNS}, EXISTS (SELECT 1 FROM passkeys WHERE person = people.id), {people.COLUMNS}"  # noqa: S608
        " FROM sessions JOIN people ON people.id = sessions.person WHERE sessions.digest = ?",
        (digest,),
    ).fetchone()
    return None if row is None else (StoredSession(*row[:9]), people.person_of(row[10:]), bool(row[9]))


def add(session: Session, new: StoredSession) -> None:
    """Store a new session."""
    session.execute(
        """
        INSERT INTO sessions (digest, person, form_key, made_at, seen_at, ends_at, fresh_at, network, agent)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            new.digest,
            new.person,
            new.form_key,
            new.made_at,
            new.seen_at,
            new.ends_at,
            new.fresh_at,
            new.network,
            new.agent,
        ),
    )
    session.execute("UPDATE people SET last_seen = ? WHERE id = ?", (new.made_at, new.person))


def require(session: Session, digest: bytes) -> None:
    """Raise Unauthenticated unless a session is still there, in the transaction of what it is needed for."""
    if session.execute("SELECT 1 FROM sessions WHERE digest = ?", (digest,)).fetchone() is None:
        raise Unauthenticated("this session has ended; sign in again")


def see(session: Session, digest: bytes, person: int, now: int) -> None:
    """Note that a session was used at an instant."""
    session.execute("UPDATE sessions SET seen_at = ? WHERE digest = ?", (now, digest))
    session.execute("UPDATE people SET last_seen = ? WHERE id = ?", (now, person))


def of_person(session: Session, person: int, seen_after: int, now: int) -> list[StoredSession]:
    """The sessions of a person that have not ended, last used first; idle are those not used since."""
    rows = session.execute(
        f"SELECT {_COLUMNS} FROM sessions"  # noqa: S608
        " WHERE person = ? AND ends_at > ? AND seen_at > ? ORDER BY seen_at DESC, made_at DESC",
        (person, now, seen_after),
    )
    return [StoredSession(*row) for row in rows]


def end(session: Session, digest: bytes) -> None:
    """End one session, if it is there."""
    session.execute("DELETE FROM sessions WHERE digest = ?", (digest,))


def end_own(session: Session, person: int, digest: bytes, actor: Actor, now: int) -> None:
    """End one session of a person; raises NotFound where they have no such one."""
    row = session.execute(
        "DELETE FROM sessions WHERE digest = ? AND person = ? RETURNING made_at, network, agent",
        (digest, person),
    ).fetchone()
    if row is None:
        raise NotFound("this session has ended already")
    before = dict(zip(("made_at", "network", "agent"), row, strict=True))
    thing = f"person {people.get(session, person).name}"
    audit.record(session, actor, "session.end", thing, before, None, now)


def end_all(session: Session, person: int, actor: Actor, now: int) -> int:
    """End all sessions of a person: sign out everywhere; how many there were, of which none are recorded.

    Raises NotFound where there is no such person.
    """
    thing = f"person {people.get(session, person).name}"
    ended = session.execute("DELETE FROM sessions WHERE person = ?", (person,)).rowcount
    if ended:
        audit.record(session, actor, "session.end-all", thing, {"sessions": ended}, None, now)
    return ended


def count(session: Session, seen_after: int, now: int) -> int:
    """How many sessions have not ended."""
    (found,) = session.execute(
        "SELECT count(*) FROM sessions WHERE ends_at > ? AND seen_at > ?", (now, seen_after)
    ).fetchone()
    return int(found)


def drop_ended(session: Session, seen_before: int, now: int) -> int:
    """Delete the sessions that ended, or were last used before an instant; how many."""
    return session.execute(
        "DELETE FROM sessions WHERE ends_at <= ? OR seen_at <= ?", (now, seen_before)
    ).rowcount
