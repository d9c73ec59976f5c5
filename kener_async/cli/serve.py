"""The commands that run the service."""

import gc
import os
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

from kener_async.cli.common import (
    config_path,
    configured,
    environment,
    exit_on_error,
    program,
    reserved_segments,
)
from kener_async.config.load import defaults, load
from kener_async.config.model import Config
from kener_async.demo import SCENES
from kener_async.errors import FatalError
from kener_async.ops.addresses import local_url

WELCOME = """
  The page      {url}/
  The API       {url}/api/docs
  A token       {program} token create --name my-device
  A heartbeat   curl {url}/api/status -H "Authorization: Bearer $({program} token create --name curl)" \\
                  -d '{{"tag": "{tag}", "status": "UP", "latency": 0.042}}'
"""


@click.command()
@click.option("--host", help="Override [server] host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Override [server] port.")
@click.option("--database", type=click.Path(path_type=Path, readable=False), help="Override [database] path.")
@click.option("--welcome", is_flag=True, help="Print the page's address and the first steps.")
@configured
def serve(config: Config, host: str | None, port: int | None, database: Path | None, welcome: bool) -> None:
    """Run the service (the default command).

    SIGHUP reloads the configuration, in which --host, --port and --database still override the file.
    """
    gc.disable()  # modules are no garbage, and looking for some takes a third of the time of the imports
    from kener_async.process import run

    gc.enable()
    overridden = partial(_overridden, host=host, port=port, database=database)
    path, variables, config = config_path(), environment(), overridden(config)

    def announce(port: int) -> None:
        if welcome:
            click.echo(_welcome(config, port))
            say_no_person(config)

    sys.exit(run.run(config, lambda: overridden(load(path, variables, reserved_segments)), announce))


def say_no_person(config: Config) -> None:
    """Say how the first person is added where there is none yet, and people could sign in."""
    from kener_async.ops import people

    with suppress(FatalError):
        if people.is_empty(config):
            click.echo("  " + people.NO_PERSON.format(program=program()))


def _overridden(config: Config, *, host: str | None, port: int | None, database: Path | None) -> Config:
    """The configuration with the options of the command line, None where an option is not given.

    A reload applies them again: the command line wins then as it does at the start, so a change of an
    overridden key in the file has no effect, and is not logged as needing a restart.
    """
    server, stored = config.server, config.database
    return replace(
        config,
        server=replace(server, host=host or server.host, port=server.port if port is None else port),
        database=replace(stored, path=(database or stored.path).absolute()),
    )


def _welcome(config: Config, port: int) -> str:
    server = config.server
    return WELCOME.format(
        url=(server.public_url or local_url(server.host, port)) + server.base_path,
        program=program(),
        tag=next((monitor.tag for monitor in config.monitors), "earth"),
    )


@click.command()
@click.option("--host", help="The address to listen on. Default: KENER_SERVER_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Default: KENER_SERVER_PORT, else 3000; 0: any.")
@click.option(
    "--scene", type=click.Choice(SCENES), default=SCENES[0], show_default=True, help="What happens."
)
def demo(host: str | None, port: int | None, scene: str) -> None:
    """Run the service on made-up data.

    The data are deleted when it stops.
    """
    from kener_async.demo.run import run

    with exit_on_error():
        variables = {name: os.environ[name] for name in ADDRESS if name in os.environ}
        server = defaults(Path.cwd(), variables).server
        sys.exit(run(scene, host or server.host, server.port if port is None else port))


ADDRESS = ("KENER_SERVER_HOST", "KENER_SERVER_PORT")


COMMANDS = (serve, demo)
