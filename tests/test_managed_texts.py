"""Templates and announcements by the API: of the file read only, of the database with revisions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.store import audit
from kener_async.store.audit import AuditSearch
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

TOML = """
[site]
timezone = "Europe/Berlin"

[[templates]]
name = "down"
title = "{monitors} not working"

[[announcements]]
title = "Of the file"
from = 2025-01-01
"""
TEMPLATE: dict[str, Any] = {
    "title": "{monitors} is slow",
    "state": "identified",
    "impact": "DEGRADED",
    "monitors": ["earth"],
}
ANNOUNCEMENT: dict[str, Any] = {"title": "We move", "level": "warning", "until": "2030-12-01T08:00"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "template": ("/api/manage/templates", TEMPLATE),
    "announcement": ("/api/manage/announcements", ANNOUNCEMENT),
}
kinds = pytest.mark.parametrize("kind", KINDS)
SCOPES = ("incident:delete", "manage:read")


def configured(folder: Path, own: str = "all") -> Config:
    """The configuration of a test with the templates and announcements of a file."""
    (folder / "config.toml").write_text(TOML)
    file = load(folder / "config.toml", {})
    config = a_config(folder, a_monitor("earth"))
    return replace(
        config,
        templates=file.templates,
        announcements=file.announcements,
        text=file.text,
        file=file.file,
        manage=replace(config.manage, own=own),  # type: ignore[arg-type]
    )


async def texts(service: Service, path: str) -> dict[str, Any]:
    token = await service.mint(scopes=SCOPES)
    status, found = await service.ask("GET", path, token)
    assert status == 200, found
    return {each["name"]: each for each in found}


async def put(service: Service, path: str, body: object, match: str | None = None) -> tuple[int, Any]:
    token = await service.mint(scopes=SCOPES)
    headers = {} if match is None else {"If-Match": match}
    return await service.ask("PUT", path, token, json=body, headers=headers)


async def delete(service: Service, path: str, match: str | None = None) -> tuple[int, Any]:
    token = await service.mint(scopes=SCOPES)
    headers = {} if match is None else {"If-Match": match}
    return await service.ask("DELETE", path, token, headers=headers)


async def rows(service: Service, kind: str) -> list[tuple[str, Any, Any]]:
    found = await service.app[keys.DATABASE].read(audit.search, AuditSearch(thing=kind))
    return [(row.act, row.before, row.after) for row in reversed(found)]


@kinds
async def test_one_is_made_changed_and_deleted_with_a_row_of_the_audit_log_each(tmp_path: Path, kind: str):
    path, body = KINDS[kind]
    async with running(configured(tmp_path), FakeClock()) as service:
        status, made = await put(service, f"{path}/slow", body)
        assert (status, made["owner"], made["body"], made["fault"]) == (200, "database", body, None)
        changed = {**body, "title": "Another"}
        assert (await put(service, f"{path}/slow", changed))[0] == 409
        assert (await put(service, f"{path}/slow", changed, f'"{made["revision"] + 1}"'))[0] == 409
        status, after = await put(service, f"{path}/slow", changed, f'"{made["revision"]}"')
        assert (status, after["body"]["title"]) == (200, "Another")
        assert after["revision"] > made["revision"]
        assert (await delete(service, f"{path}/slow", f'"{made["revision"]}"'))[0] == 409
        assert (await delete(service, f"{path}/slow", f'"{after["revision"]}"'))[0] == 200
        assert (await delete(service, f"{path}/slow"))[0] == 404
        assert "slow" not in await texts(service, path)
        assert await rows(service, kind) == [
            (f"{kind}.save", None, body),
            (f"{kind}.save", body, changed),
            (f"{kind}.delete", changed, None),
        ]


@kinds
async def test_the_same_again_is_no_change_and_one_made_anew_has_another_revision(tmp_path: Path, kind: str):
    path, body = KINDS[kind]
    async with running(configured(tmp_path), FakeClock()) as service:
        _, first = await put(service, f"{path}/slow", body)
        _, again = await put(service, f"{path}/slow", body, f'"{first["revision"]}"')
        assert again["revision"] == first["revision"]
        await delete(service, f"{path}/slow")
        _, anew = await put(service, f"{path}/slow", body)
        assert anew["revision"] > first["revision"]
        assert (await put(service, f"{path}/slow", {"title": "x"}, f'"{first["revision"]}"'))[0] == 409


async def test_a_template_of_the_file_is_read_only_and_wins(tmp_path: Path):
    async with running(configured(tmp_path), FakeClock()) as service:
        found = await texts(service, "/api/manage/templates")
        assert (found["down"]["owner"], found["down"]["line"]) == ("file", 5)
        status, answer = await put(service, "/api/manage/templates/down", TEMPLATE)
        assert (status, answer["error"]) == (403, "it is set in config.toml, line 5: change it there")
        service.change("site")  # nothing
        config = service.app[keys.RUNNING].config
        service.app[keys.RUNNING].config = replace(config, templates=())
        assert (await put(service, "/api/manage/templates/down", TEMPLATE))[0] == 200
        service.app[keys.RUNNING].config = config
        token = await service.mint(scopes=SCOPES)
        _, both = await service.ask("GET", "/api/manage/templates", token)
        assert [(one["owner"], one["isShadowed"]) for one in both if one["name"] == "down"] == [
            ("file", False),
            ("database", True),
        ]
        assert (await delete(service, "/api/manage/templates/down"))[0] == 200


@kinds
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"title": ""}, "title"),
        ({"title": 7}, "title"),
        ({"title": None}, "title"),
        ({"title": "x" * 301}, "Invalid title: has 301 characters; 300 are allowed"),
        ({"text": "x" * 20_001}, "Invalid text: has 20001 characters; 20000 are allowed"),
        ({"colour": "red"}, "Invalid colour: unknown key"),
    ],
)
async def test_what_is_wrong_is_named(tmp_path: Path, kind: str, change: dict[str, Any], words: str):
    path, body = KINDS[kind]
    async with running(configured(tmp_path), FakeClock()) as service:
        status, answer = await put(service, f"{path}/slow", {**body, **change})
        assert status == 400
        assert words in answer["error"]
        assert await rows(service, kind) == []


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("template", {"state": "gone"}, "Invalid state:"),
        ("template", {"impact": "UP"}, "Invalid impact:"),
        ("template", {"monitors": ["no tag!"]}, "Invalid monitors[0]:"),
        ("template", {"name": "other"}, "Invalid name: must be that of the address"),
        ("announcement", {"level": "loud"}, "Invalid level:"),
        ("announcement", {"until": "soon"}, "Invalid until:"),
        ("announcement", {"from": "2031-01-01"}, "Invalid until: must be after from"),
        ("announcement", {"from": 7}, "Invalid from:"),
    ],
)
async def test_keys_of_one_kind_are_judged_as_in_the_file(
    tmp_path: Path, kind: str, change: dict[str, Any], words: str
):
    path, body = KINDS[kind]
    async with running(configured(tmp_path), FakeClock()) as service:
        status, answer = await put(service, f"{path}/slow", {**body, **change})
        assert (status, answer["error"].startswith(words)) == (400, True), answer


@kinds
@pytest.mark.parametrize("name", ["%20", "a%2Fb", "a%0Ab", "x" * 101])
async def test_a_name_must_fit_into_an_address(tmp_path: Path, kind: str, name: str):
    path, body = KINDS[kind]
    async with running(configured(tmp_path), FakeClock()) as service:
        status, _ = await put(service, f"{path}/{name}", body)
        assert status in (400, 404)
        assert await rows(service, kind) == []


@kinds
async def test_with_own_none_nothing_is_made_here(tmp_path: Path, kind: str):
    path, body = KINDS[kind]
    async with running(configured(tmp_path, "incidents"), FakeClock()) as service:
        assert (await put(service, f"{path}/slow", body))[0] == 200
        config = service.app[keys.RUNNING].config
        service.app[keys.RUNNING].config = replace(config, manage=replace(config.manage, own="none"))
        assert (await put(service, f"{path}/fast", body))[0] == 403
        assert (await delete(service, f"{path}/slow"))[0] == 403


async def test_a_stored_announcement_is_on_the_page_from_then_on_until_its_end(tmp_path: Path):
    async with running(configured(tmp_path), FakeClock()) as service:
        assert "We move" not in await page(service)
        until = "2025-12-31T14:00:00+01:00"  # an hour after NOON
        status, _ = await put(service, "/api/manage/announcements/move", {**ANNOUNCEMENT, "until": until})
        assert status == 200
        shown = await page(service)
        assert "We move" in shown
        assert "Of the file" in shown
        service.pass_time(3600)
        assert "We move" not in await page(service)
        assert service.clock() == NOON + 3600


async def test_a_deleted_announcement_is_gone_at_once(tmp_path: Path):
    async with running(configured(tmp_path), FakeClock()) as service:
        await put(service, "/api/manage/announcements/move", ANNOUNCEMENT)
        assert "We move" in await page(service)
        await delete(service, "/api/manage/announcements/move")
        assert "We move" not in await page(service)


async def page(service: Service) -> str:
    return await (await service.client.get("/")).text()
