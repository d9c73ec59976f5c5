"""The operator at a terminal, as the audit log names them."""

import os
import pwd

from kener_async.domain.people import Actor, ActorKind


def operator() -> Actor:
    """The user of the system that runs this command, such as command:root."""
    user = os.getuid()
    try:
        return Actor(ActorKind.COMMAND, pwd.getpwuid(user).pw_name)
    except KeyError:
        return Actor(ActorKind.COMMAND, str(user))
