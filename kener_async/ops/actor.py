"""For whom a command acts, in the audit log."""

import os
from getpass import getuser

from kener_async.domain.people import Actor, ActorKind


def command_actor(by: str | None = None, network: str = "") -> Actor:
    """The user of this machine who runs the command, also through sudo, or the person who is named."""
    return Actor(ActorKind.COMMAND, by or os.environ.get("SUDO_USER") or _user(), network)


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # no name belongs to the number, as in some containers
        return f"user {os.getuid()}"
