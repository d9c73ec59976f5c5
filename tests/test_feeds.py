"""Feeds: the entries of incidents, and valid Atom, RSS and JSON."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.domain.incident_updates import Update
from kener_async.domain.incidents import Incident, edited, opened
from kener_async.domain.samples import Status
from kener_async.web.formats.feeds import Feed, FeedEntry, atom, entries, json_feed, rss, updated_at
from kener_async.web.formats.ids import Ids
from kener_async.web.pages.snapshot import IncidentView
from tests.rigs.service import NOON

HOUR = 3600
BASE = "https://status.example.org"
IDENTITY = UUID("5f6a1c0e-3c55-4b1e-8a0d-5b6f0c0e9d21")
IDS = Ids(BASE, IDENTITY)
NAMES = {"earth": "Earth", "mars": "Mars"}
ATOM = {"": "http://www.w3.org/2005/Atom"}
RSS = {"atom": ATOM[""], "content": "http://purl.org/rss/1.0/modules/content/"}


def an_incident(number: int = 1, at: int = NOON, **fields: Any) -> Incident:
    return opened(number, {"title": "Disk full", "tags": ("earth",), **fields}, at)


def an_event(
    incident: Incident | None = None, *comments: Update, tags: Sequence[str] = ("earth",)
) -> IncidentView:
    return IncidentView(incident or an_incident(), comments, tags)


def an_entry(event: IncidentView, now: int = NOON) -> FeedEntry:
    (entry,) = entries([event], NAMES, IDS, BASE, now)
    return entry


# Entries


def test_an_entry_has_the_incidents_own_title_and_the_address_of_its_page():
    entry = an_entry(an_event(an_incident(7, title="Disk <full>")))
    assert entry.title == "Disk <full>"
    assert entry.url == f"{BASE}/incident/7"


@pytest.mark.parametrize(
    ("fields", "categories"),
    [
        ({"impact": Status.DOWN}, ("outage", "investigating")),
        ({"impact": Status.DEGRADED, "is_identified": True}, ("degraded performance", "identified")),
        ({}, ("notice", "investigating")),
        ({"is_maintenance": True, "impact": Status.DOWN}, ("maintenance", "in progress")),
        ({"is_maintenance": True, "start": NOON + HOUR}, ("maintenance", "scheduled")),
        ({"start": NOON - HOUR, "end": NOON}, ("notice", "resolved")),
    ],
)
def test_the_impact_and_the_stage_are_categories(fields, categories):
    assert an_entry(an_event(an_incident(**fields))).categories == categories


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        (
            {"impact": Status.DOWN, "body": "The **disk** is full."},
            "Outage, investigating, from 2025-12-31 12:00 UTC. The disk is full.",
        ),
        (
            {"is_maintenance": True, "start": NOON + HOUR, "end": NOON + 2 * HOUR},
            "Maintenance, scheduled, 2025-12-31 13:00 UTC to 2025-12-31 14:00 UTC.",
        ),
    ],
)
def test_a_summary_says_what_it_is_and_when_before_the_text_begins(fields, summary):
    assert an_entry(an_event(an_incident(**fields))).summary == summary


def test_the_content_is_the_body_then_the_comments_with_their_times_then_what_is_affected():
    event = an_event(
        an_incident(body="The **disk** is full."),
        Update(1, "Looking.", NOON + 60, NOON + 60),
        Update(2, "_Found._", NOON + 120, NOON + 120),
        tags=("earth", "mars"),
    )
    assert an_entry(event, NOON + 180).html == (
        "<p>The <strong>disk</strong> is full.</p>\n"
        '<p><strong><time datetime="2025-12-31T12:01:00Z">2025-12-31 12:01 UTC</time></strong></p>\n'
        "<p>Looking.</p>\n"
        '<p><strong><time datetime="2025-12-31T12:02:00Z">2025-12-31 12:02 UTC</time></strong></p>\n'
        "<p><em>Found.</em></p>\n"
        "<p>Time: from 2025-12-31 12:00 UTC<br>\nAffects: Earth, Mars</p>\n"
    )


def test_only_monitors_that_may_be_named_are():
    entry = an_entry(an_event(an_incident(tags=("secret", "mars")), tags=("secret", "mars")))
    assert "Affects: Mars<" in entry.html
    assert "secret" not in str(entry)


def test_names_and_texts_are_escaped():
    (entry,) = entries([an_event(an_incident(body="<script>"))], {"earth": "<b>"}, IDS, BASE, NOON)
    assert "<script>" not in entry.html
    assert "Affects: &lt;b&gt;<" in entry.html


@pytest.mark.parametrize(
    ("event", "updated"),
    [
        (an_event(), NOON),
        (an_event(None, Update(1, "x", NOON + 60, NOON + 60)), NOON + 60),
        (
            an_event(
                edited(an_incident(), {"is_resolved": True}, NOON + 90), Update(1, "x", NOON + 60, NOON + 60)
            ),
            NOON + 90,
        ),
        (an_event(an_incident(start=NOON + 30)), NOON + 30),
        (an_event(an_incident(start=NOON + 2 * HOUR)), NOON),
        (an_event(an_incident(start=NOON - HOUR)), NOON),
        (an_event(an_incident(end=NOON + 2 * HOUR)), NOON),
    ],
    ids=["told", "commented", "resolved", "begun", "not begun yet", "told late", "not ended yet"],
)
def test_an_entry_was_updated_when_something_happened_last(event, updated):
    assert updated_at(event, NOON + HOUR) == updated
    assert an_entry(event, NOON + HOUR).updated == updated


def test_what_happened_last_comes_first():
    events = [
        an_event(an_incident(1), Update(1, "x", NOON + 90, NOON + 90)),
        an_event(an_incident(2, NOON + 60)),
        an_event(an_incident(3, NOON + 120)),
    ]
    found = entries(events, NAMES, IDS, BASE, NOON + HOUR)
    assert [entry.url.rpartition("/")[2] for entry in found] == ["3", "1", "2"]


def test_no_more_than_fifty_entries_are_kept_and_those_are_the_newest():
    events = [an_event(an_incident(number, NOON + number)) for number in range(1, 61)]
    found = entries(events, NAMES, IDS, BASE, NOON + HOUR)
    assert [entry.published for entry in found] == [NOON + number for number in range(60, 10, -1)]


def test_the_id_of_an_entry_outlives_edits_and_a_move_to_another_scheme_or_port():
    incident = an_incident(7)
    later = edited(incident, {"title": "Another", "start": NOON - HOUR, "is_resolved": True}, NOON + HOUR)
    ids = {
        entry.id
        for base in (BASE, "http://status.example.org:8080")
        for event in (an_event(incident), an_event(later, Update(1, "x", NOON, NOON)))
        for entry in entries([event], NAMES, Ids(base, IDENTITY), base, NOON + HOUR)
    }
    assert ids == {"tag:status.example.org,2025-12-31:/incident/7"}


# Forms


def a_feed(*events: IncidentView, **fields: Any) -> Feed:
    feed = Feed(
        id=IDS.feed("/feed.atom"),
        title="Status & more",
        headline="",
        home_url=f"{BASE}/",
        feed_url=f"{BASE}/feed?a=1&b=2",
        subtitle="What <goes> on",
        updated=NOON,
        entries=entries(events, NAMES, IDS, BASE, NOON + HOUR),
        icon=f"{BASE}/icon.png",
    )
    return replace(feed, **fields)


FEED = a_feed(
    an_event(
        an_incident(1, title="Disk <full> & more", body="**x** & y", impact=Status.DOWN),
        Update(1, "z", NOON, NOON),
    ),
    an_event(an_incident(2, NOON + 60, is_maintenance=True)),
)
EMPTY = a_feed(subtitle="", icon="")


def text_of(element: ElementTree.Element, path: str, namespaces: dict[str, str]) -> str:
    """The text of the one element at the path."""
    (found,) = element.findall(path, namespaces)
    return found.text or ""


def links_of(element: ElementTree.Element) -> list[dict[str, str]]:
    return [dict(link.attrib) for link in element.findall("link", ATOM)]


def instant(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


def test_an_atom_feed_has_what_rfc_4287_demands():
    root = ElementTree.fromstring(atom(FEED))
    assert root.tag == "{http://www.w3.org/2005/Atom}feed"
    assert text_of(root, "id", ATOM) == FEED.id
    assert text_of(root, "title", ATOM) == "Status & more"
    assert text_of(root, "subtitle", ATOM) == "What <goes> on"
    assert text_of(root, "icon", ATOM) == FEED.icon
    assert text_of(root, "author/name", ATOM) == "Status & more"
    assert instant(text_of(root, "updated", ATOM)) == NOON
    assert links_of(root) == [
        {"rel": "self", "type": "application/atom+xml", "href": FEED.feed_url},
        {"rel": "alternate", "type": "text/html", "href": FEED.home_url},
    ]


def test_an_atom_entry_carries_all_of_the_entry():
    root = ElementTree.fromstring(atom(FEED))
    elements = root.findall("entry", ATOM)
    assert len(elements) == len(FEED.entries) == 2
    for element, entry in zip(elements, FEED.entries, strict=True):
        assert text_of(element, "id", ATOM) == entry.id
        assert text_of(element, "title", ATOM) == entry.title
        assert text_of(element, "summary", ATOM) == entry.summary
        assert text_of(element, "content", ATOM) == entry.html
        assert element.find("content", ATOM).get("type") == "html"  # type: ignore[union-attr]
        assert instant(text_of(element, "published", ATOM)) == entry.published
        assert instant(text_of(element, "updated", ATOM)) == entry.updated
        assert tuple(one.get("term") for one in element.findall("category", ATOM)) == entry.categories
        assert links_of(element) == [{"rel": "alternate", "type": "text/html", "href": entry.url}]


def test_an_rss_channel_has_what_rss_2_demands():
    root = ElementTree.fromstring(rss(FEED))
    assert (root.tag, root.get("version")) == ("rss", "2.0")
    (channel,) = root
    assert channel.tag == "channel"
    assert text_of(channel, "title", RSS) == "Status & more"
    assert text_of(channel, "link", RSS) == FEED.home_url
    assert text_of(channel, "description", RSS) == "What <goes> on"
    assert text_of(channel, "lastBuildDate", RSS) == "Wed, 31 Dec 2025 12:00:00 GMT"
    assert text_of(channel, "image/url", RSS) == FEED.icon
    assert text_of(channel, "image/title", RSS) == "Status & more"
    assert text_of(channel, "image/link", RSS) == FEED.home_url
    (itself,) = channel.findall("atom:link", RSS)
    assert itself.attrib == {"rel": "self", "type": "application/rss+xml", "href": FEED.feed_url}


def test_an_rss_item_carries_all_of_the_entry():
    items = ElementTree.fromstring(rss(FEED)).findall("channel/item")
    assert len(items) == len(FEED.entries) == 2
    for item, entry in zip(items, FEED.entries, strict=True):
        assert text_of(item, "title", RSS) == entry.title
        assert text_of(item, "link", RSS) == entry.url
        assert text_of(item, "guid", RSS) == entry.id
        assert item.find("guid").get("isPermaLink") == "false"  # type: ignore[union-attr]
        assert parsedate_to_datetime(text_of(item, "pubDate", RSS)).timestamp() == entry.published
        assert text_of(item, "description", RSS) == entry.summary
        assert text_of(item, "content:encoded", RSS) == entry.html
        assert tuple(one.text for one in item.findall("category")) == entry.categories


def test_a_json_feed_is_one_of_version_1_1():
    entry = FEED.entries[1]
    document = json.loads(json_feed(FEED))
    assert document.pop("items")[1] == {
        "id": entry.id,
        "url": entry.url,
        "title": "Disk <full> & more",
        "content_html": entry.html,
        "summary": entry.summary,
        "date_published": "2025-12-31T12:00:00Z",
        "date_modified": "2025-12-31T12:00:00Z",
        "tags": ["outage", "investigating"],
    }
    assert document == {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Status & more",
        "home_page_url": FEED.home_url,
        "feed_url": FEED.feed_url,
        "description": "What <goes> on",
        "icon": FEED.icon,
    }


def test_a_feed_without_entries_subtitle_or_icon_says_nothing_of_them():
    root = ElementTree.fromstring(atom(EMPTY))
    assert {element.tag.rpartition("}")[2] for element in root} == {
        "id",
        "title",
        "updated",
        "author",
        "link",
    }
    channel = ElementTree.fromstring(rss(EMPTY)).find("channel")
    assert channel is not None
    assert text_of(channel, "description", RSS) == EMPTY.title
    assert channel.findall("item") == channel.findall("image") == []
    document = json.loads(json_feed(EMPTY))
    assert document["items"] == []
    assert not {"description", "icon"} & document.keys()


def test_characters_that_xml_forbids_are_left_out():
    feed = a_feed(an_event(an_incident(title="a\x00b\x1bc\x0bd\ufffee\U0001f600", body="x\x08y")))
    for document, title in ((atom(feed), "entry/title"), (rss(feed), "channel/item/title")):
        namespaces = ATOM if title.startswith("entry") else RSS
        assert text_of(ElementTree.fromstring(document), title, namespaces) == "abcde\U0001f600"


@given(title=st.text(min_size=1), body=st.text())
def test_any_text_makes_a_feed_that_can_be_read(title, body):
    feed = a_feed(an_event(an_incident(title=title, body=body)), title=title, subtitle=body)
    (entry,) = feed.entries
    assert len(ElementTree.fromstring(atom(feed)).findall("entry/content", ATOM)) == 1
    assert len(ElementTree.fromstring(rss(feed)).findall("channel/item/guid")) == 1
    assert json.loads(json_feed(feed))["items"][0]["content_html"] == entry.html


def test_an_incident_at_the_end_of_time_does_not_spoil_the_feed():
    last = 253402300799
    event = an_event(an_incident(start=last - 1, end=last))
    assert b"9999-12-31 23:59 UTC" in atom(a_feed(event))
