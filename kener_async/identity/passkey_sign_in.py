"""Make passkeys and sign in with them: alone, as a second step, and once more for acts that want it fresh.

Each is two requests: one for a challenge, one with the answer of the browser. The challenge is a signed step
(identity/steps.py): a good answer completes it in the transaction of what it was for, once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from kener_async.domain.errors import Invalid, Unauthenticated
from kener_async.domain.passkeys import RelyingParty
from kener_async.domain.people import Actor, ActorKind, Person
from kener_async.identity import links, passkeys, steps
from kener_async.identity.passkeys import Assertion, PasskeyRefused
from kener_async.identity.sessions import Sessions, SignedIn, Visit, has_second_factor
from kener_async.identity.sign_in import SECOND_STEP, person_of_step
from kener_async.identity.steps import SignedSteps, SignInToken
from kener_async.store import challenges, identities, people, sessions
from kener_async.store import passkeys as stored_passkeys
from kener_async.store.interface import Database, Session
from kener_async.store.passkeys import Passkey

log = structlog.get_logger(__name__)

ALONE, SECOND, AGAIN, CREATION = (f"passkey {use}" for use in ("alone", "second", "again", "creation"))
WRONG = "This passkey was not accepted. Please try again, or sign in another way."
NOT_MADE = "The passkey could not be made. Please try again."
HAS_FACTOR = "answer: set a password by this link, and then use the second factor that is set up already"
LONGEST_NAME = 60

Options = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """The good answer of a browser, and the step that it completes."""

    assertion: Assertion
    step: SignInToken


@dataclass(frozen=True, slots=True)
class MadePasskey:
    """A passkey that a browser made, and the step that it completes."""

    passkey: Passkey
    step: SignInToken


class PasskeySignIn:
    """Passkeys of a running service. Methods that end a step raise Unauthenticated with one text for all."""

    def __init__(
        self, database: Database, sessions_: Sessions, steps_: SignedSteps, clock: Callable[[], int]
    ) -> None:
        self._database, self._sessions, self._steps, self._clock = database, sessions_, steps_, clock

    def begin(self, party: RelyingParty) -> Options:
        """Ask for any passkey that the browser has for us."""
        return passkeys.assertion_options(party, None, self._challenge(ALONE, {}))

    async def sign_in(self, party: RelyingParty, answer: str, visit: Visit, old: bytes | None) -> str:
        """Sign in with a passkey alone; what the session's cookie holds.

        `old` is the digest of the session that the browser had before.
        """
        good = await self._answered(party, ALONE, answer, {})
        return _signed_in(await self._database.write(self._pass, good, old, "passkey", visit))

    async def begin_second(self, party: RelyingParty, step: str) -> Options:
        """Ask for a passkey of the person whose password was right; raises StepGone."""
        person, known = await self._database.read(self._passkeys_of_step, step)
        return passkeys.assertion_options(party, known, self._challenge(SECOND, {"person": person.id}))

    async def second_step(
        self, party: RelyingParty, step: str, answer: str, visit: Visit, old: bytes | None
    ) -> str:
        """Complete a second step with a passkey; what the session's cookie holds. Raises StepGone."""
        person = await self._database.read(self._person_of_step, step)
        good = await self._answered(party, SECOND, answer, {"person": person.id})
        return _signed_in(await self._database.write(self._pass_second, good, step, old, visit))

    async def begin_again(self, party: RelyingParty, person: Person) -> Options:
        """Ask for a passkey of a signed-in person."""
        known = await self._database.read(stored_passkeys.of_person, person.id)
        return passkeys.assertion_options(party, known, self._challenge(AGAIN, {"person": person.id}))

    async def again(self, party: RelyingParty, signed_in: SignedIn, answer: str, visit: Visit) -> str:
        """Prove who one is once more; what the cookie of the new session holds."""
        good = await self._answered(party, AGAIN, answer, {"person": signed_in.person.id})
        return _signed_in(
            await self._database.write(self._pass_again, good, signed_in, "passkey again", visit)
        )

    async def begin_creation(self, party: RelyingParty, site: str, person: Person) -> Options:
        """Ask for a new passkey of a person, who is signed in or has an invitation."""
        known = await self._database.read(stored_passkeys.of_person, person.id)
        challenge = self._challenge(CREATION, {"person": person.id})
        return passkeys.creation_options(party, site, person, known, challenge)

    async def create(
        self, party: RelyingParty, signed_in: SignedIn, answer: str, name: str, visit: Visit
    ) -> str:
        """Store the passkey that a browser made; what the cookie of the new session holds.

        The other sessions of the person end. Raises Invalid.
        """
        made = self._created(party, signed_in.person, answer, name)
        return await self._database.write(self._add_passkey, made, signed_in, visit)

    async def create_by_invitation(
        self, party: RelyingParty, secret: str, answer: str, name: str, visit: Visit
    ) -> str:
        """Store the passkey of an invited person, which uses their link; what the session's cookie holds.

        Raises Invalid, also for a person who has a second factor, which a link alone does not replace, and
        NotFound for a link that is not good any more.
        """
        person = await self._database.read(links.invited, secret, self._clock())
        made = self._created(party, person, answer, name)
        return await self._database.write(self._add_invited, made, secret, visit)

    async def delete(self, signed_in: SignedIn, passkey: bytes, visit: Visit) -> str:
        """Delete a passkey; what the cookie of the new session holds. The other sessions of the person end.

        Raises NotFound.
        """
        return await self._database.write(self._delete, signed_in, passkey, visit)

    async def rename(self, signed_in: SignedIn, passkey: bytes, name: str, visit: Visit) -> None:
        """Give a passkey another name; raises NotFound and Invalid."""
        actor = _actor(signed_in.person, visit)
        await self._database.write(
            stored_passkeys.rename, signed_in.person.id, passkey, valid_name(name), actor, self._clock()
        )

    async def _answered(
        self, party: RelyingParty, kind: str, answer: str, body: Mapping[str, Any]
    ) -> CheckedAnswer:
        """The good answer to a challenge of this kind and body, which is still to be completed."""
        try:
            step, named = self._step_of(kind, answer, body), passkeys.passkey_id_of(answer)
            passkey = await self._database.read(stored_passkeys.get, named)
            if passkey is None:
                raise PasskeyRefused("the passkey is not known")
            return CheckedAnswer(passkeys.asserted(party, answer, passkey), step)
        except PasskeyRefused as error:
            log.info("a passkey was not accepted", reason=str(error))
            raise Unauthenticated(WRONG) from None

    def _created(self, party: RelyingParty, person: Person, answer: str, name: str) -> MadePasskey:
        label = valid_name(name)
        try:
            step = self._step_of(CREATION, answer, {"person": person.id})
            return MadePasskey(passkeys.created(party, answer, person.id, label, self._clock()), step)
        except PasskeyRefused as error:
            log.info("a passkey was not made", reason=str(error))
            raise Invalid(NOT_MADE) from None

    def _challenge(self, kind: str, body: Mapping[str, Any]) -> str:
        return self._steps.begin(kind, body, passkeys.CHALLENGE_SECONDS)

    def _step_of(self, kind: str, answer: str, body: Mapping[str, Any]) -> SignInToken:
        """The step whose challenge an answer has; raises PasskeyRefused."""
        step = self._steps.read(kind, passkeys.challenge_of(answer))
        if step is None or step.body != body:
            raise PasskeyRefused("there is no such challenge, or it has ended")
        return step

    def _person_of_step(self, session: Session, step: str) -> Person:
        return person_of_step(session, challenges.find(session, SECOND_STEP, step, self._clock()))

    def _passkeys_of_step(self, session: Session, step: str) -> tuple[Person, list[Passkey]]:
        person = self._person_of_step(session, step)
        return person, stored_passkeys.of_person(session, person.id)

    def _pass(
        self, session: Session, good: CheckedAnswer, old: bytes | None, by: str, visit: Visit
    ) -> str | None:
        """Begin a session by a passkey alone; None where it may not."""
        now, person = self._clock(), self._used(session, good)
        if person is None or identities.is_known_elsewhere_only(session, person):
            return None
        return self._replace(session, person, old, by, visit, now)

    def _pass_second(
        self, session: Session, good: CheckedAnswer, step: str, old: bytes | None, visit: Visit
    ) -> str | None:
        now, person = self._clock(), self._person_of_step(session, step)
        used_by = self._used(session, good)
        if used_by is None or used_by.id != person.id:
            return None
        challenges.take(session, SECOND_STEP, step, now)
        return self._replace(session, person, old, "password and passkey", visit, now)

    def _pass_again(
        self, session: Session, good: CheckedAnswer, signed_in: SignedIn, by: str, visit: Visit
    ) -> str | None:
        sessions.require(session, signed_in.digest)  # else what ended it would end nothing
        now, person = self._clock(), self._used(session, good)
        if person is None or person.id != signed_in.person.id:
            return None
        return self._replace(session, person, signed_in.digest, by, visit, now)

    def _used(self, session: Session, good: CheckedAnswer) -> Person | None:
        """The active person of a passkey that answers for the first time, and whose counter went on."""
        signed = good.assertion
        passkey = stored_passkeys.get(session, signed.passkey)
        if not steps.complete(session, good.step):
            log.warning("an answer of a passkey was there before")
            return None
        if passkey is None or not stored_passkeys.use(session, signed.passkey, signed.counter, self._clock()):
            log.warning("the counter of a passkey did not go on: it may have been copied")
            return None
        person = people.get(session, passkey.person)
        return person if person.is_active else None

    def _add_passkey(self, session: Session, made: MadePasskey, signed_in: SignedIn, visit: Visit) -> str:
        sessions.require(session, signed_in.digest)  # else a passkey would outlive a reset of the person
        now, person = self._clock(), signed_in.person
        _add_made(session, made, _actor(person, visit), now)
        return self._replace_all(session, person, "new passkey", visit, now)

    def _add_invited(self, session: Session, made: MadePasskey, secret: str, visit: Visit) -> str:
        now = self._clock()
        person = links.use(session, secret, now)
        if has_second_factor(session, person):
            raise Invalid(HAS_FACTOR)
        _add_made(session, made, _actor(person, visit), now)
        return self._replace_all(session, person, "invitation and passkey", visit, now)

    def _delete(self, session: Session, signed_in: SignedIn, passkey: bytes, visit: Visit) -> str:
        sessions.require(session, signed_in.digest)
        now, person = self._clock(), signed_in.person
        stored_passkeys.delete(session, person.id, passkey, _actor(person, visit), now)
        return self._replace_all(session, person, "passkey deleted", visit, now)

    def _replace(
        self, session: Session, person: Person, old: bytes | None, by: str, visit: Visit, now: int
    ) -> str:
        if old is not None:
            sessions.end(session, old)
        return self._sessions.begin(session, person, visit, now, by=by)

    def _replace_all(self, session: Session, person: Person, by: str, visit: Visit, now: int) -> str:
        """End all sessions of a person, as their factors changed, and begin a new one."""
        sessions.end_all(session, person.id, _actor(person, visit), now)
        return self._sessions.begin(session, person, visit, now, by=by)


def valid_name(name: str) -> str:
    """The name of a passkey; raises Invalid."""
    text = " ".join(name.split())
    if not 0 < len(text) <= LONGEST_NAME or not text.isprintable():
        raise Invalid(f"name: must have 1 to {LONGEST_NAME} characters")
    return text


def _add_made(session: Session, made: MadePasskey, actor: Actor, now: int) -> None:
    if not steps.complete(session, made.step):
        raise Invalid(NOT_MADE)
    stored_passkeys.add(session, made.passkey, actor, now)


def _signed_in(cookie: str | None) -> str:
    if cookie is None:
        raise Unauthenticated(WRONG)
    return cookie


def _actor(person: Person, visit: Visit) -> Actor:
    return Actor(ActorKind.PERSON, person.name, visit.network)
