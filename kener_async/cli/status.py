"""The commands that look: at the fleet, and at what the service depends on."""

import json
import os
import sys
from dataclasses import asdict

import click

from kener_async.cli.common import configured
from kener_async.clock import system_clock
from kener_async.config.model import Config

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--check", is_flag=True, help="End with status 2 when a monitor is DOWN.")
@configured
def status(config: Config, as_json: bool, check: bool) -> None:
    """Show how each monitor stands; also while the service does not run."""
    from kener_async.domain.samples import Status
    from kener_async.ops import status as overview

    seen = overview.look(config, system_clock)
    if not seen.is_served:
        click.echo("no server runs on this database: this is what it knew when it was last there", err=True)
    if as_json:
        click.echo(json.dumps(overview.as_json(seen), indent=2))
    else:
        for line, colour in overview.table(seen):
            _show(line, colour)
        click.echo(overview.summary(seen))
    if check and Status.DOWN in seen.statuses:
        sys.exit(2)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@click.option("--online", is_flag=True, help="Ask at public_url too, as a visitor would.")
@configured
def doctor(config: Config, as_json: bool, online: bool) -> None:
    """Examine clock, disk, permissions, key, tokens, proxy and backups; status 1 when something fails."""
    from kener_async.ops import doctor as doctors

    found = list(doctors.examine(config, system_clock(), online=online))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        for finding in found:
            remedy = f"\n        {finding.remedy}" if finding.remedy else ""
            _show(f"{finding.state:4}  {finding.check}: {finding.text}{remedy}", COLOURS[finding.state])
    if any(finding.state == "fail" for finding in found):
        sys.exit(1)


def _show(line: str, colour: str) -> None:
    """In colour on a terminal, unless NO_COLOR says otherwise."""
    plain = not colour or "NO_COLOR" in os.environ
    click.echo(line if plain else click.style(line, fg=colour))


COMMANDS = (status, doctor)
