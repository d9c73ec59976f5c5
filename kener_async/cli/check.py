"""The command that looks at something once, now."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kener_async.cli.common import (
    config_option,
    config_path,
    environment,
    message,
    named_path,
    reserved_segments,
)
from kener_async.domain.errors import DomainError
from kener_async.errors import FatalError

if TYPE_CHECKING:
    from kener_async.config.model import Config
    from kener_async.ops.check import CheckResult
    from kener_async.probes.settings import VantageSettings

COLORS = {"UP": "green", "DEGRADED": "yellow", "DOWN": "red"}
BAR_WIDTH = 40
LABEL_WIDTH = 12
UNICODE, ASCII = ("█", "✓", "✗"), ("#", "+", "x")  # a bar, what holds, what does not


@click.command()
@click.argument("target", metavar="URL|TAG")
@click.option("--expect", multiple=True, metavar="CONDITION", help="What must hold, else it is DOWN.")
@click.option("--warn", multiple=True, metavar="CONDITION", help="What should hold, else it is DEGRADED.")
@click.option("--timeout", metavar="DURATION", help="How long an answer may take. Default: 10s.")
@click.option("-X", "--method", metavar="METHOD", help="The method of an HTTP request.")
@click.option("-H", "--header", multiple=True, metavar="'NAME: VALUE'", help="A header of an HTTP request.")
@click.option("-k", "--insecure", is_flag=True, help="Take any certificate.")
@click.option("-4", "ip", flag_value=4, type=int, help="By IPv4 only.")
@click.option("-6", "ip", flag_value=6, type=int, help="By IPv6 only.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON object.")
@config_option
def check(target: str, path: Path | None, as_json: bool, **options: Any) -> None:
    """Look at an address or a monitor, now.

    One attempt, with its phases and conditions; nothing is stored. An address is https://example.org/health,
    wss://host/feed, tcp://host:port, tls://host:port, ping:host, dns:name, dns:name/MX@192.0.2.53,
    smtp://host, and so on; a TAG is that of a monitor in config.toml with a [monitors.check].

    Exits with status 0 when it is UP, 1 when DOWN or DEGRADED, 2 when it could not be measured.
    """
    from kener_async.ops import check as checks

    try:
        result = _result(target, options)
    except (FatalError, DomainError, OSError) as error:
        message(str(error))
        sys.exit(2)
    if as_json:
        click.echo(json.dumps(checks.as_json(result), indent=2))
    else:
        for line in _lines(result):
            click.echo(line)
    sys.exit(checks.exit_status(result))


def _result(target: str, options: Mapping[str, Any]) -> "CheckResult":
    from kener_async.ops import check as checks

    keys = _keys(options)
    if checks.is_address(target):
        return checks.look(checks.check_of_address(target, {"every": "1h", **keys}), _vantage())
    if keys:
        names = ", ".join(sorted(keys))
        raise FatalError(f"{names}: a monitor is looked at as its [monitors.check] says")
    if named_path() is None and not config_path().exists():
        raise FatalError(
            f"there is no {config_path()} in which {target} could be a monitor; an address is "
            f"https://{target} or ping:{target}"
        )
    config = _config()
    return checks.look(checks.check_of_monitor(config, target), config.checks.vantage)


def _keys(options: Mapping[str, Any]) -> dict[str, object]:
    """The keys of [monitors.check] that the options stand for."""
    keys: dict[str, object] = {}
    for name in ("expect", "warn"):
        if options[name]:
            keys[name] = list(options[name])
    for name in ("timeout", "method", "ip"):
        if options[name]:
            keys[name] = options[name]
    if options["header"]:
        keys["headers"] = dict(_header(each) for each in options["header"])
    if options["insecure"]:
        keys["verify"] = False
    return keys


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.BadParameter(f"{text}: a header is 'Name: value'", param_hint="--header")
    return name.strip(), value.strip()


def _config() -> "Config":
    from kener_async.config.load import load

    return load(config_path(), environment(), reserved_segments)


def _vantage() -> "VantageSettings":
    """How this server looks; without a configuration, as one does by default."""
    from kener_async.config.load import ConfigError, load
    from kener_async.probes.settings import VantageSettings

    if named_path() is None and not config_path().exists():
        return VantageSettings()
    try:
        return load(config_path(), environment(), reserved_segments, secrets_unknown=True).checks.vantage
    except ConfigError:
        message(f"{config_path()} is not valid, so its [checks] are not used")
        return VantageSettings()


# What is shown


def _lines(result: "CheckResult") -> Iterator[str]:
    from kener_async.ops import check as checks

    bar, holds, fails = UNICODE if _shows_unicode() else ASCII
    made = result.attempt
    word = "NOT MEASURED" if made.status is None else made.status.name
    head = click.style(word, fg=COLORS.get(word, "magenta"), bold=True)
    yield "  ".join((head, result.target, *([_time(made.seconds)] if made.seconds else [])))
    if made.reason:
        yield click.style(f"  {made.reason}", fg=COLORS.get(word, "magenta"))
    phases = checks.waterfall(made)
    if phases:
        yield ""
        whole = max(begin + seconds for _, begin, seconds in phases)
        for name, begin, seconds in phases:
            before = round(begin / whole * BAR_WIDTH)
            length = max(1, round(seconds / whole * BAR_WIDTH))
            blocks = click.style(bar * length, fg="cyan")
            yield f"  {name:{LABEL_WIDTH}}{_time(seconds):>10}  {' ' * min(before, BAR_WIDTH - 1)}{blocks}"
    if seen := list(checks.facts(result)):
        yield ""
        yield from (f"  {name:{LABEL_WIDTH}}  {text}" for name, text in seen)
    if result.conditions:
        yield ""
        width = max(len(each.text) for each in result.conditions)
        for each in result.conditions:
            color = "green" if not each.fault else "yellow" if each.is_warning else "red"
            mark = click.style(fails if each.fault else holds, fg=color)
            why = f"  {each.fault}" if each.fault else ""
            yield f"  {mark} {each.text:{width if why else 0}}{why}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _shows_unicode() -> bool:
    try:
        "".join(UNICODE).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


COMMANDS = (check,)
