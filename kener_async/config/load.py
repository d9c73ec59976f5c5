"""config.toml and the environment, read once into frozen dataclasses; every fault is named at once."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import Schema, ValidationError, fields

from kener_async.clock import Cron
from kener_async.config.agent import agent_of
from kener_async.config.environment import VARIABLES, overrides, passed_key, with_overrides
from kener_async.config.fields import (
    hint,
    instant_of,
    shown,
)
from kener_async.config.model import (
    Announcement,
    AuthConfig,
    BackupConfig,
    Category,
    Colors,
    Config,
    DatabaseConfig,
    Hero,
    IngestConfig,
    Link,
    LogConfig,
    MetricsConfig,
    MonitorConfig,
    RollupsConfig,
    Senders,
    ServerConfig,
    SiteConfig,
    WatchConfig,
)
from kener_async.config.rules import Misplaced, Place, contradictions
from kener_async.config.schema import SCHEMA
from kener_async.domain.calendar import HOUR
from kener_async.domain.heartbeats import AtSchedule, EveryInterval, Expectation, MonitorSettings, OnChange
from kener_async.domain.samples import Status
from kener_async.errors import FatalError


class ConfigError(FatalError):
    """What is wrong with the configuration: its text is all faults, one a line.

    A fault names its place, counting tables and items from 0 (`config.toml: monitors[2].tag: ...`), or the
    environment variable it came from. It never shows a secret.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """The configuration in the file, with what the environment overrides.

    Relative paths are relative to the file's folder. A key that systemd passes as the credential `secret_key`
    stands for the file with the key. Raises ConfigError with every fault found.
    """
    return _loaded(path, _document(path), environment)


def defaults(folder: Path, environment: Mapping[str, str]) -> Config:
    """The configuration of a folder in which there is no file."""
    return _loaded(folder / "config.toml", {}, environment)


def _loaded(path: Path, document: Mapping[str, object], environment: Mapping[str, str]) -> Config:
    set_there, strangers = overrides(environment)
    written = with_overrides(document, set_there)
    folder = path.absolute().parent
    read, faults = _validated(written, folder)
    if faults or strangers:
        names = {place: name for name, place in VARIABLES.items() if name in environment}
        raise ConfigError([*(_line(fault, str(path), names) for fault in faults), *strangers])
    config = _built(read, path.absolute())
    passed = passed_key(environment)
    if passed is None:
        return config
    return replace(config, auth=replace(config.auth, secret_key_file=passed, makes_secret_key=False))


def _document(path: Path) -> dict[str, object]:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file"]) from None
    except OSError as fault:
        raise ConfigError([f"{path}: {fault.strerror or 'cannot be read'}"]) from None
    except UnicodeDecodeError as fault:
        line = fault.object.count(b"\n", 0, fault.start) + 1
        raise ConfigError([f"{path}: not UTF-8 (at line {line})"]) from None
    try:
        return tomllib.loads(text)
    except ValueError as fault:  # TOMLDecodeError, or a number of thousands of digits
        last = f"at line {len(text.splitlines())}"
        raise ConfigError([f"{path}: {str(fault).replace('at end of document', last)}"]) from None


_TOP = list(SCHEMA.fields)


def _order(fault: Misplaced) -> tuple[int, Place]:
    """By section as the reference has them, then by place."""
    top = str(fault.place[0]) if fault.place else ""
    return (_TOP.index(top) if top in _TOP else len(_TOP), fault.place)


def _validated(written: Mapping[str, object], folder: Path) -> tuple[dict[str, Any], list[Misplaced]]:
    """What could be read, with defaults, and everything that is wrong, in order."""
    try:
        read, faults = SCHEMA.load(written), []
    except ValidationError as error:
        read = error.valid_data if isinstance(error.valid_data, dict) else {}
        faults = list(_field_faults(error.messages_dict, SCHEMA))
    faults += contradictions(read, written, folder)
    return read, sorted(faults, key=_order)


def _field_faults(errors: Mapping[Any, Any], schema: Schema, at: Place = ()) -> Iterator[Misplaced]:
    for key, found in errors.items():
        here = (*at, key)
        if key == "_schema":
            yield from (Misplaced(at, text) for text in found)
        elif isinstance(key, int):  # one of an array of tables
            yield from _field_faults(found, schema, here)
        elif key not in schema.fields:
            yield Misplaced(here, f"unknown key{hint(key, schema.fields)}")
        elif isinstance(found, list):
            yield from (Misplaced(here, text) for text in found)
        elif isinstance(nested := schema.fields[key], fields.Nested):
            yield from _field_faults(found, nested.schema, here)
        else:  # items of a list, or of a table whose keys are free
            yield from (Misplaced((*here, item), text) for item, texts in found.items() for text in texts)


def _line(fault: Misplaced, file: str, variables: Mapping[tuple[str, str], str]) -> str:
    """The fault as the operator reads it, named after where the value came from."""
    variable = next((name for place, name in variables.items() if fault.place[:2] == place), None)
    if variable is not None:
        return f"{variable}{_path(fault.place[2:])}: {fault.text}"
    return ": ".join(part for part in (file, _path(fault.place), fault.text) if part)


def _path(place: Place) -> str:
    path = ""
    for part in place:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            key = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else shown(part)
            path += f".{key}" if path else key
    return path


# From valid tables to dataclasses


def _built(read: Mapping[str, Any], file: Path) -> Config:
    folder = file.parent
    database = DatabaseConfig(**{**read["database"], "path": folder / read["database"]["path"]})
    zone: ZoneInfo = read["site"]["timezone"]
    hidden = {table["name"] for table in read["categories"] if table["hidden"]}
    backup = read["backup"]
    return Config(
        file=file,
        server=ServerConfig(**read["server"]),
        database=database,
        backup=BackupConfig(**{**backup, "folder": folder / backup["folder"] if backup["folder"] else None}),
        auth=_auth(read["auth"], folder, database.path.parent),
        ingest=IngestConfig(**read["ingest"]),
        rollups=RollupsConfig(**read["rollups"]),
        log=LogConfig(**read["log"]),
        metrics=MetricsConfig(**read["metrics"]),
        watch=WatchConfig(**read["watch"]),
        site=_site(read["site"], folder),
        announcements=tuple(_announcement(table, zone) for table in read["announcements"]),
        categories=tuple(Category(**table) for table in read["categories"]),
        monitors=tuple(_monitor(table, zone, hidden) for table in read["monitors"]),
        agent=agent_of(read["agent"], folder),
    )


def _auth(table: Mapping[str, Any], folder: Path, data_folder: Path) -> AuthConfig:
    key_file, public = table["secret_key_file"], table["public_key_file"]
    return AuthConfig(
        secret_key=table["secret_key"],
        secret_key_file=folder / key_file if key_file else data_folder / "secret.key",
        makes_secret_key=not (table["secret_key"] or key_file),
        algorithm=table["algorithm"],
        public_key_file=folder / public if public else None,
        allowed_ips=table["allowed_ips"],
    )


def _site(table: Mapping[str, Any], folder: Path) -> SiteConfig:
    plain = {key: value for key, value in table.items() if key != "indexed"}
    built = {
        "name": table["name"] or table["title"],
        "is_indexed": table["indexed"],
        "assets": folder / table["assets"] if table["assets"] else None,
        "custom_css": folder / table["custom_css"] if table["custom_css"] else None,
        "hero": Hero(**table["hero"]) if any(table["hero"].values()) else None,
        "colors": Colors(**table["colors"]),
        "dark_colors": Colors(**table["dark_colors"]),
        "nav": tuple(Link(**link) for link in table["nav"]),
    }
    return SiteConfig(**(plain | built))


def _announcement(table: Mapping[str, Any], site_zone: ZoneInfo) -> Announcement:
    start, end = table.get("from"), table.get("until")
    return Announcement(
        title=table["title"],
        text=table["text"],
        level=table["level"],
        start=None if start is None else instant_of(start, site_zone),
        end=None if end is None else instant_of(end, site_zone),
    )


def _monitor(table: Mapping[str, Any], site_zone: ZoneInfo, hidden_categories: Set[str]) -> MonitorConfig:
    return MonitorConfig(
        tag=table["tag"],
        name=table["name"] or table["tag"],
        description=table["description"],
        image=table["image"],
        category=table["category"],
        hidden=table["hidden"] or table["category"] in hidden_categories,
        latency_unit=table["latency_unit"],
        day_degraded_minimum_count=table["day_degraded_minimum_count"],
        day_down_minimum_count=table["day_down_minimum_count"],
        settings=_settings(table, site_zone),
        senders=_senders(table),
    )


def _senders(table: Mapping[str, Any]) -> Senders:
    check, gatus = table.get("healthchecks", {}), table.get("gatus", {})
    by_slug = f"{check['ping_key']}/{check['slug']}" if check.get("slug") else ""
    return Senders(
        checks=tuple(name for name in (check.get("uuid"), by_slug) if name),
        push_token=table.get("uptime_kuma", {}).get("token", ""),
        gatus_key=gatus.get("key", ""),
        gatus_token=gatus.get("token", ""),
    )


def _settings(table: Mapping[str, Any], site_zone: ZoneInfo) -> MonitorSettings:
    heartbeat = table.get("heartbeat", {})
    default = table.get("default_status")
    return MonitorSettings(
        default_status=None if default is None else Status[default],
        include_degraded_in_downtime=table["include_degraded_in_downtime"],
        expectation=_expectation(heartbeat, site_zone),
        stale_after=heartbeat.get("stale_after", HOUR),
    )


def _expectation(heartbeat: Mapping[str, Any], site_zone: ZoneInfo) -> Expectation | None:
    match heartbeat:
        case {"carry_forward": True, "stale_after": stale_after}:
            return OnChange(stale_after)
        case {"interval": interval, "grace": grace}:
            return EveryInterval(interval, grace, heartbeat.get("down_after", interval + grace))
        case {"cron": expression, "grace": grace}:
            zone = heartbeat.get("timezone", site_zone)
            return AtSchedule(Cron(expression, zone.key), grace, heartbeat.get("down_after", grace))
    return None
