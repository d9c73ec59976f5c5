"""Steps of sign-ins that strangers begin: how many a network may, and how many are stored."""

import pytest

from kener_async import keys
from kener_async.domain.errors import TooMany, Unavailable
from kener_async.identity import steps
from kener_async.identity.sign_in import KNOWN_BROWSER, SECOND_STEP
from kener_async.identity.steps import BURST, REFILL_SECONDS, StepLimiter
from kener_async.store import challenges
from kener_async.store.interface import Database
from tests.rigs.service import FakeClock, Service


def test_a_network_may_begin_some_at_once_and_then_one_by_one():
    clock = FakeClock(0)
    limiter = StepLimiter(clock)
    for _ in range(BURST):
        limiter.take("203.0.113.7")
    with pytest.raises(TooMany) as refusal:
        limiter.take("203.0.113.7")
    limiter.take("203.0.113.8")  # another network
    clock.now += refusal.value.seconds
    limiter.take("203.0.113.7")
    clock.now += int(BURST * REFILL_SECONDS)
    for _ in range(BURST):
        limiter.take("203.0.113.7")


def test_the_addresses_of_one_subscriber_are_one_network():
    limiter = StepLimiter(FakeClock(0))
    for number in range(BURST):
        limiter.take(f"2001:db8::{number:x}")
    with pytest.raises(TooMany):
        limiter.take("2001:db8::ffff")
    limiter.take("2001:db8:0:1::1")


async def test_no_more_than_so_many_are_stored(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(steps, "MOST_STEPS", 3)
    database: Database = service.app[keys.DATABASE]
    now = service.clock()
    for _ in range(3):
        await database.write(steps.begin, "oidc", {}, 60, now)
    with pytest.raises(Unavailable):
        await database.write(steps.begin, "oidc", {}, 60, now)
    secret = await database.write(steps.begin, "oidc", {"a": 1}, 60, now + 60)  # those before have ended
    assert await database.write(challenges.take, "passkey alone", secret, now + 61) is None  # another kind
    assert await database.write(challenges.take, "oidc", secret, now + 61) == {"a": 1}
    assert await database.write(challenges.take, "oidc", secret, now + 61) is None


async def test_rows_of_another_kind_keep_no_step_out(service: Service, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(steps, "MOST_STEPS", 1)
    database: Database = service.app[keys.DATABASE]
    now = service.clock()
    for kind in (KNOWN_BROWSER, SECOND_STEP, "passkey alone"):
        await database.write(challenges.add, kind, {"person": 1}, now + 180 * 86_400)
    await database.write(steps.begin, "oidc", {}, 60, now)
    with pytest.raises(Unavailable):
        await database.write(steps.begin, "oidc", {}, 60, now)
