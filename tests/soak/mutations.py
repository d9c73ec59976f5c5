"""Mutation tests: break one rule at a time in a copy, and run the random tests there.

    python -m tests.soak.mutations [part of a mutation's name ...]

Exits 1 when a mutation survives, 2 when the text of a mutation is not found.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("kener_async", "tests", "schema.sql", "config.toml", "pyproject.toml")
TESTS = ("tests/test_histories.py", "tests/test_timeline.py")
OF_ALERTS = ("tests/test_alert_histories.py",)
OF_THE_EVALUATOR = ("tests/test_alert_evaluator.py", "tests/test_alerts.py")
OF_EARLIER_STREAKS = ("tests/test_earlier_streaks.py",)
OF_DAY_SUMS = ("tests/test_day_sums.py",)
OF_DELIVERIES = ("tests/test_delivery_rules.py", "tests/test_deliveries.py")
HISTORIES = "150"
NUMBERS = {frozenset(OF_ALERTS): "1000", frozenset(OF_THE_EVALUATOR): "40"}  # of histories
SECONDS = 1200

# Failures are not made small: that they are found is enough. Nothing is remembered from run to run.
QUICK = """
from hypothesis import Phase, settings

settings.register_profile("quick", phases=[Phase.generate], database=None)
settings.load_profile("quick")
"""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A broken rule: in a file of the package, one text that must occur exactly once becomes another.

    One of the `tests` has to fail then.
    """

    name: str
    file: str
    text: str
    broken: str
    tests: tuple[str, ...] = TESTS

    def is_applicable(self, root: Path) -> bool:
        """Whether the text is there, once."""
        return self.source(root).count(self.text) == 1

    def source(self, root: Path) -> str:
        return (root / "kener_async" / self.file).read_text()


MUTATIONS = (
    Mutation(
        "maintenance minutes count as up",
        "domain/timeline.py",
        "minutes[Status.UP],",
        "minutes[Status.UP] + minutes[Status.MAINTENANCE],",
    ),
    Mutation(
        "maintenance minutes are counted",
        "domain/uptime.py",
        "return self.up + self.degraded + self.down",
        "return self.up + self.degraded + self.down + self.maintenance",
    ),
    Mutation(
        "degraded minutes never count as downtime",
        "domain/uptime.py",
        "return self.up + self.degraded - self.degraded_as_downtime",
        "return self.up + self.degraded",
    ),
    Mutation(
        "a sample marks nothing dirty",
        "store/samples.py",
        "        (counted if is_counted else new).append((monitor, quarter_of(first), end))",
        "        del is_counted",
    ),
    Mutation(
        "a late sample of a member marks no quarter of its groups",
        "store/samples.py",
        "        mark_with_followers(session, counted)",
        "        mark(session, counted)",
    ),
    Mutation(
        "a parent excuses nothing",
        "domain/timeline.py",
        "    if status is Status.DOWN and followed.is_excused_at(minute):",
        "    if status is Status.DOWN and minute < 0:",
    ),
    Mutation(
        "of several checks of a minute the last one stands",
        "domain/samples.py",
        "previous.status > check.status",
        "False",
    ),
    Mutation(
        "a check is held while the server is offline",
        "domain/timeline.py",
        "if is_check and is_in_gap(layers.offline, minute):",
        "if is_check and not layers.gaps:",
    ),
    Mutation(
        "a sample marks only its own quarter",
        "store/samples.py",
        "end = max(end, min(reach, counted_until))",
        "assert reach",
    ),
    Mutation(
        "a sample is taken to be in time a quarter too early",
        "store/samples.py",
        "if quarter_of(last) < counted_until]",
        "if quarter_of(last) + 2 * QUARTER < counted_until]",
    ),
    Mutation(
        "the last write of a minute loses",
        "store/sample_rows.py",
        "SET status = excluded.status, source",
        "SET source",
    ),
    Mutation(
        "a late sample does not replace one that is sealed",
        "store/samples.py",
        "merged = before | {row[1]: sample_of(row) for row in rows}",
        "merged = {row[1]: sample_of(row) for row in rows} | before",
    ),
    Mutation(
        "what comes in for a day that is being sealed is written to the rows that were packed",
        "store/samples.py",
        "late = [row for row in rows if row[1] < state.late_before]",
        "late = [row for row in rows if row[1] < state.hot_from]",
    ),
    Mutation(
        "a quarter is taken for marked before it has ended",
        "store/dirty.py",
        '"UPDATE service SET rolled_until = ?", (open_quarter,)',
        '"UPDATE service SET rolled_until = ?", (open_quarter + 900,)',
    ),
    Mutation(
        "counting a part of a marked span forgets the rest",
        "store/dirty.py",
        "remainders += [(monitor, end, last) for monitor, _, last in overlapping if last > end]",
        "assert end",
    ),
    Mutation(
        "an edit does not mark what the incident covered before",
        "store/incidents.py",
        "    incident_rows.mark(session, before)\n",
        "",
    ),
    Mutation(
        "an incident that is resolved early lasts until its end",
        "store/layers.py",
        'min(coalesce("end", closed_at), coalesce(closed_at, "end"))',
        'coalesce("end", closed_at)',
    ),
    Mutation(
        "a clock that is set back leaves its quarters counted",
        "store/observer.py",
        "rolled_until = min(rolled_until, ?)",
        "rolled_until = max(rolled_until, ?)",
    ),
    Mutation(
        "the sum of a day outlives a new count of its quarters",
        "store/quarters.py",
        "    _forget_days(session, monitors, start, end)\n",
        "",
    ),
    Mutation(
        "the sum of a day outlives a clock that is set back into it",
        "store/quarters.py",
        "(quarter - LONGEST_DAY, quarter)",
        "(quarter, quarter)",
        OF_DAY_SUMS,
    ),
    Mutation(
        "the sum of a day outlives the counts that are dropped of it",
        "store/quarters.py",
        "days WHERE monitor_id = ? AND start < ?",
        "days WHERE monitor_id = ? AND start > ?",
        OF_DAY_SUMS,
    ),
    Mutation(
        "gaps excuse nothing",
        "domain/timeline.py",
        "Reason.NOT_OBSERVED) for gap in layers.gaps]",
        "Reason.NOT_OBSERVED) for gap in layers.gaps[:0]]",
    ),
    Mutation(
        "an edited maintenance leaves the minutes after it as they were",
        "store/incident_rows.py",
        "    if incident.is_maintenance and end is not None:\n",
        "    if incident.is_maintenance and end is None:\n",
    ),
    Mutation(
        "a minute is down one minute early",
        "domain/timeline.py",
        "minute >= deadlines.down_at",
        "minute + MINUTE >= deadlines.down_at",
    ),
    Mutation(
        "an incident covers the minute that begins at its end",
        "domain/incidents.py",
        "(self.end <= minute or",
        "(self.end < minute or",
    ),
    Mutation(
        "the newest settings hold for all time",
        "domain/timeline.py",
        "if minute_of(version.since) <= minute:",
        "if version.since <= 2**40:",
    ),
    Mutation(
        "the monitor states do not take in new samples",
        "domain/states.py",
        "                state.add_sample(sample)",
        "                pass",
    ),
    Mutation(
        "a late sample leaves the monitor states as they are",
        "domain/states.py",
        "state.add_sample(sample)\n            else:\n                self._stale.add(state.id)",
        "state.add_sample(sample)",
    ),
    Mutation(
        "what is still to come in this minute is among the layers of now",
        "domain/timeline.py",
        "if overlay.start <= instant]",
        "if overlay.start]",
    ),
    Mutation(
        "a cut quarter at the start of a window counts as a whole",
        "store/rollups.py",
        "first = min(quarter_from(start), end)",
        "first = min(quarter_of(start), end)",
    ),
    Mutation(
        "a quarter with one excluded minute is not explained",
        "store/explanations.py",
        "up + degraded + down = ?",
        "up + degraded + down + 1 >= ?",
    ),
    Mutation(
        "an alert opens while a backlog is coming in",
        "domain/alert_decisions.py",
        "return 0 <= self.now - self.late_report_at <= BACKLOG_SECONDS",
        "return self.now - self.late_report_at < 0",
        OF_ALERTS,
    ),
    Mutation(
        "a backlog of before the clock was set back holds an alert",
        "domain/alert_decisions.py",
        "return 0 <= self.now - self.late_report_at",
        "return self.now - self.late_report_at",
        OF_ALERTS,
    ),
    Mutation(
        "an alert is told of in a maintenance or after our absence, before anything is known",
        "domain/alert_decisions.py",
        "if context.is_in_maintenance or not streak.speaks:",
        "if streak.side is None:",
        OF_ALERTS,
    ),
    Mutation(
        "a threshold counts on over a maintenance",
        "domain/alert_streaks.py",
        "if side is not self._side or self._is_cut:",
        "if side is not self._side:",
        OF_ALERTS,
    ),
    Mutation(
        "the time of an alert counts from the begin of the minute of a report",
        "domain/alert_streaks.py",
        "self._counted_from = start + MINUTE if said.is_sample or said.is_known_late else start",
        "self._counted_from = start",
        OF_ALERTS,
    ),
    Mutation(
        "a missed deadline opens no alert, for there is no report to count",
        "domain/alert_streaks.py",
        "self._is_uncounted = self._is_uncounted or said.is_uncounted",
        "self._is_uncounted = False",
        OF_ALERTS,
    ),
    Mutation(
        "an alert looks at what people say of an incident",
        "domain/timeline.py",
        "overlays=[overlay for overlay in self.overlays if overlay.maintenance]",
        "overlays=list(self.overlays)",
        OF_ALERTS,
    ),
    Mutation(
        "a silence that was not observed is no cut",
        "domain/alert_streaks.py",
        "is_in_gap(gaps, run.start):",
        "not gaps:",
        OF_ALERTS,
    ),
    Mutation(
        "an alert that never was is resolved",
        "domain/alert_decisions.py",
        "return Closing.RETRACTED if",
        "return Closing.RESOLVED if",
        OF_ALERTS,
    ),
    Mutation(
        "an alert closes without the reports that it waits for",
        "domain/alert_decisions.py",
        "_is_met(streak, rule.recover_after, rule.recover_count, now):",
        "_is_met(streak, rule.recover_after, 1, now):",
        OF_ALERTS,
    ),
    Mutation(
        "what is acknowledged once stays quiet in later outages",
        "domain/alert_decisions.py",
        "if alert.acknowledged_at is not None and since <= alert.acknowledged_at:",
        "if alert.acknowledged_at is not None:",
        OF_ALERTS,
    ),
    Mutation(
        "a snoozed alert is reminded of",
        "domain/alert_decisions.py",
        "if alert.acknowledged_at is not None or _is_snoozed(alert, now):",
        "if alert.acknowledged_at is not None:",
        OF_ALERTS,
    ),
    Mutation(
        "reminders that were missed in a maintenance are all told",
        "domain/alert_decisions.py",
        "last = max(instant for",
        "last = min(instant for",
        OF_ALERTS,
    ),
    Mutation(
        "a child is told of at once when its parent recovers",
        "domain/alert_decisions.py",
        "waited = now - max(streak.counted_from, context.parents_good_from)",
        "waited = now - streak.counted_from",
        OF_ALERTS,
    ),
    Mutation(
        "the fifth alert in an hour is flapping",
        "domain/alert_decisions.py",
        "FLAPPING_OPENINGS = 4",
        "FLAPPING_OPENINGS = 5",
        OF_ALERTS,
    ),
    Mutation(
        "a closing is told while it flaps",
        "domain/alert_decisions.py",
        "is_told = alert.told_at is not None and not is_flapping",
        "is_told = alert.told_at is not None or is_flapping",
        OF_ALERTS,
    ),
    Mutation(
        "flapping ends below a bad parent",
        "domain/alert_decisions.py",
        "context.bad_parent, is_flapping, context.silenced_by)",
        "context.bad_parent, False, context.silenced_by)",
        OF_ALERTS,
    ),
    Mutation(
        "after a restart fewer minutes are looked at than matter",
        "domain/alert_decisions.py",
        "return start > alert.since or not are_met",
        "return not are_met",
        OF_ALERTS,
    ),
    Mutation(
        "the evaluator does not notice a backlog",
        "worker/alerts.py",
        "for monitor, oldest in taken.reports.items() if is_late_report(oldest, now)}",
        "for monitor, oldest in taken.reports.items() if not oldest}",
        OF_THE_EVALUATOR,
    ),
    Mutation(
        "late reports leave the earlier streak as it was read",
        "worker/alerts.py",
        "        self._earlier.note_reports(taken.samples)\n",
        "",
        OF_EARLIER_STREAKS,
    ),
    Mutation(
        "other changes leave the earlier streak as it was read",
        "worker/alerts.py",
        "        self._earlier.forget(taken.monitors)\n",
        "",
        OF_EARLIER_STREAKS,
    ),
    Mutation(
        "the evaluator looks at a report in the next minute only",
        "worker/alerts.py",
        "taken.monitors | taken.reports.keys() | taken.checks.keys()",
        "taken.monitors",
        OF_THE_EVALUATOR,
    ),
    Mutation(
        "the evaluator looks at what only time changes when something else does",
        "worker/alerts.py",
        "if minute_of(now) != self._minute:",
        "if self._minute is None:",
        OF_THE_EVALUATOR,
    ),
    Mutation(
        "a sending that was interrupted is not told again",
        "domain/deliveries.py",
        "groups = [MessageGroup(interrupted, 0, is_interrupted=True)] if interrupted else []",
        "groups = []",
        OF_DELIVERIES,
    ),
    Mutation(
        "what was interrupted is told together with what is new, under another key",
        "domain/deliveries.py",
        "if groups and groups[0].is_interrupted:",
        "if groups and groups[0].is_retry:",
        OF_DELIVERIES,
    ),
    Mutation(
        "a closing is told besides the opening that could not be sent",
        "domain/deliveries.py",
        "        merges[closing.id] = merged\n",
        "        merges.pop(closing.id, merged)\n",
        OF_DELIVERIES,
    ),
    Mutation(
        "reminders are told after the closing that overtook them",
        "domain/deliveries.py",
        "            _drop(drops, OVERTAKEN, reminders)\n",
        "            list(reminders)\n",
        OF_DELIVERIES,
    ),
    Mutation(
        "a receiver that asks to wait is asked again at once",
        "domain/deliveries.py",
        "held_until = now + max(pause, min(retry_after or 0, LONGEST_RETRY_AFTER))",
        "held_until = now + pause",
        OF_DELIVERIES,
    ),
)


def main() -> int:
    wanted = sys.argv[1:] or [""]
    chosen = [one for one in MUTATIONS if any(part in one.name for part in wanted)]
    missing = [mutation for mutation in MUTATIONS if not mutation.is_applicable(ROOT)]
    for mutation in missing:
        print(f"{mutation.file}: not exactly once: {mutation.text!r}", file=sys.stderr)
    if missing:
        return 2
    survived = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        _copy(copy)
        if (caught := _caught_by(copy, {test for one in chosen for test in one.tests})) is not None:
            print(f"before anything is broken this fails: {caught}", file=sys.stderr)
            return 2
        for mutation in chosen:
            survived += not _report(mutation, copy)
    return 1 if survived else 0


def _report(mutation: Mutation, copy: Path) -> bool:
    source = mutation.source(copy)
    path = copy / "kener_async" / mutation.file
    started = monotonic()
    path.write_text(source.replace(mutation.text, mutation.broken))
    try:
        caught = _caught_by(copy, mutation.tests)
    finally:
        path.write_text(source)
    verdict = "SURVIVED" if caught is None else f"caught by {caught}"
    print(f"{mutation.name:<62} {verdict} ({monotonic() - started:.0f} s)", flush=True)
    return caught is not None


def _copy(folder: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    with (folder / "tests/conftest.py").open("a") as file:
        file.write(QUICK)


def _caught_by(copy: Path, tests: Iterable[str]) -> str | None:
    """The first test that fails there; None when all pass."""
    histories = NUMBERS.get(frozenset(tests), HISTORIES)
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--hypothesis-seed=0", *sorted(tests)],
        cwd=copy,
        env=os.environ | {"KENER_HISTORIES": histories, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return None
    failed = re.search(r"^FAILED tests/(.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode != 1 or failed is None:
        raise RuntimeError(f"the tests did not run:\n{done.stdout}{done.stderr}")
    return failed[1]


if __name__ == "__main__":
    sys.exit(main())
