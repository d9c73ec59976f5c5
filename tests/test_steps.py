"""Steps of sign-ins that anybody may begin: signed, completed once, and limited by network."""

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async import keys
from kener_async.domain.errors import TooMany
from kener_async.identity import steps
from kener_async.identity.steps import BURST, REFILL_SECONDS, SignedSteps, StepLimiter
from kener_async.web.manage.federation import SIGNED_STEPS
from tests.rigs.service import FakeClock, Service

SECRET = b"s" * 32


def test_a_network_may_answer_some_at_once_and_then_one_by_one():
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


class TestSignedSteps:
    async def test_a_step_is_completed_once(self, service: Service):
        signed, database = service.app[SIGNED_STEPS], service.app[keys.DATABASE]
        step = signed.read("oidc", signed.begin("oidc", {"a": 1}, 60))
        assert step is not None
        assert step.body == {"a": 1}
        assert not await database.read(steps.is_completed, step, service.clock())
        assert await database.write(steps.complete, step)
        assert await database.read(steps.is_completed, step, service.clock())
        assert not await database.write(steps.complete, step)

    def test_it_ends(self):
        clock = FakeClock(1000)
        signed = SignedSteps(SECRET, clock)
        text = signed.begin("oidc", {}, 60)
        clock.now += 59
        assert signed.read("oidc", text) is not None
        clock.now += 1
        assert signed.read("oidc", text) is None

    def test_one_of_another_kind_or_key_is_none_of_ours(self):
        clock = FakeClock(1000)
        text = SignedSteps(SECRET, clock).begin("oidc", {}, 60)
        assert SignedSteps(SECRET, clock).read("oidc", text) is not None  # as after a restart
        assert SignedSteps(SECRET, clock).read("passkey alone", text) is None
        assert SignedSteps(bytes(32), clock).read("oidc", text) is None

    @given(st.binary(max_size=200), st.text(max_size=200), st.data())
    def test_no_other_text_is_a_step(self, raw: bytes, typed: str, data: st.DataObject):
        signed = SignedSteps(SECRET, FakeClock(1000))
        text = signed.begin("oidc", {"wanted": "/incidents/7"}, 60)
        at = data.draw(st.integers(0, len(text) - 1))
        changed = text[:at] + data.draw(st.sampled_from("AZaz09-_=+/ é")) + text[at + 1 :]
        for other in (urlsafe_b64encode(raw).decode(), typed, changed, text + "=", text[:-1], f"{text} "):
            assert other == text or signed.read("oidc", other) is None

    async def test_beginning_stores_nothing_and_keeps_nobody_out(self, service: Service):
        signed, database = service.app[SIGNED_STEPS], service.app[keys.DATABASE]
        first = signed.read("oidc", signed.begin("oidc", {}, 60))
        for _ in range(20_000):
            signed.begin("oidc", {}, 60)
        rows = await database.read(lambda session: session.execute("SELECT * FROM challenges").fetchall())
        assert rows == []
        assert first is not None
        assert await database.write(steps.complete, first)
