"""Maintenance as a calendar to subscribe to (RFC 5545)."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kener_async.domain.calendar import HOUR
from kener_async.domain.incidents import Incident, IncidentStage
from kener_async.web.formats.feeds import address, updated_at
from kener_async.web.parts.markdown import excerpt

if TYPE_CHECKING:
    from kener_async.web.pages.snapshot import IncidentView

LONGEST_LINE = 75  # octets
DESCRIPTION = 1000  # characters
# RFC 5545 knows TENTATIVE, CONFIRMED and CANCELLED; a maintenance is confirmed from its announcement on.
_STATUS = {IncidentStage.CANCELLED: "CANCELLED"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def calendar(title: str, events: Iterable["IncidentView"], base_url: str, now: int) -> bytes:
    """The maintenance among the events, by begin; an empty calendar has no entries."""
    maintenance = [event for event in events if event.incident.is_maintenance]
    maintenance.sort(key=lambda event: (event.incident.start, event.incident.number))
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Kener Async//Maintenance//EN",
        f"NAME:{_text(title)}",
        f"X-WR-CALNAME:{_text(title)}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
    ]
    for event in maintenance:
        lines.extend(_entry(event, base_url, now))
    lines.append("END:VCALENDAR")
    return b"".join(_folded(line) for line in lines)


def _entry(event: "IncidentView", base_url: str, now: int) -> Iterator[str]:
    incident = event.incident
    url = address(incident, base_url)
    description = f"{excerpt(incident.body, DESCRIPTION)}\n\n{url}".lstrip()
    changed = _utc(updated_at(event, now))
    yield "BEGIN:VEVENT"
    yield f"UID:incident-{incident.number}@{urlsplit(base_url).hostname}"
    yield f"DTSTAMP:{changed}"
    yield f"CREATED:{_utc(incident.created_at)}"
    yield f"LAST-MODIFIED:{changed}"
    yield f"DTSTART:{_utc(incident.start)}"
    yield from _end(incident, now)
    yield f"SUMMARY:{_text(incident.title)}"
    yield f"DESCRIPTION:{_text(description)}"
    yield f"URL:{url}"
    yield f"STATUS:{_STATUS.get(incident.stage(now), 'CONFIRMED')}"
    yield "TRANSP:TRANSPARENT"  # nobody who subscribes is busy because of it
    yield "END:VEVENT"


def _end(incident: Incident, now: int) -> Iterator[str]:
    """The end, as planned where it was cancelled.

    Without one it lasts whole hours, at least one and until after now, so that calendars show it. One that
    lasted no second has neither an end nor a duration: a DTEND has to be later than the DTSTART.
    """
    cancelled = incident.stage(now) is IncidentStage.CANCELLED
    end = incident.end if cancelled else incident.overlay.end
    if end is not None and end > incident.start:
        yield f"DTEND:{_utc(end)}"
    elif end is None or cancelled:
        yield f"DURATION:PT{max(now - incident.start, 0) // HOUR + 1}H"


def _utc(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y%m%dT%H%M%SZ}"


def _text(text: str) -> str:
    plain = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return plain.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def _folded(line: str) -> bytes:
    """The line, cut between characters into rows that are short enough; a space begins all but the first."""
    rows, row = [], b""
    for character in line:
        octets = character.encode()
        if len(row) + len(octets) > LONGEST_LINE:
            rows.append(row)
            row = b" "
        row += octets
    return b"\r\n".join([*rows, row, b""])
