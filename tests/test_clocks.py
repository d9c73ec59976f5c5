"""Clocks of devices: the true minute of a sample from a device with a wrong clock."""

import pytest

from kener_async.domain.clocks import DeviceClocks, Stamp, began_at
from kener_async.domain.errors import Invalid

NOW = 1_767_182_400
HOUR = 3600


def clocks(sent: Stamp, boots: dict[str, float] | None = None) -> DeviceClocks:
    """As the store makes them: the boot that sends is known."""
    boots = dict(boots or {})
    began = None if sent.boot is None else began_at(boots.get(sent.boot), sent, NOW, None)
    if sent.boot is not None and began is not None:
        boots[sent.boot] = began
    return DeviceClocks(sent, NOW, 60, boots)


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


@pytest.mark.parametrize(
    ("wall", "offset", "corrects"),
    [(None, None, False), (NOW, 0, False), (NOW - 60, 60, False), (NOW - 61.2, 61, True), (0, NOW, True)],
)
def test_the_offset_is_what_must_be_added(wall: float | None, offset: int | None, corrects: bool) -> None:
    stands = clocks(Stamp(wall=wall))
    assert (stands.offset, stands.corrects) == (offset, corrects)


@pytest.mark.parametrize(
    ("known", "measured", "offset", "before", "kept"),
    [
        pytest.param(None, NOW - 500, None, None, NOW - 500, id="the first time"),
        pytest.param(NOW - 500, NOW - 440, None, None, NOW - 500, id="a message that took longer"),
        pytest.param(NOW - 500, NOW - 502, None, None, NOW - 502, id="a message that was faster"),
        pytest.param(NOW - 500, NOW - 4100, 0, HOUR, NOW - 4100, id="our clock set back"),
        pytest.param(NOW - 500, NOW - 200, 0, -300, NOW - 200, id="our clock set forward, and now right"),
        pytest.param(NOW - 500, NOW - 200, 300, 300, NOW - 200, id="the same, and it is said again"),
        pytest.param(NOW - 500, NOW - 200, 0, 0, NOW - 200, id="it slept, and its monotonic clock too"),
        pytest.param(NOW - 500, NOW - 200, -HOUR, -HOUR, NOW - 200, id="the same with a fast clock"),
        pytest.param(NOW - 500, NOW - 200, 300, 0, NOW - 500, id="a message that waited for a network"),
        pytest.param(NOW - 500, NOW - 200, 300 - HOUR, -HOUR, NOW - 500, id="the same with a fast clock"),
        pytest.param(
            NOW - 500, NOW - 200, 900, None, NOW - 500, id="what its clock showed before is not known"
        ),
        pytest.param(NOW - 500, NOW - 200, None, None, NOW - 200, id="it has no wall clock to see a wait"),
    ],
)
def test_when_a_boot_began(
    known: float | None, measured: float, offset: int | None, before: int | None, kept: float
) -> None:
    sent = Stamp(None if offset is None else NOW - offset, NOW - measured, "a")
    assert began_at(known, sent, NOW, before) == kept
