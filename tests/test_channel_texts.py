"""The words of messages: what they begin with, times, languages, and many monitors in one."""

import re
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kener_async.channels.message import MessageItem
from kener_async.channels.texts import MessageText, one_line, texts_of
from kener_async.domain.notices import NoticeKind
from kener_async.domain.samples import Status
from kener_async.locales.locale import NAMES, SOURCE
from tests.rigs.messages import AT, HOSTILE, a_message, an_item

DAY = 86400


def a_changed(kind: NoticeKind = NoticeKind.OPENED, **facts: Any) -> MessageItem:
    item = an_item(kind)
    return replace(item, facts=replace(item.facts, **facts))


def lines(text: MessageText) -> list[str]:
    values = [f"{line.label}: {line.value}" if line.label else line.value for line in text.lines]
    return [re.sub("[\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]", " ", value) for value in values]


@pytest.mark.parametrize(
    ("item", "title"),
    [
        (a_changed(), "Down: The shop"),
        (a_changed(status=Status.DEGRADED), "Degraded: The shop"),
        (a_changed(status=Status.NO_DATA), "No data: The shop"),
        (a_changed(status=Status.UP), "Slow: The shop"),
        (a_changed(status=Status.UP, latency=None), "Alert: The shop"),
        (a_changed(status=None), "Alert: The shop"),
        (a_changed(NoticeKind.REMINDED), "Still down: The shop"),
        (a_changed(NoticeKind.REMINDED, status=Status.NO_DATA), "Still no data: The shop"),
        (a_changed(NoticeKind.RESOLVED), "Up again: The shop"),
        (a_changed(NoticeKind.RESOLVED, status=None), "Up again: The shop"),
        (a_changed(NoticeKind.RESOLVED, status=Status.DEGRADED), "Resolved (Degraded): The shop"),
        (an_item(NoticeKind.RESOLVED, was_not_told=True), "Was down, is up again: The shop"),
        (a_changed(NoticeKind.RETRACTED), "Was up all along: The shop"),
        (a_changed(NoticeKind.REMOVED), "No longer monitored: The shop"),
        (a_changed(NoticeKind.FLAPPING), "Flapping: The shop"),
        (a_changed(NoticeKind.SETTLED), "Stable again (Operational): The shop"),
        (a_changed(NoticeKind.SETTLED, status=Status.DOWN), "Stable again (Down): The shop"),
        (a_changed(NoticeKind.ACKNOWLEDGED), "Acknowledged: The shop"),
        (a_changed(NoticeKind.CHANNEL_PAUSED), "Channel paused: chat"),
        (a_changed(NoticeKind.MAINTENANCE_ANNOUNCED, title="Updates"), "Planned maintenance: Updates"),
        (a_changed(NoticeKind.TEST), "Test: Down: The shop"),
        (an_item(name=""), "Down: shop"),
    ],
)
def test_a_title_begins_with_the_state_and_the_name(item, title):
    assert texts_of(a_message(item)).title == title


def test_an_announcement_says_from_when_to_when_and_what():
    item = replace(
        a_changed(NoticeKind.MAINTENANCE_ANNOUNCED, title="Updates", since=AT + DAY, until=AT + DAY + 7200),
        affected=("Shop", "Mail"),
    )
    said = lines(texts_of(a_message(item)))
    assert said[0].startswith("From Nov 29, 2025, 4:20 AM")
    assert said[0].endswith("2 h")
    assert "Monitors: Shop and Mail" in said


def test_an_opening_says_since_when_why_and_by_which_rule():
    text = texts_of(a_message(a_changed(because="router")))
    assert lines(text) == [
        "Since Nov 28, 2025, 4:10 AM (3:10 AM UTC), 10 min",
        "Reason: HTTP 503",
        "Latency: 250 ms",
        "Depends on: router",
        "Category: Sales",
        "Rule: outage (critical)",
    ]
    assert text.now == "3 of 240 monitors down now"
    assert [link.label for link in text.links] == ["Open the page", "Acknowledge"]


@pytest.mark.parametrize(
    ("item", "zone", "line"),
    [
        (a_changed(), "UTC", "Since Nov 28, 2025, 3:10 AM UTC, 10 min"),
        (
            a_changed(),
            "America/New_York",
            "Since Nov 27, 2025, 10:10 PM (Nov 28, 2025, 3:10 AM UTC), 10 min",
        ),
        (a_changed(since=AT - 20), "UTC", "Since Nov 28, 2025, 3:19 AM UTC, less than a minute"),
        (
            a_changed(NoticeKind.RESOLVED),
            "Europe/Berlin",
            "From Nov 28, 2025, 4:10 AM (3:10 AM UTC) to 4:19 AM (3:19 AM UTC), 9 min",
        ),
        (a_changed(NoticeKind.RESOLVED), "UTC", "From Nov 28, 2025, 3:10 AM UTC to 3:19 AM UTC, 9 min"),
        (
            a_changed(NoticeKind.RESOLVED, since=AT - DAY, until=AT),
            "UTC",
            "From Nov 27, 2025, 3:20 AM UTC to Nov 28, 2025, 3:20 AM UTC, 1 day",
        ),
        (
            a_changed(NoticeKind.ACKNOWLEDGED, until=AT + 3600),
            "UTC",
            "No reminders until Nov 28, 2025, 4:20 AM UTC",
        ),
    ],
)
def test_times_are_in_the_zone_and_in_utc(item, zone, line):
    assert line in lines(texts_of(a_message(item, zone=ZoneInfo(zone))))


def test_a_merged_ending_says_that_it_could_not_be_sent_before():
    text = texts_of(a_message(an_item(NoticeKind.RESOLVED, was_not_told=True, is_late=True)))
    assert lines(text)[:2] == [
        "This could not be sent before.",
        "From Nov 28, 2025, 4:10 AM (3:10 AM UTC) to 4:19 AM (3:19 AM UTC), 9 min",
    ]


def test_a_few_are_named_in_the_title_and_more_are_counted():
    few = [an_item(name=name) for name in ("Mail", "API")]
    assert texts_of(a_message(*few)).title == "Down: Mail and API"
    many = [an_item(name=f"Planet {number}") for number in range(12)]
    assert texts_of(a_message(*many)).title == "Down: 12 monitors"
    ended = an_item(NoticeKind.RESOLVED, name="Web")
    assert texts_of(a_message(ended, *many)).title == "Down: 12 monitors; Up again: Web"


@pytest.mark.parametrize(("number", "others"), [(2, ""), (25, ""), (26, "1 more"), (200, "175 more")])
def test_at_most_25_are_named(number, others):
    text = texts_of(a_message(*[an_item(name=f"Planet {place}") for place in range(number)]))
    [group] = text.groups
    assert [one.name for one in group.monitors] == [f"Planet {place}" for place in range(min(number, 25))]
    assert (group.heading, group.others) == ("Down", others)
    assert group.monitors[0].detail.replace("\N{NARROW NO-BREAK SPACE}", " ") == "since 4:10 AM, HTTP 503"


def test_openings_come_before_endings_and_each_says_how_long_it_was():
    text = texts_of(a_message(an_item(NoticeKind.RESOLVED, name="Web"), an_item(name="Mail")))
    assert [group.heading for group in text.groups] == ["Down", "Up again"]
    assert text.groups[1].monitors[0].detail == "9 min"


@pytest.mark.parametrize("hostile", HOSTILE.values())
def test_every_text_is_one_printable_line_of_bounded_length(hostile):
    for kind in NoticeKind:
        for number in (1, 30):
            items = [an_item(kind, hostile)] * number
            text = texts_of(a_message(*items, text=hostile))
            named = [monitor for group in text.groups for monitor in group.monitors]
            said = [text.title, text.now, text.site, text.short(160)]
            said += [each for line in text.lines for each in (line.label, line.value)]
            said += [each for monitor in named for each in (monitor.name, monitor.detail)]
            for each in said:
                assert len(each) <= 400
                assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u202a-\u202e]", each)
            assert len(text.short(160)) <= 160


def test_a_name_from_right_to_left_is_isolated():
    title = texts_of(a_message(an_item(name="\u05e9\u05dc\u05d5\u05dd"))).title
    assert title == "Down: \u2068\u05e9\u05dc\u05d5\u05dd\u2069"


def test_a_long_text_is_cut_with_an_ellipsis():
    assert one_line("x" * 500) == "x" * 299 + "…"
    assert one_line(" a \n b\u202e ") == "a b"


# Languages


def said_in(tag: str, item: MessageItem, number: int) -> list[str]:
    text = texts_of(a_message(*[item] * number, locale=tag))
    named = [group.heading + group.others for group in text.groups]
    return [text.title, text.now, *lines(text), *(link.label for link in text.links), *named]


@pytest.mark.parametrize("tag", [tag for tag in NAMES if tag != SOURCE])
def test_a_message_leaves_no_text_in_english(tag):
    """Names, the rule, the category and the reason are what others wrote; they are as short as a letter."""
    for kind in NoticeKind:
        for number in (1, 30):
            item = a_changed(kind, reason="R", rule="Q", acknowledged_by="A", because="B", channel="C")
            item = replace(item, name="N", category="K")
            words = re.compile(r"[A-Za-z]{4,}")
            if tag in ("hi", "ja", "zh-CN"):
                assert set(words.findall(" ".join(said_in(tag, item, number)))) == set(), (kind, number)
            for text in said_in(SOURCE, item, number):
                if words.search(re.sub("Nov|UTC|Test", "", text)):
                    assert text not in said_in(tag, item, number), text


@pytest.mark.parametrize(
    ("tag", "title", "now"),
    [
        ("de", "Ausgefallen: The shop", "3 von 240 Diensten jetzt ausgefallen"),
        ("fr", "Indisponible: The shop", "3 services sur 240 indisponibles en ce moment"),
        ("ja", "停止: The shop", "現在240件中3件が停止中"),
    ],
)
def test_a_message_is_in_the_language_of_its_channel(tag, title, now):
    text = texts_of(a_message(locale=tag))
    assert (text.title, text.now) == (title, now)
