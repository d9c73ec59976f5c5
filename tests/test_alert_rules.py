"""The rule of alerts: each sentence of docs/alerts.md by example, and what other tools got wrong."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kener_async.domain.alert_decisions import (
    AlertClosed,
    AlertContext,
    AlertEvent,
    AlertOpened,
    AlertSettled,
    changed,
    decide,
    is_late_report,
    needs_earlier,
    notice_of,
    opened_alert,
    removed,
    silencer,
)
from kener_async.domain.alert_figures import burn_side, figure_streak, uptime_side
from kener_async.domain.alert_looks import good_latency
from kener_async.domain.alert_streaks import (
    NO_STREAK,
    AlertStreak,
    Side,
    StreakCondition,
    measured_runs,
    side_of,
    streak_of,
)
from kener_async.domain.alerts import Alert, AlertRule, BurnRate, Closing, LatencyAbove, StatusIs, UptimeBelow
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.heartbeats import EveryInterval, Gap, MonitorSettings, OnChange, Version, merged
from kener_async.domain.hours import Hours
from kener_async.domain.incidents import Overlay
from kener_async.domain.notices import NoticeKind
from kener_async.domain.samples import Sample, Status
from kener_async.domain.timeline import Layers, Reason, Run
from kener_async.domain.uptime import Counts

T = 1_730_419_200  # midnight
UP = Status.UP
DEGRADED: Final = Status.DEGRADED
DOWN: Final = Status.DOWN
NO_DATA: Final = Status.NO_DATA
LETTERS = {"U": UP, "d": DEGRADED, "D": DOWN, "m": DOWN}

PLAIN = MonitorSettings()
# After a sample in minute 0: held to minute 2, DEGRADED in 3 and 4, DOWN from 5 on.
BEAT = MonitorSettings(expectation=EveryInterval(interval=60, grace=60, down_after=240))


IS_DOWN = StatusIs(DOWN)


def rule(condition=IS_DOWN, **values) -> AlertRule:
    return AlertRule("outage", condition, **values)


@dataclass
class Watch:
    """One monitor under one rule, as an evaluator keeps it; `log` has what was told, or happened quietly."""

    rule: AlertRule
    settings: MonitorSettings = PLAIN
    log: list[str] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    samples: dict[int, Sample] = field(default_factory=dict)
    overlays: list[Overlay] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    late_report_at: int | None = None

    def report(self, at: int, status: Status, minute: int | None = None, latency: float = 0.5) -> None:
        """A report that comes in at T + `at`, about the minute of then or another one; then a look."""
        minute = T + (at if minute is None else minute)
        minute -= minute % MINUTE
        self.samples[minute] = Sample(1, minute, status, latency)
        if is_late_report(minute, T + at):
            self.late_report_at = T + at
        self.look(at)

    @property
    def open(self) -> Alert | None:
        return next((alert for alert in self.alerts if alert.closed_at is None), None)

    def streak(self, at: int) -> AlertStreak:
        layers = Layers(
            self.samples, None, self.overlays, [Version(T - DAY, self.settings)], merged(self.gaps)
        )
        condition = self.rule.condition
        assert isinstance(condition, StreakCondition)
        return streak_of(condition, layers, measured_runs(layers, T - HOUR, T + at))

    def look(self, at: int, **context) -> None:
        """Decide at T + `at` until nothing more happens."""
        while event := self.decide(at, **context):
            kind = notice_of(event)
            quiet = "opened quietly" if isinstance(event, AlertOpened) else "closed quietly"
            self.log.append(f"{at // 60}:{at % 60:02} {quiet if kind is None else kind.name.lower()}")
            if isinstance(event, AlertOpened):
                self.alerts.append(opened_alert(event, len(self.alerts) + 1, 7, self.rule, T + at))
                continue
            alert = event.alert if isinstance(event, AlertSettled) else self.open
            assert alert is not None
            self.alerts[alert.id - 1] = changed(self.alerts[alert.id - 1], event, T + at)

    def decide(self, at: int, **context) -> AlertEvent | None:
        closed = [alert for alert in self.alerts if alert.closed_at is not None]
        known = AlertContext(T + at, late_report_at=self.late_report_at, **context)
        return decide(self.rule, self.streak(at), self.open, closed, known)

    def draw(self, drawing: str, start: int = 0) -> "Watch":
        """One letter a minute: a report 5 s into it, `.` none, `g` the server is away.

        M is a maintenance, m one in which DOWN is reported.
        """
        for place, letter in enumerate(drawing, start):
            at = place * MINUTE
            if letter == "g":
                self.gaps.append(Gap(T + at, T + at + MINUTE))
                continue
            if letter in "Mm":
                self.overlays.append(Overlay(place, T + at, T + at + MINUTE, None, maintenance=True))
            self.look(at)
            if letter in LETTERS:
                self.report(at + 5, LETTERS[letter])
        return self


STORIES = [
    # Opening
    ("a report of DOWN opens at once", {}, "UUD", ["2:05 opened"]),
    ("DEGRADED is not DOWN", {}, "Udd", []),
    ("a rule for DEGRADED opens at it", {"condition": StatusIs(DEGRADED)}, "Ud", ["1:05 opened"]),
    ("and at what is worse", {"condition": StatusIs(DEGRADED)}, "UD", ["1:05 opened"]),
    ("it opens once", {}, "DDDDDD", ["0:05 opened"]),
    ("time counts from the end of the minute of a report", {"after": 120}, "DDDDD", ["3:00 opened"]),
    ("a count is of reports", {"count": 3}, "DD..D", ["4:05 opened"]),
    ("time and count must both be met", {"after": 60, "count": 4}, "DDDDDD", ["3:05 opened"]),
    ("time alone, for senders of changes", {"after": 180, "count": 0}, "D.....", ["4:00 opened"]),
    ("the other side begins anew", {"count": 2}, "DUDUDD", ["5:05 opened"]),
    ("minutes without a report interrupt nothing", {"count": 3}, "D.D..D", ["5:05 opened"]),
    # Closing
    ("a report of UP resolves at once", {}, "DDU", ["0:05 opened", "2:05 resolved"]),
    ("recovery counts reports", {"recover_count": 3}, "DUUDUUU", ["0:05 opened", "6:05 resolved"]),
    ("recovery takes time", {"recover_after": 120}, "DUUUUU", ["0:05 opened", "4:00 resolved"]),
    ("DEGRADED is good for a rule of DOWN", {}, "Dd", ["0:05 opened", "1:05 resolved"]),
    # Maintenance
    ("nothing is told in a maintenance", {}, "UMmmmmMU", []),
    ("an outage after a maintenance is one", {}, "UMMD", ["3:05 opened"]),
    ("thresholds count from the end of a maintenance", {"after": 120}, "DMMDDDD", ["6:00 opened"]),
    ("counts begin anew after a maintenance", {"count": 2}, "DMDD", ["3:05 opened"]),
    ("down before and after a maintenance is told once", {}, "DMMMDDD", ["0:05 opened"]),
    ("recovered in a maintenance is told after it", {}, "DMMMU", ["0:05 opened", "4:05 resolved"]),
    ("what was quiet in a maintenance stays open", {}, "DMMM...", ["0:05 opened"]),
    # Absence of the server
    ("down before and after our absence is told once", {}, "DgggDD", ["0:05 opened"]),
    ("recovered in our absence is told afterwards", {}, "DgggU", ["0:05 opened", "4:05 resolved"]),
    ("thresholds count from the end of our absence", {"after": 120}, "DDgggDDDD", ["8:00 opened"]),
]


@pytest.mark.parametrize(
    ("values", "drawing", "expected"), [row[1:] for row in STORIES], ids=[row[0] for row in STORIES]
)
def test_stories(values, drawing, expected):
    assert Watch(rule(**values)).draw(drawing).log == expected


SILENCES = [
    ("a missed deadline meets a count: no report can be counted", {}, "U.......", ["5:00 opened"]),
    ("the time of a missed deadline counts from it", {"after": 120}, "U.......", ["7:00 opened"]),
    ("late is DEGRADED", {"condition": StatusIs(DEGRADED)}, "U.......", ["3:00 opened"]),
    ("silence after DOWN stays DOWN", {"after": 300, "count": 0}, "D.......", ["6:00 opened"]),
    ("a report after silence resolves", {}, "U......U", ["5:00 opened", "7:05 resolved"]),
    ("a report within the grace keeps still", {}, "U..U..U..U", []),
    ("a maintenance puts the deadline off", {}, "U.MMM...", []),
    ("our absence puts the deadline off", {}, "U.ggg...", []),
    ("and then it is missed", {}, "U.ggg.....", ["9:00 opened"]),
]


@pytest.mark.parametrize(
    ("values", "drawing", "expected"), [row[1:] for row in SILENCES], ids=[row[0] for row in SILENCES]
)
def test_missed_deadlines(values, drawing, expected):
    assert Watch(rule(**values), BEAT).draw(drawing).log == expected


class TestWhatIsLookedAt:
    def test_incidents_have_no_say(self):
        watch = Watch(rule())
        watch.overlays.append(Overlay(1, T, None, DOWN, maintenance=False))
        assert watch.draw("UUU").log == []
        watch.overlays.append(Overlay(2, T, None, DEGRADED, maintenance=False))
        assert watch.draw("D", 3).log == ["3:05 opened"]

    def test_since_is_the_begin_of_the_whole_streak_cuts_or_not(self):
        watch = Watch(rule(after=180, count=0)).draw("UD.MgD...")
        streak = watch.streak(8 * 60)
        assert (streak.since, streak.counted_from) == (T + 60, T + 6 * 60)
        assert watch.draw(".", 9).alerts[0].since == T + 60

    def test_a_cut_as_the_newest_word_says_nothing(self):
        assert not Watch(rule()).draw("DM...").streak(5 * 60).speaks
        assert Watch(rule()).draw("DM..U").streak(5 * 60).speaks

    def test_a_gap_in_which_a_report_came_in_later_is_known(self):
        watch = Watch(rule()).draw("UgU")
        watch.samples[T + 60] = Sample(1, T + 60, DOWN, 0.5)
        assert watch.streak(150).since == T + 120

    def test_a_latency_above_a_limit_is_bad_and_so_is_down(self):
        watch = Watch(rule(LatencyAbove(0.8)))
        watch.report(5, UP, latency=0.8)
        watch.report(65, UP, latency=0.81)
        watch.report(125, DOWN, latency=0)
        watch.report(185, UP, latency=0.1)
        assert watch.log == ["1:05 opened", "3:05 resolved"]

    def test_a_held_report_holds_its_latency(self):
        watch = Watch(rule(LatencyAbove(0.8), after=120), BEAT)
        watch.report(5, UP, latency=1)
        watch.look(120)
        assert watch.streak(120).side is Side.BAD

    @pytest.mark.parametrize(
        ("drawing", "expected"),
        [
            ("U.....", ["4:00 opened"]),
            ("U.....D", ["4:00 opened", "6:05 resolved"]),
            ("U..M..", []),
            ("U..gg..", []),
        ],
    )
    def test_no_data_is_bad_for_its_rule(self, drawing, expected):
        watch = Watch(rule(StatusIs(NO_DATA), after=180, count=0), samples={T - 60: Sample(1, T - 60, UP, 1)})
        assert watch.draw(drawing).log == expected

    def test_a_monitor_is_not_missed_before_it_is_known(self):
        layers = Layers({}, None, (), [Version(T, PLAIN)], ())
        streak = streak_of(StatusIs(NO_DATA), layers, measured_runs(layers, T - HOUR, T + 600))
        assert (streak.side, streak.since) == (Side.BAD, T)


CONDITIONS = st.one_of(
    st.builds(StatusIs, st.sampled_from([DEGRADED, DOWN, Status.NO_DATA])),
    st.builds(LatencyAbove, st.floats(0, 3)),
)


@given(st.lists(CONDITIONS, max_size=3), st.floats(0, 3))
def test_an_up_within_the_good_latency_is_good_for_all_rules_and_a_slower_one_is_not(conditions, latency):
    limit = good_latency([AlertRule(f"rule {place}", each) for place, each in enumerate(conditions)])
    run, sample = Run(T, T + MINUTE, UP, Reason.SAMPLE), Sample(1, T, UP, latency)
    sides = {side_of(each, run, sample) for each in conditions}
    assert (latency <= limit) is (sides <= {Side.GOOD})


class TestThePresentOnly:
    def test_an_outage_that_is_over_when_it_becomes_known_is_history(self):
        watch = Watch(rule()).draw("U........")
        for minute, status in ((1, DOWN), (2, DOWN), (3, DOWN), (4, UP)):
            watch.report(541 + minute, status, minute * MINUTE)
        watch.look(1000)
        assert watch.log == []

    def test_nothing_opens_while_a_backlog_is_coming_in(self):
        watch = Watch(rule()).draw("U.........")
        watch.report(600, DOWN, 60)
        watch.look(630)
        assert watch.log == []
        watch.look(631)
        assert watch.log == ["10:31 opened"]

    def test_a_report_for_the_minute_before_is_no_backlog(self):
        assert not is_late_report(T, T + 120)
        assert is_late_report(T, T + 121)

    def test_an_alert_closes_while_a_backlog_is_coming_in(self):
        watch = Watch(rule()).draw("D....")
        watch.report(300, UP, 60)
        assert watch.log == ["0:05 opened", "5:00 resolved"]

    def test_a_backlog_of_up_retracts_what_silence_opened(self):
        watch = Watch(rule(), BEAT).draw("U.....")
        for minute in range(1, 6):
            watch.report(330, UP, minute * MINUTE)
        assert watch.log == ["5:00 opened", "5:30 retracted"]

    def test_a_clock_set_back_during_a_backlog_does_not_hold_openings_until_it_catches_up(self):
        watch = Watch(rule(), late_report_at=T + DAY)
        watch.report(5, DOWN)
        assert watch.log == ["0:05 opened"]

    def test_of_what_was_never_bad_no_time_is_told(self):
        watch = Watch(rule(), BEAT).draw("U.....")
        for minute in range(1, 6):
            watch.report(330, UP, minute * MINUTE)
        assert (watch.alerts[0].since, watch.alerts[0].until) == (T + 300, T + 300)

    def test_a_maintenance_written_down_later_retracts(self):
        watch = Watch(rule()).draw("UD")
        watch.overlays.append(Overlay(1, T, T + 120, None, maintenance=True))
        assert watch.draw("U", 2).log == ["1:05 opened", "2:05 retracted"]

    def test_an_alert_is_resolved_from_its_begin_to_the_begin_of_the_good_streak(self):
        (alert,) = Watch(rule(recover_after=120)).draw("UDDUUUU").alerts
        assert (alert.since, alert.until, alert.closed_at) == (T + 60, T + 180, T + 360)
        assert alert.closing is Closing.RESOLVED


class TestReminders:
    def test_they_come_while_it_is_open_and_bad(self):
        watch = Watch(rule(remind_every=120)).draw("DDDDDDU")
        assert watch.log == ["0:05 opened", "2:05 reminded", "4:05 reminded", "6:05 resolved"]

    def test_no_more_than_are_allowed(self):
        watch = Watch(rule(remind_every=60, remind_times=2)).draw("DDDDDD")
        assert watch.log == ["0:05 opened", "1:05 reminded", "2:05 reminded"]

    def test_those_missed_in_a_maintenance_or_in_our_absence_are_one(self):
        watch = Watch(rule(remind_every=60)).draw("DMMMMD")
        assert watch.log == ["0:05 opened", "5:05 reminded"]
        watch = Watch(rule(remind_every=60)).draw("DggggD")
        assert watch.log == ["0:05 opened", "5:05 reminded"]

    def test_none_while_it_recovers(self):
        watch = Watch(rule(remind_every=60, recover_after=600)).draw("DUUUUU")
        assert watch.log == ["0:05 opened"]

    def test_an_acknowledged_alert_is_not_told_again(self):
        watch = Watch(rule(remind_every=60)).draw("D")
        watch.alerts[0] = replace(watch.alerts[0], acknowledged_at=T + 10)
        assert watch.draw("DDDU", 1).log == ["0:05 opened", "4:05 resolved"]

    def test_a_snoozed_one_is_reminded_of_again_after_it(self):
        watch = Watch(rule(remind_every=60)).draw("D")
        watch.alerts[0] = replace(watch.alerts[0], snoozed_until=T + 185)
        assert watch.draw("DDDD", 1).log == ["0:05 opened", "3:05 reminded", "4:05 reminded"]


class TestParents:
    def test_below_a_bad_parent_it_opens_quietly_and_says_why(self):
        watch = Watch(rule())
        watch.samples[T] = Sample(1, T, DOWN, 0.5)
        watch.look(5, bad_parent=3, parents_good_from=None)
        assert watch.log == ["0:05 opened quietly"]
        assert watch.alerts[0].because == 3

    @pytest.mark.parametrize(("after", "told"), [(0, "5:00 opened"), (120, "7:00 opened")])
    def test_still_bad_when_the_parent_is_good_again_it_is_told(self, after, told):
        watch = Watch(rule(after=after, count=0))
        watch.samples[T] = Sample(1, T, DOWN, 0.5)
        watch.look(180, bad_parent=3, parents_good_from=None)
        watch.look(240, parents_good_from=None)  # nothing is known of the parent
        for at in (300, 360, 420):
            watch.look(at, parents_good_from=T + 300)
        assert watch.log == ["3:00 opened quietly", told]

    def test_recovered_with_its_parent_nobody_hears_of_it(self):
        watch = Watch(rule())
        watch.samples[T] = Sample(1, T, DOWN, 0.5)
        watch.look(5, bad_parent=3, parents_good_from=None)
        watch.report(65, UP)
        assert watch.log == ["0:05 opened quietly", "1:05 closed quietly"]


class TestAcknowledged:
    alert = Alert(
        9, 7, "late", rule().severity, T, T + 5, T + 5, acknowledged_at=T + 70, acknowledged_by="Ada"
    )
    streak = AlertStreak(Side.BAD, T, T + 300, T + 60)
    late = AlertRule("late", StatusIs(DEGRADED))

    def test_rules_that_open_later_in_the_same_streak_open_quietly(self):
        watch = Watch(rule(remind_every=60))
        watch.samples[T + 120] = Sample(1, T + 120, DOWN, 0.5)
        silenced_by = silencer([(self.late, self.alert, self.streak)], T + 130)
        for at in (130, 300):
            watch.look(at, silenced_by=silenced_by)
        assert watch.log == ["2:10 opened quietly"]
        assert (watch.alerts[0].acknowledged_at, watch.alerts[0].acknowledged_by) == (T + 70, "Ada")

    def test_another_streak_is_told(self):
        assert silencer([(self.late, self.alert, replace(self.streak, since=T + 120))], T + 130) is None
        assert silencer([(self.late, self.alert, replace(self.streak, side=Side.GOOD))], T + 130) is None

    def test_a_snooze_ends_and_then_it_is_told(self):
        alert = replace(self.alert, acknowledged_at=None, snoozed_until=T + 200)
        pairs = [(self.late, alert, self.streak)]
        watch = Watch(rule())
        watch.samples[T + 120] = Sample(1, T + 120, DOWN, 0.5)
        for at in (130, 199, 200):
            watch.look(at, silenced_by=silencer(pairs, T + at))
        assert watch.log == ["2:10 opened quietly", "3:20 opened"]

    def test_a_low_uptime_that_is_known_hides_no_outage(self):
        low = AlertRule("objective", UptimeBelow(99.9, "30d", 99.9))
        assert silencer([(low, self.alert, self.streak)], T + 130) is None


class TestFlapping:
    def test_the_fourth_in_an_hour_is_told_as_flapping_and_then_nothing_until_it_settled(self):
        watch = Watch(rule()).draw("DUDUDUDUDUDU" + 16 * "U")
        assert watch.log[:7] == [
            *("0:05 opened", "1:05 resolved", "2:05 opened", "3:05 resolved"),
            *("4:05 opened", "5:05 resolved", "6:05 flapping"),
        ]
        assert [line for line in watch.log[7:] if "quietly" not in line] == ["27:00 settled"]

    def test_it_may_settle_at_down_and_is_then_an_alert_as_any_other(self):
        watch = Watch(rule(remind_every=600)).draw("DUDUDUDUD" + 26 * "D" + "U")
        assert [line for line in watch.log[7:] if "quietly" not in line] == [
            *("24:00 settled", "34:00 reminded", "35:05 resolved"),
        ]

    def test_the_message_says_how_often(self):
        watch = Watch(rule(flap_quiet=60)).draw("DUDUDUDUDUDU")
        assert watch.decide(780) == AlertSettled(watch.alerts[-1], Side.GOOD, 6)

    def test_an_alert_that_was_removed_is_no_change_of_its_monitor(self):
        watch = Watch(rule(flap_quiet=60)).draw("DUDUDUD")
        assert watch.alerts[-1].is_flapping
        watch.alerts[-1] = replace(watch.alerts[-1], closed_at=T + 420, closing=Closing.REMOVED)
        watch.draw("UU", 7)
        assert watch.decide(600) == AlertSettled(watch.alerts[-1], Side.GOOD, 3)  # opened, opened, resolved

    def test_three_in_an_hour_are_three(self):
        watch = Watch(rule()).draw("DUDUDU" + 60 * "U" + "DU")
        assert [line.split()[1] for line in watch.log] == 4 * ["opened", "resolved"]

    def test_it_goes_on_below_a_bad_parent(self):
        watch = Watch(rule()).draw("DUDUDUDU")
        watch.samples[T + 480] = Sample(1, T + 480, DOWN, 0.5)
        watch.look(485, bad_parent=3, parents_good_from=None)
        watch.draw("U" + 16 * "U", 9)
        assert [line for line in watch.log[7:] if "quietly" not in line] == ["25:00 settled"]

    def test_a_rule_can_do_without(self):
        watch = Watch(rule(flapping=False)).draw(6 * "DU")
        assert [line.split()[1] for line in watch.log] == 6 * ["opened", "resolved"]

    def test_a_cut_does_not_count_as_quiet(self):
        watch = Watch(rule()).draw("DUDUDUDU" + 10 * "M" + 10 * "U")
        assert "settled" not in " ".join(watch.log)

    @pytest.mark.parametrize("up_before", [0, 60])
    @pytest.mark.parametrize(("every", "first"), [(18, 0), (10, 10), (15, 20), (20, 0), (30, 10), (30, 40)])
    def test_changes_of_an_hour_also_of_which_a_minute_shows_the_last_only(self, every, first, up_before):
        watch = Watch(rule())
        for minute in range(-up_before, 0):
            watch.report(minute * MINUTE, UP)
        for change, at in enumerate(range(first, HOUR, every)):
            watch.report(at, UP if change % 2 else DOWN)
        for minute in range(60, 90):
            watch.report(minute * MINUTE, UP)
        told = [line.split()[1] for line in watch.log if "quietly" not in line]
        openings = [word for word in told if word in ("opened", "flapping")]
        assert openings == ["opened", "opened", "opened", "flapping"]
        assert told[told.index("flapping") + 1 :] == ["settled"]
        assert len(told) == len(openings) + 3 + 1  # each of the first three also ended

    @pytest.mark.parametrize("ahead", [0, DAY])
    def test_it_settles_when_the_clock_was_set_back_after_the_last_change(self, ahead):
        watch = Watch(rule()).draw("DUDUDUDU")
        closed = watch.alerts[-1]
        watch.alerts[-1] = replace(closed, closed_at=closed.closed_at + ahead)
        watch.draw(17 * "U", 8)
        assert watch.log[-1].endswith("settled")


class TestOthersMistakes:
    """What users of other tools complain of, by what happened to them."""

    def test_up_again_after_a_maintenance_is_told_when_it_was_down_before(self):
        assert Watch(rule()).draw("UDDMMMUU").log == ["1:05 opened", "6:05 resolved"]

    def test_down_after_a_maintenance_is_not_told_again_when_it_was_down_before(self):
        assert Watch(rule()).draw("UDDMMMDD").log == ["1:05 opened"]

    def test_going_up_at_the_end_of_a_maintenance_is_not_told_when_it_was_up_before(self):
        assert Watch(rule()).draw("UUUMMMUU").log == []

    def test_a_device_that_is_off_in_a_maintenance_has_time_to_come_back(self):
        assert Watch(rule(after=300, count=0), BEAT).draw("UMMMMMMM....U").log == []

    def test_a_restart_does_not_repeat_what_is_down(self):
        assert Watch(rule(), BEAT).draw("UDDggDDgD").log == ["1:05 opened"]

    def test_a_restart_does_not_take_a_sender_for_missing(self):
        assert Watch(rule(), BEAT).draw("UUgggggggg..U").log == []

    def test_a_recovery_during_a_restart_reaches_the_pager(self):
        assert Watch(rule()).draw("UDggggUU").log == ["1:05 opened", "6:05 resolved"]

    def test_a_maintenance_holds_for_pushed_reports_also(self):
        assert Watch(rule()).draw("UmMmMmmU").log == []

    def test_our_absence_after_a_sender_of_changes_became_stale_is_a_cut(self):
        changes = MonitorSettings(expectation=OnChange(stale_after=120))
        drawing = "D...ggggggg" + 10 * "."
        assert Watch(rule(after=600, count=0), changes).draw(drawing).log == []

    def test_a_sender_of_changes_meets_a_threshold_of_time(self):
        assert Watch(rule(after=600, count=0)).draw("D" + 11 * ".").log == ["11:00 opened"]

    def test_a_single_blip_pages_nobody_with_a_threshold(self):
        assert Watch(rule(after=60)).draw("UDUUDU").log == []


class TestClock:
    def test_instants_ahead_of_a_clock_that_was_set_back_are_read_as_now(self):
        ahead = Alert(1, 7, "outage", rule().severity, T + HOUR, T + HOUR, T + HOUR)
        watch = Watch(rule(remind_every=60), alerts=[ahead], samples={T: Sample(1, T, DOWN, 0.5)})
        watch.look(5)
        assert watch.log == []
        watch.report(65, UP)
        assert watch.log == ["1:05 retracted"]

    def test_a_step_ahead_is_a_cut(self):
        assert Watch(rule(after=120)).draw("UD" + 20 * "g" + "D").log == []


class TestFigures:
    condition = UptimeBelow(99.9, "30d", 99.95)

    @pytest.mark.parametrize(
        ("good", "counted", "side"),
        [
            (9989, 10_000, Side.BAD),
            (9990, 10_000, None),
            (9994, 10_000, None),
            (9995, 10_000, Side.GOOD),
            (0, 0, None),
        ],
    )
    def test_uptime_compares_the_published_figure(self, good, counted, side):
        assert uptime_side(self.condition, Counts(up=good, down=counted - good)) is side

    @pytest.mark.parametrize(
        ("long", "short", "side"),
        [
            (Counts(up=59, down=1), Counts(up=4, down=1), Side.BAD),  # 16.7 and 200 times 0.1 %
            (Counts(up=59, down=1), Counts(up=5), Side.GOOD),
            (Counts(up=60), Counts(up=4, down=1), Side.GOOD),
            (Counts(up=59, degraded=1, degraded_as_downtime=1), Counts(down=5), Side.BAD),
            (Counts(up=59, down=1), Counts(), None),
            (Counts(up=60), Counts(), Side.GOOD),
            (Counts(), Counts(), None),
        ],
    )
    def test_a_budget_must_burn_in_both_windows(self, long, short, side):
        assert burn_side(BurnRate(14.4, 99.9, 3600, 300), long, short) is side

    def test_nothing_burns_a_budget_of_nothing(self):
        assert burn_side(BurnRate(1, 100, 3600, 300), Counts(up=60), Counts(up=5)) is Side.GOOD

    def test_time_counts_from_the_look_that_first_saw_it(self):
        watched = rule(self.condition, after=120)
        streak, opened = NO_STREAK, []
        for minute, side in enumerate([Side.GOOD, Side.BAD, None, Side.BAD, Side.BAD]):
            now = T + minute * MINUTE
            streak = figure_streak(side, now, streak)
            event = decide(watched, streak, None, [], AlertContext(now))
            if isinstance(event, AlertOpened):
                opened.append((minute, event.since))
        assert opened[0] == (3, T + 60)

    def test_in_a_maintenance_nothing_is_told(self):
        streak = figure_streak(Side.BAD, T)
        assert decide(rule(self.condition), streak, None, [], AlertContext(T, is_in_maintenance=True)) is None

    def test_a_figure_is_resolved_never_retracted(self):
        alert = Alert(1, 7, "outage", rule().severity, T, T, T)
        event = decide(rule(self.condition), figure_streak(Side.GOOD, T), alert, [], AlertContext(T))
        assert event == AlertClosed(T, Closing.RESOLVED, is_told=True)


def test_a_removed_alert_is_told_where_its_opening_was():
    told = Alert(1, 7, "outage", rule().severity, T, T, T)
    assert notice_of(removed(told, T + 60)) is NoticeKind.REMOVED
    assert notice_of(removed(replace(told, told_at=None), T + 60)) is None


def at(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


WORK = Hours(frozenset(range(5)), 8 * 60, 18 * 60, "Europe/Berlin")
NIGHT = Hours(frozenset({5}), 22 * 60, 4 * 60, "Europe/Berlin")
SUNDAY_HALF_PAST_TWO = Hours(frozenset({6}), 2 * 60 + 30, 12 * 60, "Europe/Berlin")
IN_SKIPPED_HOUR = Hours(frozenset({6}), 2 * 60 + 10, 2 * 60 + 50, "Europe/Berlin")
LEFT_OUT = Hours(frozenset({4}), 0, 24 * 60, "Pacific/Apia")


@pytest.mark.parametrize(
    ("hours", "instant", "opens"),
    [
        (WORK, "2026-03-04T09:00", "2026-03-04T09:00"),
        (WORK, "2026-03-04T07:59:59", "2026-03-04T08:00"),
        (WORK, "2026-03-04T18:00", "2026-03-05T08:00"),
        (WORK, "2026-03-06T18:00", "2026-03-09T08:00"),
        (WORK, "2026-03-27T18:00", "2026-03-30T08:00"),  # over the change of the clock
        (NIGHT, "2026-03-07T23:00", "2026-03-07T23:00"),
        (NIGHT, "2026-03-08T03:59", "2026-03-08T03:59"),
        (NIGHT, "2026-03-08T04:00", "2026-03-14T22:00"),
        (SUNDAY_HALF_PAST_TWO, "2026-03-28T12:00", "2026-03-29T03:00"),  # 2:30 is skipped
        (SUNDAY_HALF_PAST_TWO, "2026-10-24T12:00", "2026-10-25T02:30"),  # the first of two
        (IN_SKIPPED_HOUR, "2026-03-28T12:00", "2026-04-05T02:10"),
        (LEFT_OUT, "2011-12-29T12:00", "2012-01-06T00:00"),  # Friday the 30th was left out
    ],
)
def test_hours_open_next(hours, instant, opens):
    assert hours.next_open(at(instant, hours.timezone)) == at(opens, hours.timezone)


# All of it against a scan of single minutes, and in pieces


def scanned(condition: StatusIs, minutes) -> tuple[Any, ...]:
    """Side, since, counted_from and samples, found by walking back over single minutes."""
    said = [
        (minute, run, word_of(condition, run))
        for run in minutes
        for minute in range(run.start, run.end, MINUTE)
    ]
    side = next((word for _, _, word in reversed(said) if word in "+-"), None)
    if side is None:
        return None, 0, 0, 0
    since = counted_from = samples = 0
    is_after_cut, has_spoken = True, False
    for minute, run, word in reversed(said):
        if word == "|":
            is_after_cut = is_after_cut and not has_spoken
        if word in "+-" and word != side:
            break
        if word == side:
            since, has_spoken = minute, True
            if is_after_cut:
                counted_from = minute + MINUTE * (run.reason == "sample")
                samples += run.reason == "sample"
    return side, since, counted_from, samples


def word_of(condition: StatusIs, run) -> str:
    if run.status is Status.MAINTENANCE or run.reason == "not observed":
        return "|"
    if condition.status is NO_DATA:
        return "-" if run.status is NO_DATA else "+"
    if run.status is NO_DATA:
        return "."
    return "-" if run.status in (DOWN, condition.status) else "+"


def drawn(drawing: Iterable[str], settings: MonitorSettings) -> Layers:
    watch = Watch(rule())
    for place, letter in enumerate(drawing):
        minute = T + place * MINUTE
        if letter in LETTERS:
            watch.samples[minute] = Sample(1, minute, LETTERS[letter], 0.5)
        if letter == "M":
            watch.overlays.append(Overlay(place, minute, minute + MINUTE, None, maintenance=True))
        if letter == "g":
            watch.gaps.append(Gap(minute, minute + MINUTE))
    return Layers(watch.samples, None, watch.overlays, [Version(T, settings)], merged(watch.gaps))


histories = st.lists(st.sampled_from("UdDM.g"), min_size=1, max_size=24)
conditions = st.sampled_from([StatusIs(DOWN), StatusIs(DEGRADED), StatusIs(NO_DATA)])


@given(histories, conditions, st.sampled_from([PLAIN, BEAT]))
def test_a_streak_is_what_a_walk_back_over_the_minutes_finds(drawing, condition, settings):
    layers = drawn(drawing, settings)
    minutes = measured_runs(layers, T, T + MINUTE * (len(drawing) - 1))
    streak = streak_of(condition, layers, minutes)
    side = {Side.GOOD: "+", Side.BAD: "-", None: None}[streak.side]
    found = (side, streak.since, streak.counted_from, streak.samples)
    assert found == scanned(condition, minutes)


@given(histories, conditions, st.sampled_from([PLAIN, BEAT]), st.integers(0, 24))
def test_a_streak_goes_on_from_that_of_the_minutes_before(drawing, condition, settings, cut):
    layers = drawn(drawing, settings)
    minutes = measured_runs(layers, T, T + MINUTE * (len(drawing) - 1))
    before = minutes[: cut % (len(minutes) + 1)]
    earlier = streak_of(condition, layers, before)
    after = minutes[len(before) :]
    newest = max((sample for sample in layers.samples.values() if after and sample.minute < after[0].start),
                 key=lambda sample: sample.minute, default=None)  # fmt: skip
    assert streak_of(condition, replace(layers, earlier=newest), after, earlier) == streak_of(
        condition, layers, minutes
    )


@given(
    histories,
    st.integers(0, 24),
    st.sampled_from([0, 60, 300]),
    st.sampled_from([0, 1, 3]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 24 * MINUTE),
)
def test_earlier_minutes_change_nothing_where_they_are_not_needed(
    drawing, cut, after, count, is_open, is_flapping, since
):
    watched = rule(after=after, count=count, recover_after=after, recover_count=count, flap_quiet=120)
    layers = drawn(drawing, PLAIN)
    now = T + MINUTE * (len(drawing) - 1) + 30
    start = T + MINUTE * (cut % len(drawing))
    whole = streak_of(IS_DOWN, layers, measured_runs(layers, T, now))
    part = streak_of(IS_DOWN, layers, measured_runs(layers, start, now))
    alert = Alert(1, 7, "outage", watched.severity, T + since, T + since, T + since, is_flapping=is_flapping)
    newest = alert if is_open else replace(alert, until=T, closed_at=T, closing=Closing.RESOLVED)
    recent = [] if is_open else [newest]
    if not needs_earlier(watched, part, start, newest, now):
        context = AlertContext(now)
        found = [decide(watched, one, newest if is_open else None, recent, context) for one in (part, whole)]
        assert found[0] == found[1]
