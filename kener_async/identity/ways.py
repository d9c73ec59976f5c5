"""The ways in which a person can prove who they are, for the pages that ask for it."""

from dataclasses import dataclass

from kener_async.domain.people import Person
from kener_async.identity.sign_in import SECOND_STEP, StepGone, person_of_step
from kener_async.store import challenges, identities, passkeys
from kener_async.store.interface import Session


@dataclass(frozen=True, slots=True)
class Ways:
    """What a person has. `issuers` name them elsewhere."""

    password: bool
    code: bool
    passkey: bool
    issuers: frozenset[str]


def ways_of(session: Session, person: Person) -> Ways:
    """The ways of a person."""
    return Ways(
        password=person.password is not None,
        code=person.code_key is not None,
        passkey=bool(passkeys.of_person(session, person.id)),
        issuers=frozenset(issuer for issuer, _ in identities.of_person(session, person.id)),
    )


def ways_of_step(session: Session, step: str, now: int) -> Ways | None:
    """The ways of the person of a second step; None where it has ended."""
    try:
        return ways_of(session, person_of_step(session, challenges.find(session, SECOND_STEP, step, now)))
    except StepGone:
        return None
