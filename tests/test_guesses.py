"""Guesses at passwords and codes are slowed down, by name and by network, and nobody is locked out."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kener_async import keys
from kener_async.domain.calendar import DAY
from kener_async.domain.guesses import (
    LONGEST_WAIT,
    NO_FAILURES,
    Failures,
    name_failed,
    name_wait,
    network_failed,
    network_of,
    network_wait,
)
from kener_async.identity import throttle
from kener_async.resources import shipped
from kener_async.store import tries
from tests.rigs.people import PASSWORD, a_browser, a_person, sign_in, signed_in
from tests.rigs.service import NOON, FakeClock, Service, a_config, running

WRONG = "wrong words here"


@pytest.fixture
def session() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(shipped("schema.sql"))
        yield connection


def test_after_five_failures_each_wait_is_twice_as_long_up_to_five_minutes():
    failures, waits = NO_FAILURES, []
    for _ in range(15):
        failures = name_failed(failures, NOON)
        waits.append(name_wait(failures, NOON))
    assert waits == [0, 0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_a_wait_ends_to_the_second():
    failures = Failures(6, NOON, NOON)
    assert [name_wait(failures, NOON + passed) for passed in (0, 1, 3, 4)] == [4, 3, 1, 0]


def test_a_day_without_a_failure_forgets_them():
    assert name_failed(Failures(9, NOON, NOON), NOON + DAY - 1).count == 10
    assert name_failed(Failures(9, NOON, NOON), NOON + DAY).count == 1


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 2**40), st.integers(0, 2**40))
def test_nobody_waits_longer_than_five_minutes_also_when_the_clock_went_back(count: int, last: int, now: int):
    wait = name_wait(Failures(count, last, last), now)
    assert 0 <= wait <= LONGEST_WAIT
    assert now >= last or wait == 0


def test_a_network_has_twenty_failures_in_ten_minutes():
    failures = NO_FAILURES
    for passed in range(20):
        assert network_wait(failures, NOON + passed) == 0
        failures = network_failed(failures, NOON + passed)
    assert [network_wait(failures, NOON + passed) for passed in (20, 599, 600)] == [580, 1, 0]
    assert network_failed(failures, NOON + 600) == Failures(1, NOON + 600, NOON + 600)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("", "unknown"),
    ],
)
def test_a_network_is_an_address_or_what_a_subscriber_has_of_ipv6(address: str, network: str):
    assert network_of(address) == network


@pytest.mark.parametrize("addresses", [1, 1000])
def test_ten_thousand_wrong_passwords_are_at_most_twelve_a_minute_for_one_name(
    session: sqlite3.Connection, addresses: int
):
    """Ten a second for 1,000 s, from one address or from a thousand."""
    tried = [
        NOON + number // 10
        for number in range(10_000)
        if throttle.claim(
            session,
            throttle.password_try("ada", f"10.0.{number % addresses // 250}.{number % addresses % 250}"),
            NOON + number // 10,
        )
        == 0
    ]
    assert 9 <= len(tried) <= 20
    assert max(sum(begin <= at < begin + 60 for at in tried) for begin in tried) <= 12


def test_ten_thousand_names_from_one_address_are_twenty_in_ten_minutes(session: sqlite3.Connection):
    tried = [
        number
        for number in range(10_000)
        if throttle.claim(session, throttle.password_try(f"name {number}", "192.0.2.7"), NOON + number // 17)
        == 0
    ]
    assert tried == list(range(20))


def test_a_name_is_counted_in_any_case_and_stored_as_its_hash(session: sqlite3.Connection):
    for name in ("ada", "Ada", "ADA", "aDa", "adA"):
        assert throttle.claim(session, throttle.password_try(name, ""), NOON) == 0
    assert throttle.claim(session, throttle.password_try("ada", ""), NOON) == 2
    [*subjects] = session.execute("SELECT subject FROM tries")
    assert "ada" not in str(subjects).lower()


def test_a_success_forgets_the_name_and_takes_back_its_own_try(session: sqlite3.Connection):
    subject = throttle.password_try("ada", "192.0.2.7")
    for _ in range(4):
        throttle.claim(session, throttle.password_try("ada", "192.0.2.7"), NOON)
    throttle.claim(session, subject, NOON)
    throttle.succeed(session, subject)
    assert tries.get(session, subject.name) == NO_FAILURES
    assert tries.get(session, "network:192.0.2.7").count == 4


async def test_what_is_counted_outlives_a_restart(tmp_path: Path, clock: FakeClock):
    config = a_config(tmp_path)
    async with running(config, clock) as service:
        await a_person(service)
        async with a_browser(service) as browser:
            for _ in range(5):
                assert (await sign_in(browser, password=WRONG)).status == 401
    async with running(config, clock) as service, a_browser(service) as browser:
        screen = await sign_in(browser)
        assert (screen.status, screen.headers["Retry-After"]) == (429, "2")
        service.pass_time(2)
        assert (await sign_in(browser)).path == "/manage"


async def test_an_unknown_name_is_slowed_just_so(service: Service):
    await a_person(service)
    async with a_browser(service) as browser:
        statuses = [(await sign_in(browser, "nobody", WRONG)).status for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2


async def test_a_throttled_try_verifies_nothing(service: Service, monkeypatch: pytest.MonkeyPatch):
    await a_person(service)
    async with a_browser(service) as browser:
        for _ in range(5):
            await sign_in(browser, password=WRONG)
        monkeypatch.setattr("kener_async.identity.passwords._verify", None)
        assert (await sign_in(browser)).status == 429


async def test_tries_at_once_are_all_counted(service: Service):
    """A thousand at once are no way around: each is counted before it is made."""
    await a_person(service)
    database = service.app[keys.DATABASE]
    subject = throttle.password_try("ada", "192.0.2.7")
    waits = [await database.write(throttle.claim, subject, service.clock()) for _ in range(30)]
    assert waits == [0] * 5 + [2] * 25


async def guess_at(service: Service, name: str, count: int) -> None:
    """Guess at a password from many addresses, as often as that is let through."""
    database = service.app[keys.DATABASE]
    for number in range(count):
        await database.write(
            throttle.claim, throttle.password_try(name, f"192.0.2.{number}"), service.clock()
        )


async def test_guesses_from_elsewhere_keep_nobody_out_of_a_browser_in_which_they_were(service: Service):
    await a_person(service)
    async with a_browser(service) as known, a_browser(service) as other:
        await sign_in(known)
        await (await known.open("/manage/sign-out")).press("Sign out")
        await guess_at(service, "ada", 100)
        assert (await sign_in(other)).status == 429
        assert (await sign_in(known)).path == "/manage"


async def test_guesses_in_a_known_browser_are_slowed_for_it_alone(service: Service):
    await a_person(service)
    async with a_browser(service) as known, a_browser(service) as other:
        await sign_in(known)
        await (await known.open("/manage/sign-out")).press("Sign out")
        assert [(await sign_in(known, password=WRONG)).status for _ in range(6)] == [401] * 5 + [429]
        assert (await sign_in(other)).path == "/manage"


async def test_a_browser_is_known_to_the_person_alone_who_signed_in(service: Service):
    await a_person(service)
    await a_person(service, "grace")
    async with a_browser(service) as browser:
        await sign_in(browser, "grace")
        await (await browser.open("/manage/sign-out")).press("Sign out")
        await guess_at(service, "ada", 10)
        assert (await sign_in(browser)).status == 429


async def test_guesses_from_elsewhere_do_not_slow_a_signed_in_person(service: Service):
    ada = await a_person(service)
    async with signed_in(service, ada) as browser:
        await guess_at(service, "ada", 10)
        screen = await browser.open("/manage/sign-in/again")
        await screen.press("Go on", password=PASSWORD)
        for _ in range(5):
            screen = await (await browser.open("/manage/sign-in/again")).press("Go on", 401, password=WRONG)
        await screen.press("Go on", 429, password=PASSWORD)
