"""One attempt of a check: its time-out, what it says of the target, and faults of our own told apart."""

import asyncio
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import get_args
from urllib.parse import SplitResult, unquote, urlsplit

import structlog

from kener_async.domain.checks import LONGEST_REASON, Attempt, Obstacle, SeenCertificate
from kener_async.domain.conditions import Observed, Value, first_fault
from kener_async.domain.masking import masked
from kener_async.domain.samples import Status
from kener_async.probes.certificates import first_end
from kener_async.probes.own_faults import obstacle_of, words_of
from kener_async.probes.probe import NoAnswer, NotMeasured, Observation, Probe, Trace
from kener_async.probes.settings import CheckSettings, HttpTarget, NetworkTarget, WebSocketTarget
from kener_async.probes.vantage import Vantage

LONGEST_STALL = 0.05  # seconds that the latency of a target may be wrong by
STALLED_SHARE = 0.1  # of the time-out: above it, a time-out is our own

NOTHING_OBSERVED = Observed({}, {})  # where no condition asks
NETWORK_TARGETS = get_args(NetworkTarget)
log = structlog.get_logger()


async def attempt(check: CheckSettings, probe: Probe, at: float, vantage: Vantage) -> Attempt:
    """Look once at the target of a check; `at` is now, in UTC seconds. Raises nothing but CancelledError.

    When the loop stalled while it looked, it looks once more: the stall would be measured as the target's.
    """
    loop = asyncio.get_running_loop()
    with vantage.stalls:
        began = loop.time()
        made = await _look(check, probe, at, vantage)
        is_stalled = vantage.stalls.longest(began) > LONGEST_STALL
        if is_stalled and made.has_ended and isinstance(check.target, NETWORK_TARGETS):
            made = await _look(check, probe, at, vantage)
    return made.attempt


@dataclass(frozen=True, slots=True)
class _Look:
    attempt: Attempt
    has_ended: bool = True  # False: the time was over


async def _look(check: CheckSettings, probe: Probe, at: float, vantage: Vantage) -> _Look:
    loop = asyncio.get_running_loop()
    trace = Trace()
    began = loop.time()
    limit = asyncio.timeout(check.timing.timeout)
    try:
        async with limit:
            observation = await probe.look(trace)
        return _Look(_judged(check, observation, trace, at))
    except NoAnswer as error:
        return _Look(_failed(check, error, trace, at))
    except NotMeasured as error:
        return _Look(_not_measured(check, error, trace, at))
    except TimeoutError as error:
        if not limit.expired():  # the system's own time-out of a connection
            return _Look(_failed(check, NoAnswer(words_of(error)), trace, at))
        stalled = vantage.stalls.longest(began)
        return _Look(_late(check, trace, at, stalled, vantage), has_ended=False)
    except Exception as error:
        return _Look(_broken(check, error, trace, at))


def _judged(check: CheckSettings, seen: Observation, trace: Trace, at: float) -> Attempt:
    """What an observation says by the conditions of the check."""
    observed = observed_of(seen, trace, at) if check.expect or check.warn else NOTHING_OBSERVED
    status, reason = Status.UP, ""
    if check.expect is not None and (fault := first_fault(check.expect, observed)):
        status, reason = Status.DOWN, fault
    elif seen.status is not None:
        status, reason = seen.status, seen.fault
    elif check.expect is None and seen.fault:
        status, reason = Status.DOWN, seen.fault
    if status is Status.UP and (fault := first_fault(check.warn, observed)):
        status, reason = Status.DEGRADED, fault
    made = Attempt(at, status, _latency(seen, trace), reason, trace.phases, _chain_of(check, trace))
    return _finished(check, made, trace)


def observed_of(seen: Observation, trace: Trace, at: float) -> Observed:
    """What conditions can ask of an attempt that was begun at the instant `at` (UTC seconds)."""
    values: dict[str, Value] = {**seen.values, "latency": timedelta(seconds=_latency(seen, trace))}
    if (end := first_end(trace.certificates)) is not None:
        values["certificate"] = timedelta(seconds=end - at)
    return Observed(values, seen.headers)


def _latency(seen: Observation, trace: Trace) -> float:
    return max(0.0, seen.seconds - trace.own)


def _failed(check: CheckSettings, error: NoAnswer, trace: Trace, at: float) -> Attempt:
    """DOWN, for the reason of an error."""
    seconds = sum(each or 0.0 for each in trace.phases)
    made = Attempt(
        at,
        Status.DOWN,
        seconds,
        str(error),
        trace.phases,
        _chain_of(check, trace),
        is_network=error.is_network,
    )
    return _finished(check, made, trace)


def _late(check: CheckSettings, trace: Trace, at: float, stalled: float, vantage: Vantage) -> Attempt:
    """The time was over: whose fault was it, and is what has come so far enough?"""
    timeout = check.timing.timeout
    if stalled > STALLED_SHARE * timeout:
        text = f"this server was too busy: its event loop stalled for {_seconds(round(stalled, 2))}"
        return _not_measured(check, NotMeasured(Obstacle.STALL, text), trace, at)
    if trace.excuse is not None:
        return _not_measured(check, trace.excuse, trace, at)
    if trace.looked_up:
        error = vantage.names.unanswered(trace.looked_up)
        if isinstance(error, NotMeasured):
            return _not_measured(check, error, trace, at)
        return replace(_failed(check, error, trace, at), seconds=timeout)
    if trace.partial is not None:
        return _judged(check, trace.partial, trace, at)
    missing = NoAnswer(f"no {trace.awaited} within {_seconds(timeout)}")
    return replace(_failed(check, missing, trace, at), seconds=timeout)


def _broken(check: CheckSettings, error: Exception, trace: Trace, at: float) -> Attempt:
    """What an error that no probe expected means."""
    if (obstacle := obstacle_of(error)) is not None:
        text = words_of(error) if isinstance(error, OSError) else "out of memory or threads"
        return _not_measured(check, NotMeasured(obstacle, text), trace, at)
    if isinstance(error, OSError):
        is_network = not isinstance(error, ssl.SSLError)
        return _failed(check, NoAnswer(words_of(error), is_network=is_network), trace, at)
    log.exception("a check failed by a defect of this program", monitor=check.tag)
    text = f"a defect of this program: {type(error).__name__}"
    return _not_measured(check, NotMeasured(Obstacle.DEFECT, text), trace, at)


def _not_measured(check: CheckSettings, error: NotMeasured, trace: Trace, at: float) -> Attempt:
    return Attempt(at, None, reason=reason_of(check, str(error), trace), obstacle=error.obstacle)


def _finished(check: CheckSettings, made: Attempt, trace: Trace) -> Attempt:
    """The attempt turned around where the check is, and its reason masked and cut."""
    if check.invert and made.status is Status.UP:
        return replace(made, status=Status.DOWN, reason="it answers, and must not")
    if check.invert and made.status is Status.DOWN:
        return replace(made, status=Status.UP, reason="")
    return replace(made, reason=reason_of(check, made.reason, trace)) if made.reason else made


def reason_of(check: CheckSettings, text: str, trace: Trace) -> str:
    """One printable line without secrets, of at most LONGEST_REASON characters."""
    text = masked(text, _secrets(check, trace))
    text = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def _chain_of(check: CheckSettings, trace: Trace) -> tuple[SeenCertificate, ...]:
    """The certificates that the target sent, without the secrets that it may have written into them."""
    if not trace.certificates:
        return ()
    secrets = [*_secrets(check, trace)]
    return tuple(_without_secrets(each, secrets) for each in trace.certificates)


def _without_secrets(seen: SeenCertificate, secrets: Sequence[str]) -> SeenCertificate:
    texts = (seen.subject, seen.issuer, seen.fault)
    subject, issuer, fault = found = tuple(masked(text, secrets) for text in texts)
    return seen if found == texts else replace(seen, subject=subject, issuer=issuer, fault=fault)


def _secrets(check: CheckSettings, trace: Trace) -> Iterator[str]:
    yield from check.secrets
    yield from trace.secrets
    if not isinstance(check.target, HttpTarget | WebSocketTarget):
        return
    yield from _credentials(urlsplit(check.target.url))
    if isinstance(check.target, HttpTarget):
        target = check.target
        yield from _credentials(urlsplit(target.proxy))
        if target.password:
            yield from (target.password, f"{target.user}:{target.password}")
        if target.oauth is not None:
            yield from (target.oauth.secret, f"{target.oauth.client}:{target.oauth.secret}")


def _credentials(url: SplitResult) -> Iterator[str]:
    """The password in an address, as it stands there, as it is meant, and as it is sent."""
    if url.password:
        user, password = unquote(url.username or ""), unquote(url.password)
        yield from (url.password, password, f"{user}:{password}")


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"
