"""Samples as they are stored: rows of small integers, with latencies in one of two types."""

from kener_async.domain.samples import MAX_LATENCY, Sample, SampleSource, Status

MILLION = 1_000_000

StoredLatency = int | float
Row = tuple[int, int, int, int, StoredLatency]  # monitor, minute, status, source, latency

_STATUSES = tuple(Status)
_SOURCES = tuple(SampleSource)


def row_of(sample: Sample) -> Row:
    """The row that stores a sample."""
    return sample.monitor, sample.minute, sample.status, sample.source, packed_latency(sample.latency)


def sample_of(row: Row) -> Sample:
    """The sample of a row."""
    monitor, minute, status, source, latency = row
    return Sample(monitor, minute, _STATUSES[status], plain_latency(latency), _SOURCES[source])


def packed_latency(latency: float) -> StoredLatency:
    """The latency as stored: an integer of millionths if that is exact, else a float."""
    millionths = round(latency * MILLION) if latency < MILLION * MILLION else -1
    return millionths if millionths / MILLION == latency else float(latency)


def plain_latency(stored: StoredLatency) -> float:
    """The latency of a stored value, at most MAX_LATENCY: earlier versions stored any number."""
    return stored / MILLION if isinstance(stored, int) else min(stored, float(MAX_LATENCY))
