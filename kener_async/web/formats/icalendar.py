"""Maintenance as an iCalendar file to subscribe to (RFC 5545)."""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kener_async.domain.calendar import HOUR
from kener_async.domain.incidents import Incident, IncidentStage
from kener_async.web.formats.feeds import address, updated_at
from kener_async.web.formats.ids import Ids
from kener_async.web.parts.markdown import excerpt

if TYPE_CHECKING:
    from kener_async.web.pages.snapshot import IncidentView

MAX_LINE = 75  # octets
DESCRIPTION = 1000  # characters
# RFC 5545 has TENTATIVE, CONFIRMED and CANCELLED; a maintenance is confirmed from its announcement on.
_STATUS = {IncidentStage.CANCELLED: "CANCELLED"}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def calendar(title: str, views: Iterable["IncidentView"], ids: Ids, base_url: str, now: int) -> bytes:
    """A calendar of the maintenance among the incidents, ordered by start."""
    maintenance = [view for view in views if view.incident.is_maintenance]
    maintenance.sort(key=lambda view: (view.incident.start, view.incident.number))
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Kener Async//Maintenance//EN",
        f"NAME:{_text(title)}",
        f"X-WR-CALNAME:{_text(title)}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
    ]
    for view in maintenance:
        lines.extend(_entry(view, ids, base_url, now))
    lines.append("END:VCALENDAR")
    return b"".join(_folded(line) for line in lines)


def _entry(view: "IncidentView", ids: Ids, base_url: str, now: int) -> Iterator[str]:
    incident = view.incident
    url = address(incident, base_url)
    description = f"{excerpt(incident.body, DESCRIPTION)}\n\n{url}".lstrip()
    changed = _utc(updated_at(view, now))
    yield "BEGIN:VEVENT"
    yield f"UID:{ids.event(incident)}"
    yield f"SEQUENCE:{incident.revision}"
    yield f"DTSTAMP:{changed}"
    yield f"CREATED:{_utc(incident.created_at)}"
    yield f"LAST-MODIFIED:{changed}"
    yield f"DTSTART:{_utc(incident.start)}"
    yield from _end(incident, now)
    yield f"SUMMARY:{_text(incident.title)}"
    yield f"DESCRIPTION:{_text(description)}"
    yield f"URL:{url}"
    yield f"STATUS:{_STATUS.get(incident.stage(now), 'CONFIRMED')}"
    yield "TRANSP:TRANSPARENT"  # does not make subscribers busy
    yield "END:VEVENT"


def _end(incident: Incident, now: int) -> Iterator[str]:
    """The end; of a cancelled maintenance the planned one.

    Without an end the duration is in whole hours, at least one and until after `now`, so that calendars show
    it. One that lasted less than a second has neither, because DTEND must be later than DTSTART.
    """
    cancelled = incident.stage(now) is IncidentStage.CANCELLED
    end = incident.planned_end if cancelled else incident.overlay.end
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
    """Fold a line into rows of at most MAX_LINE octets, never within a character (RFC 5545, 3.1)."""
    rows, row = [], b""
    for character in line:
        octets = character.encode()
        if len(row) + len(octets) > MAX_LINE:
            rows.append(row)
            row = b" "
        row += octets
    return b"\r\n".join([*rows, row, b""])
