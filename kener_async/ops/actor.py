"""For whom a command acts, in the audit log."""

import os
from getpass import getuser

from kener_async.domain.people import Actor, ActorKind


def command_actor() -> Actor:
    """The user of this machine who runs the command, also through sudo."""
    try:
        name = os.environ.get("SUDO_USER") or getuser()
    except (KeyError, OSError):  # no name belongs to the number, as in some containers
        name = f"user {os.getuid()}"
    return Actor(ActorKind.COMMAND, name)
