"""People of each role, and browsers without JavaScript in which they are signed in."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from argon2 import PasswordHasher

from kener_async import keys
from kener_async.config.model import Config
from kener_async.domain.people import Actor, ActorKind, Person, Role
from kener_async.identity.sessions import LOOPBACK_COOKIE, Sessions, Visit
from kener_async.store import people
from kener_async.store.interface import Database, Session
from kener_async.web.manage.frame import SESSIONS
from tests.rigs.database import contents
from tests.rigs.html_client import HtmlClient, Screen, session_of_client
from tests.rigs.service import Service

PASSWORD = "for tests: a long sentence"
COMMAND = Actor(ActorKind.COMMAND, "tests")
CHANGED = frozenset(
    (
        *("settings", "monitors", "incidents", "incident_monitors", "updates", "tokens", "devices", "alerts"),
        *("notices", "deliveries", "channel_states", "people", "passkeys", "recovery_codes", "identities"),
        *("invitations", "submissions", "audit", "managed", "series_marks"),
    )
)
# The column that says when they were last seen, used, or reported.
NOTED = {"people": 11, "tokens": 6, "monitors": 3}
ACT = 4  # the column of the audit log
# So quick that tests wait for none; a hash says by itself what it was made with.
_QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_HASHES: dict[str, str] = {}


async def a_person(
    service: Service,
    name: str = "ada",
    role: Role = Role.ADMIN,
    *,
    categories: Collection[str] | None = None,
    email: str = "",
    password: str | None = PASSWORD,
) -> Person:
    """A person who was added as by the command, and who has set a password unless that is None."""

    def added(session: Session) -> Person:
        now = service.clock()
        person = people.add(session, name, role, categories, email, COMMAND, now)
        if password is not None:
            people.set_password(session, person.id, _hashed(password), COMMAND, now)
        return people.get(session, person.id)

    database: Database = service.app[keys.DATABASE]
    return await database.write(added)


@asynccontextmanager
async def a_browser(service: Service, headers: Mapping[str, str] | None = None) -> AsyncIterator[HtmlClient]:
    """A browser of a visitor who is not signed in."""
    origin = str(service.client.make_url("")).rstrip("/")
    async with session_of_client() as session:
        yield HtmlClient(session, origin, headers)


@asynccontextmanager
async def signed_in(
    service: Service, person: Person, *, fresh_ago: int = 0, headers: Mapping[str, str] | None = None
) -> AsyncIterator[HtmlClient]:
    """A browser with a session of a person, who proved who they are so many seconds ago."""
    async with a_browser(service, headers) as browser:
        browser.cookies[LOOPBACK_COOKIE] = await a_session(service, person, fresh_ago=fresh_ago)
        yield browser


async def a_session(service: Service, person: Person, *, fresh_ago: int = 0) -> str:
    """What the cookie of a new session of a person holds."""

    def begun(session: Session) -> str:
        now = service.clock()
        sessions: Sessions = service.app[SESSIONS]
        cookie = sessions.begin(session, person, Visit("127.0.0.1", "tests"), now, by="password")
        if fresh_ago:
            session.execute("UPDATE sessions SET fresh_at = ? WHERE person = ?", (now - fresh_ago, person.id))
        return cookie

    database: Database = service.app[keys.DATABASE]
    return await database.write(begun)


async def sign_in(browser: HtmlClient, name: str = "ada", password: str = PASSWORD) -> Screen:
    """Sign in with a password by the form of the page, as a person does; the page that this leads to."""
    screen = await browser.open("/manage/sign-in")
    form = screen.form(action="/sign-in")
    form.fill(name=name, password=password)
    return await form.submit(status=None)


async def everybody(service: Service, *, categories: Collection[str] | None = None) -> dict[Role, Person]:
    """A person of each role, named as the role is, and without a password."""
    limits = "" if categories is None else " of some categories"
    return {
        role: await a_person(
            service, f"{role.name.lower()}{limits}", role, categories=categories, password=None
        )
        for role in Role
    }


def facts(service: Service) -> dict[str, list[Any]]:
    """All rows that only people, tokens and commands change; of sign-ins and uses nothing."""
    config: Config = service.app[keys.RUNNING].config
    found = {name: rows for name, rows in contents(config.database.path).items() if name in CHANGED}
    found["audit"] = [row for row in found["audit"] if row[ACT] != "session.begin"]
    for name, column in NOTED.items():
        found[name] = [row[:column] + row[column + 1 :] for row in found[name]]
    return found


def _hashed(password: str) -> str:
    if password not in _HASHES:
        _HASHES[password] = _QUICK.hash(password)
    return _HASHES[password]
