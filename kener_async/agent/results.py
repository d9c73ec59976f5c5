"""What was seen of a thing, and what that means."""

from dataclasses import dataclass

from kener_async.agent.settings import Check, Command, FileAge, Http
from kener_async.domain.samples import Status


@dataclass(frozen=True, slots=True)
class Seen:
    """A thing as a check has seen it, in so many seconds where that says anything; `reason`: why not UP."""

    status: Status
    seconds: float = 0.0
    reason: str = ""


def of_answer(probe: Http, status: int, body: str) -> Seen:
    is_expected = status < 400 if probe.status is None else status == probe.status
    if not is_expected:
        return Seen(Status.DOWN, reason=f"answered {status}")
    if probe.text not in body:
        return Seen(Status.DOWN, reason="the text is missing in the answer")
    return Seen(Status.UP)


def of_exit(probe: Command, status: int) -> Seen:
    if status == 0:
        return Seen(Status.UP)
    reason = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
    is_degraded = status == probe.degraded_status
    return Seen(Status.DEGRADED if is_degraded else Status.DOWN, reason=reason)


def of_unit(state: str) -> Seen:
    """Of what systemd calls its ActiveState; a unit that reloads works on."""
    if state in ("active", "reloading"):
        return Seen(Status.UP)
    return Seen(Status.DOWN, reason=f"is {state or 'unknown'}")


def of_age(probe: FileAge, age: float | None) -> Seen:
    """None: there is no file. One that seems to be of the future, as a clock was set back, is new."""
    if age is None:
        return Seen(Status.DOWN, reason="there is no such file")
    if age > probe.max_age:
        return Seen(Status.DOWN, reason=f"written {age:.0f} s ago")
    return Seen(Status.UP)


def timed(check: Check, seen: Seen, seconds: float) -> Seen:
    """With the time it took, which may be too long for an UP."""
    limit = check.degraded_above
    if seen.status is Status.UP and limit is not None and seconds > limit:
        return Seen(Status.DEGRADED, seconds, f"took {seconds:.3f} s")
    return Seen(seen.status, seconds, seen.reason)


def too_late(check: Check) -> Seen:
    return Seen(Status.DOWN, float(check.timeout), f"no result within {check.timeout:g} s")
