"""Connections on which TLS is begun after a dialogue."""

from kener_async.probes.dialogues import Dialogue, DialogueName, Reply, dialogue_of
from kener_async.probes.probe import NoAnswer, Trace
from kener_async.probes.settings import TlsSettings
from kener_async.probes.sockets import Route, Sockets, Streams, abort


async def greeted(
    name: DialogueName,
    sockets: Sockets,
    host: str,
    port: int,
    route: Route,
    trace: Trace,
    tls: TlsSettings | None = None,
) -> tuple[Streams, Dialogue, Reply]:
    """Connect, with `tls` over TLS, and read the greeting; raises NoAnswer, NotMeasured and OSError."""
    streams = await sockets.connect(host, port, route, trace, tls)
    try:
        dialogue = dialogue_of(name, streams)
        trace.awaited = "greeting"
        return streams, dialogue, await dialogue.greeting()
    except BaseException:
        abort(streams[1].transport)
        raise


async def ready_for_tls(name: DialogueName, sockets: Sockets, host: str, port: int, route: Route) -> Streams:
    """Connect once more up to where the handshake begins; raises as greeted."""
    streams, dialogue, _ = await greeted(name, sockets, host, port, route, Trace())
    try:
        await dialogue.offers_tls()
        await begin(dialogue)
    except BaseException:
        abort(streams[1].transport)
        raise
    return streams


async def begin(dialogue: Dialogue) -> None:
    """Ask to begin TLS; raises NoAnswer where that is refused."""
    reply = await dialogue.begin_tls()
    if not reply.is_good:
        raise NoAnswer(f"STARTTLS is refused: {reply.shown}", is_network=False)


class Upgrade:
    """Begin TLS on a connection to one target."""

    def __init__(
        self, name: DialogueName, sockets: Sockets, host: str, port: int, route: Route, tls: TlsSettings
    ) -> None:
        self._name, self._sockets, self._host, self._port = name, sockets, host, port
        self._route, self._tls = route, tls

    async def run(self, streams: Streams, dialogue: Dialogue, trace: Trace) -> None:
        """Begin it; raises NoAnswer, NotMeasured and OSError."""
        trace.awaited = "answer to STARTTLS"
        await begin(dialogue)
        await self._sockets.start_tls(streams, self._host, trace, self._tls, self._again)

    async def _again(self) -> Streams:
        return await ready_for_tls(self._name, self._sockets, self._host, self._port, self._route)
