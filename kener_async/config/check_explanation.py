"""How a monitor is checked, in words: when, what must hold, and when a failure is believed."""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from kener_async.domain.calendar import HOUR, MINUTE
from kener_async.domain.check_examples import FailedRun, failed_runs, longest_failure, shortest_failure
from kener_async.domain.check_times import check_times
from kener_async.domain.durations import format_duration
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

Clock = Callable[[int], str]  # writes an instant as a time of the day


def explained_check(check: CheckSettings, now: int, clock_of: Callable[[int], Clock]) -> Iterator[str]:
    """The lines about a check; `clock_of` an instant adds the date to times of other days than its own."""
    first = next_run(check, now)
    yield f"It is checked {_when(check, first, clock_of(now))}: {_what(check.target)}."
    yield from _conditions(check)
    yield _believed(check)
    yield _example(next(failed_runs(check.timing, first)), clock_of(int(first)))
    held = format_duration(check.timing.hold)
    yield f"A status is held for {held} after a run; what cannot be measured for longer is not known."


def next_run(check: CheckSettings, now: int) -> float:
    """The instant of the next run, in UTC seconds."""
    return check_times(check.tag, check.timing.every, check.timing.cron, 0).next_after(now)


def _when(check: CheckSettings, first: float, clock: Clock) -> str:
    timing = check.timing
    if timing.cron is not None:
        return f"at the times of its schedule, next at {clock(int(first))}"
    if timing.every == MINUTE:
        return f"every minute at :{int(first % MINUTE):02}"
    if HOUR % timing.every == 0 and timing.every > MINUTE:
        minute, second = divmod(int(first % timing.every), MINUTE)
        return f"every {format_duration(timing.every)}, at {minute:02}:{second:02} of the hour and so on"
    return f"every {format_duration(timing.every)}, next at {clock(int(first))}"


def _what(target: Target) -> str:
    """Without secrets: of an address only scheme and host."""
    match target:
        case HttpTarget():
            text = f"{target.method} {_address(target.url)}"
        case WebSocketTarget():
            text = f"WebSocket {_address(target.url)}"
        case PingTarget():
            text = f"{target.packets} echo requests to {target.host}"
        case TcpTarget():
            text = f"a TCP connection to {target.host} port {target.port}"
        case UdpTarget():
            text = f"a datagram to {target.host} port {target.port}"
        case DnsTarget():
            server = f" of {target.server}" if target.server else ""
            text = f"the {target.record} records of {target.name}{server}"
        case TlsTarget():
            text = f"the certificate of {target.host} port {target.port}"
        case GreetingTarget():
            text = f"the {target.protocol.upper()} greeting of {target.host} port {target.port}"
        case _:
            text = "by the device itself"
    return text


def _address(url: str) -> str:
    """Scheme and host: a path or a query may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _conditions(check: CheckSettings) -> Iterator[str]:
    must = [condition.text for condition in check.expect or ()]
    if must:
        yield f"An attempt is {'UP' if check.invert else 'DOWN'} unless {'; '.join(must)}."
    if check.warn:
        yield f"It is DEGRADED unless {'; '.join(condition.text for condition in check.warn)}."
    if check.invert:
        yield "UP and DOWN change places (invert)."


def _believed(check: CheckSettings) -> str:
    timing = check.timing
    timeout, longest = _seconds(timing.timeout), _seconds(longest_failure(timing))
    if not timing.retries:
        return f"A failure is believed at once; without an answer within {timeout} it is one."
    return (
        f"A failure is believed after {timing.retries + 1} attempts in {_seconds(shortest_failure(timing))}, "
        f"or in {longest} where each has no answer within {timeout}; its minutes count from the first."
    )


def _example(run: FailedRun, clock: Clock) -> str:
    at = [clock(int(each)) for each in run.attempts]
    minutes = " and ".join(clock(minute) for minute in run.minutes)
    if len(at) == 1:
        return f"Example: it fails at {at[0]}: known then, for the minute {minutes}."
    word = "minute" if len(run.minutes) == 1 else "minutes"
    return (
        f"Example: it fails at {', '.join(at)}: known at {at[-1]}, for the {word} {minutes}. If one of them "
        "succeeds, none was bad."
    )


def _seconds(seconds: float) -> str:
    return format_duration(int(seconds)) if seconds >= MINUTE else f"{seconds:g}s"
