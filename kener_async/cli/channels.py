"""The commands that list, try and resume channels."""

import json
import sys

import click

from kener_async.cli.common import aligned, message, on_channels, on_database
from kener_async.clock import system_clock
from kener_async.config.model import Config
from kener_async.ops.installation import require_database


@click.group()
def channel() -> None:
    """List, try and resume channels.

    The service may be running.
    """


@channel.command("list")
@click.option("--json", "as_json", is_flag=True, help="As a JSON array.")
@on_database
def list_channels(config: Config, as_json: bool) -> None:
    """List the channels and whether they work.

    Times are UTC. A channel is paused after ten messages in a row that it refused for good.
    """
    from kener_async.ops import channels

    require_database(config)
    found = channels.states(config)
    if as_json:
        click.echo(
            json.dumps([channels.as_json(each, found[each.name]) for each in config.channels], indent=2)
        )
        return
    for line in aligned(list(channels.table(config, found))):
        click.echo(line)


@channel.command()
@click.argument("name")
@on_channels
def test(config: Config, name: str) -> None:
    """Send an example to a channel.

    Prints the request and the answer, without secrets; exits with status 1 when the channel does not take it.
    One that is paused is resumed when it does.
    """
    from kener_async.ops import channels

    require_database(config)
    trial = channels.test(config, name, system_clock())
    for request in trial.requests:
        click.echo(f"{request}\n")
    if not trial.is_delivered:
        message(f"{name}: not delivered: {trial.answer}")
        sys.exit(1)
    click.echo(trial.answer or "accepted")
    message(f"{name}: delivered")


@channel.command()
@click.argument("name")
@on_database
def resume(config: Config, name: str) -> None:
    """Send to a paused channel again.

    What waited for it is sent within half a minute by a running server.
    """
    from kener_async.ops import channels

    require_database(config)
    channels.resume(config, name)
    message(f"{name}: resumed")


COMMANDS = (channel,)
