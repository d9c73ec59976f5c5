"""How guesses at a sign-in are slowed down, by name and by network."""

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address

from kener_async.domain.calendar import DAY, MINUTE

FREE_FAILURES = 5  # of a name, before anybody waits
LONGEST_WAIT = 5 * MINUTE
FORGOTTEN_AFTER = DAY  # without a failure a name begins anew
NETWORK_FAILURES = 20  # of a network, in NETWORK_WINDOW
NETWORK_WINDOW = 10 * MINUTE
IPV6_PREFIX = 64  # what one subscriber is given at the least


@dataclass(frozen=True, slots=True)
class Failures:
    """The failures of a subject: `count` of them, the first counted at `since`, the newest at `last_at`."""

    count: int = 0
    since: int = 0
    last_at: int = 0


NO_FAILURES = Failures()


def name_wait(failures: Failures, now: int) -> int:
    """How many seconds a name must wait until it may be tried again; 0: it may be now.

    After the fifth failure 2 s, after each more twice as long, up to five minutes: nobody is locked out. A
    clock that went back locks nobody out, either.
    """
    if failures.count < FREE_FAILURES or not failures.last_at <= now < failures.last_at + LONGEST_WAIT:
        return 0
    doublings = min(failures.count - FREE_FAILURES + 1, LONGEST_WAIT.bit_length())
    return max(failures.last_at + min(1 << doublings, LONGEST_WAIT) - now, 0)


def network_wait(failures: Failures, now: int) -> int:
    """How many seconds a network must wait until a name may be tried from it; 0: it may be now."""
    if failures.count < NETWORK_FAILURES or not _is_in_window(failures, now):
        return 0
    return failures.since + NETWORK_WINDOW - now


def name_failed(failures: Failures, now: int) -> Failures:
    """The failures of a name after one more."""
    is_old = now >= failures.last_at + FORGOTTEN_AFTER
    return Failures(1, now, now) if is_old else Failures(failures.count + 1, failures.since, now)


def network_failed(failures: Failures, now: int) -> Failures:
    """The failures of a network after one more."""
    is_old = not _is_in_window(failures, now)
    return Failures(1, now, now) if is_old else Failures(failures.count + 1, failures.since, now)


def taken_back(failures: Failures) -> Failures:
    """The failures of a network after a try that was counted has succeeded."""
    return Failures(max(failures.count - 1, 0), failures.since, failures.last_at)


def network_of(address: str) -> str:
    """The network that an address is counted by: itself, or of IPv6 its /64; "unknown" for no address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)


def _is_in_window(failures: Failures, now: int) -> bool:
    """Whether the window of a network's failures is still running; a clock that went back ends it."""
    return failures.since <= now < failures.since + NETWORK_WINDOW
