"""Heartbeats and the status of a monitor, over HTTP."""

import json
from typing import Any

import pytest

from kener_async import keys
from kener_async.domain.samples import Sample, Status
from kener_async.store import samples
from tests.rigs.service import NOON, Service

BEAT = {"tag": "earth", "status": "UP", "latency": 0.1}


async def test_the_answer_names_the_minute_that_was_stored(service: Service):
    assert await service.beat(at=NOON - 61) == {"status": 200, "message": f"success at {NOON - 120}"}


async def test_a_heartbeat_is_seen_by_the_next_request(service: Service):
    await service.beat(status="DEGRADED")
    assert await service.get("/api/status", tag="earth") == {
        "status": "DEGRADED",
        "uptime": "100",
        "lastUpdatedAt": NOON,
    }


async def test_a_late_heartbeat_is_seen_by_the_next_request(service: Service):
    service.pass_time(7200)
    await service.beat()
    await service.beat(status="DOWN", at=NOON)
    assert (await service.get("/api/status", tag="earth"))["uptime"] == "50"


async def test_a_monitor_without_data_has_no_status_but_an_answer(service: Service):
    assert await service.get("/api/status", tag="mars") == {"uptime": "-"}


async def test_two_thirds_have_four_decimals(service: Service):
    for minute, status in enumerate(("UP", "UP", "DOWN")):
        await service.beat(status=status, at=NOON - 60 * minute)
    assert (await service.get("/api/status", tag="earth"))["uptime"] == "66.6667"


async def test_the_answer_as_of_an_earlier_instant_knows_nothing_later(service: Service):
    await service.beat(status="DOWN", at=NOON - 3600)
    await service.beat(status="UP")
    answer = await service.get("/api/status", tag="earth", timestamp=NOON - 3000)
    assert answer == {"status": "DOWN", "uptime": "0", "lastUpdatedAt": NOON - 3600}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"status": "sideways"}, "status missing"),
        ({"status": 1}, "status missing"),
        ({"latency": "12"}, "latency missing or not a number"),
        ({"latency": True}, "latency missing or not a number"),
        ({"latency": -0.1}, "latency missing or not a number"),
        ({"latency": None}, "latency missing or not a number"),
        ({"timestampInSeconds": NOON + 61}, "timestampInSeconds is in future"),
        ({"timestampInSeconds": NOON - 90 * 86400 - 60}, "timestampInSeconds is older than 90days"),
        ({"timestampInSeconds": "1"}, "Invalid timestampInSeconds"),
        ({"timestampInSeconds": 1.5}, "Invalid timestampInSeconds"),
        ({"timestampInSeconds": None}, "Invalid timestampInSeconds"),
        ({"tag": "pluto"}, "invalid tag"),
        ({"tag": "Earth"}, 'invalid tag, did you mean "earth"?'),
        ({"tag": "erth "}, 'invalid tag, did you mean "earth"?'),
        ({"status": "up"}, 'status missing: must be UP, DOWN or DEGRADED; write "UP"'),
        ({"status": " Down"}, 'status missing: must be UP, DOWN or DEGRADED; write "DOWN"'),
        ({"latency": 1.1e12}, "latency: must be at most 1000000000000"),
        ({"latency": 1.7e308}, "latency: must be at most 1000000000000"),
        ({"latency": 2**63 - 1}, "latency: must be at most 1000000000000"),
        (
            {"timestampInSeconds": NOON * 1000},
            "Invalid timestampInSeconds: must be UTC seconds, an integer; "
            f"{NOON}000 looks like milliseconds, {NOON} is seconds",
        ),
        (
            {"timestampInSeconds": NOON * 1000 + 0.5},
            "Invalid timestampInSeconds: must be UTC seconds, an integer;",
        ),
        (
            {"timestampInSeconds": NOON * 10**6},
            "Invalid timestampInSeconds: must be UTC seconds, an integer; "
            f"{NOON}000000 looks like microseconds, {NOON} is seconds",
        ),
        (
            {"timestampInSeconds": NOON * 10**9},
            "Invalid timestampInSeconds: must be UTC seconds, an integer; ",
        ),
        ({"tag": 7}, "tag missing"),
    ],
)
async def test_a_heartbeat_that_cannot_be_says_which_field_is_wrong(service: Service, body, error):
    status, answer = await service.ask("POST", "/api/status", json=BEAT | body)
    assert (status, answer["error"][: len(error)]) == (400, error)


MISSPELLED = [
    "timestamp",
    "Timestamp",
    "timestampInSecond",
    "timestamp_in_seconds",
    "TIMESTAMPINSECONDS",
    "timestampInMs",
    "timeStampInSeconds",
    "timstampInSeconds",
]


@pytest.mark.parametrize("name", MISSPELLED)
async def test_a_misspelled_timestamp_is_not_stored_as_now(service: Service, name: str):
    error = f"{name} is unknown, did you mean timestampInSeconds?"
    sample = BEAT | {name: NOON - 3600}
    assert await service.ask("POST", "/api/status", json=sample) == (400, {"error": error})
    for body in (json.dumps({"samples": [sample]}), json.dumps(sample) + "\n"):
        _, answer = await service.ask("POST", "/api/status/batch", data=body)
        assert answer["results"] == [{"verdict": "rejected", "error": error}]
    assert await service.get("/api/status", tag="earth") == {"uptime": "-"}


@pytest.mark.parametrize(
    "more",
    [{"timestamp": 1, "timestampInSeconds": NOON}, {"time": 1}, {"ts": 1}, {"timeout": 5}, {"tags": []}],
)
async def test_other_unknown_fields_are_ignored(service: Service, more: dict[str, Any]):
    assert (await service.post("/api/status", BEAT | more))["message"] == f"success at {NOON}"


async def test_only_tags_that_the_token_may_use_are_suggested(service: Service):
    token = await service.mint(tags=("mar*",))
    status, answer = await service.ask("POST", "/api/status", token, json=BEAT | {"tag": "marz"})
    assert (status, answer["error"]) == (400, 'invalid tag, did you mean "mars"?')
    token = await service.mint(tags=("eart",))
    status, answer = await service.ask("POST", "/api/status", token, json=BEAT | {"tag": "eart"})
    assert (status, answer["error"]) == (400, "invalid tag")


async def test_latencies_that_were_stored_before_there_was_a_bound_have_figures(service: Service):
    for minute, latency in enumerate((1.7e308, 1.7e308, 5.0)):
        stored = Sample(service.app[keys.STATES].find("earth").id, NOON - 60 * minute, Status.UP, latency)
        await service.app[keys.DATABASE].write(samples.record, [stored])
    for _ in range(2):
        latency = (await service.get("/api/monitors/earth/uptime", window="24h"))["latency"]
        assert (latency["min"], latency["max"], latency["count"]) == (5.0, 1e12, 3)
        assert latency["average"] == pytest.approx(2e12 / 3)
        service.pass_time(3600)
        await service.roll()
    async with service.client.get("/monitor/earth") as reply:
        assert " inf" not in await reply.text()


async def test_several_faults_are_all_named(service: Service):
    _, answer = await service.ask("POST", "/api/status", json={})
    assert answer["error"] == (
        "status missing: must be UP, DOWN or DEGRADED; "
        "latency missing or not a number: must be a number, at least 0; "
        "tag missing: must be the tag of a monitor"
    )


async def test_a_list_of_samples_is_told_where_batches_go(service: Service):
    status, answer = await service.ask("POST", "/api/status", json=[BEAT])
    assert (status, answer["error"]) == (
        400,
        "the body must be a JSON object; POST /api/status/batch takes many samples",
    )


@pytest.mark.parametrize("body", [b"", b"[]", b'{"tag":"pluto","status":"UP","latency":1}'])
async def test_a_refused_heartbeat_costs_its_senders_share(service: Service, body: bytes):
    service.change("ingest", token_rate=1, token_burst=1)
    answers = [await service.ask("POST", "/api/status", data=body) for _ in range(3)]
    assert [status for status, _ in answers] == [400, 400, 429]


async def test_a_clock_that_is_a_little_fast_means_now(service: Service):
    assert (await service.beat(at=NOON + 60))["message"] == f"success at {NOON}"


async def test_whole_numbers_may_be_written_with_a_point(service: Service):
    assert (await service.beat(at=float(NOON)))["message"] == f"success at {NOON}"


async def test_the_last_write_of_a_minute_wins(service: Service):
    await service.beat(status="DOWN")
    await service.beat(status="UP")
    assert (await service.get("/api/status", tag="earth"))["status"] == "UP"
