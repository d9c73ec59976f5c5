"""Charts: points, lines, and labels of the axes."""

import re
from zoneinfo import ZoneInfo

import pytest

from kener_async.domain.uptime import NOTHING, Counts
from kener_async.locales.locale import locale
from kener_async.web.parts import charts
from kener_async.web.parts.charts import Chart, Point

ENGLISH, GERMAN = locale("en"), locale("de")
BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
HOUR, DAY = 3600, 86400


def a_chart(*points: Point, end: int = 100, max_gap: int = 0, unit: str = "ms") -> Chart:
    return Chart("c", "Latency", 0, end, points, [], unit, max_gap)


def at(start: int, average: float = 5, low: float | None = None, high: float | None = None) -> Point:
    return Point(
        start, start + 10, average, average if low is None else low, average if high is None else high
    )


@pytest.mark.parametrize(
    ("value", "top"),
    [
        (0, 1),
        (1e-300, 1),
        (0.0031, 0.004),
        (0.35, 0.4),
        (1, 1),
        (1.01, 2),
        (7, 8),
        (8.1, 10),
        (99, 100),
        (604, 800),
    ],
)
def test_the_axis_ends_at_a_round_number_that_can_be_halved(value: float, top: float):
    assert charts.ceiling(value) == pytest.approx(top)


@pytest.mark.parametrize(
    ("points", "max_gap", "line"),
    [
        ([], 0, ""),
        ([at(0)], 0, "M50 50h0"),
        ([at(0), at(10, 10)], 0, "M50 50L150 0"),
        ([at(0), at(10), at(40)], 0, "M50 50L150 50M450 50h0"),
        ([at(0), at(10), at(40)], 20, "M50 50L150 50L450 50"),
        ([at(0), at(20), at(40)], 0, "M50 50L250 50L450 50"),
        ([at(0), at(20), at(40), at(90)], 0, "M50 50L250 50L450 50M950 50h0"),
    ],
    ids=[
        "nothing",
        "a single point is a dot",
        "neighbours are joined",
        "a gap parts them",
        "unless reports may be so far apart",
        "or usually are",
        "a gap among points that are always apart",
    ],
)
def test_the_line_goes_through_the_averages(points: list[Point], max_gap: int, line: str):
    assert charts.line(a_chart(*points, max_gap=max_gap), top=10) == line


@pytest.mark.parametrize(
    ("points", "band"),
    [
        ([at(0, 5, 2, 8)], "M0 20L100 20L100 80L0 80z"),
        ([at(0, 5, 2, 8), at(10, 5, 4, 6)], "M0 20L200 40L200 60L0 80z"),
        ([at(0, 5, 2, 8), at(10, 5, 1, 9), at(20, 5)], "M0 20L150 10L300 50L300 50L150 90L0 80z"),
        (
            [at(0, 5, 2, 8), at(10, 5), at(50, 5, 2, 8)],
            "M0 20L200 50L200 50L0 80zM500 20L600 20L600 80L500 80z",
        ),
    ],
    ids=["one step", "two", "three", "with a gap"],
)
def test_the_band_reaches_from_the_lowest_to_the_highest(points: list[Point], band: str):
    assert charts.band(a_chart(*points), top=10) == band


def test_a_span_without_samples_is_no_point():
    counts = Counts(up=3, latency_count=2, latency_sum=6, latency_min=1, latency_max=5)
    assert charts.points([(0, 10, counts), (10, 20, Counts(up=5))]) == [Point(0, 10, 3, 1, 5)]


@pytest.mark.parametrize(
    ("tongue", "unit", "sentence"),
    [
        (ENGLISH, "ms", "1.5 ms on average, between 0.5 ms and 2.5 ms"),
        (ENGLISH, "s", "1.5 s on average, between 500 ms and 2.5 s"),
    ],
)
def test_the_sentence_says_what_is_drawn(tongue, unit, sentence):
    counts = Counts(latency_count=2, latency_sum=3, latency_min=0.5, latency_max=2.5)
    said = charts.summary(a_chart(unit=unit), counts, tongue)
    assert said.replace("\N{NO-BREAK SPACE}", " ") == sentence


def test_without_samples_the_chart_says_so_and_has_no_levels():
    said = charts.summary(a_chart(), NOTHING, ENGLISH)
    assert said == "No latency was reported in this period."
    drawn = charts.drawn(a_chart(), said, ENGLISH)
    assert f">{said}</desc>" in drawn
    assert "<text" not in drawn


def test_the_drawing_names_itself_and_escapes_what_it_says():
    chart = Chart("c", "<b>", 0, 100, [at(0)], [charts.Tick(50, "<i>")], "ms", 0)
    drawn = charts.drawn(chart, "a & b", ENGLISH)
    assert 'aria-labelledby="c-title c-says"' in drawn
    assert '<title id="c-title">&lt;b&gt;</title><desc id="c-says">a &amp; b</desc>' in drawn
    assert '<text x="50.00%" y="196" text-anchor="middle">&lt;i&gt;</text>' in drawn
    assert "style" not in drawn


@pytest.mark.parametrize(("latency", "unit"), [(1.7e308, "s"), (1.7e308, "ms"), (5e-324, "s"), (0, "s")])
def test_any_latency_that_can_be_sent_can_be_drawn(latency: float, unit: str):
    chart = a_chart(at(0, latency), at(10, latency / 2), unit=unit)
    drawn = charts.drawn(chart, "", ENGLISH)
    assert not re.search(r'd="[^"]*(nan|inf)', drawn)


# 2025-10-26 has 25 hours in Berlin: 3:00 becomes 2:00.
AUTUMN = 1_761_429_600


def test_the_clock_is_that_of_the_zone_also_when_it_is_set():
    ticks = charts.clock_ticks(AUTUMN, AUTUMN + 25 * HOUR, BERLIN, GERMAN)
    assert [tick.text for tick in ticks] == [
        *("00:00", "02:00", "05:00", "08:00", "11:00", "14:00", "17:00", "20:00", "23:00"),
    ]
    assert [tick.is_minor for tick in ticks[:3]] == [False, True, False]


def test_days_begin_when_they_do_in_the_zone_and_are_counted_back_from_today():
    now = 1_767_182_400  # 2025-12-31 12:00 UTC
    ticks = charts.day_ticks(now - 11 * DAY, now, 5, KOLKATA, ENGLISH)
    assert [tick.text for tick in ticks] == ["Dec 21", "Dec 26", "Dec 31"]
    assert {tick.at % DAY for tick in ticks} == {DAY - 5 * HOUR - HOUR // 2}
