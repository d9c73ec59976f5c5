"""`doctor`, `status` and /metrics on checks: those that measure nothing, certificates that end soon."""

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.model import Config
from kener_async.domain.calendar import DAY
from kener_async.domain.checks import Attempt, CheckTiming, SeenCertificate
from kener_async.domain.samples import Sample, SampleSource, Status
from kener_async.ops import check_diagnosis, doctor
from kener_async.ops import status as statuses
from kener_async.probes.settings import CheckSettings, TlsTarget
from kener_async.store import certificates, check_conditions, check_faults, samples
from kener_async.store.check_conditions import CheckConditions
from tests.rigs.service import NOON, FakeClock, a_config, a_monitor, running

EARTH = 1
NAMES = "no name can be resolved now"


def checked(folder: Path) -> Config:
    check = CheckSettings("earth", TlsTarget("127.0.0.1", 1), CheckTiming(10**7, 1))
    return a_config(folder, a_monitor("earth", check=check), a_monitor("mars"))


@pytest.mark.parametrize(
    ("not_measured", "ends", "said"),
    [
        ({}, {}, ["ok checks: 1 configured, all could be made"]),
        ({"earth": NAMES}, {}, [f"warn checks: earth is not measured: {NAMES}"]),
        ({"mars": NAMES}, {}, ["ok checks: 1 configured, all could be made"]),  # which has no check any more
        ({}, {"earth": 15 * DAY}, ["ok checks: ", "ok certificates: 1 seen, none ends within 14 days"]),
        ({}, {"earth": 3 * DAY}, ["ok checks: ", "warn certificates: that of earth ends on 2026-01-03"]),
        ({}, {"earth": 0}, ["ok checks: ", "warn certificates: that of earth ended on 2025-12-31"]),
    ],
)
def test_the_doctor_judges_checks(
    tmp_path: Path, not_measured: Mapping[str, str], ends: Mapping[str, int], said: Sequence[str]
):
    seen = CheckConditions(not_measured, {tag: NOON + left for tag, left in ends.items()})
    findings = list(check_diagnosis.of_checks(checked(tmp_path), seen, NOON))
    lines = [f"{finding.state} {finding.check}: {finding.text}" for finding in findings]
    assert len(lines) == len(said)
    assert all(line.startswith(begin) for line, begin in zip(lines, said, strict=True)), lines


def test_without_checks_the_doctor_says_nothing_of_them(tmp_path: Path):
    seen = CheckConditions({"earth": NAMES}, {"earth": NOON})
    assert list(check_diagnosis.of_checks(a_config(tmp_path, a_monitor("earth")), seen, NOON)) == []


def store(session: sqlite3.Connection, attempts: Sequence[Attempt], measured: Sequence[Sample]) -> None:
    check_faults.add(session, EARTH, attempts)
    samples.record(session, measured)
    seen = SeenCertificate(bytes(32), "CN=earth", "CN=Root", NOON + 3 * DAY)
    certificates.note(session, EARTH, [seen], NOON)


NOT_MEASURED = Attempt(NOON + 5.5, None, reason=NAMES)
LATER = Sample(EARTH, NOON + 60, Status.UP, 0.1, SampleSource.CHECK)


@pytest.mark.parametrize(
    ("attempts", "measured", "since", "found"),
    [
        ([NOT_MEASURED], [], NOON, {"earth": NAMES}),
        ([NOT_MEASURED], [], NOON + 6, {}),
        ([NOT_MEASURED], [LATER], NOON, {}),
        ([NOT_MEASURED], [LATER._replace(source=SampleSource.PUSH)], NOON, {"earth": NAMES}),
        ([NOT_MEASURED], [LATER._replace(minute=NOON)], NOON, {"earth": NAMES}),
        ([NOT_MEASURED, Attempt(NOON + 9.0, Status.DOWN, reason="refused")], [], NOON, {}),
    ],
)
async def test_a_check_measures_nothing_until_it_does(
    tmp_path: Path, attempts: Sequence[Attempt], measured: Sequence[Sample], since: int, found: Any
):
    async with running(checked(tmp_path), FakeClock()) as service:
        database = service.app[keys.DATABASE]
        await database.write(store, attempts, measured)
        conditions = await database.read(check_conditions.read, since)
        assert conditions == CheckConditions(found, {"earth": NOON + 3 * DAY})


async def test_only_the_newest_fault_of_each_monitor_is_read(tmp_path: Path):
    async with running(checked(tmp_path), FakeClock()) as service:
        steps = await service.app[keys.DATABASE].write(plan)
    assert any(step.startswith("SCAN monitors") for step in steps)
    assert not [step for step in steps if "check_faults_by_time" in step]


def plan(session: sqlite3.Connection) -> list[str]:
    statements: list[str] = []
    session.set_trace_callback(statements.append)
    check_conditions.read(session, NOON)
    session.set_trace_callback(None)
    (asked,) = [each for each in statements if "check_faults" in each]
    return [str(row[3]) for row in session.execute(f"EXPLAIN QUERY PLAN {asked}")]


async def test_status_and_doctor_read_it_from_the_database(tmp_path: Path):
    config, clock = checked(tmp_path), FakeClock()
    async with running(config, clock) as service:
        await service.app[keys.DATABASE].write(store, [NOT_MEASURED], [])
        current = statuses.read_statuses(config, clock)
        assert list(statuses.remarks(current)) == [
            f"earth is not measured: {NAMES}",
            "the certificate of earth ends in 3d",
        ]
        earth, mars = statuses.as_json(current)["monitors"]
        assert (earth["notMeasured"], earth["certificateEndsAt"]) == (NAMES, NOON + 3 * DAY)
        assert (mars["notMeasured"], mars["certificateEndsAt"]) == (None, None)
        said = [finding.text for finding in doctor.examine(config, NOON)]
        assert any(text.startswith("earth is not measured") for text in said)


async def test_metrics_have_the_end_of_the_certificate_that_was_seen_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running(checked(tmp_path), FakeClock()) as service:
        check = service.app[keys.CHECKS]._checks["earth"]
        chain = [SeenCertificate(bytes([each]), "", "", NOON + each) for each in (9, 7)]
        assert "kener_certificate_ends_seconds{" not in await metrics(service)
        check.certificates = tuple(chain)
        line = next(line for line in (await metrics(service)).splitlines() if line.startswith("kener_cert"))
        assert float(line.rpartition(" ")[2]) == NOON + 7
        assert 'tag="earth"' in line


async def metrics(service: Any) -> str:
    async with service.client.get("/metrics") as reply:
        assert reply.status == 200
        return str(await reply.text())
