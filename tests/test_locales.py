"""Dates, numbers and durations in each language."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from kener_async.config.fields import LOCALES
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.locales.locale import NAMES, locale, negotiate
from tests.rigs.service import NOON

ALL = tuple(NAMES)
BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")


def test_the_languages_that_can_be_configured_are_those_there_are():
    assert set(LOCALES) == set(NAMES)


@pytest.mark.parametrize(
    ("wanted", "header", "tag"),
    [
        (None, "de-DE,de;q=0.9,en;q=0.8", "de"),
        (None, "fr;q=0.3, ja;q=0.9", "ja"),
        (None, "pt", "pt-BR"),
        (None, "zh", "zh-CN"),
        (None, "zh-SG, en;q=0.5", "zh-CN"),
        (None, "zh-Hans-TW", "zh-CN"),
        (None, "zh-TW", "en"),
        (None, "zh-Hant", "en"),
        (None, "zh-HK, de;q=0.5", "de"),
        (None, "zh-TW,zh;q=0.9,de;q=0.8,en;q=0.7", "de"),
        (None, "hi-Latn, de;q=0.5", "de"),
        (None, "PT-br", "pt-BR"),
        (None, "it, nl;q=0.5", "en"),
        (None, "de;q=0, es", "es"),
        (None, "de;q=x, hi;q=0.1", "hi"),
        (None, "", "en"),
        (None, "," * 5000, "en"),
        ("fr", "de", "fr"),
        ("xx", "de", "de"),
    ],
)
def test_a_visitor_reads_what_was_chosen_or_what_the_browser_accepts(wanted, header, tag):
    assert negotiate(wanted, header, ALL, "en") == tag


def test_only_offered_languages_are_chosen():
    assert negotiate("fr", "fr, de;q=0.5", ("en", "de"), "en") == "de"


@pytest.mark.parametrize(
    ("tag", "uptime", "text"),
    [
        ("en", "99.9306", "99.9306%"),
        ("de", "99.9306", "99,9306\N{NO-BREAK SPACE}%"),
        ("hi", "99.9306", "99.9306%"),
        ("ja", "100", "100%"),
        ("fr", "0.0001", "0,0001\N{NO-BREAK SPACE}%"),
        ("de", "-", "–"),  # noqa: RUF001
    ],
)
def test_a_figure_keeps_every_digit(tag, uptime, text):
    assert locale(tag).figure(uptime) == text


@pytest.mark.parametrize(
    ("tag", "seconds", "text"),
    [
        ("en", 0, "1 min"),
        ("en", 59 * MINUTE, "59 min"),
        ("en", 2 * HOUR + 5 * MINUTE + 59, "2 h 5 min"),
        ("en", DAY, "1 day"),
        ("en", 3 * DAY + 16 * HOUR, "3 days 16 h"),
        ("en", 12 * DAY + 5 * HOUR, "12 days"),
        ("de", DAY + HOUR, "1 Tag 1 Std."),
        ("de", 12 * DAY, "12 Tage"),
        ("hi", 2 * HOUR, "2 घं॰"),
        ("en", 2 * DAY + 3 * HOUR + 59 * MINUTE, "2 days 3 h 59 min"),
        ("fr", DAY + 2 * MINUTE, "1 jour 2 min"),
        ("ja", 3 * DAY + 16 * HOUR, "3日 16時間"),
        ("pt-BR", 2 * DAY, "2 dias"),
        ("zh-CN", 12 * DAY, "12 天"),
    ],
)
def test_a_duration_is_written_to_the_minute_and_from_a_week_on_in_days(tag, seconds, text):
    assert locale(tag).duration(seconds) == text


@pytest.mark.parametrize(
    ("latency", "unit", "text"),
    [
        (0.0423, "s", "42.3 ms"),
        (42.3, "ms", "42.3 ms"),
        (0, "ms", "0 ms"),
        (999.6, "ms", "1 s"),
        (2345, "ms", "2.35 s"),
        (687, "s", "687 s"),
        (0.00012, "s", "0.12 ms"),
    ],
)
def test_a_latency_is_read_in_the_senders_unit(latency, unit, text):
    assert locale("en").latency(latency, unit) == text.replace(" ", "\N{NO-BREAK SPACE}")


def test_instants_are_written_in_the_zone():
    assert locale("de").instant(NOON, BERLIN) == "31.12.2025, 13:00"
    assert locale("de").time(NOON, KOLKATA) == "17:30"
    assert locale("vi").instant(NOON, BERLIN) == "13:00 31 thg 12, 2025"


def test_days_and_months_are_written_out():
    assert locale("hi").day(date(2026, 3, 29), "long") == "29 मार्च 2026"
    assert locale("es").month(date(2026, 3, 1)) == "marzo de 2026"


def test_a_week_begins_where_the_language_begins_it():
    assert locale("de").weekdays()[0][1] == "Montag"
    assert locale("pt-BR").weekdays()[0][1] == "domingo"


def test_the_last_instant_of_the_api_can_be_written_in_every_zone():
    assert "9999" in locale("en").instant(253_402_300_799, KOLKATA)
