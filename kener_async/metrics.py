"""What `/metrics` tells, in Prometheus' form; one registry for each running app."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "kener_http_requests", "Answered requests", ["method", "status"], registry=registry
        )
        self._by_answer: dict[tuple[str, int], Counter] = {}
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
        self.monitors = Gauge("kener_monitors", "Configured monitors", registry=registry)
        self.gaps = Counter(
            "kener_observer_gaps", "Spans in which the server did not observe", registry=registry
        )
        self.job_runs = Counter("kener_job_runs", "Runs of scheduled jobs", ["job"], registry=registry)
        self.job_failures = Counter(
            "kener_job_failures", "Runs of scheduled jobs that failed", ["job"], registry=registry
        )

    def answered(self, method: str, status: int) -> None:
        counter = self._by_answer.get((method, status))
        if counter is None:
            known = method if method in {"GET", "HEAD", "POST", "PATCH", "OPTIONS"} else "other"
            counter = self._requests.labels(known, str(status))
            if known == method:
                self._by_answer[method, status] = counter
        counter.inc()

    def committed(self, samples: int, seconds: float) -> None:
        self.samples.inc(samples)
        self.batch_samples.observe(samples)
        self.commit_seconds.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
