"""The kinds of values in config.toml. Types are strict: a boolean is no number, "5" is not 5."""

import json
import re
from collections.abc import Collection, Iterator
from datetime import date, datetime, time
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from marshmallow import ValidationError, fields, validate

from kener_async.clock import Cron
from kener_async.domain import crontab
from kener_async.domain.calendar import DAY, day_start
from kener_async.domain.durations import LONGEST, parse_duration
from kener_async.domain.pings import SLUG, UUID

LOCALES = ("en", "de", "es", "fr", "hi", "ja", "pt-BR", "vi", "zh-CN")
_KINDS = {
    bool: "a boolean",
    int: "a whole number",
    float: "a decimal number",
    list: "a list",
    dict: "a table",
    time: "a time of day",
}


def describe(value: object) -> str:
    """A value for an error message: text quoted and on one line, of anything else only its kind."""
    if isinstance(value, str):
        text = json.dumps(value if len(value) <= 80 else f"{value[:80]}...", ensure_ascii=False)
        return text.encode(errors="backslashreplace").decode()
    return _KINDS.get(type(value), "a date or a time")


def suggestion(name: str, names: Collection[str], likeness: float = 0.6) -> str:
    """`, did you mean "port"?`, or nothing where none of the names is similar."""
    by_lower = {each.lower(): each for each in names}
    nearest = get_close_matches(name.lower(), by_lower, n=1, cutoff=likeness)
    return f', did you mean "{by_lower[nearest[0]]}"?' if nearest else ""


_INVALID = re.compile("[\0\ud800-\udfff]")


class String(fields.Field[Any]):
    """Text; subclasses convert it in `parsed`."""

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> Any:
        if not isinstance(value, str):
            raise ValidationError(f"must be text, not {describe(value)}")
        if _INVALID.search(value):
            raise ValidationError("contains an invalid character")
        return self.parsed(value)

    def parsed(self, text: str) -> Any:
        return text


class Integer(fields.Field[int]):
    def __init__(self, minimum: int, maximum: int, **kwargs: Any) -> None:
        within = validate.Range(minimum, maximum, error="must be between {min} and {max}, not {input}")
        super().__init__(validate=within, **kwargs)

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> int:
        if type(value) is not int:
            raise ValidationError(f"must be a whole number, not {describe(value)}")
        return value


class Seconds(fields.Field[float]):
    """A positive number of seconds, with decimals or without."""

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> float:
        if type(value) not in (int, float):
            raise ValidationError(f"must be a number of seconds, not {describe(value)}")
        seconds = float(value)  # type: ignore[arg-type]  # it is a number
        if not 0 < seconds <= DAY:
            raise ValidationError("must be more than 0 s and at most 1 day")
        return seconds


class Boolean(fields.Field[bool]):
    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> bool:
        if not isinstance(value, bool):
            raise ValidationError(f"must be true or false, not {describe(value)}")
        return value


class List(fields.List[Any]):
    """A list, read as a tuple."""

    default_error_messages = {"invalid": "must be a list"}  # noqa: RUF012  marshmallow's own way

    def _deserialize(self, value: object, attr: Any, data: Any, **kwargs: Any) -> Any:
        return tuple(super()._deserialize(value, attr, data, **kwargs))


class Choice(String):
    def __init__(self, *choices: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.choices = choices

    def parsed(self, text: str) -> str:
        if text not in self.choices:
            raise ValidationError(f"must be one of {', '.join(self.choices)}, not {describe(text)}")
        return text


class FoldedChoice(Choice):
    """A choice that may be written in upper case too."""

    def parsed(self, text: str) -> str:
        return super().parsed(text.lower() if text.lower() in self.choices else text)


class NonEmptyString(String):
    """Text with at least one character that is not white space."""

    def parsed(self, text: str) -> str:
        if not text.strip():
            raise ValidationError("must not be empty")
        return text


class FilePath(String):
    """A path, relative to the folder of the file unless it is absolute."""

    def parsed(self, text: str) -> Path:
        if not text.strip():
            raise ValidationError("must not be empty")
        return Path(text)


class OptionalPath(String):
    """Such a path, or empty: None."""

    def parsed(self, text: str) -> Path | None:
        return Path(text) if text else None


class Tag(String):
    """The tag of a monitor, which is a part of addresses."""

    def parsed(self, text: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._~-]{1,64}", text):
            raise ValidationError(f"must be 1 to 64 of A-Z a-z 0-9 . _ ~ -, not {describe(text)}")
        if text in DOT_SEGMENTS:
            raise ValidationError(f"{describe(text)} cannot be a tag: in an address it means another folder")
        if text == OVERALL:
            raise ValidationError(f"{describe(text)} cannot be a tag: badges use it for all monitors")
        if text.endswith(TAG_SUFFIXES):
            raise ValidationError(f"must not end in {text[text.rindex('.') :]}, which addresses use")
        return text


DOT_SEGMENTS = (".", "..")
OVERALL = "_"
TAG_SUFFIXES = (".js",)  # what a route has right after a tag, as /embed/{tag}.js does


class Network(String):
    """A network; a single address is a network of one."""

    def parsed(self, text: str) -> IPv4Network | IPv6Network:
        try:
            return ip_network(text)
        except ValueError as error:
            wrong = "has host bits set" if "host bits" in str(error) else "is not an IP address or network"
            raise ValidationError(f"{describe(text)} {wrong}") from None


class Url(String):
    def parsed(self, text: str) -> str:
        if text and not _is_web_address(text):
            raise ValidationError(f"must be an http or https address without query, not {describe(text)}")
        return text.rstrip("/")


class PingUrl(String):
    """An address to be requested, as it is written; error messages do not show a secret one."""

    def __init__(self, *, is_secret: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_secret = is_secret

    def parsed(self, text: str) -> str:
        is_invalid = any(character in "\\ " or not character.isprintable() for character in text)
        if text and (
            is_invalid or not text.lower().startswith(("http://", "https://")) or not _has_host(text)
        ):
            shown = "" if self.is_secret else f", not {describe(text)}"
            raise ValidationError(f"must be an http or https address{shown}")
        return text


def _is_web_address(text: str) -> bool:
    plain = not (set("?#@\\") & set(text) or any(map(str.isspace, text)))
    return plain and text.lower().startswith(("http:", "https:")) and _has_host(text)


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or IPv6 address
        return False


class Href(String):
    """The address of a link or an image.

    It is empty, an address of http, https or another scheme allowed here, a path that begins with /, or a
    file of the assets folder.
    """

    def __init__(self, *more_schemes: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schemes = ("https", "http", *more_schemes)

    def parsed(self, text: str) -> str:
        if any(character in " \\" or not character.isprintable() for character in text):
            raise ValidationError(f"{describe(text)} contains a space, a backslash or a control character")
        if text.startswith("//"):
            raise ValidationError(f"{describe(text)} must say https: or http: before //")
        if not self._leads_somewhere(text):
            schemes = ", ".join(f"{scheme}:" for scheme in self.schemes)
            ways = f"an address ({schemes}), a path that begins with / or a file in assets"
            raise ValidationError(f"must be {ways}, not {describe(text)}")
        return text

    def _leads_somewhere(self, text: str) -> bool:
        scheme, _, rest = text.lower().partition(":")
        if scheme in ("https", "http") and rest:
            return _has_host(text)
        return text[:1] in ("", "/") or is_asset(text) or (scheme in self.schemes and bool(rest))


def is_asset(text: str) -> bool:
    """Whether it names a file within the assets folder: no scheme, no / first, no part begins with a dot."""
    return re.fullmatch(rf"{_PART}(?:/{_PART})*", text) is not None


FONT_ENDINGS = (".woff2", ".woff", ".ttf")
ASSET_ENDINGS = (
    *(".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".ico"),
    *FONT_ENDINGS,
    *(".css", ".html", ".pdf"),
)


def is_published(name: str) -> bool:
    """Whether a file of the assets folder is of a kind that pages use; no other is ever served."""
    return is_asset(name) and name.lower().endswith(ASSET_ENDINGS)


_PART = "[A-Za-z0-9_~-][A-Za-z0-9._~-]*"


class FontFile(String):
    def parsed(self, text: str) -> str:
        if text and not (is_asset(text) and text.lower().endswith(FONT_ENDINGS)):
            raise ValidationError(f"must name a .woff2, .woff or .ttf file in assets, not {describe(text)}")
        return text


class FontFamily(String):
    """The value of `font-family` in a stylesheet: names, in quotes or not, between commas."""

    def parsed(self, text: str) -> str:
        if text and not re.fullmatch(rf"{_FONT}(?:, *{_FONT})*", text):
            raise ValidationError(f"{describe(text)} is not a list of font families")
        return text


_FONT = r"""(?:[A-Za-z-][A-Za-z0-9 -]*|"[A-Za-z0-9 -]+"|'[A-Za-z0-9 -]+')"""


class Color(String):
    def parsed(self, text: str) -> str:
        if text and not re.fullmatch(r"#(?:[0-9A-Fa-f]{3}){1,2}", text):
            raise ValidationError(f"must be a color such as #4ead94 or #fff, not {describe(text)}")
        return text


class BasePath(String):
    def parsed(self, text: str) -> str:
        if not re.fullmatch(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)*", text):
            raise ValidationError(
                f"must begin with / and not end with it, of A-Z a-z 0-9 . _ ~ - /, not {describe(text)}"
            )
        return text


class StringMap(fields.Field[tuple[tuple[str, str], ...]]):
    """A table whose keys are free, read as pairs of name and text."""

    def _deserialize(
        self, value: object, attr: str | None, data: object, **kwargs: object
    ) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, dict):
            raise ValidationError("must be a table")
        problems = {name: list(self._problems(name, text)) for name, text in value.items()}
        if any(problems.values()):
            raise ValidationError(problems)
        return tuple(value.items())

    def _problems(self, name: str, text: object) -> Iterator[str]:
        if not re.fullmatch(r"[A-Za-z0-9.:_-]+", name):
            yield "contains an invalid character, allowed are A-Z a-z 0-9 . : _ -"
        try:
            String().deserialize(text)
        except ValidationError as error:
            yield from error.messages


class DateOrDateTime(fields.Field[date]):
    """A date, or a date and time with or without its offset."""

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> date:
        if not isinstance(value, date):
            raise ValidationError(
                f"must be a date, or a date and time, without quotes, not {describe(value)}"
            )
        if not 1970 <= value.year <= 9000:
            raise ValidationError("must be between the years 1970 and 9000")
        return value


def instant_of(moment: date, zone: ZoneInfo) -> int:
    """The moment in UTC seconds: without an offset it is local to the zone, a date is its start there."""
    if not isinstance(moment, datetime):
        return day_start(moment, zone)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp())


class TimeZone(String):
    def parsed(self, text: str) -> ZoneInfo:
        try:
            return ZoneInfo(text)
        except (KeyError, ValueError, OSError):  # unknown; no path of the database; a folder of it
            nearest = suggestion(text, available_timezones())
            raise ValidationError(f"{describe(text)} is not a time zone{nearest}") from None


class CronExpression(String):
    def parsed(self, text: str) -> str:
        if problem := crontab.problem_of(text):
            raise ValidationError(f"{describe(text)} is not a cron expression: {problem}")
        try:
            Cron(text).next_after(0)
        except ValueError:
            raise ValidationError(f"{describe(text)} never matches") from None
        return text


class Secret(String):
    """Key material; error messages do not show it."""

    def parsed(self, text: str) -> str:
        if is_placeholder(text):
            raise ValidationError("is a placeholder, not a secret")
        if text and len(text.encode()) < 32:
            raise ValidationError("must be at least 32 bytes long")
        return text


class Credential(String):
    """A secret of another service, of the characters that it uses; error messages do not show it."""

    def __init__(self, pattern: str, kind: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pattern, self.kind = pattern, kind

    def parsed(self, text: str) -> str:
        if is_placeholder(text):
            raise ValidationError("is a placeholder, not a secret")
        if not re.fullmatch(f"{self.pattern}{{8,200}}", text):
            raise ValidationError(f"must be 8 to 200 of {self.kind}")
        return text


class CheckId(String):
    """The UUID of a check, which is a secret too."""

    def parsed(self, text: str) -> str:
        if not re.fullmatch(UUID, text):
            raise ValidationError("must be a UUID, 8-4-4-4-12 hexadecimal digits")
        return text.lower()


class Slug(String):
    def parsed(self, text: str) -> str:
        if not re.fullmatch(SLUG, text):
            raise ValidationError(f"must be 1 to 100 of a-z 0-9 _ -, not {describe(text)}")
        return text


class EndpointKey(String):
    """The group and the name of an endpoint as Gatus joins them, such as "core_front-end"."""

    def parsed(self, text: str) -> str:
        group, _, name = text.rpartition("_") if text.count("_") == 1 else ("", "", text)
        key = "_".join(re.sub(r"[/_., #+&]", "-", part.strip().lower()) for part in (group, name))
        if text != key or not name:
            nearest = suggestion(text, [key])
            raise ValidationError(f"must be group_name as Gatus writes it, not {describe(text)}{nearest}")
        return text


def is_placeholder(secret: str) -> bool:
    """Whether it looks like the placeholder of an example, such as "change-me"."""
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


class Duration(fields.Field[int]):
    """Whole seconds, or text such as "90s", "5m", "1h30m", "2d"; read as seconds."""

    def __init__(self, minimum: int, maximum: int = LONGEST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.minimum, self.maximum = minimum, maximum

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> int:
        seconds = parse_duration(value) if isinstance(value, str) else value
        if type(seconds) is not int:
            raise ValidationError(f'must be whole seconds or text such as "1h30m", not {describe(value)}')
        if not self.minimum <= seconds <= self.maximum:
            days, rest = divmod(self.maximum, DAY)
            maximum = f"{self.maximum} s" if rest else f"{days} days"
            raise ValidationError(f"must be between {self.minimum} s and {maximum}")
        return seconds
