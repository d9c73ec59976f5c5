"""The preview image for links in chats and social networks: status icon, title, summary, bars of the days."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import cast

from PIL import Image, ImageDraw, ImageFont

from kener_async.domain.samples import Status
from kener_async.web.formats.badge_svg import WHITE, ink

WIDTH, HEIGHT = 1200, 630
GROUND, CARD, LINE, EMPTY = "#eef1f4", "#ffffff", "#d9dee4", "#e8ebef"
TEXT, MUTED = "#1d2430", "#5a6472"
SMOOTH = 4  # times larger: shapes are drawn at this scale and reduced, which smooths their edges

CARD_MARGIN, CARD_RADIUS = 32, 26
BARS, BAR_WIDTH, BAR_HEIGHT, STEP = 91, 8, 108, 11
LEFT = (WIDTH - (BARS - 1) * STEP - BAR_WIDTH) // 2
RIGHT = WIDTH - LEFT
BARS_TOP = 421
DISC = 220
MIDDLE = 212  # of the disc and the texts, above the bars
TEXT_LEFT = LEFT + DISC + 44
TEXT_WIDTH = RIGHT - TEXT_LEFT

ONE_LINE_SIZES, TWO_LINES_SIZE, SENTENCE_SIZE = (76, 68, 60), 52, 38
# Characters that the font lacks, and those that replace them.
LIKENESSES = str.maketrans(
    {"\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{MINUS SIGN}": "-", "\N{NO-BREAK SPACE}": " "}
)

Font = ImageFont.FreeTypeFont
Draw = ImageDraw.ImageDraw


def preview(title: str, sentence: str, color: str, bars: Sequence[str], status: Status) -> bytes:
    """A PNG of 1200 x 630 pixels, the same bytes for the same arguments.

    Colours are `#rrggbb`; `bars` are the colours of days, oldest first, of which the last 91 are drawn. The
    font is Latin: a text with other characters is left out, because they would be drawn as boxes, and without
    the title the sentence takes its place.
    """
    image = _ground().copy()
    texts = [text for text in (_drawable(title), _drawable(sentence)) if text]
    lines = [line for text, lay in zip(texts, (_title, _sentence), strict=False) for line in lay(text)]
    middle = MIDDLE if bars else HEIGHT // 2
    _draw_mark(image, LEFT if lines else (WIDTH - DISC) // 2, middle - DISC // 2, color, status)
    _draw_lines(image, lines, middle)
    if bars:
        _draw_bars(image, bars)
    return _png(image)


def _png(image: Image.Image) -> bytes:
    """Encode with a palette, which halves size and time and changes colours by one step at most."""
    file = BytesIO()
    palette = image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette.save(file, "PNG")
    return file.getvalue()


# Shapes


def _smooth(width: int, height: int, draw: Callable[[Draw], None]) -> Image.Image:
    """A mask of what `draw` draws in coordinates SMOOTH times as large."""
    mask = Image.new("L", (width * SMOOTH, height * SMOOTH))
    draw(ImageDraw.Draw(mask))
    return mask.reduce(SMOOTH)


def _rounded(width: int, height: int, radius: int) -> Image.Image:
    box = (0, 0, width * SMOOTH - 1, height * SMOOTH - 1)
    return _smooth(width, height, lambda draw: draw.rounded_rectangle(box, radius * SMOOTH, 255))


@cache
def _ground() -> Image.Image:
    """The background with the card."""
    image = Image.new("RGB", (WIDTH, HEIGHT), GROUND)
    for inset, color in ((0, LINE), (2, CARD)):
        margin = CARD_MARGIN + inset
        card = _rounded(WIDTH - 2 * margin, HEIGHT - 2 * margin, CARD_RADIUS - inset)
        image.paste(color, (margin, margin), card)
    return image


@cache
def _bar() -> Image.Image:
    return _rounded(BAR_WIDTH, BAR_HEIGHT, 3)


def _draw_bars(image: Image.Image, bars: Sequence[str]) -> None:
    """Draw the bars up to the right edge; days before the first are pale."""
    colors = [EMPTY] * (BARS - len(bars)) + list(bars[-BARS:])
    for place, color in enumerate(colors):
        image.paste(color, (LEFT + place * STEP, BARS_TOP), _bar())


@cache
def _disc() -> Image.Image:
    return _rounded(DISC, DISC, DISC // 2)


@cache
def _mark(status: Status) -> Image.Image:
    return _smooth(DISC, DISC, lambda draw: MARKS[status](Pen(draw, DISC * SMOOTH / 100)))


def _draw_mark(image: Image.Image, left: int, top: int, color: str, status: Status) -> None:
    image.paste(color, (left, top), _disc())
    image.paste(CARD if ink(color) == WHITE else TEXT, (left, top), _mark(status))


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws lines with round ends; `unit` is a hundredth of the image's side, in pixels."""

    draw: Draw
    unit: float

    def dot(self, x: float, y: float, radius: float, fill: int = 255) -> None:
        self.draw.circle((x * self.unit, y * self.unit), radius * self.unit, fill)

    def stroke(self, *points: tuple[float, float], width: float = 10, fill: int = 255) -> None:
        self.draw.line([(x * self.unit, y * self.unit) for x, y in points], fill, round(width * self.unit))
        for x, y in points:
            self.dot(x, y, width / 2, fill)

    def arc(self, x: float, y: float, radius: float, start: float, end: float, width: float = 10) -> None:
        """Draw clockwise about (x, y), in degrees from three o'clock; `radius` is to the stroke's middle."""
        outer = radius + width / 2
        box = [edge * self.unit for edge in (x - outer, y - outer, x + outer, y + outer)]
        self.draw.arc(box, start, end, 255, round(width * self.unit))


def _check(pen: Pen) -> None:
    pen.stroke((29, 52), (44, 67), (72, 36))


def _exclamation(pen: Pen) -> None:
    pen.stroke((50, 28), (50, 55))
    pen.dot(50, 73, 6.2)


def _cross(pen: Pen) -> None:
    pen.stroke((34, 34), (66, 66))
    pen.stroke((66, 34), (34, 66))


def _wrench(pen: Pen) -> None:
    pen.stroke((33, 67), (60, 40), width=13)
    pen.dot(62, 38, 16)
    pen.stroke((64, 36), (80, 20), width=12, fill=0)
    pen.dot(33, 67, 2.6, fill=0)


def _question(pen: Pen) -> None:
    pen.arc(50, 38, 13, 180, 410)
    pen.dot(37, 38, 5)
    pen.stroke((58.4, 48), (50, 57))
    pen.dot(50, 74, 6.2)


MARKS: Mapping[Status, Callable[[Pen], None]] = {
    Status.UP: _check,
    Status.DEGRADED: _exclamation,
    Status.DOWN: _cross,
    Status.MAINTENANCE: _wrench,
    Status.NO_DATA: _question,
}


# Texts


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text to draw; a stroke makes it bold."""

    text: str
    font: Font
    color: str
    stroke: int = 0

    @property
    def height(self) -> float:
        return 1.3 * self.font.size


@cache
def _font(size: int) -> Font:
    """Pillow's default font; with a size it is the scalable one."""
    return cast(Font, ImageFont.load_default(size))


@cache
def _glyph(character: str) -> bytes:
    return bytes(_font(SENTENCE_SIZE).getmask(character))


def _drawable(text: str) -> str:
    """The text on one line if the font has all its characters, else nothing."""
    line = " ".join(text.translate(LIKENESSES).split())
    missing = _glyph("\U0010ffff")
    return line if all(_glyph(character) != missing for character in line) else ""


def _title(text: str) -> list[TextLine]:
    """One line in the largest size that fits, else two lines."""
    for size in ONE_LINE_SIZES:
        if _font(size).getlength(text) <= TEXT_WIDTH:
            return [TextLine(text, _font(size), TEXT, stroke=1)]
    font = _font(TWO_LINES_SIZE)
    return [TextLine(line, font, TEXT, stroke=1) for line in _two_lines(text, font)]


def _sentence(text: str) -> list[TextLine]:
    font = _font(SENTENCE_SIZE)
    return [TextLine(line, font, MUTED) for line in _two_lines(text, font)]


def _two_lines(text: str, font: Font) -> list[str]:
    """Up to two lines, broken between words; lines that are too long end in an ellipsis."""
    words = text.split()
    count = len(words)
    while count > 1 and font.getlength(" ".join(words[:count])) > TEXT_WIDTH:
        count -= 1
    lines = (" ".join(words[:count]), " ".join(words[count:]))
    return [_cut(line, font) for line in lines if line]


def _cut(line: str, font: Font) -> str:
    if font.getlength(line) <= TEXT_WIDTH:
        return line
    while font.getlength(f"{line}…") > TEXT_WIDTH:
        line = line[:-1].rstrip()
    return f"{line}…"


def _draw_lines(image: Image.Image, lines: Sequence[TextLine], middle: int) -> None:
    """Draw the lines as a block centred vertically on `middle`."""
    draw, y = ImageDraw.Draw(image), middle - sum(line.height for line in lines) / 2
    for line in lines:
        place = (TEXT_LEFT, y + line.height / 2)
        draw.text(place, line.text, line.color, line.font, anchor="lm", stroke_width=line.stroke)
        y += line.height
