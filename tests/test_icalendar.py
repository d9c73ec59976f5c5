"""The calendar of maintenance: valid iCalendar for any text."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.domain.incident_updates import Update
from kener_async.domain.incidents import Incident, edited, opened
from kener_async.web.formats.icalendar import calendar
from kener_async.web.formats.ids import Ids
from kener_async.web.pages.snapshot import IncidentView
from tests.rigs.service import NOON

HOUR = 3600
BASE = "https://status.example.org"
IDENTITY = UUID("5f6a1c0e-3c55-4b1e-8a0d-5b6f0c0e9d21")
IDS = Ids(BASE, IDENTITY)
LAST = 253402300799


def maintenance(number: int = 1, **fields: Any) -> Incident:
    return opened(number, {"title": "New disks", "tags": ("earth",), "is_maintenance": True, **fields}, NOON)


def an_event(incident: Incident, *comments: Update) -> IncidentView:
    return IncidentView(incident, comments, ("earth",))


def lines_of(document: bytes) -> list[str]:
    """The lines as a reader sees them: unfolded, decoded afterwards."""
    assert document.endswith(b"\r\n")
    return document.replace(b"\r\n ", b"").decode().split("\r\n")[:-1]


def entries_of(document: bytes) -> list[dict[str, str]]:
    """The properties of each VEVENT."""
    found: list[dict[str, str]] = []
    inside = False
    for line in lines_of(document):
        name, _, value = line.partition(":")
        if line == "BEGIN:VEVENT":
            found.append({})
            inside = True
        elif line == "END:VEVENT":
            inside = False
        elif inside:
            assert name not in found[-1]
            found[-1][name] = value
    return found


def entry_of(*events: IncidentView, now: int = NOON) -> dict[str, str]:
    (entry,) = entries_of(calendar("Status", events, IDS, BASE, now))
    return entry


def unescaped(text: str) -> str:
    """What a reader makes of a text."""
    plain, escaping = "", False
    for character in text:
        if escaping:
            plain += "\n" if character in "nN" else character
        elif character != "\\":
            assert character not in ",;"
            plain += character
        escaping = character == "\\" and not escaping
    return plain


def test_a_calendar_says_what_it_is_and_how_often_to_look():
    assert lines_of(calendar("Status, all", [], IDS, BASE, NOON)) == [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Kener Async//Maintenance//EN",
        "NAME:Status\\, all",
        "X-WR-CALNAME:Status\\, all",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
        "END:VCALENDAR",
    ]


def test_a_maintenance_is_an_entry_of_its_time():
    incident = maintenance(7, start=NOON + HOUR, end=NOON + 3 * HOUR, body="Both **disks**; twice.")
    assert entry_of(an_event(incident)) == {
        "UID": "incident-7@status.example.org",
        "SEQUENCE": "0",
        "DTSTAMP": "20251231T120000Z",
        "CREATED": "20251231T120000Z",
        "LAST-MODIFIED": "20251231T120000Z",
        "DTSTART": "20251231T130000Z",
        "DTEND": "20251231T150000Z",
        "SUMMARY": "New disks",
        "DESCRIPTION": "Both disks\\; twice.\\n\\nhttps://status.example.org/incident/7",
        "URL": "https://status.example.org/incident/7",
        "STATUS": "CONFIRMED",
        "TRANSP": "TRANSPARENT",
    }


@pytest.mark.parametrize(
    ("start", "duration"),
    [
        (NOON + HOUR, "PT1H"),
        (NOON, "PT1H"),
        (NOON - HOUR + 1, "PT1H"),
        (NOON - HOUR, "PT2H"),
        (NOON - 25 * HOUR, "PT26H"),
        (LAST, "PT1H"),
    ],
)
def test_without_an_end_it_lasts_an_hour_or_until_after_now(start, duration):
    entry = entry_of(an_event(maintenance(start=start)))
    assert entry["DURATION"] == duration
    assert "DTEND" not in entry


def test_a_maintenance_resolved_early_ends_where_it_was_resolved():
    incident = edited(maintenance(end=NOON + 3 * HOUR), {"is_resolved": True}, NOON + HOUR)
    entry = entry_of(an_event(incident), now=NOON + 2 * HOUR)
    assert (entry["DTEND"], entry["STATUS"]) == ("20251231T130000Z", "CONFIRMED")


@pytest.mark.parametrize(
    ("end", "lasts"),
    [(NOON + 3 * HOUR, ("DTEND", "20251231T150000Z")), (None, ("DURATION", "PT1H"))],
)
def test_a_maintenance_resolved_before_it_began_is_cancelled_and_keeps_its_time(end, lasts):
    planned = maintenance(start=NOON + 2 * HOUR, end=end)
    entry = entry_of(an_event(edited(planned, {"is_resolved": True}, NOON + HOUR)), now=NOON + HOUR)
    assert entry["STATUS"] == "CANCELLED"
    assert entry["DTSTART"] == "20251231T140000Z"
    assert lasts in entry.items()


def test_a_comment_makes_it_modified():
    entry = entry_of(an_event(maintenance(), Update(1, "Soon.", NOON + 60, NOON + 60)), now=NOON + HOUR)
    assert entry["DTSTAMP"] == entry["LAST-MODIFIED"] == "20251231T120100Z"


def test_only_maintenance_is_in_the_calendar_by_its_begin():
    incident = opened(3, {"title": "Disk full", "tags": ("earth",)}, NOON)
    events = [an_event(maintenance(2, start=NOON + HOUR)), an_event(incident), an_event(maintenance(1))]
    uids = [
        entry["UID"].partition("@")[0] for entry in entries_of(calendar("Status", events, IDS, BASE, NOON))
    ]
    assert uids == ["incident-1", "incident-2"]


@pytest.mark.parametrize(
    ("title", "written"),
    [
        ("a,b;c", "a\\,b\\;c"),
        ("a\\nb", "a\\\\nb"),
        ("a\nb\r\nc\rd", "a\\nb\\nc\\nd"),
        ("a\x1b\x0bb\tc", "ab\tc"),
        ("BEGIN:VEVENT", "BEGIN:VEVENT"),
    ],
)
def test_a_text_cannot_end_its_line(title, written):
    assert entry_of(an_event(maintenance(title=title)))["SUMMARY"] == written


CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t,;\\é😀")


@given(title=st.text(CHARACTERS, min_size=1) | st.text(CHARACTERS, min_size=60, max_size=200))
def test_any_title_is_read_as_it_was_written_from_rows_of_whole_characters(title):
    document = calendar(title, [an_event(maintenance(title=title))], IDS, BASE, NOON)
    (entry,) = entries_of(document)
    assert unescaped(entry["SUMMARY"]) == title
    for row in document.split(b"\r\n"):
        assert len(row) <= 75
        row.decode()  # raises where a character is cut in two
    assert not {10, 13} & set(document.replace(b"\r\n", b""))


@pytest.mark.parametrize(("length", "rows"), [(67, 1), (68, 2), (67 + 74, 2), (67 + 75, 3)])
def test_a_row_is_full_before_the_next_begins(length, rows):
    document = calendar("Status", [an_event(maintenance(title="x" * length))], IDS, BASE, NOON)
    _, _, after = document.partition(b"\r\nSUMMARY:")
    assert after.partition(b"\r\nDESCRIPTION")[0].count(b"\r\n ") == rows - 1


def test_a_maintenance_that_lasted_no_second_has_no_end():
    completed = edited(maintenance(start=NOON), {"is_resolved": True}, NOON)
    entry = entry_of(an_event(completed), now=NOON + 5 * HOUR)
    assert entry["STATUS"] == "CONFIRMED"
    assert not {"DTEND", "DURATION"} & entry.keys()
