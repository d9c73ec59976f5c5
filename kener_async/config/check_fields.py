"""The kinds of values in the settings of checks."""

import re
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields

from kener_async.config.alert_fields import Headers
from kener_async.config.fields import PingUrl, String, describe
from kener_async.domain.conditions import CheckCondition, ConditionFault, parse

TLS_SCHEME = "tls://"


class ConditionText(String):
    """A condition, read as what it means (domain/conditions.py)."""

    def parsed(self, text: str) -> CheckCondition:
        try:
            return parse(text)
        except ConditionFault as fault:
            raise ValidationError(f"column {fault.column}: {fault}") from None


class ServerName(String):
    """The name of a host in a certificate, or empty."""

    def parsed(self, text: str) -> str:
        return text and _host(text, text)


class Host(String):
    """The name or the address of a host; a name of other letters is read as it is looked up."""

    def parsed(self, text: str) -> str:
        return _host(text.removeprefix("[").removesuffix("]") if text.startswith("[") else text, text)


class HostAndPort(String):
    """Such as "db.example.org:5432" or "[2001:db8::1]:22", read as both; without a port that is 0."""

    def __init__(self, *, needs_port: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.needs_port = needs_port

    def parsed(self, text: str) -> tuple[str, int]:
        host, port = _split(text)
        if self.needs_port and not port:
            raise ValidationError(
                f'must be a host and a port, such as "db.example.org:5432", not {describe(text)}'
            )
        return _host(host, text), port


class NameServerText(String):
    """Such as "192.0.2.53", "192.0.2.53:5353" or "tls://dns.example.org"; empty where that is allowed."""

    def __init__(self, *, may_be_empty: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.may_be_empty = may_be_empty

    def parsed(self, text: str) -> str:
        if self.may_be_empty and not text:
            return text
        host, _ = _split(text.removeprefix(TLS_SCHEME))
        _host(host, text)
        return text


class IpAddress(String):
    """An address of one version, or empty."""

    def __init__(self, version: int) -> None:
        super().__init__()
        self.version = version

    def parsed(self, text: str) -> str:
        try:
            is_good = not text or ip_address(text).version == self.version
        except ValueError:
            is_good = False
        if not is_good:
            raise ValidationError(f"must be an IPv{self.version} address, not {describe(text)}")
        return text


PRINTABLE = re.compile("[!-~]+")  # a name that is looked up; DNS itself allows any


class DomainName(String):
    """A name to look up; a name of other letters is read as it is looked up."""

    def parsed(self, text: str) -> str:
        name = _ascii(text)
        if name is None or not PRINTABLE.fullmatch(name) or not _is_name(name):
            raise ValidationError(f'must be a name such as "example.org", not {describe(text)}')
        return name


class RecordType(String):
    """The type of a record, in upper case."""

    def parsed(self, text: str) -> str:
        from dns.exception import DNSException  # imported here, because the library takes its time
        from dns.rdatatype import from_text, is_metatype

        try:
            is_known = not is_metatype(from_text(text.upper()))
        except (DNSException, ValueError):
            is_known = False
        if not is_known:
            raise ValidationError(f"must be a type of records such as A, MX or TXT, not {describe(text)}")
        return text.upper()


class WebSocketUrl(String):
    """An address that begins with ws:// or wss://; error messages do not show it, it may hold a secret."""

    def parsed(self, text: str) -> str:
        scheme, _, rest = text.partition(":")
        try:
            is_good = scheme.lower() in ("ws", "wss") and bool(PingUrl(is_secret=True).parsed(f"http:{rest}"))
        except ValidationError:
            is_good = False
        if not is_good:
            raise ValidationError("must be a ws or wss address")
        return text


class Proxy(String):
    """The address of a proxy, or empty; error messages do not show it."""

    def parsed(self, text: str) -> str:
        PingUrl(is_secret=True).parsed(text)
        if urlsplit(text).path.strip("/"):
            raise ValidationError("must be scheme, host and port alone")
        return text


class Method(String):
    """The method of a request, in upper case."""

    def parsed(self, text: str) -> str:
        if not re.fullmatch("[A-Za-z]{1,20}", text) or text.upper() in ("CONNECT", "TRACE"):
            raise ValidationError(f"must be a method such as GET, HEAD or POST, not {describe(text)}")
        return text.upper()


class RequestHeaders(Headers):
    """Headers of a request; any may be set but those that say how the request is sent."""

    OURS = ("connection", "content-length", "transfer-encoding")


class IpVersion(fields.Field[int]):
    """4, 6, or 0: either."""

    def _deserialize(self, value: object, attr: str | None, data: object, **kwargs: object) -> int:
        if type(value) is not int or value not in (0, 4, 6):
            raise ValidationError("must be 4, 6, or 0 for either")
        return value


def _split(text: str) -> tuple[str, int]:
    """Host and port, 0 if there is none."""
    match = re.fullmatch(r"(?:\[(?P<literal>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?", text)
    if match is None and text.count(":") > 1 and "[" not in text:
        return text, 0
    if match is None or not 0 < int(match["port"] or 1) < 65_536:
        raise ValidationError(f"must be a host, or a host and a port, not {describe(text)}")
    return match["literal"] or match["name"], int(match["port"] or 0)


def _host(host: str, text: str) -> str:
    """The host as it is looked up; `text` is what was written."""
    try:
        return str(ip_address(host))
    except ValueError:
        name = _ascii(host)
    if name is None or not re.fullmatch(r"[A-Za-z0-9._-]{1,253}", name) or name.startswith((".", "-")):
        raise ValidationError(f"must name a host, not {describe(text)}")
    return name


def _is_name(text: str) -> bool:
    """Whether DNS can have the name, which may have escapes such as `\\.`."""
    from dns.exception import DNSException  # imported here, because the library takes its time
    from dns.name import from_text

    try:
        from_text(text)
    except (DNSException, UnicodeError):
        return False
    return True


def _ascii(name: str) -> str | None:
    """A name as DNS has it; None if it cannot be one."""
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode()
    except UnicodeError:
        return None
