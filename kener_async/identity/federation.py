"""Sign in by what others say: a provider of OpenID Connect, or the header of a trusted proxy."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from kener_async.domain.errors import Forbidden, Unauthenticated, Unavailable
from kener_async.domain.people import Person
from kener_async.identity import oidc, steps
from kener_async.identity.id_tokens import LEEWAY_SECONDS
from kener_async.identity.oidc import (
    OidcClient,
    OidcRefused,
    OidcSignIn,
    ProviderUnavailable,
    SignInStep,
)
from kener_async.identity.proxy import ProxySettings
from kener_async.identity.sessions import Sessions, Visit
from kener_async.identity.steps import SignedSteps, SignInToken
from kener_async.store import identities, sessions
from kener_async.store.identities import Admission, ExternalIdentity
from kener_async.store.interface import Database, Session

log = structlog.get_logger(__name__)

OIDC_STEP = "oidc"  # the kind of its steps
LONGEST_WANTED = 500  # characters of a path in the state, which is part of an address
NOT_ACCEPTED = "This sign-in was not accepted. Please begin again."
NO_ACCESS = "You have no access here: none of your groups gives you a role, or you are deactivated."
AWAY = "The sign-in service cannot be reached now. Please try again later, or sign in another way."
NOT_AGAIN = "The sign-in service did not ask who you are again, so this cannot be done with it."


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """Where the browser goes, and the secret that its cookie keeps for `oidc.STEP_SECONDS`."""

    address: str
    browser: str


@dataclass(frozen=True, slots=True)
class CompletedSignIn:
    """What the session's cookie holds, and the page that was wanted at first."""

    cookie: str
    wanted: str


class Federation:
    """Sign-in through others, of a running service. `client` is configured by the app."""

    def __init__(
        self,
        database: Database,
        sessions_: Sessions,
        steps_: SignedSteps,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database, self._sessions, self._steps, self._clock = database, sessions_, steps_, clock
        self.client = OidcClient(clock, monotonic)

    async def begin(self, browser: str, wanted: str, again: Person | None = None) -> BegunSignIn:
        """Begin a sign-in at the provider; `browser` is what its cookie holds, empty for none.

        `wanted` is the path that it leads to; one of more than 500 characters is forgotten.
        `again`: the person who is signed in shall prove who they are once more. Raises Unavailable.
        """
        secret = browser if len(browser) == oidc.SECRET_LENGTH else oidc.new_browser_secret()
        body = {
            "browser": oidc.browser_digest(secret),
            "wanted": wanted if len(wanted) <= LONGEST_WANTED else "",
            "again": None if again is None else again.id,
            "begun_at": self._clock(),
        }
        try:
            state = self._steps.begin(OIDC_STEP, body, oidc.STEP_SECONDS)
            address = await self.client.address(SignInStep(secret, state, again is not None))
        except ProviderUnavailable as error:
            raise _away(error) from None
        return BegunSignIn(address, secret)

    async def complete(
        self, browser: str, answer: Mapping[str, str], visit: Visit, old: bytes | None
    ) -> CompletedSignIn:
        """End a sign-in at the provider by the query of its callback.

        `old` is the digest of the session that the browser had before. Raises Unauthenticated, Forbidden for
        a person without access, and Unavailable.
        """
        try:
            step = await self._begun(browser, answer.get("state", ""))
            signed_in = await self.client.sign_in(SignInStep(browser, step.text), answer)
        except OidcRefused as error:
            log.warning("a sign-in of OpenID Connect was refused", reason=str(error), network=visit.network)
            raise Unauthenticated(NOT_ACCEPTED) from None
        except ProviderUnavailable as error:
            raise _away(error) from None
        if step.body["again"] is not None:
            return await self._complete_again(signed_in, step, visit, old)
        cookie = await self._database.write(self._admit, signed_in, step, visit, old)
        return CompletedSignIn(_admitted(cookie), step.body["wanted"])

    async def by_header(
        self, settings: ProxySettings, identity: ExternalIdentity, visit: Visit, old: bytes | None
    ) -> str:
        """Sign in whom a trusted proxy names; what the session's cookie holds. Raises Forbidden."""
        return _admitted(await self._database.write(self._admit_named, settings, identity, visit, old))

    async def _begun(self, browser: str, state: str) -> SignInToken:
        """The sign-in of a state that this browser began and did not complete; raises OidcRefused."""
        step = self._steps.read(OIDC_STEP, state)
        if step is None:
            raise OidcRefused("no sign-in has this state, or it took too long")
        if not oidc.is_same_browser(browser, step.body["browser"]):
            raise OidcRefused("another browser began it")
        if await self._database.read(steps.is_completed, step, self._clock()):
            raise OidcRefused("it was completed before")
        return step

    async def _complete_again(
        self, signed_in: OidcSignIn, step: SignInToken, visit: Visit, old: bytes | None
    ) -> CompletedSignIn:
        """The provider must say that it asked since this began, and name the same person."""
        begun_at, proved_at = step.body["begun_at"], signed_in.authenticated_at
        if proved_at is None or not isinstance(begun_at, int) or proved_at < begun_at - LEEWAY_SECONDS:
            raise Unauthenticated(NOT_AGAIN)
        cookie = await self._database.write(self._admit, signed_in, step, visit, old)
        return CompletedSignIn(_admitted(cookie), step.body["wanted"])

    def _admit(
        self,
        session: Session,
        signed_in: OidcSignIn,
        step: SignInToken,
        visit: Visit,
        old: bytes | None,
    ) -> str | None:
        settings, now, again = self.client.settings, self._clock(), step.body["again"]
        if not steps.complete(session, step):
            raise Unauthenticated(NOT_ACCEPTED)
        admission = identities.admit(
            session,
            signed_in.identity,
            visit.network,
            now,
            link_by_email=settings is not None and settings.link_by_email,
        )
        if again is not None and admission.person is not None and admission.person.id != again:
            _log_refusal("another person signed in", visit)
            return None
        proved_at = signed_in.authenticated_at or 0
        return self._begin(session, admission, visit, old, "OpenID Connect", proved_at)

    def _admit_named(
        self,
        session: Session,
        settings: ProxySettings,
        identity: ExternalIdentity,
        visit: Visit,
        old: bytes | None,
    ) -> str | None:
        now = self._clock()
        admission = identities.admit_named(
            session,
            identity,
            visit.network,
            now,
            create=settings.create,
            with_groups=bool(settings.groups_header),
        )
        return self._begin(session, admission, visit, old, f"header {settings.header}", now)

    def _begin(
        self,
        session: Session,
        admission: Admission,
        visit: Visit,
        old: bytes | None,
        by: str,
        fresh_at: int,
    ) -> str | None:
        """A session of the person who is admitted, in the place of the one that the browser had."""
        if old is not None:
            sessions.end(session, old)
        if admission.person is None:
            _log_refusal(admission.reason, visit)
            return None
        return self._sessions.begin(session, admission.person, visit, self._clock(), by=by, fresh_at=fresh_at)


def _log_refusal(reason: str, visit: Visit) -> None:
    log.warning("a person was not admitted", reason=reason, network=visit.network)


def _admitted(cookie: str | None) -> str:
    if cookie is None:
        raise Forbidden(NO_ACCESS)
    return cookie


def _away(error: ProviderUnavailable) -> Unavailable:
    log.warning("the provider of OpenID Connect cannot be used", reason=str(error))
    return Unavailable(AWAY)
