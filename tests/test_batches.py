"""Batches: backlogs of devices, in any order, and more than once."""

import asyncio
import gzip
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from weakref import ReferenceType, ref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kener_async import keys
from kener_async.api.batches import TagResolver, _item
from kener_async.api.http.body import BODY_BUDGET, BodyBudget, parse, parse_flat
from kener_async.domain import batches as domain_batches
from kener_async.domain.access import Grant
from kener_async.domain.batches import Batch, Item, Verdict
from kener_async.domain.clocks import Stamp
from kener_async.domain.errors import Invalid, TooLarge
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.domain.samples import Status
from kener_async.domain.states import MonitorState, MonitorStates
from kener_async.domain.timeline import Layers
from kener_async.domain.uptime import NOTHING
from kener_async.store import batches, devices, monitors, observer
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.upgrade import prepare
from kener_async.web.pages.throttle import FairQueue
from tests.rigs import process
from tests.rigs.contract import complaints
from tests.rigs.database import record_batch
from tests.rigs.process import Client, Server, connected
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

HOUR = 3600
LIMITS = batches.IngestLimits(clock_skew=60, max_age_days=90)


def sample(ago: int = 0, tag: str = "earth", status: str = "UP", **fields: Any) -> dict[str, Any]:
    """A sample of `ago` minutes before noon."""
    return {
        "tag": tag,
        "status": status,
        "latency": 0.1,
        "timestampInSeconds": NOON - 60 * ago,
    } | fields


async def send(service: Service, *samples: Any, **head: Any) -> dict[str, Any]:
    answer = await service.post("/api/status/batch", {**head, "samples": list(samples)})
    assert sum(
        answer[verdict] for verdict in ("accepted", "duplicate", "superseded", "rejected", "refused")
    ) == len(samples)
    return dict(answer)


def verdicts(answer: dict[str, Any]) -> list[str]:
    return [result["verdict"] for result in answer["results"]]


async def minutes(service: Service, tag: str = "earth", hours: int = 3) -> dict[int, str]:
    """What is known of the minutes before noon, by how many minutes before."""
    answer = await service.get(
        f"/api/monitors/{tag}/history", resolution="minute", **{"from": NOON - hours * HOUR, "to": NOON + 60}
    )
    return {
        (NOON - item["from"]) // 60: item["status"] for item in answer["items"] if item["reason"] == "sample"
    }


# What is answered


async def test_each_sample_gets_a_verdict_in_order(service: Service):
    answer = await send(service, sample(2, status="DOWN"), sample(1), sample(0, tag="mars"))
    assert answer["results"] == [
        {"verdict": "accepted", "minute": NOON - 120},
        {"verdict": "accepted", "minute": NOON - 60},
        {"verdict": "accepted", "minute": NOON},
    ]
    assert await minutes(service) == {2: "DOWN", 1: "UP"}
    assert (await service.get("/api/status", tag="mars"))["status"] == "UP"


async def test_a_batch_that_is_sent_again_changes_nothing(service: Service):
    batch = [sample(2), sample(1, status="DOWN"), sample(1), {"tag": "earth"}]
    first = await send(service, *batch)
    revision = service.app[keys.STATES].revision
    second = await send(service, *batch)
    assert verdicts(first) == ["accepted", "superseded", "accepted", "rejected"]
    assert verdicts(second) == ["duplicate", "superseded", "duplicate", "rejected"]
    assert await minutes(service) == {2: "UP", 1: "UP"}
    assert service.app[keys.STATES].revision > revision  # it was heard, though


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"status": "FINE"}, "status missing: must be UP, DOWN or DEGRADED"),
        ({"latency": -1}, "latency missing or not a number: must be a number, at least 0"),
        ({"latency": 2e12}, "latency: must be at most 1000000000000"),
        ({"monotonic": 1e300, "boot": "b"}, "monotonic: must be at most 1000000000000"),
        ({"status": "up"}, 'status missing: must be UP, DOWN or DEGRADED; write "UP"'),
        ({"latency": "1"}, "latency missing or not a number: must be a number, at least 0"),
        ({"timestampInSeconds": NOON + 61}, "timestampInSeconds is in future"),
        ({"timestampInSeconds": NOON - 91 * 86400}, "timestampInSeconds is older than 90days"),
        ({"timestampInSeconds": "now"}, "Invalid timestampInSeconds: must be UTC seconds, an integer"),
        ({"seq": 1}, "device missing: seq is a number of a device"),
        ({"seq": -1, "device": "d"}, "Invalid seq: must be an integer from 0 on"),
        ({"seq": 2**53 + 1, "device": "d"}, "Invalid seq: must be an integer from 0 on"),
        ({"device": ""}, "Invalid device: must be text of 1 to 128 characters"),
        ({"device": 7}, "Invalid device: must be text of 1 to 128 characters"),
        ({"monotonic": "1"}, "Invalid monotonic: must be a number of seconds"),
        ({"boot": 1}, "Invalid boot: must be text of 1 to 128 characters"),
    ],
    ids=str,
)
async def test_a_bad_sample_is_rejected_alone(service: Service, bad: dict[str, Any], error: str):
    answer = await send(service, sample(2), sample(1) | bad, sample(0))
    assert answer["results"][1] == {"verdict": "rejected", "error": error}
    assert verdicts(answer) == ["accepted", "rejected", "accepted"]
    assert await minutes(service) == {2: "UP", 0: "UP"}


ODD: dict[str, list[Any]] = {
    "tag": ["pluto", 7],
    "status": ["FINE", None],
    "latency": [0, 0.5, 10**12, 1.1e12, -1, True, "1", None],
    "timestampInSeconds": [float(NOON), -1, 10**12, True, None],
    "seq": [0, 1, 5.0, -1, 2**53, 2**53 + 1, True, None],
    "device": ["b", None],
    "monotonic": [5.5],
    "boot": ["x"],
}
ODDITIES = st.sampled_from([(name, value) for name, values in ODD.items() for value in values])
SAID = st.lists(ODDITIES, max_size=2).map(lambda oddities: sample() | dict(oddities))


@given(SAID, st.sampled_from([{}, {"device": "a"}]))
def test_the_quick_way_reads_a_sample_as_the_schema_does(said: dict[str, Any], head: dict[str, Any]):
    states = MonitorStates()
    states.publish([MonitorState(7, "earth", NOON, NOTHING, Layers({}, None, (), (), ()))])
    grant = Grant("id", "test", frozenset(), None, None)
    anew, known = TagResolver(states, grant), TagResolver(states, grant)
    known.find("earth")
    thorough = _item(said | {"else": 1}, head, anew)  # which the quick way does not take
    assert _item(said, head, known) == thorough


async def test_an_unknown_tag_is_told_which_one_was_probably_meant(service: Service):
    answer = await send(service, sample(0, tag="Earth"))
    assert answer["results"] == [{"verdict": "refused", "error": 'invalid tag, did you mean "earth"?'}]


@pytest.mark.parametrize("bad", [None, 1, "UP", [], [sample()]], ids=repr)
async def test_what_is_no_object_is_no_sample(service: Service, bad: Any):
    answer = await send(service, bad, sample(0))
    assert answer["results"][0] == {"verdict": "rejected", "error": "a sample must be a JSON object"}
    assert verdicts(answer) == ["rejected", "accepted"]


async def test_a_token_writes_its_own_monitors_only(service: Service):
    token = await service.mint(tags=("mars",))
    status, answer = await service.ask(
        "POST", "/api/status/batch", token, json={"samples": [sample(), sample(tag="mars")]}
    )
    assert status == 200
    assert answer["results"][0] == {"verdict": "refused", "error": "the token is for other monitors"}
    assert verdicts(answer) == ["refused", "accepted"]
    assert await minutes(service) == {}


async def test_a_token_that_may_only_read_stores_nothing(service: Service):
    token = await service.mint(scopes=("status:read",))
    status, _ = await service.ask("POST", "/api/status/batch", token, json={"samples": [sample()]})
    assert status == 403


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "the body is not JSON"),
        (b"[]", 400, "the body must be a JSON object"),
        (b"{}", 400, "samples missing: must be a list of samples"),
        (b'{"samples": {}}', 400, "samples missing: must be a list of samples"),
        (b'{"samples": [1', 400, "the body is not JSON"),
        (b'{"samples": [1], "sentAt": "now"}', 400, "Invalid sentAt: must be UTC seconds"),
        (b'{"samples": [1], "sentAt": 1e300, "device": "d"}', 400, "sentAt: must be at most 253402127999"),
        (b'{"samples": [1], "sentAt": 9223372036854775807}', 400, "sentAt: must be at most 253402127999"),
        (
            b'{"samples": [1], "sentAt": 9223372036854775808}',
            400,
            "the body is not JSON: number out of range",
        ),
        (
            b'{"samples": [1], "sentAt": 1767182400123}',
            400,
            "Invalid sentAt: must be UTC seconds; 1767182400123 l",
        ),
        (
            b'{"samples": [1], "monotonic": 1e300, "device": "d"}',
            400,
            "monotonic: must be at most 1000000000000",
        ),
        (json.dumps({"samples": [1] * 10_001}).encode(), 400, "samples: at most 10000 in a batch"),
        (b'{"samples": [' + b" " * 4_194_304 + b"]}", 413, "the body is too large"),
    ],
    ids=[
        "empty",
        "list",
        "no samples",
        "object",
        "cut short",
        "sentAt",
        "float",
        "int64",
        "int65",
        "milliseconds",
        "monotonic",
        "too many",
        "too long",
    ],
)
async def test_a_batch_that_cannot_be_read_is_refused_as_a_whole(
    service: Service, body: bytes, status: int, error: str
):
    answered, answer = await service.ask("POST", "/api/status/batch", data=BytesIO(body))
    assert (answered, answer["error"][: len(error)]) == (status, error)


async def test_a_batch_may_name_a_hundred_devices(service: Service):
    batch = [sample(0, device=f"d{number}") for number in range(101)]
    status, answer = await service.ask("POST", "/api/status/batch", json={"samples": batch})
    assert (status, answer["error"]) == (400, "device: at most 100 different ones in a batch")
    await send(service, *batch[1:])


# JSON Lines and gzip


def lines(*values: Any) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


@pytest.mark.parametrize(
    "content_type", ["application/x-ndjson", "application/json", "application/x-www-form-urlencoded"]
)
async def test_samples_may_come_one_a_line(service: Service, content_type: str):
    status, answer = await service.ask(
        "POST",
        "/api/status/batch",
        data=lines(sample(2), sample(1)) + b'{"tag": "ear\n\xff\n\n' + lines(sample(0)),
        headers={"Content-Type": content_type},
    )
    assert status == 200
    assert verdicts(answer) == ["accepted", "accepted", "rejected", "rejected", "accepted"]
    assert answer["results"][2]["error"].startswith("the line is not JSON")
    assert answer["results"][3]["error"] == "the line is not UTF-8"
    assert await minutes(service) == {2: "UP", 1: "UP", 0: "UP"}


async def test_a_first_line_without_a_tag_speaks_for_all(service: Service):
    head = {"device": "gate", "sentAt": NOON - HOUR}
    _, answer = await service.ask(
        "POST",
        "/api/status/batch",
        data=lines(head, sample(60, seq=1), sample(61, seq=2)),
        headers={"Content-Type": "application/x-ndjson"},
    )
    assert answer["clock"] == {"offset": HOUR, "corrected": True}
    assert await minutes(service) == {0: "UP", 1: "UP"}
    (device,) = await service.get("/api/devices")
    assert (device["device"], device["clockOffset"]) == ("gate", HOUR)


async def test_one_line_is_a_batch_of_one(service: Service):
    _, answer = await service.ask("POST", "/api/status/batch", data=lines(sample(0)))
    assert verdicts(answer) == ["accepted"]


@pytest.mark.parametrize("members", [1, 3])
async def test_a_batch_may_be_packed(service: Service, members: int):
    some = [gzip.compress(lines(sample(number))) for number in range(members)]
    status, answer = await service.ask(
        "POST",
        "/api/status/batch",
        data=b"".join(some),
        headers={"Content-Encoding": "gzip", "Content-Type": "application/x-ndjson"},
    )
    assert (status, answer["accepted"]) == (200, members)


@pytest.mark.parametrize(
    ("encoding", "body", "status", "error"),
    [
        ("gzip", b"{}", 400, "the body is not gzip"),
        ("gzip", gzip.compress(lines(sample()))[:-9], 400, "the body is gzip, but cut short"),
        ("gzip", gzip.compress(bytes(1 << 26)), 413, "the body is larger than 4194304 bytes when it is"),
        ("br", b"{}", 415, "Content-Encoding: must be gzip or identity"),
    ],
    ids=["not packed", "cut short", "a bomb", "another packing"],
)
async def test_what_cannot_be_unpacked_is_refused(
    service: Service, encoding: str, body: bytes, status: int, error: str
):
    answered, answer = await service.ask(
        "POST", "/api/status/batch", data=body, headers={"Content-Encoding": encoding}
    )
    assert (answered, answer["error"][: len(error)]) == (status, error)


# Numbers


async def test_the_highest_number_speaks_for_its_minute_whenever_it_comes(service: Service):
    await send(service, sample(1, status="DOWN", seq=3), device="d")
    answer = await send(service, sample(1, status="UP", seq=2), sample(2, seq=1), device="d")
    assert verdicts(answer) == ["superseded", "accepted"]
    assert await minutes(service) == {1: "DOWN", 2: "UP"}


async def test_a_number_is_judged_once(service: Service):
    await send(service, sample(1, seq=1), sample(2, status="FINE", seq=2), device="d")
    await service.beat(status="DOWN", at=NOON - 60)
    answer = await send(service, sample(1, seq=1), sample(2, status="FINE", seq=2), device="d")
    assert verdicts(answer) == ["superseded", "rejected"]
    assert await minutes(service) == {1: "DOWN"}


REPEATED: list[tuple[str, list[dict[str, Any]], list[str]]] = [
    ("of one minute the highest number", [sample(1, seq=1, status="DOWN"), sample(1, seq=2)], ["s", "d"]),
    ("equal ones", [sample(1, seq=1), sample(1, seq=2)], ["s", "d"]),
    ("equal ones, reversed", [sample(1, seq=2), sample(1, seq=1)], ["d", "s"]),
    ("malformed", [sample(1, seq=1, latency=-1), sample(2, seq=2)], ["rejected", "d"]),
    ("in the future", [sample(-9, seq=1), sample(2, seq=2)], ["rejected", "d"]),
    ("too old", [sample(91 * 1440, seq=1), sample(2, seq=2)], ["rejected", "d"]),
    ("unknown", [sample(1, tag="pluto", seq=1), sample(2, seq=2)], ["refused", "d"]),
    ("without numbers", [sample(1, status="DOWN"), sample(1)], ["s", "d"]),
]


@pytest.mark.parametrize(
    ("samples", "again"), [row[1:] for row in REPEATED], ids=[row[0] for row in REPEATED]
)
async def test_verdicts_of_a_batch_that_is_sent_again_are_those_of_the_first_time(
    service: Service, samples: list[dict[str, Any]], again: list[str]
):
    """Except that what is stored is a duplicate."""
    words = {"s": "superseded", "d": "duplicate"}
    expected = [words.get(word, word) for word in again]
    first = await send(service, *samples, device="d")
    assert [word.replace("accepted", "duplicate") for word in verdicts(first)] == expected
    for _ in range(2):
        assert verdicts(await send(service, *samples, device="d")) == expected
    (device,) = await service.get("/api/devices")
    assert device["restarts"] == 0


# Refused: it may be accepted later


async def test_a_backlog_of_a_monitor_that_is_added_later_is_accepted_then(service: Service):
    backlog = [
        sample(9 - number, tag="pluto" if number % 2 else "earth", seq=number) for number in range(1, 9)
    ]
    answer = await send(service, *backlog, device="d")
    assert (answer["accepted"], answer["refused"]) == (4, 4)
    assert answer["results"][0] == {"verdict": "refused", "error": "invalid tag"}
    await service.configure(a_monitor("earth"), a_monitor("pluto"))
    answer = await send(service, *backlog, device="d")
    assert verdicts(answer) == ["accepted", "duplicate"] * 4
    assert await minutes(service, "pluto") == {8: "UP", 6: "UP", 4: "UP", 2: "UP"}
    (device,) = await service.get("/api/devices")
    assert (device["missing"], device["restarts"]) == (0, 0)


async def test_a_backlog_that_another_token_of_the_device_may_write_is_accepted_with_that(service: Service):
    narrow = await service.mint(tags=("mars",), sender="gate-7")
    wide = await service.mint(sender="gate-7")
    body = {"device": "d", "samples": [sample(2, seq=1), sample(1, tag="mars", seq=2)]}
    _, answer = await service.ask("POST", "/api/status/batch", narrow, json=body)
    assert verdicts(answer) == ["refused", "accepted"]
    _, answer = await service.ask("POST", "/api/status/batch", wide, json=body)
    assert verdicts(answer) == ["accepted", "duplicate"]


async def test_refused_samples_of_which_the_server_no_longer_keeps_the_numbers_are_still_accepted(
    service: Service,
):
    """Every second of 4,000 samples, which is more holes than are kept; of one minute the highest wins."""
    count = 4000
    backlog = [
        sample((count - number) // 4 + 3, tag="pluto" if number % 2 else "earth", seq=number, latency=number)
        for number in range(1, count + 1)
    ]
    assert (await send(service, *backlog, device="d"))["refused"] == count / 2
    (device,) = await service.get("/api/devices")
    assert device["missing"] == count / 2 - 1
    await service.configure(a_monitor("earth"), a_monitor("pluto"))
    pluto = [each for each in backlog if each["tag"] == "pluto"]
    answer = await send(service, *pluto, device="d")
    assert (answer["rejected"], answer["duplicate"]) == (0, 0)
    history = await service.get(
        "/api/monitors/pluto/history", resolution="minute", **{"from": NOON - 1010 * 60, "to": NOON}
    )
    stored = {item["from"]: item["latency"] for item in history["items"] if item["reason"] == "sample"}
    assert stored == {each["timestampInSeconds"]: each["latency"] for each in pluto}
    again = await send(service, *pluto, device="d")
    assert again["accepted"] == 0


# Whose numbers


async def test_a_known_sample_without_a_number_is_a_duplicate_also_beside_numbered_ones(service: Service):
    batch = [sample(1), sample(1, seq=1, device="d"), sample(1)]
    assert verdicts(await send(service, *batch)) == ["superseded", "superseded", "accepted"]
    mixed = [sample(1), sample(1, seq=1, device="d")]
    assert verdicts(await send(service, *mixed)) == ["duplicate", "duplicate"]


async def test_numbers_of_two_devices_do_not_meet(service: Service):
    answer = await send(service, sample(1, seq=1, device="a"), sample(0, seq=1, device="b"))
    assert verdicts(answer) == ["accepted", "accepted"]
    stranger = await service.mint(name="someone else")
    _, answer = await service.ask(
        "POST",
        "/api/status/batch",
        stranger,
        json={"device": "a", "samples": [sample(2, seq=1)]},
    )
    assert verdicts(answer) == ["accepted"]


async def test_two_tokens_of_one_name_do_not_share_the_numbers_of_a_device(service: Service):
    """The docs tell to give each site a token; that two have the same name loses nothing."""
    for tag in ("earth", "mars"):
        token = await service.mint(name="site", tags=(tag,))
        body = {"device": "gate", "samples": [sample(2, tag=tag, seq=1), sample(1, tag=tag, seq=2)]}
        _, answer = await service.ask("POST", "/api/status/batch", token, json=body)
        assert verdicts(answer) == ["accepted", "accepted"]
    listed = await service.get("/api/devices")
    assert [(each["sender"], each["device"], each["tags"], each["missing"]) for each in listed] == [
        ("site", "gate", ["earth"], 0),
        ("site", "gate", ["mars"], 0),
    ]


async def test_a_new_token_of_the_same_name_loses_nothing_of_a_device_that_goes_on_counting(
    service: Service,
):
    old, new = await service.mint(name="site"), await service.mint(name="site")
    kept = [sample(9 - number, seq=number) for number in range(1, 6)]
    await service.ask("POST", "/api/status/batch", old, json={"device": "d", "samples": kept[:4]})
    _, answer = await service.ask("POST", "/api/status/batch", new, json={"device": "d", "samples": kept[3:]})
    assert verdicts(answer) == ["accepted", "accepted"]
    assert await minutes(service) == dict.fromkeys(range(4, 9), "UP")


async def test_a_token_that_replaces_another_goes_on_with_its_devices(service: Service):
    old = await service.mint(name="site", id="old")
    new = await service.mint(name="site", sender="old")
    kept = [sample(9 - number, seq=number) for number in range(1, 6)]
    await service.ask("POST", "/api/status/batch", old, json={"device": "d", "samples": kept[:4]})
    _, answer = await service.ask("POST", "/api/status/batch", new, json={"device": "d", "samples": kept[3:]})
    assert verdicts(answer) == ["duplicate", "accepted"]
    (device,) = await service.get("/api/devices")
    assert (device["sender"], device["missing"]) == ("site", 0)


async def test_numbers_that_did_not_come_are_counted_until_they_do(service: Service):
    await send(service, sample(9, seq=1), sample(5, seq=5), device="d")
    (device,) = await service.get("/api/devices")
    assert (device["missing"], device["newestMinute"], device["tags"]) == (3, NOON - 300, ["earth"])
    await send(service, sample(8, seq=2), sample(6, seq=4), device="d")
    (device,) = await service.get("/api/devices")
    assert device["missing"] == 1


async def test_a_device_that_counts_from_one_again_loses_nothing(service: Service):
    await send(service, *(sample(60 - number, seq=number) for number in range(1, 31)), device="d")
    answer = await send(service, *(sample(10 - number, seq=number) for number in range(1, 11)), device="d")
    assert answer["accepted"] == 10
    (device,) = await service.get("/api/devices")
    assert (device["restarts"], device["missing"]) == (1, 0)
    again = await send(service, *(sample(10 - number, seq=number) for number in range(1, 11)), device="d")
    assert again["duplicate"] == 10


@pytest.mark.parametrize("minutes_later", [0, 1])
async def test_a_device_that_counts_from_one_again_within_the_minute_loses_nothing(
    service: Service, minutes_later: int
):
    await send(service, *(sample(31 - number, seq=number) for number in range(1, 31)), device="d")
    again = sample(1 - minutes_later, status="DOWN", seq=1)
    assert verdicts(await send(service, again, device="d")) == ["accepted"]
    assert verdicts(await send(service, again, device="d")) == ["duplicate"]
    assert (await service.get("/api/status", tag="earth"))["status"] == "DOWN"
    (device,) = await service.get("/api/devices")
    assert device["restarts"] == 1


async def test_a_device_that_loses_its_memory_after_its_first_sample_loses_nothing(service: Service):
    await send(service, sample(1, seq=1), device="d")
    answer = await send(service, sample(1, status="DOWN", seq=1), sample(0, seq=2), device="d")
    assert verdicts(answer) == ["accepted", "accepted"]
    assert await minutes(service) == {1: "DOWN", 0: "UP"}


async def test_what_was_in_the_future_and_comes_again_in_time_is_no_restart(service: Service):
    await send(service, sample(1, seq=1), sample(-5, seq=2), device="d")
    service.pass_time(300)
    answer = await send(service, sample(-5, seq=2), sample(-4, seq=3), device="d")
    assert verdicts(answer) == ["accepted", "accepted"]
    (device,) = await service.get("/api/devices")
    assert (device["restarts"], device["missing"]) == (0, 0)


async def test_an_answer_that_was_lost_is_no_restart_however_late_the_batch_comes_again(service: Service):
    batch = [sample(1, seq=1), sample(0, seq=2)]
    await send(service, *batch, device="d")
    service.pass_time(3 * HOUR)
    assert verdicts(await send(service, *batch, device="d")) == ["duplicate", "duplicate"]
    (device,) = await service.get("/api/devices")
    assert device["restarts"] == 0


async def test_a_device_is_listed_for_tokens_that_may_read_all_its_monitors(service: Service):
    await send(service, sample(device="a"), sample(tag="mars", device="b"))
    token = await service.mint(tags=("mars",))
    _, seen = await service.ask("GET", "/api/devices", token)
    assert [device["device"] for device in seen] == ["b"]


async def test_what_devices_are_remembered_for_outlives_a_restart(config, clock: FakeClock):
    async with running(config, clock) as service:
        token = service.token
        await send(service, sample(3, seq=1), sample(1, status="DOWN", seq=3), device="d", sentAt=NOON + 9)
        heard = (await service.get("/api/monitors"))[0]["lastHeardAt"]
    async with running(config, clock) as service:
        service.token = token
        answer = await send(service, sample(1, seq=2), sample(1, status="DOWN", seq=3), device="d")
        assert verdicts(answer) == ["superseded", "duplicate"]
        assert (await service.get("/api/monitors"))[0]["lastHeardAt"] == heard == NOON


# DeviceClocks


async def test_minutes_of_a_wrong_clock_are_put_right(service: Service):
    """A clock 3 hours fast, one at 1970, one that was set back: in the end each minute is right."""
    fast = await send(
        service, sample(-178), sample(-179, status="DOWN"), device="fast", sentAt=NOON + 3 * HOUR
    )
    assert fast["clock"] == {"offset": -3 * HOUR, "corrected": True}
    assert await minutes(service) == {2: "UP", 1: "DOWN"}

    at_1970 = sample(tag="mars", timestampInSeconds=400, monotonic=400, boot="b")
    await send(service, at_1970, device="cheap", sentAt=NOON, monotonic=1000, boot="b")
    assert await minutes(service, "mars") == {10: "UP"}

    set_back = sample(-60, tag="mars", monotonic=700, boot="c")
    await send(service, set_back, device="stepping", sentAt=NOON, monotonic=1000, boot="c")
    assert await minutes(service, "mars") == {10: "UP", 5: "UP"}


async def test_a_known_offset_is_applied_also_below_a_minute(service: Service):
    """The first time it may be the time on the network."""
    for number, minute in ((1, NOON - 60), (2, NOON)):
        answer = await send(
            service, sample(seq=number, timestampInSeconds=NOON - 15), device="d", sentAt=NOON - 30
        )
        assert answer["clock"] == {"offset": 30, "corrected": number == 2}
        assert answer["results"] == [{"verdict": "accepted", "minute": minute}]


async def test_without_a_device_no_minute_is_moved(service: Service):
    answer = await send(service, sample(1), sentAt=NOON - HOUR)
    assert answer["clock"] == {"offset": HOUR, "corrected": False}
    assert await minutes(service) == {1: "UP"}


@pytest.mark.parametrize("boot", [{}, {"boot": "a"}], ids=["without a boot", "with a boot"])
async def test_late_batches_in_a_row_move_no_minute(service: Service, boot: dict[str, Any]):
    """Each came ten minutes after it was sent; the one before it proves nothing."""

    def clocks(at: int) -> dict[str, Any]:
        return {"monotonic": 1000 + at - NOON, **boot} if boot else {}

    await send(service, sample(0, seq=1, **clocks(NOON)), device="d", sentAt=NOON, **clocks(NOON))
    for number in (2, 3, 4):
        service.pass_time(600)
        at = NOON + 60 * number
        service.clock.now = at + 600
        measured = {"timestampInSeconds": at, "seq": number, **clocks(at)}
        answer = await send(service, sample(**measured), device="d", sentAt=at, **clocks(at))
        assert answer["results"] == [{"verdict": "accepted", "minute": at}]
    (device,) = await service.get("/api/devices")
    assert device["clockOffset"] == 0


async def test_the_offset_of_a_clock_is_forgotten_after_a_day(service: Service):
    await send(service, sample(1, seq=1), device="d", sentAt=NOON)
    service.pass_time(86_400 + HOUR)
    now = service.clock.now
    slow = sample(seq=2, timestampInSeconds=now - HOUR)
    answer = await send(service, slow, device="d", sentAt=now - HOUR)
    assert answer["clock"] == {"offset": HOUR, "corrected": True}
    assert answer["results"] == [{"verdict": "accepted", "minute": now // 60 * 60}]


@pytest.mark.parametrize("error", [0, 3 * HOUR])
async def test_a_batch_that_waited_for_a_network_is_placed_by_when_its_boot_began(
    service: Service, error: int
):
    """It came in ten minutes after it was sent; what its clocks showed then does not stand for now."""

    def measured(ago: int, status: str) -> dict[str, Any]:
        return sample(ago, status=status, monotonic=1000 - 60 * ago, boot="a") | {
            "timestampInSeconds": NOON - 60 * ago + error
        }

    await send(service, measured(10, "UP"), device="d", sentAt=NOON + error, monotonic=1000, boot="a")
    service.pass_time(620)
    await send(service, measured(9, "DOWN"), device="d", sentAt=NOON + 20 + error, monotonic=1020, boot="a")
    assert await minutes(service) == {10: "UP", 9: "DOWN"}


# Silence and its end


@pytest.fixture
async def expected(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Service]:
    config = a_config(tmp_path, a_monitor("earth", MonitorSettings(expectation=EveryInterval(60, 0, 300))))
    async with running(config, clock) as service:
        yield service


async def test_a_backlog_makes_of_a_silence_what_really_happened(expected: Service):
    await expected.beat()
    expected.pass_time(30 * 60)
    await expected.roll()
    silent = await expected.get("/api/monitors/earth/uptime", window="24h")
    assert silent["minutes"]["down"] == 25

    expected.clock.now += 1
    backlog = [sample(-number, seq=number) for number in range(1, 31)]
    await send(expected, *backlog, device="d")
    after = await expected.get("/api/monitors/earth/uptime", window="24h")
    assert (after["minutes"]["up"], after["minutes"]["down"], after["uptime"]) == (31, 0, "100")
    assert (await expected.get("/api/status", tag="earth"))["uptime"] == "100"


async def test_last_heard_is_apart_from_the_last_status(expected: Service):
    expected.pass_time(2 * HOUR)
    await send(expected, sample(0, status="DOWN"))
    (listed,) = await expected.get("/api/monitors")
    assert (listed["lastUpdatedAt"], listed["lastHeardAt"]) == (NOON, NOON + 2 * HOUR)


# Shares


async def test_over_the_limit_the_answer_says_when_to_retry(tmp_path: Path, clock: FakeClock):
    config = a_config(tmp_path)
    limited = replace(config, ingest=replace(config.ingest, token_rate=1, token_burst=5))
    async with running(limited, clock) as service:
        await send(service, *(sample(number) for number in range(8)))
        for path, body in (("/api/status", sample()), ("/api/status/batch", {"samples": [sample()]})):
            async with service.client.post(
                path, json=body, headers={"Authorization": f"Bearer {service.token}"}
            ) as reply:
                assert reply.status == 429
                assert 1 <= int(reply.headers["Retry-After"]) <= 3
        other = await service.mint()
        status, _ = await service.ask("POST", "/api/status", other, json=sample())
        assert status == 200


async def test_bodies_beyond_the_budget_are_answered_with_retry_after(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(BodyBudget, "limit", 50)
    async with service.client.post(
        "/api/status/batch",
        json={"samples": [sample()]},
        headers={"Authorization": f"Bearer {service.token}"},
    ) as reply:
        assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
        assert await reply.json() == {"error": "too many large requests at once; nothing was stored"}
    assert await minutes(service) == {}


async def test_a_refused_batch_holds_nothing_of_its_body_while_its_answer_waits_for_its_turn(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
):
    class Body:
        pass

    bodies: list[ReferenceType[Body]] = []
    held_while_waiting: list[Body | None] = []

    async def read(*_: Any) -> None:
        body = Body()
        bodies.append(ref(body))
        raise TooLarge("the body is too large")

    async def wait_turn(queue: FairQueue) -> None:
        held_while_waiting.extend(body() for body in bodies)

    monkeypatch.setattr("kener_async.api.batches.read_encoded", read)
    monkeypatch.setattr(FairQueue, "wait_turn", wait_turn)
    async with running(a_config(tmp_path), clock) as service:
        status, _ = await service.ask("POST", "/api/status/batch", data=b"{}")
    assert (status, held_while_waiting) == (413, [None])


async def test_a_batch_that_stops_half_way_is_given_up_and_its_place_is_free_again(
    tmp_path: Path, clock: FakeClock
):
    config = a_config(tmp_path)
    impatient = replace(config, server=replace(config.server, request_timeout_seconds=0))
    async with running(impatient, clock) as service:
        reader, writer = await asyncio.open_connection(service.client.host, service.client.port)
        head = f"POST /api/status/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.token}\r\n"
        writer.write(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        assert b" 408 " in await reader.readline()
        writer.close()
        await service.app[keys.DATABASE].read(lambda connection: None)
        assert service.app[BODY_BUDGET].held == 0


def test_two_unusual_spellings_are_read_as_the_plain_one_is():
    """What the fast way takes is what the thorough way takes."""
    plain = b'{"samples":[{"tag":"earth","status":"UP","latency":1}]}'
    for text in (
        plain,
        b'{"samples" : [{"tag" :"earth", "status":"UP","latency":1}]}',
        b'{"samples":[{"t\\u0061g":"earth","status":"UP","latency":1}]}',
    ):
        assert parse_flat(text) == parse(text) == json.loads(plain)


@pytest.mark.parametrize(
    "text",
    [
        b'{"samples":[{"tag":"a","tag":"b"}]}',
        b'{"samples":[],"samples":[]}',
        b'{"samples":[{"tag" :"a","tag" :"b"}]}',
        b'{"samples":[{"x":{"a":1,"a":2}}]}',
        b'{"samples":[{"tag":"a","tag" :"b","x\\"":1}]}',
        b'{"samples":[NaN]}',
        b'{"samples":[1e999]}',
        b'{"samples":["\\ud800"]}',
        b'{"samples":["\xff"]}',
        b'{"samples":[99999999999999999999]}',
        b'{"samples":-9223372036854775809}',
        b"[99999999999999999999]",
    ],
    ids=repr,
)
def test_what_is_refused_elsewhere_is_refused_in_a_batch(text: bytes):
    for read in (parse, parse_flat):
        with pytest.raises(Invalid):
            read(text)


NUMBERS = st.one_of(
    st.integers(-(2**65), 2**65).map(str),
    st.sampled_from(["1e19", "-1E400", "1.5e-400", "-0", "-0.0", "01", "NaN", "9223372036854775808"]),
)
STRINGS = st.sampled_from(['"a"', '"b"', '"a:b"', '"\\u0061"', '"\\ud800"', '"\\ud83d\\ude00"', '"\t"', '""'])
MEMBERS = st.lists(
    st.tuples(STRINGS, st.one_of(NUMBERS, STRINGS, st.just("true"), st.just("{}"))), max_size=4
)


def read_by(read: Callable[[bytes], object], text: bytes) -> str:
    try:
        return repr(read(text))
    except Invalid as error:
        return error.message


@given(MEMBERS, NUMBERS, st.sampled_from(["", " ", "\ufeff", "[", "}"]))
def test_the_fast_way_gives_the_values_and_the_errors_of_the_thorough_one(
    members: list[tuple[str, str]], number: str, before: str
):
    flat = ",".join(f"{key}:{value}" for key, value in members)
    for text in (f"{before}{{{flat}}}", f'{before}{{"n":[{number}]}}', f"{before}{number}"):
        assert read_by(parse_flat, text.encode()) == read_by(parse, text.encode())


# Any order, any splitting, any repetition


@dataclass(frozen=True)
class Sent:
    device: str
    number: int
    minute: int
    monitor: int
    status: Status


@st.composite
def histories(draw: st.DrawFn) -> list[Sent]:
    """What devices measured, several times a minute now and then; each speaks of monitors of its own."""
    sent = []
    for position, device in enumerate(draw(st.sampled_from([["a"], ["a", "b"]]))):
        ago = 40
        for number in range(1, draw(st.integers(1, 20)) + 1):
            ago -= draw(st.integers(0, 2))
            monitor = 2 * position + draw(st.integers(1, 2))
            sent.append(
                Sent(device, number, NOON - 60 * ago, monitor, draw(st.sampled_from(list(Status)[:3])))
            )
    kept = [one for one in sent if draw(st.integers(0, 9))]  # some are lost on the way
    return kept or sent


def opened(folder: str) -> sqlite3.Connection:
    path = Path(folder, "kener.db")
    prepare(path)
    connection = connect(path, synchronous="OFF")
    observer.begin(connection, NOON - 86400, 400 * 86400)
    monitors.register(connection, {tag: MonitorSettings() for tag in "abcd"}, NOON - 86400)
    return connection


def deliver(connection: sqlite3.Connection, sent: list[Sent]) -> None:
    items = [
        Item(one.device, one.number, one.monitor, one.status, 0.0, Stamp(wall=one.minute)) for one in sent
    ]
    record_batch(connection, Batch("test", None, Stamp(), NOON, items), LIMITS)


def outcome(connection: sqlite3.Connection) -> tuple[Any, Any]:
    rows = connection.execute("SELECT monitor_id, minute, status FROM samples ORDER BY 1, 2").fetchall()
    return rows, [(device.name, device.missing, device.newest) for device in devices.summaries(connection)]


def pieces(sent: list[Sent], random: Random) -> Iterator[list[Sent]]:
    """All of it at least once, in some order, in batches of some size, some more than once."""
    left = sent + random.choices(sent, k=random.randrange(2 * len(sent)))
    random.shuffle(left)
    while left:
        size = random.randint(1, len(left))
        yield left[:size]
        del left[:size]


@given(histories(), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_shuffled_split_and_repeated_batches_end_in_one_history(sent: list[Sent], random: Random):
    highest = {(one.monitor, one.minute): one.status for one in sorted(sent, key=lambda one: one.number)}
    with TemporaryDirectory() as folder, closing(opened(folder)) as connection:
        deliver(connection, sent)
        in_order = outcome(connection)
    with TemporaryDirectory() as folder, closing(opened(folder)) as connection:
        for piece in pieces(sent, random):
            deliver(connection, piece)
        assert outcome(connection) == in_order
    assert {(monitor, minute): Status(status) for monitor, minute, status in in_order[0]} == highest


def known_ones(outcome: batches.Outcome) -> list[bool]:
    """Which samples were known, as a duplicate or by a better one; of a repeated one that may vary."""
    return [result.verdict in (Verdict.DUPLICATE, Verdict.SUPERSEDED) for result in outcome.results]


@given(histories(), st.randoms(use_true_random=False), st.integers(1, 4), st.sampled_from([1.0, 0.7]))
@settings(deadline=None, max_examples=60)
def test_a_batch_in_parts_has_the_verdicts_and_the_history_of_one_at_once(
    sent: list[Sent], random: Random, size: int, numbered: float
):
    sent = sent + random.choices(sent, k=len(sent))
    random.shuffle(sent)
    items = [
        Item(
            one.device,
            one.number if random.random() < numbered else None,
            one.monitor % 2 + 1,
            one.status,
            0.0,
            Stamp(wall=one.minute),
        )
        for one in sent
    ]
    whole = Batch("test", None, Stamp(), NOON, items)
    with TemporaryDirectory() as folder, closing(opened(folder)) as connection:
        at_once = record_batch(connection, whole, LIMITS)
        expected = outcome(connection)
    with (
        TemporaryDirectory() as folder,
        closing(opened(folder)) as connection,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(domain_batches, "PART_SAMPLES", size)
        in_parts = record_batch(connection, whole, LIMITS)
        assert outcome(connection) == expected
    if numbered == 1:  # else of two equal samples either is the duplicate
        assert known_ones(in_parts) == known_ones(at_once)


def test_a_batch_of_a_hundred_devices_with_holes_is_stored_in_short_transactions(tmp_path: Path):
    with closing(opened(str(tmp_path))) as connection:
        for minute in range(2):
            items = [
                Item(
                    f"d{device}",
                    4 * number + 2 * minute,
                    1 + device % 4,
                    stamp=Stamp(wall=NOON - 60 * number),
                )
                for device in range(10)
                for number in range(1, 900)
            ]
            recorder = batches.BatchRecorder(Batch("test", None, Stamp(), NOON, items), LIMITS)
            assert max(map(len, recorder.parts)) <= 1000
            for positions in recorder.parts:
                assert len({items[position].device for position in positions}) <= 5
                with connection:
                    recorder.record(connection, positions)
            assert len(recorder.outcome().results) == len(items)


async def test_heartbeats_get_their_turn_between_the_parts_of_a_batch(service: Service):
    order = []
    writer = service.app[keys.WRITER]
    write = service.app[keys.DATABASE].write

    async def noted(work: Any, *args: Any, **options: Any) -> Any:
        order.append("part" if type(args[-1][0]) is int else "heartbeat")
        if len(order) == 1:
            beats.append(asyncio.create_task(service.beat(tag="mars")))
            await asyncio.sleep(0.05)
        return await write(work, *args, **options)

    beats: list[asyncio.Task[Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service.app[keys.DATABASE], "write", noted)
        await send(service, *(sample(number) for number in range(4000)))
        await beats[0]
    assert order.count("part") == 4
    assert order.index("heartbeat") <= 2
    assert writer.stored == 4001


def test_claims_are_forgotten_when_no_lower_number_can_come(tmp_path: Path):
    with closing(opened(str(tmp_path))) as connection:
        sent = [Sent("a", number, NOON - 600 + 60 * number, 1, Status.UP) for number in range(1, 6)]
        deliver(connection, sent[1:])
        assert connection.execute("SELECT count(*) FROM claims").fetchone() == (4,)
        deliver(connection, sent[:1])
        assert connection.execute("SELECT count(*) FROM claims").fetchone() == (0,)
        assert connection.execute("SELECT first, last FROM heard").fetchall() == [(1, 5)]


# Forms of a body


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"samples":[%s]}',
        b"\xef\xbb\xbf%s\n",
        b'\xef\xbb\xbf{"device":"gate"}\n%s\n',
        b'{"device":"gate"}\r\n\r\n%s',
        b'{"samples":[%s],"device":"gate"}',
        b'{"note":{"samples":[[1,"]"]]},"samples": [ %s ] ,\n"device":"gate"}',
        b'{"s\\u0061mples":[%s]}',
        b'{"samples":[%s]}',
    ],
    ids=["BOM", "BOM, lines", "BOM, head", "CRLF", "head last", "nested", "escaped", "plain"],
)
async def test_a_batch_may_be_written_in_many_ways(service: Service, body: bytes):
    one = json.dumps(sample(1) | {"note": '{"}]', "more": {"a": [1, {"b": "]"}]}}).encode()
    for data in (body % one, gzip.compress(body % one)):
        headers = {"Content-Encoding": "gzip"} if data[:2] == b"\x1f\x8b" else {}
        _, answer = await service.ask("POST", "/api/status/batch", data=data, headers=headers)
        assert verdicts(answer) in (["accepted"], ["duplicate"]), answer
    assert await minutes(service) == {1: "UP"}


async def test_a_sample_on_several_lines_is_a_batch_of_one(service: Service):
    _, answer = await service.ask("POST", "/api/status/batch", data=json.dumps(sample(1), indent=2))
    assert verdicts(answer) == ["accepted"]


@pytest.mark.parametrize("body", [b'{"samples":[]}', b'{"device":"gate","sentAt":1,"samples":[ ]}'])
async def test_an_empty_batch_stores_nothing_and_is_no_error(service: Service, body: bytes):
    status, answer = await service.ask("POST", "/api/status/batch", data=body)
    assert (status, answer["accepted"], answer["results"]) == (200, 0, [])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"earth,UP,0.1\nmars,UP,0.1\n", "the body is not JSON: Expecting value"),
        (
            b'{"samples":[{"tag":"earth"} {"tag":"mars"}]}',
            "the body is not JSON: a comma or ] is missing",
        ),
        (
            b'{"samples":[{"tag":"earth"},]}',
            "the body is not JSON: a value is missing or cut short at",
        ),
        (b'{"samples":[1],"samples":[2]}', "the body is not JSON: duplicate key"),
        (b'{"samples":[1]} x', "the body is not JSON: Extra data"),
        (b'{"samples":[{"x":[%s]}]}' % (b"[" * 40 + b"]" * 40), "the body is nested too deeply"),
        (b'{"samples":["%s"]}' % (b"x" * 70_000), "the body has a value of more than 65536 bytes at byte 12"),
        (
            b'{"x":"%s","samples":[]}' % (b"x" * 65_530),
            "the body has more than 65536 bytes beside its samples",
        ),
        (b'["samples"]', 'the body must be a JSON object such as {"samples": [...]}, or JSON Lines'),
        (b"\n" * 9 + b'{"tag":"earth"}\n' * 10_002, "samples: at most 10000 in a batch"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_body_that_is_no_batch_says_what_is_wrong_with_it(service: Service, body: bytes, error: str):
    status, answer = await service.ask("POST", "/api/status/batch", data=BytesIO(body))
    assert (status, answer["error"][: len(error)]) == (400, error)


@pytest.mark.parametrize(
    ("body", "spent"),
    [(b"x\n" * 1_000_000, 4761), (gzip.compress(b"x\n" * 2_000_000), 9523)],
    ids=["plain", "gzip"],
)
async def test_a_refused_batch_costs_its_senders_share(
    tmp_path: Path, clock: FakeClock, body: bytes, spent: int
):
    config = a_config(tmp_path)
    limited = replace(config, ingest=replace(config.ingest, token_rate=1, token_burst=spent - 1))
    async with running(limited, clock) as service:
        headers = {"Content-Encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {}
        answers = [
            await service.ask("POST", "/api/status/batch", data=BytesIO(body), headers=headers)
            for _ in range(2)
        ]
        assert [status for status, _ in answers] == [400, 429]


# What one request may cost, and all together


BEAT = {"tag": "earth", "status": "UP", "latency": 1}


def many(count: int, make: Callable[[int], str]) -> bytes:
    return ('{"samples":[' + ",".join(map(make, range(count))) + "]}").encode()


def numbered(number: int) -> str:
    return json.dumps(sample(number, seq=number + 1, boot=f"{number:0127}\N{GRINNING FACE}", device="gate"))


CSV = b"earth,UP,0.123,1767182400\n"
LISTS = b'{"samples":[' + b"[]," * 1_300_000 + b"[]]}"
COSTLY: dict[str, tuple[bytes, bool]] = {
    "two million lines in 4,100 bytes": (gzip.compress(b"x\n" * 2_000_000), True),
    "a table of 4 MB": (CSV * (4_194_304 // len(CSV)), False),
    "a table of fewer lines than a batch may have": (CSV * 9000, False),
    "4 MB of empty gzip members": (gzip.compress(b"") * (4_194_304 // 20), True),
    "4 MB of blank lines": (b"\n" * 4_194_304, False),
    "one line of 4 MB": (b"x" * 4_194_304, False),
    "a million empty lists": (LISTS, False),
    "lists of lists": (b"[" * 4_194_304, False),
    "a deep sample": (b'{"samples":[' + b"[" * 30_000 + b"]" * 30_000 + b"]}", False),
    "samples with lists in them": (many(100, lambda _: '{"x":[' + "[]," * 13_000 + "[]]}"), False),
    "samples of lists": (many(100, lambda _: "[" + "[]," * 13_000 + "[]]"), False),
    "beside the samples a list": (b'{"x":[' + b"0," * 2_000_000 + b'0],"samples":[]}', False),
    "a long string of wide characters": (
        many(1, lambda _: json.dumps("x" * 4_000_000 + "\U0001f600")),
        False,
    ),
    "a zip bomb": (gzip.compress(bytes(1 << 28)), True),
}


async def post_raw(client: Client, body: bytes, is_gzip: bool) -> process.Answer:
    encoding = ["Content-Encoding: gzip"] if is_gzip else []
    return await client.ask("POST", "/api/status/batch", body, *encoding)


@pytest.fixture(scope="module")
def loaded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server and a token, after a first batch of 10,000, which brings in what is needed once."""
    unlimited = process.a_config({"ingest": {"token_rate": 0}})
    with Server(tmp_path_factory.mktemp("server"), unlimited).start() as server:
        yield server, server.add_token()


@pytest.mark.process
@pytest.mark.parametrize("what", COSTLY)
def test_a_request_holds_at_most_16_mb_and_leaves_heartbeats_their_time(
    loaded_server: tuple[Server, str], what: str
):
    server, token = loaded_server
    body, is_gzip = COSTLY[what]

    async def attack() -> list[process.Answer]:
        async with connected(server.port, token) as sender, connected(server.port, token) as device:
            sent = asyncio.create_task(post_raw(sender, body, is_gzip))
            beats: list[process.Answer] = []
            while not sent.done() or not beats:
                beats.append(await device.ask("POST", "/api/status", BEAT))
            return [await sent, *beats]

    asyncio.run(attack())  # once before, because arenas and caches grow at first
    server.forget_peak()
    before = server.resident_bytes()
    refused, *beats = asyncio.run(attack())
    assert refused.status in (400, 413), refused
    assert "error" in refused.json()
    assert {beat.status for beat in beats} == {200}
    assert server.peak_bytes() - before < 16 << 20


@pytest.mark.process
def test_the_largest_batch_that_is_accepted_holds_at_most_16_mb(loaded_server: tuple[Server, str]):
    server, token = loaded_server
    body = many(9000, numbered).replace(str(NOON)[:4].encode(), str(int(time.time()))[:4].encode())

    async def deliver() -> process.Answer:
        async with connected(server.port, token) as sender:
            return await post_raw(sender, body, is_gzip=False)

    asyncio.run(deliver())
    server.forget_peak()
    before = server.resident_bytes()
    answer = asyncio.run(deliver())
    assert answer.status == 200, answer
    assert server.peak_bytes() - before < 16 << 20


@pytest.mark.process
def test_32_batches_of_nested_lists_at_once_fit_the_memory_of_the_unit(loaded_server: tuple[Server, str]):
    server, token = loaded_server
    body, _ = COSTLY["samples of lists"]

    async def one() -> int:
        async with connected(server.port, token) as sender:
            return (await post_raw(sender, body, is_gzip=False)).status

    async def all_at_once() -> tuple[set[int], set[int]]:
        async with connected(server.port, token) as device:
            sent = asyncio.gather(*(one() for _ in range(32)))
            beats: set[int] = set()
            while not sent.done() or not beats:
                answer = await device.ask("POST", "/api/status", BEAT)
                beats.add(answer.status)
            return set(await sent), beats

    statuses, beats = asyncio.run(all_at_once())
    assert statuses <= {400, 503}
    assert beats == {200}
    assert server.peak_bytes() < 200 << 20
    assert [line for line in complaints(server) if line.get("status") != 503] == []
