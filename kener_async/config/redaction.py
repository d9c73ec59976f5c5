"""The text of config.toml without its secrets, for backups that may lie where the secrets must not."""

import re
import tomllib
from codecs import BOM_UTF8

from kener_async.config.problems import Place
from kener_async.config.secrets import replaced_secrets

FILL_IN = "$FILL_IN"  # refused when it is loaded, with its place, unless the environment has a FILL_IN


def without_secrets(text: bytes, table: type) -> tuple[bytes, int] | None:
    """The text with FILL_IN for the value of every secret that the table declares, and their number.

    A reference such as $NAME is no secret and stays. None when that cannot be done for certain: the text is
    not TOML, or a secret stands elsewhere in it, too, or is written with escapes.
    """
    try:
        document = tomllib.loads(text.removeprefix(BOM_UTF8).decode())
    except ValueError:
        return None
    values: list[str] = []

    def left_out(value: str, _: Place) -> str:
        if not _is_secret(value):
            return value
        values.append(value)
        return FILL_IN

    expected = replaced_secrets(document, table, left_out)
    redacted = text.decode()
    for value in values:
        for quote in "\"'":
            redacted = redacted.replace(f"{quote}{value}{quote}", f'"{FILL_IN}"')
    if any(value in redacted for value in values):
        return None
    try:
        written = tomllib.loads(redacted.removeprefix("\ufeff"))
    except ValueError:
        return None
    return (redacted.encode(), len(values)) if written == expected else None


def _is_secret(value: str) -> bool:
    return value != "" and not re.fullmatch(r"\$[A-Za-z_][A-Za-z0-9_]*", value)
