"""The frame of the signed-in screens: who gets in, what is refused, and that nothing typed is lost."""

import pytest

from kener_async import keys
from kener_async.domain.people import Actor, ActorKind, Role
from kener_async.identity.sessions import LOOPBACK_COOKIE, Sessions, Visit
from kener_async.store import people
from kener_async.store.interface import Database, Session
from kener_async.web.manage.frame import SESSIONS
from tests.rigs.service import Service

COMMAND = Actor(ActorKind.COMMAND, "root")


async def a_person(service: Service, name: str = "ada", role: Role = Role.ADMIN) -> str:
    """The cookie of a new person who is signed in."""
    now = service.clock()

    sessions: Sessions = service.app[SESSIONS]

    def work(session: Session) -> str:
        person = people.add(session, name, role, None, "", COMMAND, now)
        return sessions.begin(session, person, Visit("127.0.0.1", "test"), now, by="password")

    database: Database = service.app[keys.DATABASE]
    return await database.write(work)


async def test_without_a_person_there_is_one_sentence(service: Service):
    async with service.client.get("/manage") as reply:
        assert reply.status == 404
        assert await reply.text() == "no person yet: kener-async person add --role admin NAME"


async def test_without_a_session_one_is_led_to_sign_in_and_back(service: Service):
    await a_person(service)
    async with service.client.get("/manage?open=1", allow_redirects=False) as reply:
        assert reply.status == 303
        assert reply.headers["Location"] == "/manage/sign-in?next=%3Fopen%3D1"
        assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_signed_in_person_sees_the_overview(service: Service, method: str):
    cookie = await a_person(service)
    async with service.client.request(method, "/manage", cookies={LOOPBACK_COOKIE: cookie}) as reply:
        assert reply.status == 200
        assert reply.headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in reply.headers["Content-Security-Policy"]
        assert ("ada" in await reply.text()) == (method == "GET")
