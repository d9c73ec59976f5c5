"""The evaluator: look at monitors that changed, and let alerts of them open and close.

Whether anything would happen is decided in memory. Only then is it decided again inside a transaction, by
what is stored, and written there: because a command beside the server may have acknowledged an alert.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from time import monotonic

import structlog

from kener_async.clock import Clock, Stopwatch
from kener_async.domain.alert_decisions import (
    BACKLOG_SECONDS,
    AlertContext,
    AlertOpened,
    AlertTold,
    decide,
    is_late_report,
    needs_earlier,
)
from kener_async.domain.alert_figures import FigureCondition
from kener_async.domain.alert_looks import (
    PARENT_IS_BAD,
    AlertLook,
    good_latency,
    is_in_maintenance,
    needs_earlier_of_parent,
    said_by_parents,
    silenced_by,
)
from kener_async.domain.alert_plans import AlertPlan, MonitorRules
from kener_async.domain.alert_streaks import NO_STREAK, AlertStreak, Side
from kener_async.domain.alerts import Alert, AlertRule
from kener_async.domain.calendar import minute_of
from kener_async.domain.errors import Unavailable
from kener_async.domain.samples import Status
from kener_async.domain.states import MonitorState, MonitorStates
from kener_async.domain.timeline import Run
from kener_async.metrics import Metrics
from kener_async.store import evaluations
from kener_async.store.interface import Database
from kener_async.worker.alert_figures import AlertFigures
from kener_async.worker.alert_parents import CheckRunner, ParentChecks
from kener_async.worker.alert_streaks import EarlierStreaks
from kener_async.worker.states import StateLoader
from kener_async.worker.stop import StopToken

log = structlog.get_logger(__name__)

PACE = 0.25  # seconds: each monitor is looked at once in this time at most
LOOKED_AT_ONCE = 20  # monitors, before the loop gets a turn
STORED_AT_ONCE = 5  # monitors in a transaction, so that heartbeats need not wait for all
RETRY_SECONDS = 1.0  # after a look that failed


class AlertEvaluator:
    """Evaluate the alert rules of a plan. `on_notices` is called when there is something to tell."""

    def __init__(
        self,
        database: Database,
        states: MonitorStates,
        loader: StateLoader,
        figures: AlertFigures,
        clock: Clock,
        checks: CheckRunner,
        monotonic: Stopwatch,
        on_notices: Callable[[], None],
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._states = states
        self._loader = loader
        self._figures = figures
        self._checks = checks
        self._clock = clock
        self._on_notices = on_notices
        self._metrics = metrics
        self._plan = AlertPlan()
        self._earlier = EarlierStreaks(database)
        self._open: dict[int, Mapping[str, Alert]] = {}  # by monitor and rule
        self._is_begun = False  # whether those that still flap have been read
        self._unsettled: dict[int, Mapping[str, Alert]] = {}
        self._late: dict[int, int] = {}  # when a report of a backlog last came in, by monitor
        self._children: dict[int, set[int]] = {}
        self._good_latency: dict[int, float] = {}  # by monitor
        self._due: set[int] = set()  # monitors that changed, and could not be looked at yet
        self._minute: int | None = None  # the last one in which all were looked at
        self._wake = asyncio.Event()
        self._parent_checks = ParentChecks(checks, monotonic, self._wake.set)
        self._waiting: set[int] = set()  # monitors whose alerts wait for the checks of their parents
        self._lock = asyncio.Lock()

    def configure(self, plan: AlertPlan) -> None:
        """Put rules in force; they hold from the next look, and alerts of those that are gone are closed.

        Call it when the monitors of the plan are in force.
        """
        self._plan = plan
        self._children, self._good_latency = {}, {}
        watched = set[int]()
        for tag, monitor in plan.monitors.items():
            if (state := self._states.find(tag)) is None:
                continue
            watched.add(state.id)
            self._good_latency[state.id] = good_latency(monitor.rules)
            for parent in self._parents(monitor):
                self._children.setdefault(parent.id, set()).add(state.id)
        changes = self._states.changes
        changes.watched = frozenset(watched | self._children.keys())
        changes.signal = self._wake.set
        self._earlier.clear()
        self._late = {monitor: at for monitor, at in self._late.items() if monitor in watched}
        self._minute = None
        self._wake.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["AlertEvaluator"]:
        """Evaluate until left; then let the look under way end."""
        stop = StopToken()
        task = asyncio.create_task(self._run(stop), name="alerts")
        try:
            yield self
        finally:
            stop.set()
            self._wake.set()
            await task

    async def _run(self, stop: StopToken) -> None:
        while not stop.is_set:
            began, pause = monotonic(), PACE
            self._wake.clear()
            try:
                await self.look()
            except Unavailable:
                pause = RETRY_SECONDS  # logged by the store
            except Exception:
                log.exception("the evaluation of alert rules failed")
                pause = RETRY_SECONDS
            await stop.sleep(began + pause - monotonic())
            await self._next_change()

    async def _next_change(self) -> None:
        """Wait for a change or, while there are rules, a second: then a new minute may have begun."""
        is_idle = not self._plan.monitors and not self._open and not self._due
        with suppress(TimeoutError):
            async with asyncio.timeout(None if is_idle else 1):
                await self._wake.wait()

    async def look(self) -> None:
        """Evaluate the monitors that changed since the last look, and all of them once a minute.

        Raises Unavailable when nothing can be stored; they stay due.
        """
        async with self._lock:
            now = self._clock()
            if not self._is_begun:
                self._unsettled = dict(await self._database.read(evaluations.load_unsettled))
                self._is_begun = True
            self._note_changes(now)
            if minute_of(now) != self._minute:
                await self._begin_minute(now)
            due, self._due = self._due | self._waiting, set()
            self._waiting.clear()
            try:
                await self._evaluate(due)
            except BaseException:
                self._due |= due
                raise

    def _note_changes(self, now: int) -> None:
        taken = self._states.changes.take()
        self._late.update(
            {monitor: now for monitor, oldest in taken.reports.items() if is_late_report(oldest, now)}
        )
        self._earlier.forget(taken.monitors)
        self._earlier.note_reports(taken.samples)
        changed = taken.monitors | taken.reports.keys() | taken.checks.keys()
        for parent in changed & self._children.keys():
            changed |= self._children[parent]
        self._due |= changed

    async def _begin_minute(self, now: int) -> None:
        """Make all monitors due; what commands did to alerts is read again, and figures are compared."""
        self._open = dict(await self._database.read(evaluations.load_open))
        rules = {state: monitor.rules for state, monitor in self._monitors()}
        await self._compare_figures(rules)
        self._late = {monitor: at for monitor, at in self._late.items() if 0 <= now - at <= BACKLOG_SECONDS}
        by_id = {state.id: its_rules for state, its_rules in rules.items()}
        self._due |= by_id.keys() | self._without_rule({*self._open}, by_id)
        self._minute = minute_of(now)

    async def _compare_figures(self, rules: Mapping[MonitorState, Sequence[AlertRule]]) -> None:
        """Compare the figures; where that fails nothing is said of them, and other rules go on."""
        try:
            await self._figures.compare(rules, self._plan.zone)
        except Unavailable:
            raise
        except Exception:
            log.exception("the figures of alert rules could not be compared")
            self._figures.forget()

    def _without_rule(self, among: set[int], rules: Mapping[int, Sequence[AlertRule]]) -> set[int]:
        """Those monitors with an open alert whose rule is gone; `rules` are theirs, by monitor."""
        return {
            monitor
            for monitor in among & self._open.keys()
            if not self._open[monitor].keys() <= {rule.name for rule in rules.get(monitor, ())}
        }

    def _monitors(self) -> Iterable[tuple[MonitorState, MonitorRules]]:
        for tag, monitor in self._plan.monitors.items():
            if (state := self._states.find(tag)) is not None:
                yield state, monitor

    def _parents(self, monitor: MonitorRules) -> list[MonitorState]:
        found = [self._states.find(tag) for tag in monitor.parents]
        return [state for state in found if state is not None]

    async def _evaluate(self, due: set[int]) -> None:
        if due:
            with self._metrics.evaluation_seconds.time():
                await self._evaluate_some(due)

    async def _evaluate_some(self, due: set[int]) -> None:
        now = self._clock()
        monitors = [
            (state, monitor)
            for state, monitor in self._monitors()
            if state.id in due and not self._is_well(state, now)
        ]
        parents = [parent for _, monitor in monitors for parent in self._parents(monitor)]
        current = await self._loader.current([*dict.fromkeys([*(state for state, _ in monitors), *parents])])
        states = {state.id: state for state in current}
        now = self._clock()
        rules = {state.id: monitor.rules for state, monitor in monitors}
        gone = self._without_rule(due, rules)
        looks = [AlertLook(now, without_rules) for without_rules in sorted(gone - rules.keys())]
        for count, (state, monitor) in enumerate(monitors, start=1):
            try:
                if state.id in gone or await self._happens(states[state.id], monitor, states, now):
                    looks.append(self._look(state, monitor, now))
            except Unavailable:
                raise
            except Exception:  # it must not keep the others from being evaluated
                log.exception("the alert rules of a monitor could not be evaluated", monitor=state.tag)
            if count % LOOKED_AT_ONCE == 0:
                await asyncio.sleep(0)
        if looks:
            await self._store(looks, now)

    def _look(self, state: MonitorState, monitor: MonitorRules, now: int) -> AlertLook:
        return AlertLook(
            now,
            state.id,
            state.tag,
            monitor.name,
            monitor.category,
            monitor.rules,
            tuple(parent.id for parent in self._parents(monitor)),
            self._late.get(state.id),
            self._figures.of(state.id),
            self._failing_parents(monitor),
            self._parent_checks.is_waiting(state.id),
        )

    def _failing_parents(self, monitor: MonitorRules) -> frozenset[int]:
        """The parents whose check fails just now, and is about to be confirmed."""
        failing = [parent.id for parent in self._parents(monitor) if self._checks.is_failing(parent.tag)]
        return frozenset(failing)

    def _must_wait(
        self,
        state: MonitorState,
        monitor: MonitorRules,
        parents: Sequence[tuple[int, AlertStreak]],
        since: int,
    ) -> bool:
        """Whether an opening waits for checks of the parents, given with their streaks."""
        bad = {parent for parent, streak in parents if streak.side is Side.BAD}
        tags = {parent.tag: parent.id in bad for parent in self._parents(monitor)}
        if not self._parent_checks.must_wait(state.id, tags, since):
            return False
        self._waiting.add(state.id)
        return True

    async def _happens(
        self, state: MonitorState, monitor: MonitorRules, states: Mapping[int, MonitorState], now: int
    ) -> bool:
        """Whether an alert of the monitor would open, close, or be told of, as far as memory knows."""
        if is_in_maintenance(state.layers, now):
            return False
        minutes = state.measured(now)
        open_alerts = self._open.get(state.id, {})
        unsettled = self._unsettled.get(state.id, {})
        streaks: dict[str, AlertStreak] = {}
        for rule in monitor.rules:
            newest = open_alerts.get(rule.name) or unsettled.get(rule.name)
            streaks[rule.name] = await self._streak(state, rule, minutes, newest, now)
        for rule in monitor.rules:
            alert, flapping = open_alerts.get(rule.name), unsettled.get(rule.name)
            quiet = silenced_by(rule, monitor.rules, open_alerts, streaks, now) if open_alerts else None
            recent = [] if flapping is None else [flapping]
            context = AlertContext(now, self._late.get(state.id), silenced_by=quiet)
            event = decide(rule, streaks[rule.name], alert, recent, context)
            if monitor.parents and isinstance(event, AlertOpened | AlertTold):
                parents = await self._of_parents(rule, monitor, states, now)
                is_opening = isinstance(event, AlertOpened)
                if is_opening and self._must_wait(state, monitor, parents, streaks[rule.name].since):
                    continue
                said = said_by_parents(parents, self._failing_parents(monitor))
                context = AlertContext(now, self._late.get(state.id), False, *said, quiet)
                event = decide(rule, streaks[rule.name], alert, recent, context)
            if event is not None:
                return True
        if state.id not in self._waiting:
            self._parent_checks.forget(state.id)
        return False

    def _is_well(self, state: MonitorState, now: int) -> bool:
        """Whether nothing is open, and an UP of the current minute is good for all rules: nothing happens.

        So it is at nearly every look, of monitors that report many times in a minute. No incident, no group
        and nothing that has yet to be loaded may have a say.
        """
        if state.id in self._open or state.id in self._unsettled or self._states.is_stale(state, now):
            return False
        sample, layers = state.samples.get(minute_of(now)), state.layers
        if sample is None or sample.status is not Status.UP or layers.overlays or layers.related:
            return False
        figures = self._figures.of(state.id).values()
        is_good = sample.latency <= self._good_latency.get(state.id, -1)
        return is_good and not any(figure.side is Side.BAD for figure in figures)

    async def _streak(
        self, state: MonitorState, rule: AlertRule, minutes: Sequence[Run], newest: Alert | None, now: int
    ) -> AlertStreak:
        if isinstance(rule.condition, FigureCondition):
            return self._figures.of(state.id).get(rule.name, NO_STREAK)

        def needs(streak: AlertStreak, start: int) -> bool:
            return needs_earlier(rule, streak, start, newest, now)

        return await self._earlier.streak(state, rule.condition, minutes, newest, needs)

    async def _of_parents(
        self, rule: AlertRule, monitor: MonitorRules, states: Mapping[int, MonitorState], now: int
    ) -> list[tuple[int, AlertStreak]]:
        def needs(streak: AlertStreak, start: int) -> bool:
            return needs_earlier_of_parent(rule, streak, now)

        streaks: list[tuple[int, AlertStreak]] = []
        for parent in self._parents(monitor):
            state = states.get(parent.id, parent)
            minutes = state.measured(now)
            streak = await self._earlier.streak(state, PARENT_IS_BAD, minutes, None, needs)
            streaks.append((state.id, streak))
        return streaks

    async def _store(self, looks: Sequence[AlertLook], now: int) -> None:
        counted = self._count_bad(now)
        for first in range(0, len(looks), STORED_AT_ONCE):
            await self._store_some(looks[first : first + STORED_AT_ONCE], counted, now)

    async def _store_some(self, looks: Sequence[AlertLook], counted: tuple[int, int], now: int) -> None:
        """Decide in a transaction; where it fails, one monitor at a time, so that one stops no other."""
        try:
            done = await self._database.write(evaluations.evaluate, looks, self._plan, *counted, now)
        except Unavailable:
            raise
        except Exception:
            log.exception("alerts could not be evaluated", monitors=[look.tag for look in looks])
            if len(looks) > 1:
                for look in looks:
                    await self._store_some([look], counted, now)
            return
        for known, found in ((self._open, done.open), (self._unsettled, done.unsettled)):
            known.update({monitor: by_rule for monitor, by_rule in found.items() if by_rule})
            for monitor in [monitor for monitor, by_rule in found.items() if not by_rule]:
                known.pop(monitor, None)
        if done.incidents:
            self._states.note_incident_change()
        if done.notices:
            self._on_notices()

    def _count_bad(self, now: int) -> tuple[int, int]:
        """How many visible monitors are bad now, and how many there are."""
        known = [tag for tag in self._plan.visible if self._states.find(tag) is not None]
        return self._states.count_bad(known, now), len(known)
