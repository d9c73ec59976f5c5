"""The commands that write a configuration, and install and uninstall the service."""

import os
from pathlib import Path

import click

from kener_async.cli.common import (
    HERE,
    config_option,
    exit_on_error,
    message,
    named_path,
    program,
    target_options,
)
from kener_async.errors import FatalError


@click.command("install")
@click.option("--no-start", is_flag=True, help="Put everything in place and start nothing.")
@target_options
def install(no_start: bool, dry_run: bool, root: Path) -> None:
    """Install or upgrade the systemd service.

    It is safe to repeat.
    """
    from kener_async.ops import install as installs

    with exit_on_error():
        places = installs.places_below(root, dry_run=dry_run)
        steps = installs.installation(places, installs.program(places), start=not no_start)
        installs.run_steps(steps, message, dry_run=dry_run)
        message("To create a token: kener-async token create --name my-device")
        if _has_no_person(places.config):
            message("no person yet: kener-async person add --role admin NAME")


def _has_no_person(path: Path) -> bool:
    """Whether people could sign in to the installed service, and there is none yet."""
    from kener_async.config.load import load
    from kener_async.ops import people

    try:
        return people.is_empty(load(path, {}, secrets_unknown=True))
    except (FatalError, OSError):
        return True  # the first start makes the database, or it cannot be read from here


@click.command("uninstall")
@click.option("--purge", is_flag=True, help="Remove the configuration and all data too.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@target_options
def uninstall(purge: bool, yes: bool, dry_run: bool, root: Path) -> None:
    """Uninstall the systemd service.

    Its configuration and data are kept unless purged.
    """
    from kener_async.ops import install as installs

    with exit_on_error():
        places = installs.places_below(root, dry_run=dry_run)
        if purge and not yes and not dry_run:
            click.confirm("Remove the configuration and every heartbeat ever stored?", abort=True, err=True)
        installs.run_steps(installs.removal(places, purge=purge), message, dry_run=dry_run)


@click.command("init")
@config_option
def init(path: Path | None) -> None:
    """Write a commented configuration.

    It is config.toml in the current folder, or the file of --config; an existing file is left as it is.
    """
    from kener_async.resources import shipped

    target = (named_path() or HERE).absolute()
    with exit_on_error():
        try:
            # Closed to other users, because it may come to hold secrets.
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        except FileExistsError:
            raise FatalError(
                f"{target}: exists, and is left as it is; name another file by --config"
            ) from None
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(shipped("config.toml"))
    message(f"wrote {target}, with every setting and its default")
    message(f"next: {program()} serve --welcome --config {target}")


COMMANDS = (init, install, uninstall)
