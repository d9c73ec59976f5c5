"""The state of all monitors in one word, and the status of a day."""

import pytest

from kener_async.domain.days import status_of_day
from kener_async.domain.samples import Status
from kener_async.domain.summary import Summary, summary
from kener_async.domain.uptime import NOTHING, Counts

UP, DEGRADED, DOWN, MAINTENANCE, NO_DATA = Status


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], Summary.NO_DATA),
        ([NO_DATA], Summary.NO_DATA),
        ([UP, UP], Summary.OPERATIONAL),
        ([UP, NO_DATA], Summary.OPERATIONAL),
        ([UP, MAINTENANCE], Summary.MAINTENANCE),
        ([UP, MAINTENANCE, DEGRADED], Summary.DEGRADED),
        ([DEGRADED, DOWN, MAINTENANCE], Summary.PARTIAL_OUTAGE),
        ([DOWN, UP], Summary.PARTIAL_OUTAGE),
        ([DOWN, DOWN, NO_DATA], Summary.MAJOR_OUTAGE),
    ],
)
def test_the_worst_speaks_for_all(statuses, expected):
    assert summary(statuses) is expected


def test_every_summary_has_a_sign():
    assert [one.status for one in Summary] == [NO_DATA, UP, MAINTENANCE, DEGRADED, DOWN, DOWN]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (NOTHING, NO_DATA),
        (Counts(up=1440), UP),
        (Counts(up=1439, degraded=1), UP),
        (Counts(up=1438, degraded=2), DEGRADED),
        (Counts(up=1437, degraded=2, down=1), DEGRADED),
        (Counts(degraded=1400, down=3), DOWN),
        (Counts(maintenance=1440), MAINTENANCE),
        (Counts(up=10, maintenance=1430), UP),
    ],
)
def test_a_day_counts_as_the_worst_that_lasted_long_enough(counts, expected):
    assert status_of_day(counts, degraded_minimum=2, down_minimum=3) is expected
