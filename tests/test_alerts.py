"""The evaluator in the service, by what docs/alerts.md promises."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.alert_plan import alert_plan
from kener_async.domain.alerts import Alert, BurnRate, Closing, LatencyAbove, StatusIs, UptimeBelow
from kener_async.domain.errors import Unavailable
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings, OnChange
from kener_async.domain.hours import Hours
from kener_async.domain.notices import NoticeKind
from kener_async.domain.objectives import Objective
from kener_async.domain.samples import Status
from kener_async.store import alert_streaks, alerts, evaluations
from kener_async.worker.alert_figures import AlertFigures
from tests.rigs.alerts import (
    a_rule,
    all_alerts,
    all_deliveries,
    all_notices,
    an_alert_config,
    look,
    open_alerts,
    reload,
    told,
)
from tests.rigs.service import NOON, FakeClock, Service, a_monitor, running

EXPECTED = MonitorSettings(expectation=EveryInterval(300, 60, 360))
OUTLASTING = MonitorSettings(expectation=OnChange(30 * 86400))


async def maintenance(service: Service, start: int, end: int, **fields: Any) -> int:
    body = {"title": "Work", "startDatetime": start, "endDatetime": end, "tags": ["earth"]}
    answer = await service.post("/api/incident", body | {"isMaintenance": True} | fields)
    return int(answer["incidentNumber"])


async def minutes(service: Service, *statuses: str, tag: str = "earth") -> None:
    """Let minutes pass, each with a report at its begin, and evaluate after each."""
    for status in statuses:
        await look(service, 60)
        await service.beat(tag, status)
        await look(service)


async def test_an_alert_opens_when_a_monitor_is_down_and_closes_when_it_is_up(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, a_rule()), clock) as service:
        await service.beat("earth", "UP")
        await look(service, 60)
        assert await told(service) == []

        await service.beat("earth", "DOWN")
        await look(service)
        (alert,) = await open_alerts(service)
        assert alert.since == clock() - clock() % 60
        assert alert.told_at == alert.opened_at == clock()

        await look(service, 60)
        await service.beat("earth", "UP")
        await look(service)
        (alert,) = await all_alerts(service)
        assert (alert.until, alert.closed_at) == (clock() - clock() % 60, clock())
        opened, closed = await all_notices(service)
        assert opened.facts.reason == "reported DOWN"
        assert (opened.facts.before, opened.facts.status) == (Status.UP, Status.DOWN)
        assert (opened.facts.bad_now, opened.facts.monitors) == (1, 2)
        assert (closed.facts.bad_now, closed.facts.reason) == (0, "reported DOWN")
        assert (closed.facts.before, closed.facts.status) == (Status.DOWN, Status.UP)


async def test_figures_that_cannot_be_compared_keep_no_other_rule_from_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: Any) -> None:
        raise ValueError("a figure that cannot be read")

    uptime = a_rule("uptime", UptimeBelow(99.9, "24h", 99.9))
    async with running(an_alert_config(tmp_path, uptime, a_rule()), FakeClock()) as service:
        monkeypatch.setattr(AlertFigures, "compare", broken)
        await look(service, 60)
        await service.beat("earth", "DOWN")
        await look(service)
        assert [alert.rule for alert in await open_alerts(service)] == ["outage"]


async def test_a_report_is_evaluated_without_being_asked_to(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, a_rule()), FakeClock()) as service:
        await service.beat("earth", "DOWN")
        async with asyncio.timeout(5):
            while not await told(service):
                await asyncio.sleep(0.01)
        assert await told(service) == ["earth OPENED"]


async def test_without_rules_nothing_is_watched(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path), FakeClock()) as service:
        assert not service.app[keys.STATES].changes.watched
        await minutes(service, "DOWN")
        assert await all_alerts(service) == []


async def test_nothing_is_written_while_nothing_happens(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, a_rule(after=600, count=0)), FakeClock()) as service:
        await minutes(service, "DOWN")
        store = service.app[keys.DATABASE]

        async def refuse(*work: object) -> object:
            raise AssertionError("a transaction")

        store.write, write = refuse, store.write
        for _ in range(5):
            await look(service, 60)
        store.write = write
        await look(service, 360)
        assert await told(service) == ["earth OPENED"]


async def test_after_counts_from_the_end_of_the_first_minute_over_quarters(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, a_rule(after=3600, count=50)), FakeClock()) as service:
        await minutes(service, "UP", *["DOWN"] * 61)
        assert await told(service) == []
        await service.roll()
        await minutes(service, "DOWN")
        assert await told(service) == ["earth OPENED"]
        (alert,) = await open_alerts(service)
        assert alert.since == NOON + 120


async def test_a_missed_deadline_opens_with_its_reason(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, a_rule(), monitors=(a_monitor("earth", EXPECTED),))
    async with running(config, FakeClock()) as service:
        await minutes(service, "UP")
        await look(service, 360)
        assert await told(service) == []
        await look(service, 60)
        (notice,) = await all_notices(service)
        assert notice.facts.reason == "no report since 12:01 UTC, due every 5m"


async def test_a_latency_rule_tells_the_latency(tmp_path: Path) -> None:
    rule = a_rule("slow", LatencyAbove(0.8), count=2)
    async with running(an_alert_config(tmp_path, rule), FakeClock()) as service:
        for latency in (0.5, 0.9, 1.5):
            await look(service, 60)
            await service.beat("earth", "UP", latency=latency)
            await look(service)
        (notice,) = await all_notices(service)
        assert (notice.facts.latency, notice.facts.reason) == (1.5, "latency 1.5 is above 0.8")


async def test_no_data_is_told_by_a_rule_of_its_own(tmp_path: Path) -> None:
    rule = a_rule("silent", StatusIs(Status.NO_DATA), after=300, count=0)
    config = an_alert_config(tmp_path, rule, monitors=(a_monitor("earth"),))
    async with running(config, FakeClock()) as service:
        await minutes(service, "UP")
        await look(service, 240)
        assert await told(service) == []
        await look(service, 180)
        assert await told(service) == ["earth OPENED"]
        assert (await all_notices(service))[0].facts.reason == "no report since 12:01 UTC"


async def test_an_outage_that_was_over_when_it_became_known_is_not_told(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, a_rule()), FakeClock()) as service:
        await minutes(service, "UP")
        service.pass_time(1200)
        await service.beat("earth", "UP")
        for minute in range(2, 10):
            await service.beat("earth", "DOWN", at=NOON + 60 * minute)
            await look(service)
        await look(service, 60)
        assert await told(service) == []


async def test_while_a_backlog_comes_in_nothing_opens(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, a_rule()), FakeClock()) as service:
        service.pass_time(1200)
        for minute in range(20):  # what is newest so far is DOWN, until the newest of all has come in
            await service.beat("earth", "DOWN", at=NOON + 60 * minute)
            await look(service)
        await service.beat("earth", "UP")
        await look(service)
        assert await told(service) == []

        await service.beat("mars", "DOWN", at=NOON)
        await service.beat("mars", "DOWN")
        await look(service)
        await look(service, 30)
        assert await told(service) == []
        await look(service, 30)
        assert await told(service) == ["mars OPENED"]


async def test_a_late_report_that_shows_it_was_up_retracts(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, a_rule(), monitors=(a_monitor("earth", EXPECTED),))
    async with running(config, FakeClock()) as service:
        await minutes(service, "UP")
        await look(service, 600)
        assert await told(service) == ["earth OPENED"]
        for minute in range(2, 12):
            await service.beat("earth", "UP", at=NOON + 60 * minute)
        await look(service)
        (alert,) = await all_alerts(service)
        assert alert.closing is Closing.RETRACTED
        assert await told(service) == ["earth OPENED", "earth RETRACTED"]


async def test_a_restart_loses_nothing_and_tells_nothing_twice(tmp_path: Path) -> None:
    clock, config = FakeClock(), an_alert_config(tmp_path, a_rule())
    async with running(config, clock) as service:
        await minutes(service, "UP", "DOWN")
    clock.now += 30
    async with running(config, clock) as service:
        await look(service)
        await minutes(service, "DOWN")
        assert await told(service) == ["earth OPENED"]
    clock.now += 600
    async with running(config, clock) as service:  # recovered meanwhile
        await look(service)
        assert await told(service) == ["earth OPENED"]
        await minutes(service, "UP")
        assert await told(service) == ["earth OPENED", "earth RESOLVED"]


async def test_samples_stored_last_before_a_stop_are_evaluated_after_the_start(tmp_path: Path) -> None:
    clock, config = FakeClock(), an_alert_config(tmp_path, a_rule())
    async with running(replace(config, alerts=()), clock) as service:
        await service.beat("earth", "DOWN")
    clock.now += 5
    async with running(config, clock) as service:
        await look(service)
        assert await told(service) == ["earth OPENED"]


async def test_a_flapping_pair_is_told_of_once_and_settles_after_a_restart(tmp_path: Path) -> None:
    clock, config = FakeClock(), an_alert_config(tmp_path, a_rule())
    async with running(config, clock) as service:
        await minutes(service, *["DOWN", "UP"] * 20)
        three = ["earth OPENED", "earth RESOLVED"] * 3
        assert await told(service) == [*three, "earth FLAPPING"]
        assert (await all_notices(service))[-1].facts.changes == 7
    async with running(config, clock) as service:
        await minutes(service, *["UP"] * 16)
        assert await told(service) == [*three, "earth FLAPPING", "earth SETTLED"]
        settled = (await all_notices(service))[-1]
        assert (settled.facts.changes, settled.facts.status) == (34, Status.UP)


async def test_a_maintenance_silences_opening_and_closing(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, a_rule(remind_every=60)), clock) as service:
        await minutes(service, "UP", "DOWN")
        assert await told(service) == ["earth OPENED"]
        await maintenance(service, clock() + 60, clock() + 660)
        await minutes(service, "DOWN", "UP", "UP")
        assert await told(service) == ["earth OPENED"]
        service.pass_time(600)
        await minutes(service, "UP")
        assert await told(service) == ["earth OPENED", "earth RESOLVED"]


async def test_down_during_a_maintenance_is_told_after_its_end_and_after(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, a_rule(after=180)), clock) as service:
        await minutes(service, "UP")
        await maintenance(service, clock(), clock() + 300)
        await minutes(service, *["DOWN"] * 8)
        assert await told(service) == []
        await minutes(service, "DOWN")
        assert await told(service) == ["earth OPENED"]
        assert (await open_alerts(service))[0].since == NOON + 360  # the first minute measured as DOWN


async def test_a_maintenance_that_is_deleted_or_moved_is_followed_at_once(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, a_rule()), clock) as service:
        number = await maintenance(service, clock(), clock() + 3600)
        await minutes(service, "DOWN")
        assert await told(service) == []
        later = {
            "title": "Work",
            "startDatetime": clock() + 7200,
            "endDatetime": clock() + 9000,
            "tags": ["earth"],
        }
        status, _ = await service.ask("PATCH", f"/api/incident/{number}", json=later)
        assert status == 200
        await look(service)
        assert await told(service) == ["earth OPENED"]


async def test_reminders_stop_with_an_acknowledgement(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, a_rule(remind_every=120)), clock) as service:
        await minutes(service, "DOWN", "DOWN", "DOWN")
        assert await told(service) == ["earth OPENED", "earth REMINDED"]
        monitor = (await open_alerts(service))[0].monitor
        await service.app[keys.DATABASE].write(alerts.acknowledge, monitor, clock(), "ada", "cli")
        await minutes(service, *["DOWN"] * 5)
        assert await told(service) == ["earth OPENED", "earth REMINDED"]


async def test_a_rule_that_opens_in_an_acknowledged_outage_opens_quietly(tmp_path: Path) -> None:
    rules = (a_rule(), a_rule("long", after=300, count=0))
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, *rules), clock) as service:
        await minutes(service, "UP", "DOWN")
        monitor = (await open_alerts(service))[0].monitor
        await service.app[keys.DATABASE].write(alerts.acknowledge, monitor, clock(), "ada", "cli")
        await minutes(service, *["DOWN"] * 6)
        quiet = (await open_alerts(service))[1]
        assert (quiet.rule, quiet.told_at, quiet.acknowledged_by) == ("long", None, "ada")
        assert await told(service) == ["earth OPENED"]


async def test_while_a_parent_is_bad_its_children_open_quietly(tmp_path: Path) -> None:
    monitors = (a_monitor("router"), a_monitor("earth", depends_on=("router",)))
    config = an_alert_config(tmp_path, a_rule(after=120), monitors=monitors)
    async with running(config, FakeClock()) as service:
        for status in ("UP", "DOWN", "DOWN", "DOWN", "DOWN"):
            await look(service, 60)
            await service.beat("router", status)
            await service.beat("earth", status)
            await look(service)
        router, earth = await open_alerts(service)
        assert (router.told_at is None, earth.told_at) == (False, None)
        assert earth.because == router.monitor
        assert await told(service) == ["router OPENED"]
        for count in range(4):  # the child is told of when it was bad for `after` beside a good parent
            assert await told(service) == ["router OPENED", "router RESOLVED"][: 1 + bool(count)]
            await look(service, 60)
            await service.beat("router", "UP")
            await service.beat("earth", "DOWN")
            await look(service)
        assert (await told(service))[2:] == ["earth OPENED"]
        assert (await all_notices(service))[-1].facts.because == "router"


async def test_uptime_below_compares_the_published_figure(tmp_path: Path) -> None:
    rule = a_rule("slo", UptimeBelow(90.0, "24h", 95.0))
    async with running(an_alert_config(tmp_path, rule), FakeClock()) as service:
        await minutes(service, *["UP"] * 10, "DOWN")
        assert await told(service) == []
        await minutes(service, "DOWN")
        await look(service, 60)
        (notice,) = await all_notices(service)
        assert notice.facts.reason == "the uptime of 24h is below 90 %"
        await minutes(service, *["UP"] * 20)
        assert len(await told(service)) == 1  # above 90, not yet above 95
        await minutes(service, *["UP"] * 20)
        assert (await told(service))[1:] == ["earth RESOLVED"]


async def test_a_burn_rate_ends_soon_after_its_cause(tmp_path: Path) -> None:
    rule = a_rule("burn", BurnRate(14.4, 99.0, 3600, 300))
    monitor = a_monitor("earth", objective=Objective(99.0, "30d"))
    async with running(an_alert_config(tmp_path, rule, monitors=(monitor,)), FakeClock()) as service:
        await minutes(service, *["UP"] * 30)
        await minutes(service, *["DOWN"] * 8)
        assert await told(service) == ["earth OPENED"]
        await minutes(service, *["UP"] * 7)
        assert await told(service) == ["earth OPENED", "earth RESOLVED"]


async def test_outside_its_hours_a_message_waits_for_the_next(tmp_path: Path) -> None:
    hours = Hours(frozenset({0, 1, 2, 3, 4}), 13 * 60, 18 * 60, "UTC")
    async with running(an_alert_config(tmp_path, a_rule(hours=hours)), FakeClock()) as service:
        await minutes(service, "DOWN")
        (delivery,) = await all_deliveries(service)
        assert delivery.due_at == NOON + 3600
        assert delivery.attempts == 0


async def test_a_channel_hears_of_what_it_is_told_and_a_new_one_of_the_next_event(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, a_rule(), channels=("ops", "more"))
    async with running(config, FakeClock()) as service:
        await minutes(service, "DOWN")
        both = replace(config.alerts[0], rule=a_rule(to=("ops", "more")))
        deaf = replace(config.channels[0], tell=("opened",))
        await reload(service, replace(config, alerts=(both,), channels=(deaf, config.channels[1])))
        await minutes(service, "UP")
        sent = [(one.channel, one.notice.kind) for one in await all_deliveries(service)]
        assert sent == [("ops", NoticeKind.OPENED), ("more", NoticeKind.RESOLVED)]


async def closed(service: Service) -> list[Alert]:
    return [alert for alert in await all_alerts(service) if alert.closed_at is not None]


async def test_a_rule_or_monitor_that_is_gone_closes_its_alerts_and_tells_nobody(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, a_rule(), a_rule("other"))
    async with running(config, FakeClock()) as service:
        await minutes(service, "DOWN")
        await minutes(service, "DOWN", tag="mars")
        await reload(service, replace(config, alerts=config.alerts[:1]))
        assert {(alert.rule, alert.closing) for alert in await closed(service)} == {
            ("other", Closing.REMOVED)
        }
        assert {alert.rule for alert in await open_alerts(service)} == {"outage"}

        await reload(service, replace(config, alerts=config.alerts[:1], monitors=config.monitors[:1]))
        assert [alert.rule for alert in await open_alerts(service)] == ["outage"]

        hidden = replace(config.monitors[0], hidden=True)
        await reload(service, replace(config, alerts=config.alerts[:1], monitors=(hidden,)))
        assert await open_alerts(service) == []
        assert {text.split()[1] for text in await told(service)} == {"OPENED"}


async def test_thresholds_that_change_hold_from_the_next_look(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, a_rule(after=3600))
    async with running(config, FakeClock()) as service:
        await minutes(service, *["DOWN"] * 5)
        assert await told(service) == []
        await reload(service, replace(config, alerts=(replace(config.alerts[0], rule=a_rule(after=120)),)))
        assert await told(service) == ["earth OPENED"]


async def test_a_clock_set_back_neither_tells_again_nor_loses_the_end(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(an_alert_config(tmp_path, a_rule()), clock) as service:
        await minutes(service, "UP", "DOWN")
        service.jump(-3600)
        await look(service)
        await service.beat("earth", "DOWN")
        await look(service)
        assert await told(service) == ["earth OPENED"]
        await minutes(service, "UP")
        assert await open_alerts(service) == []
        assert len(await told(service)) == 2


async def test_a_storm_is_evaluated_in_a_few_transactions(tmp_path: Path) -> None:
    monitors = tuple(a_monitor(f"m{number}") for number in range(60))
    async with running(an_alert_config(tmp_path, a_rule(), monitors=monitors), FakeClock()) as service:
        await asyncio.gather(*(service.beat(monitor.tag, "DOWN") for monitor in monitors))
        await look(service)
        assert len(await open_alerts(service)) == 60


async def test_what_could_not_be_stored_is_evaluated_again(tmp_path: Path) -> None:
    async with running(an_alert_config(tmp_path, a_rule()), FakeClock()) as service:
        await service.beat("earth", "DOWN")
        store = service.app[keys.DATABASE]

        async def refuse(*work: object) -> object:
            raise Unavailable("the disk is full")

        store.write, write = refuse, store.write
        with pytest.raises(Unavailable):
            await look(service)
        store.write = write
        await look(service)
        assert await told(service) == ["earth OPENED"]


async def test_a_monitor_that_fails_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = evaluations.Evaluation.run

    def run(evaluation: evaluations.Evaluation) -> None:
        if evaluation.monitor == 1:
            raise RuntimeError("broken")
        sound(evaluation)

    monkeypatch.setattr(evaluations.Evaluation, "run", run)
    async with running(an_alert_config(tmp_path, a_rule()), FakeClock()) as service:
        await service.beat("earth", "DOWN")
        await service.beat("mars", "DOWN")
        await look(service)
        assert await told(service) == ["mars OPENED"]


async def test_channels_that_keep_alerts_open_hear_that_one_was_removed(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, a_rule(to=("ops", "pager")), channels=("ops", "pager"))
    async with running(config, FakeClock()) as service:
        evaluator = service.app[keys.ALERTS]
        evaluator.configure(alert_plan(config, frozenset({"pager"})))
        await minutes(service, "DOWN")
        without = replace(config, alerts=())
        evaluator.configure(alert_plan(without, frozenset({"pager"})))
        await look(service)
        sent = [(one.channel, one.notice.kind.name) for one in await all_deliveries(service)]
        assert sent == [("ops", "OPENED"), ("pager", "OPENED"), ("pager", "REMOVED")]
        assert (await all_notices(service))[-1].facts.monitor == "earth"


async def test_a_change_of_settings_is_followed(tmp_path: Path) -> None:
    """A deadline that is introduced begins anew, and is evaluated when it has passed."""
    config = an_alert_config(tmp_path, a_rule(), monitors=(a_monitor("earth"),))
    async with running(config, FakeClock()) as service:
        await minutes(service, "UP")
        await look(service, 3600)
        await reload(service, replace(config, monitors=(a_monitor("earth", EXPECTED),)))
        await look(service, 300)
        assert await told(service) == []
        await look(service, 120)
        assert await told(service) == ["earth OPENED"]


async def test_a_gap_of_the_observer_is_no_outage(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, a_rule(), monitors=(a_monitor("earth", EXPECTED),))
    async with running(config, FakeClock()) as service:
        await minutes(service, "UP")
        service.jump(7200)
        await service.app[keys.ALERTS].look()
        await look(service, 240)
        assert await told(service) == []
        await look(service, 180)
        assert await told(service) == ["earth OPENED"]


async def test_a_long_outage_is_read_once_and_then_by_the_quarter(tmp_path: Path) -> None:
    rule = a_rule(after=5 * 86400, count=0)
    config = an_alert_config(tmp_path, rule, monitors=(a_monitor("earth", OUTLASTING),))
    async with running(config, FakeClock()) as service:
        await minutes(service, "UP", "DOWN")
        service.pass_time(4 * 86400)
        await service.roll()
        await look(service)
        reads: list[object] = []
        store = service.app[keys.DATABASE]
        read = store.read

        async def counted(work: object, *arguments: object) -> object:
            reads.append(work)
            return await read(work, *arguments)

        store.read = counted
        for _ in range(3):
            await look(service, 60)
        assert alert_streaks.before not in reads
        store.read = read
        service.pass_time(86400)
        await service.roll()
        await look(service)
        (alert,) = await open_alerts(service)
        assert alert.since == NOON + 120


async def test_a_late_report_counts_in_a_streak_that_was_read_before(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, a_rule(), monitors=(a_monitor("earth"),))
    async with running(config, FakeClock()) as service:
        await minutes(service, "UP")
        service.pass_time(1200)
        await service.roll()
        await look(service)  # reads that the last word of the quarter before was UP
        await service.beat("earth", "DOWN", at=NOON + 720)
        await look(service)
        assert await told(service) == []
        await look(service, 60)
        assert await told(service) == ["earth OPENED"]


async def test_a_parent_whose_own_rule_is_gone_has_its_alert_closed(tmp_path: Path) -> None:
    monitors = (a_monitor("router"), a_monitor("earth", depends_on=("router",)))
    config = an_alert_config(tmp_path, a_rule(), monitors=monitors)
    async with running(config, FakeClock()) as service:
        await minutes(service, "DOWN", tag="router")
        only = replace(config.alerts[0], monitors=("earth",))
        await reload(service, replace(config, alerts=(only,)))
        assert await open_alerts(service) == []
