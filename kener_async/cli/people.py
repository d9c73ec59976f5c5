"""The commands that add, list, reset and deactivate people."""

import json

import click

from kener_async.cli.common import aligned, message, on_database
from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.domain.people import Role
from kener_async.ops.installation import INIT, require_database

ROLES = [role.name.lower() for role in Role]


@click.group()
def person() -> None:
    """Add, list, reset and deactivate people.

    The service may be running.
    """


@person.command()
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(ROLES), help="Each may do what those before it may.")
@click.option("--category", "categories", multiple=True, help="Limit them to monitors of it. Default: all.")
@click.option("--email", default="", help="Their address.")
@click.option("--init", is_flag=True, help="Make the database, if there is none yet.")
@on_database
def add(config: Config, name: str, role: str, categories: tuple[str, ...], email: str, init: bool) -> None:
    """Add a person and print their link.

    With it they set a password or a passkey. It can be used once, within a day. The first start of the
    service makes the database; before it, --init does.
    """
    from kener_async.ops import people

    if not init:
        require_database(config, INIT)
    link = people.add(config, name, Role[role.upper()], categories, email)
    message(f"added {name}; this link can be used once, until {people.invitation_end(system_clock())}:")
    click.echo(link)


@person.command()
@click.argument("name")
@on_database
def reset(config: Config, name: str) -> None:
    """Reset a person and print a new link.

    For a person who has lost everything. Password, codes and passkeys are removed, and sessions end.
    """
    from kener_async.ops import people

    require_database(config)
    link = people.reset(config, name)
    message(f"reset {name}; this link can be used once, until {people.invitation_end(system_clock())}:")
    click.echo(link)


@person.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@on_database
def list_people(config: Config, as_json: bool) -> None:
    """List all people.

    With their role, what they sign in with, and when they were last seen.
    """
    from kener_async.ops import people

    require_database(config)
    found = people.records(config)
    if as_json:
        click.echo(json.dumps([people.as_json(record) for record in found], indent=2, ensure_ascii=False))
        return
    for line in aligned(list(people.table(found, system_clock()))):
        click.echo(line)


@person.command()
@click.argument("name")
@on_database
def deactivate(config: Config, name: str) -> None:
    """Deactivate a person and end their sessions.

    They keep their name in the audit log and on incidents. `person reset` makes them active again.
    """
    from kener_async.ops import people

    require_database(config)
    message(f"deactivated {people.deactivate(config, name).name}")


COMMANDS = (person,)
