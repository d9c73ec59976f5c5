"""Clocks of devices: the true minute of a sample from a device with a wrong clock."""

import pytest

from kener_async.domain.clocks import ClockHistory, DeviceClocks, Hearing, Stamp, compare
from kener_async.domain.errors import Invalid

NOW = 1_767_182_400
HOUR = 3600
DAY = 24 * HOUR


def clocks(sent: Stamp, usual: int | None = None, boots: dict[str, float] | None = None) -> DeviceClocks:
    """Of a named device, of which this is known."""
    return compare(sent, NOW, 60, ClockHistory(usual, boots or {}))


@pytest.mark.parametrize(
    ("sent", "stamp", "instant"),
    [
        pytest.param(Stamp(), Stamp(), NOW, id="no stamp means now"),
        pytest.param(Stamp(), Stamp(wall=NOW - HOUR), NOW - HOUR, id="a stamp alone is believed"),
        pytest.param(Stamp(wall=NOW), Stamp(wall=NOW - HOUR), NOW - HOUR, id="a right clock is believed"),
        pytest.param(
            Stamp(wall=NOW - 60), Stamp(wall=NOW - HOUR), NOW - HOUR, id="a clock within the tolerance, too"
        ),
        pytest.param(
            Stamp(wall=NOW + 3 * HOUR), Stamp(wall=NOW + 2 * HOUR), NOW - HOUR, id="a clock 3 hours fast"
        ),
        pytest.param(Stamp(wall=500), Stamp(wall=200), NOW - 300, id="a clock at 1970"),
        pytest.param(
            Stamp(wall=NOW, monotonic=500, boot="a"),
            Stamp(wall=200, monotonic=200, boot="a"),
            NOW - 300,
            id="at 1970 when it was measured, right when it is sent",
        ),
        pytest.param(
            Stamp(wall=NOW, monotonic=5000, boot="a"),
            Stamp(wall=NOW + 2 * HOUR, monotonic=1400, boot="a"),
            NOW - HOUR,
            id="a clock that was set back after it was measured",
        ),
        pytest.param(
            Stamp(wall=NOW, monotonic=5000, boot="a"),
            Stamp(wall=NOW - 299, monotonic=4700, boot="a"),
            NOW - 299,
            id="a wall clock that agrees with the monotonic one is finer",
        ),
        pytest.param(
            Stamp(monotonic=5000, boot="a"),
            Stamp(monotonic=4700, boot="a"),
            NOW - 300,
            id="a device without a wall clock",
        ),
        pytest.param(
            Stamp(wall=NOW + 9 * HOUR, monotonic=50, boot="b"),
            Stamp(wall=NOW + 8 * HOUR, monotonic=900, boot="a"),
            NOW - HOUR,
            id="a clock that is fast over a reboot",
        ),
    ],
)
def test_the_moment_of_a_sample(sent: Stamp, stamp: Stamp, instant: int) -> None:
    assert clocks(sent).instant(stamp) == instant


def test_a_boot_that_was_heard_before_still_places_its_samples() -> None:
    stands = clocks(Stamp(wall=NOW, monotonic=50, boot="b"), boots={"a": NOW - 9000})
    assert stands.instant(Stamp(wall=1000, monotonic=1800, boot="a")) == NOW - 7200


@pytest.mark.parametrize(
    ("sent", "stamp", "message"),
    [
        pytest.param(
            Stamp(wall=300, monotonic=300, boot="b"),
            Stamp(wall=200, monotonic=200, boot="a"),
            "set back since",
            id="a device without a battery that rebooted before it was ever heard",
        ),
        pytest.param(
            Stamp(wall=NOW, monotonic=300, boot="b"),
            Stamp(monotonic=200, boot="a"),
            "the start of its boot is unknown",
            id="a monotonic stamp of a boot that was never heard",
        ),
    ],
)
def test_a_moment_that_cannot_be_known_is_refused(sent: Stamp, stamp: Stamp, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        clocks(sent).instant(stamp)


# What is added to timestamps, and what becomes of the offset


@pytest.mark.parametrize(
    ("usual", "offset", "correction", "hearing"),
    [
        pytest.param(None, 0, 0, Hearing.SAME, id="right, the first time"),
        pytest.param(None, 300, 0, Hearing.SAME, id="slow by five minutes, the first time: it may be late"),
        pytest.param(None, -300, 0, Hearing.SAME, id="fast by five minutes, the first time"),
        pytest.param(None, 301, 301, Hearing.SAME, id="slow by more, the first time"),
        pytest.param(None, -301, -301, Hearing.SAME, id="fast by more, the first time"),
        pytest.param(None, NOW, NOW, Hearing.SAME, id="1970, the first time"),
        pytest.param(30, 30, 30, Hearing.SAME, id="a known offset below a minute"),
        pytest.param(200, 200, 200, Hearing.SAME, id="a known offset below five minutes"),
        pytest.param(-30, -28, -30, Hearing.SAME, id="the smallest offset is that of the clock"),
        pytest.param(30, 28, 28, Hearing.SAME, id="a smaller one is a better estimate"),
        pytest.param(1, 1, 0, Hearing.SAME, id="a second is within the resolution of the clocks"),
        pytest.param(0, 60, 0, Hearing.SAME, id="a minute later on its way"),
        pytest.param(0, 61, 0, Hearing.LATE, id="a clock that was right is late, not slow"),
        pytest.param(0, DAY, 0, Hearing.LATE, id="late by a day"),
        pytest.param(0, DAY + 1, DAY + 1, Hearing.CHANGED, id="no batch is late by more than a day"),
        pytest.param(0, NOW, NOW, Hearing.CHANGED, id="a clock that was right and lost its battery"),
        pytest.param(50, 400, 50, Hearing.LATE, id="late, with a known offset"),
        pytest.param(0, -61, -61, Hearing.CHANGED, id="nothing arrives early: the clock was set forward"),
        pytest.param(-3 * HOUR, 0, 0, Hearing.CHANGED, id="a clock that was fast, and now is right"),
        pytest.param(3 * HOUR, 0, 0, Hearing.CHANGED, id="a clock that was slow, and now is right"),
        pytest.param(-3 * HOUR, 600 - 3 * HOUR, 600 - 3 * HOUR, Hearing.CHANGED, id="fast, and set"),
    ],
)
def test_what_an_offset_says_of_a_clock_without_a_boot(
    usual: int | None, offset: int, correction: int, hearing: Hearing
) -> None:
    stands = clocks(Stamp(wall=NOW - offset), usual)
    assert (stands.offset, stands.correction, stands.hearing) == (offset, correction, hearing)


def test_a_batch_without_a_clock_says_nothing() -> None:
    stands = clocks(Stamp(), usual=500)
    assert (stands.offset, stands.corrects, stands.hearing) == (None, False, Hearing.NONE)


@pytest.mark.parametrize("offset", [-3 * HOUR, 120, 3 * HOUR, NOW])
def test_without_a_device_no_clock_is_corrected(offset: int) -> None:
    stands = compare(Stamp(wall=NOW - offset), NOW, 60, None)
    assert (stands.offset, stands.corrects) == (offset, False)
    assert stands.instant(Stamp(wall=NOW - HOUR)) == NOW - HOUR


def test_without_a_device_the_monotonic_clock_of_the_boot_that_sends_places_its_samples() -> None:
    stands = compare(Stamp(wall=500, monotonic=500, boot="a"), NOW, 60, None)
    assert stands.instant(Stamp(wall=200, monotonic=200, boot="a")) == NOW - 300


@pytest.mark.parametrize(
    ("known", "measured", "offset", "usual", "began", "hearing"),
    [
        pytest.param(None, -500, None, None, -500, Hearing.NONE, id="the first time"),
        pytest.param(-500, -440, None, None, -500, Hearing.NONE, id="a message that took longer"),
        pytest.param(-500, -502, None, None, -502, Hearing.NONE, id="a message that was faster"),
        pytest.param(-500, -200, None, None, -200, Hearing.NONE, id="it has no wall clock to see a wait"),
        pytest.param(-500, -4100, 0, HOUR, -4100, Hearing.CHANGED, id="our clock set back"),
        pytest.param(-500, -200, 0, -300, -200, Hearing.CHANGED, id="our clock set forward, and now right"),
        pytest.param(-500, -200, 300, 300, -200, Hearing.SAME, id="the same, and it is said again"),
        pytest.param(-500, -200, 0, 0, -200, Hearing.SAME, id="it slept, and its monotonic clock too"),
        pytest.param(-500, -200, -HOUR, -HOUR, -200, Hearing.SAME, id="the same with a fast clock"),
        pytest.param(-500, -200, 300, 0, -500, Hearing.LATE, id="a message that waited for a network"),
        pytest.param(-500, -200, 300 - HOUR, -HOUR, -500, Hearing.LATE, id="the same with a fast clock"),
        pytest.param(-500, -200, 900, None, -500, Hearing.LATE, id="late, and no offset is known"),
        pytest.param(-500, -500, 300, 0, -500, Hearing.CHANGED, id="in time, so the clock was set back"),
        pytest.param(None, -50, 3 * HOUR, 0, -50, Hearing.CHANGED, id="a boot with the time of the last one"),
    ],
)
def test_when_a_boot_began(
    known: float | None,
    measured: float,
    offset: int | None,
    usual: int | None,
    began: float,
    hearing: Hearing,
) -> None:
    sent = Stamp(None if offset is None else NOW - offset, -measured, "a")
    stands = clocks(sent, usual, {} if known is None else {"a": NOW + known})
    assert (stands.boots["a"] - NOW, stands.hearing) == (began, hearing)


@pytest.mark.parametrize("error", [0, -HOUR])
def test_a_sample_of_a_late_batch_is_placed_by_what_was_known_before(error: int) -> None:
    sent = Stamp(wall=NOW - 600 - error, monotonic=1000, boot="a")
    stands = clocks(sent, error, {"a": NOW - 1600})
    for stamp in (Stamp(wall=NOW - 720 - error), Stamp(NOW - 720 - error, 880, "a"), Stamp(None, 880, "a")):
        assert stands.instant(stamp) == NOW - 720
