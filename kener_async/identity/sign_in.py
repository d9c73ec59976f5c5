"""Sign in with a password and, where the person has one, a second step; and prove it again later.

Every failure of a step raises the same error after the same work, whether the name is known or not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from unicodedata import normalize

from kener_async.domain.calendar import DAY, MINUTE
from kener_async.domain.errors import TooMany, Unauthenticated
from kener_async.domain.people import Person
from kener_async.identity import codes, throttle
from kener_async.identity.passwords import Passwords, needs_rehash
from kener_async.identity.sessions import Sessions, SignedIn, Visit, has_second_factor
from kener_async.identity.throttle import TrySubject
from kener_async.store import challenges, people, sessions
from kener_async.store.interface import Database, Session

SECOND_STEP = "second step"  # the kind of its challenges
SECOND_STEP_SECONDS = 10 * MINUTE
KNOWN_BROWSER = "known browser"  # the kind of rows, kept as challenges are, of browsers that signed in
KNOWN_BROWSER_SECONDS = 180 * DAY
MOST_KNOWN_BROWSERS = 50  # of a person; a program that keeps no cookies is a new one each time
WRONG = "The name or the password is wrong."
WRONG_CODE = "This code is wrong, or was used before."
WRONG_PROOF = "That is wrong."
STEP_GONE = "This took too long. Please begin again."


@dataclass(frozen=True, slots=True)
class SignInResult:
    """What follows a password that is right: a session, or a second step; the other one is None.

    `cookie` is what the session's cookie holds, `step` the secret of the second step. `browser` is the secret
    by which the browser is known from now on; None: it is known already.
    """

    cookie: str | None
    step: str | None
    browser: str | None = None


class SignIn:
    """Sign people in by password and code. `old` is the digest of the session that a browser had before."""

    def __init__(
        self, database: Database, passwords: Passwords, sessions_: Sessions, clock: Callable[[], int]
    ) -> None:
        self._database, self._passwords, self._sessions, self._clock = database, passwords, sessions_, clock

    async def by_password(
        self, name: str, password: str, visit: Visit, old: bytes | None = None, browser: str = ""
    ) -> SignInResult:
        """Verify a name and a password; raises Unauthenticated, TooMany and Unavailable.

        `browser` is the secret by which the browser is known, if it has one.
        """
        name = normalize("NFC", name)  # as it is stored
        _, wait, _ = await self._database.glance(_subject_of, name, visit.network, browser, self._clock())
        if wait:  # refused without a write, however many come at once
            raise too_many(wait)
        async with self._passwords.turn():
            result = await self._by_password(name, password, visit, old, browser)
        if result is None:
            raise Unauthenticated(WRONG)
        return result

    async def _by_password(
        self, name: str, password: str, visit: Visit, old: bytes | None, browser: str
    ) -> SignInResult | None:
        """The same for the one whose turn it is; None when the name or the password is wrong."""
        subject, wait, person = await self._database.write(
            _claim_name, name, visit.network, browser, self._clock()
        )
        if wait:
            raise too_many(wait)
        stored = None if person is None or not person.is_active else person.password
        if not await self._passwords.verify(stored, password) or person is None or stored is None:
            return None
        newest = await self._passwords.hashed(password) if needs_rehash(stored) else stored
        return await self._database.write(self._pass_password, subject, person.id, stored, newest, visit, old)

    async def by_code(self, step: str, code: str, visit: Visit, old: bytes | None = None) -> str:
        """Complete a second step with a code or a recovery code; what the session's cookie holds.

        Raises Unauthenticated, and StepGone where the step is not there any more; TooMany.
        """
        return _cookie(await self._database.write(self._pass_code, step, code, visit, old), WRONG_CODE)

    async def again(self, signed_in: SignedIn, proof: str, visit: Visit) -> str:
        """Prove who one is once more, by password or by code; what the cookie of the new session holds.

        Raises Unauthenticated and TooMany.
        """
        person = signed_in.person
        if person.code_key is not None and len(proof.strip()) <= codes.RECOVERY_LENGTH // 2:
            return _cookie(
                await self._database.write(self._pass_code_again, signed_in, proof, visit),
                WRONG_PROOF,
            )
        if not await self.is_password(person, proof):
            raise Unauthenticated(WRONG_PROOF)
        return await self._database.write(self._renew, signed_in, "password again", visit)

    async def is_password(self, person: Person, password: str) -> bool:
        """Whether it is the password of a signed-in person; raises TooMany and Unavailable."""
        subject = throttle.again_try(person.id)
        async with self._passwords.turn():
            if wait := await self._database.write(throttle.claim, subject, self._clock()):
                raise too_many(wait)
            if not await self._passwords.verify(person.password, password):
                return False
            await self._database.write(throttle.succeed, subject)
        return True

    def _pass_password(
        self,
        session: Session,
        subject: TrySubject,
        number: int,
        stored: str,
        newest: str,
        visit: Visit,
        old: bytes | None,
    ) -> SignInResult | None:
        now, person = self._clock(), people.get(session, number)
        if person.password != stored or not person.is_active:
            return None
        throttle.succeed(session, subject)
        if newest != stored:
            people.rehash_password(session, number, stored, newest)
        browser = None if subject.network is None else _add_known_browser(session, number, now)
        if has_second_factor(session, person):
            step = add_second_step(session, people.get(session, number), now)
            return SignInResult(None, step, browser)
        return SignInResult(self.replace(session, person, old, "password", visit, now), None, browser)

    def _pass_code(
        self, session: Session, step: str, code: str, visit: Visit, old: bytes | None
    ) -> str | int | None:
        now = self._clock()
        person = person_of_step(session, challenges.find(session, SECOND_STEP, step, now))
        subject = throttle.code_try(person.id, visit.network)
        if wait := throttle.claim(session, subject, now):
            return wait
        if not _use_code(session, person, code, now):
            return None
        challenges.take(session, SECOND_STEP, step, now)
        throttle.succeed(session, subject)
        return self.replace(session, person, old, "password and code", visit, now)

    def _pass_code_again(
        self, session: Session, signed_in: SignedIn, code: str, visit: Visit
    ) -> str | int | None:
        now, person = self._clock(), signed_in.person
        subject = throttle.code_try(person.id, visit.network)
        if wait := throttle.claim(session, subject, now):
            return wait
        if not _use_code(session, person, code, now):
            return None
        throttle.succeed(session, subject)
        return self._renew(session, signed_in, "code again", visit)

    def _renew(self, session: Session, signed_in: SignedIn, by: str, visit: Visit) -> str:
        sessions.require(session, signed_in.digest)  # else what ended it would end nothing
        person = people.get(session, signed_in.person.id)
        return self.replace(session, person, signed_in.digest, by, visit, self._clock())

    def replace(
        self, session: Session, person: Person, old: bytes | None, by: str, visit: Visit, now: int
    ) -> str:
        """Begin a session in the place of the one that the browser had, if it had one; its cookie."""
        if old is not None:
            sessions.end(session, old)
        return self._sessions.begin(session, person, visit, now, by=by)


class StepGone(Unauthenticated):
    """The second step has ended, or the person changed meanwhile: sign-in begins again."""


def add_second_step(session: Session, person: Person, now: int) -> str:
    """Store a second step of a person whose password is right; its secret."""
    body = {"person": person.id, "password": _fingerprint(person.password or "")}
    return challenges.add(session, SECOND_STEP, body, now + SECOND_STEP_SECONDS)


def person_of_step(session: Session, body: dict[str, Any] | None) -> Person:
    """The person of a second step; raises StepGone, also when their password was changed meanwhile."""
    if body is None:
        raise StepGone(STEP_GONE)
    person = people.get(session, body["person"])
    if not person.is_active or person.password is None or _fingerprint(person.password) != body["password"]:
        raise StepGone(STEP_GONE)
    return person


def too_many(seconds: int) -> TooMany:
    """The error of a try that comes too early."""
    return TooMany(f"Too many tries: wait {seconds} s and try again.", seconds)


def _subject_of(
    session: Session, name: str, address: str, browser: str, now: int
) -> tuple[TrySubject, int, Person | None]:
    """What a try at a name is counted by, the seconds to wait, and the person."""
    person = people.by_name(session, name)
    known = challenges.find(session, KNOWN_BROWSER, browser, now) if browser else None
    if person is not None and known is not None and known["person"] == person.id:
        subject = throttle.known_browser_try(browser)
    else:
        subject = throttle.password_try(name, address)
    return subject, throttle.wait(session, subject, now), person


def _claim_name(
    session: Session, name: str, address: str, browser: str, now: int
) -> tuple[TrySubject, int, Person | None]:
    """The same, and count the try as failed unless it must wait."""
    subject, wait, person = _subject_of(session, name, address, browser, now)
    if not wait:
        throttle.claim(session, subject, now)
    return subject, wait, person


def _add_known_browser(session: Session, number: int, now: int) -> str:
    challenges.keep_newest(session, KNOWN_BROWSER, number, MOST_KNOWN_BROWSERS - 1)
    return challenges.add(session, KNOWN_BROWSER, {"person": number}, now + KNOWN_BROWSER_SECONDS)


def _use_code(session: Session, person: Person, code: str, now: int) -> bool:
    """Take a code, or a recovery code, of a person as used; False when it is wrong or was used."""
    if person.code_key is None:
        return False
    digest = codes.recovery_digest(person.id, code)
    if digest is not None:
        return people.use_recovery_code(session, person.id, digest, now)
    step = codes.step_of(person.code_key, code, now)
    return step is not None and people.use_code_step(session, person.id, step)


def _cookie(result: str | int | None, wrong: str) -> str:
    if isinstance(result, int):
        raise too_many(result)
    if result is None:
        raise Unauthenticated(wrong)
    return result


def _fingerprint(password: str) -> str:
    """What binds a second step to the password that was verified."""
    return sha256(password.encode()).hexdigest()
