"""A reload: each key of config.toml takes effect, or is named in the log as needing a restart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marshmallow import fields
from structlog.testing import capture_logs

from kener_async import keys
from kener_async.app import apply
from kener_async.config.fields import (
    BasePath,
    Boolean,
    Choice,
    Color,
    Duration,
    FontFamily,
    FontFile,
    Href,
    Integer,
    List,
    PingUrl,
    Secret,
    StringMap,
    TimeZone,
    Url,
)
from kener_async.config.load import load
from kener_async.config.model import Config, PlainTables
from kener_async.config.schema import Key, keys_of, needs_restart
from tests.rigs.service import FakeClock, running

BASE = '[database]\npath = "kener.db"\n'
OTHER = {  # keys that need another one beside them, and those whose value says where something is
    "auth.algorithm": 'algorithm = "EdDSA"\npublic_key_file = "public.pem"',
    "auth.public_key_file": 'algorithm = "EdDSA"\npublic_key_file = "public.pem"',
    "server.trusted_proxies": 'trusted_proxies = ["127.0.0.1"]',
    "auth.allowed_ips": 'allowed_ips = ["127.0.0.1"]',
    "site.assets": 'assets = "files"',
    "site.custom_css": 'custom_css = "own.css"',
    "site.font_file": 'assets = "files"\nfont_file = "own.woff2"',
    "site.locales": 'locales = ["en"]',
}


def declared(table: type = PlainTables, at: str = "") -> Iterator[tuple[str, Key]]:
    """The keys of the sections, and of the tables within them; arrays of tables are left out."""
    for name, key in keys_of(table).items():
        if key.table is None:
            yield at + name, key
        elif not (isinstance(key.field, fields.Nested) and key.field.many):
            yield from declared(key.table, f"{at}{name}.")


def other_value(field: fields.Field[Any]) -> str:
    """A value, as written, that is not the default of the field."""
    match field:
        case Boolean():
            return "false" if field.load_default else "true"
        case Integer() | Duration():
            return str(int(field.load_default) + 1)
        case Choice():
            return next(f'"{choice}"' for choice in field.choices if choice != field.load_default)
        case StringMap():
            return '{ author = "x" }'
        case List() | FontFile():
            raise AssertionError("give it a value in OTHER")
    examples: dict[type, str] = {
        Url: "https://a.example",
        PingUrl: "https://a.example/ping",
        BasePath: "/below",
        Secret: "cAW0tS6kYQhW1mZr9n2uXb5eJ8vLd3gP",
        TimeZone: "Asia/Tokyo",
        Href: "/x.png",
        Color: "#fff",
        FontFamily: "serif",
    }
    return f'"{examples.get(type(field), "x")}"'


def changed(name: str, key: Key) -> str:
    """The base with another value of the key."""
    table, _, attribute = name.rpartition(".")
    line = OTHER.get(name) or f"{attribute} = {other_value(key.field)}"
    return line.join((f"[{table}]\n", "\n")) + (BASE if table != "database" else "")


def value_of(config: Config, name: str) -> Any:
    value: Any = config
    for attribute in name.split("."):
        value = getattr(value, attribute, None)
    return value


async def test_each_key_takes_effect_or_is_named_in_the_log(tmp_path: Path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files/own.woff2").touch()
    (tmp_path / "own.css").touch()
    file = tmp_path / "config.toml"

    def loaded(text: str) -> Config:
        file.write_text(text)
        return load(file, {})

    base = loaded(BASE)
    async with running(base, FakeClock()) as service:
        for name, key in declared():
            config = loaded(changed(name, key))
            assert value_of(config, name) != value_of(base, name)
            with capture_logs() as logs:
                await apply(service.app, config)
            named = [line["setting"] for line in logs if line["event"] == "takes effect after a restart"]
            assert (name in named) == key.restart, name
            assert value_of(service.app[keys.RUNNING].config, name) == value_of(config, name)
            await apply(service.app, base)


async def test_a_key_that_needs_a_restart_is_named_until_there_was_one(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text(BASE)
    base = load(file, {})
    file.write_text("[log]\nlevel = 'debug'\n" + BASE)
    config = load(file, {})
    async with running(base, FakeClock()) as service:
        for applied, expected in ((config, ["log.level"]), (config, ["log.level"]), (base, [])):
            with capture_logs() as logs:
                await apply(service.app, applied)
            assert [line["setting"] for line in logs if "setting" in line] == expected


def test_what_every_start_fixes_needs_a_restart():
    assert [name for name, key in declared() if key.restart] == [
        "server.host",
        "server.port",
        "server.shutdown_seconds",
        "server.max_connections",
        "database.path",
        "database.synchronous",
        "auth.secret_key",
        "auth.secret_key_file",
        "auth.algorithm",
        "auth.public_key_file",
        "ingest.max_body_bytes",
        "ingest.max_queue",
        "rollups.interval_seconds",
        "log.format",
        "log.level",
        "watch.ping_every",
    ]


def test_a_change_of_monitors_needs_no_restart(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text(BASE)
    before = load(file, {})
    file.write_text(BASE + '[[monitors]]\ntag = "earth"\n[[categories]]\nname = "a"\n')
    assert needs_restart(before, load(file, {})) == []
