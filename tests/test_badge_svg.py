"""Badges: query parameters, drawing, legible and harmless output."""

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.domain.samples import Status
from kener_async.web.formats import badge_svg
from kener_async.web.formats.badge_svg import Badge, Options, Style, options, status_badge, svg, uptime_badge

COLORS = {Status.UP: "#4ead94", Status.DEGRADED: "#e6ca61", Status.DOWN: "#ca3038"}
SVG = "{http://www.w3.org/2000/svg}"
EARTH = Badge("Earth", "up", "#4ead94", "#333333", Style.FLAT)
DAY = 86400


def texts(drawn: str) -> list[ElementTree.Element]:
    """The texts of a badge without their shadows: the label and the message."""
    found = ElementTree.fromstring(drawn).iter(f"{SVG}text")
    return [text for text in found if "aria-hidden" not in text.attrib]


def test_without_options_a_badge_has_the_monitors_name_and_is_flat():
    assert options({}, "Earth") == Options(
        label="Earth",
        label_color="#333333",
        color=None,
        style=Style.FLAT,
        since_last=90 * DAY,
        hide_duration=False,
        is_pinging=False,
    )


@pytest.mark.parametrize(
    ("query", "changed"),
    [
        pytest.param({"label": "Terra"}, {"label": "Terra"}, id="a label replaces the name"),
        pytest.param({"label": "  "}, {}, id="a blank label is none"),
        pytest.param({"label": "a\n b\tc"}, {"label": "a b c"}, id="a label is one line"),
        pytest.param({"label": "a\x00\x1b\ufffe\u202eb"}, {"label": "ab"}, id="what cannot be printed goes"),
        pytest.param({"label": "क्\u200dष"}, {"label": "क्\u200dष"}, id="a joiner stays"),
        pytest.param({"label": "x" * 64}, {"label": "x" * 64}, id="64 characters are whole"),
        pytest.param({"label": "x" * 65}, {"label": "x" * 63 + "…"}, id="65 characters are cut"),
        pytest.param({"labelColor": "#0f8"}, {"label_color": "#00ff88"}, id="three digits"),
        pytest.param({"labelColor": "0F8c"}, {"label_color": "#00ff88cc"}, id="four digits, no #"),
        pytest.param({"labelColor": "123456"}, {"label_color": "#123456"}, id="six digits"),
        pytest.param({"labelColor": "#12345678"}, {"label_color": "#12345678"}, id="eight digits"),
        pytest.param({"labelColor": "RebeccaPurple"}, {"label_color": "#663399"}, id="a name"),
        pytest.param({"labelColor": "12345"}, {}, id="five digits are no colour"),
        pytest.param({"labelColor": 'red"/><script>'}, {}, id="markup is no colour"),
        pytest.param({"labelColor": "url(#a)"}, {}, id="a reference is no colour"),
        pytest.param({"labelColor": "123456\n"}, {"label_color": "#123456"}, id="space about a colour"),
        pytest.param({"color": "tomato"}, {"color": "#ff6347"}, id="a colour replaces the badge's own"),
        pytest.param({"color": "nonsense"}, {}, id="no colour leaves the badge's own"),
        pytest.param({"style": "for-the-badge"}, {"style": Style.FOR_THE_BADGE}, id="a style"),
        pytest.param({"style": "baroque"}, {}, id="an unknown style is flat"),
        pytest.param({"sinceLast": "3600"}, {"since_last": 3600}, id="an hour"),
        pytest.param({"sinceLast": "60"}, {"since_last": 60}, id="a minute is the shortest"),
        pytest.param({"sinceLast": "59"}, {}, id="less than a minute is ignored"),
        pytest.param({"sinceLast": "-5"}, {}, id="less than nothing is ignored"),
        pytest.param({"sinceLast": "a day"}, {}, id="words are ignored"),
        pytest.param({"sinceLast": "9" * 5000}, {}, id="digits without end are ignored"),
        pytest.param({"sinceLast": str(500 * DAY)}, {"since_last": 400 * DAY}, id="at most 400 days"),
        pytest.param({"hideDuration": "true"}, {"hide_duration": True}, id="no duration"),
        pytest.param({"hideDuration": "1"}, {}, id="only true hides the duration"),
        pytest.param({"animate": "ping"}, {"is_pinging": True}, id="a ping"),
        pytest.param({"animate": "spin"}, {}, id="no other motion"),
        pytest.param({"logo": "github"}, {}, id="unknown options are ignored"),
    ],
)
def test_options(query: dict[str, str], changed: dict[str, Any]):
    assert options(query, "Earth") == replace(options({}, "Earth"), **changed)


@pytest.mark.parametrize(
    ("status", "word", "color"),
    [
        (Status.UP, "up", "#4ead94"),
        (Status.DEGRADED, "degraded", "#e6ca61"),
        (Status.DOWN, "down", "#ca3038"),
        (Status.MAINTENANCE, "maintenance", badge_svg.NO_DATA_COLOR),
        (Status.NO_DATA, "no data", badge_svg.NO_DATA_COLOR),
    ],
)
def test_a_status_is_a_word_on_its_colour_or_on_grey(status: Status, word: str, color: str):
    badge = status_badge(options({}, "Earth"), status, word, COLORS)
    assert (badge.label, badge.message, badge.color) == ("Earth", word, color)


@pytest.mark.parametrize(
    ("query", "uptime", "label", "message", "color"),
    [
        pytest.param({}, "99.9306", "Earth 90d", "99.9306%", "#0079ff", id="ninety days, blue"),
        pytest.param({"sinceLast": "900"}, "100", "Earth 15m", "100%", "#0079ff", id="a quarter of an hour"),
        pytest.param({"hideDuration": "true"}, "0", "Earth", "0%", "#0079ff", id="without the duration"),
        pytest.param({}, "-", "Earth 90d", "no data", badge_svg.NO_DATA_COLOR, id="nothing known is grey"),
        pytest.param(
            {"color": "navy"}, "-", "Earth 90d", "no data", "#000080", id="a colour asked for stays"
        ),
    ],
)
def test_uptime_badge(query: dict[str, str], uptime: str, label: str, message: str, color: str):
    badge = uptime_badge(options(query, "Earth"), uptime)
    assert (badge.label, badge.message, badge.color) == (label, message, color)


def test_the_endpoint_form_is_the_one_shields_reads():
    assert badge_svg.endpoint(EARTH) == {
        "schemaVersion": 1,
        "label": "Earth",
        "message": "up",
        "color": "#4ead94",
        "labelColor": "#333333",
        "style": "flat",
        "cacheSeconds": 300,
    }


@pytest.mark.parametrize("style", Style)
def test_a_badge_says_what_it_shows(style: Style):
    root = ElementTree.fromstring(svg(replace(EARTH, style=style)))
    assert root.get("role") == "img"
    assert root.get("aria-label") == root.findtext(f"{SVG}title") == "Earth: up"


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize(
    "label", ["Earth", "W" * 64, "i" * 64, "地球の衛星" * 6, "पृथ्वी की स्थिति", "مرحبا", "Größe 🚀"]
)
def test_texts_stay_within_the_badge_and_apart(style: Style, label: str):
    drawn = svg(replace(EARTH, label=label, style=style))
    width = float(ElementTree.fromstring(drawn).attrib["width"])
    ends = []
    for text in texts(drawn):
        middle, length = float(text.attrib["x"]), float(text.attrib["textLength"])
        ends += [middle - length / 2, middle + length / 2]
    label_start, label_end, message_start, message_end = ends
    assert label_start >= 4
    assert label_end + 8 <= message_start
    assert message_end <= width - 4


@pytest.mark.parametrize(
    ("text", "ems"),
    [
        pytest.param("MM", 1.686, id="letters by their table"),
        pytest.param("é", 0.596, id="an accent adds nothing"),
        pytest.param("e\u0301", 0.596, id="nor does one of its own"),
        pytest.param("地球", 2, id="wide characters are square"),
        pytest.param("🚀", 1, id="and so are emoji"),
    ],
)
def test_width(text: str, ems: float):
    assert badge_svg.text_width(text, 1) == pytest.approx(ems)


colors = st.tuples(*[st.integers(0, 255)] * 3).map(lambda rgb: "#{:02x}{:02x}{:02x}".format(*rgb))


def contrast(one: str, other: str) -> float:
    """By WCAG 2, recounted."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@given(colors)
def test_text_contrasts_with_every_colour(color: str):
    assert contrast(color, badge_svg.ink(color)) >= 4


@pytest.mark.parametrize(
    ("color", "ink"),
    [
        pytest.param("#333333", badge_svg.WHITE, id="white on the label's grey"),
        pytest.param("#0079ff", badge_svg.WHITE, id="white on blue"),
        pytest.param("#ca3038", badge_svg.WHITE, id="white on red"),
        pytest.param("#4ead94", badge_svg.INK, id="dark on green"),
        pytest.param("#e6ca61", badge_svg.INK, id="dark on yellow"),
        pytest.param("#00000000", badge_svg.INK, id="dark on what cannot be seen"),
        pytest.param("#000000ff", badge_svg.WHITE, id="white on solid black"),
    ],
)
def test_ink(color: str, ink: str):
    assert badge_svg.ink(color) == ink


strange = st.text() | st.sampled_from(['"><script>alert(1)</script>', "]]>", "&amp;", "\x00", "' onload='x"])
queries = st.dictionaries(
    st.sampled_from(["label", "labelColor", "color", "style", "sinceLast", "hideDuration", "animate"]),
    strange,
)


@given(queries, strange, st.sampled_from(Style))
def test_any_query_gives_harmless_svg(query: dict[str, str], name: str, style: Style):
    asked = replace(options(query, name), style=style)
    for badge in (uptime_badge(asked, "100"), status_badge(asked, Status.UP, "up", COLORS)):
        root = ElementTree.fromstring(svg(badge))
        assert root.get("aria-label") == f"{badge.label}: {badge.message}"
        for element in root.iter():
            assert element.tag.removeprefix(SVG) in {
                *("svg", "title", "g", "path", "rect", "circle", "text", "linearGradient", "stop"),
            }
            assert not [name for name in element.attrib if name.startswith("on") or name.endswith("href")]
            assert re.fullmatch(r"#\w{3,8}|url\(#\w+\)|", element.get("fill", ""))


def test_a_dot_is_a_disc_in_its_colour():
    root = ElementTree.fromstring(badge_svg.dot("ca3038", False, "Earth & Moon: down"))
    assert [one.get("fill") for one in root.iter(f"{SVG}circle")] == ["#ca3038"]
    assert root.get("aria-label") == "Earth & Moon: down"
    assert root.find(f"{SVG}style") is None


def test_a_pinging_dot_moves_only_for_readers_who_allow_motion():
    root = ElementTree.fromstring(badge_svg.dot("#ca3038", True, "down"))
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    style = root.findtext(f"{SVG}style")
    assert style == badge_svg.DOT_CSS
    before, after = style.split("(prefers-reduced-motion:no-preference)")
    assert "animation" not in before
    assert "animation:ping" in after


def test_a_dot_in_no_colour_is_grey():
    root = ElementTree.fromstring(badge_svg.dot('"/><script>', False, "down"))
    assert [one.get("fill") for one in root.iter(f"{SVG}circle")] == [badge_svg.NO_DATA_COLOR]
