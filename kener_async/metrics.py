"""What `/metrics` tells, in Prometheus' form; one registry for each running app."""

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "OPTIONS"})


class Requests(Collector):
    """Answered requests, counted on the event loop alone: without the lock of a Counter."""

    def __init__(self) -> None:
        self.tally: Tally[tuple[str, int]] = Tally()

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily("kener_http_requests", "Answered requests", labels=["method", "status"])
        for (method, status), count in list(self.tally.items()):
            family.add_metric([method, str(status)], count)
        yield family


class Metrics:
    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Requests()
        registry.register(self._requests)
        self.samples = Counter("kener_samples", "Samples stored", registry=registry)
        self.refused_connections = Counter(
            "kener_http_connections_refused", "Connections over the limit", registry=registry
        )
        self.commit_seconds = Histogram(
            "kener_commit_seconds",
            "From taking a batch of samples to its being on disk",
            buckets=COMMIT_SECONDS,
            registry=registry,
        )
        self.batch_samples = Histogram(
            "kener_commit_samples",
            "Samples in a commit",
            buckets=(1, 2, 4, 8, 16, 32, 64, 256, 1000),
            registry=registry,
        )
        self.queue = Gauge("kener_samples_waiting", "Samples waiting to be written", registry=registry)
        self.rollup_lag = Gauge(
            "kener_rollup_lag_seconds", "Since all ended quarters were last counted", registry=registry
        )
        self.rollup_quarters = Counter(
            "kener_rollup_quarters", "Quarter-hours counted again", registry=registry
        )
        self.database_bytes = Gauge(
            "kener_database_bytes",
            "Size of the database's files",
            ["file"],
            registry=registry,
        )
        self.backup_time = Gauge(
            "kener_backup_last_success_timestamp_seconds",
            "When the newest scheduled backup was made; 0: none is known",
            registry=registry,
        )
        self.backup_seconds = Gauge(
            "kener_backup_last_duration_seconds", "How long the last one took", registry=registry
        )
        self.backup_bytes = Gauge("kener_backup_last_bytes", "How large it is", registry=registry)
        self.monitors = Gauge("kener_monitors", "Configured monitors", registry=registry)
        self.gaps = Counter(
            "kener_observer_gaps", "Spans in which the server did not observe", registry=registry
        )
        self.job_runs = Counter("kener_job_runs", "Runs of scheduled jobs", ["job"], registry=registry)
        self.job_failures = Counter(
            "kener_job_failures", "Runs of scheduled jobs that failed", ["job"], registry=registry
        )

    def answered(self, method: str, status: int) -> None:
        self._requests.tally[method if method in KNOWN_METHODS else "other", status] += 1

    def committed(self, samples: int, seconds: float) -> None:
        self.samples.inc(samples)
        self.batch_samples.observe(samples)
        self.commit_seconds.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
