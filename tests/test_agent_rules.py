"""Pure rules of the agent: schedule, backoff, results, and the meaning of responses."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.agent import batches, responses
from kener_async.agent.clocks import ClockReading
from kener_async.agent.responses import BatchTooLarge, Delivered, Failed, Reply
from kener_async.agent.run import samples_of
from kener_async.agent.schedule import LONGEST_PAUSE, Backoff, next_due
from kener_async.agent.spool import MeasuredSample, SpooledBatch, SpooledSample
from kener_async.domain.checks import Attempt, CheckTiming, verdict
from kener_async.domain.samples import Status
from kener_async.probes.settings import AliveTarget, CheckSettings

UP, DOWN, DEGRADED = Status.UP, Status.DOWN, Status.DEGRADED
CERTAIN = 0.999999  # a chance that makes a pause as long as can be

# The schedule


@pytest.mark.parametrize(
    ("now", "due"),
    [(0, 60), (59.9, 60), (60, 60), (119, 60), (121, 120), (301, 300), (86_400 + 59, 86_400)],
    ids=["at once", "a slow check", "just in time", "one late", "one missed", "four missed", "a day asleep"],
)
def test_of_the_times_that_were_missed_only_the_last_is_made_up_for(now: float, due: float):
    assert next_due(0, 60, now) == due


@given(st.floats(0, 1e6), st.integers(1, 3600), st.floats(0, 1e6))
def test_the_schedule_never_leaves_its_steps_and_never_goes_back(due: float, every: int, late: float):
    following = next_due(due, every, due + late)
    assert following >= due + every
    assert (following - due) / every == pytest.approx(round((following - due) / every))
    assert following > due + late - every - 1e-6


# The pauses after failures


def pauses(chance: float, count: int, **how: Any) -> list[float]:
    backoff, found = Backoff(), []
    for _ in range(count):
        backoff = backoff.after_failure(1000, chance=chance, **how)
        found.append(backoff.until - 1000)
    return found


def test_the_longest_pause_doubles_from_a_second_to_five_minutes():
    assert pauses(CERTAIN, 11) == pytest.approx([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300], rel=1e-4)


def test_a_pause_may_be_anything_up_to_that():
    assert pauses(0.25, 3) == [0.25, 0.5, 1.0]


def test_a_requested_pause_is_kept_with_a_little_jitter():
    assert pauses(0, 1, retry_after=120) == [120]
    assert 120 < pauses(CERTAIN, 1, retry_after=120)[0] <= 132


def test_what_somebody_must_mend_is_tried_rarely_from_the_start():
    assert pauses(0, 1, is_permanent=True) == [LONGEST_PAUSE / 2]
    assert pauses(CERTAIN, 1, is_permanent=True) == pytest.approx([LONGEST_PAUSE], rel=1e-4)


def test_a_year_of_failures_overflows_nothing():
    assert Backoff(failures=10**9).after_failure(0, chance=0.5).until == LONGEST_PAUSE / 2


# The samples of a run


def attempts_of(*seen: tuple[float, Status | None]) -> list[Attempt]:
    return [Attempt(at, status, seconds=at / 1000) for at, status in seen]


@pytest.mark.parametrize(
    ("attempts", "samples"),
    [
        ([(10, UP)], [(10, UP, 0.01)]),
        ([(10, DOWN), (70, UP)], [(70, UP, 0.07)]),
        ([(10, DOWN), (30, UP)], [(30, UP, 0.03)]),
        ([(10, DOWN), (70, DOWN)], [(10, DOWN, 0.01), (70, DOWN, 0.07)]),
        ([(10, DOWN), (70, DEGRADED)], [(10, DOWN, 0.01), (70, DEGRADED, 0.07)]),
        ([(10, DOWN), (30, DEGRADED)], [(10, DOWN, 0.01), (30, DOWN, 0.01)]),
        ([(10, DOWN), (30, None), (70, DOWN)], [(10, DOWN, 0.01), (70, DOWN, 0.07)]),
        ([(10, None)], []),
    ],
)
def test_a_run_gives_the_samples_that_the_server_would_write(
    attempts: list[tuple[float, Status | None]], samples: list[tuple[float, Status, float]]
):
    check = CheckSettings("earth", AliveTarget(), CheckTiming(60, 10))
    made = attempts_of(*attempts)
    moments = [ClockReading(each.at, each.at - 5, "boot") for each in made]
    found = [(each.moment.wall, each.status, each.latency) for each in samples_of(check, made, moments)]
    assert found == samples
    assert {(wall // 60 * 60, status) for wall, status, _ in found} == {
        (each.minute, each.status) for each in verdict(made)
    }


# What an answer of the server means


def a_sample(seq: int = 1, tag: str = "earth", wall: float = 1000.5, boot: str = "b1") -> SpooledSample:
    return SpooledSample(seq, MeasuredSample(tag, UP, 0.25, ClockReading(wall, wall - 900, boot)))


def reply(status: int, body: Any = None, samples: int = 2, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return responses.reply(status, named, text, [a_sample(seq) for seq in range(1, samples + 1)])


def test_known_verdicts_end_a_sample_except_refused_and_errors_are_named():
    results = [
        {"verdict": "duplicate", "minute": 60},
        {"verdict": "rejected", "error": "status missing"},
        {"verdict": "refused", "error": "invalid tag"},
        {"verdict": "superseded", "minute": 60},
        {"verdict": "accepted", "minute": 60},
        {"verdict": "ACCEPTED"},
    ]
    assert reply(200, {"results": results}, samples=6) == Delivered(
        [(a_sample(2), "status missing")],
        [(a_sample(3), "invalid tag"), (a_sample(6), "the verdict is ACCEPTED")],
    )


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Please log in</html>",
        b"",
        b"\xff",
        {},
        [],
        {"results": None},
        {"results": [{"verdict": "accepted"}]},
        {"results": [{"verdict": "accepted"}, "accepted"]},
        {"results": [{"verdict": "accepted"}, {}]},
    ],
)
def test_a_200_without_a_verdict_for_each_sample_takes_nothing(body: Any):
    found = reply(200, body)
    assert isinstance(found, Failed)
    assert not found.is_permanent  # the next network may have no login page


def test_a_batch_that_is_too_large_may_be_halved_and_a_single_sample_may_not():
    assert reply(413) == BatchTooLarge()
    assert isinstance(reply(413, samples=1), Failed)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_some_failures_pass_by_themselves(status: int):
    assert reply(status, {"error": "later"}) == Failed(f"answered {status}: later")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 415])
def test_others_must_be_mended_by_somebody(status: int):
    assert reply(status, b"no") == Failed(f"answered {status}", is_permanent=True)


def test_a_redirect_is_no_address_to_send_a_token_to():
    expected = Failed("answered 301: moved to https://elsewhere/", is_permanent=True)
    assert reply(301, Location="https://elsewhere/") == expected


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("", 0),
        ("-1", 0),
        ("1.5", 0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
        ("9" * 30, 3600),
    ],
)
def test_retry_after_is_read_in_seconds_and_an_hour_at_most(asked: str, seconds: float):
    assert reply(503, Retry_After=asked) == Failed("answered 503", retry_after=seconds)


# What is sent


def sent(batch: SpooledBatch, now: ClockReading) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress(batches.body("gate-1a2b3c", batch, now)))
    return document


def test_a_batch_has_the_device_and_all_its_clocks():
    sample = a_sample(seq=17)
    document = sent(
        SpooledBatch("host", "1a2b3c", [sample], {"b1": sample.sample.moment}),
        ClockReading(1010.25, 110, "b1"),
    )
    assert document == {
        "device": "gate-1a2b3c",
        "sentAt": 1010.25,
        "monotonic": 110,
        "boot": "b1",
        "samples": [
            {
                "tag": "earth",
                "status": "UP",
                "latency": 0.25,
                "timestampInSeconds": 1000,
                "seq": 17,
                "monotonic": 100.5,
                "boot": "b1",
            }
        ],
    }


def test_a_clock_before_1970_is_sent_as_the_begin_of_time():
    sample = a_sample(wall=-5000)
    document = sent(
        SpooledBatch("", "", [sample], {"b1": sample.sample.moment}), ClockReading(-4000, 7, "b1")
    )
    assert (document["sentAt"], document["samples"][0]["timestampInSeconds"]) == (0, 0)


@pytest.mark.parametrize(
    ("stepped", "expected"),
    [(1_700_000_000, 1_700_000_100), (0.5, 100), (-0.5, 100), (-3600, -3500)],
    ids=["learned the time", "slewed ahead", "slewed back", "set back"],
)
def test_a_moment_is_corrected_to_the_last_setting_of_the_clock_in_that_boot(stepped: float, expected: float):
    moment = ClockReading(100, 50, "b1")
    newest = ClockReading(100 + 500 + stepped, 550, "b1")
    assert batches.corrected(moment, newest) == ClockReading(expected, 50, "b1")


@pytest.mark.parametrize(
    ("name", "device"), [("gate", "gate-1a2b3c"), ("", "pi-1a2b3c"), ("g" * 100, "g" * 100 + "-1a2b3c")]
)
def test_the_name_of_a_device_is_its_own_or_the_hosts_with_the_suffix_of_its_spool(name: str, device: str):
    assert SpooledBatch("pi", "1a2b3c", [], {}).device(name) == device
