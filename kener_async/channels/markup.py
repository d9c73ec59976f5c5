"""The text of a message in a markup: each value is escaped, and lines are dropped where there is a limit."""

import html
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from kener_async.channels.message import Message
from kener_async.channels.texts import MessageText, TextLink
from kener_async.domain.notices import NoticeKind
from kener_async.domain.samples import Status

BREAK = "\N{ZERO WIDTH SPACE}"
_MARKS = re.compile(r"[*_~`\[\]<>@#$|\\!]|:(?=[^\s\d])")
ELLIPSIS = "…"
# Openings mention whom a channel is to mention.
URGENT = frozenset({NoticeKind.OPENED, NoticeKind.FLAPPING})


@dataclass(frozen=True, slots=True)
class Markup:
    """How a service writes texts. `bold` and `link` take what is escaped already; an address is quoted."""

    escape: Callable[[str], str]
    bold: Callable[[str], str]
    link: Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Tone:
    """How good or bad a message is, at a glance: a symbol, and a colour as RGB."""

    symbol: str
    colour: int


RED, ORANGE, GREEN, BLUE = (
    Tone("🔴", 0xC62828),
    Tone("🟠", 0xEF6C00),
    Tone("🟢", 0x2E7D32),
    Tone("🔵", 0x1565C0),
)


def tone_of(message: Message) -> Tone:
    """The tone of the worst item."""
    tones = {_tone(item.kind, item.facts.status) for item in message.items}
    return next(tone for tone in (RED, ORANGE, BLUE, GREEN) if tone in tones or tone is GREEN)


def _tone(kind: NoticeKind, status: Status | None) -> Tone:
    match kind:
        case NoticeKind.RESOLVED | NoticeKind.RETRACTED:
            return ORANGE if status is Status.DEGRADED else GREEN
        case (
            NoticeKind.TEST | NoticeKind.REMOVED | NoticeKind.ACKNOWLEDGED | NoticeKind.MAINTENANCE_ANNOUNCED
        ):
            return BLUE
        case NoticeKind.SETTLED if status is Status.UP:
            return GREEN
        case NoticeKind.CHANNEL_PAUSED:
            return ORANGE
        case _:
            return RED if status in (Status.DOWN, None) else ORANGE


def is_urgent(message: Message) -> bool:
    """Whether it opens something, so that people are mentioned."""
    return any(item.kind in URGENT for item in message.items) and not message.is_test


def body_lines(text: MessageText, markup: Markup) -> list[str]:
    """The lines below the title."""
    escape = markup.escape
    lines = [
        f"{escape(one.label)}: {escape(one.value)}" if one.label else escape(one.value) for one in text.lines
    ]
    for group in text.groups:
        lines.append(markup.bold(escape(group.heading)))
        for monitor in group.monitors:
            name = markup.link(escape(monitor.name), monitor.page) if monitor.page else escape(monitor.name)
            lines.append(f"• {name}" + (f" ({escape(monitor.detail)})" if monitor.detail else ""))
        if group.others:
            lines.append(f"• {escape(group.others)}")
    return lines


def foot_lines(text: MessageText, markup: Markup) -> list[str]:
    """The last lines: how many are bad now, the site's name, and the links."""
    escape = markup.escape
    foot = " · ".join(escape(part) for part in (text.now, text.site) if part)
    links = " · ".join(markup.link(escape(link.label), link.url) for link in text.links)
    return [line for line in (foot, links) if line]


def fitted(lines: Iterable[str], limit: int, *, foot: Sequence[str] = ()) -> str:
    """The lines joined, at most `limit` UTF-16 units. Whole lines are dropped, `foot` is kept."""
    left = limit - sum(size(line) + 1 for line in foot) - size(ELLIPSIS)
    kept = []
    for line in lines:
        left -= size(line) + 1
        if left < 0:
            kept.append(ELLIPSIS)
            break
        kept.append(line)
    return "\n".join([*kept, *foot])


def size(text: str) -> int:
    """The length in UTF-16 units, which is how most services count."""
    return len(text) + sum(character > "\uffff" for character in text)


def shortened(text: str, limit: int, escape: Callable[[str], str]) -> str:
    """The escaped text, cut before it was escaped so that it has at most `limit` UTF-16 units."""
    escaped = escape(text)
    while size(escaped) > limit:
        text = text[: max(len(text) - max(1, (size(escaped) - limit) // 2), 0)]
        escaped = escape(text) + ELLIPSIS
    return escaped


def address(url: str) -> str:
    """An address in which nothing can end the link around it."""
    return quote(url, safe="/:?#@!$&*+,;=%~-._")


def links_of(text: MessageText) -> list[TextLink]:
    """The links with addresses that are quoted."""
    return [TextLink(link.label, address(link.url)) for link in text.links]


def broken(text: str) -> str:
    """The text with an invisible space after what Markdown, addresses, emoji and mentions would need."""
    return _MARKS.sub(f"\\g<0>{BREAK}", text)


def without_mentions(text: str) -> str:
    """The text as HTML in which no @name is one."""
    return html.escape(text, quote=True).replace("@", f"@{BREAK}")


# Markdown without dependable escapes, as in Mattermost, Rocket.Chat and Zulip.
MARKDOWN = Markup(broken, lambda text: f"**{text}**", lambda text, url: f"[{text}]({address(url)})")
HTML = Markup(
    without_mentions,
    lambda text: f"<b>{text}</b>",
    lambda text, url: f'<a href="{html.escape(address(url))}">{text}</a>',
)
PLAIN = Markup(str, str, lambda text, url: f"{text}: {url}")
