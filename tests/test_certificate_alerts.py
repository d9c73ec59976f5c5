"""Alerts about what checks saw: certificates that end soon, and the reasons of failed attempts."""

from pathlib import Path

import pytest

from kener_async import keys
from kener_async.config.model import MonitorConfig
from kener_async.domain.alert_figures import certificate_side
from kener_async.domain.alert_reasons import certificate_reason
from kener_async.domain.alert_streaks import Side
from kener_async.domain.alerts import CertificateWithin
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.checks import Attempt, CheckTiming, SeenCertificate
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.probes.settings import CheckSettings, PingTarget, Target, TlsTarget
from kener_async.store import certificates, check_faults
from tests.rigs.alerts import a_rule, all_notices, an_alert_config, look, told
from tests.rigs.service import NOON, FakeClock, Service, a_monitor, running

SOON = a_rule("certificate", CertificateWithin(14 * DAY))
EARTH = 1


def checked(target: Target) -> MonitorConfig:
    return a_monitor("earth", check=CheckSettings("earth", target, CheckTiming(10**7, 1)))


async def see(service: Service, number: int, ends: int) -> None:
    """A check sees the certificate of a number, which ends at an instant."""
    seen = SeenCertificate(bytes([number]), "CN=earth", "CN=Root", ends)
    await service.app[keys.DATABASE].write(certificates.note, EARTH, [seen], service.clock())


async def test_a_certificate_that_ends_soon_is_told_until_another_one_is_seen(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, SOON, monitors=(checked(TlsTarget("127.0.0.1", 1)),))
    async with running(config, FakeClock()) as service:
        await look(service, 60)
        assert await told(service) == []  # none was seen
        await see(service, 1, NOON + 14 * DAY + 600)
        await look(service, 60)
        assert await told(service) == []
        await look(service, 600)
        (notice,) = await all_notices(service)
        assert notice.facts.certificate_ends == NOON + 14 * DAY + 600
        assert notice.facts.reason.startswith("the certificate ends in 13d, on ")
        assert notice.facts.status is Status.NO_DATA
        await look(service, HOUR)
        assert await told(service) == ["earth OPENED"]
        await see(service, 2, NOON + 90 * DAY)
        await look(service, 60)
        await see(service, 1, NOON + 14 * DAY + 600)  # by another node of the target
        await look(service, 60)
        assert await told(service) == ["earth OPENED", "earth RESOLVED"]
        assert (await all_notices(service))[-1].facts.certificate_ends == NOON + 90 * DAY


async def test_a_rule_about_certificates_does_not_hold_where_none_is_seen(tmp_path: Path) -> None:
    config = an_alert_config(tmp_path, SOON, monitors=(checked(PingTarget("127.0.0.1")),))
    assert config.rules_of("earth") == ()
    async with running(config, FakeClock()) as service:
        await see(service, 1, NOON + DAY)
        await look(service, 60)
        assert await told(service) == []


@pytest.mark.parametrize(
    ("ends", "side"), [(None, None), (600, Side.GOOD), (599, Side.BAD), (0, Side.BAD), (-DAY, Side.BAD)]
)
def test_a_certificate_is_bad_that_ends_sooner(ends: int | None, side: Side | None) -> None:
    ends_at = None if ends is None else NOON + ends
    assert certificate_side(CertificateWithin(600), ends_at, NOON) is side


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        (13 * DAY + HOUR, "ends in 13d, on "),
        (2 * DAY - 1, "ends in 1d 23h 59m, on "),
        (5, "ends in 1m, on "),
        (0, "ended on "),
        (-DAY, "ended on "),
    ],
)
def test_how_soon_a_certificate_ends_is_said(ends: int, words: str) -> None:
    assert certificate_reason(NOON + ends, NOON).startswith(f"the certificate {words}20")


@pytest.mark.parametrize(
    ("source", "fault_at", "reason"),
    [
        (SampleSource.CHECK, 5.25, "status is 502"),
        (SampleSource.CHECK, -5.0, "reported DOWN"),  # of the minute before
        (SampleSource.PUSH, 5.25, "reported DOWN"),
    ],
)
async def test_a_message_quotes_what_the_check_saw(
    tmp_path: Path, source: SampleSource, fault_at: float, reason: str
) -> None:
    config = an_alert_config(tmp_path, a_rule(), monitors=(checked(PingTarget("127.0.0.1")),))
    async with running(config, FakeClock()) as service:
        attempt = Attempt(NOON + MINUTE + fault_at, Status.DOWN, 0.1, "status is 502")
        service.pass_time(MINUTE)
        await service.app[keys.DATABASE].write(check_faults.add, EARTH, [attempt])
        await service.app[keys.WRITER].put(Sample(EARTH, NOON + MINUTE, Status.DOWN, 0.1, source))
        await look(service)
        (notice,) = await all_notices(service)
        assert notice.facts.reason == reason
