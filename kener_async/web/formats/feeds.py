"""Incidents and maintenance as feeds: Atom, RSS 2.0 and JSON Feed, built from the same entries."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import orjson
from markupsafe import Markup

from kener_async.domain.incidents import Incident, IncidentStage
from kener_async.domain.samples import Status
from kener_async.locales.direction import isolated
from kener_async.web.formats.ids import Ids
from kener_async.web.parts.markdown import excerpt, rendered

if TYPE_CHECKING:
    from kener_async.web.pages.snapshot import IncidentView

MAX_ENTRIES = 50
EXCERPT = 300  # characters of a summary

_EFFECTS = {
    Status.MAINTENANCE: "Maintenance",
    Status.DOWN: "Outage",
    Status.DEGRADED: "Degraded performance",
    None: "Notice",
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One incident in any format. `id` is a URI that never changes, instants are UTC seconds."""

    id: str
    url: str
    title: str
    published: int
    updated: int
    html: str
    summary: str
    categories: Sequence[str]


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed of any format, `updated` in UTC seconds. `subtitle` and `icon`, an address, may be empty.

    `headline` is the status of all monitors in words, empty for a feed of one monitor.
    """

    id: str
    title: str
    headline: str
    home_url: str
    feed_url: str
    subtitle: str
    updated: int
    entries: Sequence[FeedEntry]
    icon: str

    @property
    def full_title(self) -> str:
        """The title with the headline, as feed readers list it."""
        return f"{self.title} - {self.headline}" if self.headline else self.title


# Common to feeds, calendar and Statuspage documents


def address(incident: Incident, base_url: str) -> str:
    """The page of an incident; of one that is computed, which has none yet, its month of the archive."""
    if incident.number < 0:
        return f"{base_url}/incidents/{(incident.occurrence or '')[:7]}"
    return f"{base_url}/incident/{incident.number}"


def updated_at(view: "IncidentView", now: int) -> int:
    """The instant of the latest edit, update or change of stage.

    It never goes back, because an update that is edited or deleted stands not after the edit.
    """
    incident = view.incident
    updates = (update.at for update in view.updates)
    happened = (incident.start, incident.closed_as_of(now), *updates)
    return max([incident.updated_at, *(at for at in happened if at is not None and at <= now)])


# Entries


def entries(
    views: Iterable["IncidentView"], names: Mapping[str, str], ids: Ids, base_url: str, now: int
) -> list[FeedEntry]:
    """The entries, last updated first. `names` are those of the visible monitors, by tag."""

    def recency(view: "IncidentView") -> tuple[int, int, int]:
        return updated_at(view, now), view.incident.created_at, view.incident.number

    latest = sorted(views, key=recency, reverse=True)[:MAX_ENTRIES]
    found = [_entry(view, names, ids, base_url, now) for view in latest]
    found += [_postmortem(view, ids, base_url) for view in latest if view.incident.postmortem_at is not None]
    return sorted(found, key=lambda entry: entry.updated, reverse=True)[:MAX_ENTRIES]


def _postmortem(view: "IncidentView", ids: Ids, base_url: str) -> FeedEntry:
    incident = view.incident
    return FeedEntry(
        id=ids.postmortem(incident),
        url=f"{address(incident, base_url)}#postmortem",
        title=f"Postmortem: {incident.title}",
        published=incident.postmortem_at or incident.updated_at,
        updated=incident.updated_at,
        html=str(_block(incident.postmortem, base_url)),
        summary=excerpt(incident.postmortem, EXCERPT),
        categories=("postmortem",),
    )


def _entry(view: "IncidentView", names: Mapping[str, str], ids: Ids, base_url: str, now: int) -> FeedEntry:
    incident = view.incident
    effect, stage = _EFFECTS[incident.effect], str(incident.stage(now))
    return FeedEntry(
        id=ids.entry(incident),
        url=address(incident, base_url),
        title=incident.title,
        published=incident.created_at,
        updated=updated_at(view, now),
        html=_html(view, names, base_url, now),
        summary=f"{effect}, {stage}, {_span(incident, now)}. {excerpt(incident.body, EXCERPT)}".rstrip(),
        categories=(effect.lower(), stage),
    )


def _html(view: "IncidentView", names: Mapping[str, str], base_url: str, now: int) -> str:
    """The body, the updates with their times and states, the time span and the affected monitors."""
    parts = [_block(view.incident.body, base_url)]
    for update in view.updates:
        if not update.body and update.state is None:
            continue
        machine, human = _iso(update.at), _readable(update.at)
        state = "" if update.state is None else f" {update.state.name.capitalize()}"
        head = Markup('<p><strong><time datetime="{}">{}</time>{}</strong></p>\n')
        parts.append(head.format(machine, human, state))
        if update.body:
            parts.append(_block(update.body, base_url))
    affected = ", ".join(isolated(names[tag]) for tag in view.tags if tag in names)
    parts.append(Markup("<p>Time: {}<br>\nAffects: {}</p>\n").format(_span(view.incident, now), affected))
    return "".join(str(part) for part in parts)


def _block(text: str, base_url: str) -> Markup:
    """A text of an author, in the direction of its own letters."""
    html = rendered(text, base_url)
    return Markup('<div dir="auto">\n{}</div>\n').format(html) if not text.isascii() else html


def _span(incident: Incident, now: int) -> str:
    """From when to when it lasts or lasted; of a cancelled one when it was planned."""
    if incident.stage(now) is IncidentStage.CANCELLED:
        return f"was planned for {_from_to(incident.start, incident.planned_end)}"
    end = incident.overlay.end
    return _from_to(incident.start, end) if end is not None else f"from {_readable(incident.start)}"


def _from_to(start: int, end: int | None) -> str:
    return _readable(start) if end is None else f"{_readable(start)} to {_readable(end)}"


def _utc(instant: int) -> datetime:
    return datetime.fromtimestamp(instant, UTC)


def _iso(instant: int) -> str:
    return f"{_utc(instant):%Y-%m-%dT%H:%M:%SZ}"


def _readable(instant: int) -> str:
    return f"{_utc(instant):%Y-%m-%d %H:%M} UTC"


# The three formats


def atom(feed: Feed) -> bytes:
    """Write the feed as Atom (RFC 4287)."""
    root = ElementTree.Element("feed", {"xmlns": "http://www.w3.org/2005/Atom"})
    _add(root, "id", feed.id)
    _add(root, "title", feed.full_title)
    if feed.subtitle:
        _add(root, "subtitle", feed.subtitle)
    _add(root, "updated", _iso(feed.updated))
    _add(_add(root, "author"), "name", feed.title)
    _add(root, "link", rel="self", type="application/atom+xml", href=feed.feed_url)
    _add(root, "link", rel="alternate", type="text/html", href=feed.home_url)
    if feed.icon:
        _add(root, "icon", feed.icon)
    for entry in feed.entries:
        _add_to_atom(root, entry)
    return _document(root)


def _add_to_atom(root: ElementTree.Element, entry: FeedEntry) -> None:
    element = _add(root, "entry")
    _add(element, "id", entry.id)
    _add(element, "title", entry.title)
    _add(element, "published", _iso(entry.published))
    _add(element, "updated", _iso(entry.updated))
    _add(element, "link", rel="alternate", type="text/html", href=entry.url)
    for category in entry.categories:
        _add(element, "category", term=category)
    _add(element, "summary", entry.summary, type="text")
    _add(element, "content", entry.html, type="html")


def rss(feed: Feed) -> bytes:
    """Write the feed as RSS 2.0, with the Atom link to itself and the full content that readers expect."""
    namespaces = {
        "xmlns:atom": "http://www.w3.org/2005/Atom",
        "xmlns:content": "http://purl.org/rss/1.0/modules/content/",
    }
    root = ElementTree.Element("rss", {"version": "2.0", **namespaces})
    channel = _add(root, "channel")
    _add(channel, "title", feed.full_title)
    _add(channel, "link", feed.home_url)
    _add(channel, "description", feed.subtitle or feed.title)
    _add(channel, "lastBuildDate", _rfc822(feed.updated))
    _add(channel, "atom:link", rel="self", type="application/rss+xml", href=feed.feed_url)
    if feed.icon:
        image = _add(channel, "image")
        for tag, text in (("url", feed.icon), ("title", feed.title), ("link", feed.home_url)):
            _add(image, tag, text)
    for entry in feed.entries:
        _add_to_rss(channel, entry)
    return _document(root)


def _add_to_rss(channel: ElementTree.Element, entry: FeedEntry) -> None:
    item = _add(channel, "item")
    _add(item, "title", entry.title)
    _add(item, "link", entry.url)
    _add(item, "guid", entry.id, isPermaLink="false")
    _add(item, "pubDate", _rfc822(entry.published))
    _add(item, "atom:updated", _iso(entry.updated))  # RSS has no element of its own for it
    for category in entry.categories:
        _add(item, "category", category)
    _add(item, "description", entry.summary)
    _add(item, "content:encoded", entry.html)


def json_feed(feed: Feed) -> bytes:
    """Write the feed as JSON Feed 1.1."""
    document: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.full_title,
        "home_page_url": feed.home_url,
        "feed_url": feed.feed_url,
        "description": feed.subtitle,
        "icon": feed.icon,
        "items": [_item(entry) for entry in feed.entries],
    }
    return orjson.dumps({key: value for key, value in document.items() if value != ""})


def _item(entry: FeedEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "url": entry.url,
        "title": entry.title,
        "content_html": entry.html,
        "summary": entry.summary,
        "date_published": _iso(entry.published),
        "date_modified": _iso(entry.updated),
        "tags": entry.categories,
    }


def _add(parent: ElementTree.Element, tag: str, text: str = "", **attributes: str) -> ElementTree.Element:
    """Add a child element, without characters that XML does not allow."""
    plain = {name: _NOT_XML.sub("", value) for name, value in attributes.items()}
    element = ElementTree.SubElement(parent, tag, plain)
    element.text = _NOT_XML.sub("", text)
    return element


def _document(root: ElementTree.Element) -> bytes:
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def _rfc822(instant: int) -> str:
    return format_datetime(_utc(instant), usegmt=True)
