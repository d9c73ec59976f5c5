"""Results of checks: the status that follows from what a probe measured."""

from dataclasses import dataclass

from kener_async.agent.settings import Check, Command, FileAge, Http
from kener_async.domain.samples import Status


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check. `seconds` is the latency, 0 if there is none; `reason` is empty if it is UP."""

    status: Status
    seconds: float = 0.0
    reason: str = ""


def of_response(probe: Http, status: int, body: str) -> CheckResult:
    is_expected = status < 400 if probe.status is None else status == probe.status
    if not is_expected:
        return CheckResult(Status.DOWN, reason=f"answered {status}")
    if probe.text not in body:
        return CheckResult(Status.DOWN, reason="the text is missing in the response")
    return CheckResult(Status.UP)


def of_exit(probe: Command, status: int) -> CheckResult:
    if status == 0:
        return CheckResult(Status.UP)
    reason = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
    is_degraded = status == probe.degraded_status
    return CheckResult(Status.DEGRADED if is_degraded else Status.DOWN, reason=reason)


def of_unit(state: str) -> CheckResult:
    """The result for a unit's ActiveState; a unit that reloads is still running."""
    if state in ("active", "reloading"):
        return CheckResult(Status.UP)
    return CheckResult(Status.DOWN, reason=f"is {state or 'unknown'}")


def of_age(probe: FileAge, age: float | None) -> CheckResult:
    """The result for a file's age in seconds, None if it is missing; negative when the clock was set back."""
    if age is None:
        return CheckResult(Status.DOWN, reason="file not found")
    if age > probe.max_age:
        return CheckResult(Status.DOWN, reason=f"written {age:.0f} s ago")
    return CheckResult(Status.UP)


def timed(check: Check, result: CheckResult, seconds: float) -> CheckResult:
    """Add the latency; above the limit of the check, UP becomes DEGRADED."""
    limit = check.degraded_above
    if result.status is Status.UP and limit is not None and seconds > limit:
        return CheckResult(Status.DEGRADED, seconds, f"took {seconds:.3f} s")
    return CheckResult(result.status, seconds, result.reason)


def timed_out(check: Check) -> CheckResult:
    return CheckResult(Status.DOWN, float(check.timeout), f"no result within {check.timeout:g} s")
