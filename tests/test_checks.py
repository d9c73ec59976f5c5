"""The scheduler of checks: due times, retries, overlap, reload and stop, on a clock that tests set."""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kener_async.clock import Cron
from kener_async.domain.check_times import phase_of
from kener_async.domain.checks import Attempt, Obstacle, SeenCertificate
from kener_async.domain.errors import Invalid, Unavailable
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.probes.settings import CheckSettings
from tests.rigs.checks import Bench, NoGuard, a_check
from tests.rigs.service import NOON

UP, DEGRADED, DOWN = Status.UP, Status.DEGRADED, Status.DOWN
PHASE = phase_of("earth", 60)


async def test_every_monitor_is_measured_within_its_interval() -> None:
    tags = [f"monitor-{number}" for number in range(200)]
    bench = Bench(tags)
    bench.checks.configure([a_check(tag) for tag in tags])
    async with bench.checks.running():
        await bench.pass_time(61)
        assert {tag for tag, _ in bench.prober.begun} == set(tags)
        assert len(bench.prober.begun) == len(bench.records.runs) <= 200 * 61 / 60 + 10


async def test_runs_begin_at_their_due_times_without_drift() -> None:
    bench = Bench(["earth"])
    bench.checks.configure([a_check("earth")])
    async with bench.checks.running():
        await bench.pass_time(3600, step=0.5)
    begun = [at for _, at in bench.prober.begun]
    assert len(begun) == 60
    for number, at in enumerate(begun):
        late = at - (1000 + PHASE + 60 * number)  # NOON is on the minute
        assert 0 <= late <= 0.5


@pytest.mark.parametrize("step", [-3600.0, -5.0, 30.0, 86400.0])
async def test_a_step_of_the_wall_clock_moves_no_due_time(step: float) -> None:
    bench = Bench(["earth"])
    bench.checks.configure([a_check("earth")])
    async with bench.checks.running():
        await bench.pass_time(120)
        bench.time.step(step)
        bench.checks.reanchor()
        await bench.pass_time(120)
    begun = [at for _, at in bench.prober.begun]
    assert [round(after - before) for before, after in pairwise(begun)] == [60] * 3


async def test_cron_checks_follow_the_wall_clock_that_was_set() -> None:
    bench = Bench(["earth"])
    bench.checks.configure([a_check("earth", cron=Cron("0 * * * *"))])
    async with bench.checks.running():
        bench.time.step(3600 - 30)  # half a minute before one
        bench.checks.reanchor()
        await bench.pass_time(60)
    assert [at for _, at in bench.prober.begun] == [1030.0]


async def test_a_run_still_under_way_is_let_finish_and_the_due_one_left_out() -> None:
    bench = Bench(["earth"])
    bench.prober.hold("earth")
    bench.checks.configure([a_check("earth")])
    async with bench.checks.running():
        await bench.pass_time(PHASE + 1 + 60 + 60)
        assert len(bench.prober.begun) == 1  # and never twice at once, which the target asserts
        assert bench.count("kener_checks_skipped_total") == 2
        bench.prober.release("earth")
        await bench.pass_time(60)
        assert len(bench.prober.begun) == 2
        assert bench.count("kener_checks_skipped_total") == 2


async def test_due_times_missed_by_a_suspend_are_left_out() -> None:
    tags = [f"monitor-{number}" for number in range(50)]
    bench = Bench(tags)
    bench.checks.configure([a_check(tag) for tag in tags])
    async with bench.checks.running():
        await bench.pass_time(60)
        before = len(bench.prober.begun)
        bench.time.now += 600
        bench.checks.begin_due()
        await bench.settle()
        assert len(bench.prober.begun) == before  # not all at once
        await bench.pass_time(61)
        assert before + 50 <= len(bench.prober.begun) <= before + 52


@pytest.mark.parametrize(
    ("outcomes", "retries", "begun", "said"),
    [
        ([UP], 2, [0], [UP]),
        ([DOWN, UP], 2, [0, 20], [UP]),
        ([DOWN, DOWN, DOWN], 2, [0, 20, 40], [DOWN]),
        ([DOWN, DEGRADED, DEGRADED], 2, [0, 20, 40], [DOWN]),
        ([DOWN], 0, [0], [DOWN]),
        ([Obstacle.NAMES, DOWN], 2, [0], []),  # not measured: until the next due time
        ([DOWN, Obstacle.NAMES, UP], 2, [0, 20, 40], [UP]),
    ],
)
async def test_what_fails_is_tried_again_within_the_run(
    outcomes: list[Status | Obstacle], retries: int, begun: list[int], said: list[Status]
) -> None:
    bench = Bench(["earth"])
    bench.prober.answer("earth", *outcomes)
    bench.checks.configure([a_check("earth", every=3600, retries=retries, retry_every=20)])
    phase = phase_of("earth", 3600)
    async with bench.checks.running():
        await bench.pass_time(phase + 120, step=0.25)
    first = bench.prober.begun[0][1]
    assert [round(at - first) for _, at in bench.prober.begun] == begun
    measured = {minute for _, minute, _ in bench.said}
    assert max((status for _, _, status in bench.said), default=None) == max(said, default=None)
    assert len(measured) == len(bench.said)  # one sample a minute
    assert len(bench.records.runs) == (1 if said else 0)  # all minutes of a run are stored together


async def test_an_outage_begins_with_the_first_attempt() -> None:
    bench = Bench(["earth"])
    bench.prober.answer("earth", DOWN, DEGRADED, DOWN)
    bench.checks.configure([a_check("earth", retries=2, retry_every=60)])
    async with bench.checks.running():
        await bench.pass_time(PHASE + 121)
        assert bench.count("kener_checks_skipped_total") == 2
    assert bench.said == [(1, 0, DOWN), (1, 60, DEGRADED), (1, 120, DOWN)]
    assert [attempt.status for _, attempt in bench.records.faults] == [DOWN, DEGRADED, DOWN]
    assert bench.records.runs[0][0].source is SampleSource.CHECK


async def test_no_more_attempts_are_under_way_than_allowed() -> None:
    tags = [f"monitor-{number}" for number in range(50)]
    bench = Bench(tags)
    bench.prober.hold(*tags)
    bench.checks.configure([a_check(tag) for tag in tags], max_at_once=8)
    async with bench.checks.running():
        await bench.pass_time(60)
        assert bench.prober.most_at_once == 8 == len(bench.prober.begun)
        assert bench.count("kener_checks_under_way") == 8
        bench.prober.release()
        await bench.settle()
        assert bench.prober.most_at_once == 8
        assert len(bench.records.runs) >= 50
        assert bench.count("kener_checks_under_way") == 0


async def test_a_reload_changes_only_what_changed() -> None:
    bench = Bench(["earth", "mars", "venus"])
    bench.prober.hold("earth", "mars", "venus")
    checks = [a_check("earth"), a_check("mars"), a_check("venus")]
    bench.checks.configure(checks)
    async with bench.checks.running():
        await bench.pass_time(60)
        assert bench.prober.under_way == {"earth": 1, "mars": 1, "venus": 1}
        bench.checks.configure([checks[0], replace(checks[1], invert=True)])
        await bench.settle()
        assert bench.prober.under_way == {"earth": 1, "mars": 0, "venus": 0}
        bench.prober.release()
        await bench.settle()
        assert {monitor for monitor, _, _ in bench.said} == {1}  # mars and venus were forgotten
        before = len(bench.prober.begun)
        await bench.pass_time(120)
        assert Counter(tag for tag, _ in bench.prober.begun[before:]) == {"earth": 2, "mars": 2}
        due = [at for tag, at in bench.prober.begun if tag == "earth"]
        assert due[-1] == 1000 + 60 * 2 + int(PHASE) + 1  # where it was before


async def test_a_reload_between_two_attempts_keeps_the_run() -> None:
    bench = Bench(["earth"])
    bench.prober.answer("earth", DOWN, DOWN)
    check = a_check("earth", retries=1, retry_every=20)
    bench.checks.configure([check])
    async with bench.checks.running():
        await bench.pass_time(PHASE + 1)
        bench.checks.configure([check], max_at_once=3)
        assert bench.checks.is_failing("earth")
        await bench.pass_time(25)
        assert [status for _, _, status in bench.said] == [DOWN]
        assert not bench.checks.is_failing("earth")


@pytest.mark.parametrize("attempts", [0, 1, 2])
async def test_a_run_under_way_at_the_stop_is_forgotten(attempts: int) -> None:
    bench = Bench(["earth"])
    bench.prober.answer("earth", DOWN, DOWN, DOWN)
    bench.checks.configure([a_check("earth", retries=2, retry_every=20)])
    async with bench.checks.running():
        await bench.pass_time(PHASE + 20 * attempts - 18 if attempts else PHASE - 1)
        assert len(bench.prober.begun) == attempts
    await bench.settle()
    assert bench.said == []
    assert bench.records.is_closed
    bench.checks.begin_due()
    await bench.pass_time(120)
    assert len(bench.prober.begun) == attempts  # nothing begins after the stop


async def test_no_check_means_no_timer_and_no_task() -> None:
    bench = Bench(["earth"])
    tasks = asyncio.all_tasks()
    bench.checks.configure([])
    async with bench.checks.running():
        assert bench.checks._timer is None
        assert asyncio.all_tasks() == tasks


async def test_run_now_returns_the_attempts_and_moves_no_due_time() -> None:
    bench = Bench(["earth"])
    bench.checks.configure([a_check("earth")])
    async with bench.checks.running():
        await bench.pass_time(1)
        attempts = await bench.checks.run_now("earth")
        assert [attempt.status for attempt in attempts] == [UP]
        assert bench.said == [(1, 0, UP)]
        await bench.pass_time(PHASE)
        assert len(bench.prober.begun) == 2
        with pytest.raises(Invalid):
            await bench.checks.run_now("mars")


async def test_run_now_joins_the_run_under_way_and_tries_at_once() -> None:
    bench = Bench(["earth"])
    bench.prober.answer("earth", DOWN, DOWN)
    bench.checks.configure([a_check("earth", retries=1, retry_every=20)])
    async with bench.checks.running():
        await bench.pass_time(PHASE + 1)
        attempts = await bench.checks.run_now("earth")
        assert [attempt.status for attempt in attempts] == [DOWN, DOWN]
        await bench.pass_time(30)
        assert len(bench.prober.begun) == 2  # the retry that was planned is not made again


async def test_a_retry_that_was_brought_forward_moves_the_next_one() -> None:
    bench = Bench(["earth"])
    bench.prober.answer("earth", DOWN, DOWN, DOWN)
    bench.checks.configure([a_check("earth", retries=2, retry_every=20)])
    async with bench.checks.running():
        await bench.pass_time(PHASE + 11)
        asked = asyncio.ensure_future(bench.checks.run_now("earth"))
        await bench.settle()
        await bench.pass_time(15)
        assert len(bench.prober.begun) == 2  # the one planned before is not made beside it
        await bench.pass_time(6)
        assert [attempt.status for attempt in await asked] == [DOWN] * 3


async def test_nothing_is_run_before_the_start_and_after_the_stop() -> None:
    bench = Bench(["earth"])
    bench.checks.configure([a_check("earth")])
    with pytest.raises(Unavailable):
        await bench.checks.run_now("earth")


async def test_run_now_is_refused_when_the_run_is_forgotten() -> None:
    bench = Bench(["earth"])
    bench.prober.hold("earth")
    bench.checks.configure([a_check("earth")])
    async with bench.checks.running():
        asked = asyncio.ensure_future(bench.checks.run_now("earth"))
        await bench.settle()
        bench.checks.configure([])
        with pytest.raises(Unavailable):
            await asked


@pytest.mark.parametrize("obstacle", list(Obstacle))
async def test_our_own_fault_is_never_a_sample(
    obstacle: Obstacle, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(["earth"])
    bench.prober.answer("earth", obstacle, obstacle, obstacle, UP, obstacle)
    bench.checks.configure([a_check("earth", retries=2)])
    async with bench.checks.running():
        await bench.pass_time(PHASE + 121)
        assert bench.said == []
        assert bench.count("kener_checks_not_measured_total", why=obstacle.value) == 3
        assert bench.checks.not_measured("earth") == f"no {obstacle}"
        assert len(bench.records.faults) == 1  # once for each change
        await bench.pass_time(60)
        assert bench.checks.not_measured("earth") == ""
        await bench.pass_time(60)
    lines = [line for line in capsys.readouterr().out.splitlines() if "cannot be measured" in line]
    assert len(lines) == 2  # at each change, not at each attempt


async def test_a_shared_obstacle_is_logged_once_for_all_monitors(capsys: pytest.CaptureFixture[str]) -> None:
    tags = [f"monitor-{number}" for number in range(20)]
    bench = Bench(tags)
    for tag in tags:
        bench.prober.answer(tag, Obstacle.FILES, Obstacle.FILES)
    bench.checks.configure([a_check(tag) for tag in tags])
    async with bench.checks.running():
        await bench.pass_time(180)
    lines = capsys.readouterr().out.splitlines()
    assert sum("cannot be measured" in line for line in lines) == 1
    assert sum("can be measured again" in line for line in lines) == 1


async def test_an_obstacle_that_stays_is_recorded_again_each_half_a_day() -> None:
    bench = Bench(["earth"])
    bench.prober.answer("earth", *[Obstacle.PERMISSION] * 49)
    bench.checks.configure([a_check("earth", every=3600)])
    async with bench.checks.running():
        await bench.pass_time(48 * 3600, step=600)
    recorded = [attempt.at for _, attempt in bench.records.faults]
    assert [round(after - before) // 3600 for before, after in pairwise(recorded)] == [12, 12, 12]


async def test_a_defect_of_the_guard_leaves_no_run_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    async def judge(self: NoGuard, attempt: Attempt) -> Attempt:
        raise ZeroDivisionError

    monkeypatch.setattr(NoGuard, "judge", judge)
    bench = Bench(["earth"])
    bench.prober.answer("earth", DOWN, DOWN)
    bench.checks.configure([a_check("earth")])
    async with bench.checks.running():
        await bench.pass_time(120)
    assert [status for _, _, status in bench.said] == [DOWN, DOWN]
    assert bench.count("kener_checks_skipped_total") == 0


async def test_a_defect_of_a_probe_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(["earth"])

    async def fail(check: CheckSettings, at: float) -> Attempt:
        raise AssertionError("a defect of ours")

    monkeypatch.setattr(bench.prober, "attempt", fail)
    bench.checks.configure([a_check("earth", retries=2)])
    async with bench.checks.running():
        await bench.pass_time(PHASE + 61)
        assert bench.said == []
        assert bench.count("kener_checks_not_measured_total", why="defect") == 2


async def test_the_last_attempts_and_certificates_are_kept_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(["earth"])
    chain = (SeenCertificate(b"f", "CN=earth", "CN=ca", NOON + 86400),)

    async def look(check: CheckSettings, at: float) -> Attempt:
        return Attempt(at, UP, certificates=chain)

    monkeypatch.setattr(bench.prober, "attempt", look)
    bench.checks.configure([a_check("earth")])
    async with bench.checks.running():
        await bench.pass_time(30 * 60)
        assert len(bench.checks.last_attempts("earth")) == 20
        assert bench.checks.certificates("earth") == chain
        assert bench.records.chains[-1] == (1, chain)
        assert bench.checks.last_began("earth") == pytest.approx(NOON + 29 * 60 + PHASE, abs=1)
    assert not bench.checks.last_attempts("mars")
    assert not bench.checks.certificates("mars")


@pytest.mark.parametrize(("is_milli", "latency"), [(False, 0.25), (True, 250.0)])
async def test_the_latency_is_in_the_unit_of_the_monitor(is_milli: bool, latency: float) -> None:
    bench = Bench(["earth"])
    bench.checks.configure([replace(a_check("earth"), in_milliseconds=is_milli)])
    async with bench.checks.running():
        await bench.pass_time(PHASE + 1)
    assert bench.records.runs == [[Sample(1, NOON, UP, latency, SampleSource.CHECK)]]


OUTCOMES = st.lists(st.sampled_from([UP, DEGRADED, DOWN, DOWN, Obstacle.NAMES]), max_size=20)
EVENTS = st.lists(st.sampled_from(["reload", "change", "now", "step", "pass"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(OUTCOMES, EVENTS, st.integers(0, 3), st.sampled_from([5, 20, 60]))
def test_random_histories_store_no_minute_that_was_not_seen(
    outcomes: list[Status | Obstacle], events: list[str], retries: int, retry_every: int
) -> None:
    bench = asyncio.run(a_history(outcomes, events, retries, retry_every))
    seen = {(int(attempt.at) // 60 * 60 - NOON, attempt.status) for _, attempt in bench.prober.ended}
    good = {attempt.at for _, attempt in bench.prober.ended if attempt.status is UP}
    for run in bench.records.runs:
        minutes = [sample.minute for sample in run]
        assert minutes == sorted(set(minutes))
        assert all((sample.minute - NOON, sample.status) in seen for sample in run)
        if any(sample.status is not UP for sample in run):
            assert all(sample.status is not UP for sample in run)  # confirmed, or nothing at all
        else:
            assert len(run) == 1
    stored = sum(sample.status is UP for run in bench.records.runs for sample in run)
    assert stored == len(good)  # each good attempt ends its run, and is stored


async def a_history(
    outcomes: list[Status | Obstacle], events: list[str], retries: int, retry_every: int
) -> Bench:
    bench = Bench(["earth"])
    bench.prober.answer("earth", *outcomes)
    check = a_check("earth", retries=retries, retry_every=retry_every)
    bench.checks.configure([check])
    async with bench.checks.running():
        for event in events:
            match event:
                case "reload":
                    bench.checks.configure([check], max_at_once=len(events))
                case "change":
                    check = replace(check, in_milliseconds=not check.in_milliseconds)
                    bench.checks.configure([check])
                case "now":
                    asked = asyncio.ensure_future(bench.checks.run_now("earth"))
                    asked.add_done_callback(lambda task: task.cancelled() or task.exception())
                case "step":
                    bench.time.step(90)
                    bench.checks.reanchor()
            await bench.pass_time(37)
        await bench.pass_time(300)
    return bench
