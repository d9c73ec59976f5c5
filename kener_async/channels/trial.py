"""Try a channel: send one message at once, and show what was sent and answered, without secrets."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from urllib.parse import urlsplit

from aiohttp import ClientSession, TraceConfig, TraceRequestChunkSentParams, TraceRequestStartParams

from kener_async.channels.document import document_of
from kener_async.channels.http import masked, parts_of, session_of_channels
from kener_async.channels.mail import Mail, plain
from kener_async.channels.message import Message, NotDelivered
from kener_async.channels.registry import channel_of
from kener_async.channels.smtp import MailServer
from kener_async.config.channels import ChannelConfig, CommandChannel, MailChannel
from kener_async.config.model import MailConfig

SHOWN_HEADERS = frozenset(
    {"content-type", "idempotency-key", "x-kener-signature", "title", "priority", "tags"}
)
SHOWN_CHARACTERS = 20_000
TOO_LONG = "... (cut)"


@dataclasses.dataclass(frozen=True, slots=True)
class ChannelTrial:
    """What was sent, one text for each request, and the answer; neither holds a secret."""

    is_delivered: bool
    requests: tuple[str, ...]
    answer: str


async def try_channel(
    settings: ChannelConfig, mail: MailConfig, message: Message, host: str = ""
) -> ChannelTrial:
    """Send a message through a channel of these settings, past its queue; one attempt.

    `host` is the name by which this server introduces itself to a mail server that is told no other.
    """
    requests: list[str] = []
    async with session_of_channels([_recording(settings, requests.append)]) as session:
        server = MailServer(mail, name=host)
        try:
            is_delivered, answer = await _sent(settings, session, server, message)
        finally:
            await server.close()
    shown = tuple(requests) or tuple(_described(settings, server, message))
    answer = masked(answer, _secrets(settings))
    return ChannelTrial(is_delivered, tuple(_cut(text) for text in shown), answer)


async def _sent(
    settings: ChannelConfig, session: ClientSession, server: MailServer, message: Message
) -> tuple[bool, str]:
    try:
        receipt = await channel_of(settings, session, server).send(message, {})
    except NotDelivered as error:
        return False, str(error)
    return True, receipt.answer


def _recording(settings: ChannelConfig, record: Callable[[str], None]) -> TraceConfig:
    """Record each request of a session when its body has been sent."""

    async def on_start(_: ClientSession, context: SimpleNamespace, params: TraceRequestStartParams) -> None:
        context.head = [f"{params.method} {_origin(str(params.url))}", *_headers(params.headers)]
        context.secrets = {*_secrets(settings), *parts_of(str(params.url))}

    async def on_body(
        _: ClientSession, context: SimpleNamespace, params: TraceRequestChunkSentParams
    ) -> None:
        body = masked(params.chunk.decode(errors="replace"), context.secrets)
        record("\n".join([*context.head, "", body]))

    trace = TraceConfig()
    trace.on_request_start.append(on_start)
    trace.on_request_chunk_sent.append(on_body)
    return trace


def _origin(url: str) -> str:
    """The address without its path, which is often the secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{'/***' if parts.path.strip('/') else '/'}"


def _headers(headers: Mapping[str, str]) -> Iterator[str]:
    """The headers; of those that are not known to hold no secret the name only."""
    for name, value in headers.items():
        yield f"{name}: {value if name.lower() in SHOWN_HEADERS else '***'}"


def _secrets(settings: ChannelConfig) -> Iterator[str]:
    """The values of the keys that are declared secret, which are those that `repr` leaves out."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if not field.repr and isinstance(value, str):
            yield value
            yield from parts_of(value) if "://" in value else ()
        elif not field.repr:
            yield from (text for pair in value for text in pair[1:])


def _described(settings: ChannelConfig, server: MailServer, message: Message) -> Iterator[str]:
    """What a channel sends that makes no HTTP request, or made none because the connection failed."""
    if isinstance(settings, CommandChannel):
        yield f"{settings.command[0]}\n\n{json.dumps(document_of(message), indent=2, ensure_ascii=False)}"
    elif isinstance(settings, MailChannel):
        mail = Mail(settings, server).rendered(message, {}, message.items[0].at)
        heads = [f"{name}: {mail[name]}" for name in ("From", "To", "Cc", "Subject") if mail[name]]
        yield "\n".join([*heads, "", plain(message)])


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + TOO_LONG
