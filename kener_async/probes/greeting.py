"""The greetings of SSH, SMTP, IMAP, POP3 and FTP, and STARTTLS where it is offered."""

import time

from kener_async.probes.dialogues import Dialogue, Reply, quit_dialogue
from kener_async.probes.probe import NoAnswer, Observation, Trace
from kener_async.probes.settings import CheckSettings, GreetingTarget
from kener_async.probes.sockets import Route, Streams, abort
from kener_async.probes.starttls import Upgrade, greeted
from kener_async.probes.vantage import Vantage

TLS_PORTS = {("smtp", 465), ("imap", 993), ("pop3", 995), ("ftp", 990)}  # of IANA: TLS begins at once


class GreetingProbe:
    """Looks at a server by its greeting. Reusable; see probes/probe.py."""

    def __init__(self, target: GreetingTarget, check: CheckSettings, vantage: Vantage) -> None:
        self._target = target
        self._sockets = vantage.sockets
        self._route = Route.of(check)
        self._is_tls_port = (target.protocol, target.port) in TLS_PORTS
        self._upgrade = Upgrade(
            target.protocol, self._sockets, target.host, target.port, self._route, target.tls
        )

    async def look(self, trace: Trace) -> Observation:
        """Read the greeting, begin TLS, say goodbye; raises as every probe."""
        began = time.perf_counter()
        streams, dialogue, greeting = await self._greeted(trace)
        try:
            before = sum(each or 0 for each in trace.phases) + trace.own
            trace.add(first_byte=time.perf_counter() - began - before)
            if greeting.is_good and not self._is_tls_port:
                await self._begin_tls(streams, dialogue, trace)
            seconds = time.perf_counter() - began
            address = streams[1].get_extra_info("peername")[0]
            trace.partial = self._observed(greeting, seconds, str(address))
            await quit_dialogue(dialogue)
            return trace.partial
        finally:
            abort(streams[1].transport)

    async def _greeted(self, trace: Trace) -> tuple[Streams, Dialogue, Reply]:
        target = self._target
        tls = target.tls if self._is_tls_port else None
        return await greeted(
            target.protocol, self._sockets, target.host, target.port, self._route, trace, tls
        )

    async def _begin_tls(self, streams: Streams, dialogue: Dialogue, trace: Trace) -> None:
        trace.awaited = "answer"
        if await dialogue.offers_tls():
            await self._upgrade.run(streams, dialogue, trace)
        elif self._target.require_tls:
            raise NoAnswer("STARTTLS is not offered", is_network=False)

    def _observed(self, greeting: Reply, seconds: float, address: str) -> Observation:
        values: dict[str, int | str] = {"ip": address, "answer": "\n".join(greeting.lines)}
        if greeting.code:
            values["status"] = greeting.code
        fault = "" if greeting.is_good else f"the greeting is {greeting.shown}"
        return Observation(seconds, values, fault=fault)
