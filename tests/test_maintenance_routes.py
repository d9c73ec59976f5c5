"""The management API of maintenance and of series."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.load import load
from kener_async.domain.calendar import DAY, HOUR, MINUTE
from kener_async.domain.people import Actor, ActorKind
from kener_async.store import managed
from kener_async.worker.series import SeriesMaker
from tests.rigs.service import FakeClock, Service, running
from tests.test_series_store import BODY, HEAD, START, WEEKLY, configure

ADA = Actor(ActorKind.COMMAND, "ada")
SCOPES = ("manage:read", "incident:write", "incident:delete", "status:read", "status:write")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    (tmp_path / "config.toml").write_text(HEAD)
    async with running(load(tmp_path / "config.toml", {}), FakeClock(START)) as service:
        service.token = await service.mint(scopes=SCOPES)
        yield service


def once(**fields: Any) -> dict[str, Any]:
    plain = {
        "title": "Move",
        "tags": ["earth"],
        "startDatetime": START + HOUR,
        "endDatetime": START + 2 * HOUR,
    }
    return plain | fields


async def test_a_maintenance_is_planned_moved_lengthened_and_cancelled(service: Service) -> None:
    made = await service.post("/api/manage/maintenance", once(announce=["24h", "10m"]))
    assert (made["state"], made["announce"], made["revision"]) == ("announced", [DAY, 10 * MINUTE], 0)
    path = f"/api/manage/maintenance/{made['incidentNumber']}"
    _, moved = await service.ask("PATCH", path, json={"startDatetime": START + 3 * DAY})
    assert (moved["startDatetime"], moved["endDatetime"]) == (START + 3 * DAY, START + 3 * DAY + HOUR)
    assert moved["state"] == "planned"
    _, longer = await service.ask("PATCH", path, json={"endDatetime": START + 3 * DAY + 3 * HOUR})
    assert longer["endDatetime"] - longer["startDatetime"] == 3 * HOUR
    assert await service.ask("POST", f"{path}/end") == (400, {"error": "it has not begun: cancel it"})
    assert (await service.post(f"{path}/cancel", None))["state"] == "cancelled"
    assert (await service.ask("POST", f"{path}/cancel"))[0] == 400
    assert [each["state"] for each in await service.get("/api/manage/maintenance", over="true")] == [
        "cancelled"
    ]
    assert await service.get("/api/manage/maintenance", over="false") == []


async def test_ended_now_the_minutes_from_there_on_are_what_was_measured(service: Service) -> None:
    made = await service.post("/api/manage/maintenance", once(startDatetime=START, endDatetime=START + HOUR))
    ended: dict[str, Any] = {}
    for _ in range(40):
        await service.beat("earth", "DOWN")
        if service.clock.now == START + 20 * MINUTE:
            ended = await service.post(f"/api/manage/maintenance/{made['incidentNumber']}/end", None)
        service.pass_time(MINUTE)
    assert (ended["state"], ended["endDatetime"]) == ("ended", START + 20 * MINUTE)
    await service.roll()
    counted = await service.get("/api/monitors/earth/uptime", **{"from": START, "to": START + HOUR})
    assert (counted["minutes"]["maintenance"], counted["minutes"]["down"]) == (20, 20)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            {"endDatetime": START - HOUR, "startDatetime": START - 2 * HOUR},
            "endDatetime: must be in the future",
        ),
        ({"endDatetime": START + 90 * DAY}, "endDatetime: must be 1 minute to 31 days after startDatetime"),
        ({"tags": ["pluto"]}, "unknown tags: pluto"),
        ({"announce": ["1s"]}, "announce: must be a list of up to 5 durations"),
        ({"title": ""}, "title: must be text of 1 to 500 characters"),
    ],
)
async def test_what_is_wrong_with_a_maintenance_is_named(
    service: Service, fields: dict[str, Any], error: str
) -> None:
    status, answer = await service.ask("POST", "/api/manage/maintenance", json=once(**fields))
    assert status == 400
    assert error in answer["error"]


async def test_a_change_from_an_old_revision_is_refused(service: Service) -> None:
    made = await service.post("/api/manage/maintenance", once())
    path = f"/api/manage/maintenance/{made['incidentNumber']}"
    headers = {"If-Match": '"0"'}
    assert (await service.ask("PATCH", path, json={"title": "A"}, headers=headers))[0] == 200
    assert (await service.ask("PATCH", path, json={"title": "B"}, headers=headers))[0] == 409
    assert (await service.get(path))["title"] == "A"


async def test_an_incident_is_no_maintenance(service: Service) -> None:
    token = await service.mint()
    _, made = await service.ask("POST", "/api/incident", token, json={"title": "A", "tags": ["earth"]})
    path = f"/api/manage/maintenance/{made['incidentNumber']}"
    for method, end in (("GET", ""), ("DELETE", ""), ("POST", "/end"), ("POST", "/cancel")):
        assert (await service.ask(method, path + end))[0] == 404


# Series


async def put(service: Service, name: str, body: Any, **options: Any) -> tuple[int, Any]:
    return await service.ask("PUT", f"/api/manage/series/{name}", json=body, **options)


async def test_a_series_is_made_changed_listed_and_deleted(service: Service) -> None:
    status, made = await put(service, "reboots", BODY)
    assert (status, made["owner"], made["tags"], len(made["next"])) == (200, "database", ["mars"], 10)
    assert made["keys"] == {"name": "reboots", **BODY, "length": 1800}
    found = await service.get("/api/manage/series/reboots/occurrences")
    assert len(found) == 40
    assert [each["incidentNumber"] for each in found][:15] == [*range(1, 15), None]
    assert (await put(service, "reboots", {**BODY, "title": "Lost"}))[0] == 409
    assert (await service.get("/api/manage/series/reboots"))["keys"]["title"] == BODY["title"]
    newest = {"If-Match": f'"{made["revision"]}"'}
    status, changed = await put(service, "reboots", {**BODY, "title": "Other"}, headers=newest)
    assert (await service.get("/api/manage/maintenance/1"))["title"] == "Other"
    assert changed["revision"] > made["revision"]
    assert (await put(service, "reboots", BODY, headers=newest))[0] == 409
    assert (await put(service, "reboots", BODY, headers={"If-Match": "x"}))[0] == 400
    assert (await put(service, "reboots", BODY, headers={"If-Match": "*"}))[0] == 200
    assert (await service.ask("DELETE", "/api/manage/series/reboots"))[0] == 200
    assert await service.get("/api/manage/series") == []
    assert await service.get("/api/manage/maintenance") == []


async def test_one_of_the_file_is_shown_and_not_changed(service: Service) -> None:
    await put(service, "weekly", BODY)
    await configure(service, WEEKLY)
    (shown,) = await service.get("/api/manage/series")
    assert (shown["owner"], shown["isShadowed"], shown["keys"]["title"]) == ("file", True, "Updates")
    assert (await put(service, "weekly", BODY))[0] == 409
    assert (await service.ask("DELETE", "/api/manage/series/weekly"))[0] == 200  # the stored one
    (shown,) = await service.get("/api/manage/series")
    assert not shown["isShadowed"]
    assert (await service.ask("DELETE", "/api/manage/series/weekly"))[0] == 409


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"rrule": "FREQ=HOURLY"}, "Invalid rrule: FREQ=HOURLY is not supported, only DAILY, WEEKLY"),
        ({"rrule": "FREQ=DAILY;BYHOUR=3"}, "Invalid rrule: BYHOUR is not supported"),
        ({"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"}, "Invalid rrule: does not occur within 5 years"),
        ({"begin": "tomorrow"}, "Invalid begin: must be a date and time such as"),
        ({"begin": "2026-12-06T02:30:00Z"}, "Invalid begin: must have no offset"),
        ({"timezone": "Mars/Olympus"}, 'Invalid timezone: "Mars/Olympus" is not a time zone'),
        ({"monitors": ["pluto"]}, 'Invalid monitors: "pluto" is not the tag of a monitor'),
        ({"monitors": []}, "Invalid monitors: must not be empty"),
        ({"except": ["2026-13-01"]}, "Invalid except[0]: must be a date"),
        ({"hours": 1}, "Invalid hours: unknown key"),
        ({"name": "other"}, "Invalid name: must be that of the address"),
    ],
)
async def test_what_is_wrong_with_a_series_is_named(
    service: Service, keys: dict[str, Any], error: str
) -> None:
    status, answer = await put(service, "reboots", BODY | keys)
    assert status == 400
    assert error in answer["error"]
    status, answer = await service.ask("POST", "/api/manage/series/reboots/preview", json=BODY | keys)
    assert status == 400


async def test_a_preview_lists_the_next_ten_and_marks_changes_of_the_clocks(service: Service) -> None:
    body = {**BODY, "begin": "2026-03-22T02:30:00", "rrule": "FREQ=WEEKLY", "timezone": "Europe/Berlin"}
    found = await service.post("/api/manage/series/new/preview", body)
    assert [(each["occurrence"], each["clockChange"]) for each in found][:3] == [
        ("2026-03-22T02:30:00", ""),
        ("2026-03-29T02:30:00", "skipped"),
        ("2026-04-05T02:30:00", ""),
    ]
    assert len(found) == 10
    assert await service.get("/api/manage/maintenance") == []


async def test_a_token_with_tags_sees_and_changes_what_its_monitors_are_in(service: Service) -> None:
    await put(service, "reboots", BODY)
    earth = await service.mint(scopes=SCOPES, tags=("earth",))
    assert await service.ask("GET", "/api/manage/series", earth) == (200, [])
    assert (await service.ask("GET", "/api/manage/series/reboots", earth))[0] == 404
    assert (await service.ask("DELETE", "/api/manage/series/reboots", earth))[0] == 404
    assert (await service.ask("PUT", "/api/manage/series/reboots", earth, json=BODY))[0] == 403
    mixed = {**BODY, "monitors": ["category:Planets"]}
    assert (await service.ask("PUT", "/api/manage/series/all", earth, json=mixed))[0] == 403
    mine = {**BODY, "monitors": ["earth"]}
    assert (await service.ask("PUT", "/api/manage/series/mine", earth, json=mine))[0] == 200
    assert (await service.ask("PATCH", "/api/manage/maintenance/1", earth, json={"title": "A"}))[0] == 404


@pytest.mark.parametrize(
    ("tags", "pattern"), [("earth", "ear*"), ("[em]a*", "category:Planets"), ("ear*", "e*")]
)
async def test_a_token_with_tags_means_no_monitor_that_there_may_be_tomorrow(
    service: Service, tags: str, pattern: str
) -> None:
    earth = await service.mint(scopes=SCOPES, tags=(tags,))
    body = {**BODY, "monitors": [pattern]}
    status, answer = await service.ask("PUT", "/api/manage/series/mine", earth, json=body)
    assert (status, answer["error"]) == (403, "the token is for some monitors only: name each by its tag")
    body["monitors"] = ["earth"]
    assert (await service.ask("PUT", "/api/manage/series/mine", earth, json=body))[0] == 200


async def test_a_pattern_of_the_token_itself_is_as_much_as_it_may(service: Service) -> None:
    token = await service.mint(scopes=SCOPES, tags=("ear*",))
    body = {**BODY, "monitors": ["ear*"]}
    assert (await service.ask("PUT", "/api/manage/series/mine", token, json=body))[0] == 200
    wider = {**BODY, "monitors": ["e*"]}
    headers = {"If-Match": "*"}
    assert (await service.ask("PUT", "/api/manage/series/mine", token, json=wider, headers=headers))[0] == 403


async def test_a_token_with_tags_replaces_and_deletes_none_that_it_could_not_have_made(
    service: Service,
) -> None:
    earth = await service.mint(scopes=SCOPES, tags=("earth",))
    mine, headers = {**BODY, "monitors": ["earth"]}, {"If-Match": "*"}
    for name, body in {
        "unreadable": {**BODY, "monitors": "earth"},
        "of-no-monitor": {**BODY, "monitors": ["gone"]},
        "of-nothing": {},
        "of-a-pattern": {**BODY, "monitors": ["ear*"]},
    }.items():
        path = f"/api/manage/series/{name}"
        work = (managed.save, "series", name, body, managed.NEW, ADA, service.clock())
        await service.app[keys.DATABASE].write(*work)
        assert (await service.ask("PUT", path, earth, json=mine, headers=headers))[0] == 403, name
        if name != "of-a-pattern":
            assert (await service.ask("DELETE", path, earth))[0] == 404, name
        assert (await put(service, name, mine, headers=headers))[0] == 200, name


async def test_what_somebody_else_stores_in_between_is_looked_at_too(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    earth = await service.mint(scopes=SCOPES, tags=("earth",))
    mine = {**BODY, "monitors": ["earth"]}
    await put(service, "mine", mine)
    database, save = service.app[keys.DATABASE], SeriesMaker.save

    async def late(self: SeriesMaker, *args: Any) -> Any:
        """Another one comes first, whose monitors are others."""
        await database.write(managed.save, "series", "mine", dict(BODY), None, ADA, service.clock())
        return await save(self, *args)

    monkeypatch.setattr(SeriesMaker, "save", late)
    headers = {"If-Match": "*"}
    status, _ = await service.ask("PUT", "/api/manage/series/mine", earth, json=mine, headers=headers)
    assert status == 403
    stored = await database.read(managed.get, "series", "mine")
    assert stored.body["monitors"] == ["mars"]


async def test_each_act_leaves_one_row_in_the_audit_log(service: Service) -> None:
    before = await service.app[keys.DATABASE].read(
        lambda session: session.execute("SELECT max(id) FROM audit").fetchone()
    )
    await put(service, "reboots", BODY)
    await service.post("/api/manage/maintenance", once())
    await service.post("/api/manage/maintenance/1/cancel", None)
    await service.ask("DELETE", "/api/manage/series/reboots")
    rows = await service.app[keys.DATABASE].read(
        lambda session: session.execute(
            "SELECT act, object FROM audit WHERE id > ?", (before[0] or 0,)
        ).fetchall()
    )
    assert [tuple(row) for row in rows] == [
        ("series.save", "series reboots"),
        ("incident.open", "incident 15"),
        ("incident.change", "incident 1"),
        ("series.delete", "series reboots"),
    ]


async def test_one_to_come_is_not_deleted_but_cancelled(service: Service) -> None:
    await put(service, "reboots", BODY)
    status, answer = await service.ask("DELETE", "/api/manage/maintenance/1")
    assert status == 400
    assert "cancel it" in answer["error"]
    service.pass_time(2 * DAY)
    assert (await service.ask("DELETE", "/api/manage/maintenance/1"))[0] == 200
    await service.app[keys.SERIES].look()
    assert 1 not in [each["incidentNumber"] for each in await service.get("/api/manage/maintenance")]
