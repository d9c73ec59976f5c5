"""Rules between the settings of a check, of the server's and of an agent's alike."""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kener_async.config.check_fields import TLS_SCHEME
from kener_async.config.checks import KINDS, NETWORK_KINDS
from kener_async.config.fields import describe
from kener_async.config.groups import group_key_problems
from kener_async.config.problems import ConfigProblem, Place, Values, table_at, within
from kener_async.domain.calendar import HOUR
from kener_async.domain.conditions import CheckCondition
from kener_async.domain.escapes import EscapeFault, unescaped

TIMEOUT = 10  # seconds; less where checks are made more often
LONGEST_RETRIES = HOUR
LARGEST_DATAGRAM = 65_507  # bytes
BYTE_KINDS = ("tcp", "udp")  # in whose `send` a backslash begins an escape


def check_problems(
    values: Values, written: Mapping[str, object], folder: Path | None
) -> Iterator[ConfigProblem]:
    """What is wrong with the server's checks; `folder` None: files are not looked at."""
    if ca_file := values.get("checks", {}).get("ca_file"):
        yield from within(("checks", "ca_file"), _authority_rules(ca_file, folder))
    for index, monitor in enumerate(values.get("monitors", ())):
        check = monitor.get("check")
        if check is None:
            continue
        place: Place = ("monitors", index, "check")
        table = table_at(written, *place)
        yield from within(place, group_key_problems(table))
        if "group" in table:
            continue
        if table_at(written, "monitors", index, "heartbeat"):
            yield ConfigProblem(place, "contradicts heartbeat: a check says itself how long its status holds")
        yield from within(place, rules_of_check(check, table, tuple(NETWORK_KINDS), folder))


def rules_of_check(
    values: Values, written: Mapping[str, object], kinds: tuple[str, ...], folder: Path | None
) -> Iterator[ConfigProblem]:
    """What is wrong with one check; `kinds` are those that it may be of."""
    chosen = [kind for kind in kinds if kind in written]
    if not chosen:
        is_agent = kinds == tuple(KINDS)
        ways = kinds if is_agent else (*kinds, "group")
        yield ConfigProblem((), f"does not say what to check, set one of {', '.join(ways)}")
        return
    if others := chosen[1:]:
        yield from (ConfigProblem((other,), f"contradicts {chosen[0]}, set one of them") for other in others)
        return
    kind = chosen[0]
    yield from _foreign_keys(kind, written)
    yield from _timing_rules(kind, values, written)
    yield from _condition_rules(kind, values)
    yield from _request_rules(values, written)
    yield from _send_rules(kind, values)
    if "file" in written and "max_age" not in written:
        yield ConfigProblem(("max_age",), "is missing, file needs it")
    if values.get("alive") is False:
        yield ConfigProblem(("alive",), "must be true, or left out")
    if folder is not None and (certificate := values.get("client_certificate")):
        yield from within(("client_certificate",), _certificate_rules(certificate, folder))


def _foreign_keys(kind: str, written: Mapping[str, object]) -> Iterator[ConfigProblem]:
    """A key that belongs to other kinds only."""
    for name in written:
        needed = [other for other, each in KINDS.items() if name in each.keys]
        if needed and kind not in needed:
            yield ConfigProblem((name,), f"is not used with {kind}, needs {_or(needed)}")


def _timing_rules(kind: str, values: Values, written: Mapping[str, object]) -> Iterator[ConfigProblem]:
    if "every" in written and "cron" in written:
        yield ConfigProblem(("cron",), "contradicts every, set one of them")
    if "timezone" in written and "cron" not in written:
        yield ConfigProblem(("timezone",), "needs cron")
    every, timeout = values.get("every"), values.get("timeout")
    if every is not None and timeout is not None and timeout > every and "cron" not in written:
        yield ConfigProblem(("timeout",), f"must be at most every, {every} s, not {timeout} s")
    yield from _retry_rules(kind, values, written)


def _retry_rules(kind: str, values: Values, written: Mapping[str, object]) -> Iterator[ConfigProblem]:
    needed = [values.get(name) for name in ("every", "retry_every")]
    if None in needed or any(name in written and name not in values for name in ("timeout", "retries")):
        return  # invalid itself
    timing = timing_of(kind, values)
    longest = timing["retries"] * (timing["retry_every"] + timing["timeout"])
    if longest > LONGEST_RETRIES:
        text = f"retries x (retry_every + timeout) must be at most 1 h, not {longest} s"
        yield ConfigProblem(("retries" if "retries" in written else "retry_every",), text)


def timing_of(kind: str, values: Mapping[str, Any]) -> dict[str, int]:
    """The timeout, the retries and their pause of a check, in seconds, with the defaults of its kind."""
    timeout, retries = values["timeout"], values["retries"]
    is_scheduled = values["cron"] is not None
    return {
        "timeout": (TIMEOUT if is_scheduled else min(TIMEOUT, values["every"]))
        if timeout is None
        else timeout,
        "retries": KINDS[kind].retries if retries is None else retries,
        "retry_every": values["retry_every"],
    }


# Conditions


def _condition_rules(kind: str, values: Values) -> Iterator[ConfigProblem]:
    for key in ("expect", "warn"):
        for index, condition in enumerate(values.get(key) or ()):
            if isinstance(condition, CheckCondition) and (problem := _unknown_value(kind, condition, values)):
                yield ConfigProblem((key, index), problem)
    if values.get("expect") is not None:
        for key in ("expect_status", "expect_text"):
            if values.get(key):
                yield ConfigProblem((key,), "contradicts expect, write it as one of its conditions")


def _unknown_value(kind: str, condition: CheckCondition, values: Values) -> str:
    name = condition.subject.name
    if name not in KINDS[kind].values:
        known = [other for other, each in KINDS.items() if name in each.values]
        return f"{kind} has no {name}, that is known of {_or(known)}"
    if name == "certificate" and not _sees_certificate(kind, values):
        return "sees no certificate: only TLS has one, such as https, wss or a name server with tls://"
    return ""


def _sees_certificate(kind: str, values: Values) -> bool:
    match kind:
        case "http" | "websocket":
            return str(values.get(kind, "https:")).lower().startswith(("https:", "wss:"))
        case "dns":
            return str(values.get("server", "")).startswith(TLS_SCHEME)
    return True


# Requests


def _request_rules(values: Values, written: Mapping[str, object]) -> Iterator[ConfigProblem]:
    if "password" in written and not values.get("user"):
        yield ConfigProblem(("password",), "needs user")
    if "user" in written and "oauth" in written:
        yield ConfigProblem(("oauth",), "contradicts user, set one of them")
    names = [name.lower() for name, _ in values.get("headers") or ()]
    if "authorization" in names:
        for key in ("user", "oauth"):
            if key in written:
                yield ConfigProblem((key,), "contradicts the header Authorization, set one of them")
    if len(set(names)) < len(names):
        yield ConfigProblem(("headers",), "has a header twice")


def _send_rules(kind: str, values: Values) -> Iterator[ConfigProblem]:
    """Of bytes; what a WebSocket is sent is text as it stands."""
    if kind not in BYTE_KINDS:
        return
    try:
        sent = unescaped(values.get("send", ""))
    except EscapeFault as fault:
        yield ConfigProblem(("send",), str(fault))
        return
    if kind == "udp" and len(sent) > LARGEST_DATAGRAM:
        yield ConfigProblem(("send",), f"must be at most {LARGEST_DATAGRAM} bytes, which a datagram can hold")


def _authority_rules(ca_file: Path, folder: Path | None) -> Iterator[ConfigProblem]:
    if folder is None:
        return
    try:
        ssl.create_default_context(cafile=folder / ca_file)
    except ssl.SSLError:
        yield ConfigProblem((), f"{describe(str(ca_file))} holds no certificates (PEM)")
    except OSError as error:
        yield ConfigProblem((), f"{describe(str(ca_file))} cannot be read: {error.strerror}")


def _certificate_rules(certificate: Path, folder: Path) -> Iterator[ConfigProblem]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(folder / certificate, password=lambda: "")
    except ssl.SSLError:
        yield ConfigProblem(
            (), f"{describe(str(certificate))} must hold a certificate and its key (PEM), without a password"
        )
    except OSError as error:
        yield ConfigProblem((), f"{describe(str(certificate))} cannot be read: {error.strerror}")


def _or(names: list[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
