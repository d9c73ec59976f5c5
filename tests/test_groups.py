"""Groups and excused monitors: their settings, their minutes, and what is shown of them."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.config import alert_rules
from kener_async.config import load as loading
from kener_async.config.explanation import explained
from kener_async.config.model import MonitorConfig
from kener_async.config.problems import in_circles
from kener_async.domain.groups import GroupSettings, folded
from kener_async.domain.heartbeats import EveryInterval, MonitorSettings
from kener_async.domain.samples import Sample, Status
from kener_async.store import followers, observer, samples, settling, states
from kener_async.store import monitors as monitors_stored
from kener_async.store.admin import export, import_, integrity
from kener_async.store.sqlite.connections import connect
from kener_async.store.sqlite.upgrade import prepare
from tests.rigs.alerts import a_rule, all_notices, an_alert_config, look, told
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

UP, DEGRADED, DOWN, MAINTENANCE, NO_DATA = Status

# Settings


def monitors(*tables: str) -> str:
    return "".join(f"[[monitors]]\n{table}\n" for table in ('tag = "a"', 'tag = "b"', *tables))


@pytest.fixture
def problems(tmp_path: Path) -> Callable[[str], list[str]]:
    def load(text: str) -> list[str]:
        file = tmp_path / "config.toml"
        file.write_text(text)
        try:
            loading.load(file, {})
        except loading.ConfigError as error:
            return [re.sub(r"^.*config\.toml(:\d+)?: ", "", line) for line in str(error).splitlines()]
        return []

    return load


def group(keys: str, more: str = "") -> str:
    return f'tag = "g"\n{more}\n[monitors.check]\n{keys}'


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (group('group = ["a", "c"]'), 'monitors["g"].check.group[number 2]: "c" is not a monitor'),
        (group('group = ["a", "a"]'), 'monitors["g"].check.group[number 2]: "a" is used twice'),
        (group("group = []"), 'monitors["g"].check.group: must not be empty'),
        (group('group = ["g"]'), 'monitors["g"].check.group: is a circle: g follows from g'),
        (
            group('group = ["a", "b"]\nmin_up = 3'),
            'monitors["g"].check.min_up: must be at most the number of members, 2, not 3',
        ),
        *(
            (
                group(f'group = ["a"]\nmin_up = {written}'),
                'monitors["g"].check.min_up: must be a number from 1 on, or a percentage from "1%" to "100%"',
            )
            for written in ("0", '"0%"', '"101%"', '"half"', "0.5", "true")
        ),
        (group('http = "https://a.example"\nmin_up = 1'), 'monitors["g"].check.min_up: needs group'),
        (
            group('group = ["a"]', 'default_status = "UP"'),
            'monitors["g"].default_status: is not used in a group, which has no reports of its own',
        ),
        (
            'tag = "g"\n[monitors.heartbeat]\ninterval = "1m"\n[monitors.check]\ngroup = ["a"]',
            'monitors["g"].heartbeat: is not used in a group, which has no reports of its own',
        ),
        (
            'tag = "g"\n[monitors.uptime_kuma]\ntoken = "abcdefghijklmnop"\n[monitors.check]\ngroup = ["a"]',
            'monitors["g"].uptime_kuma: is not used in a group, which has no reports of its own',
        ),
        ('tag = "g"\nuptime_excused = true', 'monitors["g"].uptime_excused: needs depends_on'),
    ],
)
def test_a_wrong_setting_of_a_group_is_named(problems: Callable[[str], list[str]], table: str, problem: str):
    assert problems(monitors(table)) == [problem]


def test_a_child_that_its_own_group_excuses_is_a_circle(problems: Callable[[str], list[str]]):
    child = 'tag = "c"\ndepends_on = ["g"]\nuptime_excused = true'
    text = monitors(child, group('group = ["a", "c"]'))
    assert problems(text) == ['monitors["g"].check.group: is a circle: g follows from c follows from g']
    assert problems(text.replace("uptime_excused = true", "")) == []


@pytest.mark.parametrize(("levels", "is_too_deep"), [(4, False), (5, True)])
def test_groups_are_at_most_four_deep(problems: Callable[[str], list[str]], levels: int, is_too_deep: bool):
    nested = [
        f'tag = "g{level}"\n[monitors.check]\ngroup = ["{f"g{level - 1}" if level > 1 else "a"}"]'
        for level in range(1, levels + 1)
    ]
    told = problems(monitors(*nested))
    assert told == (['monitors["g5"].check.group: is more than 4 groups deep'] if is_too_deep else [])


# The fold


@pytest.mark.parametrize(
    ("group", "members", "status"),
    [
        (GroupSettings(()), [UP, UP, UP], UP),
        (GroupSettings(()), [UP, DEGRADED, UP], DEGRADED),
        (GroupSettings(()), [UP, DOWN, UP], DOWN),
        (GroupSettings((), 50), [UP, DOWN, UP], DEGRADED),
        (GroupSettings((), 50), [UP, DOWN, DOWN], DOWN),
        (GroupSettings((), 66), [UP, UP, DOWN], DEGRADED),
        (GroupSettings((), 67), [UP, UP, DOWN], DOWN),  # 2.01 of 3 is rounded up to 3
        (GroupSettings((), 50, is_degraded=False), [UP, DOWN, UP], UP),
        (GroupSettings((), 50, is_degraded=False), [DEGRADED, DEGRADED, DEGRADED], UP),
        (GroupSettings((), 2, is_percentage=False), [UP, UP, DOWN], DEGRADED),
        (GroupSettings((), 2, is_percentage=False), [UP, DOWN, DOWN], DOWN),
        (GroupSettings((), 2, is_percentage=False), [UP, MAINTENANCE, NO_DATA], DOWN),
        (GroupSettings(()), [UP, MAINTENANCE, NO_DATA], UP),
        (GroupSettings(()), [MAINTENANCE, NO_DATA], MAINTENANCE),
        (GroupSettings(()), [NO_DATA, NO_DATA], NO_DATA),
    ],
)
def test_the_status_of_a_group_follows_from_its_members(
    group: GroupSettings, members: list[Status], status: Status
):
    steps = [[(0, member)] for member in members]
    assert list(folded(group, steps, 0, 60)) == [(0, status)]


def test_a_group_changes_with_its_members():
    one = [(0, UP), (120, DOWN), (240, UP)]
    other = [(0, UP), (120, DEGRADED), (180, NO_DATA), (600, DOWN)]
    assert list(folded(GroupSettings((), 50), [one, other], 60, 600)) == [
        (60, UP),
        (120, DEGRADED),
        (180, DOWN),
        (240, UP),
    ]


# The service


def a_group(tag: str, *members: str, **settings: object) -> MonitorConfig:
    return a_monitor(tag, MonitorSettings(group=GroupSettings(members, **settings)))  # type: ignore[arg-type]


EXPECTED = MonitorSettings(expectation=EveryInterval(60, 60, 120))


@pytest.fixture
async def service(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Service]:
    """A group of three, and a group of that group."""
    monitors = [a_monitor(tag, EXPECTED) for tag in ("a", "b", "c")]
    config = a_config(tmp_path, *monitors, a_group("g", "a", "b", "c", min_up=50), a_group("all", "g"))
    async with running(config, clock) as service:
        for tag in ("a", "b", "c"):
            await service.beat(tag)
        yield service


async def status_of(service: Service, tag: str) -> str:
    return str((await service.get("/api/status", tag=tag))["status"])


async def test_a_group_follows_its_members_at_once(service: Service):
    assert await status_of(service, "g") == "UP"
    await service.beat("a", "DOWN")
    assert [await status_of(service, tag) for tag in ("g", "all")] == ["DEGRADED", "DEGRADED"]
    await service.beat("b", "DOWN")
    assert [await status_of(service, tag) for tag in ("g", "all")] == ["DOWN", "DOWN"]
    await service.beat("a", "UP")
    await service.beat("b", "UP")
    assert [await status_of(service, tag) for tag in ("g", "all")] == ["UP", "UP"]


async def test_a_group_follows_members_that_fall_silent(service: Service):
    service.pass_time(300)
    await service.beat("a", "UP")
    assert await status_of(service, "g") == "DOWN"


async def test_a_group_has_no_reports_of_its_own(service: Service):
    body = {"tag": "g", "status": "UP", "latency": 1}
    answer = await service.ask("POST", "/api/status", json=body)
    text = "invalid tag, a group has no reports of its own: report its members"
    assert answer == (400, {"error": text})
    samples = [{"tag": tag, "status": "UP", "latency": 1} for tag in ("g", "a")]
    results = (await service.post("/api/status/batch", {"samples": samples}))["results"]
    assert [(one["verdict"], one.get("error")) for one in results] == [("refused", text), ("accepted", None)]
    assert "lastUpdatedAt" not in await service.get("/api/status", tag="g")


async def test_a_late_report_of_a_member_corrects_its_groups(service: Service):
    service.pass_time(3 * 3600)
    await service.roll()
    before = await service.get("/api/monitors/all/uptime", window="24h")
    await service.beat("b", "UP", at=NOON + 3600)
    await service.beat("a", "UP", at=NOON + 3600)
    await service.beat("a", "UP", at=NOON + 3660)
    after = await service.get("/api/monitors/all/uptime", window="24h")
    assert after["minutes"]["down"] < before["minutes"]["down"]
    minutes = await service.get(
        "/api/monitors/all/history", **{"from": NOON + 3600, "to": NOON + 3720, "resolution": "minute"}
    )
    assert [one["status"] for one in minutes["items"]] == ["DEGRADED", "DEGRADED"]
    assert {one["reason"] for one in minutes["items"]} == {"members"}


async def test_a_group_is_loaded_in_a_transaction_of_its_own(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    loaded: list[list[str]] = []
    load_many = states.load_many

    def noting(session: Any, ids: dict[str, int], now: int) -> Any:
        loaded.append(list(ids))
        return load_many(session, ids, now)

    monkeypatch.setattr(states, "load_many", noting)
    service.app[keys.STATES].mark_stale()
    await service.app[keys.LOADER].load(["a", "g", "b", "all", "c"])
    assert loaded == [["a", "b", "c"], ["g"], ["all"]]


async def test_incidents_and_maintenance_of_members_and_of_the_group_count(service: Service):
    work = {"title": "Work", "startDatetime": NOON, "isMaintenance": True}
    await service.beat("a", "DOWN")
    await service.post("/api/incident", work | {"tags": ["a"]})
    assert await status_of(service, "g") == "UP"  # a is left out
    await service.post("/api/incident", {"title": "Down", "tags": ["b"], "impact": "DOWN"})
    assert await status_of(service, "g") == "DEGRADED"
    await service.post("/api/incident", work | {"tags": ["g"]})
    g, over = (await service.get("/api/monitors"))[3:]
    assert (g["status"], over["status"]) == ("MAINTENANCE", "MAINTENANCE")


async def test_other_members_hold_from_the_reload_on(service: Service):
    await service.beat("a", "DOWN")
    service.pass_time(120)
    for tag in ("b", "c"):
        await service.beat(tag)
    monitors = [a_monitor(tag, EXPECTED) for tag in ("a", "b", "c")]
    await service.configure(*monitors, a_group("g", "b", "c"), a_group("all", "g"))
    assert await status_of(service, "g") == "UP"
    minutes = await service.get(
        "/api/monitors/g/history", **{"from": NOON, "to": NOON + 180, "resolution": "minute"}
    )
    assert [one["status"] for one in minutes["items"]] == ["DEGRADED", "DEGRADED", "UP"]


async def test_a_parent_that_is_down_excuses(tmp_path: Path, clock: FakeClock):
    excused = MonitorSettings(excused_by=("router",))
    child = a_monitor("child", excused, depends_on=("router",))
    grandchild = a_monitor("grandchild", MonitorSettings(excused_by=("child",)), depends_on=("child",))
    async with running(a_config(tmp_path, a_monitor("router"), child, grandchild), clock) as service:
        for tag in ("router", "child", "grandchild"):
            await service.beat(tag, "DOWN")
        service.pass_time(60)
        await service.beat("router", "UP")
        await service.beat("child", "DOWN")
        for tag, statuses in (("child", ["NO_DATA", "DOWN"]), ("grandchild", ["NO_DATA", "NO_DATA"])):
            minutes = await service.get(
                f"/api/monitors/{tag}/history", **{"from": NOON, "to": NOON + 120, "resolution": "minute"}
            )
            assert [one["status"] for one in minutes["items"]] == statuses
            assert minutes["items"][0]["reason"] == "parent down"


async def test_an_alert_of_a_group_names_the_members_that_are_bad(tmp_path: Path, clock: FakeClock):
    monitors = (a_monitor("a"), a_monitor("b"), a_monitor("c"), a_group("g", "a", "b", "c"))
    rule = a_rule(count=3, recover_count=3)  # counts are met, because a group has no reports
    config = an_alert_config(tmp_path, rule, monitors=monitors)
    config = replace(config, alerts=tuple(replace(one, monitors=("g",)) for one in config.alerts))
    async with running(config, clock) as service:
        for tag in ("a", "b", "c"):
            await service.beat(tag)
        await look(service, 60)
        await service.beat("c", "DOWN")
        await service.beat("b", "DEGRADED")
        await look(service)
        assert await told(service) == ["g OPENED"]
        (notice,) = await all_notices(service)
        assert notice.facts.reason == "DOWN c; DEGRADED b"
        await look(service, 60)
        for tag in ("a", "b", "c"):
            await service.beat(tag)
        await look(service)
        assert await told(service) == ["g OPENED", "g RESOLVED"]


async def test_who_follows_is_known_through_groups(service: Service):
    states = service.app[keys.STATES]
    ids = {state.tag: state.id for state in states}
    found = await service.app[keys.DATABASE].read(followers.of, [ids["a"]])
    assert sorted(found[ids["a"]]) == sorted([ids["g"], ids["all"]])
    assert await service.app[keys.DATABASE].read(followers.count_followed, ids["all"]) == 4


async def test_the_page_of_a_group_lists_its_visible_members(tmp_path: Path, clock: FakeClock):
    hidden = a_monitor("hidden-member", hidden=True)
    config = a_config(tmp_path, a_monitor("a"), hidden, a_group("g", "a", "hidden-member"))
    async with running(config, clock) as service:
        await service.beat("a", "DEGRADED")
        async with service.client.get("/monitor/g") as reply:
            page = await reply.text()
        assert re.search(r'<section id="members">.*href="/monitor/a".*Degraded.*</section>', page, re.S)
        assert "hidden-member" not in page
        assert "by its members" in page
        listed = {one["tag"]: (one["kind"], one["members"]) for one in await service.get("/api/monitors")}
        assert listed["g"] == ("group", ["a", "hidden-member"])
        assert listed["a"] == ("pushed", None)


def test_a_group_is_explained_in_words(tmp_path: Path):
    config = a_config(tmp_path, a_monitor("a"), a_monitor("b"), a_group("g", "a", "b", min_up=50))
    assert (
        "  It is made of a and b: DOWN when fewer than 50 % of those of which something is known are UP or "
        "DEGRADED, else DEGRADED when one of them is not UP."
    ) in explained(config, "g", NOON)


def counted(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Who follows whom, and the quarters, by tags."""
    with closing(connect(file)) as connection:
        found = {
            "followers": connection.execute(
                """
                SELECT one.tag, other.tag FROM followers
                  JOIN monitors AS one ON one.id = monitor_id JOIN monitors AS other ON other.id = follower_id
                 ORDER BY 1, 2
                """
            ).fetchall(),
            "quarters": connection.execute(
                """
                SELECT tag, quarter, up, degraded, down, maintenance
                  FROM quarters JOIN monitors ON id = monitor_id ORDER BY 1, 2
                """
            ).fetchall(),
        }
        assert list(integrity.faults(connection, quick=False)) == []
        assert list(integrity.recount(connection)) == []
        return found


def test_groups_are_verified_and_are_the_same_after_an_export(tmp_path: Path):
    file, copy, hour = tmp_path / "kener.db", tmp_path / "copy.db", 3600
    prepare(file)
    # The group comes first, so that an import meets it before its members.
    settings = {
        "g": MonitorSettings(group=GroupSettings(("a", "b"), 1, is_percentage=False)),
        "a": EXPECTED,
        "b": MonitorSettings(excused_by=("a",)),
    }
    with closing(connect(file)) as connection:
        with connection:
            observer.begin(connection, NOON, 400 * 86400)
            ids = monitors_stored.register(connection, settings, NOON)
            batch = [Sample(ids["a"], NOON, Status.UP, 0.1), Sample(ids["b"], NOON + 1800, Status.DOWN, 0.1)]
            samples.record(connection, batch)
            settling.settle_for(connection, 60, list(ids.values()), (0, NOON + hour), NOON + hour)
        out = BytesIO()
    export.write(file, out)
    import_.load(out.getvalue().splitlines(keepends=True), copy)
    assert counted(copy) == counted(file)
    assert ("g", NOON, 3, 0, 12, 0) in counted(file)["quarters"]
    with closing(connect(copy)) as connection:
        connection.execute(
            "DELETE FROM followers WHERE monitor_id IN (SELECT id FROM monitors WHERE tag = 'b')"
        )
        (fault,) = integrity.faults(connection, quick=True)
        assert fault.startswith("followers: it is not noted that monitor ")


@pytest.mark.parametrize(
    ("named", "entangled"),
    [
        pytest.param({}, set(), id="nothing"),
        pytest.param({"a": ["b"], "b": ["c"], "c": []}, set(), id="a chain"),
        pytest.param({"a": ["b"], "b": ["gone"]}, set(), id="a name that is unknown"),
        pytest.param({"a": ["a"]}, {"a"}, id="itself"),
        pytest.param({"a": ["b"], "b": ["a"], "c": ["d"], "d": []}, {"a", "b"}, id="two of four"),
        pytest.param({None: ["a"], "a": ["b", "b"], "b": []}, set(), id="an invalid tag"),
    ],
)
def test_circles_are_searched_only_where_names_lead_back(
    named: dict[str | None, list[str]], entangled: set[str]
):
    assert in_circles(named) == entangled


def test_no_circle_is_searched_in_a_chain_of_monitors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    searched: list[str] = []
    monkeypatch.setattr(alert_rules, "_circle", lambda tag, parents: searched.append(tag))
    tables = [f'[[monitors]]\ntag = "m{one}"\ndepends_on = ["m{one + 1}"]\n' for one in range(50)]
    (tmp_path / "config.toml").write_text("".join([*tables, '[[monitors]]\ntag = "m50"\n']))
    assert len(loading.load(tmp_path / "config.toml", {}).monitors) == 51
    assert searched == []
