"""Templates: texts to begin an incident with, of config.toml and made beside it."""

from zoneinfo import ZoneInfo

import pytest

from kener_async.config.json_tables import table_of
from kener_async.config.model import TemplateConfig
from kener_async.config.templates import template_body, template_table, templates_in_force
from kener_async.domain.errors import Invalid
from kener_async.domain.incident_updates import IncidentState
from kener_async.domain.samples import Status
from kener_async.domain.templates import Circumstances, filled, listed
from tests.rigs.service import NOON, a_monitor
from tests.test_config import load

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
