"""POST /api/status/batch: many samples at once, from devices that were offline for a while."""

import asyncio
from asyncio import Semaphore
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from aiohttp import web
from marshmallow import ValidationError

from kener_async import keys
from kener_async.api import schemas
from kener_async.api.http.body import BODY_BUDGET, BOM, decompress, parse, parse_flat, read_encoded
from kener_async.api.http.compiled_loader import loader
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint, loaded
from kener_async.api.http.json_pieces import MAX_PIECE, Span, Text, line_spans, list_spans
from kener_async.api.http.rate_limit import RATE_LIMITER
from kener_async.api.http.request_log import REQUEST_LOG, REQUESTER, Requester
from kener_async.api.tags import GROUP_TAG, unknown_tag
from kener_async.domain.access import Grant
from kener_async.domain.batches import Batch, Fault, Item, Result, Verdict
from kener_async.domain.calendar import is_showable
from kener_async.domain.clocks import Stamp
from kener_async.domain.errors import Invalid
from kener_async.domain.samples import MAX_LATENCY
from kener_async.domain.states import MonitorStates
from kener_async.store.batches import IngestLimits, Outcome

T = TypeVar("T")

routes = Routes()

MAX_DEVICES = 100
NOT_TAKEN = (Verdict.REJECTED, Verdict.REFUSED)
MAX_SUGGESTIONS = 20
BYTES_PER_SAMPLE = 420  # a longer one counts as several for the rate limit
TOO_MANY = f"samples: at most {schemas.MAX_SAMPLES} in a batch"

PLAIN_KEYS = {"tag", "status", "latency", "timestampInSeconds", "seq"}
NUMBERS = (int, float)

load_batch = loader(schemas.BatchSchema())
load_head = loader(schemas.BatchHead())
load_sample = loader(schemas.BatchSample())
load_sequence = loader(schemas.Numbered())


class BatchSlots(Semaphore):
    """Limit the batches that are parsed and stored at once; what waits is bounded by the BodyBudget."""

    def __init__(self) -> None:
        super().__init__(2)


BATCH_SLOTS = web.AppKey("batch slots", BatchSlots)


@routes.post("/api/status/batch")
@endpoint(
    Spec(
        operation="updateMonitorStatuses",
        summary="Store many samples at once",
        group="Monitors",
        scope="status:write",
        body=schemas.BatchSchema(),
        line=schemas.BatchSample(),
        reply=schemas.BatchResponse(),
        errors=(408, 413, 415, 429, 503),
    )
)
async def batch(call: Call) -> bytes:
    """Store up to 10,000 samples, with a verdict for each in the order they were sent.

    The body is one JSON object, or JSON Lines: a sample a line, and a first line without a tag for the rest.
    It may be compressed with gzip. Sending a batch again changes nothing. An invalid sample is rejected; one
    of a monitor that is unknown, or that the token may not write, is refused: keep it and send it later.
    """
    app, request = call.request.app, call.request
    received = app[keys.CLOCK]()
    config, limiter = app[keys.RUNNING].config, app[RATE_LIMITER]
    ingest = config.ingest
    await limiter.take(call.grant.id, 0)
    cost = Cost()
    try:
        with app[BODY_BUDGET].reservation() as reservation:
            content, encoding = await read_encoded(
                request, reservation, ingest.max_batch_bytes, config.server.request_timeout_seconds
            )
            async with app[BATCH_SLOTS]:
                body = RawBody(content, encoding != "identity", ingest.max_batch_bytes)
                tags = TagResolver(app[keys.STATES], call.grant)
                parsed = await _in_thread(_parsed, body, tags, received, cost)
                outcome = await app[keys.WRITER].put_batch(
                    parsed, IngestLimits(ingest.clock_skew_seconds, ingest.max_age_days)
                )
                _log_rejected(call, outcome, tags)
                return await _in_thread(_rendered, outcome)
    finally:
        cost.note_bytes(reservation.held)
        limiter.charge(call.grant.id, cost.samples)


@dataclass(slots=True)
class Cost:
    """What a batch takes of its sender's rate, in samples, also when it is refused."""

    samples: int = 1

    def note_bytes(self, count: int) -> None:
        self.samples = max(self.samples, count // BYTES_PER_SAMPLE)


def _log_rejected(call: Call, outcome: Outcome, tags: "TagResolver") -> None:
    """Log how many samples were not taken, and why the first was not."""
    faults = [result.fault for result in outcome.results if result.verdict in NOT_TAKEN]
    if faults:
        call.request[REQUESTER] = Requester(call.grant.subject, call.grant.id, ", ".join(tags.refused))
        call.request.app[REQUEST_LOG].rejected(call.request, samples=len(faults), error=faults[0])


async def _in_thread(work: Callable[..., T], *values: Any) -> T:
    """Run it in a thread, so that the loop can serve single heartbeats meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *values)


class TagResolver:
    """Resolve tags to monitors that the token may write; `resolved` caches them by tag.

    `refused` are the errors of the first tags that are unknown or of other tokens.
    """

    def __init__(self, states: MonitorStates, grant: Grant) -> None:
        self._states = states
        self._grant = grant
        self.resolved: dict[str, int] = {}
        self.refused: dict[str, str] = {}

    @property
    def sender(self) -> str:
        """The owner of the devices that the batch names."""
        return self._grant.sender

    def find(self, tag: str) -> int | str:
        """The id of the monitor, or the error message if there is none."""
        if tag in self.resolved:
            return self.resolved[tag]
        if tag in self.refused:
            return self.refused[tag]
        state = self._states.find(tag)
        if state is None or tag in self._states.groups or not self._grant.allows_tag(tag):
            return self._refuse(tag)
        self.resolved[tag] = state.id
        return state.id

    def _refuse(self, tag: str) -> str:
        """The error; only the first few suggest another tag, because to look for one takes time."""
        is_first = len(self.refused) < MAX_SUGGESTIONS
        if not self._grant.allows_tag(tag):
            message = "the token is for other monitors"
        elif tag in self._states.groups:
            message = GROUP_TAG
        else:
            message = unknown_tag(tag, self._states, self._grant).message if is_first else "invalid tag"
        if is_first:
            self.refused[tag] = message
        return message


@dataclass(frozen=True, slots=True)
class RawBody:
    """A body as received; `limit` is its largest size in bytes when it is decompressed."""

    content: bytearray
    is_compressed: bool
    limit: int


def _parsed(body: RawBody, tags: TagResolver, received: int, cost: Cost) -> Batch:
    """The batch in a body; raises Invalid and TooLarge if it cannot be read as a whole."""
    head, samples = _head_and_samples(_text(body, cost))
    items = [_item(sample, head, tags) for sample in samples]
    cost.samples = max(cost.samples, len(items))
    sent = Stamp(head.get("sent_at"), head.get("monotonic"), head.get("boot"))
    parsed = Batch(tags.sender, head.get("device"), sent, received, items)
    if len(items) > schemas.MAX_SAMPLES:
        raise Invalid(TOO_MANY)
    if len(parsed.devices) > MAX_DEVICES:
        raise Invalid(f"device: at most {MAX_DEVICES} different ones in a batch")
    return parsed


def _text(body: RawBody, cost: Cost) -> bytearray:
    text = body.content
    if body.is_compressed:
        text = bytearray()
        try:
            decompress(body.content, text, body.limit)
        finally:
            cost.note_bytes(len(text))
    if text.startswith(BOM):
        del text[: len(BOM)]
    return text


@dataclass(frozen=True, slots=True)
class NotJSON:
    """A line that is not JSON, and why."""

    reason: str


def _head_and_samples(text: Text) -> tuple[dict[str, Any], Iterable[Any]]:
    """The head and the samples of a body of either form; the samples are parsed when they are asked for.

    The form is told by the text, because shells send a wrong Content-Type.
    """
    found = list_spans(text, b"samples", schemas.MAX_SAMPLES, TOO_MANY)
    if found is not None:
        remainder, spans = found
        return loaded(load_batch, parse(remainder)), (parse_flat(text[slice(*span)]) for span in spans)
    spans = line_spans(text, schemas.MAX_SAMPLES + 1, TOO_MANY)
    if not spans:
        raise Invalid("the body is not JSON: it is empty")
    first = _line(text, spans[0])
    if isinstance(first, NotJSON) and all(isinstance(line, NotJSON) for line in _lines(text, spans)):
        return {}, [_whole(text, first)]
    if isinstance(first, list):
        raise Invalid('the body must be a JSON object such as {"samples": [...]}, or JSON Lines')
    if not isinstance(first, dict) or "tag" in first:
        return {}, _lines(text, spans)
    if len(spans) == 1:  # raises, unless the name `samples` is written with escapes
        head = loaded(load_batch, first)
        return head, head["samples"]
    return loaded(load_head, first), _lines(text, spans[1:])


def _whole(text: Text, first: NotJSON) -> Any:
    """The sample that is the whole body, on several lines; raises Invalid if it is not JSON either."""
    if len(text) <= MAX_PIECE:
        sample = parse(text)
        if isinstance(sample, dict) and "tag" in sample:
            return sample
    raise Invalid(first.reason.replace("the line", "the body", 1))


def _lines(text: Text, spans: Iterable[Span]) -> Iterator[Any]:
    return (_line(text, span) for span in spans)


def _line(text: Text, span: Span) -> Any:
    start, end = span
    if end - start > MAX_PIECE:
        return NotJSON(f"the line is longer than {MAX_PIECE} bytes")
    try:
        return parse_flat(text[start:end])
    except Invalid as error:
        return NotJSON(error.message.replace("the body", "the line", 1))


def _item(sample: Any, head: Mapping[str, Any], tags: TagResolver) -> Item:
    if isinstance(sample, NotJSON):
        return Item(None, None, fault=Fault(sample.reason))
    if not isinstance(sample, dict):
        return Item(None, None, fault=Fault("a sample must be a JSON object"))
    plain = _plain_item(sample, head, tags)
    if plain is not None:
        return plain
    try:
        fields = loaded(load_sample, sample)
    except Invalid as error:
        return Item(*_device_and_number(sample, head), fault=Fault(error.message))
    device, number = fields.get("device", head.get("device")), fields.get("seq")
    if number is not None and device is None:
        return Item(None, None, fault=Fault("device missing: seq is a number of a device"))
    monitor = tags.find(fields["tag"])
    if isinstance(monitor, str):
        return Item(device, number, fault=Fault(monitor, Verdict.REFUSED, may_come_again=True))
    stamp = Stamp(fields.get("timestamp"), fields.get("monotonic"), fields.get("boot", head.get("boot")))
    return Item(device, number, monitor, fields["status"], fields["latency"], stamp)


def _plain_item(sample: dict[str, Any], head: Mapping[str, Any], tags: TagResolver) -> Item | None:
    """The item of a valid sample with common keys only; None for any other, which the schema must load.

    A batch may have thousands of them, and the schema takes three times as long for each.
    """
    tag, status = sample.get("tag"), sample.get("status")
    latency: Any = sample.get("latency")
    timestamp, number, device = sample.get("timestampInSeconds"), sample.get("seq"), head.get("device")
    if (
        type(tag) is not str
        or type(status) is not str
        or type(latency) not in NUMBERS
        or type(timestamp) is not int
        or ("seq" in sample and (type(number) is not int or device is None))
        or not sample.keys() <= PLAIN_KEYS
    ):
        return None
    monitor, measured = tags.resolved.get(tag), schemas.MEASURED.get(status)
    if monitor is None or measured is None or not 0 <= latency <= MAX_LATENCY or not is_showable(timestamp):
        return None
    if number is not None and not 0 <= number <= schemas.MAX_SEQUENCE:
        return None
    return Item(device, number, monitor, measured, float(latency), Stamp(timestamp))


def _device_and_number(sample: dict[str, Any], head: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """The device and the number of a sample that is invalid elsewhere; None for both if one is invalid."""
    device = sample.get("device", head.get("device"))
    try:
        fields = load_sequence({"device": device, "seq": sample.get("seq")})
    except ValidationError:
        return None, None
    return fields["device"], fields["seq"]


def _rendered(outcome: Outcome) -> bytes:
    return orjson.dumps(
        {
            "status": 200,
            **{verdict.value: outcome.tally[verdict] for verdict in Verdict},
            "clock": {"offset": outcome.clocks.offset, "corrected": outcome.clocks.corrects},
            "results": [_rendered_result(result) for result in outcome.results],
        }
    )


def _rendered_result(result: Result) -> dict[str, str | int]:
    fields: dict[str, str | int] = {"verdict": result.verdict}
    if result.minute is not None:
        fields["minute"] = result.minute
    if result.fault is not None:
        fields["error"] = result.fault
    return fields
