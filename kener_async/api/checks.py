"""What is known of a monitor's check: its settings, attempts, faults and certificates."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from kener_async import keys
from kener_async.api import check_schemas
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint
from kener_async.api.tags import configured_monitor
from kener_async.clock import Cron
from kener_async.domain.certificates import StoredCertificate, current, ends_at
from kener_async.domain.checks import Attempt
from kener_async.domain.masking import masked
from kener_async.probes.settings import (
    CheckSettings,
    DnsTarget,
    GreetingTarget,
    HttpTarget,
    PingTarget,
    Target,
    TcpTarget,
    TlsTarget,
    UdpTarget,
    WebSocketTarget,
)
from kener_async.store import certificates, check_faults
from kener_async.store.interface import Session

routes = Routes()

PORTED: Mapping[type, str] = {TcpTarget: "tcp", UdpTarget: "udp", TlsTarget: "tls"}


@routes.get("/api/monitors/{tag}/checks")
@endpoint(
    Spec(
        operation="getMonitorChecks",
        summary="Get what is known of a monitor's check",
        group="Monitors",
        scope="manage:read",
        path={"tag": "tag of the monitor"},
        query=check_schemas.CheckFaultQuery(),
        reply=check_schemas.ChecksResponse(),
    )
)
async def checks(call: Call) -> dict[str, Any]:
    """The settings of the check, its last attempts, the faults of earlier ones, and certificates.

    Secrets are masked. Faults are listed page by page, the newest first.
    """
    app, query = call.request.app, call.query
    monitor, state = await configured_monitor(call)
    found, faults = await app[keys.DATABASE].read(_load, state.id, query["limit"], query.get("before"))
    tag, running = monitor.tag, app[keys.CHECKS]
    return {
        "tag": tag,
        "check": None if monitor.check is None else _settings(monitor.check),
        "lastBeganAt": running.last_began(tag),
        "nextDueAt": running.next_due(tag),
        "notMeasured": running.not_measured(tag) or None,
        "attempts": [rendered(attempt) for attempt in reversed(running.last_attempts(tag))],
        "faults": [rendered(attempt) for attempt in faults],
        "certificateEndsAt": ends_at(found),
        "certificates": _certificates(found),
    }


def _load(
    session: Session, monitor: int, limit: int, before: float | None
) -> tuple[Sequence[StoredCertificate], Sequence[Attempt]]:
    seen = certificates.of(session, [monitor]).get(monitor, [])
    return seen, check_faults.recent(session, monitor, limit, before)


def rendered(attempt: Attempt) -> dict[str, Any]:
    """An attempt as it is answered."""
    phases = attempt.phases
    return {
        "at": attempt.at,
        "status": None if attempt.status is None else attempt.status.name,
        "reason": attempt.reason,
        "seconds": attempt.seconds,
        "phases": {
            "name": phases.name,
            "connect": phases.connect,
            "tls": phases.tls,
            "firstByte": phases.first_byte,
        },
    }


def _settings(check: CheckSettings) -> dict[str, Any]:
    timing = check.timing
    kind, target = _kind_and_target(check.target)

    def texts(conditions: Sequence[Any]) -> list[str]:
        return [masked(condition.text, check.secrets) for condition in conditions]

    return {
        "kind": kind,
        "target": masked(target, check.secrets),
        "every": timing.every if timing.cron is None else None,
        "cron": timing.cron.expression if isinstance(timing.cron, Cron) else None,
        "timezone": timing.cron.zone if isinstance(timing.cron, Cron) else None,
        "timeout": timing.timeout,
        "retries": timing.retries,
        "retryEvery": timing.retry_every,
        "hold": timing.hold,
        "expect": None if check.expect is None else texts(check.expect),
        "warn": texts(check.warn),
        "invert": check.invert,
    }


def _kind_and_target(target: Target) -> tuple[str, str]:
    """The key of [monitors.check] that says how is looked, and what is looked at."""
    match target:
        case HttpTarget(url=url):
            return "http", _public_part(url)
        case WebSocketTarget(url=url):
            return "websocket", _public_part(url)
        case PingTarget(host=host):
            return "ping", host
        case (
            TcpTarget(host=host, port=port)
            | UdpTarget(host=host, port=port)
            | TlsTarget(host=host, port=port)
        ):
            return PORTED[type(target)], f"{host}:{port}"
        case DnsTarget(name=name, record=record):
            return "dns", f"{name} {record}"
        case GreetingTarget(protocol=protocol, host=host, port=port):
            return protocol, f"{host}:{port}"
    return "device", ""  # what an agent looks at is not configured here


def _public_part(url: str) -> str:
    """An address without the user and the query, which may hold secrets that are written plainly."""
    parts = urlsplit(url)
    shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    return f"{shown}?***" if parts.query else shown


def _certificates(found: Sequence[StoredCertificate]) -> list[dict[str, Any]]:
    chain = current(found)
    return [
        {
            "subject": stored.seen.subject,
            "issuer": stored.seen.issuer,
            "fingerprint": stored.seen.fingerprint.hex(),
            "position": stored.position,
            "endsAt": stored.seen.ends,
            "fault": stored.seen.fault,
            "firstSeenAt": stored.first_seen,
            "lastSeenAt": stored.last_seen,
            "isCurrent": stored in chain,
        }
        for stored in found
    ]
