"""What goes to the server in a batch."""

import gzip
import json
from collections.abc import Mapping
from typing import Any

from kener_async.agent.clocks import ClockReading
from kener_async.agent.spool import Spooled, SpooledBatch

LARGEST = 1000  # samples
SLEW = 1.0  # seconds by which a clock that is right may be set


def body(device: str, parcel: SpooledBatch, now: ClockReading) -> bytes:
    """A batch as it is sent, packed with gzip."""
    head = {"device": device, "sentAt": _wall(now), "monotonic": now.monotonic, "boot": now.boot}
    document = {**head, "samples": [_as_sent(each, parcel.newest) for each in parcel.samples]}
    return gzip.compress(json.dumps(document, separators=(",", ":")).encode(), 6, mtime=0)


def _as_sent(spooled: Spooled, newest: Mapping[str, ClockReading]) -> dict[str, Any]:
    sample = spooled.sample
    moment = believed(sample.moment, newest[sample.moment.boot])
    return {
        "tag": sample.tag,
        "status": sample.status.name,
        "latency": sample.latency,
        "timestampInSeconds": int(_wall(moment)),
        "seq": spooled.seq,
        "monotonic": moment.monotonic,
        "boot": moment.boot,
    }


def believed(moment: ClockReading, newest: ClockReading) -> ClockReading:
    """The moment by the clock as it was set last in that boot.

    For the server to use the monotonic clock it must have heard of the boot; of one that ended before
    anything could be sent there is only this.
    """
    corrected = newest.at(moment.monotonic)
    return corrected if abs(corrected.wall - moment.wall) > SLEW else moment


def _wall(moment: ClockReading) -> float:
    return max(0.0, moment.wall)
