"""The commands of a device: run, install and uninstall the agent."""

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
from kener_async.agent.settings import AgentSettings
from kener_async.cli.common import config_path, exit_on_error, message, target_options
from kener_async.config.fields import String, Tag, Url
from kener_async.config.load import defaults, load
from kener_async.config.model import Config
from kener_async.domain.calendar import MINUTE
from kener_async.domain.checks import CheckTiming
from kener_async.errors import FatalError
from kener_async.probes.settings import AliveTarget, CheckSettings, VantageSettings

FILE = click.Path(path_type=Path, exists=True, dir_okay=False, resolve_path=True)
ALIVE_TIMING = CheckTiming(MINUTE, timeout=10, retries=0)
NEEDED = {
    "servers": "no server: set [agent] servers or --server URL",
    "token": "no token: set [agent] token_file or --token-file FILE",
    "checks": "no check: set [[agent.checks]] or --alive TAG",
}


def _each(field: String) -> Callable[..., tuple[str, ...]]:
    """A callback that reads each value of an option as the configuration does."""

    def read(_: object, __: object, values: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(field.deserialize(value) for value in values)
        except ValidationError as error:
            raise click.BadParameter("; ".join(map(str, error.messages))) from None

    return read


def _device_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--alive",
            multiple=True,
            metavar="TAG",
            callback=_each(Tag()),
            help="Report that the device runs.",
        ),
        click.option("--token-file", type=FILE, help="A file that holds the token."),
        click.option(
            "--server",
            "servers",
            multiple=True,
            metavar="URL",
            callback=_each(Url()),
            help="The server to report to.",
        ),
    ):
        command = option(command)
    return command


@click.group(invoke_without_command=True)
@click.option(
    "--config", "path", type=click.Path(path_type=Path, readable=False), help="The configuration file."
)
@_device_options
@click.option("--spool", type=click.Path(path_type=Path, readable=False), help="Override [agent] spool.")
@click.option(
    "--once", is_flag=True, help="Make each check once, send, and exit; with status 1 if reports are left."
)
@click.pass_context
def agent(context: click.Context, /, path: Path | None, once: bool, **flags: Any) -> None:
    """Run the agent on this device.

    It makes the checks of [agent] and reports their results to a server. What cannot be sent now is sent
    later.
    """
    if context.invoked_subcommand is None:
        with exit_on_error():
            config = _load(path)
            _run(config, _with_options(config.agent, **flags), once=once)


def _load(named: Path | None) -> Config:
    """The configuration of the file; the defaults where none is named and none exists."""
    path = config_path()
    if named is None and not path.exists() and "KENER_CONFIG" not in os.environ:
        return defaults(Path.cwd(), os.environ)
    return load(path, os.environ)


def _with_options(
    settings: AgentSettings,
    *,
    servers: tuple[str, ...],
    token_file: Path | None,
    alive: tuple[str, ...],
    spool: Path | None,
) -> AgentSettings:
    """Apply the options and systemd's credential; raises FatalError that names all that is missing."""
    token_file = token_file or _credential_token()
    if token_file is not None:
        settings = replace(settings, token="", token_file=token_file)
    settings = replace(
        settings,
        servers=servers or settings.servers,
        checks=(*settings.checks, *(CheckSettings(tag, AliveTarget(), ALIVE_TIMING) for tag in alive)),
        spool=(spool or settings.spool).absolute(),
    )
    configured = {
        "servers": settings.servers,
        "token": settings.token or settings.token_file,
        "checks": settings.checks,
    }
    if missing := [text for key, text in NEEDED.items() if not configured[key]]:
        raise FatalError("\n".join(missing))
    return settings


def _credential_token() -> Path | None:
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
    if config.ignored_variables:
        message(f"ignored, they set nothing: {', '.join(config.ignored_variables)}")
    name = f"kener-agent/{__version__}"
    if settings.vantage.user_agent == VantageSettings().user_agent:
        settings = replace(settings, vantage=replace(settings.vantage, user_agent=name))
    work = run(settings, system_clock(), SystemdNotifier(os.environ), environment(), name, once=once)
    with asyncio.Runner() as runner:
        is_all_sent = runner.run(work)
        sys.stderr.flush()
        # Without joining threads: one may still wait for a name server, or for a disk that does not answer.
        os._exit(1 if once and not is_all_sent else 0)


@agent.command()
@_device_options
@click.option("--no-start", is_flag=True, help="Put everything in place and start nothing.")
@target_options
def install(
    servers: tuple[str, ...],
    token_file: Path | None,
    alive: tuple[str, ...],
    no_start: bool,
    dry_run: bool,
    root: Path,
) -> None:
    """Install or upgrade the agent as a service.

    It is safe to repeat.
    """
    from kener_async.ops import install as installs
    from kener_async.ops import install_agent

    with exit_on_error():
        places = installs.places_below(root, dry_run=dry_run)
        token = None if token_file is None else token_file.read_text().strip()
        device = install_agent.InstalledAgent(servers, alive, token)
        steps = install_agent.installation(places, installs.program(places), device, start=not no_start)
        installs.run_steps(steps, message, dry_run=dry_run)


@agent.command()
@click.option("--purge", is_flag=True, help="Remove the configuration, the token and unsent reports too.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@target_options
def uninstall(purge: bool, yes: bool, dry_run: bool, root: Path) -> None:
    """Uninstall the agent.

    Its configuration and unsent reports are kept unless purged.
    """
    from kener_async.ops import install as installs
    from kener_async.ops import install_agent

    with exit_on_error():
        places = installs.places_below(root, dry_run=dry_run)
        if purge and not yes and not dry_run:
            click.confirm("Remove the configuration and the unsent reports?", abort=True, err=True)
        installs.run_steps(install_agent.removal(places, purge=purge), message, dry_run=dry_run)


COMMANDS = (agent,)
