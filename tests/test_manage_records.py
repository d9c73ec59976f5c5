"""The screens of templates, announcements, settings and the audit log, by a browser without scripts."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kener_async import keys
from kener_async.config.in_force import changes_between, settings_in_force
from kener_async.config.load import load
from kener_async.config.model import Config
from kener_async.domain.people import Role
from kener_async.store import audit, managed
from kener_async.store.audit import AuditSearch
from tests.rigs.html_client import HtmlClient
from tests.rigs.people import COMMAND, a_person, signed_in
from tests.rigs.service import NOON, FakeClock, Service, a_config, a_monitor, running

TOML = """
[site]
title = "Status of Example"

[[templates]]
name = "down"
title = "{monitors} not working"

[[announcements]]
title = "Of the file"
"""


def configured(folder: Path, text: str = TOML) -> Config:
    """The configuration of a test with what a file says of the page."""
    (folder / "config.toml").write_text(text)
    file = load(folder / "config.toml", {})
    plain = a_config(folder, a_monitor("earth"))
    return replace(
        plain,
        site=file.site,
        templates=file.templates,
        announcements=file.announcements,
        text=file.text,
        file=file.file,
    )


@asynccontextmanager
async def browsing(folder: Path, role: Role = Role.EDITOR) -> AsyncIterator[tuple[Service, HtmlClient]]:
    """A service with an earth, and the browser of a person."""
    async with running(configured(folder), FakeClock()) as service:
        person = await a_person(service, role=role, password=None)
        async with signed_in(service, person) as browser:
            yield service, browser


async def stored(service: Service, kind: managed.Kind) -> dict[str, Any]:
    found = await service.app[keys.DATABASE].read(managed.list_of, kind)
    return {each.name: each.body for each in found}


# Templates and announcements


async def test_a_template_is_made_changed_offered_and_deleted(tmp_path: Path):
    async with browsing(tmp_path) as (service, browser):
        page = await browser.open("/manage/templates")
        assert "config.toml, line 5" in page.said
        form = await page.follow("New template")
        page = await form.press(
            "Save",
            name="slow",
            title="{monitors} slow",
            text="Since {since}.",
            state="identified",
            impact="DEGRADED",
            monitors="earth\n ear*\n",
        )
        assert "Saved." in page.said
        body = {
            "title": "{monitors} slow",
            "text": "Since {since}.",
            "state": "identified",
            "impact": "DEGRADED",
            "monitors": ["earth", "ear*"],
        }
        assert await stored(service, "template") == {"slow": body}
        await service.beat("earth", "DOWN")
        offered = await browser.open("/manage/incidents/new?from=alerts&template=slow")
        assert "Earth slow" in offered.body
        edit = await (await browser.open("/manage/templates")).follow("slow")
        page = await edit.press("Save", title="Other", monitors="")
        assert (await stored(service, "template"))["slow"]["title"] == "Other"
        asked = await (await page.follow("slow")).follow("Delete")
        assert "Other" in asked.said
        page = await asked.press("Delete")
        assert "Deleted." in page.said
        assert await stored(service, "template") == {}
        rows = await service.app[keys.DATABASE].read(audit.search, AuditSearch(thing="template"))
        assert [(row.act, row.actor) for row in rows] == [
            ("template.delete", "person:ada"),
            ("template.save", "person:ada"),
            ("template.save", "person:ada"),
        ]


async def test_an_announcement_is_made_in_the_zone_of_the_page_and_shown_to_visitors(tmp_path: Path):
    async with browsing(tmp_path) as (service, browser):
        form = await (await browser.open("/manage/announcements")).follow("New announcement")
        page = await form.press(
            "Save", name="move", title="We move", level="warning", until="2025-12-31T14:00"
        )
        assert "Saved." in page.said
        assert await stored(service, "announcement") == {
            "move": {"title": "We move", "level": "warning", "until": "2025-12-31T14:00:00+00:00"}
        }
        assert "We move" in await (await service.client.get("/")).text()
        edit = await page.follow("move")
        assert edit.form("Save").value("until") == "2025-12-31T14:00"
        page = await (await edit.follow("Delete")).press("Delete")
        assert "Deleted." in page.said
        assert "We move" not in await (await service.client.get("/")).text()


async def test_of_two_people_who_change_a_template_the_second_is_told_and_sees_both(tmp_path: Path):
    async with browsing(tmp_path) as (service, browser):
        await save(service, {"title": "First"})
        edit = await browser.open("/manage/templates/slow/edit")
        stored_now = await service.app[keys.DATABASE].read(managed.get, "template", "slow")
        await save(service, {"title": "Theirs"}, stored_now.revision)
        refused = await edit.press("Save", 409, title="Mine")
        assert "It was changed since you opened it, by" in refused.said
        assert "Theirs" in refused.said
        assert refused.form("Save").value("title") == "Mine"
        assert (await stored(service, "template"))["slow"] == {"title": "Theirs"}
        await refused.press("Save")
        assert (await stored(service, "template"))["slow"] == {"title": "Mine"}


async def save(service: Service, body: dict[str, Any], revision: int = managed.NEW) -> None:
    await service.app[keys.DATABASE].write(
        managed.save, "template", "slow", body, revision, COMMAND, service.clock()
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "down", "title": "x"}, "There is one of this name already."),
        ({"name": "a/b", "title": "x"}, "contains an invalid character"),
        ({"name": "", "title": "x"}, "is missing"),
        ({"name": "slow", "title": ""}, "is missing"),
        ({"name": "slow", "title": "x" * 301}, "has 301 characters"),
        ({"name": "slow", "title": "x", "monitors": "no tag!"}, "must be a tag"),
    ],
)
async def test_what_is_wrong_with_a_template_is_said_beside_its_field(
    tmp_path: Path, values: dict[str, str], words: str
):
    async with browsing(tmp_path) as (service, browser):
        form = await browser.open("/manage/templates/new")
        refused = await form.press("Save", 400, text="kept", **values)
        assert words in refused.said
        assert refused.form("Save").value("text") == "kept"
        assert await stored(service, "template") == {}


async def test_a_viewer_sees_the_texts_and_no_button(tmp_path: Path):
    async with browsing(tmp_path, Role.VIEWER) as (_, browser):
        for path, button in (("templates", "New template"), ("announcements", "New announcement")):
            page = await browser.open(f"/manage/{path}")
            assert button not in page.said
            await browser.open(f"/manage/{path}/new", 403)


# The audit log


async def test_the_audit_log_says_what_was_changed_and_is_filtered(tmp_path: Path):
    async with browsing(tmp_path) as (service, browser):
        await save(service, {"title": "First"})
        row = await service.app[keys.DATABASE].read(managed.get, "template", "slow")
        await save(service, {"title": "Second"}, row.revision)
        page = await browser.open("/manage/audit")
        assert "template.save" in page.said
        assert "First" in page.said
        assert "Second" in page.said
        assert "person.add" in page.said
        page = await browser.open("/manage/audit?act=template")
        assert "person.add" not in page.said
        assert "Nothing matches." in (await browser.open("/manage/audit?actor=person:grace")).said
        assert "template.save" in (await browser.open("/manage/audit?from=2025-12-31&until=2025-12-31")).said
        assert "Nothing matches." in (await browser.open("/manage/audit?until=2025-12-30")).said
        await browser.open("/manage/audit?from=soon", 400)
        await browser.open("/manage/audit?below=x", 400)


async def test_the_audit_log_is_read_page_by_page_and_exported_in_full(tmp_path: Path):
    async with browsing(tmp_path) as (service, browser):
        for number in range(60):
            await service.app[keys.DATABASE].write(
                audit.record, COMMAND, "a.b", f"thing {number}", None, {"n": number}, NOON
            )
        page = await browser.open("/manage/audit?act=a.b")
        assert "thing 59" in page.said
        assert "thing 9" not in page.said
        older = await page.follow("Older")
        assert "thing 9" in older.said
        assert "Older" not in older.said
        exported = await browser.open("/manage/audit/export.jsonl?act=a.b")
        lines = [json.loads(line) for line in exported.body.splitlines()]
        assert [line["after"]["n"] for line in lines] == list(range(59, -1, -1))


# Settings


async def test_settings_say_where_each_value_comes_from_and_show_no_secret(tmp_path: Path):
    async with browsing(tmp_path, Role.ADMIN) as (service, browser):
        page = await browser.open("/manage/settings")
        assert '"Status of Example"' in page.said
        assert "line 3" in page.said
        assert "default" in page.said
        secret = service.app[keys.RUNNING].config.auth.secret_key
        assert secret
        assert secret not in page.body
        assert "•••" in page.said
        assert "Nothing: the file on disk says what is in force." not in page.said  # the rig changed some


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_the_origin_of_a_value_is_the_file_the_environment_or_a_default(file: Path):
    file.write_text(
        '[server]\nport = 4000\n\n[site]\ntitle = "A"\n\n[mail]\nhost = "mail.example.org"\n'
        'from = "a@example.org"\nuser = "a"\npassword = "hunter2"\n'
    )
    config = load(file, {"KENER_SITE_TITLE": "B", "KENER_DATABASE_PATH": "x.db"})
    found = {setting.name: setting for setting in settings_in_force(config)}
    assert (found["server.port"].value, found["server.port"].origin, found["server.port"].line) == (
        "4000",
        "file",
        2,
    )
    assert (found["site.title"].value, found["site.title"].variable) == ('"B"', "KENER_SITE_TITLE")
    assert found["server.host"].origin == "default"
    assert found["mail.password"].value == "•••"
    assert "hunter2" not in str(found)
    assert found["server.port"].needs_restart
    assert not found["site.title"].needs_restart


def test_what_a_reload_would_change_is_told_key_by_key(file: Path):
    file.write_text('[server]\nport = 4000\n[[monitors]]\ntag = "earth"\n[[monitors]]\ntag = "mars"\n')
    before = load(file, {})
    file.write_text(
        '[site]\ntitle = "New"\n[watch]\nping_url = "https://ping.example.org/secret"\n'
        '[[monitors]]\ntag = "earth"\nname = "Earth"\n[[monitors]]\ntag = "venus"\n'
    )
    changes = {(each.what, each.name): each for each in changes_between(before, load(file, {}))}
    assert set(changes) == {
        ("changed", "server.port"),
        ("changed", "site.title"),
        ("changed", "site.name"),
        ("changed", "watch.ping_url"),
        ("changed", "monitors: earth"),
        ("gone", "monitors: mars"),
        ("added", "monitors: venus"),
    }
    port = changes["changed", "server.port"]
    assert (port.before, port.after, port.needs_restart) == ("4000", "3000", True)
    assert changes["changed", "monitors: earth"].after == "name"
    assert changes["changed", "watch.ping_url"].after == "•••"
    assert list(changes_between(before, before)) == []


async def test_a_reload_is_asked_for_once_and_is_in_the_audit_log(tmp_path: Path):
    async with browsing(tmp_path, Role.ADMIN) as (service, browser):
        asked: list[str] = []
        page = await browser.open("/manage/settings")
        assert "Reload" not in page.said.split()
        service.app[keys.RUNNING].request_reload = lambda: asked.append("now")
        page = await (await browser.open("/manage/settings")).press("Reload")
        assert "The file is read again" in page.said
        assert asked == ["now"]
        (row,) = await service.app[keys.DATABASE].read(audit.search, AuditSearch(act="settings"))
        assert (row.act, row.actor) == ("settings.reload", "person:ada")


async def test_a_file_with_problems_is_shown_with_them(tmp_path: Path):
    async with browsing(tmp_path, Role.ADMIN) as (service, browser):
        service.app[keys.RUNNING].request_reload = lambda: None
        (tmp_path / "config.toml").write_text("[server]\nport = 99999\n")
        page = await browser.open("/manage/settings")
        assert "config.toml:2" in page.said
        assert "a reload would change nothing" in page.said


# The same by the API


async def test_the_api_reads_the_audit_log_people_and_the_configuration(tmp_path: Path):
    async with running(configured(tmp_path), FakeClock()) as service:
        await a_person(service, role=Role.ADMIN)
        token = await service.mint(scopes=("report:read",))
        status, rows = await service.ask("GET", "/api/manage/audit?act=person&limit=1", token)
        assert (status, [row["act"] for row in rows]) == (200, ["person.password"])
        admin = await service.mint(scopes=("admin",))
        status, (ada,) = await service.ask("GET", "/api/manage/people", admin)
        assert (status, ada["name"], ada["role"], ada["hasPassword"]) == (200, "ada", "admin", True)
        assert "argon2" not in json.dumps(ada)
        status, settings = await service.ask("GET", "/api/manage/config", admin)
        found = {setting["name"]: setting for setting in settings}
        assert (found["site.title"]["origin"], found["site.title"]["line"]) == ("file", 3)
        assert found["auth.secret_key"]["value"] == "•••"
        headers = {"Authorization": f"Bearer {admin}"}
        async with service.client.get("/api/manage/config.toml", headers=headers) as reply:
            assert await reply.text() == TOML
        limited = await service.mint(scopes=("admin", "report:read"), tags=("earth",))
        for path in ("audit", "people", "config", "config.toml"):
            assert (await service.ask("GET", f"/api/manage/{path}", limited))[0] == 403
