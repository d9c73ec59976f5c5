"""Sessions: what the table holds, and when they end."""

import sqlite3
from contextlib import closing

import pytest

from kener_async import keys
from kener_async.domain.errors import Unauthenticated, Unavailable
from kener_async.domain.people import Person, Role
from kener_async.identity import accounts
from kener_async.identity.accounts import Account
from kener_async.identity.sessions import LOOPBACK_COOKIE, Sessions, Visit, digest_of
from kener_async.store import people
from kener_async.store.interface import Session
from kener_async.web.manage.frame import SESSIONS
from kener_async.web.manage.sign_in import SIGN_IN
from tests.rigs.people import COMMAND, PASSWORD, a_person, a_session, signed_in
from tests.rigs.service import Service

IDLE, LENGTH = 12 * 3600, 14 * 86_400


@pytest.fixture
async def ada(service: Service) -> Person:
    return await a_person(service)


async def is_in(service: Service, cookie: str) -> bool:
    sessions: Sessions = service.app[SESSIONS]
    return await sessions.find(cookie) is not None


async def stored(service: Service) -> list[tuple[object, ...]]:
    def work(session: Session) -> list[tuple[object, ...]]:
        return [tuple(row) for row in session.execute("SELECT seen_at, ends_at FROM sessions")]

    rows: list[tuple[object, ...]] = await service.app[keys.DATABASE].read(work)
    return rows


async def test_a_cookie_has_256_random_bits_and_the_table_its_digest(service: Service, ada: Person):
    cookies = {await a_session(service, ada) for _ in range(20)}
    assert {len(cookie) for cookie in cookies} == {43}
    assert len(cookies) == 20
    with closing(sqlite3.connect(service.app[keys.RUNNING].config.database.path)) as connection:
        dump = "\n".join(connection.iterdump())
    for cookie in cookies:
        assert cookie not in dump
        assert digest_of(cookie).hex() in dump.lower()


async def test_the_digest_of_the_table_signs_nobody_in(service: Service, ada: Person):
    cookie = await a_session(service, ada)
    digest = digest_of(cookie)
    assert not await is_in(service, digest.hex())
    assert not await is_in(service, digest.hex()[:43])


@pytest.mark.parametrize("cookie", ["", "x", "x" * 43, "x" * 10_000, "\udcff" * 43, "' OR 1=1 --" * 4])
async def test_no_other_cookie_signs_in(service: Service, ada: Person, cookie: str):
    await a_session(service, ada)
    assert not await is_in(service, cookie)


@pytest.mark.parametrize(("passed", "is_there"), [(IDLE - 1, True), (IDLE, False)])
async def test_idle_to_the_second(service: Service, ada: Person, passed: int, is_there: bool):
    cookie = await a_session(service, ada)
    service.pass_time(passed)
    assert await is_in(service, cookie) == is_there


@pytest.mark.parametrize(("passed", "is_there"), [(IDLE - 1, True), (IDLE, False)])
async def test_idle_counts_from_the_last_request_though_that_is_written_once_a_minute(
    service: Service, ada: Person, passed: int, is_there: bool
):
    cookie = await a_session(service, ada)
    service.pass_time(59)
    assert await is_in(service, cookie)
    [(seen_at, _)] = await stored(service)
    assert seen_at == service.clock() - 59
    service.pass_time(passed)
    assert await is_in(service, cookie) == is_there


async def test_use_is_written_once_a_minute(service: Service, ada: Person):
    cookie, begin = await a_session(service, ada), service.clock()
    written = []
    for _ in range(13):
        service.pass_time(10)
        assert await is_in(service, cookie)
        [(seen_at, _)] = await stored(service)
        written.append(seen_at - begin)  # type: ignore[operator]
    assert written == [0] * 5 + [60] * 6 + [120] * 2
    assert (await service.app[keys.DATABASE].read(people.get, ada.id)).last_seen == begin + 120


@pytest.mark.parametrize(("passed", "is_there"), [(LENGTH - 1, True), (LENGTH, False)])
async def test_length_to_the_second(service: Service, ada: Person, passed: int, is_there: bool):
    cookie, begin = await a_session(service, ada), service.clock()
    while service.clock() < begin + passed:
        service.pass_time(min(IDLE - 1, begin + passed - service.clock()))
        assert await is_in(service, cookie) == (is_there or service.clock() < begin + LENGTH)


async def test_shorter_settings_hold_for_sessions_that_are_there(service: Service, ada: Person):
    cookie = await a_session(service, ada)
    service.pass_time(3600)
    service.change("manage", session_length=3600)
    assert not await is_in(service, cookie)
    service.change("manage", session_length=3601)
    assert await is_in(service, cookie)
    service.pass_time(300)
    service.change("manage", session_length=LENGTH, session_idle=300)
    assert not await is_in(service, cookie)


ENDINGS = {
    "password": lambda session, number, now: people.set_password(session, number, "hash", COMMAND, now),
    "codes": lambda session, number, now: people.set_codes(session, number, b"k", 0, [], COMMAND, now),
    "codes removed": lambda session, number, now: people.remove_codes(session, number, COMMAND, now),
    "recovery codes": lambda session, number, now: people.set_recovery_codes(
        session, number, [], COMMAND, now
    ),
    "factor reset": lambda session, number, now: people.reset_second_factor(session, number, COMMAND, now),
    "reset": lambda session, number, now: people.reset(session, number, COMMAND, now),
    "role": lambda session, number, now: people.change_rights(
        session, number, Role.VIEWER, None, COMMAND, now
    ),
    "categories": lambda session, number, now: people.change_rights(
        session, number, Role.EDITOR, ("Moons",), COMMAND, now
    ),
    "deactivation": lambda session, number, now: people.deactivate(session, number, COMMAND, now),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_change_of_rights_or_factors_ends_all_sessions_within_one_request(
    service: Service, ada: Person, ending: str
):
    grace = await a_person(service, "grace", Role.EDITOR)
    async with signed_in(service, grace) as browser, signed_in(service, grace) as other:
        adas = await a_session(service, ada)
        assert (await browser.open("/manage")).path == "/manage"
        await service.app[keys.DATABASE].write(ENDINGS[ending], grace.id, service.clock())
        for each in (browser, other):
            assert (await each.open("/manage")).path.startswith("/manage/sign-in")
        assert await is_in(service, adas)


async def test_the_same_rights_again_end_nothing(service: Service, ada: Person):
    cookie = await a_session(service, ada)
    await service.app[keys.DATABASE].write(
        people.change_rights, ada.id, ada.role, None, COMMAND, service.clock()
    )
    assert await is_in(service, cookie)


async def test_an_inactive_person_has_no_session_whatever_the_table_holds(service: Service, ada: Person):
    cookie = await a_session(service, ada)
    await service.app[keys.DATABASE].write(
        lambda session: session.execute("UPDATE people SET inactive_since = 1") and None
    )
    assert not await is_in(service, cookie)


async def test_a_full_disk_ends_no_session(service: Service, ada: Person, monkeypatch: pytest.MonkeyPatch):
    cookie = await a_session(service, ada)
    database = service.app[keys.DATABASE]

    async def full(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(database, "write", full)
        for _ in range(3):
            service.pass_time(IDLE - 1)
            assert await is_in(service, cookie)
    assert await is_in(service, cookie)
    assert (await stored(service))[0][0] == service.clock()


async def test_what_a_browser_calls_itself_is_cut(service: Service, ada: Person):
    sessions: Sessions = service.app[SESSIONS]
    visit = Visit("192.0.2.7", "x" * 10_000)
    await service.app[keys.DATABASE].write(sessions.begin, ada, visit, service.clock(), by="password")
    rows = await service.app[keys.DATABASE].read(
        lambda session: session.execute("SELECT length(agent), network FROM sessions").fetchall()
    )
    assert [tuple(row) for row in rows] == [(200, "192.0.2.7")]


async def test_one_statement_finds_a_session(service: Service, ada: Person):
    cookie = await a_session(service, ada)
    service.client.session.cookie_jar.update_cookies({LOOPBACK_COOKIE: cookie})
    plan = await service.app[keys.DATABASE].read(
        lambda session: session.execute(
            "EXPLAIN QUERY PLAN SELECT 1 FROM sessions JOIN people ON people.id = sessions.person"
            " WHERE sessions.digest = ?",
            (digest_of(cookie),),
        ).fetchall()
    )
    assert all("SEARCH" in row[-1] for row in plan)


async def test_a_session_that_ended_meanwhile_begins_no_new_one(service: Service, ada: Person):
    """A reset between the check of a request and what it does must not be outlived by a new session."""
    sessions: Sessions = service.app[SESSIONS]
    signed_in_then = await sessions.find(await a_session(service, ada))
    assert signed_in_then is not None
    await service.app[keys.DATABASE].write(people.reset, ada.id, COMMAND, service.clock())
    visit = Visit("127.0.0.1", "tests")
    with pytest.raises(Unauthenticated):
        await service.app[SIGN_IN].again(signed_in_then, PASSWORD, visit)
    account = Account(sessions, ada, signed_in_then.digest, visit, service.clock())
    for change in (
        lambda session: accounts.change_password(session, account, "hash"),
        lambda session: accounts.set_codes(session, account, b"k" * 20, 0, []),
        lambda session: accounts.remove_codes(session, account),
        lambda session: accounts.renew_recovery_codes(session, account, []),
    ):
        with pytest.raises(Unauthenticated):
            await service.app[keys.DATABASE].write(change)
    assert await stored(service) == []
