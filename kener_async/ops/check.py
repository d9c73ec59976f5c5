"""Look once at an address or at the target of a monitor, now, without storing anything."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kener_async.config.fields import suggestion
from kener_async.config.load import single_check
from kener_async.config.model import Config
from kener_async.domain.checks import Attempt
from kener_async.domain.conditions import CheckCondition, Observed, Value, parse
from kener_async.domain.errors import Invalid, NotFound
from kener_async.domain.samples import Status
from kener_async.probes.attempt import attempt, observed_of, reason_of
from kener_async.probes.probe import Observation, Probe, Trace
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import (
    CheckSettings,
    DeviceTarget,
    DnsTarget,
    HttpTarget,
    PingTarget,
    VantageSettings,
    WebSocketTarget,
)
from kener_async.probes.vantage import Vantage

# Kinds of checks as they stand before the colon of an address; https and wss are those of http and websocket.
SCHEMES: Mapping[str, str] = {
    "http": "http",
    "https": "http",
    "ws": "websocket",
    "wss": "websocket",
    **{kind: kind for kind in ("ping", "tcp", "udp", "dns", "tls", "ssh", "smtp", "imap", "pop3", "ftp")},
}
WITH_WHOLE_ADDRESS = frozenset({"http", "websocket"})
HTTP_IS_GOOD = (parse("status < 400"),)
MAX_SHOWN = 200  # characters of a value


@dataclass(frozen=True, slots=True)
class ConditionResult:
    """A condition, and why it does not hold; empty: it does. `is_warning`: it is one of `warn`."""

    text: str
    fault: str
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What was looked at, what the attempt said, and what was seen; `values` None: there was no answer."""

    target: str
    settings: CheckSettings
    attempt: Attempt
    values: Mapping[str, Value] | None = None
    conditions: tuple[ConditionResult, ...] = ()


def check_of_address(address: str, keys: Mapping[str, object]) -> CheckSettings:
    """The check of an address, such as `https://example.org`, `tls://host:636`, `ping:host` or `dns:name`.

    `keys` are more keys of [monitors.check]. Raises ConfigError, and Invalid for another kind of address.
    """
    scheme, colon, rest = address.partition(":")
    kind = SCHEMES.get(scheme.lower())
    if not colon or kind is None:
        raise Invalid(f"{address}: one of {', '.join(sorted(SCHEMES))} must stand before the first colon")
    if kind in WITH_WHOLE_ADDRESS:
        return single_check({kind: address, **keys}, Path.cwd())
    rest = rest.removeprefix("//").rstrip("/")
    if kind == "dns":
        return single_check({**_dns_keys(rest), **keys}, Path.cwd())
    return single_check({kind: rest, **keys}, Path.cwd())


def is_address(text: str) -> bool:
    """Whether it is an address; else it is a tag, in which no colon can be."""
    return ":" in text


def check_of_monitor(config: Config, tag: str) -> CheckSettings:
    """The check of a monitor in config.toml; raises NotFound, and Invalid for one without a check."""
    by_tag = {monitor.tag: monitor for monitor in config.monitors}
    if tag not in by_tag:
        hint = suggestion(tag, by_tag) or (
            f"; an address is https://{tag} or ping:{tag}" if "." in tag else ""
        )
        raise NotFound(f"there is no monitor {tag}{hint}")
    check, group = by_tag[tag].check, by_tag[tag].settings.group
    if group is not None:
        raise Invalid(f"{tag} is a group, look at its members: {', '.join(group.members)}")
    if check is None:
        raise Invalid(f"{tag} has no [monitors.check]: this server does not look at it")
    return check


def look(check: CheckSettings, vantage: VantageSettings) -> CheckResult:
    """Make one attempt; nothing is stored. Raises Invalid for what only an agent looks at."""
    if isinstance(check.target, DeviceTarget):
        raise Invalid(f"{check.tag}: only an agent looks at it")
    return asyncio.run(_look(check, vantage))


@dataclass(slots=True)
class RecordingProbe:
    """Keeps what a probe saw."""

    probe: Probe
    seen: Observation | None = None
    trace: Trace = field(default_factory=Trace)

    async def look(self, trace: Trace) -> Observation:
        """Look once, as the probe within does."""
        self.trace, self.seen = trace, None
        self.seen = await self.probe.look(trace)
        return self.seen


async def _look(check: CheckSettings, settings: VantageSettings) -> CheckResult:
    async with Vantage.opened(settings) as vantage:
        recording = RecordingProbe(probe_of(check, vantage))
        at = time.time()
        made = await attempt(check, recording, at, vantage)
    seen = recording.seen or recording.trace.partial
    if seen is None or made.status is None:
        return CheckResult(target_text(check), check, made)
    observed = observed_of(seen, recording.trace, at)
    results = tuple(_results(check, observed, recording.trace))
    shown = {name: _masked(check, value, recording.trace) for name, value in observed.values.items()}
    return CheckResult(target_text(check), check, made, shown, results)


def _results(check: CheckSettings, observed: Observed, trace: Trace) -> Iterator[ConditionResult]:
    def result(condition: CheckCondition, *, is_warning: bool) -> ConditionResult:
        fault = condition.fault(observed)
        text = reason_of(check, condition.text, trace)
        return ConditionResult(text, reason_of(check, fault, trace) if fault else "", is_warning)

    default = HTTP_IS_GOOD if isinstance(check.target, HttpTarget) else ()
    for condition in default if check.expect is None else check.expect:
        yield result(condition, is_warning=False)
    for condition in check.warn:
        yield result(condition, is_warning=True)


def _masked(check: CheckSettings, value: Value, trace: Trace) -> Value:
    if isinstance(value, frozenset):
        return frozenset(reason_of(check, each, trace) for each in value)
    return reason_of(check, value, trace) if isinstance(value, str) else value


def target_text(check: CheckSettings) -> str:
    """What is looked at, on one line and without secrets."""
    target = check.target
    match target:
        case HttpTarget() | WebSocketTarget():
            text = target.url
        case PingTarget():
            text = f"ping:{target.host}"
        case DnsTarget():
            text = f"dns:{target.name}/{target.record}{f'@{target.server}' if target.server else ''}"
        case _:
            host, port = getattr(target, "host", ""), getattr(target, "port", 0)
            kind = getattr(target, "protocol", type(target).__name__.removesuffix("Target").lower())
            text = f"{kind}://{f'[{host}]' if ':' in host else host}:{port}"
    return reason_of(check, text, Trace())


def as_json(result: CheckResult) -> dict[str, Any]:
    """The result with the names of the API; instants are UTC seconds, durations seconds."""
    made = result.attempt
    return {
        "target": result.target,
        "at": made.at,
        "status": None if made.status is None else made.status.name,
        "seconds": made.seconds,
        "reason": made.reason or None,
        "notMeasured": made.obstacle,
        "phases": {_camel(name): each for name, each in made.phases._asdict().items() if each is not None},
        "certificates": [
            {
                "subject": each.subject,
                "issuer": each.issuer,
                "ends": each.ends,
                "fingerprint": each.fingerprint.hex(),
                "fault": each.fault or None,
            }
            for each in made.certificates
        ],
        "values": {name: _plain(value) for name, value in (result.values or {}).items()},
        "conditions": [
            {
                "condition": each.text,
                "kind": "warn" if each.is_warning else "expect",
                "holds": not each.fault,
                "fault": each.fault or None,
            }
            for each in result.conditions
        ],
    }


def facts(result: CheckResult) -> Iterator[tuple[str, str]]:
    """What was seen besides phases and latency: a name and a text each."""
    for name, value in (result.values or {}).items():
        match value:
            case _ if name in {"latency", "certificate"} or (name == "url" and value == result.target):
                continue
            case frozenset():
                yield from ((name if not index else "", each) for index, each in enumerate(sorted(value)))
            case str() if name in {"body", "answer"}:
                yield name, f"{len(value):,} characters"
            case float() if name == "loss":
                yield name, f"{value:.0%}"
            case _:
                yield name, str(value)[:MAX_SHOWN]
    yield from _certificate_facts(result.attempt)


def _certificate_facts(made: Attempt) -> Iterator[tuple[str, str]]:
    now = datetime.fromtimestamp(made.at, UTC)
    for index, each in enumerate(made.certificates):
        ends = datetime.fromtimestamp(each.ends, UTC)
        days = (ends - now) // timedelta(days=1)
        when = f"{days} {'day' if days == 1 else 'days'} left" if days >= 0 else f"ended {-days} days ago"
        issuer = "self-signed" if each.issuer == each.subject else f"by {each.issuer}"
        yield "" if index else "certificate", f"{each.subject}, {issuer}, until {ends:%Y-%m-%d} ({when})"


def exit_status(result: CheckResult) -> int:
    """0: UP, 1: DOWN or DEGRADED, 2: not measured."""
    if result.attempt.status is None:
        return 2
    return 0 if result.attempt.status is Status.UP else 1


def waterfall(made: Attempt) -> Sequence[tuple[str, float, float]]:
    """The phases one after another: name, begin and length in seconds."""
    names = {"name": "name", "connect": "connect", "tls": "TLS", "first_byte": "first byte"}
    begin = 0.0
    found = []
    for key, seconds in made.phases._asdict().items():
        if seconds is not None:
            found.append((names[key], begin, seconds))
            begin += seconds
    if found and made.seconds - begin > 0.0005:
        found.append(("rest", begin, made.seconds - begin))
    return found


def _dns_keys(rest: str) -> dict[str, object]:
    """The keys of `name`, `name/MX` and `name/MX@192.0.2.53`."""
    question, _, server = rest.partition("@")
    name, _, record = question.partition("/")
    return {
        "dns": name,
        **({"record": record.upper()} if record else {}),
        **({"server": server} if server else {}),
    }


def _plain(value: Value) -> object:
    match value:
        case timedelta():
            return value.total_seconds()
        case frozenset():
            return sorted(value)
        case str():
            return value[:MAX_SHOWN]
    return value


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(each.title() for each in others)
