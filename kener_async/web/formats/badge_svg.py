"""Badges: a monitor's status or uptime as a small SVG, or as JSON for shields.io's endpoint badges."""

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from html import escape

from PIL import ImageColor

from kener_async.domain.calendar import DAY, MINUTE
from kener_async.domain.durations import format_window
from kener_async.domain.samples import Status
from kener_async.locales.direction import is_right_to_left, isolated

LABEL_COLOR = "#333333"
UPTIME_COLOR = "#0079ff"
NO_DATA_COLOR = "#9aa4b0"
MAX_TEXT = 64  # characters
SINCE_LAST = 90 * DAY
MAX_SINCE_LAST = 400 * DAY
CACHE_SECONDS = 300  # the shortest that shields.io accepts
WORDS = {
    Status.UP: "up",
    Status.DEGRADED: "degraded",
    Status.DOWN: "down",
    Status.MAINTENANCE: "maintenance",
    Status.NO_DATA: "no data",
}


class Style(StrEnum):
    """The styles of shields.io."""

    FLAT = "flat"
    FLAT_SQUARE = "flat-square"
    PLASTIC = "plastic"
    FOR_THE_BADGE = "for-the-badge"
    SOCIAL = "social"


@dataclass(frozen=True, slots=True)
class Badge:
    """A label and a message with their background colours, `#rrggbb` or `#rrggbbaa`."""

    label: str
    message: str
    color: str
    label_color: str
    style: Style


@dataclass(frozen=True, slots=True)
class Options:
    """The options in a badge's address; `color` None: the default of the badge's kind."""

    label: str
    label_color: str = LABEL_COLOR
    color: str | None = None
    style: Style = Style.FLAT
    since_last: int = SINCE_LAST  # seconds
    hide_duration: bool = False
    is_pinging: bool = False


# Options


def options(query: Mapping[str, str], name: str) -> Options:
    """Parse the options of a badge's address; unknown and invalid ones are ignored.

    `name` is the monitor's, the default label. `sinceLast` below a minute is ignored; above 400 days it
    counts as 400 days, the longest possible history.
    """
    return Options(
        label=_text(query.get("label", "")) or _text(name),
        label_color=_color(query.get("labelColor", "")) or LABEL_COLOR,
        color=_color(query.get("color", "")),
        style=_style(query.get("style", "")),
        since_last=_since_last(query.get("sinceLast", "")),
        hide_duration=query.get("hideDuration") == "true",
        is_pinging=query.get("animate") == "ping",
    )


def status_badge(chosen: Options, status: Status, words: str, colors: Mapping[Status, str]) -> Badge:
    """A badge with the words for a status, on its colour."""
    color = chosen.color or _color(colors.get(status, "")) or NO_DATA_COLOR
    return Badge(chosen.label, words, color, chosen.label_color, chosen.style)


def uptime_badge(chosen: Options, uptime: str, basis: str = "") -> Badge:
    """A badge with the uptime, given in its text form; the label names the window unless that is hidden.

    `basis`: what the figure rests on, if most of the window is unknown.
    """
    label = chosen.label if chosen.hide_duration else f"{chosen.label} {format_window(chosen.since_last)}"
    is_known = uptime != "-"
    message = f"{uptime}%" if is_known else WORDS[Status.NO_DATA]
    if basis:
        message += f", {basis}"
    color = chosen.color or (UPTIME_COLOR if is_known else NO_DATA_COLOR)
    return Badge(label, message, color, chosen.label_color, chosen.style)


def _text(text: str) -> str:
    """One line of at most 64 printable characters.

    Zero-width joiners are kept, because Indian scripts and emoji need them; marks that change the direction
    of text and characters that XML does not allow are removed.
    """
    line = " ".join(text.split())
    line = "".join(character for character in line if character.isprintable() or character in "\u200c\u200d")
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1].rstrip() + "…"


def _color(text: str) -> str | None:
    """Parse a colour in hex digits, with or without "#", or a CSS name; None if it is neither."""
    text = text.strip().lower()
    if named := ImageColor.colormap.get(text):
        return str(named).lower()
    if not re.fullmatch(r"#?([0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})", text):
        return None
    digits = text.removeprefix("#")
    return "#" + (digits if len(digits) >= 6 else "".join(2 * digit for digit in digits))


def _style(text: str) -> Style:
    try:
        return Style(text)
    except ValueError:
        return Style.FLAT


def _since_last(text: str) -> int:
    try:
        seconds = int(text)
    except ValueError:
        return SINCE_LAST
    return min(seconds, MAX_SINCE_LAST) if seconds >= MINUTE else SINCE_LAST


# Formats


def endpoint(badge: Badge) -> dict[str, str | int]:
    """The badge as JSON for shields.io's endpoint badges."""
    return {
        "schemaVersion": 1,
        "label": badge.label,
        "message": badge.message,
        "color": badge.color,
        "labelColor": badge.label_color,
        "style": str(badge.style),
        "cacheSeconds": CACHE_SECONDS,
    }


def svg(badge: Badge) -> str:
    """The badge as an SVG document without scripts, style sheets or web fonts."""
    match badge.style:
        case Style.SOCIAL:
            return _social(badge)
        case Style.FOR_THE_BADGE:
            return _for_the_badge(badge)
        case Style.PLASTIC:
            return _plain(badge, height=18, radius=4, gloss=PLASTIC_GLOSS)
        case Style.FLAT_SQUARE:
            return _plain(badge, height=20, radius=0)
        case Style.FLAT:
            return _plain(badge, height=20, radius=3, gloss=FLAT_GLOSS)


def dot(color: str, is_pinging: bool, title: str) -> str:
    """A dot in a colour; pinging, it sends out rings unless the reader prefers reduced motion.

    Its style sheet is DOT_CSS, whose hash a content security policy has to allow.
    """
    fill = _color(color) or NO_DATA_COLOR
    disc = f'cx="10" cy="10" r="5" fill="{fill}"/>'
    ring = f'<style>{DOT_CSS}</style><circle class="ping" {disc}' if is_pinging else ""
    return _document(20, 20, title, f"{ring}<circle {disc}")


DOT_CSS = (
    "@keyframes ping{75%,to{transform:scale(2);opacity:0}}"
    ".ping{transform-origin:10px 10px;opacity:.75}"
    "@media (prefers-reduced-motion:reduce){.ping{opacity:0}}"
    "@media (prefers-reduced-motion:no-preference)"
    "{.ping{animation:ping 1.4s cubic-bezier(0,0,.2,1) infinite}}"
)


# Drawing

WHITE, INK = "#ffffff", "#111111"
SANS = "Verdana,Geneva,'DejaVu Sans',sans-serif"
# Verdana's widths in thousandths of the size, from the space to the tilde.
WIDTHS = dict(
    zip(
        map(chr, range(32, 127)),
        [
            *(352, 394, 459, 818, 636, 1076, 727, 269, 454, 454, 636, 818, 364, 454, 364, 454),  # space to /
            *(636, 636, 636, 636, 636, 636, 636, 636, 636, 636, 454, 454, 818, 818, 818, 545),  # 0 to ?
            *(1000, 684, 686, 698, 771, 632, 575, 775, 751, 421, 455, 693, 557, 843, 748, 787),  # @ to O
            *(603, 787, 695, 684, 616, 732, 684, 989, 685, 615, 685, 454, 454, 454, 818, 636),  # P to _
            *(636, 601, 623, 521, 623, 596, 352, 623, 633, 274, 344, 592, 274, 973, 633, 607),  # ` to o
            *(623, 623, 427, 521, 394, 633, 592, 818, 592, 592, 525, 635, 454, 635, 818),  # p to ~
        ],
        strict=True,
    )
)
BOLD = 1.14  # average ratio of bold to normal width
OTHER_WIDTH = 650
LEFTWARD_WIDTH = 500  # Hebrew and Arabic
MARK_WIDTH = 300  # a combining mark with a width of its own
Gloss = tuple[tuple[str, float, float], ...]  # colour, offset, opacity
FLAT_GLOSS: Gloss = (("#bbb", 0, 0.1), ("#000", 1, 0.1))
PLASTIC_GLOSS: Gloss = (("#fff", 0, 0.7), ("#aaa", 0.1, 0.1), ("#000", 0.9, 0.3), ("#000", 1, 0.5))


def ink(color: str) -> str:
    """The text colour for a background: white if its contrast is 4:1 or better, else near black.

    White is preferred because the formula underrates it on blues and reds.
    """
    luminance = _luminance(color)
    return WHITE if 1.05 / (luminance + 0.05) >= 4 else INK


def _luminance(color: str) -> float:
    """The relative luminance of a colour (WCAG); a translucent one is laid over white."""
    red, green, blue, alpha = (int((color + "ff")[at : at + 2], 16) / 255 for at in (1, 3, 5, 7))
    over_white = (1 - alpha + alpha * channel for channel in (red, green, blue))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in over_white]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def text_width(text: str, size: float) -> float:
    """The width of a text in Verdana, in the unit of `size`; estimated for scripts that Verdana lacks."""
    return sum(map(_width, text)) * size / 1000


def _width(character: str) -> int:
    if character in WIDTHS:
        return WIDTHS[character]
    category = unicodedata.category(character)
    if category in {"Mn", "Me", "Cf"}:
        return 0
    if category == "Mc":
        return MARK_WIDTH
    if unicodedata.bidirectional(character) in {"R", "AL"}:
        return LEFTWARD_WIDTH
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return 1000
    return WIDTHS.get(unicodedata.normalize("NFD", character)[0], OTHER_WIDTH)


def _plain(badge: Badge, *, height: int, radius: int, gloss: Gloss = ()) -> str:
    left, right = (math.ceil(text_width(text, 11)) + 10 for text in (badge.label, badge.message))
    width, base = left + right, height // 2 + 4
    parts = [
        _left_part(left, height, radius, badge.label_color),
        _right_part(left, right, height, radius, badge.color),
        _gloss(width, height, radius, gloss) if gloss else "",
        f'<g font-family="{SANS}" font-size="11" text-anchor="middle">',
        _written(badge.label, left / 2, base, 11, ink(badge.label_color), is_raised=bool(gloss)),
        _written(badge.message, left + right / 2, base, 11, ink(badge.color), is_raised=bool(gloss)),
        "</g>",
    ]
    return _document(width, height, _alternative_text(badge), "".join(parts))


def _left_part(width: int, height: int, radius: int, color: str) -> str:
    r = radius
    edge = f"H{r}a{r} {r} 0 0 1-{r}-{r}V{r}a{r} {r} 0 0 1 {r}-{r}z" if r else "H0V0z"
    return f'<path fill="{color}" d="M{r} 0H{width}V{height}{edge}"/>'


def _right_part(at: int, width: int, height: int, radius: int, color: str) -> str:
    r, end = radius, at + width
    edge = f"H{end - r}a{r} {r} 0 0 1 {r} {r}V{height - r}a{r} {r} 0 0 1-{r} {r}" if r else f"H{end}V{height}"
    return f'<path fill="{color}" d="M{at} 0{edge}H{at}z"/>'


def _gloss(width: int, height: int, radius: int, gloss: Gloss) -> str:
    stops = "".join(
        f'<stop offset="{offset}" stop-color="{color}" stop-opacity="{opacity}"/>'
        for color, offset, opacity in gloss
    )
    name = f"gloss{height}"
    return (
        f'<linearGradient id="{name}" x2="0" y2="1">{stops}</linearGradient>'
        f'<rect width="{width}" height="{height}" rx="{radius}" fill="url(#{name})"/>'
    )


def _written(text: str, x: float, y: float, size: float, fill: str, *, is_raised: bool) -> str:
    """A text centred on x, stretched to the computed width whatever font the reader has."""
    fit = f'x="{x:g}" textLength="{text_width(text, size):.1f}" lengthAdjust="spacingAndGlyphs"'
    fit += _direction(text)
    shade, opacity = ("#010101", 0.3) if fill == WHITE else ("#ffffff", 0.35)
    look = f'y="{y + 1}" fill="{shade}" fill-opacity="{opacity}" aria-hidden="true"'
    shadow = f"<text {fit} {look}>{escape(text)}</text>" if is_raised else ""
    return f'{shadow}<text {fit} y="{y}" fill="{fill}">{escape(text)}</text>'


def _for_the_badge(badge: Badge) -> str:
    label, message = badge.label.upper(), badge.message.upper()
    label_width, message_width = _spaced_width(label, 10), _spaced_width(message, 10 * BOLD)
    left, right = math.ceil(label_width) + 20, math.ceil(message_width) + 20
    parts = [
        _left_part(left, 28, 0, badge.label_color),
        _right_part(left, right, 28, 0, badge.color),
        f'<g font-family="{SANS}" font-size="10" text-anchor="middle" letter-spacing="1.2">',
        _capitals(label, left / 2, label_width, f'fill="{ink(badge.label_color)}"'),
        _capitals(message, left + right / 2, message_width, f'fill="{ink(badge.color)}" font-weight="bold"'),
        "</g>",
    ]
    return _document(left + right, 28, _alternative_text(badge), "".join(parts))


def _spaced_width(text: str, size: float) -> float:
    return text_width(text, size) + 1.2 * sum(_width(character) > 0 for character in text)


def _capitals(text: str, x: float, width: float, look: str) -> str:
    # The space after the last letter is part of the text's width: half of it moves the letters left.
    fit = f'x="{x + 0.6:g}" y="17.6" textLength="{width:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f"<text {fit}{_direction(text)} {look}>{escape(text)}</text>"


def _direction(text: str) -> str:
    return ' direction="rtl"' if is_right_to_left(text) else ""


def _social(badge: Badge) -> str:
    """A button and a bubble, both white; the badge's colour is a dot before the label."""
    label = badge.label[:1].upper() + badge.label[1:]
    size = 11 * 0.97  # Helvetica in bold beside Verdana
    label_width, message_width = text_width(label, size), text_width(badge.message, size)
    left, right = math.ceil(label_width) + 27, math.ceil(message_width) + 12
    at = left + 7  # where the bubble begins, behind its beak
    face = 'stroke="#d5d5d5" fill'
    parts = [
        '<linearGradient id="button" x2="0" y2="1"><stop stop-color="#fcfcfc"/>'
        '<stop offset="1" stop-color="#ededed"/></linearGradient>',
        f'<rect x=".5" y=".5" width="{left - 1}" height="19" rx="3" {face}="url(#button)"/>',
        f'<rect x="{at - 0.5}" y=".5" width="{right}" height="19" rx="3" {face}="#fafafa"/>',
        f'<path d="M{at - 0.5} 6.5l-3.5 3.5 3.5 3.5" {face}="#fafafa"/>',
        f'<circle cx="11" cy="10" r="4" fill="{badge.color}"/>',
        '<g font-family="\'Helvetica Neue\',Helvetica,Arial,sans-serif" font-size="11" font-weight="bold"'
        ' text-anchor="middle">',
        _written(label, 20 + label_width / 2, 14, size, "#333333", is_raised=True),
        _written(badge.message, at + right / 2 - 0.5, 14, size, "#333333", is_raised=False),
        "</g>",
    ]
    return _document(at + right, 20, _alternative_text(badge), "".join(parts))


def _alternative_text(badge: Badge) -> str:
    return f"{isolated(badge.label)}: {badge.message}"


def _document(width: int, height: int, title: str, content: str) -> str:
    text = escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img"'
        f' aria-label="{text}"><title>{text}</title>{content}</svg>'
    )
