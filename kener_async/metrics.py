"""Metrics in the format of Prometheus, in one registry for each running app."""

import sys
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from kener_async import __version__
from kener_async.domain.alerts import Severity
from kener_async.domain.batches import Verdict
from kener_async.domain.samples import Status
from kener_async.store.sqlite import version

PYTHON = ".".join(map(str, sys.version_info[:3]))
COMMIT_SAMPLES = (1, 2, 4, 8, 16, 32, 64, 256, 1000)
COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
DELAY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "OPTIONS"})


class Tallied(Collector):
    """A counter by the values of its labels, without the lock of a Counter: for the event loop only."""

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
    """Metrics of this process: memory, processor time, open files, and its start.

    The start is taken here, because the library computes it from the boot time, which a sandbox may hide.
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
    """A monitor's status as a number (domain/samples.py), and its uptime from 0 to 1 by window.

    `certificate_ends`: when the certificate that its check saw last ends, in UTC seconds; None: it saw none.
    """

    status: int
    uptime: Mapping[str, float]
    certificate_ends: int | None = None


class MonitorCollector(Collector):
    """The figures of each monitor by tag, set before each scrape."""

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
        certificate = GaugeMetricFamily(
            "kener_certificate_ends_seconds",
            "When the certificate that a check saw last ends, in seconds since 1970",
            labels=["tag"],
        )
        for tag, figures in self.figures.items():
            status.add_metric([tag], figures.status)
            if figures.certificate_ends is not None:
                certificate.add_metric([tag], figures.certificate_ends)
            for window, ratio in figures.uptime.items():
                uptime.add_metric([tag, window], ratio)
        yield from (status, uptime, certificate)


class CategoryCollector(Collector):
    """How many monitors have which status, by category and name of the status, set before each scrape."""

    def __init__(self) -> None:
        self.counts: Mapping[tuple[str, str], int] = {}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "kener_category_monitors",
            "Monitors of a category that have a status; also beyond max_monitors",
            labels=["category", "status"],
        )
        for labels, count in self.counts.items():
            family.add_metric(labels, count)
        yield family


class OfTags(Collector):
    """The metrics of a registry without those of other monitors."""

    def __init__(self, registry: CollectorRegistry, allows_tag: Callable[[str], bool]) -> None:
        self._registry = registry
        self._allows_tag = allows_tag

    def collect(self) -> Iterator[Metric]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if self._is_allowed(sample.labels)]
            yield family

    def _is_allowed(self, labels: Mapping[str, str]) -> bool:
        if "category" in labels:  # which counts other monitors, too
            return False
        return "tag" not in labels or self._allows_tag(labels["tag"])


class Metrics:
    """All metrics of a running app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        build = {"version": __version__, "python": PYTHON, "sqlite": version.VERSION}
        Info("kener_build", "Versions of the program", registry=registry).info(build)
        # Requests
        self._requests = Tallied("kener_http_requests", "Answered requests", "method", "status")
        self.refused_connections = counter("kener_http_connections_refused", "Connections over the limit")
        self.aborted_connections = counter(
            "kener_http_connections_aborted", "Connections whose client did not read, by reason", ["reason"]
        )
        self._pages_made = Tallied("kener_pages_made", "Pages rendered, for a snapshot and a language")
        self._pages_served = Tallied("kener_pages_served", "Pages sent (200) or unchanged (304)", "status")
        self.pages_waiting = gauge("kener_pages_waiting", "Requests in the fair queue")
        # Samples
        self._heartbeats = Tallied("kener_heartbeats", "Heartbeats by their outcome", "outcome")
        self._batched = Tallied("kener_batch_samples", "Samples of batches by their verdict", "verdict")
        self.samples = counter("kener_samples", "Samples stored")
        self.queue = gauge("kener_samples_waiting", "Samples in the queue of the writer")
        self.batch_samples = histogram("kener_commit_samples", "Samples in a commit", buckets=COMMIT_SAMPLES)
        self.commit_seconds = histogram(
            "kener_commit_seconds", "From taking samples off the queue to disk", buckets=COMMIT_SECONDS
        )
        # Checks
        self._checks = Tallied("kener_checks", "Runs of checks by their verdict", "status")
        self.checks_skipped = counter("kener_checks_skipped", "Runs left out, because the last was under way")
        self.checks_not_measured = counter(
            "kener_checks_not_measured", "Attempts that an error of our own kept from measuring", ["why"]
        )
        self.check_delay = histogram(
            "kener_checks_delay_seconds", "From when an attempt is due to its begin", buckets=DELAY_SECONDS
        )
        self.checks_under_way = gauge("kener_checks_under_way", "Attempts of checks under way")
        # Monitors
        self.monitors = gauge("kener_monitors", "Configured monitors")
        self.by_monitor = MonitorCollector()
        self.by_category = CategoryCollector()
        self.stale_monitors = gauge("kener_board_stale_monitors", "Monitors to be loaded again")
        self.rollup_quarters = counter("kener_rollup_quarters", "Quarter-hours counted")
        self.rollup_lag = gauge("kener_rollup_lag_seconds", "Since all ended quarter-hours were last counted")
        # Jobs
        self.job_runs = counter("kener_job_runs", "Runs of scheduled jobs", ["job"])
        self.job_failures = counter("kener_job_failures", "Failed runs of scheduled jobs", ["job"])
        self.scheduler_lag = gauge("kener_scheduler_lag_seconds", "Since a scheduled job last began")
        self.gaps = counter("kener_observer_gaps", "Times in which the server did not run")
        self.observer_lag = gauge("kener_observer_lag_seconds", "Since the observer last looked at the clock")
        # Alerts
        self.open_alerts = gauge("kener_alerts_open", "Open alerts, also quiet ones", ["severity"])
        self.evaluation_seconds = histogram(
            "kener_alerts_evaluation_seconds",
            "To decide about the alerts of the monitors that changed",
            buckets=COMMIT_SECONDS,
        )
        self.deliveries = counter(
            "kener_deliveries",
            "Deliveries by their result: sent, postponed, failed for good, merged with another, dropped",
            ["channel", "result"],
        )
        self.deliveries_waiting = gauge("kener_deliveries_waiting", "Deliveries that are due, now or later")
        self.channels_paused = gauge("kener_channels_paused", "Channels that are paused after failures")
        for severity in Severity:
            self.open_alerts.labels(severity.name.lower()).set(0)
        # People
        self.sessions = gauge("kener_sessions", "Sessions of people who are signed in")
        # Database and backups
        self.database_bytes = gauge("kener_database_bytes", "Size of the database's files", ["file"])
        self.disk_free = gauge("kener_disk_free_bytes", "Free space on the database's file system")
        self.damaged = gauge("kener_database_damaged", "1 when an integrity check found damage, else 0")
        self.backup_time = gauge(
            "kener_backup_last_success_timestamp_seconds", "Time of the newest scheduled backup; 0: none"
        )
        self.backup_seconds = gauge("kener_backup_last_duration_seconds", "Duration of the last backup")
        self.backup_bytes = gauge("kener_backup_last_bytes", "Size of the last backup")
        # Dead man's switch
        self.pings = counter("kener_pings", "Pings by result: sent, failed, withheld", ["result"])
        self.ping_time = gauge(
            "kener_ping_last_success_timestamp_seconds", "Time of the last ping sent; 0: none since the start"
        )
        tallies = (self._requests, self._heartbeats, self._batched, self._pages_made, self._pages_served)
        for collector in (*tallies, self._checks, self.by_monitor, self.by_category, Process()):
            registry.register(collector)

    def check_ended(self, status: Status) -> None:
        """Count a run of a check by its verdict."""
        self._checks.tally[(status.name,)] += 1

    def answered(self, method: str, status: int) -> None:
        self._requests.tally[method if method in KNOWN_METHODS else "other", status] += 1

    def heartbeats_stored(self, count: int) -> None:
        """Count heartbeats that are on disk, whatever their route and method."""
        self._heartbeats.tally[("stored",)] += count

    def heartbeat_refused(self, status: int) -> None:
        """Count a heartbeat that was not stored, by the status of its response."""
        self._heartbeats.tally[(outcome_of(status),)] += 1

    def page_made(self) -> None:
        self._pages_made.tally[()] += 1

    def page_served(self, status: int) -> None:
        self._pages_served.tally[(status,)] += 1

    def judged(self, tally: Mapping[Verdict, int]) -> None:
        """Count the samples of a batch by their verdict."""
        self._batched.tally.update({(verdict,): count for verdict, count in tally.items()})

    def committed(self, samples: int, seconds: float) -> None:
        self.samples.inc(samples)
        self.batch_samples.observe(samples)
        self.commit_seconds.observe(seconds)

    def note_alerts(self, open_alerts: Mapping[Severity, int], waiting: int, paused: int) -> None:
        """Set how many alerts are open, how many deliveries wait, and how many channels are paused."""
        for severity in Severity:
            self.open_alerts.labels(severity.name.lower()).set(open_alerts.get(severity, 0))
        self.deliveries_waiting.set(waiting)
        self.channels_paused.set(paused)

    def text(self, allows_tag: Callable[[str], bool] | None = None) -> bytes:
        """All metrics; those of single monitors only where `allows_tag` is true of the tag."""
        if allows_tag is None:
            return generate_latest(self.registry)
        return generate_latest(OfTags(self.registry, allows_tag))


def outcome_of(status: int) -> str:
    """The outcome of a refused heartbeat, from the status of its response."""
    match status:
        case 401 | 403:
            return "denied"
        case 429:
            return "limited"
        case 503:
            return "unavailable"
    return "invalid" if status < 500 else "failed"
