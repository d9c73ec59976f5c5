"""Attempts of the agent's checks, by the probes that the server has, too."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import get_args

from kener_async.domain.checks import Attempt
from kener_async.probes.attempt import attempt
from kener_async.probes.device import device_probe
from kener_async.probes.probe import Probe
from kener_async.probes.registry import probe_of
from kener_async.probes.settings import CheckSettings, DeviceTarget, VantageSettings
from kener_async.probes.vantage import Vantage

DEVICE_TARGETS = get_args(DeviceTarget)


class AgentProber:
    """Makes attempts; commands run with the `environment`. The probes are made when they are first used."""

    def __init__(self, vantage: Vantage, environment: Mapping[str, str]) -> None:
        self._vantage = vantage
        self._environment = environment
        self._probes: dict[str, Probe] = {}

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, settings: VantageSettings, environment: Mapping[str, str]
    ) -> AsyncIterator["AgentProber"]:
        """Open what the probes share; closed on leaving."""
        async with Vantage.opened(settings) as vantage:
            yield cls(vantage, environment)

    async def attempt(self, check: CheckSettings, at: float) -> Attempt:
        """Look once at the target of a check; `at` is now, in UTC seconds."""
        probe = self._probes.get(check.tag)
        if probe is None:
            probe = self._probes[check.tag] = self._probe(check)
        return await attempt(check, probe, at, self._vantage)

    def _probe(self, check: CheckSettings) -> Probe:
        if isinstance(check.target, DEVICE_TARGETS):
            return device_probe(check.target, self._environment)
        return probe_of(check, self._vantage)
