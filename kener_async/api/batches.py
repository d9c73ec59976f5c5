"""POST /api/status/batch: many samples at once, from devices that were offline for a while."""

import asyncio
from asyncio import Semaphore
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from aiohttp import web
from marshmallow import ValidationError

from kener_async import keys
from kener_async.api import schemas
from kener_async.api.http.body import decompressed, parse_large, read_encoded
from kener_async.api.http.compiled_loader import loader
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint, loaded
from kener_async.api.http.rate_limit import RATE_LIMITER
from kener_async.domain.access import Grant
from kener_async.domain.batches import Batch, Item, Result, Verdict
from kener_async.domain.calendar import is_showable
from kener_async.domain.clocks import Stamp
from kener_async.domain.errors import Invalid, Unavailable
from kener_async.domain.states import MonitorStates
from kener_async.store.batches import IngestLimits, Outcome

T = TypeVar("T")

routes = Routes()

MAX_DEVICES = 100
JSON_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")

PLAIN_KEYS = {"tag", "status", "latency", "timestampInSeconds", "seq"}
NUMBERS = (int, float)

load_batch = loader(schemas.BatchSchema())
load_head = loader(schemas.BatchHead())
load_sample = loader(schemas.BatchSample())
load_sequence = loader(schemas.Numbered())


class BatchLimiter:
    """Limit the batches in memory: `MAX_READING` are received at once, `MAX_STORING` of these are stored."""

    MAX_READING, MAX_STORING = 32, 2

    def __init__(self) -> None:
        self.reading = 0
        self.slots = Semaphore(self.MAX_STORING)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place for a batch; raises Unavailable if all are taken."""
        if self.reading >= self.MAX_READING:
            raise Unavailable("too many batches are waiting to be stored")
        self.reading += 1
        try:
            yield
        finally:
            self.reading -= 1


BATCH_LIMITER = web.AppKey("batch limiter", BatchLimiter)


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
    """Store up to 10,000 samples in one transaction, with a verdict for each in the order they were sent.

    The body is one JSON object, or JSON Lines: a sample a line, and a first line without a tag for the rest.
    It may be compressed with gzip. Sending a batch again changes nothing, and an invalid sample is rejected
    without harm to the others.
    """
    app = call.request.app
    received = app[keys.CLOCK]()
    config, limiter = app[keys.RUNNING].config, app[BATCH_LIMITER]
    ingest = config.ingest
    await app[RATE_LIMITER].take(call.grant.id, 0)
    with limiter.admitted():
        content, encoding = await read_encoded(
            call.request, ingest.max_batch_bytes, config.server.request_timeout_seconds
        )
        async with limiter.slots:
            is_lines = call.request.content_type in JSON_LINES
            body = RawBody(content, encoding, ingest.max_batch_bytes, is_lines)
            tags = TagResolver(app[keys.STATES], call.grant)
            parsed = await _in_thread(_parsed, body, tags, received)
            app[RATE_LIMITER].charge(call.grant.id, len(parsed.items))
            limits = IngestLimits(ingest.clock_skew_seconds, ingest.max_age_days)
            outcome = await app[keys.WRITER].put_batch(parsed, limits)
            return await _in_thread(_rendered, outcome)


async def _in_thread(work: Callable[..., T], *values: Any) -> T:
    """Run it in a thread, so that the loop can serve single heartbeats meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *values)


class TagResolver:
    """Resolve tags to monitors that the token may write; `resolved` caches them by tag."""

    def __init__(self, states: MonitorStates, grant: Grant) -> None:
        self._states = states
        self._grant = grant
        self.resolved: dict[str, int] = {}

    @property
    def sender(self) -> str:
        """The subject of the token."""
        return self._grant.subject

    def find(self, tag: str) -> int | str:
        """The id of the monitor, or the error message if there is none."""
        if tag in self.resolved:
            return self.resolved[tag]
        if not self._grant.allows_tag(tag):
            return "the token is for other monitors"
        state = self._states.find(tag)
        if state is None:
            return "invalid tag"
        self.resolved[tag] = state.id
        return state.id


@dataclass(frozen=True, slots=True)
class RawBody:
    """A body as received; `limit` is its largest size in bytes when it is decompressed."""

    content: bytes
    encoding: str
    limit: int
    is_lines: bool


def _parsed(body: RawBody, tags: TagResolver, received: int) -> Batch:
    """The batch in a body; raises Invalid and TooLarge if it cannot be read as a whole."""
    head, samples = _head_and_samples(decompressed(body.content, body.encoding, body.limit), body.is_lines)
    if not 1 <= len(samples) <= schemas.MAX_SAMPLES:
        raise Invalid(f"samples: must be 1 to {schemas.MAX_SAMPLES}, not {len(samples)}")
    items = [_item(sample, head, tags) for sample in samples]
    sent = Stamp(head.get("sent_at"), head.get("monotonic"), head.get("boot"))
    parsed = Batch(tags.sender, head.get("device"), sent, received, items)
    if len(parsed.devices) > MAX_DEVICES:
        raise Invalid(f"device: at most {MAX_DEVICES} different ones in a batch")
    return parsed


def _head_and_samples(text: bytes, is_lines: bool) -> tuple[dict[str, Any], list[Any]]:
    """The head and the samples of a body of either form; a line that is not JSON becomes its Invalid.

    Shells send a wrong Content-Type, so a body that is not the JSON object of a batch is read as lines, too.
    """
    if not is_lines:
        try:
            document = parse_large(text)
        except Invalid:
            if text.strip().count(b"\n") == 0:
                raise
        else:
            if not isinstance(document, dict):
                raise Invalid("the body must be a JSON object")
            if "samples" in document or "tag" not in document:
                head = loaded(load_batch, document)
                return head, head["samples"]
    lines = [_line(line) for line in text.split(b"\n") if line.strip()]
    if lines and isinstance(lines[0], dict) and "tag" not in lines[0]:
        return loaded(load_head, lines[0]), lines[1:]
    return {}, lines


def _line(text: bytes) -> Any:
    try:
        return parse_large(text)
    except Invalid as error:
        return error


def _item(sample: Any, head: Mapping[str, Any], tags: TagResolver) -> Item:
    if isinstance(sample, Invalid):
        return Item(None, None, fault=sample.message.replace("the body", "the line", 1))
    if not isinstance(sample, dict):
        return Item(None, None, fault="a sample must be a JSON object")
    plain = _plain_item(sample, head, tags)
    if plain is not None:
        return plain
    try:
        fields = loaded(load_sample, sample)
    except Invalid as error:
        return Item(*_device_and_number(sample, head), fault=error.message)
    device, number = fields.get("device", head.get("device")), fields.get("seq")
    if number is not None and device is None:
        return Item(None, None, fault="device missing: seq is a number of a device")
    monitor = tags.find(fields["tag"])
    if isinstance(monitor, str):
        return Item(device, number, fault=monitor)
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
    if monitor is None or measured is None or latency < 0 or not is_showable(timestamp):
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
