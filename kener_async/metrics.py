"""What `/metrics` tells, in Prometheus' form; one registry for each running app."""

import sys
import time
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kener_async import __version__
from kener_async.domain.batches import Verdict
from kener_async.store.sqlite import version

COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "OPTIONS"})


class Tallied(Collector):
    """What is counted on the event loop alone: without the lock of a Counter. By the values of its labels."""

    def __init__(self, name: str, documentation: str, *labels: str) -> None:
        self.tally: Tally[tuple[str | int, ...]] = Tally()
        self._named = name, documentation, labels

    def collect(self) -> Iterator[CounterMetricFamily]:
        name, documentation, labels = self._named
        family = CounterMetricFamily(name, documentation, labels=labels)
        for values, count in list(self.tally.items()):
            family.add_metric([str(value) for value in values], count)
        yield family


class Process(ProcessCollector):
    """Of this process: memory, processor time, open files, and its start.

    The start is as we know it: the library reckons it from the machine's, which a sandbox may hide.
    """

    def __init__(self) -> None:
        super().__init__(registry=None)
        self._started = time.time()

    def collect(self) -> Iterator[Metric]:
        start = "process_start_time_seconds"
        yield from (family for family in super().collect() if family.name != start)
        yield GaugeMetricFamily(start, "When it started, in seconds since 1970", self._started)


@dataclass(frozen=True, slots=True)
class Figures:
    """A monitor: its status as a number (domain/samples.py), and its uptime from 0 to 1 by window."""

    status: int
    uptime: Mapping[str, float]


class Monitors(Collector):
    """The figures of each monitor, by tag, put in place before each look."""

    def __init__(self) -> None:
        self.figures: Mapping[str, Figures] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        status = GaugeMetricFamily(
            "kener_monitor_status",
            "0 UP, 1 DEGRADED, 2 DOWN, 3 MAINTENANCE, 4 NO_DATA",
            labels=["tag"],
        )
        uptime = GaugeMetricFamily(
            "kener_monitor_uptime_ratio", "From 0 to 1; none while no minute counts", labels=["tag", "window"]
        )
        for tag, figures in self.figures.items():
            status.add_metric([tag], figures.status)
            for window, ratio in figures.uptime.items():
                uptime.add_metric([tag, window], ratio)
        yield from (status, uptime)


class Metrics:
    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Tallied("kener_http_requests", "Answered requests", "method", "status")
        self._heartbeats = Tallied("kener_heartbeats", "Heartbeats by what became of them", "outcome")
        self._batched = Tallied("kener_batch_samples", "Samples of batches by their verdict", "verdict")
        self._pages_made = Tallied("kener_pages_made", "Pages made anew, for a snapshot and a language")
        self._pages_served = Tallied("kener_pages_served", "Pages sent, or 304: the visitor has it", "status")
        self.fleet = Monitors()
        for collector in self._collectors():
            registry.register(collector)
        self.build = Info("kener_build", "What runs here", registry=registry)
        self.build.info(
            {
                "version": __version__,
                "python": ".".join(map(str, sys.version_info[:3])),
                "sqlite": version.VERSION,
            }
        )
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
        self.pages_waiting = Gauge(
            "kener_pages_waiting", "Visitors who wait for their turn", registry=registry
        )
        self.rollup_lag = Gauge(
            "kener_rollup_lag_seconds", "Since all ended quarters were last counted", registry=registry
        )
        self.rollup_quarters = Counter(
            "kener_rollup_quarters", "Quarter-hours counted again", registry=registry
        )
        self.scheduler_lag = Gauge(
            "kener_scheduler_lag_seconds", "Since a scheduled job last began", registry=registry
        )
        self.observer_lag = Gauge(
            "kener_observer_lag_seconds", "Since the server last noted that it is there", registry=registry
        )
        self.stale_monitors = Gauge(
            "kener_board_stale_monitors", "Monitors that are to be loaded anew", registry=registry
        )
        self.database_bytes = Gauge(
            "kener_database_bytes",
            "Size of the database's files",
            ["file"],
            registry=registry,
        )
        self.damaged = Gauge(
            "kener_database_damaged", "1 when the daily check found damage, else 0", registry=registry
        )
        self.disk_free = Gauge(
            "kener_disk_free_bytes", "Free space where the database lies", registry=registry
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
        self.ping_time = Gauge(
            "kener_ping_last_success_timestamp_seconds",
            "When the dead man's switch was last reached; 0: not since the start",
            registry=registry,
        )
        self.pings = Counter(
            "kener_pings",
            "Pings of the dead man's switch: sent, failed, withheld",
            ["result"],
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

    def _collectors(self) -> Iterable[Collector]:
        tallies = (self._requests, self._heartbeats, self._batched, self._pages_made, self._pages_served)
        return (*tallies, self.fleet, Process())

    def answered(self, method: str, status: int) -> None:
        self._requests.tally[method if method in KNOWN_METHODS else "other", status] += 1

    def heartbeat(self, status: int) -> None:
        """Count a heartbeat by the status of its answer."""
        self._heartbeats.tally[(outcome_of(status),)] += 1

    def page_made(self) -> None:
        self._pages_made.tally[()] += 1

    def page_served(self, status: int) -> None:
        self._pages_served.tally[(status,)] += 1

    def judged(self, tally: Mapping[Verdict, int]) -> None:
        """How many samples of a batch had each verdict."""
        self._batched.tally.update({(verdict,): count for verdict, count in tally.items()})

    def committed(self, samples: int, seconds: float) -> None:
        self.samples.inc(samples)
        self.batch_samples.observe(samples)
        self.commit_seconds.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)


def outcome_of(status: int) -> str:
    """What became of a heartbeat that was answered so."""
    match status:
        case 200:
            return "stored"
        case 401 | 403:
            return "denied"
        case 429:
            return "limited"
        case 503:
            return "unavailable"
    return "invalid" if status < 500 else "failed"
