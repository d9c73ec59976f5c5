"""Sessions of people: 256 random bits in a cookie, of which the table holds the digest."""

import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from kener_async.domain.errors import Unavailable
from kener_async.domain.people import Actor, ActorKind, Person
from kener_async.store import audit, people, sessions
from kener_async.store.interface import Database, Session
from kener_async.store.sessions import StoredSession

COOKIE = "__Host-kener"  # over https
LOOPBACK_COOKIE = "kener"  # without https, where browsers refuse the other; only on loopback
COOKIE_LENGTH = 43  # characters of 32 bytes in base64url
SEEN_EVERY = 60  # seconds between two notes in the table that a session was used
LONGEST_AGENT = 200
MAX_SEEN = 10_000  # sessions whose last request is kept in memory until it is in the table


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """When sessions end, in seconds: after `idle` without a request, after `length` in any case."""

    idle: int
    length: int


@dataclass(frozen=True, slots=True)
class Visit:
    """Where a session begins: the address of the client and how its browser calls itself."""

    network: str
    agent: str


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person as stored now, and their session. Instants are UTC seconds.

    `fresh_at` is when they last proved who they are, `form_key` the key of the tokens of their forms.
    `lacks_second_factor`: they sign in with a password and have neither codes nor a passkey.
    """

    person: Person
    digest: bytes
    form_key: bytes
    made_at: int
    seen_at: int
    ends_at: int
    fresh_at: int
    lacks_second_factor: bool = False


def has_second_factor(session: Session, person: Person) -> bool:
    """Whether the password of a person is followed by a code or a passkey."""
    return person.code_key is not None or people.has_passkey(session, person.id)


def digest_of(cookie: str) -> bytes:
    """The digest by which the session of a cookie is found."""
    return sha256(cookie.encode("utf-8", "surrogateescape")).digest()


class Sessions:
    """The sessions of a running service. `limits` gives those in force now."""

    def __init__(
        self, database: Database, clock: Callable[[], int], limits: Callable[[], SessionLimits]
    ) -> None:
        self._database, self._clock, self._limits = database, clock, limits
        self._seen: dict[bytes, int] = {}  # newer than the table has it

    async def find(self, cookie: str, *, is_seen: bool = True) -> SignedIn | None:
        """The signed-in person of a cookie; None when the session has ended or the person is inactive.

        `is_seen` False: a script asks and no person, so that the session goes on to idle.
        One read by primary key for each request, so that a change of rights holds from the next one on.
        """
        if len(cookie) != COOKIE_LENGTH:
            return None
        digest = digest_of(cookie)
        found = await self._database.glance(sessions.find, digest)
        if found is None:
            self._seen.pop(digest, None)
            return None
        stored, person, has_passkey = found
        now, limits = self._clock(), self._limits()
        seen_at = max(stored.seen_at, self._seen.get(digest, 0))
        ends_at = min(stored.ends_at, stored.made_at + limits.length)
        if now >= ends_at or now >= seen_at + limits.idle or not person.is_active:
            return None
        if is_seen:
            await self._note(stored, now)
        lacks_factor = person.password is not None and person.code_key is None and not has_passkey
        return SignedIn(
            person, digest, stored.form_key, stored.made_at, now, ends_at, stored.fresh_at, lacks_factor
        )

    async def _note(self, stored: StoredSession, now: int) -> None:
        """Note that a session is used now, in the table once a minute; a full disk ends no session."""
        if len(self._seen) >= MAX_SEEN:  # of sessions that have ended since, mostly
            self._seen = {digest: at for digest, at in self._seen.items() if now - at < SEEN_EVERY}
        self._seen[stored.digest] = now
        if abs(now - stored.seen_at) < SEEN_EVERY:
            return
        with suppress(Unavailable):
            await self._database.write(sessions.see, stored.digest, stored.person, now)
            if self._seen.get(stored.digest) == now:
                del self._seen[stored.digest]

    def begin(
        self,
        session: Session,
        person: Person,
        visit: Visit,
        now: int,
        *,
        by: str,
        fresh_at: int | None = None,
    ) -> str:
        """Begin a session of a person who has just proved who they are; what its cookie holds.

        Called in a transaction, with that of the proof. It never continues another session. `by` says in the
        audit log how they proved it, such as "password and code"; `fresh_at` when, if it was elsewhere and
        before.
        """
        cookie = secrets.token_urlsafe(32)
        sessions.add(
            session,
            StoredSession(
                digest=digest_of(cookie),
                person=person.id,
                form_key=secrets.token_bytes(32),
                made_at=now,
                seen_at=now,
                ends_at=now + self._limits().length,
                fresh_at=now if fresh_at is None else min(fresh_at, now),
                network=visit.network,
                agent=visit.agent[:LONGEST_AGENT],
            ),
        )
        actor = Actor(ActorKind.PERSON, person.name, visit.network)
        audit.record(session, actor, "session.begin", f"person {person.name}", None, {"by": by}, now)
        return cookie

    async def end(self, signed_in: SignedIn) -> None:
        """End a session: sign out."""
        await self._database.write(sessions.end, signed_in.digest)
