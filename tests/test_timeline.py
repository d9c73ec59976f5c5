"""The status of every minute: each rule by example, and all rules against a recount of random layers."""

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kener_async.clock import Cron
from kener_async.domain.calendar import HOUR, MINUTE, QUARTER
from kener_async.domain.heartbeats import (
    AtSchedule,
    EveryInterval,
    Expectation,
    Gap,
    MonitorSettings,
    OnChange,
    Version,
    merged,
)
from kener_async.domain.incidents import Overlay
from kener_async.domain.samples import Sample, Status
from kener_async.domain.timeline import Layers, Reason, count_quarters, count_span, current_status, runs
from kener_async.domain.uptime import NOTHING, Counts
from tests.rigs import recount

T = 1_730_419_200  # midnight, so also the start of an hour and of a quarter
LONG_AGO = -1_000_000

UP, DEGRADED, DOWN, NO_DATA = Status.UP, Status.DEGRADED, Status.DOWN, Status.NO_DATA
LETTERS = {"U": UP, "d": DEGRADED, "D": DOWN, "M": Status.MAINTENANCE, ".": NO_DATA}


@dataclass(frozen=True)
class Every5:
    """Due at each whole five minutes."""

    def next_after(self, instant: int) -> int:
        return (instant // 300 + 1) * 300


def incident(start: int, end: int | None, impact: Status | None = DOWN, number: int = 1) -> Overlay:
    return Overlay(number, T + start, None if end is None else T + end, impact, maintenance=False)


def maintenance(start: int, end: int | None, impact: Status | None = None, number: int = 2) -> Overlay:
    return Overlay(number, T + start, None if end is None else T + end, impact, maintenance=True)


def since(start: int, **values) -> Version:
    return Version(T + start, MonitorSettings(**values))


def always(**values) -> list[Version]:
    return [since(LONG_AGO, **values)]


def gap(start: int, end: int) -> Gap:
    return Gap(T + start, T + end)


def samples_of(drawing: str) -> dict[int, Sample]:
    """A sample for each letter that is not a dot, one minute after the other."""
    minutes = {T + MINUTE * place: LETTERS[letter] for place, letter in enumerate(drawing)}
    return {
        minute: Sample(1, minute, status, 0.5) for minute, status in minutes.items() if status is not NO_DATA
    }


def layers_of(drawing: str = "", *, overlays=(), versions=(), gaps=(), earlier=None) -> Layers:
    return Layers(samples_of(drawing), earlier, overlays, versions, merged(gaps))


def test_what_begins_later_in_the_minute_is_not_among_the_layers_of_now():
    begun, later = maintenance(MINUTE, None), incident(MINUTE + 40, None)
    member = layers_of("UU", overlays=[begun, later])
    layers = replace(member, related={"mars": member})
    now = layers.begun_by(T + MINUTE + 39)
    assert (now.overlays, now.related["mars"].overlays) == ([begun], [begun])
    assert layers.begun_by(T + MINUTE + 40).overlays == [begun, later]


PLAIN = always()
UP_BY_DEFAULT = always(default_status=UP)

# After a sample in minute 0: held to minute 2, DEGRADED in 3 and 4, DOWN from 5 on.
BEAT = EveryInterval(interval=60, grace=60, down_after=240)
BEATING = always(expectation=BEAT)
# After a sample in minute 0: due in minute 5, held to minute 6, DEGRADED in 7, DOWN from 8 on.
AT_FIVES = AtSchedule(Every5(), grace=60, down_after=120, early=0)
ON_CHANGE = always(expectation=OnChange(stale_after=120))


def minutes(sentence: str, drawing: str, expected: str, overlays=(), versions=PLAIN, gaps=()) -> object:
    return pytest.param(drawing, expected, list(overlays), list(versions), list(gaps), id=sentence)


MINUTES = [
    # 1. maintenance
    minutes(
        "maintenance hides an incident and the samples",
        "UDUD",
        "DMMD",
        overlays=[incident(0, 240), maintenance(60, 180)],
    ),
    minutes(
        "the order in which overlays are given does not matter",
        "UDUD",
        "DMMD",
        overlays=[maintenance(60, 180), incident(0, 240)],
    ),
    minutes(
        "maintenance with an impact is still maintenance", "UUU", "UMU", overlays=[maintenance(60, 120, DOWN)]
    ),
    minutes(
        "maintenance hides a missed heartbeat",
        "U.......",
        "UUUddDMM",
        overlays=[maintenance(360, 480)],
        versions=BEATING,
    ),
    minutes(
        "maintenance hides a gap",
        "U....",
        "UUU.M",
        overlays=[maintenance(240, 300)],
        versions=BEATING,
        gaps=[gap(180, 300)],
    ),
    # 2. incidents
    minutes("an incident hides the samples", "UUDU", "UddU", overlays=[incident(60, 180, DEGRADED)]),
    minutes("an incident without an impact hides nothing", "UdD.", "UdD.", overlays=[incident(0, 240, None)]),
    minutes(
        "the worst of several incidents counts",
        "UUUU",
        "dDdU",
        overlays=[incident(0, 180, DEGRADED), incident(60, 120)],
    ),
    minutes(
        "an incident without an impact does not soften another",
        "UUU",
        "UDU",
        overlays=[incident(0, 180, None), incident(60, 120)],
    ),
    minutes(
        "an incident without an end covers all that follows", "UU..", "UDDD", overlays=[incident(60, None)]
    ),
    minutes(
        "an incident that begins inside a minute covers that minute",
        "UUU",
        "UDD",
        overlays=[incident(119, 180)],
    ),
    minutes(
        "an incident that ends inside a minute covers that minute", "UUU", "DDU", overlays=[incident(0, 61)]
    ),
    minutes(
        "an incident that ends on the minute does not cover the next",
        "UUU",
        "DUU",
        overlays=[incident(0, 60)],
    ),
    minutes("an incident of a second covers its minute", "UUU", "UDU", overlays=[incident(90, 91)]),
    minutes(
        "an incident from minute to minute over a second covers both",
        "UUU",
        "DDU",
        overlays=[incident(59, 61)],
    ),
    minutes("an incident that ends as it begins covers nothing", "UUU", "UUU", overlays=[incident(90, 90)]),
    minutes(
        "an incident that ends before it begins covers nothing", "UUU", "UUU", overlays=[incident(130, 70)]
    ),
    minutes(
        "an incident hides the default",
        "...",
        "UdU",
        overlays=[incident(60, 120, DEGRADED)],
        versions=UP_BY_DEFAULT,
    ),
    minutes(
        "an incident hides a missed heartbeat",
        "U......",
        "UUUdddD",
        overlays=[incident(240, 360, DEGRADED)],
        versions=BEATING,
    ),
    minutes(
        "an incident hides a gap",
        "U....",
        "UUU.D",
        overlays=[incident(240, 300)],
        versions=BEATING,
        gaps=[gap(180, 300)],
    ),
    minutes(
        "an incident counts before the monitor was known",
        "...",
        "D.U",
        overlays=[incident(0, 60)],
        versions=[since(120, default_status=UP)],
    ),
    # 3. samples
    minutes("a sample is the status of its own minute only", "UdD.U", "UdD.U"),
    minutes(
        "a sample counts before the monitor was known",
        "D...",
        "D.UU",
        versions=[since(120, default_status=UP)],
    ),
    minutes("a sample counts without any settings", "U.D", "U.D", versions=[]),
    minutes("a sample counts inside a gap", "UD", "UD", versions=BEATING, gaps=[gap(0, 120)]),
    minutes("a sample hides the default", ".D.", "UDU", versions=UP_BY_DEFAULT),
    # 4. heartbeats
    minutes("silence is held, then DEGRADED, then DOWN", "U......", "UUUddDD", versions=BEATING),
    minutes(
        "silence is DOWN at once if down_after is no longer than interval and grace",
        "U....",
        "UUUDD",
        versions=always(expectation=EveryInterval(60, 60, 120)),
    ),
    minutes("a DEGRADED sample is held as DEGRADED", "d......", "dddddDD", versions=BEATING),
    minutes("what said DOWN and falls silent stays DOWN", "D......", "DDDDDDD", versions=BEATING),
    minutes("a report ends the silence", "U...U..", "UUUdUUU", versions=BEATING),
    minutes("a late report changes nothing before it", "U.....D", "UUUddDD", versions=BEATING),
    minutes("the newest earlier sample is the one that is held", "UD..", "UDDD", versions=BEATING),
    minutes(
        "an interval that ends inside a minute misses from the next on",
        "U...",
        "UUUd",
        versions=always(expectation=EveryInterval(60, 1, 600)),
    ),
    minutes("a monitor that never reported misses nothing", "...", "...", versions=BEATING),
    minutes(
        "a monitor that never reported has its default",
        "..U",
        "DDU",
        versions=always(default_status=DOWN, expectation=BEAT),
    ),
    minutes(
        "a missed heartbeat hides the default",
        "U......",
        "UUUddDD",
        versions=always(default_status=UP, expectation=BEAT),
    ),
    minutes("a monitor without heartbeat is never missed", "U...", "U..."),
    # 4. by cron
    minutes(
        "silence after a time of the schedule is DEGRADED, then DOWN",
        "U.........",
        "UUUUUUUdDD",
        versions=always(expectation=AT_FIVES),
    ),
    minutes(
        "a report at a time of the schedule is due at the next",
        ".....U......d",
        ".....UUUUUUUd",
        versions=always(expectation=AT_FIVES),
    ),
    minutes(
        "a cron expression is a schedule",
        "U.........",
        "UUUUUUUdDD",
        versions=always(expectation=AtSchedule(Cron("*/5 * * * *"), 60, 120, 0)),
    ),
    minutes(
        "a gap excuses until the next time of the schedule",
        "U.............",
        "UUUUUUU.....dD",
        versions=always(expectation=AT_FIVES),
        gaps=[gap(400, 420)],
    ),
    # 4. on change
    minutes(
        "what reports changes holds its status and then has no data", "D....", "DDD..", versions=ON_CHANGE
    ),
    minutes(
        "a gap neither prolongs nor hides what is held until it changes",
        "D....",
        "DDD..",
        versions=ON_CHANGE,
        gaps=[gap(0, 240)],
    ),
    minutes(
        "what is stale does not fall back to the default",
        "U....",
        "UUU..",
        versions=always(default_status=UP, expectation=OnChange(120)),
    ),
    # 4. gaps
    minutes("a gap does not hide what is held", "U..", "UUU", versions=BEATING, gaps=[gap(0, 180)]),
    minutes("silence in a gap has no data", "U......", "UUU....", versions=BEATING, gaps=[gap(180, 420)]),
    minutes(
        "after a gap a whole interval and grace has no data",
        "U...........",
        "UUU......ddD",
        versions=BEATING,
        gaps=[gap(200, 400)],
    ),
    minutes(
        "a gap inside the held time starts the deadlines anew",
        "U........",
        "UUU.ddDDD",
        versions=BEATING,
        gaps=[gap(60, 120)],
    ),
    minutes(
        "a gap that touches a minute by a second hides it",
        "U......",
        "UUUdd..",
        versions=BEATING,
        gaps=[gap(359, 361)],
    ),
    minutes(
        "a gap that ends on the minute does not hide that minute as such",
        "U......",
        "UUD..DD",
        versions=always(expectation=EveryInterval(60, 0, 60)),
        gaps=[gap(180, 240)],
    ),
    minutes(
        "a gap before the sample excuses nothing", ".U....", ".UUUdd", versions=BEATING, gaps=[gap(0, 60)]
    ),
    minutes(
        "a gap that ends in the sample's minute excuses nothing",
        "U.....",
        "UUUddD",
        versions=BEATING,
        gaps=[gap(-90, 50)],
    ),
    minutes(
        "a gap that ends with the sample's minute excuses nothing",
        "U......",
        "UUUddDD",
        versions=BEATING,
        gaps=[gap(-90, 60)],
    ),
    minutes(
        "the newest gap counts",
        "U...........",
        "UUU.....ddDD",
        versions=BEATING,
        gaps=[gap(180, 240), gap(300, 360)],
    ),
    minutes(
        "overlapping gaps are one",
        "U..........",
        "UUU.....ddD",
        versions=BEATING,
        gaps=[gap(240, 360), gap(180, 300)],
    ),
    minutes(
        "gaps that meet are one",
        "U..........",
        "UUU.....ddD",
        versions=BEATING,
        gaps=[gap(240, 360), gap(180, 240)],
    ),
    minutes(
        "a report ends what a gap excused",
        "U...d.......",
        "UUU.dddddDDD",
        versions=BEATING,
        gaps=[gap(180, 240)],
    ),
    minutes(
        "the default does not speak inside a gap, which nobody could have seen",
        "U....",
        "U..UU",
        versions=UP_BY_DEFAULT,
        gaps=[gap(30, 179)],
    ),
    minutes(
        "the default of a monitor that never reported does not speak inside a gap",
        "...",
        "U.U",
        versions=always(default_status=UP, expectation=BEAT),
        gaps=[gap(60, 120)],
    ),
    # 4. maintenance
    minutes(
        "a deadline that ran out in a maintenance begins anew at its end",
        "U...........",
        "UUMMMM..ddDD",
        versions=BEATING,
        overlays=[maintenance(120, 360)],
    ),
    minutes(
        "a report that was due in a maintenance is excused, though its grace ended later",
        "U..........",
        "UUM..ddDDDD",
        versions=BEATING,
        overlays=[maintenance(120, 180)],
    ),
    minutes(
        "a maintenance between two reports excuses nothing",
        "U.......",
        "UMUddDDD",
        versions=BEATING,
        overlays=[maintenance(60, 119)],
    ),
    minutes(
        "what was DOWN before a maintenance is DOWN after it",
        "U........",
        "UUUddDMMD",
        versions=BEATING,
        overlays=[maintenance(360, 480)],
    ),
    minutes(
        "what was late before a maintenance in which it would be DOWN stays late after it",
        "U..........",
        "UUUdMMddddD",
        versions=BEATING,
        overlays=[maintenance(240, 360)],
    ),
    minutes(
        "back-to-back maintenance is one",
        "U...........",
        "UUMMMM..ddDD",
        versions=BEATING,
        overlays=[maintenance(120, 240), maintenance(240, 360)],
    ),
    minutes(
        "a second maintenance puts off what the first had put off",
        "U.............",
        "UUMM.MM..ddDDD",
        versions=BEATING,
        overlays=[maintenance(120, 240), maintenance(300, 420)],
    ),
    minutes(
        "a report within a maintenance counts from its own minute",
        "U...D.....",
        "UUMMMMDDDD",
        versions=BEATING,
        overlays=[maintenance(120, 360)],
    ),
    minutes(
        "an incident excuses nothing",
        "U......",
        "UUDDdDD",
        versions=BEATING,
        overlays=[incident(120, 240)],
    ),
    minutes(
        "a cancelled maintenance excuses nothing",
        "U......",
        "UUUddDD",
        versions=BEATING,
        overlays=[maintenance(180, 180)],
    ),
    minutes(
        "a time of the schedule inside a maintenance is excused",
        "U..............",
        "UUUUMMU.....dDD",
        versions=always(expectation=AT_FIVES),
        overlays=[maintenance(240, 360)],
    ),
    minutes(
        "a time of the schedule that the maintenance ends with is expected",
        "U.........",
        "UUUMMUUdDD",
        versions=always(expectation=AT_FIVES),
        overlays=[maintenance(180, 300)],
    ),
    minutes(
        "a report a little before a time of the schedule meets it",
        "....U........",
        "....UUUUUUUUd",
        versions=always(expectation=AtSchedule(Every5(), grace=60, down_after=600, early=60)),
    ),
    minutes(
        "a report long before a time of the schedule does not meet it",
        "...U.....",
        "...UUUUdd",
        versions=always(expectation=AtSchedule(Every5(), grace=60, down_after=600, early=60)),
    ),
    # 5. the default
    minutes("the default fills what nothing else says", "....", "UUUU", versions=UP_BY_DEFAULT),
    minutes(
        "the default does not speak before the monitor was known",
        "....",
        "..UU",
        versions=[since(120, default_status=UP)],
    ),
    minutes(
        "the default speaks from the minute in which the monitor became known",
        "....",
        "..UU",
        versions=[since(179, default_status=UP)],
    ),
    # 6. nothing
    minutes("without anything there is no data", "...", "..."),
    minutes("without settings there is no data", "...", "...", versions=[]),
    # settings of their time
    minutes(
        "a new default leaves earlier minutes as they were",
        "....",
        "UUDD",
        versions=[since(LONG_AGO, default_status=UP), since(120, default_status=DOWN)],
    ),
    minutes(
        "of two settings in one minute the newer counts",
        "...",
        ".DD",
        versions=[since(60, default_status=UP), since(61, default_status=DOWN)],
    ),
    minutes(
        "a heartbeat that is asked for counts from then on",
        "U.........",
        "U.....ddDD",
        versions=[since(LONG_AGO), since(240, expectation=BEAT)],
    ),
    minutes(
        "a longer interval holds again what was missed",
        "U......",
        "UUUdUUU",
        versions=[*BEATING, since(240, expectation=EveryInterval(600, 0, 600))],
    ),
    minutes(
        "a shorter interval counts from when it came into force",
        "U.......",
        "UUU..ddD",
        versions=[since(LONG_AGO, expectation=EveryInterval(600, 0, 600)), since(180, expectation=BEAT)],
    ),
    minutes(
        "settings that leave the heartbeat alone excuse nothing",
        "U......",
        "UUUddDD",
        versions=[*BEATING, since(120, expectation=BEAT, default_status=UP)],
    ),
    minutes(
        "a monitor that returns is not missed at once",
        "U..........",
        "UUUd....ddD",
        versions=[*BEATING, since(240), since(360, expectation=BEAT)],
    ),
    minutes(
        "without its heartbeat a silent monitor has its default",
        "U.....",
        "UUUdUU",
        versions=[*BEATING, since(240, default_status=UP)],
    ),
]


# Every five minutes, two minutes of grace, DOWN after ten.
JOB = EveryInterval(interval=300, grace=120, down_after=600)

JOBS = [
    pytest.param(
        "U........", [], "UUUUUUUUd", [], JOB, id="a job that says nothing is due after its interval"
    ),
    pytest.param("U........", [90], "UUUUdddDD", [], JOB, id="one that began has its grace"),
    pytest.param("U..U.....", [90], "UUUUUUUUU", [], JOB, id="one that ended in time is not late"),
    pytest.param("U....U...", [90], "UUUUdUUUU", [], JOB, id="one that ended late was late until then"),
    pytest.param("U...", [30], "UUUU", [], JOB, id="a start in the minute of a report is that of the report"),
    pytest.param("U......", [90, 200], "UUUUddd", [], JOB, id="the first start that has not ended counts"),
    pytest.param("D....", [60], "DDDDD", [], JOB, id="what said DOWN stays DOWN when it begins anew"),
    pytest.param("U........", [90], "UUMMM....", [maintenance(120, 300)], JOB, id="a maintenance excuses it"),
    pytest.param(
        "U.....", [90], "UUUUUU", [], EveryInterval(300, 0, 600), id="without a grace a job may take any time"
    ),
]


@pytest.mark.parametrize(("drawing", "starts", "expected", "overlays", "expectation"), JOBS)
def test_a_job_that_began_and_did_not_end_is_late(drawing, starts, expected, overlays, expectation) -> None:
    end, versions = T + MINUTE * len(drawing), always(expectation=expectation)
    begun = [T + start for start in starts]
    layers = replace(layers_of(drawing, overlays=overlays, versions=versions), starts=begun)
    assert _drawing(_by_minute(layers, T, end)) == expected
    stored = {"samples": samples_of(drawing), "overlays": overlays, "versions": versions, "gaps": []}
    recounted = [recount.minute_status(minute, **stored, starts=begun) for minute in range(T, end, MINUTE)]
    assert _drawing(recounted) == expected


@pytest.mark.parametrize(("drawing", "expected", "overlays", "versions", "gaps"), MINUTES)
def test_minutes_are(drawing, expected, overlays, versions, gaps) -> None:
    end = T + MINUTE * len(drawing)
    layers = layers_of(drawing, overlays=overlays, versions=versions, gaps=gaps)
    assert _drawing(_by_minute(layers, T, end)) == expected
    stored = {"samples": samples_of(drawing), "overlays": overlays, "versions": versions, "gaps": gaps}
    assert _drawing([recount.minute_status(m, **stored) for m in range(T, end, MINUTE)]) == expected


def test_silence_counts_from_a_sample_before_the_span() -> None:
    earlier = Sample(1, T - 2 * MINUTE, UP, 0.5)
    layers = layers_of(versions=BEATING, earlier=earlier)
    assert _drawing(_by_minute(layers, T, T + 5 * MINUTE)) == "UddDD"


def test_a_run_says_why_and_by_which_incident() -> None:
    layers = layers_of(
        ".U..........",
        overlays=[
            incident(480, 540, DEGRADED, 7),
            maintenance(540, 600, DOWN, 8),
            incident(480, 540, DOWN, 9),
        ],
        versions=[
            since(0, default_status=UP),
            since(60, expectation=BEAT),
            since(660, expectation=OnChange(60)),
            since(720, expectation=BEAT),
        ],
        gaps=[gap(420, 430)],
    )
    told = [(run.status, run.reason, run.incident) for run in runs(layers, T - MINUTE, T + 13 * MINUTE)]
    assert list(dict.fromkeys(told)) == [
        (NO_DATA, Reason.NOT_KNOWN, None),
        (UP, Reason.DEFAULT, None),
        (UP, Reason.SAMPLE, None),
        (UP, Reason.HELD, None),
        (DEGRADED, Reason.DEADLINE, None),
        (DOWN, Reason.DEADLINE, None),
        (NO_DATA, Reason.NOT_OBSERVED, None),
        (DOWN, Reason.INCIDENT, 9),
        (Status.MAINTENANCE, Reason.MAINTENANCE, 8),
        (NO_DATA, Reason.AFTER_MAINTENANCE, None),
        (NO_DATA, Reason.STALE, None),
        (NO_DATA, Reason.AFTER_CHANGE, None),
    ]


def test_degraded_minutes_count_as_downtime_only_while_the_settings_said_so() -> None:
    versions = [since(LONG_AGO), since(120, include_degraded_in_downtime=True), since(300)]
    counts = count_span(layers_of("dddUdd", versions=versions), T, T + 6 * MINUTE)
    assert (counts.up, counts.degraded, counts.degraded_as_downtime) == (1, 5, 2)
    assert (counts.good, counts.counted, counts.uptime) == (4, 6, "66.6667")


def test_quarters_add_up_to_the_span() -> None:
    drawing = "U" * 14 + "dd" + "." * 30 + "D" * 10
    layers = layers_of(drawing, overlays=[maintenance(1700, 1900)], versions=BEATING)
    quarters = count_quarters(layers, T, T + HOUR)
    assert list(quarters) == [T, T + QUARTER, T + 2 * QUARTER, T + 3 * QUARTER]
    assert sum(quarters.values(), NOTHING) == count_span(layers, T, T + HOUR)


def test_a_quarter_of_which_nothing_is_known_is_left_out() -> None:
    layers = layers_of("U", overlays=[maintenance(2 * QUARTER, 2 * QUARTER + 1)], versions=PLAIN)
    assert count_quarters(layers, T, T + HOUR) == {
        T: Counts(up=1, latency_count=1, latency_sum=0.5, latency_min=0.5, latency_max=0.5),
        T + 2 * QUARTER: Counts(maintenance=1),
    }


MAINTAINED = Status.MAINTENANCE


def stands(
    sentence: str, drawing: str, now: int, shown, reported, overlays=(), versions=PLAIN, gaps=()
) -> object:
    """What is shown at an instant, and what the contract's route answers."""
    return pytest.param(drawing, now, shown, reported, overlays, versions, gaps, id=sentence)


STANDINGS = [
    stands("without anything nothing is known", "", 0, NO_DATA, None),
    stands("without settings nothing is known", "", 0, NO_DATA, None, versions=[]),
    stands("without a sample it is the default", "", 0, UP, UP, versions=UP_BY_DEFAULT),
    stands("the newest sample counts", "UDd", 179, DEGRADED, DEGRADED),
    stands("the newest sample counts and not the default", "D", 300, DOWN, DOWN, versions=UP_BY_DEFAULT),
    stands(
        "maintenance is shown and the contract gets the newest sample",
        "D",
        90,
        MAINTAINED,
        DOWN,
        overlays=[maintenance(0, None)],
    ),
    stands(
        "maintenance is shown and the contract gets its impact",
        "U",
        90,
        MAINTAINED,
        DEGRADED,
        overlays=[maintenance(0, None, DEGRADED)],
    ),
    stands(
        "maintenance is shown and the contract gets an incident's impact",
        "U",
        90,
        MAINTAINED,
        DOWN,
        overlays=[maintenance(0, None), incident(0, None)],
    ),
    stands(
        "maintenance of a monitor without data leaves the contract without a status",
        "",
        90,
        MAINTAINED,
        None,
        overlays=[maintenance(0, None)],
    ),
    stands(
        "maintenance of a stale monitor leaves the contract its newest sample",
        "U",
        9000,
        MAINTAINED,
        UP,
        overlays=[maintenance(0, None)],
    ),
    stands(
        "an incident's impact hides the sample",
        "U",
        30,
        DEGRADED,
        DEGRADED,
        overlays=[incident(0, None, DEGRADED)],
    ),
    stands(
        "a mild incident hides a DOWN sample",
        "D",
        30,
        DEGRADED,
        DEGRADED,
        overlays=[incident(0, None, DEGRADED)],
    ),
    stands(
        "the worst of several incidents is the current status",
        "U",
        30,
        DOWN,
        DOWN,
        overlays=[incident(0, None), incident(0, None, DEGRADED)],
    ),
    stands(
        "an incident without an impact changes nothing", "U", 30, UP, UP, overlays=[incident(0, None, None)]
    ),
    stands("an incident is active from its first second", "U", 30, DOWN, DOWN, overlays=[incident(30, 40)]),
    stands(
        "an incident later in this minute is not active yet", "U", 29, UP, UP, overlays=[incident(30, 40)]
    ),
    stands("an incident is over at its end", "U", 40, UP, UP, overlays=[incident(30, 40)]),
    stands("an empty incident is never active", "U", 30, UP, UP, overlays=[incident(30, 30)]),
    stands("a sample of an hour ago still stands", "U", 3659, UP, UP),
    stands("a sample older than an hour is stale and the contract still gets it", "U", 3660, NO_DATA, UP),
    stands("a monitor is stale after its own time", "U", 180, NO_DATA, UP, versions=always(stale_after=120)),
    stands("a stale sample does not hide an incident", "U", 9000, DOWN, DOWN, overlays=[incident(0, None)]),
    stands("a heartbeat within its grace stands", "U", 179, UP, UP, versions=BEATING),
    stands("a heartbeat missed is DEGRADED for both", "U", 180, DEGRADED, DEGRADED, versions=BEATING),
    stands("a heartbeat missed for long is DOWN for both", "U", 300, DOWN, DOWN, versions=BEATING),
    stands("a heartbeat missed for long is not stale", "U", 9000, DOWN, DOWN, versions=BEATING),
    stands(
        "after a gap nothing is known and the contract gets the newest sample",
        "U",
        1010,
        NO_DATA,
        UP,
        versions=BEATING,
        gaps=[gap(120, 1000)],
    ),
    stands(
        "a monitor in its grace after a gap is not stale for the contract",
        "D",
        9110,
        NO_DATA,
        DOWN,
        versions=BEATING,
        gaps=[gap(120, 9000)],
    ),
    stands(
        "a missed grace after a gap counts again",
        "U",
        960 + 180,
        DEGRADED,
        DEGRADED,
        versions=BEATING,
        gaps=[gap(120, 1000)],
    ),
    stands("what reports changes stands until it is stale", "D", 179, DOWN, DOWN, versions=ON_CHANGE),
    stands(
        "what reports changes has no data then and the contract gets the newest sample",
        "D",
        180,
        NO_DATA,
        DOWN,
        versions=ON_CHANGE,
    ),
    stands("samples of the future do not count once the clock was set back", "U..D", 179, UP, UP),
    stands("samples of the future alone leave the default", "..D", 60, UP, UP, versions=UP_BY_DEFAULT),
    stands(
        "settings of the future do not count",
        "",
        119,
        UP,
        UP,
        versions=[*UP_BY_DEFAULT, since(120, default_status=DOWN)],
    ),
]


@pytest.mark.parametrize(("drawing", "now", "shown", "reported", "overlays", "versions", "gaps"), STANDINGS)
def test_current_status_is(drawing, now, shown, reported, overlays, versions, gaps) -> None:
    stands = current_status(layers_of(drawing, overlays=overlays, versions=versions, gaps=gaps), T + now)
    assert (stands.status, stands.kener_status) == (shown, reported)


def test_current_status_names_the_newest_sample_that_is_not_in_the_future() -> None:
    earlier = Sample(1, T - HOUR, UP, 0.5)
    layers = layers_of("..U.D", versions=PLAIN, earlier=earlier)
    assert current_status(layers, T + 119).newest == earlier
    assert current_status(layers, T + 239).newest == layers.samples[T + 120]
    assert current_status(layers, T + 240).newest == layers.samples[T + 240]
    assert current_status(layers_of(versions=PLAIN), T).newest is None


@pytest.mark.parametrize(
    ("overlays", "now", "fresh_until"),
    [
        pytest.param([], 0, 60, id="a current status is fresh until the minute ends"),
        pytest.param([], 59, 60, id="a current status of the last second is fresh until the minute ends"),
        pytest.param([incident(30, None)], 10, 30, id="a current status is fresh until an incident begins"),
        pytest.param([incident(30, None)], 30, 60, id="a begun incident does not end the freshness"),
        pytest.param([incident(0, 45)], 10, 45, id="a current status is fresh until an incident ends"),
        pytest.param([incident(0, 45)], 45, 60, id="an incident that is over does not end the freshness"),
        pytest.param(
            [incident(50, 70), maintenance(20, 40)], 10, 20, id="the first change ends the freshness"
        ),
        pytest.param([incident(600, 900)], 10, 60, id="a distant incident does not prolong the freshness"),
    ],
)
def test_freshness(overlays, now, fresh_until) -> None:
    assert (
        current_status(layers_of("U", overlays=overlays, versions=PLAIN), T + now).fresh_until
        == T + fresh_until
    )


@dataclass(frozen=True)
class Periodic:
    """A schedule of any period and phase."""

    period: int
    phase: int

    def next_after(self, instant: int) -> int:
        return instant + self.period - (instant - self.phase) % self.period


@dataclass(frozen=True)
class Stored:
    """What is stored of a monitor, as the recount takes it, and a span to ask about."""

    samples: dict[int, Sample]
    overlays: list[Overlay]
    versions: list[Version]
    gaps: list[Gap]
    start: int
    end: int

    @property
    def layers(self) -> Layers:
        """As the store would read it for the span."""
        before = [minute for minute in self.samples if minute < self.start]
        return Layers(
            {minute: sample for minute, sample in self.samples.items() if self.start <= minute < self.end},
            self.samples[max(before)] if before else None,
            self.overlays,
            sorted(self.versions, key=lambda version: version.since),
            merged(self.gaps),
        )

    @property
    def named(self) -> dict[str, Any]:
        return {
            "samples": self.samples,
            "overlays": self.overlays,
            "versions": self.versions,
            "gaps": self.gaps,
        }


MINUTES_AROUND = 90  # of which the last 60 are those that may be asked about
FIRST = T - 30 * MINUTE

instants = st.integers(FIRST - 300, FIRST + MINUTES_AROUND * MINUTE + 300)
seconds = st.one_of(st.integers(0, 900), st.sampled_from([0, 60, 120, 300, 600]))
impacts = st.sampled_from([None, DEGRADED, DOWN])
statuses = st.sampled_from([UP, DEGRADED, DOWN])


@st.composite
def everies(draw: st.DrawFn) -> EveryInterval:
    interval, grace = draw(seconds), draw(seconds)
    return EveryInterval(
        interval, grace, draw(st.one_of(st.just(interval + grace), seconds, st.integers(0, 3000)))
    )


periods = st.builds(Periodic, st.integers(1, 1800), st.integers(0, 1800))
expectations: st.SearchStrategy[Expectation | None] = st.one_of(
    st.none(),
    everies(),
    everies(),
    st.builds(
        AtSchedule, st.builds(Periodic, st.integers(1, 1800), st.integers(0, 1800)), seconds, seconds, seconds
    ),
    st.builds(OnChange, seconds),
)
versions_of_time = st.builds(
    Version,
    st.one_of(instants, st.just(FIRST - 300)),
    st.builds(MonitorSettings, st.sampled_from([None, UP, DEGRADED, DOWN]), st.booleans(), expectations),
)
gaps_of_time = st.builds(lambda start, length: Gap(start, start + length), instants, st.integers(1, 1200))
overlays_of_time = st.builds(
    lambda start, length, impact, is_maintenance: Overlay(
        1, start, None if length is None else start + length, impact, is_maintenance
    ),
    instants,
    st.one_of(st.integers(-60, 900), st.sampled_from([0, 1, 60, 300, None])),
    impacts,
    st.sampled_from([False, False, True]),
)


@st.composite
def drawn_samples(draw: st.DrawFn) -> dict[int, Sample]:
    """Sparse, dense, or with a long silence at either side."""
    places = st.integers(0, MINUTES_AROUND - 1)
    if draw(st.booleans()):
        taken = draw(st.sets(places, max_size=8))
    else:
        first, last = sorted((draw(places), draw(places)))
        taken = set(range(first, last)) - draw(st.sets(places, max_size=12))
    minutes = [FIRST + MINUTE * place for place in sorted(taken)]
    said = draw(st.lists(statuses, min_size=len(minutes), max_size=len(minutes)))
    return {
        minute: Sample(1, minute, status, float(minute % 7))
        for minute, status in zip(minutes, said, strict=True)
    }


@st.composite
def stored_layers(draw: st.DrawFn) -> Stored:
    start = draw(st.integers(0, 59))
    return Stored(
        draw(drawn_samples()),
        draw(st.lists(overlays_of_time, max_size=4)),
        draw(st.lists(versions_of_time, max_size=4, unique_by=lambda version: version.since)),
        draw(st.lists(gaps_of_time, max_size=4)),
        T + MINUTE * start,
        T + MINUTE * draw(st.integers(start + 1, 60)),
    )


@settings(max_examples=250, deadline=None)
@given(stored_layers())
def test_runs_meet_and_equal_the_recount_of_every_minute(stored: Stored) -> None:
    told = list(runs(stored.layers, stored.start, stored.end))
    assert (told[0].start, told[-1].end) == (stored.start, stored.end)
    assert all(one.end == following.start for one, following in pairwise(told))
    assert all(run.start < run.end for run in told)
    minutes = range(stored.start, stored.end, MINUTE)
    recounted = [recount.minute_status(minute, **stored.named) for minute in minutes]
    assert _drawing(_by_minute(stored.layers, stored.start, stored.end)) == _drawing(recounted)


@settings(max_examples=100, deadline=None)
@given(stored_layers())
def test_quarters_equal_their_recount(stored: Stored) -> None:
    start, end = T, T + HOUR
    whole = Stored(**(stored.named | {"start": start, "end": end}))
    quarters = count_quarters(whole.layers, start, end)
    assert sum(quarters.values(), NOTHING) == count_span(whole.layers, start, end)
    for quarter in range(start, end, QUARTER):
        counts = quarters.get(quarter, NOTHING)
        assert counts == _recounted(stored, quarter, quarter + QUARTER)
        alone = Stored(**(stored.named | {"start": quarter, "end": quarter + QUARTER}))
        assert count_span(alone.layers, quarter, quarter + QUARTER) == counts


def _recounted(stored: Stored, start: int, end: int) -> Counts:
    minutes = recount.recount(start, end, **stored.named)
    latencies = [sample.latency for minute, sample in stored.samples.items() if start <= minute < end]
    return Counts(
        up=minutes[UP],
        degraded=minutes[DEGRADED],
        degraded_as_downtime=recount.degraded_as_downtime(start, end, **stored.named),
        down=minutes[DOWN],
        maintenance=minutes[Status.MAINTENANCE],
        latency_count=len(latencies),
        latency_sum=sum(latencies),
        latency_min=min(latencies, default=None),
        latency_max=max(latencies, default=None),
    )


def _by_minute(layers: Layers, start: int, end: int) -> list[Status]:
    told = runs(layers, start, end)
    return [run.status for run in told for _ in range(run.start, run.end, MINUTE)]


def _drawing(told: list[Status]) -> str:
    letters = {status: letter for letter, status in LETTERS.items()}
    return "".join(letters[status] for status in told)
