"""config.toml and the environment, read once into frozen dataclasses; every fault is named at once."""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from marshmallow import Schema, ValidationError, fields

from kener_async.agent.settings import Settings as AgentSettings
from kener_async.config_agent import agent_of
from kener_async.config_fields import (
    Duration,
    Flag,
    List,
    Pairs,
    Whole,
    hint,
    instant_of,
    is_placeholder,
    shown,
)
from kener_async.config_rules import Misplaced, Place, contradictions
from kener_async.config_tables import LOCALES, SCHEMA
from kener_async.cron import Cron
from kener_async.domain.calendar import HOUR
from kener_async.domain.heartbeats import At, Every, Expectation, OnChange, Settings
from kener_async.domain.samples import Status
from kener_async.errors import Fault

__all__ = ["LOCALES", "SCHEMA", "is_placeholder"]  # beside what is defined here

Network = IPv4Network | IPv6Network


class ConfigFault(Fault):
    """What is wrong with the configuration: its text is all faults, one a line.

    A fault names its place, counting tables and items from 0 (`config.toml: monitors[2].tag: ...`), or the
    environment variable it came from. It never shows a secret.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


# What the program sees


@dataclass(frozen=True, slots=True)
class Server:
    """`public_url` is scheme and host, `base_path` what follows in every address; no slash at their end.

    `max_connections` 0: 80 % of the file descriptor limit.
    """

    host: str
    port: int
    public_url: str
    trusted_proxies: tuple[Network, ...]
    shutdown_seconds: int
    max_connections: int
    request_timeout_seconds: int
    base_path: str


@dataclass(frozen=True, slots=True)
class Database:
    path: Path
    synchronous: Literal["FULL", "NORMAL", "EXTRA"]
    retention_days: int


@dataclass(frozen=True, slots=True)
class Backup:
    """Scheduled backups: `every` so many seconds one is made in the folder, and the newest `keep` stay there.

    `folder` None: none are made.
    """

    folder: Path | None
    every: int
    keep: int


@dataclass(frozen=True, slots=True)
class Auth:
    """The key is `secret_key`, or when that is empty what `secret_key_file` holds.

    `makes_secret_key`: no key was configured, so the file is made where it does not exist yet.
    `public_key_file` is None exactly when `algorithm` is HS256.
    """

    secret_key: str = field(repr=False)
    secret_key_file: Path
    makes_secret_key: bool
    algorithm: Literal["HS256", "EdDSA", "RS256"]
    public_key_file: Path | None
    allowed_ips: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Ingest:
    """`token_rate` is in samples a second, 0: no limit; beyond it `token_burst` more may come at once."""

    clock_skew_seconds: int
    max_age_days: int
    max_body_bytes: int
    max_batch_bytes: int
    max_queue: int
    token_rate: int
    token_burst: int


@dataclass(frozen=True, slots=True)
class Rollups:
    interval_seconds: int


@dataclass(frozen=True, slots=True)
class Log:
    """`format` auto: text on a terminal, else JSON. `requests`: which answered requests are logged."""

    format: Literal["auto", "json", "text"]
    level: Literal["debug", "info", "warning", "error"]
    requests: Literal["errors", "all"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """`max_monitors`: up to so many monitors each has metrics of its own."""

    max_monitors: int


@dataclass(frozen=True, slots=True)
class Watch:
    """`ping_url` is asked for `ping_every` so many seconds while the service is able to work; empty: none."""

    ping_url: str
    ping_every: int


@dataclass(frozen=True, slots=True)
class Link:
    """`icon` is the address of an image, or empty."""

    name: str
    url: str
    icon: str


@dataclass(frozen=True, slots=True)
class Hero:
    title: str
    subtitle: str
    image: str


@dataclass(frozen=True, slots=True)
class Colors:
    """Each is #rgb, #rrggbb, or empty: the stylesheet's own."""

    up: str
    degraded: str
    down: str
    maintenance: str
    no_data: str
    accent: str


@dataclass(frozen=True, slots=True)
class Site:
    """`header` and `footer` are Markdown, `meta` is pairs of name and content.

    Addresses (`home`, `logo`, `favicon`, of links and images) are as written: a web address, a path that
    begins with /, the name of a file within `assets`, or empty. `font_file` is such a name, or empty.
    """

    title: str
    name: str
    description: str
    timezone: ZoneInfo
    locale: str
    locales: tuple[str, ...]
    home: str
    is_indexed: bool
    assets: Path | None
    logo: str
    favicon: str
    header: str
    footer: str
    theme: Literal["system", "light", "dark"]
    theme_toggle: bool
    pattern: Literal["none", "dots", "squares"]
    bar_style: Literal["full", "partial"]
    bar_roundness: Literal["rounded", "sharp"]
    summary_style: Literal["current", "day"]
    font_family: str
    font_file: str
    custom_css: Path | None
    hero: Hero | None
    colors: Colors
    dark_colors: Colors
    meta: tuple[tuple[str, str], ...]
    nav: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Announcement:
    """Shown in `[start, end)`, UTC seconds; None: from ever, for ever. `text` is Markdown."""

    title: str
    text: str
    level: Literal["info", "warning", "critical"]
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class Category:
    name: str
    description: str
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Senders:
    """What senders of other services call a monitor; empty: they do not. All but `gatus_key` is secret.

    `checks` are the UUID of a check of Healthchecks, and its ping key and slug with a slash between them.
    """

    checks: tuple[str, ...] = ()
    push_token: str = ""
    gatus_key: str = ""
    gatus_token: str = ""


@dataclass(frozen=True, slots=True)
class Monitor:
    """`category` is the name of one of the configured categories, or empty.

    `hidden`: it is hidden itself, or its category is.
    """

    tag: str
    name: str
    description: str
    image: str
    category: str
    hidden: bool
    latency_unit: Literal["s", "ms"]
    day_degraded_minimum_count: int
    day_down_minimum_count: int
    settings: Settings
    senders: Senders = field(default=Senders(), repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """`file` is where it was read from."""

    file: Path
    server: Server
    database: Database
    backup: Backup
    auth: Auth
    ingest: Ingest
    rollups: Rollups
    log: Log
    metrics: Metrics
    watch: Watch
    site: Site
    announcements: tuple[Announcement, ...]
    categories: tuple[Category, ...]
    monitors: tuple[Monitor, ...]
    agent: AgentSettings


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """The configuration in the file, with what the environment overrides.

    Relative paths are relative to the file's folder. A key that systemd passes as the credential `secret_key`
    stands for the file with the key. Raises ConfigFault with every fault found.
    """
    return _loaded(path, _document(path), environment)


def defaults(folder: Path, environment: Mapping[str, str]) -> Config:
    """The configuration of a folder in which there is no file."""
    return _loaded(folder / "config.toml", {}, environment)


def _loaded(path: Path, document: Mapping[str, object], environment: Mapping[str, str]) -> Config:
    overrides, strangers = _overrides(environment)
    written = _with_overrides(document, overrides)
    folder = path.absolute().parent
    read, faults = _validated(written, folder)
    if faults or strangers:
        names = {place: name for name, place in _VARIABLES.items() if name in environment}
        raise ConfigFault([*(_line(fault, str(path), names) for fault in faults), *strangers])
    config = _built(read, path.absolute())
    passed = _passed_key(environment)
    if passed is None:
        return config
    return replace(config, auth=replace(config.auth, secret_key_file=passed, makes_secret_key=False))


def _passed_key(environment: Mapping[str, str]) -> Path | None:
    """The file of systemd's credential `secret_key`; a blank one, which our unit passes, is none."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    path = Path(folder, "secret_key") if folder else None
    return path if path is not None and path.is_file() and path.read_bytes().strip() else None


# The environment. It sets what is text, a number, a flag or a list of those; tables within tables it does not

_SECTIONS = {
    name: table.schema.fields
    for name, table in SCHEMA.fields.items()
    if isinstance(table, fields.Nested) and not table.many
}
_PLAIN = {
    name: {key: each for key, each in table.items() if not isinstance(each, fields.Nested | Pairs)}
    for name, table in _SECTIONS.items()
}
_INNER = [(name, key) for name, table in _SECTIONS.items() for key in table if key not in _PLAIN[name]]
_VARIABLES = {f"KENER_{name}_{key}".upper(): (name, key) for name, table in _PLAIN.items() for key in table}


def _overrides(environment: Mapping[str, str]) -> tuple[dict[tuple[str, str], object], list[str]]:
    """What the environment sets, by section and key, and a fault for each name that no setting has."""
    sections = tuple(f"KENER_{name}_".upper() for name in _PLAIN)
    mine = sorted(name for name in environment if name.startswith(sections))
    known = {name: _VARIABLES[name] for name in mine if name in _VARIABLES}
    found = {
        (section, key): _from_text(_PLAIN[section][key], environment[name])
        for name, (section, key) in known.items()
    }
    return found, [f"{name}: unknown setting{_what_else(name)}" for name in mine if name not in known]


def _what_else(name: str) -> str:
    for section, key in _INNER:
        if f"{name}_".startswith(f"KENER_{section}_{key}_".upper()):
            return f", {section}.{key} is set in the file only"
    return hint(name, _VARIABLES, 0.85)


def _from_text(setting: fields.Field[Any], text: str) -> object:
    """The text as the type of the setting; as it is where that cannot be, for validation to refuse."""
    match setting:
        case List():
            return [item.strip() for item in text.split(",") if item.strip()]
        case Whole() | Duration() if re.fullmatch(r"-?[0-9]{1,18}", text):
            return int(text)
        case Flag():
            return {"true": True, "false": False}.get(text, text)
    return text


def _with_overrides(
    document: Mapping[str, object], overrides: Mapping[tuple[str, str], object]
) -> dict[str, object]:
    """The document with every plain table present, overridden; what is no table is left for validation."""
    tables = {**{name: {} for name in _PLAIN}, **document}
    for (section, key), value in overrides.items():
        table = tables[section]
        if isinstance(table, dict):
            tables[section] = {**table, key: value}
    return tables


# Reading and checking


def _document(path: Path) -> dict[str, object]:
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise ConfigFault([f"{path}: there is no such file"]) from None
    except OSError as fault:
        raise ConfigFault([f"{path}: {fault.strerror or 'cannot be read'}"]) from None
    except UnicodeDecodeError as fault:
        line = fault.object.count(b"\n", 0, fault.start) + 1
        raise ConfigFault([f"{path}: not UTF-8 (at line {line})"]) from None
    try:
        return tomllib.loads(text)
    except ValueError as fault:  # TOMLDecodeError, or a number of thousands of digits
        last = f"at line {len(text.splitlines())}"
        raise ConfigFault([f"{path}: {str(fault).replace('at end of document', last)}"]) from None


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
    database = Database(**{**read["database"], "path": folder / read["database"]["path"]})
    zone: ZoneInfo = read["site"]["timezone"]
    hidden = {table["name"] for table in read["categories"] if table["hidden"]}
    backup = read["backup"]
    return Config(
        file=file,
        server=Server(**read["server"]),
        database=database,
        backup=Backup(**{**backup, "folder": folder / backup["folder"] if backup["folder"] else None}),
        auth=_auth(read["auth"], folder, database.path.parent),
        ingest=Ingest(**read["ingest"]),
        rollups=Rollups(**read["rollups"]),
        log=Log(**read["log"]),
        metrics=Metrics(**read["metrics"]),
        watch=Watch(**read["watch"]),
        site=_site(read["site"], folder),
        announcements=tuple(_announcement(table, zone) for table in read["announcements"]),
        categories=tuple(Category(**table) for table in read["categories"]),
        monitors=tuple(_monitor(table, zone, hidden) for table in read["monitors"]),
        agent=agent_of(read["agent"], folder),
    )


def _auth(table: Mapping[str, Any], folder: Path, data_folder: Path) -> Auth:
    key_file, public = table["secret_key_file"], table["public_key_file"]
    return Auth(
        secret_key=table["secret_key"],
        secret_key_file=folder / key_file if key_file else data_folder / "secret.key",
        makes_secret_key=not (table["secret_key"] or key_file),
        algorithm=table["algorithm"],
        public_key_file=folder / public if public else None,
        allowed_ips=table["allowed_ips"],
    )


def _site(table: Mapping[str, Any], folder: Path) -> Site:
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
    return Site(**(plain | built))


def _announcement(table: Mapping[str, Any], site_zone: ZoneInfo) -> Announcement:
    start, end = table.get("from"), table.get("until")
    return Announcement(
        title=table["title"],
        text=table["text"],
        level=table["level"],
        start=None if start is None else instant_of(start, site_zone),
        end=None if end is None else instant_of(end, site_zone),
    )


def _monitor(table: Mapping[str, Any], site_zone: ZoneInfo, hidden_categories: Set[str]) -> Monitor:
    return Monitor(
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


def _settings(table: Mapping[str, Any], site_zone: ZoneInfo) -> Settings:
    heartbeat = table.get("heartbeat", {})
    default = table.get("default_status")
    return Settings(
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
            return Every(interval, grace, heartbeat.get("down_after", interval + grace))
        case {"cron": expression, "grace": grace}:
            zone = heartbeat.get("timezone", site_zone)
            return At(Cron(expression, zone.key), grace, heartbeat.get("down_after", grace))
    return None
