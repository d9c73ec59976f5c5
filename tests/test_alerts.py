"""The evaluator in the service, by the paragraphs of docs/alerts.md."""

from pathlib import Path

from kener_async.domain.samples import Status
from tests.rigs.alerts import a_rule, all_alerts, all_notices, an_alert_config, look, open_alerts, told
from tests.rigs.service import FakeClock, running


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
