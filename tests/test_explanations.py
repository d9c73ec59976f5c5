"""What `check-config --explain` says: its words, and that its examples are what the rule decides."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from kener_async.cli.main import main
from kener_async.clock import Cron
from kener_async.config.explanation import explained
from kener_async.config.load import load
from kener_async.domain import check_times
from kener_async.domain.alert_decisions import AlertContext, AlertOpened, decide
from kener_async.domain.alert_examples import AlertExample, example_of_reports, example_of_silence
from kener_async.domain.alert_streaks import StreakCondition, measured_runs, streak_of
from kener_async.domain.alerts import AlertRule, BurnRate, Condition, LatencyAbove, StatusIs, UptimeBelow
from kener_async.domain.calendar import DAY, HOUR, MINUTE, minute_of
from kener_async.domain.heartbeats import AtSchedule, EveryInterval, MonitorSettings, OnChange, Version
from kener_async.domain.hours import Hours
from kener_async.domain.samples import Sample, Status
from kener_async.domain.timeline import Layers

NOON = 1_767_182_400  # 2025-12-31 12:00:00 UTC, a Wednesday
HEAD = """\
[server]
public_url = "https://status.example.org"
[site]
timezone = "Europe/Berlin"
[[channels]]
name = "ops"
kind = "ntfy"
url = "https://ntfy.sh/s3cret"
[[channels]]
name = "pager"
kind = "pagerduty"
key = "s3cret-key"
tell = ["opened", "resolved"]
[[monitors]]
tag = "router"
hidden = true
"""
EARTH = """\
[[monitors]]
tag = "earth"
name = "Earth"
depends_on = ["router"]
heartbeat = { interval = "5m", grace = "5m", down_after = "30m" }
"""


@pytest.fixture
def explain(tmp_path: Path) -> Callable[..., list[str]]:
    def explain(*texts: str, tag: str = "earth") -> list[str]:
        path = tmp_path / "config.toml"
        path.write_text("\n".join((HEAD, *texts)))
        return explained(load(path, {}), tag, NOON)

    return explain


def test_all_that_is_told_is_said(explain: Callable[..., list[str]]) -> None:
    rule = """\
[[alerts]]
name = "outage"
after = "5m"
count = 2
recover_after = "2m"
remind_every = "30m"
to = ["ops", "pager"]
incident = "publish"
template = "down"
[[templates]]
name = "down"
title = "{monitor} is not working"
"""
    assert explain(EARTH, rule) == [
        "earth (Earth)",
        "  It reports every 5m: silent it is DEGRADED 5m after a report is due, DOWN 30m after the last one.",
        "  It needs router: while router is DEGRADED or DOWN, alerts of it open quietly.",
        "",
        "outage (critical)",
        "  Opens when it is DOWN for 5m and in at least 2 reports.",
        "  Tells ops (ntfy, which gathers for 10 s) and pager (pagerduty, of openings and closings only), "
        "and again every 30m until it is acknowledged, at most 20 times.",
        "  Is over when it is no longer so for 2m, in at least 1 report.",
        "  Is not told while router is bad; if it still is when router has been good for 5m, it is told "
        "then.",
        "  The fourth alert within an hour is told as flapping, then nothing until it has stayed good, or "
        "bad, for 15m.",
        "  An incident is published with it, from the template down; alerts of monitors of the category that "
        "open within 10m join it.",
        "  Example: its reports say so from 12:00 on: told at 12:06 at the earliest.",
        "  Example: its last report is of 12:00, and good: bad from 12:31 on, told at 12:36 at the earliest "
        "(missed reports are not counted).",
        "",
        "Nothing is told of what was over before it was known, and nothing during a maintenance of it.",
    ]


SHOP = """\
[[monitors]]
tag = "shop"
[monitors.check]
http = "https://user:s3cret@shop.example.org/health?key=s3cret"
expect = ["status == 200", "json $.ok == true"]
warn = ["latency < 800ms"]
"""


def test_it_is_said_when_a_check_is_made_believed_and_told(
    explain: Callable[..., list[str]],
) -> None:
    rule = '[[alerts]]\nname = "outage"\nto = ["ops"]\nflapping = false'
    assert explain(SHOP, rule, tag="shop") == [
        "shop",
        "  It is checked every minute at :46: GET https://shop.example.org.",
        "  An attempt is DOWN unless status == 200; json $.ok == true.",
        "  It is DEGRADED unless latency < 800ms.",
        "  A failure is believed after 3 attempts in 40s, or in 1m 10s where each has no answer within 10s; "
        "its minutes count from the first.",
        "  Example: it fails at 13:00:46, 13:01:06, 13:01:26: known at 13:01:26, for the minutes 13:00 and "
        "13:01. If one of them succeeds, none was bad.",
        "  A status is held for 3m 10s after a run; what cannot be measured for longer is not known.",
        "",
        "outage (critical)",
        "  Opens when it is DOWN at once.",
        "  Tells ops (ntfy, which gathers for 10 s).",
        "  Is over when it is no longer so, in at least 1 report.",
        "  Example: it is bad from 12:00:46 on: told at 12:01:27 at the earliest.",
        "",
        "Nothing is told of what was over before it was known, and nothing during a maintenance of it.",
    ]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            'every = "5m"',
            "It is checked every 5m, at 01:41 of the hour and so on: a TCP",
        ),
        ('every = "7m"', "It is checked every 7m, next at 13:"),
        ('cron = "30 2 * * *"', "It is checked at the times of its schedule, next at thu 2026-01-01 02:30: "),
        ("retries = 0", "A failure is believed at once; without an answer within 10s it is one."),
        ("retries = 0\ntimeout = 3", "without an answer within 3s it is one."),
        ("retries = 1\nretry_every = 90", "after 2 attempts in 1m 30s, or in 1m 50s where each"),
        ("retries = 1\nretry_every = 90", "for the minutes 13:00 and 13:01."),
        ("invert = true", "UP and DOWN change places (invert)."),
        ('cron = "*/5 8-18 * * mon-fri"', "A status is held for 2d 14h 7m after a run"),
        ("retries = 0", "Example: it fails at 13:00:"),
    ],
)
def test_each_timing_has_its_words(explain: Callable[..., list[str]], keys: str, line: str) -> None:
    check = f'[[monitors]]\ntag = "db"\n[monitors.check]\ntcp = "db:5432"\n{keys}'
    assert line in "\n".join(explain(check, tag="db"))


@pytest.mark.parametrize(
    ("rule", "keys", "told"),
    [
        ("", "retries = 0", "12:00"),
        ("", "", "12:00:40"),
        ("count = 3", "retries = 0", "12:02"),
        ("count = 3", "", "12:02:40"),
        ('after = "10m"', "", "12:11"),
        ("count = 2", 'every = "5m"\nretries = 0', "12:05"),
        ("latency_above = 1", "", "12:00"),
        ("latency_above = 1\ncount = 2", "", "12:01"),
    ],
)
def test_the_example_of_a_check_is_told_when_enough_is_known(
    explain: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, rule: str, keys: str, told: str
) -> None:
    monkeypatch.setattr(check_times, "phase_of", lambda tag, every: 0.0)
    check = f'[[monitors]]\ntag = "db"\n[monitors.check]\ntcp = "db:5432"\n{keys}'
    alert = f'[[alerts]]\nname = "a"\nto = ["ops"]\n{rule}'
    (example,) = (
        line for line in explain(check, alert, tag="db") if "on: told" in line or "opens at" in line
    )
    assert f"told at {told} at the earliest" in example


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("", "Opens when it is DOWN at once."),
        ('when = "DEGRADED"', "Opens when it is DEGRADED or DOWN at once."),
        ('when = "NO_DATA"', "Opens when nothing is known of it at once."),
        ("count = 3", "Opens when it is DOWN in at least 3 reports."),
        ('after = "90s"', "Opens when it is DOWN for 1m 30s."),
        (
            'latency_above = 0.8\nafter = "5m"',
            "Opens when its latency is above 0.8 s, or it is DOWN, for 5m.",
        ),
        ("uptime_below = 99.5", "Opens when its uptime of 30d is below 99.5 %."),
        ("uptime_below = 99.5\nrecover_at = 99.9", "Is over when the uptime is 99.9 % or more."),
        ("recover_count = 0", "Is over when it is no longer so."),
        ('remind_every = "1h"\nremind_times = 1', "and again every 1h until it is acknowledged, once."),
        ('hours = "mon-fri 08:00-18:00"', "Tells only mon-fri 08:00-18:00 (Europe/Berlin); what happens"),
        ('hours = "wed,sun 22:00-06:00"', "Tells only wed,sun 22:00-06:00 (Europe/Berlin); what happens"),
        ('hours = "09:00-11:00"', "the alert opens at 12:00 and is told at thu 2026-01-01 09:00."),
        ('incident = "draft"\njoin_by = "none"', "An incident is drafted with it, without a text; no other"),
        ('when = "NO_DATA"', "It opens only before the first report"),
        ('severity = "info"', "outage (info)"),
    ],
)
def test_each_key_of_a_rule_has_its_words(explain: Callable[..., list[str]], keys: str, line: str) -> None:
    text = "\n".join(explain(EARTH, f'[[alerts]]\nname = "outage"\nto = ["ops"]\n{keys}'))
    assert line in text


def test_a_burn_rate_names_the_objective_of_the_monitor(explain: Callable[..., list[str]]) -> None:
    text = explain(
        EARTH + "objective = { target = 99.9 }\n", '[[alerts]]\nname = "b"\nto = ["ops"]\nburn_rate = 14.4'
    )
    assert "  99.9 % of uptime are promised in a month." in text
    assert (
        "  Opens when it uses up the error budget of 99.9 % 14.4 times as fast as allowed, over 1h and over "
        "5m." in text
    )


@pytest.mark.parametrize(
    ("monitor", "rule", "reason"),
    [
        (EARTH, "", "there are no [[alerts]]"),
        (EARTH + "alerts = []\n", '[[alerts]]\nname = "a"\nto = ["ops"]', "its alerts are []"),
        (
            EARTH,
            '[[alerts]]\nname = "a"\nto = ["ops"]\nmonitors = ["router"]',
            "the monitors of none match",
        ),
        (
            EARTH + "hidden = true\n",
            '[[alerts]]\nname = "a"\nto = ["ops"]',
            "it is hidden, and no rule names its tag",
        ),
        (
            EARTH,
            '[[alerts]]\nname = "a"\nto = ["ops"]\nburn_rate = 2',
            "those that match need an objective, and it has none",
        ),
    ],
)
def test_without_a_rule_it_says_why(
    explain: Callable[..., list[str]], monitor: str, rule: str, reason: str
) -> None:
    assert explain(monitor, rule)[-1] == f"No alert rule holds for it: {reason}. Nobody is told."


@pytest.mark.parametrize(
    ("heartbeat", "line"),
    [
        ("", "No report is expected of it: its silence makes it neither DEGRADED nor DOWN."),
        (
            'heartbeat = { carry_forward = true, stale_after = "2d" }',
            "It reports changes only: nothing is known when it is silent for 2d.",
        ),
        (
            'heartbeat = { cron = "30 2 * * *", grace = "15m", down_after = "1h" }',
            "It reports at the times of a schedule: silent it is DEGRADED 15m after such a time, DOWN 1h "
            "after it.",
        ),
    ],
)
def test_what_is_expected_of_a_monitor_is_said(
    explain: Callable[..., list[str]], heartbeat: str, line: str
) -> None:
    assert explain(f'[[monitors]]\ntag = "earth"\n{heartbeat}')[1] == f"  {line}"


def test_the_command_prints_it_and_names_an_unknown_monitor(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(HEAD + EARTH + '[[alerts]]\nname = "a"\nto = ["ops", "pager"]')
    command = ["check-config", "--config", str(tmp_path / "config.toml"), "--explain"]
    done = CliRunner().invoke(main, [*command, "earth"])
    assert done.exit_code == 0
    assert "a (critical)\n  Opens when it is DOWN at once." in done.output
    assert "s3cret" not in done.output
    wrong = CliRunner().invoke(main, [*command, "eart"])
    assert wrong.exit_code == 1
    assert '"eart" is not a monitor, did you mean "earth"?' in wrong.output


# The examples are what the rule decides

SETTINGS = {
    "nothing expected": MonitorSettings(),
    "default UP": MonitorSettings(default_status=Status.UP),
    "default DOWN": MonitorSettings(default_status=Status.DOWN),
    "every minute": MonitorSettings(expectation=EveryInterval(60, 60, 240)),
    "every 5 minutes": MonitorSettings(expectation=EveryInterval(300, 90, 400)),
    "hourly": MonitorSettings(expectation=AtSchedule(Cron("0 * * * *"), 600, 1800, 60)),
    "changes": MonitorSettings(expectation=OnChange(1800)),
}
CONDITIONS: list[Condition] = [
    StatusIs(Status.DOWN),
    StatusIs(Status.DEGRADED),
    StatusIs(Status.NO_DATA),
    LatencyAbove(1.0),
]
INTERVALS = {"every 5 minutes": 300, "hourly": HOUR}


def first_opening(
    rule: AlertRule, settings: MonitorSettings, samples: dict[int, Sample], looks: range
) -> int | None:
    """The first of the instants at which the rule opens an alert, of samples that have come in by then."""
    condition = rule.condition
    assert isinstance(condition, StreakCondition)
    for now in looks:
        known = {minute: sample for minute, sample in samples.items() if minute <= now}
        layers = Layers(known, None, (), [Version(NOON - DAY, settings)], ())
        streak = streak_of(condition, layers, measured_runs(layers, NOON, now))
        if isinstance(decide(rule, streak, None, (), AlertContext(now)), AlertOpened):
            return now
    return None


def opens_at(example: AlertExample | None) -> int | None:
    return None if example is None else example.opens_at


@pytest.mark.parametrize("after", [0, 90, 600])
@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("condition", CONDITIONS, ids=str)
@pytest.mark.parametrize("name", SETTINGS)
def test_the_examples_are_what_the_rule_decides(
    name: str, condition: Condition, count: int, after: int
) -> None:
    settings = SETTINGS[name]
    rule = AlertRule("a", condition, after=after, count=count, to=("ops",))
    good = {NOON: Sample(1, NOON, Status.UP, 0.0)}
    looks = range(NOON, NOON + 3 * HOUR, 30)
    silent = first_opening(rule, settings, good, looks)
    assert opens_at(example_of_silence(rule, settings, NOON)) == silent
    bad = {
        minute: Sample(1, minute, Status.DOWN, 9.0)
        for minute in range(NOON, NOON + 4 * HOUR, INTERVALS.get(name, MINUTE))
    }
    reported = first_opening(rule, settings, bad, looks)
    assert opens_at(example_of_reports(rule, settings, NOON)) == reported


@pytest.mark.parametrize("condition", [UptimeBelow(99.0, "30d", 99.0), BurnRate(2.0, 99.0, 3600, 300)])
def test_a_figure_has_no_example(condition: Condition) -> None:
    rule = AlertRule("a", condition, to=("ops",))
    settings = SETTINGS["every minute"]
    assert (example_of_reports(rule, settings, NOON), example_of_silence(rule, settings, NOON)) == (
        None,
        None,
    )


def test_an_example_outside_the_hours_is_told_when_they_begin() -> None:
    hours = Hours(frozenset({3}), 480, 600, "UTC")
    rule = AlertRule("a", StatusIs(Status.DOWN), to=("ops",), hours=hours)
    tomorrow = minute_of(NOON) - 12 * HOUR + DAY + 8 * HOUR
    assert example_of_reports(rule, MonitorSettings(), NOON) == AlertExample(NOON, NOON, tomorrow)
