"""WebSockets: the handshake, and where it is asked for, what the target says after it."""

import time

from aiohttp import ClientError, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from yarl import URL

from kener_async.domain.checks import Obstacle
from kener_async.domain.conditions import Observed, first_fault
from kener_async.probes.connector import Hop, connecting
from kener_async.probes.http import failure, without_user
from kener_async.probes.probe import NoAnswer, NotMeasured, Observation, Trace
from kener_async.probes.settings import CheckSettings, WebSocketTarget
from kener_async.probes.sockets import Route
from kener_async.probes.vantage import Vantage

MESSAGES = frozenset({WSMsgType.TEXT, WSMsgType.BINARY})


class WebSocketProbe:
    """Looks at a target over a WebSocket. Reusable; see probes/probe.py.

    With `send`, or a condition on the answer, messages are awaited until these conditions hold.
    """

    def __init__(self, target: WebSocketTarget, check: CheckSettings, vantage: Vantage) -> None:
        self._target = target
        self._vantage = vantage
        self._route = Route.of(check)
        self._url, self._headers = without_user(URL(target.url), target.headers)
        conditions = (*(check.expect or ()), *check.warn)
        self._on_answer = tuple(each for each in conditions if each.reads == {"answer"})
        self._awaits_answer = bool(target.send or any("answer" in each.reads for each in conditions))

    async def look(self, trace: Trace) -> Observation:
        """Shake hands, send and receive; raises as every probe."""
        hop = Hop(self._route, trace, self._target.tls, follows_redirects=False)
        with connecting(hop):
            began = time.perf_counter()
            connection = await self._shake_hands()
            trace.add(first_byte=time.perf_counter() - began - sum(each or 0 for each in trace.phases))
            try:
                if self._target.send:
                    await connection.send_str(self._target.send)
                if self._awaits_answer:
                    return await self._answered(connection, hop, began)
            except ClientError as error:
                raise failure(error) from None
            return self._observed(hop, began)

    async def _shake_hands(self) -> ClientWebSocketResponse:
        try:
            return await self._vantage.session.ws_connect(
                self._url, headers=self._headers, max_msg_size=self._target.max_body, autoclose=False
            )
        except WSServerHandshakeError as error:
            what = f"status is {error.status}" if error.status != 101 else "the handshake is not valid"
            raise NoAnswer(f"not a websocket: {what}", is_network=False) from None
        except ClientError as error:
            raise failure(error) from None
        except ValueError:
            raise NotMeasured(Obstacle.SECRET, "a header is not valid: it has a line break") from None

    async def _answered(self, connection: ClientWebSocketResponse, hop: Hop, began: float) -> Observation:
        """Receive until the conditions on the answer hold; what came until then is judged in the end."""
        received: list[str] = []
        length = 0
        while True:
            message = await connection.receive()
            if message.type not in MESSAGES:
                break
            data = message.data
            received.append(data.decode(errors="replace") if isinstance(data, bytes) else data)
            length += len(received[-1])
            seen = self._observed(hop, began, "\n".join(received)[: self._target.max_body])
            if length >= self._target.max_body or not self._misses(seen):
                return seen
            hop.trace.partial = seen
        if hop.trace.partial is not None:
            return hop.trace.partial
        code = f" with {connection.close_code}" if connection.close_code else ""
        raise NoAnswer(f"the target closed the websocket{code}", is_network=not code)

    def _misses(self, seen: Observation) -> str:
        return first_fault(self._on_answer, Observed(seen.values, {}))

    @staticmethod
    def _observed(hop: Hop, began: float, answer: str | None = None) -> Observation:
        values = {"ip": hop.peer()} | ({} if answer is None else {"answer": answer})
        return Observation(time.perf_counter() - began, values)
