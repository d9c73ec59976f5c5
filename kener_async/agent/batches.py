"""The request body of an upload."""

import gzip
import json
from collections.abc import Mapping
from typing import Any

from kener_async.agent.clocks import ClockReading
from kener_async.agent.spool import SpooledBatch, SpooledSample

MAX_SAMPLES = 1000
SLEW = 1.0  # seconds by which a correct clock may be adjusted


def body(device: str, batch: SpooledBatch, now: ClockReading) -> bytes:
    """A batch as JSON, compressed with gzip."""
    head = {"device": device, "sentAt": _wall(now), "monotonic": now.monotonic, "boot": now.boot}
    document = {**head, "samples": [_as_sent(each, batch.newest) for each in batch.samples]}
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 6, mtime=0)


def _as_sent(spooled: SpooledSample, newest: Mapping[str, ClockReading]) -> dict[str, Any]:
    sample = spooled.sample
    moment = corrected(sample.moment, newest[sample.moment.boot])
    fields = {
        "tag": sample.tag,
        "status": sample.status.name,
        "latency": sample.latency,
        "timestampInSeconds": int(_wall(moment)),
        "monotonic": moment.monotonic,
        "boot": moment.boot,
    }
    return fields if spooled.seq is None else fields | {"seq": spooled.seq}


def corrected(moment: ClockReading, newest: ClockReading) -> ClockReading:
    """Correct a reading by `newest`, the last one of the same boot, if the wall clock was set in between.

    The server places a sample by the monotonic clock only if it knows the boot. For a boot that ended before
    anything was sent this correction is the only one.
    """
    by_newest = newest.at(moment.monotonic)
    return by_newest if abs(by_newest.wall - moment.wall) > SLEW else moment


def _wall(moment: ClockReading) -> float:
    return max(0.0, moment.wall)
