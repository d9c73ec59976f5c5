"""The command of a device: run the agent there, install it, take it away."""

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from marshmallow import ValidationError

from kener_async import __version__
from kener_async.agent.settings import AgentSettings, Alive, Check
from kener_async.cli.common import ROOT, config_path, faults_named, say
from kener_async.config.fields import String, Tag, Url
from kener_async.config.load import defaults, load
from kener_async.config.model import Config
from kener_async.errors import FatalError

FILE = click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True)
NEEDED = {
    "servers": "no server: set [agent] servers, or say --server URL",
    "token": "no token: set [agent] token_file, or say --token-file FILE",
    "checks": "no check: set [[agent.checks]], or say --alive TAG",
}


def _each(kind: String) -> Callable[..., tuple[str, ...]]:
    """As the same value in the configuration would be read."""

    def read(_: object, __: object, values: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(kind.deserialize(value) for value in values)
        except ValidationError as fault:
            raise click.BadParameter("; ".join(map(str, fault.messages))) from None

    return read


def _device_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--alive", multiple=True, metavar="TAG", callback=_each(Tag()), help="Report that we run."
        ),
        click.option("--token-file", type=FILE, help="A file that holds the token."),
        click.option(
            "--server",
            "servers",
            multiple=True,
            metavar="URL",
            callback=_each(Url()),
            help="Where to report.",
        ),
    ):
        command = option(command)
    return command


def _place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--root", type=ROOT, default="/", help="All is below this folder; systemd is not told."),
        click.option("--dry-run", is_flag=True, help="Only say what would be done."),
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration file.")
@_device_options
@click.option("--spool", type=click.Path(path_type=Path), help="Instead of [agent] spool.")
@click.option(
    "--once", is_flag=True, help="Make each check once, send, and end; status 1 if something is left."
)
@click.pass_context
def agent(context: click.Context, /, path: Path | None, once: bool, **flags: Any) -> None:
    """Check what is on this device and report it to a server; what cannot be sent now is sent later."""
    if context.invoked_subcommand is None:
        with faults_named():
            config = _configuration(path)
            _run(config, _settings(config.agent, **flags), once=once)


def _configuration(named: Path | None) -> Config:
    """That of the file; where none is named and none is there, the defaults."""
    path = config_path()
    if named is None and not path.exists() and "KENER_CONFIG" not in os.environ:
        return defaults(Path.cwd(), os.environ)
    return load(path, os.environ)


def _settings(
    settings: AgentSettings,
    *,
    servers: tuple[str, ...],
    token_file: Path | None,
    alive: tuple[str, ...],
    spool: Path | None,
) -> AgentSettings:
    """Apply the options and the token of systemd; raises FatalError for what is missing."""
    token_file = token_file or _passed_token()
    if token_file is not None:
        settings = replace(settings, token="", token_file=token_file)
    settings = replace(
        settings,
        servers=servers or settings.servers,
        checks=(*settings.checks, *(Check(tag, Alive()) for tag in alive)),
        spool=(spool or settings.spool).absolute(),
    )
    there = {
        "servers": settings.servers,
        "token": settings.token or settings.token_file,
        "checks": settings.checks,
    }
    if missing := [text for key, text in NEEDED.items() if not there[key]]:
        raise FatalError("\n".join(missing))
    return settings


def _passed_token() -> Path | None:
    """The file of systemd's credential `token`."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, "token") if folder else None
    return path if path is not None and path.is_file() else None


def _run(config: Config, settings: AgentSettings, *, once: bool) -> None:
    from kener_async import log
    from kener_async.agent.clocks import system_clock
    from kener_async.agent.run import run
    from kener_async.ops.install import environment
    from kener_async.process.systemd import SystemdNotifier

    log.configure(config.log)
    name = f"kener-agent/{__version__}"
    work = run(settings, system_clock(), SystemdNotifier(os.environ), environment(), name, once=once)
    with asyncio.Runner() as runner:
        has_all = runner.run(work)
        sys.stderr.flush()
        # At once: threads may still wait for a name server, or for a disk that is gone.
        os._exit(1 if once and not has_all else 0)


@agent.command()
@_device_options
@click.option("--no-start", is_flag=True, help="Put everything in place and start nothing.")
@_place_options
def install(
    servers: tuple[str, ...],
    token_file: Path | None,
    alive: tuple[str, ...],
    no_start: bool,
    dry_run: bool,
    root: Path,
) -> None:
    """Install the agent as a service of systemd, or upgrade it; it may be repeated."""
    from kener_async.ops import install as installs
    from kener_async.ops import install_agent

    with faults_named():
        places = installs.Places(root)
        if not dry_run:
            installs.check_machine(places)
        token = None if token_file is None else token_file.read_text().strip()
        device = install_agent.InstalledAgent(servers, alive, token)
        steps = install_agent.installation(places, installs.program(places), device, start=not no_start)
        installs.carry_out(steps, say, only_say=dry_run)


@agent.command()
@click.option(
    "--purge", is_flag=True, help="Remove the configuration, the token and all that was not sent too."
)
@click.option("--yes", is_flag=True, help="Do not ask again whether they are to be removed.")
@_place_options
def uninstall(purge: bool, yes: bool, dry_run: bool, root: Path) -> None:
    """Take the agent away; its configuration and what it has not sent stay, unless purged."""
    from kener_async.ops import install as installs
    from kener_async.ops import install_agent

    with faults_named():
        places = installs.Places(root)
        if not dry_run:
            installs.check_machine(places)
        if purge and not yes and not dry_run:
            click.confirm("Remove the configuration and what was not sent?", abort=True, err=True)
        installs.carry_out(install_agent.removal(places, purge=purge), say, only_say=dry_run)


COMMANDS = (agent,)
