"""docs/alerts.md: its settings load, its terms are the program's, its three lines verify signatures."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kener_async.channels.signature import HEADER, signature
from kener_async.cli.main import main
from kener_async.config.channels import CHANNELS
from kener_async.config.load import load
from kener_async.config.schema import keys_of
from kener_async.config.tables import AlertTable, MonitorTable
from kener_async.domain.deliveries import FAULTS_UNTIL_PAUSED, LAST_RESORT_AFTER, RETRY_DELAYS
from kener_async.domain.placeholders import PLACEHOLDERS
from tests.test_config import NAMED

DOCS = Path(__file__).parent.parent / "docs/alerts.md"
TEXT = DOCS.read_text()
MONITORS = '[[categories]]\nname = "Planets"\n[[monitors]]\ntag = "earth"\ncategory = "Planets"\n'
VARIABLES = {**{key: value for key, value in NAMED.items() if "_MAIL_" not in key}, "SMTP_PASSWORD": "p"}


def blocks(text: str = TEXT) -> list[str]:
    """The indented blocks; empty lines within one are of it."""
    found = re.findall(r"(?:^    .*\n(?:\n(?=    ))*)+", text, re.MULTILINE)
    return ["\n".join(line[4:] for line in block.splitlines()).strip() for block in found]


WITHOUT_VALUE = {"acknowledge"}  # there is no page to acknowledge alerts on
SETTINGS = [block for block in blocks() if re.match(r"\[+[a-z]+\]", block)]


def test_the_examples_load_together_and_show_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(MONITORS + "\n\n".join(SETTINGS))
    config = load(path, VARIABLES)
    assert {channel.kind for channel in config.channels} == set(CHANNELS)
    assert [alert.rule.name for alert in config.alerts] == ["outage", "public"]
    assert config.rules_of("earth")[1].template == "down"


@pytest.mark.parametrize("block", SETTINGS)
def test_each_example_of_a_channel_passes_check_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: str
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "config.toml"
    slack = '[[channels]]\nname = "slack"\nkind = "slack"\nurl = "$SLACK_URL"\n'
    path.write_text(MONITORS + (slack if 'to = ["slack"]' in block else "") + block)
    done = CliRunner().invoke(main, ["--config", str(path), "check-config"])
    assert done.exit_code == 0, done.output
    assert "OK: 1 monitor, 1 category" in done.output


def test_the_explanation_is_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_URL", "https://hooks.example.org/")
    heartbeat = 'heartbeat = { interval = "5m", grace = "5m", down_after = "30m" }\n'
    path = tmp_path / "config.toml"
    path.write_text(f'[[monitors]]\ntag = "earth"\n{heartbeat}{SETTINGS[0]}')
    done = CliRunner().invoke(main, ["--config", str(path), "check-config", "--explain", "earth"])
    (shown,) = (block for block in blocks() if block.startswith("kener-async check-config"))
    printed = done.output.splitlines()
    lines = [line for line in shown.splitlines()[2:] if line.strip() != "..."]
    assert len(lines) == 6
    assert [line for line in lines if line not in printed] == []


def test_the_keys_that_the_tables_name_exist() -> None:
    known = {each.field.data_key or name for name, each in keys_of(AlertTable).items()}
    known |= {"interval", "grace", "down_after", *keys_of(MonitorTable)}
    named = set(re.findall(r"`([a-z_]+) = ", TEXT))
    assert named - known == set()
    assert {"after", "count", "recover_count", "remind_every", "hours", "depends_on"} <= named


@pytest.mark.parametrize(
    "command",
    [
        "alert list",
        "alert ack",
        "alert snooze",
        "channel list",
        "channel test",
        "channel resume",
        "check-config",
    ],
)
def test_the_commands_exist_and_are_named(command: str) -> None:
    assert command in TEXT
    assert CliRunner().invoke(main, [*command.split(), "--help"]).exit_code == 0


def test_the_delays_are_those_of_the_program() -> None:
    assert (FAULTS_UNTIL_PAUSED, LAST_RESORT_AFTER) == (10, 600)
    assert RETRY_DELAYS == (5, 15, 45, 120, 300, 600, 1800)
    assert "after 5, 15 and 45 s, 2, 5, 10 and 30 min, then every 30 min" in " ".join(TEXT.split())


def test_the_placeholders_of_bodies_are_those_of_the_program() -> None:
    own = TEXT.partition("A `body` of your own")[2].partition("\n\n")[0]
    assert set(re.findall(r"`\{(\w+)\}`", own)) == set(PLACEHOLDERS) - WITHOUT_VALUE


# Signatures

SECRET = "0123456789abcdef-signing"
BODY = json.dumps({"description": "Grüße 'quoted' \"and\" \\ more"}).encode() + b"\n"
PYTHON = """\
import hashlib, hmac, json, sys, time
given = json.load(sys.stdin)
header, secret, body = given["header"], given["secret"], given["body"].encode()
{}
print(json.dumps(is_valid))
"""
NODE = """\
const crypto = require("crypto");
const given = JSON.parse(require("fs").readFileSync(0));
const header = given.header, secret = given.secret, body = Buffer.from(given.body);
{}
console.log(JSON.stringify(isValid));
"""
PHP = """\
<?php
$given = json_decode(file_get_contents("php://stdin"), true);
$header = $given["header"]; $secret = $given["secret"]; $body = $given["body"];
{}
echo json_encode($isValid);
"""


def three_lines(begin: str) -> str:
    (found,) = (block for block in blocks() if block.startswith(begin))
    assert len(found.splitlines()) == 3
    return found


def of_python(given: str) -> str:
    program = PYTHON.replace("{}", three_lines("t, v1 ="))
    return run([sys.executable, "-c", program], given)


def of_node(given: str) -> str:
    return run(["node", "-e", NODE.replace("{}", three_lines("const [t, v1]"))], given)


def of_php(given: str) -> str:
    program = PHP.replace("{}", three_lines("[$t, $v1]")).removeprefix("<?php\n")
    return run(["php", "-d", "display_errors=stderr", "-r", program], given)


def run(command: list[str], given: str) -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() if done.returncode == 0 else "error"


LANGUAGES = {"python": of_python, "node": of_node, "php": of_php}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("change", "is_valid"),
    [
        ({}, True),
        ({"body": BODY.decode() + " "}, False),
        ({"secret": SECRET + "x"}, False),
        ({"age": 330}, False),
        ({"age": -400}, False),
        ({"age": 200}, True),
        ({"header": "t={t},v1=" + "0" * 64}, False),
        ({"header": "t={later},v1={v1}"}, False),
        ({"header": "nonsense"}, False),
        ({"header": "t={t},v1="}, False),
    ],
    ids=str,
)
def test_three_lines_verify_a_signature(language: str, change: dict[str, object], is_valid: bool) -> None:
    verify: Callable[[str], str] = LANGUAGES[language]
    if shutil.which(language) is None and language != "python" and "CI" not in os.environ:
        pytest.skip(f"{language} is not installed: tools/setup.sh tests")
    at = int(time.time()) - int(str(change.get("age", 0)))
    signed = signature(SECRET, at, BODY)
    written = str(change.get("header", signed))
    header = written.replace("{t}", str(at)).replace("{later}", str(at + 1)).replace("{v1}", signed[-64:])
    given = {
        "header": header,
        "secret": change.get("secret", SECRET),
        "body": change.get("body", BODY.decode()),
    }
    answer = verify(json.dumps(given))
    assert (answer == "true") is is_valid
    assert answer in {"true", "false", "error"}


def test_the_documentation_names_the_header() -> None:
    assert f"`{HEADER}: t=" in TEXT
