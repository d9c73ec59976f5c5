"""What every probe is: an object that looks at its target once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from kener_async.domain.checks import NO_PHASES, Obstacle, Phases, SeenCertificate
from kener_async.domain.conditions import Value
from kener_async.domain.samples import Status

NO_TEXTS: Mapping[str, str] = MappingProxyType({})


class NoAnswer(Exception):
    """The target did not answer as its protocol asks; the attempt is DOWN. The text is the reason.

    `is_network`: for want of a connection, or by a time-out, rather than by what was answered.
    """

    def __init__(self, reason: str, *, is_network: bool = True) -> None:
        super().__init__(reason)
        self.is_network = is_network


class NotMeasured(Exception):
    """The attempt could not be made, by our own fault; the text says what is wanting."""

    def __init__(self, obstacle: Obstacle, reason: str) -> None:
        super().__init__(reason)
        self.obstacle = obstacle


@dataclass(frozen=True, slots=True)
class Observation:
    """What a probe saw of a target that answered.

    `values` and `headers` are what conditions ask (domain.conditions.Observed) but `latency` and
    `certificate`, which the attempt adds. `seconds` is the latency. `fault`: why it is not good where no
    `expect` is set; empty: it is. `status`: only of targets that say themselves that they are DEGRADED or
    DOWN.
    """

    seconds: float
    values: Mapping[str, Value] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=lambda: NO_TEXTS)
    fault: str = ""
    status: Status | None = None


@dataclass(slots=True)
class Trace:
    """What an attempt has got so far, also when it fails or times out: the probe fills it in on its way.

    When the time is over, conditions are judged by `partial` if there is one, such as the beginning of an
    answer; else the attempt failed for want of what was `awaited`: "no greeting within 10 s". `looked_up` is
    the name whose addresses are awaited, empty otherwise. `secrets` are masked in the reason, beside those of
    the settings. `excuse`: why the target has no part in it if the time is over now.
    `own` are seconds of an attempt that we took ourselves, such as to load authorities, and not the target.
    """

    phases: Phases = NO_PHASES
    certificates: tuple[SeenCertificate, ...] = ()
    awaited: str = "answer"
    looked_up: str = ""
    secrets: tuple[str, ...] = field(default=(), repr=False)
    excuse: NotMeasured | None = None
    own: float = 0.0
    partial: Observation | None = None

    def clear(self) -> None:
        """Forget phases, certificates and our own time, because the target is asked again."""
        self.phases = NO_PHASES
        self.certificates = ()
        self.own = 0.0

    def add(self, *, name: float = 0, connect: float = 0, tls: float = 0, first_byte: float = 0) -> None:
        """Add seconds to phases; those of several connections, such as of redirects, are added up."""
        before = self.phases
        self.phases = Phases(
            (before.name or 0) + name if name else before.name,
            (before.connect or 0) + connect if connect else before.connect,
            (before.tls or 0) + tls if tls else before.tls,
            (before.first_byte or 0) + first_byte if first_byte else before.first_byte,
        )


class Probe(Protocol):
    """Looks at one target. Reusable; many looks may be under way at once."""

    async def look(self, trace: Trace) -> Observation:
        """Look once; raises NoAnswer, NotMeasured and OSError.

        It is cancelled when the time is over, and then leaves nothing open.
        """
        ...
