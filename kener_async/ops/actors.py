"""The actor of a command, for the audit log."""

from getpass import getuser
from os import environ, getuid
from socket import gethostname

from kener_async.domain.people import Actor, ActorKind


def terminal(by: str | None = None) -> Actor:
    """The person at this terminal, or the one that is named, and the name of this machine."""
    return Actor(ActorKind.COMMAND, by or environ.get("SUDO_USER") or _user(), gethostname())


def _user() -> str:
    """The name of the user; in a container it may have a number only."""
    try:
        return getuser()
    except (KeyError, OSError):
        return f"uid {getuid()}"
