"""config.toml and the environment, read once into frozen dataclasses; every fault is named at once."""

import json
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from marshmallow import Schema, ValidationError, fields, validate

from kener_async.cron import Cron, is_cron
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.heartbeats import At, Every, Expectation, OnChange, Settings
from kener_async.domain.samples import MEASURABLE, Status
from kener_async.faults import Fault

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
    """`public_url` has no slash at its end. `max_connections` 0: 80 % of the file descriptor limit."""

    host: str
    port: int
    public_url: str
    trusted_proxies: tuple[Network, ...]
    shutdown_seconds: int
    max_connections: int
    request_timeout_seconds: int


@dataclass(frozen=True, slots=True)
class Database:
    path: Path
    synchronous: Literal["FULL", "NORMAL", "EXTRA"]
    retention_days: int


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
    clock_skew_seconds: int
    max_age_days: int
    max_body_bytes: int
    max_queue: int


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
class Site:
    title: str
    name: str
    timezone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Category:
    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Monitor:
    """`category` is the name of one of the configured categories, or empty."""

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


@dataclass(frozen=True, slots=True)
class Config:
    server: Server
    database: Database
    auth: Auth
    ingest: Ingest
    rollups: Rollups
    log: Log
    site: Site
    categories: tuple[Category, ...]
    monitors: tuple[Monitor, ...]


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """The configuration in the file, with what the environment overrides.

    Relative paths are relative to the file's folder. Raises ConfigFault with every fault found.
    """
    overrides, strangers = _overrides(environment)
    written = _with_overrides(_document(path), overrides)
    read, faults = _validated(written)
    if faults or strangers:
        names = {place: name for name, place in _VARIABLES.items() if name in environment}
        raise ConfigFault([*(_line(fault, str(path), names) for fault in faults), *strangers])
    return _built(read, path.absolute().parent)


# Fields. Types are strict: a boolean is no number, "5" is not 5

_KINDS = {
    bool: "a boolean",
    int: "a whole number",
    float: "a decimal number",
    list: "a list",
    dict: "a table",
}


def _shown(value: object) -> str:
    """A value as a fault shows it: text quoted and on one line, of anything else only its kind."""
    if isinstance(value, str):
        quoted = json.dumps(value if len(value) <= 80 else f"{value[:80]}...", ensure_ascii=False)
        return quoted.encode(errors="backslashreplace").decode()
    return _KINDS.get(type(value), "a date or a time")


class _Text(fields.Field[Any]):
    """Text; subclasses say what the text stands for in `parsed`."""

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> Any:
        if not isinstance(value, str):
            raise ValidationError(f"must be text, not {_shown(value)}")
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValidationError("has a character that no text has")
        return self.parsed(value)

    def parsed(self, text: str) -> Any:
        return text


class _Whole(fields.Field[int]):
    def __init__(self, minimum: int, maximum: int, **kwargs: Any) -> None:
        within = validate.Range(minimum, maximum, error="must be between {min} and {max}, not {input}")
        super().__init__(validate=within, **kwargs)

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> int:
        if type(value) is not int:
            raise ValidationError(f"must be a whole number, not {_shown(value)}")
        return value


class _Flag(fields.Field[bool]):
    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(f"must be true or false, not {_shown(value)}")
        return value


class _List(fields.List[Any]):
    """A list, read as a tuple."""

    default_error_messages = {"invalid": "must be a list"}  # noqa: RUF012  marshmallow's own way

    def _deserialize(self, value: object, attr: Any, data: Any, **kwargs: Any) -> Any:
        return tuple(super()._deserialize(value, attr, data, **kwargs))


class _Choice(_Text):
    def __init__(self, *choices: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choices = choices

    def parsed(self, text: str) -> str:
        if text not in self.choices:
            raise ValidationError(f"must be one of {', '.join(self.choices)}, not {_shown(text)}")
        return text


class _Name(_Text):
    """Text that says something."""

    def parsed(self, text: str) -> str:
        if not text.strip():
            raise ValidationError("must not be empty")
        return text


class _Tag(_Text):
    def parsed(self, text: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", text):
            raise ValidationError(f"must be 1 to 64 of A-Z a-z 0-9 . _ ~ -, not {_shown(text)}")
        return text


class _Address(_Text):
    """A network; a single address is a network of one."""

    def parsed(self, text: str) -> Network:
        try:
            return ip_network(text)
        except ValueError as fault:
            wrong = "has host bits set" if "host bits" in str(fault) else "is no network or address"
            raise ValidationError(f"{_shown(text)} {wrong}") from None


class _Url(_Text):
    def parsed(self, text: str) -> str:
        if text and not _is_web_address(text):
            raise ValidationError(f"must be an http or https address without query, not {_shown(text)}")
        return text.rstrip("/")


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host = parts.hostname if parts.port != 0 else None
    except ValueError:  # a port or an IPv6 address that is none
        return False
    plain = not (set("?#@\\") & set(text) or any(map(str.isspace, text)))
    return parts.scheme in ("http", "https") and bool(host) and plain


class _Zone(_Text):
    def parsed(self, text: str) -> ZoneInfo:
        try:
            return ZoneInfo(text)
        except (KeyError, ValueError, OSError):  # unknown; no path of the database; a folder of it
            hint = _hint(text, available_timezones())
            raise ValidationError(f"{_shown(text)} is no time zone{hint}") from None


class _CronText(_Text):
    def parsed(self, text: str) -> str:
        if not is_cron(text):
            raise ValidationError(f"{_shown(text)} is no cron expression of five fields")
        try:
            Cron(text).next_after(0)
        except ValueError:
            raise ValidationError(f"{_shown(text)} never comes") from None
        return text


class _Secret(_Text):
    """Key material; what is wrong is said without showing it."""

    def parsed(self, text: str) -> str:
        if is_placeholder(text):
            raise ValidationError("is a placeholder, not a secret")
        if text and len(text.encode()) < 32:
            raise ValidationError("must be at least 32 bytes long")
        return text


def is_placeholder(secret: str) -> bool:
    """Whether it is what examples put where a secret belongs."""
    return re.sub(r"[^a-z]", "", secret.lower()).startswith(_PLACEHOLDERS)


_PLACEHOLDERS = (
    "changeme",
    "changeit",
    "dummy",
    "example",
    "password",
    "placeholder",
    "replace",
    "secret",
    "yourkey",
    "yoursecret",
)


class _Duration(fields.Field[int]):
    """Whole seconds, or text such as "90s", "5m", "1h30m", "2d"; read as seconds."""

    def __init__(self, minimum: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum = minimum

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> int:
        seconds = _seconds(value)
        if seconds is None:
            raise ValidationError(f'must be whole seconds or text such as "1h30m", not {_shown(value)}')
        if not self.minimum <= seconds <= _CENTURY:
            raise ValidationError(f"must be between {self.minimum} s and 36500 days")
        return seconds


_CENTURY = 36_500 * DAY
_DURATION = re.compile(r"(?=.)(?:([0-9]{1,9})d)?(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")


def _seconds(value: object) -> int | None:
    if isinstance(value, str):
        parts = _DURATION.fullmatch(value)
        if parts is None:
            return None
        return sum(int(n) * unit for n, unit in zip(parts.groups("0"), (DAY, HOUR, MINUTE, 1), strict=True))
    return value if type(value) is int else None


# The tables and their defaults


class _Table(Schema):
    error_messages = {"unknown": "unknown key", "type": "must be a table"}  # noqa: RUF012  marshmallow's own way


class _ServerTable(_Table):
    host = _Name(load_default="127.0.0.1")
    port = _Whole(0, 65535, load_default=3000)
    public_url = _Url(load_default="")
    trusted_proxies = _List(_Address(), load_default=())
    shutdown_seconds = _Whole(1, 3600, load_default=10)
    max_connections = _Whole(0, 1_000_000, load_default=0)
    request_timeout_seconds = _Whole(1, 3600, load_default=10)


class _DatabaseTable(_Table):
    path = _Name(load_default="data/kener.db")
    synchronous = _Choice("FULL", "NORMAL", "EXTRA", load_default="FULL")
    retention_days = _Whole(1, 36_500, load_default=400)


class _AuthTable(_Table):
    secret_key = _Secret(load_default="")
    secret_key_file = _Text(load_default="")
    algorithm = _Choice("HS256", "EdDSA", "RS256", load_default="HS256")
    public_key_file = _Text(load_default="")
    allowed_ips = _List(_Address(), load_default=())


class _IngestTable(_Table):
    clock_skew_seconds = _Whole(0, DAY, load_default=60)
    max_age_days = _Whole(1, 36_500, load_default=90)
    max_body_bytes = _Whole(1, 1 << 30, load_default=65_536)
    max_queue = _Whole(1, 10_000_000, load_default=10_000)


class _RollupsTable(_Table):
    interval_seconds = _Whole(1, 900, load_default=5)


class _LogTable(_Table):
    format = _Choice("auto", "json", "text", load_default="auto")
    level = _Choice("debug", "info", "warning", "error", load_default="info")
    requests = _Choice("errors", "all", load_default="errors")


class _SiteTable(_Table):
    title = _Name(load_default="Status")
    name = _Text(load_default="")
    timezone = _Zone(load_default=ZoneInfo("UTC"))


class _CategoryTable(_Table):
    name = _Name(required=True, error_messages={"required": "is missing"})
    description = _Text(load_default="")


class _HeartbeatTable(_Table):
    interval = _Duration(MINUTE)
    cron = _CronText()
    timezone = _Zone()
    grace = _Duration(0, load_default=0)
    down_after = _Duration(0)
    carry_forward = _Flag(load_default=False)
    stale_after = _Duration(1)


class _MonitorTable(_Table):
    tag = _Tag(required=True, error_messages={"required": "is missing"})
    name = _Text(load_default="")
    description = _Text(load_default="")
    image = _Text(load_default="")
    category = _Text(load_default="")
    hidden = _Flag(load_default=False)
    default_status = _Choice(*(status.name for status in MEASURABLE))
    latency_unit = _Choice("s", "ms", load_default="s")
    include_degraded_in_downtime = _Flag(load_default=False)
    day_degraded_minimum_count = _Whole(1, 1440, load_default=1)
    day_down_minimum_count = _Whole(1, 1440, load_default=1)
    heartbeat = fields.Nested(_HeartbeatTable)


class _Document(_Table):
    server = fields.Nested(_ServerTable)
    database = fields.Nested(_DatabaseTable)
    auth = fields.Nested(_AuthTable)
    ingest = fields.Nested(_IngestTable)
    rollups = fields.Nested(_RollupsTable)
    log = fields.Nested(_LogTable)
    site = fields.Nested(_SiteTable)
    categories = fields.Nested(
        _CategoryTable, many=True, load_default=(), error_messages={"type": "must be [[categories]] tables"}
    )
    monitors = fields.Nested(
        _MonitorTable, many=True, load_default=(), error_messages={"type": "must be [[monitors]] tables"}
    )


SCHEMA = _Document()
_TOP = list(SCHEMA.fields)
_PLAIN = {
    name: table.schema.fields
    for name, table in SCHEMA.fields.items()
    if isinstance(table, fields.Nested) and not table.many
}


# The environment

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
    return found, [
        f"{name}: unknown setting{_hint(name, _VARIABLES, 0.85)}" for name in mine if name not in known
    ]


def _from_text(setting: fields.Field[Any], text: str) -> object:
    """The text as the type of the setting; as it is where that cannot be, for validation to refuse."""
    match setting:
        case _List():
            return [item.strip() for item in text.split(",") if item.strip()]
        case _Whole() if re.fullmatch(r"-?[0-9]{1,18}", text):
            return int(text)
        case _Flag():
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


Place = tuple[str | int, ...]


class _Fault(NamedTuple):
    place: Place
    text: str

    def order(self) -> tuple[int, Place]:
        """By section as the reference has them, then by place."""
        top = str(self.place[0]) if self.place else ""
        return (_TOP.index(top) if top in _TOP else len(_TOP), self.place)


def _validated(written: Mapping[str, object]) -> tuple[dict[str, Any], list[_Fault]]:
    """What could be read, with defaults, and everything that is wrong, in order."""
    try:
        read, faults = SCHEMA.load(written), []
    except ValidationError as error:
        read = error.valid_data if isinstance(error.valid_data, dict) else {}
        faults = list(_field_faults(error.messages_dict, SCHEMA))
    faults += _contradictions(read, written)
    return read, sorted(faults, key=_Fault.order)


def _field_faults(errors: Mapping[Any, Any], schema: Schema, at: Place = ()) -> Iterator[_Fault]:
    for key, found in errors.items():
        here = (*at, key)
        if key == "_schema":
            yield from (_Fault(at, text) for text in found)
        elif isinstance(key, int):  # one of an array of tables
            yield from _field_faults(found, schema, here)
        elif key not in schema.fields:
            yield _Fault(here, f"unknown key{_hint(key, schema.fields)}")
        elif isinstance(found, list):
            yield from (_Fault(here, text) for text in found)
        elif isinstance(nested := schema.fields[key], fields.Nested):
            yield from _field_faults(found, nested.schema, here)
        else:  # items of a list
            yield from (_Fault((*here, index), text) for index, texts in found.items() for text in texts)


def _hint(name: str, known: Collection[str], likeness: float = 0.6) -> str:
    by_lower = {each.lower(): each for each in known}
    nearest = get_close_matches(name.lower(), by_lower, n=1, cutoff=likeness)
    return f', did you mean "{by_lower[nearest[0]]}"?' if nearest else ""


def _line(fault: _Fault, file: str, variables: Mapping[tuple[str, str], str]) -> str:
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
            key = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else _shown(part)
            path += f".{key}" if path else key
    return path


# Rules across settings. Each sees only the values that are valid by themselves, and what was written


def _contradictions(read: Mapping[str, Any], written: Mapping[str, object]) -> Iterator[_Fault]:
    yield from _retention_rules(read)
    yield from _key_rules(_table(written, "auth"))
    yield from _twice(read, "categories", "name")
    yield from _twice(read, "monitors", "tag")
    yield from _category_rules(read)
    for index, monitor in enumerate(read.get("monitors", ())):
        heartbeat = _table(_table(written, "monitors", index), "heartbeat")
        if "heartbeat" in monitor:
            for key, text in _heartbeat_rules(monitor["heartbeat"], heartbeat):
                yield _Fault(("monitors", index, "heartbeat", *key), text)


def _table(within: object, *place: str | int) -> Mapping[str, object]:
    """The table at the place; an empty one where something else stands there."""
    for part in place:
        match within, part:
            case dict(), str():
                within = within.get(part)
            case list(), int():
                within = within[part]
    return within if isinstance(within, dict) else {}


def _retention_rules(read: Mapping[str, Any]) -> Iterator[_Fault]:
    kept = read.get("database", {}).get("retention_days")
    accepted = read.get("ingest", {}).get("max_age_days")
    if kept is not None and accepted is not None and kept < accepted:
        text = f"must be at least ingest.max_age_days, {accepted}, not {kept}"
        yield _Fault(("database", "retention_days"), text)


def _key_rules(auth: Mapping[str, object]) -> Iterator[_Fault]:
    if auth.get("secret_key") and auth.get("secret_key_file"):
        yield _Fault(("auth", "secret_key_file"), "contradicts secret_key, set one of them")
    algorithm = auth.get("algorithm", "HS256")
    if algorithm in ("EdDSA", "RS256") and not auth.get("public_key_file"):
        yield _Fault(("auth", "public_key_file"), f"is missing, {algorithm} needs it")
    if algorithm == "HS256" and auth.get("public_key_file"):
        yield _Fault(("auth", "public_key_file"), "has no use with HS256")


def _twice(read: Mapping[str, Any], tables: str, key: str) -> Iterator[_Fault]:
    seen: set[str] = set()
    for index, table in enumerate(read.get(tables, ())):
        value = table.get(key)
        if value in seen:
            yield _Fault((tables, index, key), f"{_shown(value)} is used twice")
        elif value is not None:
            seen.add(value)


def _category_rules(read: Mapping[str, Any]) -> Iterator[_Fault]:
    names = [category.get("name") for category in read.get("categories", ())]
    if None in names:
        return  # the fault is there
    for index, monitor in enumerate(read.get("monitors", ())):
        name = monitor.get("category")
        if name and name not in names:
            text = f"{_shown(name)} is no category{_hint(name, names)}"
            yield _Fault(("monitors", index, "category"), text)


# Faults of a heartbeat, by place within its table
_HeartbeatFaults = Iterator[tuple[tuple[str, ...], str]]
_DEADLINE_KEYS = ("grace", "down_after", "timezone")


def _heartbeat_rules(read: Mapping[str, Any], written: Mapping[str, object]) -> _HeartbeatFaults:
    if not written:
        yield (), "is empty, set interval, cron or stale_after"
    elif read.get("carry_forward"):
        yield from _carry_forward_rules(written)
    elif "interval" in written or "cron" in written:
        yield from _deadline_rules(read, written)
    else:
        yield from (((key,), "needs interval or cron") for key in _DEADLINE_KEYS if key in written)


def _carry_forward_rules(written: Mapping[str, object]) -> _HeartbeatFaults:
    for key in ("interval", "cron", *_DEADLINE_KEYS):
        if key in written:
            yield (key,), "contradicts carry_forward"
    if "stale_after" not in written:
        yield ("stale_after",), "is missing, carry_forward needs it"


def _deadline_rules(read: Mapping[str, Any], written: Mapping[str, object]) -> _HeartbeatFaults:
    if "stale_after" in written:
        yield ("stale_after",), "has no use with interval or cron"
    if "timezone" in written and "cron" not in written:
        yield ("timezone",), "needs cron"
    if "interval" in written and "cron" in written:
        yield ("cron",), "contradicts interval, set one of them"
    elif "interval" in written:
        yield from _down_after_rules(read, "interval", "grace")
    else:
        yield from _down_after_rules(read, "grace")


def _down_after_rules(read: Mapping[str, Any], *parts: str) -> _HeartbeatFaults:
    if all(key in read for key in ("down_after", *parts)):
        least = sum(read[key] for key in parts)
        if read["down_after"] < least:
            yield (
                ("down_after",),
                f"must be at least {' + '.join(parts)}, {least} s, not {read['down_after']} s",
            )


# From valid tables to dataclasses


def _built(read: Mapping[str, Any], folder: Path) -> Config:
    database = Database(**{**read["database"], "path": folder / read["database"]["path"]})
    site = {**read["site"], "name": read["site"]["name"] or read["site"]["title"]}
    zone: ZoneInfo = site["timezone"]
    return Config(
        server=Server(**read["server"]),
        database=database,
        auth=_auth(read["auth"], folder, database.path.parent),
        ingest=Ingest(**read["ingest"]),
        rollups=Rollups(**read["rollups"]),
        log=Log(**read["log"]),
        site=Site(**site),
        categories=tuple(Category(**table) for table in read["categories"]),
        monitors=tuple(_monitor(table, zone) for table in read["monitors"]),
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


def _monitor(table: Mapping[str, Any], site_zone: ZoneInfo) -> Monitor:
    return Monitor(
        tag=table["tag"],
        name=table["name"] or table["tag"],
        description=table["description"],
        image=table["image"],
        category=table["category"],
        hidden=table["hidden"],
        latency_unit=table["latency_unit"],
        day_degraded_minimum_count=table["day_degraded_minimum_count"],
        day_down_minimum_count=table["day_down_minimum_count"],
        settings=_settings(table, site_zone),
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
