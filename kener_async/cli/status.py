"""The commands that only read: the monitors, the installation, the configuration, the API."""

import json
import os
import sys
from dataclasses import asdict

import click

from kener_async.cli.common import configured, message, on_channels, on_database
from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.errors import FatalError

COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--check", is_flag=True, help="Exit with status 2 when a monitor is DOWN.")
@on_database
def status(config: Config, as_json: bool, check: bool) -> None:
    """Show the status of each monitor.

    The service may be stopped.
    """
    from kener_async.domain.samples import Status
    from kener_async.ops import status as statuses

    monitors = statuses.read_statuses(config, system_clock)
    if not monitors.is_served:
        message("no server is running on this database: this is the state when one last was")
    if as_json:
        click.echo(json.dumps(statuses.as_json(monitors), indent=2))
    else:
        for line, color in statuses.table(monitors):
            _print(line, color)
        for line in statuses.remarks(monitors):
            _print(line, COLORS["warn"])
        click.echo(statuses.summary(monitors))
    if check and Status.DOWN in monitors.statuses:
        sys.exit(2)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@click.option("--online", is_flag=True, help="Request public_url too, as a visitor would.")
@on_channels
def doctor(config: Config, as_json: bool, online: bool) -> None:
    """Diagnose the installation.

    Checks clock, disk, permissions, key, tokens, proxy and backups; exits with status 1 when one fails.
    """
    from kener_async.ops import doctor as diagnosis

    findings = list(diagnosis.examine(config, system_clock(), online=online))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            remedy = f"\n        {finding.remedy}" if finding.remedy else ""
            _print(f"{finding.state:4}  {finding.check}: {finding.text}{remedy}", COLORS[finding.state])
    if any(finding.state == "fail" for finding in findings):
        sys.exit(1)


def _print(line: str, color: str) -> None:
    """Print in color on a terminal, unless NO_COLOR is set."""
    is_plain = not color or "NO_COLOR" in os.environ
    click.echo(line if is_plain else click.style(line, fg=color))


@click.command("check-config")
@click.option("--explain", "tag", metavar="TAG", help="Say what is told of this monitor, and when.")
@configured
def check_config(config: Config, tag: str | None) -> None:
    """Check the configuration.

    Every problem is printed, a line each; then the exit status is 1.
    """
    if config.ignored_variables:
        message(f"ignored, they set nothing: {', '.join(config.ignored_variables)}")
    for text in config.warnings:
        message(f"warning: {text}")
    if tag is not None:
        _explain(config, tag)
        return
    monitors = _counted(len(config.monitors), "monitor", "monitors")
    message(f"OK: {monitors}, {_counted(len(config.categories), 'category', 'categories')}")


def _explain(config: Config, tag: str) -> None:
    from kener_async.config.explanation import explained
    from kener_async.config.fields import describe, suggestion

    if tag not in config.by_tag:
        raise FatalError(f"{describe(tag)} is not a monitor{suggestion(tag, config.by_tag)}")
    for line in explained(config, tag, system_clock()):
        click.echo(line)


def _counted(count: int, singular: str, plural: str) -> str:
    return f"{count} {singular if count == 1 else plural}"


@click.command()
@configured
def openapi(config: Config) -> None:
    """Print the OpenAPI description of the API."""
    from kener_async.api.openapi import document
    from kener_async.app import create_app

    click.echo(json.dumps(document(create_app(config).router, config), indent=2))


COMMANDS = (status, doctor, check_config, openapi)
