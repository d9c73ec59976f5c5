"""WebSockets: the handshake, what is sent over it, and the answer where a condition asks for it."""

import asyncio
import time

from aiohttp import ClientError, ClientWebSocketResponse, WSMsgType, WSServerHandshakeError
from yarl import URL

from kener_async.domain.checks import Obstacle
from kener_async.probes.answers import AnswerConditions
from kener_async.probes.connector import Hop, connecting
from kener_async.probes.http import failure, without_user
from kener_async.probes.probe import NoAnswer, NotMeasured, Observation, Trace
from kener_async.probes.settings import CheckSettings, WebSocketTarget
from kener_async.probes.sockets import Route
from kener_async.probes.vantage import Vantage

QUIET_SECONDS = 0.05  # without more, an answer on which the conditions hold is complete
JUDGED_EVERY = 0.2  # seconds at most, while more comes
MESSAGES = frozenset({WSMsgType.TEXT, WSMsgType.BINARY})


class WebSocketProbe:
    """Looks at a target over a WebSocket. Reusable; see probes/probe.py.

    With a condition on the answer, messages are awaited until it holds.
    """

    def __init__(self, target: WebSocketTarget, check: CheckSettings, vantage: Vantage) -> None:
        self._target = target
        self._vantage = vantage
        self._route = Route.of(check)
        self._url, self._headers = without_user(URL(target.url), target.headers)
        self._conditions = AnswerConditions(check)

    async def look(self, trace: Trace) -> Observation:
        """Shake hands, send and receive; raises as every probe."""
        hop = Hop(self._route, trace, self._target.tls, follows_redirects=False)
        with connecting(hop):
            began = time.perf_counter()
            connection = await self._shake_hands()
            trace.add(
                first_byte=time.perf_counter() - began - sum(each or 0 for each in trace.phases) - trace.own
            )
            try:
                if self._target.send:
                    await connection.send_str(self._target.send)
                if self._conditions.are_there:
                    return await self._answered(connection, hop, began)
            except ClientError as error:
                raise failure(error) from None
            return self._observed(hop, time.perf_counter() - began)

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
        """Receive until the conditions hold and no more comes; what came until then is judged in the end."""
        received: list[str] = []
        length = 0
        arrived = judged = 0.0
        pause: float | None = None
        while True:
            text = await _next_text(connection, pause)
            if text:
                received.append(text)
                length += len(text) + 1
                arrived, pause = time.perf_counter(), QUIET_SECONDS
            is_over = text is None or length > self._target.max_body
            if text and not is_over and time.perf_counter() - judged < JUDGED_EVERY:
                continue
            judged = time.perf_counter()
            if is_over and not received:
                break
            seen = self._observed(hop, arrived - began, "\n".join(received)[: self._target.max_body])
            hop.trace.partial = seen
            if is_over or self._conditions.hold(str(seen.values["answer"])):
                return seen
            pause = None if not text else pause
        code = f" with {connection.close_code}" if connection.close_code else ""
        raise NoAnswer(f"the target closed the websocket{code}", is_network=not code)

    def _observed(self, hop: Hop, seconds: float, answer: str | None = None) -> Observation:
        values = {"url": str(self._url), "ip": hop.peer}
        return Observation(seconds, values if answer is None else {**values, "answer": answer})


async def _next_text(connection: ClientWebSocketResponse, pause: float | None) -> str | None:
    """The next message; empty if there is none within the pause, None at the end."""
    quiet = asyncio.timeout(pause)
    try:
        async with quiet:
            message = await connection.receive()
    except TimeoutError:
        if not quiet.expired():
            raise
        return ""
    if message.type not in MESSAGES:
        return None
    data = message.data
    return (data.decode(errors="replace") if isinstance(data, bytes) else str(data)) or " "
