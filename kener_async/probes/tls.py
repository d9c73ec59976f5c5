"""TLS: a handshake, and the certificates that were sent; where it is asked for, after STARTTLS."""

import time

from kener_async.probes.dialogues import quit_dialogue
from kener_async.probes.probe import NoAnswer, Observation, Trace
from kener_async.probes.settings import CheckSettings, TlsTarget
from kener_async.probes.sockets import Route, abort
from kener_async.probes.starttls import Upgrade, greeted
from kener_async.probes.vantage import Vantage


class TlsProbe:
    """Looks at the certificates of a port. Reusable; see probes/probe.py."""

    def __init__(self, target: TlsTarget, check: CheckSettings, vantage: Vantage) -> None:
        self._target = target
        self._sockets = vantage.sockets
        self._route = Route.of(check)

    async def look(self, trace: Trace) -> Observation:
        """Shake hands; raises as every probe."""
        return await (self._upgraded(trace) if self._target.starttls else self._connected(trace))

    async def _connected(self, trace: Trace) -> Observation:
        target = self._target
        began = time.perf_counter()
        _, writer = await self._sockets.connect(target.host, target.port, self._route, trace, target.tls)
        try:
            return Observation(time.perf_counter() - began, {"ip": writer.get_extra_info("peername")[0]})
        finally:
            abort(writer.transport)

    async def _upgraded(self, trace: Trace) -> Observation:
        target, name = self._target, self._target.starttls
        assert name  # noqa: S101  look has asked
        began = time.perf_counter()
        streams, dialogue, greeting = await greeted(
            name, self._sockets, target.host, target.port, self._route, trace
        )
        try:
            if not greeting.is_good:
                raise NoAnswer(f"the greeting is {greeting.shown}", is_network=False)
            trace.awaited = "answer to STARTTLS"
            await dialogue.offers_tls()  # the answer to STARTTLS itself decides
            upgrade = Upgrade(name, self._sockets, target.host, target.port, self._route, target.tls)
            await upgrade.run(streams, dialogue, trace)
            seconds = time.perf_counter() - began
            trace.partial = Observation(seconds, {"ip": streams[1].get_extra_info("peername")[0]})
            await quit_dialogue(dialogue)
            return trace.partial
        finally:
            abort(streams[1].transport)
