"""The commands that list, publish and delete incidents."""

import json

import click

from kener_async.cli.common import aligned, message, on_database
from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.ops.installation import require_database


@click.group()
def incident() -> None:
    """List, publish and delete incidents.

    The service may be running.
    """


@incident.command("list")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, at most.")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@on_database
def list_incidents(config: Config, limit: int, as_json: bool) -> None:
    """List incidents, newest first.

    Open and closed ones, drafts, and maintenance. Times are UTC.
    """
    from kener_async.ops import incidents

    require_database(config)
    found, now = incidents.newest(config, limit), system_clock()
    if as_json:
        click.echo(json.dumps([incidents.as_json(each, now) for each in found], indent=2))
        return
    for line in aligned(list(incidents.table(found, now))):
        click.echo(line)


@incident.command()
@click.argument("number", type=click.IntRange(1))
@on_database
def publish(config: Config, number: int) -> None:
    """Make a draft public.

    It appears on page, feeds and calendar. The alert rule that made it no longer resolves it: you do.
    """
    from kener_async.ops import incidents

    require_database(config)
    found = incidents.get(config, number)
    if not found.is_draft:
        message(f"incident {number}, {found.title!r}, is public already")
        return
    incidents.publish(config, number)
    message(f"published incident {number}, {found.title!r}")


@incident.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@on_database
def delete(config: Config, number: int, yes: bool) -> None:
    """Delete an incident and its updates.

    It disappears from page, feeds and calendar, and the minutes that it covered count as they were measured.
    To end an incident, resolve it instead.
    """
    from kener_async.ops import incidents

    require_database(config)
    found = incidents.get(config, number)
    if not yes:
        click.confirm(f"Delete incident {number}, {found.title!r}, for good?", abort=True, err=True)
    deleted = incidents.delete(config, number)
    message(f"deleted incident {number}, {deleted.title!r}")


COMMANDS = (incident,)
