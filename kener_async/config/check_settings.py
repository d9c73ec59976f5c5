"""From the table of a check to its settings, of the server's and of an agent's alike."""

import json
from collections.abc import Iterator
from datetime import timedelta
from types import MappingProxyType
from typing import Literal
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from kener_async.clock import Cron, longest_pause
from kener_async.config.check_rules import BYTE_KINDS, timing_of
from kener_async.config.checks import KINDS, TLS_PORTS, AgentCheckTable, CheckKeys, OAuthTable
from kener_async.domain.checks import CheckTiming
from kener_async.domain.conditions import CheckCondition, at_most, parse
from kener_async.domain.escapes import EscapeFault, unescaped
from kener_async.probes.settings import (
    AliveTarget,
    CheckSettings,
    CommandTarget,
    DnsTarget,
    FileTarget,
    GreetingTarget,
    HttpTarget,
    OAuth,
    PingTarget,
    Target,
    TcpTarget,
    TlsSettings,
    TlsTarget,
    UdpTarget,
    UnitTarget,
    WebSocketTarget,
)

# Headers whose values are secrets, also where they are written plainly.
SECRET_HEADERS = ("auth", "cookie", "key", "pass", "secret", "session", "signature", "token")


def check_settings(
    table: CheckKeys, tag: str, unit: Literal["s", "ms"], zone: ZoneInfo, found: tuple[str, ...]
) -> CheckSettings:
    """The settings of a check of the monitor `tag`; `found` are the secrets that its $NAMEs stood for."""
    kind = kind_of(table)
    return CheckSettings(
        tag=tag,
        target=_device_target(table, kind) if isinstance(table, AgentCheckTable) else _target(table, kind),
        timing=_timing(table, kind, zone),
        expect=_expect(table),
        warn=(*table.warn, *_slow(table)),
        invert=table.invert,
        ip=table.ip,
        in_milliseconds=unit == "ms",
        secrets=_masked(table, kind, found),
    )


def kind_of(table: CheckKeys) -> str:
    """How is looked."""
    return next(kind for kind in KINDS if getattr(table, kind, None) is not None)


def _timing(table: CheckKeys, kind: str, zone: ZoneInfo) -> CheckTiming:
    names = ("every", "cron", "timeout", "retries", "retry_every")
    timing = timing_of(kind, {name: getattr(table, name) for name in names})
    cron = None if table.cron is None else Cron(table.cron, (table.timezone or zone).key)
    every = table.every if cron is None else longest_pause(cron)
    return CheckTiming(every, timing["timeout"], timing["retries"], timing["retry_every"], cron)


def _expect(table: CheckKeys) -> tuple[CheckCondition, ...] | None:
    """The conditions; those of the agent's own keys as such."""
    if not isinstance(table, AgentCheckTable) or not (table.expect_status or table.expect_text):
        return table.expect
    status = "< 400" if table.expect_status is None else f"== {table.expect_status}"
    texts = [json.dumps(table.expect_text, ensure_ascii=False)] if table.expect_text else []
    return tuple(map(parse, [f"status {status}", *(f"body contains {text}" for text in texts)]))


def _slow(table: CheckKeys) -> Iterator[CheckCondition]:
    if isinstance(table, AgentCheckTable) and table.degraded_above is not None:
        yield at_most("latency", timedelta(seconds=table.degraded_above))


# Targets


def _device_target(table: AgentCheckTable, kind: str) -> Target:
    match kind:
        case "command":
            return CommandTarget(table.command or (), table.degraded_exit)
        case "unit":
            return UnitTarget(table.unit or "")
        case "file" if table.file is not None and table.max_age is not None:
            return FileTarget(table.file, table.max_age)
        case "alive":
            return AliveTarget()
    return _target(table, kind)


def _target(table: CheckKeys, kind: str) -> Target:
    match kind:
        case "http":
            return _http(table)
        case "ping":
            return PingTarget(table.ping or "", table.packets)
        case "tcp":
            return TcpTarget(*(table.tcp or ("", 0)), unescaped(table.send), table.max_body)
        case "udp":
            return UdpTarget(*(table.udp or ("", 0)), unescaped(table.send))
        case "dns":
            return DnsTarget(table.dns or "", table.record, table.server, _tls(table))
        case "tls":
            host, port = table.tls or ("", 0)
            return TlsTarget(host, port or TLS_PORTS[table.starttls], table.starttls, _tls(table))
        case "websocket":
            headers = MappingProxyType(dict(table.headers))
            return WebSocketTarget(table.websocket or "", table.send, headers, table.max_body, _tls(table))
        case "ssh" | "smtp" | "imap" | "pop3" | "ftp":
            host, port = getattr(table, kind)
            return GreetingTarget(kind, host, port or KINDS[kind].port, table.require_tls, _tls(table))
    raise AssertionError(f"{kind} is not a kind of check")


def _http(table: CheckKeys) -> HttpTarget:
    return HttpTarget(
        url=table.http or "",
        method=table.method,
        headers=MappingProxyType(dict(table.headers)),
        body=table.body,
        user=table.user,
        password=table.password,
        oauth=None if table.oauth is None else _oauth(table.oauth),
        max_redirects=table.max_redirects,
        max_body=table.max_body,
        proxy=table.proxy,
        tls=_tls(table),
    )


def _oauth(table: OAuthTable) -> OAuth:
    return OAuth(table.token_url, table.client, table.secret, table.scope)


def _tls(table: CheckKeys) -> TlsSettings:
    return TlsSettings(table.verify, table.client_certificate, table.server_name)


# Secrets


def _masked(table: CheckKeys, kind: str, found: tuple[str, ...]) -> tuple[str, ...]:
    """The texts that reasons must not show."""
    basic = f"{table.user}:{table.password}" if table.password else ""
    sent = map(_as_sent, found) if kind in BYTE_KINDS else ()
    return tuple(sorted({basic, *found, *sent, *_written_secrets(table)} - {""}))


def _as_sent(secret: str) -> str:
    """A secret in whose text backslashes are read as escapes."""
    try:
        return unescaped(secret).decode(errors="replace")
    except EscapeFault:  # an escape that only ends after it
        return secret


def _written_secrets(table: CheckKeys) -> Iterator[str]:
    """Those that stand in the file themselves."""
    yield table.password
    if table.oauth is not None:
        yield table.oauth.secret
    for address in (table.http, table.websocket, table.proxy):
        if password := urlsplit(address or "").password:
            yield unquote(password)
            yield password
    for name, value in table.headers:
        if any(word in name.lower() for word in SECRET_HEADERS):
            yield value
            yield value.rpartition(" ")[2]  # without the scheme, such as Bearer
