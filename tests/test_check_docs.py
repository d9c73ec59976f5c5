"""docs/checks.md and docs/coming-from.md: what they show loads, parses, and is all there is."""

import re
from pathlib import Path

import pytest

from kener_async.config.checks import DEVICE_KINDS, KINDS, NETWORK_KINDS
from kener_async.config.load import ConfigError, load
from kener_async.domain.conditions import KINDS as VALUES
from kener_async.domain.conditions import ConditionFault, parse

DOCS = Path(__file__).parent.parent / "docs"
CHECKS, ELSEWHERE = ((DOCS / name).read_text() for name in ("checks.md", "coming-from.md"))
NAMED = {name: f"{name}-0123456789" for name in re.findall(r"\$([A-Z_]+)", CHECKS + ELSEWHERE)}
BLOCKS = [
    "\n".join(line[4:] for line in block.splitlines())
    for block in re.findall(r"(?:^    .*\n)+", CHECKS, re.MULTILINE)
]
SETTINGS = [block for block in BLOCKS if block.startswith("[")]


@pytest.mark.parametrize("block", SETTINGS)
def test_each_example_loads(tmp_path: Path, block: str):
    (tmp_path / "config.toml").write_text(block)
    config = load(tmp_path / "config.toml", NAMED)
    assert config.warnings == ()
    assert config.agent.checks or config.checks.witnesses or config.monitors[0].check is not None


def test_each_kind_is_in_the_table_with_the_values_that_it_has():
    rows = re.findall(r"^\| (`[a-z0-9` ]+`) \|[^|]*\|[^|]*\| ([^|]*) \|$", CHECKS, re.MULTILINE)
    shown = {kind: values for kinds, values in rows for kind in re.findall(r"`([a-z0-9]+)`", kinds)}
    assert set(shown) >= set(NETWORK_KINDS)
    for kind, each in NETWORK_KINDS.items():
        values = set(re.findall(r"`([a-z]+)`", shown.get(kind, "")))
        wanted = set(each.values) - {"latency", "ip"}
        if kind in ("imap", "pop3"):
            values -= {"status"}
        assert values == wanted, kind
    assert all(f"`{kind}`" in CHECKS for kind in DEVICE_KINDS)


def test_each_value_of_conditions_is_explained():
    assert [value for value in VALUES if f"`{value}" not in CHECKS] == []


@pytest.mark.parametrize(
    "text", re.findall(r'"((?:[a-z]|not )[^"]*)"', "".join(re.findall(r"(?:expect|warn) = \[(.*)\]", CHECKS)))
)
def test_each_condition_in_an_example_parses(text: str):
    assert parse(text).text == text


def test_the_message_in_the_text_is_what_is_said(tmp_path: Path):
    (tmp_path / "config.toml").write_text(
        '[[monitors]]\ntag = "shop"\n[monitors.check]\n\n\nhttp = "http://a/"\nwarn = ["latency < 800"]'
    )
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path / "config.toml", {})
    begin = (
        'config.toml:7: monitors["shop"].check.warn[number 1]: column 11: latency is compared with a duration'
    )
    assert refusal.value.problems[0].removeprefix(f"{tmp_path}/").startswith(begin)
    assert f"    {begin}" in CHECKS


def rows_of(section: str) -> list[tuple[str, str]]:
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", ELSEWHERE, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE)


GATUS_CONDITIONS = [row for row in rows_of("Gatus") if re.match(r"`(?:\[|len|has)", row[0])]
KEYS = [
    (left, keys)
    for section in ("Gatus", "Uptime Kuma", "Kener")
    for left, right in rows_of(section)
    if (keys := re.findall(r"`([a-z_]+ = [^`]+)`", right))
]


@pytest.mark.parametrize(("theirs", "ours"), GATUS_CONDITIONS)
def test_each_condition_of_gatus_is_translated_to_one_that_parses(theirs: str, ours: str):
    found = []
    for text in re.findall(r"`([^`]+)`", ours):
        try:
            found.append(parse(text))
        except ConditionFault:
            assert text == "warn"
    assert found or ours.startswith("no")


@pytest.mark.parametrize(("theirs", "keys"), KEYS)
def test_each_monitor_of_theirs_is_translated_to_lines_that_load(
    tmp_path: Path, theirs: str, keys: list[str]
):
    is_way = any(key.split(" = ")[0] in KINDS for key in keys)
    lines = [] if is_way or keys[0].startswith("group") else ['ping = "example.org"']
    if any(key.startswith("cron") for key in keys):
        keys = [key for key in keys if not key.startswith("every")]
    text = '[[monitors]]\ntag = "a"\n[[monitors]]\ntag = "b"\n[[monitors]]\ntag = "earth"\n[monitors.check]\n'
    (tmp_path / "config.toml").write_text(text + "\n".join([*lines, *keys]))
    config = load(tmp_path / "config.toml", NAMED)
    assert config.by_tag["earth"].check is not None or config.by_tag["earth"].settings.group is not None
