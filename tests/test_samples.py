"""Samples: the minute of a heartbeat, which of two writes wins, and stored latencies."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kener_async.domain.calendar import DAY
from kener_async.domain.errors import Invalid
from kener_async.domain.samples import MAX_LATENCY, Sample, SampleSource, Status, minute_for, winners
from kener_async.store.sample_rows import packed_latency, plain_latency

MINUTE = 1_731_251_760
NOW = MINUTE + 7
OLDEST = MINUTE - 90 * DAY


@pytest.mark.parametrize(
    ("timestamp", "minute"),
    [
        pytest.param(None, MINUTE, id="no time at all means now"),
        pytest.param(NOW, MINUTE, id="now is in the minute that runs"),
        pytest.param(MINUTE, MINUTE, id="a minute's first second is in it"),
        pytest.param(MINUTE - 1, MINUTE - 60, id="the second before is in the minute before"),
        pytest.param(NOW - DAY, MINUTE - DAY, id="a time in the past is floored to its minute"),
        pytest.param(NOW + 1, MINUTE, id="a clock a second ahead means now"),
        pytest.param(NOW + 60, MINUTE, id="a clock as far ahead as allowed means now"),
        pytest.param(OLDEST, OLDEST, id="the oldest minute that is taken"),
        pytest.param(OLDEST + 59, OLDEST, id="the last second of the oldest minute that is taken"),
    ],
)
def test_report_speaks_for_the_minute(timestamp: int | None, minute: int) -> None:
    assert minute_for(timestamp, NOW, clock_skew=60, max_age_days=90) == minute


@pytest.mark.parametrize(
    ("timestamp", "message"),
    [
        pytest.param(NOW + 61, "timestampInSeconds is in future", id="a clock too far ahead"),
        pytest.param(10**18, "timestampInSeconds is in future", id="milliseconds for seconds"),
        pytest.param(OLDEST - 1, "timestampInSeconds is older than 90days", id="a second too old"),
        pytest.param(0, "timestampInSeconds is older than 90days", id="the year 1970"),
        pytest.param(-1, "timestampInSeconds is older than 90days", id="before 1970"),
    ],
)
def test_report_is_refused(timestamp: int, message: str) -> None:
    with pytest.raises(Invalid, match=f"^{message}$"):
        minute_for(timestamp, NOW, clock_skew=60, max_age_days=90)


def test_without_a_skew_only_the_past_is_taken() -> None:
    assert minute_for(NOW, NOW, clock_skew=0, max_age_days=90) == MINUTE
    with pytest.raises(Invalid, match="in future"):
        minute_for(NOW + 1, NOW, clock_skew=0, max_age_days=90)


def push(status: Status, minute: int = MINUTE, monitor: int = 1) -> Sample:
    return Sample(monitor, minute, status, 0.5, SampleSource.PUSH)


def check(status: Status, minute: int = MINUTE, monitor: int = 1, latency: float = 0.5) -> Sample:
    return Sample(monitor, minute, status, latency, SampleSource.CHECK)


UP, DEGRADED, DOWN = Status.UP, Status.DEGRADED, Status.DOWN


@pytest.mark.parametrize(
    ("batch", "before", "stored"),
    [
        pytest.param([], [], [], id="nothing of nothing"),
        pytest.param([push(UP), push(DOWN)], [], [push(DOWN)], id="the last push wins"),
        pytest.param([push(DOWN), push(UP)], [], [push(UP)], id="the last push wins though it is better"),
        pytest.param([check(UP), check(DOWN)], [], [check(DOWN)], id="a worse check wins"),
        pytest.param([check(DOWN), check(UP)], [], [check(DOWN)], id="a better check does not"),
        pytest.param(
            [check(DEGRADED, latency=1), check(DEGRADED, latency=2)],
            [],
            [check(DEGRADED, latency=2)],
            id="the last of equal checks wins",
        ),
        pytest.param([check(DEGRADED)], [check(DOWN)], [], id="a better check does not replace a stored one"),
        pytest.param([check(DOWN)], [check(UP)], [check(DOWN)], id="a worse check replaces a stored one"),
        pytest.param(
            [check(UP, latency=2)], [check(UP)], [check(UP, latency=2)], id="an equal check replaces it too"
        ),
        pytest.param([push(UP)], [check(DOWN)], [push(UP)], id="a better push replaces a stored check"),
        pytest.param(
            [push(UP), check(DOWN)], [check(DOWN)], [push(UP)], id="and a check does not come back after it"
        ),
        pytest.param([check(UP), push(DOWN)], [], [push(DOWN)], id="a push replaces a check"),
        pytest.param([push(UP), check(DOWN)], [], [push(UP)], id="a check does not replace a push"),
        pytest.param([push(UP), check(DOWN), push(DEGRADED)], [], [push(DEGRADED)], id="a push after both"),
        pytest.param([check(DOWN)], [push(UP)], [], id="a check does not replace a stored push"),
        pytest.param([push(DOWN)], [push(UP)], [push(DOWN)], id="a push replaces a stored push"),
        pytest.param(
            [check(UP), push(DOWN), check(UP)], [push(UP)], [push(DOWN)], id="checks around a push are lost"
        ),
        pytest.param(
            [check(DOWN)],
            [push(UP, monitor=2)],
            [check(DOWN)],
            id="a push of another monitor does not matter",
        ),
        pytest.param(
            [check(DOWN)],
            [push(UP, MINUTE - 60)],
            [check(DOWN)],
            id="a push of another minute does not matter",
        ),
        pytest.param(
            [push(UP), check(DOWN, monitor=2), check(DOWN, MINUTE + 60)],
            [],
            [push(UP), check(DOWN, monitor=2), check(DOWN, MINUTE + 60)],
            id="each monitor and minute for itself",
        ),
    ],
)
def test_of_a_batch_is_stored(batch, before, stored) -> None:
    assert winners(batch, {(sample.monitor, sample.minute): sample for sample in before}) == {
        (sample.monitor, sample.minute): sample for sample in stored
    }


@given(st.floats(min_value=0, max_value=MAX_LATENCY))
@example(0.0)
@example(5e-324)
@example(0.1 + 0.2)
@example(1e12)
@example(999_999_999_999.9999)
def test_latency_is_stored_exactly(latency: float) -> None:
    assert plain_latency(packed_latency(latency)) == latency


@given(st.integers(0, 10**15))
def test_latency_of_up_to_six_decimals_is_stored_as_an_integer(millionths: int) -> None:
    latency = millionths / 1_000_000
    packed = packed_latency(latency)
    assert isinstance(packed, int)
    assert plain_latency(packed) == latency


@given(st.floats(min_value=0, allow_infinity=False, allow_nan=False))
def test_latency_stored_as_an_integer_fits_sixty_four_bits(latency: float) -> None:
    packed = packed_latency(latency)
    assert isinstance(packed, float) or 0 <= packed < 2**63
