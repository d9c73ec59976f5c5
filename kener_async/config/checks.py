"""The settings of checks: `[checks]`, `[monitors.check]` and `[[agent.checks]]`.

Exactly one key says how is looked, and so of which kind a check is; KINDS has the keys and the values of
each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from marshmallow import validate

from kener_async.config.alert_fields import Line, NonEmptyLine
from kener_async.config.check_fields import (
    ConditionText,
    DomainName,
    Host,
    HostAndPort,
    IpAddress,
    IpVersion,
    Method,
    NameServerText,
    Proxy,
    RecordType,
    RequestHeaders,
    ServerName,
    WebSocketUrl,
)
from kener_async.config.fields import (
    Boolean,
    Choice,
    CronExpression,
    Duration,
    FilePath,
    Integer,
    List,
    NonEmptyString,
    OptionalPath,
    PingUrl,
    Seconds,
    String,
    Tag,
    TimeZone,
)
from kener_async.config.groups import MinUp
from kener_async.config.schema import key, optional, table
from kener_async.domain.calendar import HOUR, MINUTE
from kener_async.domain.conditions import CheckCondition
from kener_async.probes.settings import VantageSettings

NOT_EMPTY = validate.Length(1, error="must not be empty")
LARGEST_BODY = 1 << 24  # bytes


@table
class ChecksConfig:
    """`[checks]`. `witnesses` are hosts and ports; empty: nobody is asked."""

    max_at_once: int = key(
        Integer(1, 100_000), 256, doc="How many attempts of the server's own checks may be under way at once."
    )
    resolver_threads: int = key(
        Integer(1, 1000),
        16,
        restart=True,
        doc="Threads that look up names; they are not shared with anything else.",
    )
    name_servers: tuple[str, ...] = key(
        List(NameServerText()),
        (),
        restart=True,
        doc='Name servers for the targets of checks, such as ["192.0.2.53", "tls://dns.example.org"]; empty: '
        "the system's way.",
    )
    witnesses: tuple[tuple[str, int], ...] = key(
        List(HostAndPort(needs_port=True)),
        (),
        doc='Hosts that are asked, when a check fails, whether we are offline ourselves: "host:port" (TCP). '
        "Empty: nobody is asked.",
    )
    source_ipv4: str = key(
        IpAddress(4), "", restart=True, doc="The address that checks come from; empty: as the system likes."
    )
    source_ipv6: str = key(IpAddress(6), "", restart=True, doc="Likewise.")
    user_agent: str = key(
        NonEmptyLine(), "kener-async", restart=True, doc="How checks introduce themselves (User-Agent)."
    )
    ca_file: Path | None = key(
        OptionalPath(),
        None,
        restart=True,
        doc="Certificates of authorities that are believed besides the system's: a PEM file. Empty: none.",
    )
    fault_days: int = key(
        Integer(1, 36_500), 30, doc="Days for which attempts that failed are kept, as an explanation."
    )

    @property
    def vantage(self) -> VantageSettings:
        """What the probes of this process share."""
        return VantageSettings(
            resolver_threads=self.resolver_threads,
            name_servers=self.name_servers,
            source_ipv4=self.source_ipv4,
            source_ipv6=self.source_ipv6,
            user_agent=self.user_agent,
            ca_file=self.ca_file,
        )


@table
class OAuthTable:
    token_url: str = key(
        PingUrl(is_secret=True, validate=NOT_EMPTY), expands=True, doc="Where the token is fetched."
    )
    client: str = key(NonEmptyLine(), expands=True, doc="The name of the client.")
    secret: str = key(NonEmptyLine(), secret=True, doc="Its secret.")
    scope: str = key(Line(), "", doc="What is asked for; empty: nothing in particular.")


@table
class CheckKeys:
    """The keys of checks by the server and by the agent. Of those that say how is looked one is not None."""

    http: str | None = key(
        PingUrl(is_secret=True, validate=NOT_EMPTY), None, expands=True, doc="An address that is requested."
    )
    ping: str | None = key(
        Host(),
        None,
        doc="A host that must answer an ICMP echo. A system may have to allow it: `kener-async doctor` says.",
    )
    tcp: tuple[str, int] | None = key(
        HostAndPort(needs_port=True), None, doc="A host and port to connect to."
    )
    udp: tuple[str, int] | None = key(
        HostAndPort(needs_port=True), None, doc="A host and port that get a datagram."
    )
    dns: str | None = key(DomainName(), None, doc="A name whose records are looked up.")
    tls: tuple[str, int] | None = key(
        HostAndPort(), None, doc="A host, or a host and port, whose certificate is looked at."
    )
    websocket: str | None = key(
        WebSocketUrl(), None, expands=True, doc="An address of a WebSocket, ws:// or wss://."
    )
    ssh: tuple[str, int] | None = key(
        HostAndPort(), None, doc="A host, or a host and port, whose SSH server must greet."
    )
    smtp: tuple[str, int] | None = key(
        HostAndPort(), None, doc="Likewise of SMTP, with STARTTLS where it is offered."
    )
    imap: tuple[str, int] | None = key(HostAndPort(), None, doc="Likewise of IMAP.")
    pop3: tuple[str, int] | None = key(HostAndPort(), None, doc="Likewise of POP3.")
    ftp: tuple[str, int] | None = key(HostAndPort(), None, doc="Likewise of FTP.")
    every: int = key(Duration(1), MINUTE, doc="How often.")
    cron: str | None = key(
        CronExpression(),
        None,
        doc="Instead of every: at the times of a cron expression, as crontab(5) has them.",
    )
    timezone: ZoneInfo | None = key(
        TimeZone(), None, doc="The zone the expression is read in. Default: the timezone of [site]."
    )
    timeout: int | None = key(
        Duration(1, HOUR),
        None,
        doc='Without an answer within this time an attempt has failed. Default: "10s", or every where that '
        "is less.",
    )
    retries: int | None = key(
        Integer(0, 100),
        None,
        doc="How often it is tried again before a failure is believed; the outage then begins with the first "
        "attempt. Default: 2, and 0 for command, unit, file and alive.",
    )
    retry_every: int = key(Duration(1, HOUR), 20, doc="How long after an attempt it is tried again.")
    expect: tuple[CheckCondition, ...] | None = key(
        List(ConditionText()),
        None,
        doc="What must hold, else it is DOWN (docs/checks.md). Default: what is good for the kind, such as "
        '["status < 400"].',
    )
    warn: tuple[CheckCondition, ...] = key(
        List(ConditionText()), (), doc="What should hold, else it is DEGRADED."
    )
    invert: bool = key(
        Boolean(), False, doc="Whether UP and DOWN change places, as of a port that must be closed."
    )
    ip: Literal[0, 4, 6] = key(IpVersion(), 0, doc="4 or 6: by that version of IP only; 0: by either.")
    method: str = key(Method(), "GET", doc="The method of the request.")
    headers: tuple[tuple[str, str], ...] = key(
        RequestHeaders(), (), secret=True, doc="Headers of the request; values may hold $NAME. Default: none."
    )
    body: str = key(String(), "", expands=True, doc="The body of the request; it may hold $NAME.")
    user: str = key(Line(), "", expands=True, doc="The user of HTTP's basic authentication; empty: none.")
    password: str = key(Line(), "", secret=True, doc="The password.")
    oauth: OAuthTable | None = optional(OAuthTable)
    max_redirects: int = key(Integer(0, 20), 5, doc="How many redirects are followed.")
    max_body: int = key(
        Integer(1, LARGEST_BODY), 1 << 20, doc="How much of an answer is looked at, in bytes."
    )
    proxy: str = key(
        Proxy(),
        "",
        secret=True,
        doc="The address of an HTTP proxy; empty: none, whatever the environment says.",
    )
    verify: bool = key(Boolean(), True, doc="Whether the certificate must be good.")
    client_certificate: Path | None = key(
        OptionalPath(),
        None,
        doc="A certificate of our own to show: a PEM file with certificate and key. Empty: none.",
    )
    server_name: str = key(
        ServerName(), "", doc="The name to ask for, where it is another than the host's; empty: the host's."
    )
    packets: int = key(Integer(1, 100), 3, doc="How many echo requests are sent.")
    send: str = key(
        String(),
        "",
        expands=True,
        doc=r"What is sent; it may hold $NAME and, for tcp and udp, \n \r \t \0 \\ and \x00 to \xff.",
    )
    record: str = key(
        RecordType(),
        "A",
        doc="The type of the records: A, AAAA, CAA, CNAME, MX, NS, PTR, SOA, SRV, TXT and others.",
    )
    server: str = key(
        NameServerText(may_be_empty=True),
        "",
        doc='The name server that is asked: "192.0.2.53", "192.0.2.53:5353" or "tls://dns.example.org"; '
        "empty: as other names are looked up.",
    )
    starttls: Literal["", "smtp", "imap", "pop3", "ftp", "ldap"] = key(
        Choice("", "smtp", "imap", "pop3", "ftp", "ldap"),
        "",
        doc="The protocol in which TLS is asked for first: smtp, imap, pop3, ftp or ldap; empty: TLS at "
        "once.",
    )
    require_tls: bool = key(Boolean(), False, doc="Whether STARTTLS must be offered.")


@table
class MonitorCheckTable(CheckKeys):
    """`[monitors.check]`: with `group` a monitor is made of others instead of being looked at."""

    group: tuple[str, ...] | None = key(
        List(Tag(), validate=NOT_EMPTY),
        None,
        doc="The tags of other monitors, of which this one is made; it has no reports of its own.",
    )
    min_up: tuple[int, bool] = key(
        MinUp(),
        (100, True),
        doc="How many of them must be UP or DEGRADED, of those of which something is known: a number, or a "
        "percentage, rounded up. With fewer it is DOWN.",
    )
    degraded: bool = key(
        Boolean(), True, doc="Whether it is DEGRADED while one of them is not UP; else it is UP then, too."
    )


@table
class AgentCheckTable(CheckKeys):
    """`[[agent.checks]]`: the keys of the server's checks, and what only a device can look at."""

    tag: str = key(Tag(), doc="Unique: the tag of the monitor that is reported.")
    latency_unit: Literal["s", "ms"] = key(
        Choice("s", "ms"),
        "s",
        doc="The unit in which the latency is reported: s or ms. It should be that of the monitor.",
    )
    command: tuple[str, ...] | None = key(
        List(NonEmptyString(), validate=NOT_EMPTY),
        None,
        doc="A command: exit status 0 is UP, degraded_exit, if set, is DEGRADED, any other is DOWN.",
    )
    unit: str | None = key(NonEmptyString(), None, doc="A systemd unit, which is UP while it is active.")
    file: Path | None = key(FilePath(), None, doc="A file that must have been written within max_age.")
    alive: bool | None = key(Boolean(), None, doc="true: UP while the device runs.")
    degraded_exit: int | None = key(
        Integer(1, 255), None, doc="The exit status that means DEGRADED. Default: not set."
    )
    max_age: int | None = key(Duration(1), None, doc="Required with file.")
    expect_status: int | None = key(
        Integer(100, 599), None, doc='As expect = ["status == 200"] for http. Default: any below 400.'
    )
    expect_text: str = key(
        String(), "", doc="A text that the body must contain, as a condition of expect; empty: any body."
    )
    degraded_above: float | None = key(
        Seconds(),
        None,
        doc='Seconds, as warn = ["latency <= 500ms"]; with http, tcp and command. Default: not set.',
    )


# What other programs call keys of checks, where it is not alike.
KEYS_ELSEWHERE: Mapping[str, str] = {
    "url": "http",
    "icmp": "ping",
    "interval": "every",
    "retry_interval": "retry_every",
    "conditions": "expect",
    "keyword": "expect",
    "insecure": "verify",
}


# Kinds


@dataclass(frozen=True, slots=True)
class CheckKind:
    """A way of looking: the keys that belong to it, and the values that its conditions can ask for.

    `port`: what is meant where none is written.
    """

    keys: frozenset[str] = frozenset()
    values: frozenset[str] = frozenset()
    port: int = 0
    retries: int = 2


TIMING = frozenset({"every", "cron", "timezone", "timeout", "retries", "retry_every"})
JUDGING = frozenset({"expect", "warn", "invert"})
OF_AGENT = frozenset({"tag", "latency_unit"})
_TLS = ("verify", "client_certificate", "server_name")


def _kind(keys: str, values: str, port: int = 0) -> CheckKind:
    common = TIMING | JUDGING | OF_AGENT | {"ip"}
    return CheckKind(common | frozenset(keys.split()), frozenset(f"latency {values}".split()), port)


def _device_kind(*keys: str, values: tuple[str, ...] = ()) -> CheckKind:
    return CheckKind(TIMING | OF_AGENT | frozenset(keys), frozenset(values), retries=0)


_GREETING = f"require_tls {' '.join(_TLS)}"
_HTTP = "method headers body user password oauth max_redirects max_body proxy expect_status expect_text"

NETWORK_KINDS: Mapping[str, CheckKind] = {
    "http": _kind(f"{_HTTP} degraded_above {' '.join(_TLS)}", "ip status body json header url certificate"),
    "ping": _kind("packets", "ip loss"),
    "tcp": _kind("send max_body degraded_above", "ip answer"),
    "udp": _kind("send", "ip answer"),
    "dns": _kind("record server verify server_name", "records rcode certificate"),
    "tls": _kind(f"starttls {' '.join(_TLS)}", "ip certificate"),
    "websocket": _kind(f"send headers max_body {' '.join(_TLS)}", "ip answer url certificate"),
    "ssh": _kind("", "ip answer", 22),
    "smtp": _kind(_GREETING, "ip status answer certificate", 25),
    "imap": _kind(_GREETING, "ip answer certificate", 143),
    "pop3": _kind(_GREETING, "ip answer certificate", 110),
    "ftp": _kind(_GREETING, "ip status answer certificate", 21),
}
DEVICE_KINDS: Mapping[str, CheckKind] = {
    "command": _device_kind("degraded_exit", "degraded_above", *JUDGING, values=("latency",)),
    "unit": _device_kind("invert"),
    "file": _device_kind("max_age", "invert"),
    "alive": _device_kind(),
}
KINDS: Mapping[str, CheckKind] = {**NETWORK_KINDS, **DEVICE_KINDS}
TLS_PORTS = {"": 443, "smtp": 25, "imap": 143, "pop3": 110, "ftp": 21, "ldap": 389}  # by starttls
