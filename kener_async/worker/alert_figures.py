"""Figures that alert rules compare: uptimes, how fast error budgets are used, ends of certificates."""

from collections.abc import Mapping, Sequence
from zoneinfo import ZoneInfo

from kener_async.clock import Clock
from kener_async.domain.alert_figures import burn_side, certificate_side, figure_streak, uptime_side
from kener_async.domain.alert_streaks import NO_STREAK, AlertStreak, Side
from kener_async.domain.alerts import AlertRule, BurnRate, CertificateWithin, UptimeBelow
from kener_async.domain.calendar import minute_end
from kener_async.domain.certificates import ends_at
from kener_async.domain.states import MonitorState
from kener_async.store import certificates, rollups
from kener_async.store.interface import Database
from kener_async.worker.overviews import Overviews

Rules = Mapping[MonitorState, Sequence[AlertRule]]
Said = list[tuple[MonitorState, AlertRule, Side | None]]


class AlertFigures:
    """The streaks of rules about figures, from the first look on; they begin anew with a restart."""

    def __init__(self, database: Database, overviews: Overviews, clock: Clock) -> None:
        self._database = database
        self._overviews = overviews
        self._clock = clock
        self._streaks: dict[int, dict[str, AlertStreak]] = {}

    def of(self, monitor: int) -> Mapping[str, AlertStreak]:
        """The streaks of a monitor's rules about figures, by the name of the rule."""
        return self._streaks.get(monitor, {})

    def forget(self) -> None:
        """Begin all streaks anew."""
        self._streaks = {}

    async def compare(self, rules: Rules, zone: ZoneInfo) -> None:
        """Compare the figures of these monitors with their rules; those of others are dropped."""
        said = [
            *await self._uptimes(rules, zone),
            *await self._burn_rates(rules),
            *await self._certificates(rules),
        ]
        before, self._streaks = self._streaks, {}
        now = self._clock()
        for state, rule, side in said:
            streak = before.get(state.id, {}).get(rule.name, NO_STREAK)
            self._streaks.setdefault(state.id, {})[rule.name] = figure_streak(side, now, streak)

    async def _uptimes(self, rules: Rules, zone: ZoneInfo) -> Said:
        asked = _about(rules, UptimeBelow)
        if not asked:
            return []
        states = list(asked)
        overviews = await self._overviews.of(states, zone)
        return [
            (state, rule, uptime_side(rule.condition, overview.windows[rule.condition.window]))
            for state, overview in zip(states, overviews, strict=True)
            for rule in asked[state]
            if isinstance(rule.condition, UptimeBelow)
        ]

    async def _burn_rates(self, rules: Rules) -> Said:
        said: Said = []
        now = self._clock()
        end = minute_end(now)
        for state, some in _about(rules, BurnRate).items():
            for rule in some:
                if isinstance(rule.condition, BurnRate):
                    lengths = (rule.condition.long, rule.condition.short)
                    windows = [(end - length, end) for length in lengths]
                    long, short = [
                        await self._database.read(rollups.count_window, state.id, window, now)
                        for window in windows
                    ]
                    said.append((state, rule, burn_side(rule.condition, long, short)))
        return said

    async def _certificates(self, rules: Rules) -> Said:
        asked = _about(rules, CertificateWithin)
        if not asked:
            return []
        now = self._clock()
        seen = await self._database.read(certificates.of, [state.id for state in asked])
        return [
            (state, rule, certificate_side(rule.condition, ends_at(seen.get(state.id, ())), now))
            for state, some in asked.items()
            for rule in some
            if isinstance(rule.condition, CertificateWithin)
        ]


def _about(
    rules: Rules, condition: type[UptimeBelow] | type[BurnRate] | type[CertificateWithin]
) -> dict[MonitorState, list[AlertRule]]:
    """The rules with a condition of this kind, by monitor, and only those monitors."""
    chosen = {
        state: [rule for rule in some if isinstance(rule.condition, condition)]
        for state, some in rules.items()
    }
    return {state: some for state, some in chosen.items() if some}
