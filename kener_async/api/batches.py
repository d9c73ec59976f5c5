"""POST /api/status/batch: many samples at once, from devices that were away for a while."""

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
from kener_async.api.http.body import parse_large, read_packed, unpacked
from kener_async.api.http.compiled_loader import loader
from kener_async.api.http.endpoint import Call, Routes, Spec, endpoint, loaded
from kener_async.api.http.fields import LAST_INSTANT
from kener_async.api.http.rate_limit import RATE_LIMITER
from kener_async.domain.access import Grant
from kener_async.domain.batches import Batch, Item, Result, Verdict
from kener_async.domain.clocks import Stamp
from kener_async.domain.errors import Invalid, Unavailable
from kener_async.domain.states import MonitorStates
from kener_async.store.batches import IngestLimits, Outcome

T = TypeVar("T")

routes = Routes()

DEVICES = 100
LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines")

USUAL = {"tag", "status", "latency", "timestampInSeconds", "seq"}
NUMBERS = (int, float)

load_head = loader(schemas.BatchSchema())
load_first_line = loader(schemas.BatchHead())
load_sample = loader(schemas.BatchSample())
load_number = loader(schemas.Numbered())


class BatchLimiter:
    """How many batches may be on their way at once: so many are read, and so many of those worked on."""

    READ, WORKED_ON = 32, 2

    def __init__(self) -> None:
        self.under_way = 0
        self.lanes = Semaphore(self.WORKED_ON)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Raises Unavailable when too many are on their way already."""
        if self.under_way >= self.READ:
            raise Unavailable("too many batches are waiting to be stored")
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1


BATCH_LIMITER = web.AppKey("intake", BatchLimiter)


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
    It may be packed with gzip. Sending a batch again changes nothing, and a bad sample does not harm others.
    """
    app = call.request.app
    received = app[keys.CLOCK]()
    ingest = app[keys.RUNNING].config.ingest
    await app[RATE_LIMITER].take(call.grant.id, 0)
    with app[BATCH_LIMITER].reading():
        seconds = app[keys.RUNNING].config.server.request_timeout_seconds
        raw, encoding = await read_packed(call.request, ingest.max_batch_bytes, seconds)
        async with app[BATCH_LIMITER].lanes:
            letter = RawBody(raw, encoding, ingest.max_batch_bytes, call.request.content_type in LINES)
            delivery = await _beside(_delivery, letter, TagResolver(app[keys.STATES], call.grant), received)
            app[RATE_LIMITER].charge(call.grant.id, len(delivery.items))
            limits = IngestLimits(ingest.clock_skew_seconds, ingest.max_age_days)
            outcome = await app[keys.WRITER].put_batch(delivery, limits)
            return await _beside(_answer, outcome)


async def _beside(work: Callable[..., T], *values: Any) -> T:
    """Run the work in a thread, so that single heartbeats go on meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(None, work, *values)


class TagResolver:
    """The monitors that tags name, of those the token is for; `known` are those found already."""

    def __init__(self, states: MonitorStates, grant: Grant) -> None:
        self._states = states
        self._grant = grant
        self.known: dict[str, int] = {}

    @property
    def sender(self) -> str:
        """Who the token speaks for."""
        return self._grant.subject

    def find(self, tag: str) -> int | str:
        """The monitor, or why there is none."""
        if tag in self.known:
            return self.known[tag]
        if not self._grant.allows_tag(tag):
            return "the token is for other monitors"
        state = self._states.find(tag)
        if state is None:
            return "invalid tag"
        self.known[tag] = state.id
        return state.id


@dataclass(frozen=True, slots=True)
class RawBody:
    """A body as it came; `limit` is how long it may be, unpacked."""

    raw: bytes
    encoding: str
    limit: int
    is_lines: bool


def _delivery(letter: RawBody, tags: TagResolver, received: int) -> Batch:
    """What a body says; raises Invalid and TooLarge for one that cannot be read as a whole."""
    head, samples = _opened(unpacked(letter.raw, letter.encoding, letter.limit), letter.is_lines)
    if not 1 <= len(samples) <= schemas.MOST_SAMPLES:
        raise Invalid(f"samples: must be 1 to {schemas.MOST_SAMPLES}, not {len(samples)}")
    items = [_item(sample, head, tags) for sample in samples]
    sent = Stamp(head.get("sent_at"), head.get("monotonic"), head.get("boot"))
    delivery = Batch(tags.sender, head.get("device"), sent, received, items)
    if len(delivery.devices) > DEVICES:
        raise Invalid(f"device: at most {DEVICES} different ones in a batch")
    return delivery


def _opened(text: bytes, is_lines: bool) -> tuple[dict[str, Any], list[Any]]:
    """The head and the samples of a body of either form; a sample that is not JSON is its Invalid.

    Shells send a wrong Content-Type, so what is no JSON object of a batch is read by lines, too.
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
                head = loaded(load_head, document)
                return head, head["samples"]
    lines = [_line(line) for line in text.split(b"\n") if line.strip()]
    if lines and isinstance(lines[0], dict) and "tag" not in lines[0]:
        return loaded(load_first_line, lines[0]), lines[1:]
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
        said = loaded(load_sample, sample)
    except Invalid as error:
        return Item(*_name_and_number(sample, head), fault=error.message)
    device, number = said.get("device", head.get("device")), said.get("seq")
    if number is not None and device is None:
        return Item(None, None, fault="device missing: seq is a number of a device")
    monitor = tags.find(said["tag"])
    if isinstance(monitor, str):
        return Item(device, number, fault=monitor)
    stamp = Stamp(said.get("timestamp"), said.get("monotonic"), said.get("boot", head.get("boot")))
    return Item(device, number, monitor, said["status"], said["latency"], stamp)


def _plain_item(sample: dict[str, Any], head: Mapping[str, Any], tags: TagResolver) -> Item | None:
    """What the schema would load of a sample in which nothing is unusual; None: ask the schema.

    A backlog has thousands of them, and the schema takes three times as long to say yes.
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
        or not sample.keys() <= USUAL
    ):
        return None
    monitor, measured = tags.known.get(tag), schemas.MEASURED.get(status)
    if monitor is None or measured is None or latency < 0 or not 0 <= timestamp <= LAST_INSTANT:
        return None
    if number is not None and not 0 <= number <= schemas.HIGHEST_NUMBER:
        return None
    return Item(device, number, monitor, measured, float(latency), Stamp(timestamp))


def _name_and_number(sample: dict[str, Any], head: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """The device and the number of a sample that is faulty elsewhere, if they are not."""
    device = sample.get("device", head.get("device"))
    try:
        said = load_number({"device": device, "seq": sample.get("seq")})
    except ValidationError:
        return None, None
    return said["device"], said["seq"]


def _answer(outcome: Outcome) -> bytes:
    return orjson.dumps(
        {
            "status": 200,
            **{verdict.value: outcome.tally[verdict] for verdict in Verdict},
            "clock": {"offset": outcome.clocks.offset, "corrected": outcome.clocks.corrects},
            "results": [_told(result) for result in outcome.results],
        }
    )


def _told(result: Result) -> dict[str, str | int]:
    told: dict[str, str | int] = {"verdict": result.verdict}
    if result.minute is not None:
        told["minute"] = result.minute
    if result.fault is not None:
        told["error"] = result.fault
    return told
