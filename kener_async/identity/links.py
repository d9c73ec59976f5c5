"""Invitations: a link of one use, good for a day, by which a person sets what they sign in with."""

import secrets
from hashlib import sha256

from kener_async.domain.calendar import DAY
from kener_async.domain.errors import NotFound
from kener_async.domain.people import Actor, Person
from kener_async.store import audit, invitations, people
from kener_async.store.interface import Session

INVITATION_SECONDS = DAY
GONE = "this link was used before, or is more than a day old; ask for another"


def invite(session: Session, person: Person, actor: Actor, now: int) -> str:
    """Store an invitation in the place of earlier ones of the person; the secret of its link."""
    secret = secrets.token_urlsafe(32)
    ends_at = now + INVITATION_SECONDS
    invitations.add(session, person.id, _digest(secret), ends_at, now)
    audit.record(session, actor, "person.invite", f"person {person.name}", None, {"ends_at": ends_at}, now)
    return secret


def invited(session: Session, secret: str, now: int) -> Person:
    """The person of a link, which stays good; raises NotFound."""
    return _active(session, invitations.find(session, _digest(secret), now))


def use(session: Session, secret: str, now: int) -> Person:
    """The person of a link, which is used by this; raises NotFound."""
    return _active(session, invitations.use(session, _digest(secret), now))


def path(secret: str) -> str:
    """The path of an invitation, below that of the signed-in side."""
    return f"/invitation/{secret}"


def _active(session: Session, number: int | None) -> Person:
    person = None if number is None else people.get(session, number)
    if person is None or not person.is_active:
        raise NotFound(GONE)
    return person


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()
