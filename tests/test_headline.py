"""The headline of several monitors, its words, and the status of a day."""

from dataclasses import replace
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from kener_async.domain.days import status_of_day
from kener_async.domain.headline import Headline, HeadlineKind, Member, headline, kind_of, worst
from kener_async.domain.samples import Status
from kener_async.domain.uptime import NOTHING, Counts
from kener_async.locales.locale import ENGLISH, NAMES, locale
from kener_async.web.pages import labels
from tests.rigs.service import NOON

UP, DEGRADED, DOWN, MAINTENANCE, NO_DATA = Status
UTC = ZoneInfo("UTC")


def of(*statuses: Status, since: int | None = NOON, is_overdue: bool = False) -> Headline:
    return headline(
        [Member(f"M{number}", status, since, is_overdue) for number, status in enumerate(statuses, start=1)]
    )


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], HeadlineKind.NOT_REPORTED),
        ([NO_DATA], HeadlineKind.NOT_REPORTED),
        ([UP, UP], HeadlineKind.OPERATIONAL),
        ([UP, NO_DATA], HeadlineKind.NOT_REPORTED),
        ([UP, MAINTENANCE, NO_DATA], HeadlineKind.MAINTENANCE),
        ([UP, MAINTENANCE, DEGRADED, NO_DATA], HeadlineKind.DEGRADED),
        ([DEGRADED, DOWN, MAINTENANCE], HeadlineKind.PARTIAL_OUTAGE),
        ([DOWN, UP], HeadlineKind.PARTIAL_OUTAGE),
        ([DOWN, DOWN, NO_DATA], HeadlineKind.PARTIAL_OUTAGE),
        ([DOWN, DOWN], HeadlineKind.MAJOR_OUTAGE),
    ],
)
def test_the_worst_speaks_for_all(statuses, expected):
    assert kind_of(statuses) is expected


def test_all_is_well_only_when_every_monitor_is_known_to_be_up():
    for statuses in product(Status, repeat=4):
        is_well = kind_of(statuses) is HeadlineKind.OPERATIONAL
        assert is_well == (set(statuses) == {UP}), statuses


def test_every_kind_has_a_sign():
    assert [one.status for one in HeadlineKind] == [UP, NO_DATA, MAINTENANCE, DEGRADED, DOWN, DOWN]


def test_up_to_three_affected_monitors_are_named_and_the_others_counted():
    found = of(UP, DOWN, DEGRADED, DOWN, DOWN, DOWN, NO_DATA)
    assert (found.names, found.affected, found.silent, found.total) == (("M2", "M4", "M5"), 4, 1, 7)
    assert labels.affected(ENGLISH, found) == "M2, M4, M5, and 1 more"
    assert labels.affected(ENGLISH, of(UP, UP)) == ""


def test_the_headline_begins_with_the_first_affected_monitor():
    members = [Member("A", DOWN, 300), Member("B", DOWN, 200), Member("C", DEGRADED, 100)]
    assert headline(members).since == 200
    assert headline([*members, Member("D", DOWN, None)]).since is None
    assert of(UP, UP).since is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (of(), "No data yet"),
        (of(NO_DATA, NO_DATA, since=None), "No data yet"),
        (of(NO_DATA, NO_DATA), "2 of 2 monitors have not reported"),
        (of(*[UP] * 9, *[NO_DATA] * 3, since=None), "3 of 12 monitors have not reported"),
        (of(UP, NO_DATA), "1 of 2 monitors has not reported"),
        (of(UP, UP), "All systems operational"),
        (of(UP, MAINTENANCE), "Maintenance under way"),
        (of(UP, DEGRADED), "Degraded performance"),
        (of(UP, DEGRADED, is_overdue=True), "Reports overdue"),
        (of(DOWN, DEGRADED, is_overdue=True), "Partial outage"),
        (of(DOWN, DOWN), "Major outage"),
    ],
)
def test_the_words_of_a_headline(found, words):
    assert labels.headline_words(ENGLISH, found) == words


def test_performance_is_degraded_where_one_monitor_said_so():
    members = [Member("A", DEGRADED, NOON, True), Member("B", DEGRADED, NOON, False)]
    assert labels.headline_words(ENGLISH, headline(members)) == "Degraded performance"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (of(UP), "All systems operational"),
        (of(UP, NO_DATA), "1 of 2 monitors has not reported: M2"),
        (
            of(UP, DOWN, NO_DATA),
            "Partial outage: M2, since Dec 31, 2025, 12:00\u202fPM. 1 of 3 monitors has not reported",
        ),
        (replace(of(DOWN), since=None), "Major outage: M1"),
    ],
)
def test_the_headline_in_one_sentence(found, sentence):
    assert labels.headline_sentence(ENGLISH, found, UTC) == sentence


@pytest.mark.parametrize("language", NAMES)
def test_every_language_says_how_many_are_silent(language):
    text = labels.headline_sentence(locale(language), of(UP, UP, NO_DATA, NO_DATA, NO_DATA), UTC)
    assert "3" in text
    assert "5" in text
    assert "M3" in text


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], NO_DATA),
        ([NO_DATA, NO_DATA], NO_DATA),
        ([NO_DATA, UP], UP),
        ([UP, MAINTENANCE], MAINTENANCE),
        ([UP, DEGRADED], DEGRADED),
        ([DOWN, DEGRADED], DOWN),
    ],
)
def test_the_worst_status_of_several(statuses, expected):
    assert worst(statuses) is expected


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
        (Counts(up=1430, maintenance=10), MAINTENANCE),
        (Counts(up=1429, down=1, maintenance=10), MAINTENANCE),
        (Counts(up=1427, down=3, maintenance=10), DOWN),
    ],
)
def test_a_day_counts_as_the_worst_that_lasted_long_enough(counts, expected):
    assert status_of_day(counts, degraded_minimum=2, down_minimum=3) is expected
