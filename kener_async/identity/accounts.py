"""What people change of their own sign-in. Each function runs in one transaction.

A change of what one signs in with ends all sessions of the person, and begins a new one for the browser that
made it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kener_async.domain.people import Actor, ActorKind, Person
from kener_async.identity import links
from kener_async.identity.sessions import Sessions, Visit, has_second_factor
from kener_async.identity.sign_in import SignInResult, add_second_step
from kener_async.store import people
from kener_async.store import sessions as stored_sessions
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class Account:
    """A signed-in person at a browser, with the digest of their session: what begins their new one."""

    sessions: Sessions
    person: Person
    digest: bytes
    visit: Visit
    now: int

    @property
    def actor(self) -> Actor:
        """The person, for the audit log."""
        return Actor(ActorKind.PERSON, self.person.name, self.visit.network)

    def begin(self, session: Session, by: str) -> str:
        """Begin the new session; what its cookie holds."""
        return self.sessions.begin(session, people.get(session, self.person.id), self.visit, self.now, by=by)


def accept(
    session: Session, sessions: Sessions, secret: str, password: str, visit: Visit, now: int
) -> SignInResult:
    """Use an invitation to set a password, of which this is the hash; a session or a second step follows.

    Raises NotFound when the link was used or has ended.
    """
    invited = links.use(session, secret, now)
    actor = Actor(ActorKind.PERSON, invited.name, visit.network)
    people.set_password(session, invited.id, password, actor, now)
    person = people.get(session, invited.id)
    if has_second_factor(session, person):
        return SignInResult(None, add_second_step(session, person, now))
    return SignInResult(sessions.begin(session, person, visit, now, by="invitation"), None)


def change_password(session: Session, account: Account, password: str) -> str:
    """Store the hash of a new password; the cookie of the new session."""
    stored_sessions.require(session, account.digest)
    people.set_password(session, account.person.id, password, account.actor, account.now)
    return account.begin(session, "new password")


def set_codes(session: Session, account: Account, key: bytes, step: int, recovery: Iterable[bytes]) -> str:
    """Store the secret of codes and the digests of recovery codes; the cookie of the new session."""
    stored_sessions.require(session, account.digest)
    people.set_codes(session, account.person.id, key, step, recovery, account.actor, account.now)
    return account.begin(session, "new codes")


def remove_codes(session: Session, account: Account) -> str:
    """Remove codes and recovery codes; the cookie of the new session."""
    stored_sessions.require(session, account.digest)
    people.remove_codes(session, account.person.id, account.actor, account.now)
    return account.begin(session, "codes removed")


def renew_recovery_codes(session: Session, account: Account, digests: Iterable[bytes]) -> str:
    """Store the digests of new recovery codes; the cookie of the new session."""
    stored_sessions.require(session, account.digest)
    people.set_recovery_codes(session, account.person.id, digests, account.actor, account.now)
    return account.begin(session, "new recovery codes")
