"""The application: everything is wired here, and reads as a list."""

from asyncio import Lock
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from weakref import WeakKeyDictionary

import structlog
from aiohttp import web

from kener_async import keys
from kener_async.api import batches, checks, devices, health, incidents, monitors, status
from kener_async.api.batches import BATCH_SLOTS, BatchSlots
from kener_async.api.compat import beats, gatus, healthchecks, uptime_kuma
from kener_async.api.compat.senders import SENDER_REPORTS, SenderReports
from kener_async.api.health import MONITOR_FIGURES, READINESS, MonitorFigures, Readiness
from kener_async.api.http import base_path, cors, trailing_slash
from kener_async.api.http.auth import AUTHENTICATOR, Authenticator
from kener_async.api.http.body import BODY_BUDGET, BodyBudget
from kener_async.api.http.middleware import complete_response, request_middleware
from kener_async.api.http.policy import RoutePolicies
from kener_async.api.http.rate_limit import RATE_LIMITER, RateLimiter
from kener_async.api.http.request_log import REQUEST_LOG, RequestLog
from kener_async.api.manage import alerts as managed_alerts
from kener_async.api.manage import announcements as managed_announcements
from kener_async.api.manage import audit as managed_audit
from kener_async.api.manage import channels as managed_channels
from kener_async.api.manage import checks as managed_checks
from kener_async.api.manage import config as managed_config
from kener_async.api.manage import deliveries as managed_deliveries
from kener_async.api.manage import devices as managed_devices
from kener_async.api.manage import incidents as managed_incidents
from kener_async.api.manage import maintenance as managed_maintenance
from kener_async.api.manage import people as managed_people
from kener_async.api.manage import rules as managed_rules
from kener_async.api.manage import series as managed_series
from kener_async.api.manage import templates as managed_templates
from kener_async.api.manage import tokens as managed_tokens
from kener_async.channels.composition import message_source
from kener_async.clock import Clock, monotonic_of, stopwatch_of, system_clock
from kener_async.config.alert_plan import alert_plan
from kener_async.config.model import Config
from kener_async.config.schema import needs_restart
from kener_async.config.series import series_in_force
from kener_async.domain.calendar import DAY, HOUR
from kener_async.domain.notices import NoticeKind
from kener_async.domain.states import MonitorStates
from kener_async.identity.federation import Federation
from kener_async.identity.passwords import Passwords
from kener_async.identity.sessions import SessionLimits, Sessions
from kener_async.identity.sign_in import SignIn
from kener_async.identity.steps import SignedSteps, StepLimiter
from kener_async.metrics import Metrics
from kener_async.ops.backup_source import source_of
from kener_async.ops.outlets import ChannelFactory, delivery_rules_of
from kener_async.ops.signing_key import signing_keys
from kener_async.store import monitors as stored_monitors
from kener_async.store import observer as stored_observer
from kener_async.store.managed import Managed
from kener_async.store.series import SeriesPlan
from kener_async.store.sqlite import database
from kener_async.web import routes as web_routes
from kener_async.web.errors import public_error
from kener_async.web.manage import routes as manage_routes
from kener_async.web.manage.federation import FEDERATION, SIGNED_STEPS, STEP_LIMITER, oidc_settings
from kener_async.web.manage.frame import SESSIONS
from kener_async.web.manage.people import MAIL_SERVER
from kener_async.web.manage.sign_in import PASSWORDS, SIGN_IN
from kener_async.web.pages.throttle import FAIR_QUEUE, FairQueue
from kener_async.worker.alert_figures import AlertFigures
from kener_async.worker.alerts import AlertEvaluator
from kener_async.worker.backups import BackupPlan, Backups
from kener_async.worker.check_attempts import VantageProber
from kener_async.worker.check_records import CheckRecords
from kener_async.worker.checks import Checks
from kener_async.worker.day_sums import DaySums
from kener_async.worker.dead_man_switch import DeadMansSwitch
from kener_async.worker.deliveries import Deliveries
from kener_async.worker.housekeeping import (
    check_integrity,
    close_ended,
    count_alerts,
    drop_ended_sign_ins,
    drop_old,
    drop_old_alerts,
    drop_old_audit,
    drop_old_check_records,
    first_check_after,
    forget_devices,
)
from kener_async.worker.incidents import IncidentWatch
from kener_async.worker.observer import Observer
from kener_async.worker.overviews import Overviews
from kener_async.worker.rollups import Rollups
from kener_async.worker.schedule import Scheduler, short
from kener_async.worker.sealing import seal_days
from kener_async.worker.series import SeriesMaker
from kener_async.worker.states import StateLoader
from kener_async.worker.stop import StopToken
from kener_async.worker.witnesses import OfflineGuard
from kener_async.worker.writer import Writer

log = structlog.get_logger(__name__)

CHANNEL_FACTORY = web.AppKey("channel factory", ChannelFactory)


def create_app(config: Config, clock: Clock = system_clock) -> web.Application:
    """The service, not yet started; its database is opened when it starts."""
    metrics, running = Metrics(), keys.Running(config)
    app = web.Application(client_max_size=config.ingest.max_body_bytes)
    app[keys.RUNNING] = running
    app[keys.CLOCK], app[keys.STOPWATCH] = clock, stopwatch_of(clock)
    app[keys.METRICS] = metrics
    app[keys.STATES] = MonitorStates()
    app[keys.STATUS_BODIES] = WeakKeyDictionary()
    app[FAIR_QUEUE] = queue = FairQueue()
    app[RATE_LIMITER] = RateLimiter(running)
    app[BODY_BUDGET] = BodyBudget(running)
    app[BATCH_SLOTS] = BatchSlots()
    app[managed_rules.BACK_TESTS] = Lock()
    add_routes(app, config.server.manage_path)
    policies = RoutePolicies(app.router)
    app[REQUEST_LOG] = RequestLog(running, policies)
    base_path.add_routes(app, running)
    trailing_slash.add_routes(app, running)
    app.middlewares.append(
        request_middleware(metrics, running, policies, app[REQUEST_LOG], public_error, queue.wait_turn)
    )
    app.on_response_prepare.append(complete_response)
    app.cleanup_ctx.append(storage)  # closed last
    app.cleanup_ctx.append(background)  # closed first: nothing writes to a closed database
    return app


def add_routes(app: web.Application, manage_path: str = "") -> None:
    for routes in (
        status.routes,
        batches.routes,
        incidents.routes,
        monitors.routes,
        devices.routes,
        beats.routes,
        healthchecks.routes,
        uptime_kuma.routes,
        gatus.routes,
        health.routes,
        checks.routes,
        managed_alerts.routes,
        managed_announcements.routes,
        managed_audit.routes,
        managed_config.routes,
        managed_people.routes,
        managed_checks.routes,
        managed_deliveries.routes,
        managed_channels.routes,
        managed_incidents.routes,
        managed_rules.routes,
        managed_maintenance.routes,
        managed_series.routes,
        managed_devices.routes,
        managed_templates.routes,
        managed_tokens.routes,
    ):
        app.add_routes(routes)
    web_routes.add_routes(app)
    manage_routes.add_routes(app, manage_path)
    cors.add_preflights(app.router)


def reserved_segments() -> frozenset[str]:
    """The first segments of all routes, which no base path may begin with."""
    app = web.Application()
    add_routes(app)
    return base_path.first_segments(app.router)


@asynccontextmanager
async def storage(app: web.Application) -> AsyncIterator[None]:
    """The database, the observer's gap since the last stop, and the monitor states as stored."""
    config, clock, metrics = app[keys.RUNNING].config, app[keys.CLOCK], app[keys.METRICS]
    states = app[keys.STATES]
    async with database.opened(config.database.path, config.database.synchronous) as store:
        app[keys.DATABASE] = store
        signing = signing_keys(config.auth)
        app[AUTHENTICATOR] = Authenticator(signing, store, clock, app[keys.RUNNING])
        app[keys.OBSERVER] = observer = Observer(
            store, states, clock, metrics, retention=config.database.retention_days * DAY
        )
        app[keys.DAY_SUMS] = day_sums = DaySums(store, states, clock)
        app[keys.ROLLUPS] = rollups = Rollups(store, day_sums, clock, metrics)
        app[keys.LOADER] = loader = StateLoader(store, states, clock, observer, rollups, metrics)
        app[keys.OVERVIEWS] = overviews = Overviews(store, states, loader, rollups, clock)
        app[SESSIONS] = sessions = Sessions(store, clock, partial(session_limits, app))
        app[PASSWORDS] = passwords = Passwords()
        app[SIGN_IN] = SignIn(store, passwords, sessions, clock)
        app[SIGNED_STEPS] = steps = SignedSteps(signing.secret, clock)
        app[FEDERATION] = federation = Federation(store, sessions, steps, clock, monotonic_of(clock))
        app[STEP_LIMITER] = StepLimiter(monotonic_of(clock))
        app[keys.DELIVERIES] = deliveries = Deliveries(
            store, app[keys.STOPWATCH], monotonic_of(clock), metrics
        )
        app[keys.SERIES] = SeriesMaker(
            *(store, states, clock, partial(series_plan, app), partial(announcing_channels, app)),
            deliveries.wake,
        )
        figures = AlertFigures(store, overviews, clock)
        app[keys.WRITER] = Writer(store, states, clock, metrics, config.ingest.max_queue)
        add_checks(app)
        app[keys.ALERTS] = AlertEvaluator(
            *(store, states, loader, figures, clock, app[keys.CHECKS], monotonic_of(clock)),
            *(deliveries.wake, metrics),
        )
        await observer.begin()
        app[keys.IDENTITY] = await store.read(stored_observer.identity)
        async with ChannelFactory().opened() as app[CHANNEL_FACTORY]:
            app[MAIL_SERVER] = app[CHANNEL_FACTORY].mail_server
            app[keys.INCIDENT_WATCH] = IncidentWatch(store, states)
            await app[keys.INCIDENT_WATCH].look()  # before anything is read that a command may change
            await apply(app, config)
            states.restore_heard(await store.read(stored_monitors.last_heard))
            yield
        await federation.client.close()
        passwords.close()


def add_checks(app: web.Application) -> None:
    """The checks of this server; without any configured they do nothing."""
    store, states, clock = app[keys.DATABASE], app[keys.STATES], app[keys.CLOCK]
    stopwatch, monotonic = app[keys.STOPWATCH], monotonic_of(clock)
    prober = VantageProber(app[keys.RUNNING].started_with.checks.vantage)
    app[keys.OFFLINE_GUARD] = guard = OfflineGuard(store, states, prober.connect, stopwatch, monotonic)
    records = CheckRecords(store, app[keys.WRITER], clock)
    app[keys.CHECKS] = Checks(states, prober, guard, records, stopwatch, monotonic, app[keys.METRICS])


@asynccontextmanager
async def background(app: web.Application) -> AsyncIterator[None]:
    """Jobs, observer and writer. Left in reverse: jobs are stopped, then the last samples are written."""
    config, store, states, clock, loader, writer = (
        app[keys.RUNNING].config,
        app[keys.DATABASE],
        app[keys.STATES],
        app[keys.CLOCK],
        app[keys.LOADER],
        app[keys.WRITER],
    )
    app[keys.SCHEDULER] = schedule = Scheduler(app[keys.METRICS])
    app[READINESS] = Readiness(app[keys.RUNNING], store, lambda: schedule.last_tick)
    app[MONITOR_FIGURES] = MonitorFigures(
        app[keys.RUNNING], states, app[keys.OVERVIEWS].cached, clock, app[keys.CHECKS].certificates
    )
    app[SENDER_REPORTS] = SenderReports(
        app[keys.RUNNING], app[AUTHENTICATOR], app[RATE_LIMITER], states, clock, writer.put, writer.put_heard
    )
    app[status.REPORT_INTAKE] = status.ReportIntake(app[keys.RUNNING], states, clock, writer.add_run)
    interval = config.rollups.interval_seconds
    schedule.every(interval, "rollups", loader.roll)
    schedule.every(interval, "overviews", partial(read_ahead, app))
    schedule.every(interval, "day sums", partial(store_day_sums, app))
    schedule.every(interval, "ended incidents", short(partial(close_ended, store, states, clock)))
    schedule.every(20, "maintenance", short(app[keys.SERIES].look))
    schedule.every(1, "incidents of commands", short(app[keys.INCIDENT_WATCH].look))
    schedule.every(60, "token uses", short(app[AUTHENTICATOR].note_uses))
    schedule.every(600, "retention", partial(drop_old, store, states, clock, partial(retention, app)))
    schedule.every(HOUR, "sealing", partial(seal_days, store, clock))
    schedule.every(HOUR, "old alerts", partial(drop_old_alerts, store, clock, partial(delivery_age, app)))
    schedule.every(
        HOUR, "old faults of checks", partial(drop_old_check_records, store, clock, partial(fault_age, app))
    )
    schedule.every(HOUR, "old audit log", partial(drop_old_audit, store, clock, partial(audit_age, app)))
    sign_ins = partial(drop_ended_sign_ins, store, app[keys.METRICS], clock, partial(session_idle, app))
    schedule.every(60, "ended sign-ins", short(sign_ins))
    names = partial(channel_names, app)
    schedule.every(10, "alert figures", short(partial(count_alerts, store, app[keys.METRICS], names)))
    schedule.every(600, "devices", short(partial(forget_devices, store, clock, partial(ages, app))))
    schedule.every(
        *(HOUR, "integrity", partial(check_integrity, store, clock)),
        first_after=await first_check_after(store, clock),
    )
    app[keys.BACKUPS] = backups = Backups(partial(backup_plan, app), clock, app[keys.METRICS])
    schedule.every(60, "backup", backups.make_if_due)
    deadman = DeadMansSwitch(
        lambda: app[keys.RUNNING].config.watch.ping_url, app[READINESS].problems, clock, app[keys.METRICS]
    )
    schedule.every(config.watch.ping_every, "ping", deadman.ping)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(writer.running())
        await stack.enter_async_context(app[keys.OBSERVER].watching(loader.observe, partial(reanchor, app)))
        await stack.enter_async_context(app[keys.ALERTS].running())
        await stack.enter_async_context(app[keys.CHECKS].running())
        await stack.enter_async_context(schedule.running())
        await stack.enter_async_context(app[keys.DELIVERIES].running(config.server.shutdown_seconds / 4))
        yield


async def apply(app: web.Application, config: Config) -> None:
    """Put a configuration and its monitors in force, in one step; log which settings need a restart.

    Raises Unavailable when the monitors cannot be stored; then the configuration before stays in force.
    """
    running = app[keys.RUNNING]
    source = message_source(config, app[keys.IDENTITY], partial(count_bad, app))
    outlets = app[CHANNEL_FACTORY].outlets(config, source)

    def swap() -> None:
        running.config = config
        app[keys.DELIVERIES].configure(outlets, delivery_rules_of(config))

    await app[keys.LOADER].configure({tag: monitor.settings for tag, monitor in config.by_tag.items()}, swap)
    await app[FEDERATION].client.configure(oidc_settings(config))
    checks = [monitor.check for monitor in config.monitors if monitor.check is not None]
    app[keys.OFFLINE_GUARD].configure(config.checks.witnesses if checks else ())
    app[keys.CHECKS].configure(checks, config.checks.max_at_once)
    state_keepers = frozenset(outlet.name for outlet in outlets if outlet.channel.keeps_state)
    app[keys.ALERTS].configure(alert_plan(config, state_keepers))
    await app[keys.SERIES].follow_configuration()
    for name in needs_restart(running.started_with, config):
        log.warning("takes effect after a restart", setting=name)


def series_plan(app: web.Application, stored: list[Managed]) -> SeriesPlan:
    """The series of maintenance in force: those of the file and the stored ones."""
    found = series_in_force(app[keys.RUNNING].config, ((each.name, each.body) for each in stored))
    return SeriesPlan(found.things, found.faulty)


def announcing_channels(app: web.Application) -> list[str]:
    """The names of the channels that are told of maintenance."""
    channels = app[keys.RUNNING].config.channels
    return [channel.name for channel in channels if channel.tells(NoticeKind.MAINTENANCE_ANNOUNCED)]


def reanchor(app: web.Application) -> None:
    """Let what follows the wall clock follow it, because it stepped."""
    app[keys.SCHEDULER].reanchor()
    app[keys.CHECKS].reanchor()


def count_bad(app: web.Application) -> tuple[int, int]:
    """How many monitors on the page are DOWN or DEGRADED now, and how many there are."""
    now, config = app[keys.CLOCK](), app[keys.RUNNING].config
    visible = [monitor.tag for monitor in config.monitors if not monitor.hidden]
    return app[keys.STATES].count_bad(visible, now), len(visible)


async def read_ahead(app: web.Application, stop: StopToken) -> None:
    """Read the overviews of the site's time zone, as configured now."""
    await app[keys.OVERVIEWS].read_ahead(app[keys.RUNNING].config.site.timezone, stop)


async def store_day_sums(app: web.Application, stop: StopToken) -> None:
    """Store the sums of days of the site's time zone, as configured now."""
    await app[keys.DAY_SUMS].store(app[keys.RUNNING].config.site.timezone, stop)


def retention(app: web.Application) -> int:
    """How long samples are kept, in seconds."""
    return app[keys.RUNNING].config.database.retention_days * DAY


def session_limits(app: web.Application) -> SessionLimits:
    """When sessions end, as configured now."""
    manage = app[keys.RUNNING].config.manage
    return SessionLimits(manage.session_idle, manage.session_length)


def delivery_age(app: web.Application) -> int:
    """How long closed alerts and done deliveries are kept, in seconds."""
    return app[keys.RUNNING].config.notifications.delivery_days * DAY


def fault_age(app: web.Application) -> int:
    """How long faults of checks are kept, in seconds."""
    return app[keys.RUNNING].config.checks.fault_days * DAY


def audit_age(app: web.Application) -> int:
    """How long rows of the audit log are kept, in seconds."""
    return app[keys.RUNNING].config.manage.audit_days * DAY


def session_idle(app: web.Application) -> int:
    """After how many seconds without a request a session ends."""
    return app[keys.RUNNING].config.manage.session_idle


def channel_names(app: web.Application) -> list[str] | None:
    """The names of the configured channels; None without any alerting."""
    config = app[keys.RUNNING].config
    return [channel.name for channel in config.channels] if config.channels or config.alerts else None


def ages(app: web.Application) -> tuple[int, int]:
    """The greatest age of a sample on arrival, and how long samples are kept, in seconds."""
    return app[keys.RUNNING].config.ingest.max_age_days * DAY, retention(app)


def backup_plan(app: web.Application) -> BackupPlan | None:
    """The scheduled backups as configured now; None: there are none."""
    config = app[keys.RUNNING].config
    folder, every, keep = config.backup.folder, config.backup.every, config.backup.keep
    if folder is None:
        return None
    return BackupPlan(config.database.path, partial(source_of, config), folder, every, keep)
