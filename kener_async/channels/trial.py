"""Try a channel: send it an example, and show the requests and the answer without secrets."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import quote, urlsplit
from uuid import UUID

from aiohttp import ClientSession, TraceConfig, TraceRequestChunkSentParams, TraceRequestStartParams

from kener_async.channels.composition import example, message_source
from kener_async.channels.http import printable, session_of_channels
from kener_async.channels.message import NotDelivered
from kener_async.channels.registry import channel_of
from kener_async.channels.smtp import MailServer
from kener_async.config.channels import ChannelConfig
from kener_async.config.model import Config
from kener_async.config.schema import keys_of

HIDDEN = "***"
SHOWN_CHARACTERS = 8000  # of a body
SHORTEST_SECRET = 4
SECRET_HEADERS = ("authorization", "token", "secret", "cookie", "api-key", "x-gotify-key")


@dataclass(frozen=True, slots=True)
class ChannelTrial:
    """The requests of a trial and the answer to it, as text; `fault` None: the channel took the message.

    A channel that sends no HTTP has no requests to show.
    """

    requests: tuple[str, ...]
    answer: str
    fault: NotDelivered | None = None


async def try_channel(
    config: Config,
    settings: ChannelConfig,
    identity: UUID,
    count_bad: Callable[[], tuple[int, int]],
    now: int,
) -> ChannelTrial:
    """Send an example to a channel of the configuration, whatever its state is. Nothing is stored."""
    source = message_source(config, identity, count_bad)
    message = example(source, settings.locale, settings.timezone, now, f"{identity.hex[:12]}-test-{now}")
    secrets = sorted(secrets_of(settings), key=len, reverse=True)
    recorder = RequestRecorder()
    mail_server = MailServer(config.mail, name=urlsplit(config.server.public_url).hostname or "")
    answer, fault = "", None
    async with session_of_channels([recorder.trace]) as session:
        try:
            answer = (await channel_of(settings, session, mail_server).send(message, {})).answer
        except NotDelivered as error:
            answer, fault = str(error), error
        finally:
            await mail_server.close()
    return ChannelTrial(tuple(masked(text, secrets) for text in recorder.texts()), answer, fault)


class RequestRecorder:
    """Keep the requests of a session by its tracing."""

    def __init__(self) -> None:
        self.trace = TraceConfig()
        self.trace.on_request_start.append(self._started)
        self.trace.on_request_chunk_sent.append(self._sent)
        self._requests: list[tuple[str, bytearray]] = []

    async def _started(
        self, session: ClientSession, context: SimpleNamespace, request: TraceRequestStartParams
    ) -> None:
        head = [f"{request.method} {request.url}"]
        for name, value in request.headers.items():
            is_secret = any(word in name.lower() for word in SECRET_HEADERS)
            head.append(f"{name}: {HIDDEN if is_secret else value}")
        context.body = bytearray()
        self._requests.append(("\n".join(head), context.body))

    async def _sent(
        self, session: ClientSession, context: SimpleNamespace, sent: TraceRequestChunkSentParams
    ) -> None:
        context.body += sent.chunk

    def texts(self) -> Iterator[str]:
        """Each request: a line, its headers, and its body after an empty line."""
        for head, body in self._requests:
            text = body.decode(errors="replace")
            yield (
                f"{head}\n\n{text}"
                if len(text) <= SHOWN_CHARACTERS
                else f"{head}\n\n{text[:SHOWN_CHARACTERS]}..."
            )


def secrets_of(settings: ChannelConfig) -> Iterator[str]:
    """The secrets of a channel, and the parts of its addresses that may be secrets."""
    for name, each in keys_of(type(settings)).items():
        if not each.secret:
            continue
        value = getattr(settings, name)
        if isinstance(value, str):
            yield from _with_parts(value)
        else:
            for _, text in value:
                yield from (text, text.partition(" ")[2])


def _with_parts(secret: str) -> Iterator[str]:
    if not secret.startswith(("http://", "https://")):
        yield secret
        return
    address = urlsplit(secret)
    yield from (address.path.lstrip("/"), address.query, address.username or "", address.password or "")


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, also as JSON and addresses write them; the longest come first."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            for form in (secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1]):
                text = text.replace(form, HIDDEN)
    return "\n".join(printable(line) for line in text.split("\n"))
