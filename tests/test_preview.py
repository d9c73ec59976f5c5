"""The preview image: its format, content, and limits."""

import random
from functools import partial
from io import BytesIO

import pytest
from PIL import Image, ImageChops

from kener_async.domain.samples import Status
from kener_async.web.formats import preview as drawing
from kener_async.web.formats.preview import preview

GREEN, RED = "#4ead94", "#ca3038"
DAYS = [GREEN] * 91
earth = partial(preview, "Earth", "All systems operational", GREEN, DAYS, Status.UP)


def opened(png: bytes) -> Image.Image:
    image = Image.open(BytesIO(png))
    assert image.format == "PNG"
    return image.convert("RGB")


def shown_bars(image: Image.Image) -> list[str]:
    """The colour amid each of the 91 bars."""
    y = drawing.BARS_TOP + drawing.BAR_HEIGHT // 2
    return [color_at(image, drawing.LEFT + place * drawing.STEP + 4, y) for place in range(91)]


def color_at(image: Image.Image, x: int, y: int) -> str:
    pixel = image.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return "#{:02x}{:02x}{:02x}".format(*pixel)


def is_near(one: str, other: str) -> bool:
    """The palette may move a colour by a step."""
    return all(abs(int(one[at : at + 2], 16) - int(other[at : at + 2], 16)) <= 2 for at in (1, 3, 5))


def test_it_is_a_png_of_the_size_feeds_show():
    assert opened(earth()).size == (1200, 630)


def test_the_same_arguments_give_the_same_bytes():
    assert earth() == earth()


def test_the_fullest_image_is_below_30_kilobytes():
    chosen = random.Random(0)
    colors = [f"#{chosen.randrange(1 << 24):06x}" for _ in range(91)]
    assert (
        len(preview("Quite a long title " * 9, "Quite a long sentence " * 9, RED, colors, Status.DOWN))
        < 30_000
    )


def test_bars_are_in_the_colours_given():
    days = [GREEN] * 40 + [RED] + [GREEN] * 50
    for shown, given in zip(shown_bars(opened(preview("", "", GREEN, days, Status.UP))), days, strict=True):
        assert is_near(shown, given)


def test_only_the_last_91_bars_are_shown():
    assert preview("", "", GREEN, [RED] * 9 + DAYS, Status.UP) == preview("", "", GREEN, DAYS, Status.UP)


def test_fewer_bars_end_at_the_right():
    shown = shown_bars(opened(preview("", "", GREEN, [RED] * 3, Status.UP)))
    assert all(is_near(one, drawing.EMPTY) for one in shown[:-3])
    assert all(is_near(one, RED) for one in shown[-3:])


def test_each_status_has_a_mark_of_its_own():
    images = {preview("Earth", "", GREEN, DAYS, status) for status in Status}
    assert len(images) == len(Status)


@pytest.mark.parametrize("text", ["地球", "Überwachung", "पृथ्वी", "Служба", "🚀"])
def test_a_text_the_font_cannot_draw_is_left_out(text: str):
    assert preview(text, "Down", RED, DAYS, Status.DOWN) == preview("", "Down", RED, DAYS, Status.DOWN)
    assert preview("Earth", text, RED, DAYS, Status.DOWN) == preview("Earth", "", RED, DAYS, Status.DOWN)
    assert preview(text, text, RED, DAYS, Status.DOWN) == preview("", "", RED, DAYS, Status.DOWN)


def test_without_a_title_the_sentence_takes_its_place():
    assert preview("", "Down", RED, DAYS, Status.DOWN) == preview("Down", "", RED, DAYS, Status.DOWN)


def test_dashes_are_drawn_as_the_font_can():
    assert preview("Earth \N{EN DASH} Moon", "", GREEN, DAYS, Status.UP) == preview(
        "Earth - Moon", "", GREEN, DAYS, Status.UP
    )


@pytest.mark.parametrize(
    "title", ["W" * 80, "many words " * 20, "Almost exactly one line"], ids=["one word", "words", "a line"]
)
def test_texts_stay_beside_the_disc_and_above_the_bars(title: str):
    with_texts = opened(preview(title, title, GREEN, DAYS, Status.UP))
    without = opened(preview("i", "i", GREEN, DAYS, Status.UP))
    difference = ImageChops.difference(with_texts, without).convert("L").point(lambda step: 255 * (step > 4))
    box = difference.getbbox()
    assert box is not None
    left, top, right, bottom = box
    assert left >= drawing.LEFT + drawing.DISC
    assert right <= drawing.RIGHT + 2
    assert top > drawing.CARD_MARGIN
    assert bottom < drawing.BARS_TOP


def test_without_bars_the_rest_is_centred():
    image = opened(preview("", "", RED, [], Status.NO_DATA))
    edges = [y for y in range(630) if is_near(color_at(image, 600, y), RED)]
    assert abs((edges[0] + edges[-1]) / 2 - 315) <= 1
