"""The words of a message, in its language: a title, lines below it, and the names of several monitors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from kener_async.channels.http import printable
from kener_async.channels.message import Message, MessageItem
from kener_async.domain.alerts import Severity
from kener_async.domain.calendar import MINUTE
from kener_async.domain.notices import NoticeKind
from kener_async.domain.samples import Status
from kener_async.locales.direction import isolated
from kener_async.locales.locale import Locale, locale

UTC = ZoneInfo("UTC")
MOST_NAMES = 25
NAMES_IN_TITLE = 3
NAME_CHARACTERS = 80
LINE_CHARACTERS = 300
TITLE_CHARACTERS = 250

OVER = frozenset({NoticeKind.RESOLVED, NoticeKind.RETRACTED, NoticeKind.REMOVED})
NOT_ABOUT_NOW = frozenset({NoticeKind.TEST, NoticeKind.MAINTENANCE_ANNOUNCED})
SPANS = OVER | {NoticeKind.MAINTENANCE_ANNOUNCED}  # what they are about has an end
# Openings come first, whatever the order in which they were gathered.
ORDER = (
    NoticeKind.OPENED,
    NoticeKind.FLAPPING,
    NoticeKind.REMINDED,
    NoticeKind.CHANNEL_PAUSED,
    NoticeKind.SETTLED,
    NoticeKind.ACKNOWLEDGED,
    NoticeKind.RESOLVED,
    NoticeKind.RETRACTED,
    NoticeKind.REMOVED,
    NoticeKind.MAINTENANCE_ANNOUNCED,
    NoticeKind.TEST,
)


@dataclass(frozen=True, slots=True)
class MessageLine:
    """A line of a message; `label` may be empty."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class TextLink:
    """A link of a message, and what it is called."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class NamedMonitor:
    """A monitor in a message about several: its name, what else is known, and the address of its page."""

    name: str
    detail: str
    page: str


@dataclass(frozen=True, slots=True)
class MonitorGroup:
    """The monitors to which the same happened. `others` are those beyond the most that are named."""

    heading: str
    monitors: tuple[NamedMonitor, ...]
    others: str


@dataclass(frozen=True, slots=True)
class MessageText:
    """All that a message says. Each text is one printable line that nothing was escaped in.

    Of one item there are `lines` and `links`, of several there are `groups`. `now` is how many monitors are
    bad when it is sent; `site` the name of the page.
    """

    title: str
    lines: tuple[MessageLine, ...]
    groups: tuple[MonitorGroup, ...]
    now: str
    links: tuple[TextLink, ...]
    site: str

    def short(self, limit: int) -> str:
        """One line of at most `limit` characters: the title, then what fits, as for an SMS."""
        parts = [self.title, *(line.value for line in self.lines[:2]), self.now]
        return cut(". ".join(filter(None, parts)), limit)


def texts_of(message: Message) -> MessageText:
    """The words of a message."""
    language, site = locale(message.locale), isolated(one_line(message.site, NAME_CHARACTERS))
    if len(message.items) == 1:
        item = message.items[0]
        title = _marked_as_test(language, message, title_of(language, item))
        lines, links = _lines(language, item, message.zone), _links(language, item)
        return MessageText(cut(title, TITLE_CHARACTERS), lines, (), _now(language, message), links, site)
    title = _marked_as_test(language, message, _title_of_several(language, message))
    groups = _groups(language, message)
    return MessageText(
        cut(title, TITLE_CHARACTERS), (), groups, _now(language, message), _home(language, message), site
    )


def one_line(text: str, limit: int = LINE_CHARACTERS) -> str:
    """Anything written by others as one printable line of at most `limit` characters."""
    return cut(" ".join(printable(text[: 4 * limit]).split()), limit)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of a text; an ellipsis stands for the rest."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def name_of(item: MessageItem) -> str:
    """The name of the monitor, the channel or the maintenance that an item is about."""
    name = item.facts.channel if item.kind is NoticeKind.CHANNEL_PAUSED else item.name
    if item.kind is NoticeKind.MAINTENANCE_ANNOUNCED:
        name = item.facts.title or item.name
    return isolated(one_line(name or item.facts.monitor, NAME_CHARACTERS)) or "?"


def title_of(language: Locale, item: MessageItem) -> str:
    """The title of an item: its state, then the name."""
    return f"{heading_of(language, item)}: {name_of(item)}"


def heading_of(language: Locale, item: MessageItem) -> str:
    """The state that an item tells of: "Down", "Up again"."""
    _ = language.gettext
    state, planned = state_of(language, item), _("planned maintenance")
    resolved = _("Up again")
    if item.was_not_told:
        resolved = _("Was down, is up again")
    elif item.facts.status not in (None, Status.UP):
        resolved = _("Resolved (%(state)s)") % {"state": state}
    return {
        NoticeKind.OPENED: state,
        NoticeKind.REMINDED: _still(language, item),
        NoticeKind.RESOLVED: resolved,
        NoticeKind.RETRACTED: _("Was up all along"),
        NoticeKind.REMOVED: _("No longer monitored"),
        NoticeKind.FLAPPING: _("Flapping"),
        NoticeKind.SETTLED: _("Stable again (%(state)s)") % {"state": state},
        NoticeKind.ACKNOWLEDGED: _("Acknowledged"),
        NoticeKind.CHANNEL_PAUSED: _("Channel paused"),
        NoticeKind.MAINTENANCE_ANNOUNCED: planned[:1].upper() + planned[1:],
        NoticeKind.TEST: state,
    }[item.kind]


def state_of(language: Locale, item: MessageItem) -> str:
    """The state of the monitor, in a word or two."""
    _ = language.gettext
    facts = item.facts
    if facts.status is Status.UP and item.kind is NoticeKind.SETTLED:
        return _("Operational")
    if _is_slow(item):
        return _("Slow")
    return {
        Status.DOWN: _("Down"),
        Status.DEGRADED: _("Degraded"),
        Status.NO_DATA: _("No data"),
    }.get(facts.status or Status.UP, _("Alert"))


def _still(language: Locale, item: MessageItem) -> str:
    _ = language.gettext
    if _is_slow(item):
        return _("Still slow")
    return {
        Status.DOWN: _("Still down"),
        Status.DEGRADED: _("Still degraded"),
        Status.NO_DATA: _("Still no data"),
    }.get(item.facts.status or Status.UP, _("Still open"))


def _is_slow(item: MessageItem) -> bool:
    """Whether its latency is what is bad: its status is not."""
    return item.facts.status is Status.UP and item.facts.latency is not None


def _marked_as_test(language: Locale, message: Message, title: str) -> str:
    is_test = message.is_test or any(item.kind is NoticeKind.TEST for item in message.items)
    return language.gettext("Test: %(title)s") % {"title": title} if is_test else title


def _lines(language: Locale, item: MessageItem, zone: ZoneInfo) -> tuple[MessageLine, ...]:
    _ = language.gettext
    facts = item.facts
    lines = [
        MessageLine("", text) for text in (_explanation(language, item), _when(language, item, zone)) if text
    ]
    if facts.changes and item.kind in (NoticeKind.FLAPPING, NoticeKind.SETTLED):
        text = language.ngettext("%(count)s change of status", "%(count)s changes of status", facts.changes)
        lines.append(MessageLine("", text % {"count": facts.changes}))
    if facts.reason:
        lines.append(MessageLine(_("Reason"), isolated(one_line(facts.reason))))
    if facts.certificate_ends is not None:
        lines.append(MessageLine(_("Certificate ends"), language.instant(facts.certificate_ends, zone)))
    if facts.latency is not None:
        lines.append(MessageLine(_("Latency"), language.latency(facts.latency, item.unit)))
    if facts.because:
        lines.append(MessageLine(_("Depends on"), isolated(one_line(facts.because, NAME_CHARACTERS))))
    if facts.acknowledged_by:
        lines.append(
            MessageLine(_("Acknowledged by"), isolated(one_line(facts.acknowledged_by, NAME_CHARACTERS)))
        )
    if item.category:
        lines.append(MessageLine(_("Category"), isolated(one_line(item.category, NAME_CHARACTERS))))
    if item.affected:
        names = language.listed([isolated(one_line(name, NAME_CHARACTERS)) for name in item.affected])
        lines.append(MessageLine(_("Monitors"), one_line(names)))
    if facts.rule and item.kind is not NoticeKind.CHANNEL_PAUSED:
        rule = f"{isolated(one_line(facts.rule, NAME_CHARACTERS))} ({_severity(language, facts.severity)})"
        lines.append(MessageLine(_("Rule"), rule))
    return tuple(lines)


def _explanation(language: Locale, item: MessageItem) -> str:
    """A sentence on what is not clear from the title; mostly empty."""
    _ = language.gettext
    if item.is_late:
        return _("This could not be sent before.")
    return {
        NoticeKind.RETRACTED: _("Its reports came late."),
        NoticeKind.FLAPPING: _("No more messages until it has kept one state for a while."),
        NoticeKind.CHANNEL_PAUSED: _("Messages to this channel failed again and again, nobody gets them."),
        NoticeKind.TEST: _("This is a test of the channel, nothing has happened."),
        NoticeKind.REMOVED: _("Its alert was closed because its rule or monitor is gone."),
    }.get(item.kind, "")


def _when(language: Locale, item: MessageItem, zone: ZoneInfo) -> str:
    """Since when, or from when to when, and for how long; in the channel's zone and in UTC."""
    _ = language.gettext
    since, until = item.facts.since, item.facts.until
    if since is None:
        return ""
    if item.kind in SPANS and until is not None and until >= since:
        text = _("From %(begin)s to %(end)s, %(duration)s")
        values = {"begin": instant(language, since, zone), "end": _end(language, since, until, zone)}
        return text % {**values, "duration": _length(language, until - since)}
    if item.kind is NoticeKind.ACKNOWLEDGED and until is not None:
        return _("No reminders until %(time)s") % {"time": instant(language, until, zone)}
    text = _("Since %(begin)s, %(duration)s")
    return text % {"begin": instant(language, since, zone), "duration": _length(language, item.at - since)}


def _length(language: Locale, seconds: int) -> str:
    return language.duration(seconds) if seconds >= MINUTE else language.gettext("less than a minute")


def instant(language: Locale, at: int, zone: ZoneInfo) -> str:
    """An instant in a zone, and in UTC where that differs: "Nov 28, 2025, 4:20 AM (3:20 AM UTC)"."""
    local, utc = language.instant(at, zone), language.instant(at, UTC)
    if local == utc:
        return f"{utc} UTC"
    return f"{local} ({language.time(at, UTC) if _day(at, zone) == _day(at, UTC) else utc} UTC)"


def _end(language: Locale, begin: int, end: int, zone: ZoneInfo) -> str:
    """The end of a time: without its date where that is the one of the begin."""
    if any(_day(begin, each) != _day(end, each) for each in (zone, UTC)):
        return instant(language, end, zone)
    local, utc = language.time(end, zone), language.time(end, UTC)
    return f"{utc} UTC" if local == utc else f"{local} ({utc} UTC)"


def _day(at: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(at, zone).date()


def _severity(language: Locale, severity: Severity) -> str:
    _ = language.gettext
    return {
        Severity.INFO: _("information"),
        Severity.WARNING: _("warning"),
        Severity.CRITICAL: _("critical"),
    }[severity]


def _links(language: Locale, item: MessageItem) -> tuple[TextLink, ...]:
    _ = language.gettext
    links = [(_("Open the page"), item.page)]
    if item.kind in (NoticeKind.OPENED, NoticeKind.REMINDED, NoticeKind.FLAPPING):
        links.append((_("Acknowledge"), item.acknowledge))
    return tuple(TextLink(label, url) for label, url in links if url)


def _home(language: Locale, message: Message) -> tuple[TextLink, ...]:
    return (TextLink(language.gettext("Open the page"), message.home),) if message.home else ()


def _now(language: Locale, message: Message) -> str:
    """How many monitors are bad when it is sent: "3 of 240 monitors down now"."""
    if not message.monitors or all(item.kind in NOT_ABOUT_NOW for item in message.items):
        return ""
    text = language.ngettext(
        "%(count)s of %(total)s monitor down now",
        "%(count)s of %(total)s monitors down now",
        message.monitors,
    )
    return text % {"count": message.bad_now, "total": message.monitors}


def _title_of_several(language: Locale, message: Message) -> str:
    """The states with their names, or numbers where there are more: "Down: 12 monitors; Up again: Mail"."""
    parts = []
    for heading, items in _by_heading(language, message.items):
        if len(items) <= NAMES_IN_TITLE:
            what = language.listed([name_of(item) for item in items])
        elif items[0].kind is NoticeKind.CHANNEL_PAUSED:
            what = str(len(items))
        else:
            text = language.ngettext("%(count)s monitor", "%(count)s monitors", len(items))
            what = text % {"count": len(items)}
        parts.append(f"{heading}: {what}")
    return "; ".join(parts)


def _groups(language: Locale, message: Message) -> tuple[MonitorGroup, ...]:
    left = MOST_NAMES
    groups = []
    for heading, items in _by_heading(language, message.items):
        named = [_named(language, item, message.zone) for item in items[:left]]
        left -= len(named)
        others = len(items) - len(named)
        text = language.ngettext("%(count)s more", "%(count)s more", others) % {"count": others}
        groups.append(MonitorGroup(heading, tuple(named), text if others else ""))
    return tuple(groups)


def _by_heading(language: Locale, items: Sequence[MessageItem]) -> list[tuple[str, list[MessageItem]]]:
    by_heading: dict[str, list[MessageItem]] = {}
    for item in sorted(items, key=lambda item: ORDER.index(item.kind)):
        by_heading.setdefault(heading_of(language, item), []).append(item)
    return list(by_heading.items())


def _named(language: Locale, item: MessageItem, zone: ZoneInfo) -> NamedMonitor:
    """A monitor among several: since when, or how long it was, and why."""
    since, until = item.facts.since, item.facts.until
    parts = []
    if since is not None and item.kind is NoticeKind.MAINTENANCE_ANNOUNCED:
        parts.append(instant(language, since, zone))
    elif since is not None and item.kind in OVER and until is not None and until >= since:
        parts.append(_length(language, until - since))
    elif since is not None:
        parts.append(language.gettext("since %(clock)s") % {"clock": language.time(since, zone)})
    if item.facts.reason and item.kind not in OVER:
        parts.append(isolated(one_line(item.facts.reason, NAME_CHARACTERS)))
    return NamedMonitor(name_of(item), ", ".join(parts), item.page)
