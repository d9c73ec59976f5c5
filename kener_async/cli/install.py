"""The commands that install and uninstall the service."""

from pathlib import Path

import click

from kener_async.cli.common import exit_on_error, message, target_options


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


COMMANDS = (install, uninstall)
