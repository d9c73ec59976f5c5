"""What the first start of the service makes: the database and the signing key."""

from kener_async.config.model import Config
from kener_async.errors import FatalError

INIT = "; --init makes one here"  # the remedy of the commands that have this option


def require_database(config: Config, remedy: str = "") -> None:
    """Raise FatalError, which says where it looked, unless there is a database."""
    if not config.database.path.exists():
        raise FatalError(f"{config.database.path}: there is no database yet: {_first(config)}{remedy}")


def require_key(config: Config, remedy: str = "") -> None:
    """Raise FatalError, which says where it looked, if the service has yet to make the signing key."""
    auth = config.auth
    if auth.makes_secret_key and not auth.secret_key_file.exists():
        raise FatalError(f"{auth.secret_key_file}: there is no signing key yet: {_first(config)}{remedy}")


def _first(config: Config) -> str:
    return f"start the service first, or name its configuration with --config, if it is not {config.file}"
