"""Files that come with the program: beside the package in a checkout, inside it when installed."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(name: str) -> str:
    """The text of `schema.sql` or `config.toml` as shipped."""
    inside = _PACKAGE / name
    return (inside if inside.exists() else _PACKAGE.parent / name).read_text(encoding="utf-8")
