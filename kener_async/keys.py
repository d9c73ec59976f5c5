"""Typed keys of the parts that handlers find in the app."""

from collections.abc import Callable
from uuid import UUID
from weakref import WeakKeyDictionary

from aiohttp import web

from kener_async.clock import Clock, Stopwatch
from kener_async.config.model import Config
from kener_async.domain.states import MonitorState, MonitorStates, StatusReport
from kener_async.metrics import Metrics
from kener_async.store.interface import Database
from kener_async.worker.alerts import AlertEvaluator
from kener_async.worker.backups import Backups
from kener_async.worker.checks import Checks
from kener_async.worker.day_sums import DaySums
from kener_async.worker.deliveries import Deliveries
from kener_async.worker.incidents import IncidentWatch
from kener_async.worker.observer import Observer
from kener_async.worker.overviews import Overviews
from kener_async.worker.rollups import Rollups
from kener_async.worker.schedule import Scheduler
from kener_async.worker.series import SeriesMaker
from kener_async.worker.states import StateLoader
from kener_async.worker.witnesses import OfflineGuard
from kener_async.worker.writer import Writer

# The JSON of each monitor's current status report, cached as long as the report.
StatusBodies = WeakKeyDictionary[MonitorState, tuple[StatusReport, bytes]]


class Running:
    """The configuration in force, which a reload replaces by one assignment, and that of the start.

    What is derived from it (the sender index, the allowed addresses) is read from it, never copied.
    `stopping`: every response is the last of its connection. `request_reload` asks the process to read its
    file again; None where nothing serves the application as a process.
    """

    def __init__(self, config: Config) -> None:
        self.config = self.started_with = config
        self.stopping = False
        self.request_reload: Callable[[], None] | None = None


RUNNING = web.AppKey("running", Running)
CLOCK: web.AppKey[Clock] = web.AppKey("clock")
STOPWATCH: web.AppKey[Stopwatch] = web.AppKey("stopwatch")
METRICS = web.AppKey("metrics", Metrics)
IDENTITY = web.AppKey("identity", UUID)
DATABASE = web.AppKey("database", Database)
STATES = web.AppKey("states", MonitorStates)
DELIVERIES = web.AppKey("deliveries", Deliveries)
OBSERVER = web.AppKey("observer", Observer)
DAY_SUMS = web.AppKey("day sums", DaySums)
ROLLUPS = web.AppKey("rollups", Rollups)
LOADER = web.AppKey("loader", StateLoader)
OVERVIEWS = web.AppKey("overviews", Overviews)
ALERTS = web.AppKey("alerts", AlertEvaluator)
OFFLINE_GUARD = web.AppKey("offline guard", OfflineGuard)
SCHEDULER = web.AppKey("scheduler", Scheduler)
INCIDENT_WATCH = web.AppKey("incident_watch", IncidentWatch)
SERIES = web.AppKey("series", SeriesMaker)
CHECKS = web.AppKey("checks", Checks)
BACKUPS = web.AppKey("backups", Backups)
WRITER = web.AppKey("writer", Writer)
STATUS_BODIES: web.AppKey[StatusBodies] = web.AppKey("status bodies")
