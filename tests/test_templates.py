"""Templates: texts to begin an incident with, of config.toml and made beside it."""

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kener_async.config.json_tables import table_of
from kener_async.config.load import load
from kener_async.config.model import TemplateConfig
from kener_async.config.templates import template_body, template_table, templates_in_force
from kener_async.domain.errors import Invalid
from kener_async.domain.incident_updates import IncidentState
from kener_async.domain.samples import Status
from kener_async.domain.templates import Circumstances, filled, listed
from tests.rigs.service import NOON

# Texts


def test_placeholders_are_replaced_and_nothing_else() -> None:
    circumstances = Circumstances(["{monitors}", "b"], "DOWN", NOON, NOON + 300, ZoneInfo("Europe/Berlin"))
    text = "{monitor} {status} {for} {since.x} {{since}} {0} %s {monitors}"
    expected = "{monitors} DOWN 5m {since.x} {2025-12-31 13:00 CET} {0} %s {monitors} and b"
    assert filled(text, circumstances) == expected


def test_without_monitors_and_before_their_time_texts_are_filled_too() -> None:
    circumstances = Circumstances([], "", NOON, NOON - 60, ZoneInfo("UTC"))
    assert filled("{monitor}|{monitors}|{status}|{for}", circumstances) == "|||0s"


def test_many_names_are_counted() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["x"] * 30).endswith("x and 5 others")


# Those in force

CONFIG = """
[[monitors]]
tag = "earth"
[[monitors]]
tag = "mars"
[[templates]]
name = "down"
title = "{monitors} not working"
text = "Since {since}."
state = "investigating"
impact = "DOWN"
monitors = ["*"]
"""


def test_those_of_the_file_win_and_stored_ones_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    config = load(tmp_path / "config.toml", {})
    stored: list[tuple[str, dict[str, Any]]] = [
        ("down", {"title": "Other"}),
        ("slow", {"title": "{monitors} is slow", "monitors": ["mars", "gone"]}),
        ("old", {"title": "Old", "colour": "red"}),
    ]
    found = templates_in_force(config, stored)
    assert list(found.things) == ["down", "slow"]
    down = found.things["down"]
    assert (down.title, down.state, down.impact) == (
        "{monitors} not working",
        IncidentState.INVESTIGATING,
        Status.DOWN,
    )
    assert down.monitors == ("earth", "mars")
    assert found.things["slow"].monitors == ("mars",)
    assert found.shadowed == {"down"}
    assert dict(found.faulty) == {"old": "Invalid colour: unknown key"}


def test_the_json_of_a_table_is_read_back_as_the_table(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    (table,) = load(tmp_path / "config.toml", {}).templates
    assert template_table("down", template_body(table)) == table


@pytest.mark.parametrize("key", ["state", "impact", "monitors", "title", "text", "name"])
def test_a_key_of_a_wrong_type_is_named(key: str) -> None:
    with pytest.raises(Invalid, match=key):
        table_of(TemplateConfig, {"name": "down", "title": "x", key: 7})
