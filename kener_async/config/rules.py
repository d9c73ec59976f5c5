"""Rules between settings: contradictions, duplicates, missing files.

Each rule gets the values that are valid by themselves, and the tables as written where it matters which keys
are present. An invalid value is absent from the first, so that it is reported once.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kener_async.config.alert_rules import alert_problems
from kener_async.config.check_rules import check_problems, rules_of_check
from kener_async.config.checks import KINDS
from kener_async.config.fields import ASSET_ENDINGS, describe, instant_of, is_asset, is_published, suggestion
from kener_async.config.groups import group_problems
from kener_async.config.maintenance import maintenance_problems
from kener_async.config.manage import MANAGE_PATH
from kener_async.config.manage_rules import sign_in_problems
from kener_async.config.problems import ConfigProblem, Place, Values, duplicates, table_at, within

# The first segments of this program's own paths, which no base path may begin with: below one of them it
# could not be told from a page. Called only if such a path is set: the routes know them, and to import all
# routes takes longer than most commands.
Reserved = Callable[[], Collection[str]]


def problems_between(
    values: Values,
    written: Mapping[str, object],
    folder: Path,
    reserved: Reserved,
    with_site_files: bool,
) -> Iterator[ConfigProblem]:
    """What is wrong between settings, or between a setting and a file; paths are relative to the folder.

    Without `with_site_files` the files that the page uses are not looked at.
    """
    yield from _address_rules(values.get("server", {}), reserved)
    yield from _retention_rules(values)
    yield from _key_rules(values.get("auth", {}))
    yield from _locale_rules(values.get("site", {}))
    if with_site_files:
        yield from _file_rules(values, folder)
    yield from _announcement_rules(values)
    yield from duplicates(values, "categories", "name")
    yield from duplicates(values, "monitors", "tag")
    yield from _category_rules(values)
    yield from _sender_rules(values)
    for index, monitor in enumerate(values.get("monitors", ())):
        if (heartbeat := monitor.get("heartbeat")) is not None:
            table = table_at(written, "monitors", index, "heartbeat")
            yield from within(("monitors", index, "heartbeat"), _heartbeat_rules(heartbeat, table))
    files = folder if with_site_files else None
    yield from group_problems(values)
    yield from alert_problems(values, written, files)
    yield from check_problems(values, written, files)
    yield from sign_in_problems(values)
    yield from maintenance_problems(values)
    agent = _agent_rules(values.get("agent", {}), table_at(written, "agent"), files)
    yield from within(("agent",), agent)


def _address_rules(server: Values, reserved: Reserved) -> Iterator[ConfigProblem]:
    if urlsplit(server.get("public_url", "")).path:
        text = "must be scheme and host alone, the path belongs into server.base_path"
        yield ConfigProblem(("server", "public_url"), text)
    first = server.get("base_path", "").split("/", 2)[1:2]
    if first and first[0] in reserved():
        text = f"must not begin with /{first[0]}, which is a path of this program"
        yield ConfigProblem(("server", "base_path"), text)
    manage_path = server.get("manage_path", MANAGE_PATH)
    manage = manage_path.split("/", 2)[1:2]
    if manage_path != MANAGE_PATH and manage and manage[0] in reserved():
        text = f"must not begin with /{manage[0]}, which is a path of this program"
        yield ConfigProblem(("server", "manage_path"), text)
    if manage and manage == first:
        yield ConfigProblem(("server", "base_path"), f"must not begin with /{first[0]}, as manage_path does")


def _retention_rules(values: Values) -> Iterator[ConfigProblem]:
    kept = values.get("database", {}).get("retention_days")
    accepted = values.get("ingest", {}).get("max_age_days")
    if kept is not None and accepted is not None and kept < accepted:
        text = f"must be at least ingest.max_age_days, {accepted}, not {kept}"
        yield ConfigProblem(("database", "retention_days"), text)


def _key_rules(auth: Values) -> Iterator[ConfigProblem]:
    if auth.get("secret_key") and auth.get("secret_key_file"):
        yield ConfigProblem(("auth", "secret_key_file"), "contradicts secret_key, set one of them")
    match auth:
        case {"algorithm": "HS256", "public_key_file": Path()}:
            yield ConfigProblem(("auth", "public_key_file"), "is not used with HS256")
        case {"algorithm": "EdDSA" | "RS256" as algorithm, "public_key_file": None}:
            yield ConfigProblem(("auth", "public_key_file"), f"is missing, {algorithm} needs it")


def _locale_rules(site: Values) -> Iterator[ConfigProblem]:
    if "locale" in site and "locales" in site and site["locale"] not in site["locales"]:
        yield ConfigProblem(("site", "locale"), f"{describe(site['locale'])} is not in site.locales")
    for index, name in enumerate(locales := site.get("locales", ())):
        if name in locales[:index]:
            yield ConfigProblem(("site", "locales", index), f"{describe(name)} is used twice")


def _file_rules(values: Values, folder: Path) -> Iterator[ConfigProblem]:
    site = values.get("site", {})
    if css := site.get("custom_css"):
        yield from _stylesheet_rules(folder, css)
    if "assets" not in site:
        return  # it is invalid itself
    assets = site["assets"]
    if assets and not os.path.isdir(folder / assets):
        yield ConfigProblem(("site", "assets"), f"there is no folder {describe(str(assets))}")
        return
    if assets:
        yield from _publishing_rules(values, folder, assets)
    for place, name in _assets_named(values):
        if not assets:
            yield ConfigProblem(place, f"{describe(name)} is a file of the assets folder, set site.assets")
        elif not is_published(name):
            text = f"{describe(name)} is of a kind that is not served, use {', '.join(ASSET_ENDINGS)}"
            yield ConfigProblem(place, text)
        elif not os.path.isfile(folder / assets / name):
            yield ConfigProblem(place, f"there is no file {describe(name)} in {describe(str(assets))}")


def _publishing_rules(values: Values, folder: Path, assets: Path) -> Iterator[ConfigProblem]:
    """The assets folder is public, so nothing of the service's own may be in it or below it."""
    database, auth, backup = (values.get(name, {}) for name in ("database", "auth", "backup"))
    own = {
        "config.toml": folder,
        "the database": (folder / database["path"]).parent if database.get("path") else None,
        "the signing key": (folder / auth["secret_key_file"]).parent if auth.get("secret_key_file") else None,
        "the backups": folder / backup["folder"] if backup.get("folder") else None,
    }
    public = (folder / assets).resolve()
    for name, place in own.items():
        if place is not None and place.resolve().is_relative_to(public):
            text = (
                f"{describe(str(assets))} holds {name}: everything in it is public, use a folder of its own"
            )
            yield ConfigProblem(("site", "assets"), text)
            return


def _stylesheet_rules(folder: Path, css: Path) -> Iterator[ConfigProblem]:
    if css.suffix.lower() != ".css":
        text = f"{describe(str(css))} must end in .css: its text is public"
        yield ConfigProblem(("site", "custom_css"), text)
        return
    try:
        (folder / css).read_text(encoding="utf-8")
    except OSError as error:
        text = f"{describe(str(css))} cannot be read: {error.strerror}"
        yield ConfigProblem(("site", "custom_css"), text)
    except UnicodeDecodeError:
        yield ConfigProblem(("site", "custom_css"), f"{describe(str(css))} is not UTF-8")


def _assets_named(values: Values) -> Iterator[tuple[Place, str]]:
    """Every file of the assets folder that a setting names, with the place of the setting."""
    site = values.get("site", {})
    tables: list[tuple[Place, Values]] = [
        (("site",), site),
        (("site", "hero"), site.get("hero", {})),
        *((("site", "nav", index), link) for index, link in enumerate(site.get("nav", ()))),
        *((("monitors", index), monitor) for index, monitor in enumerate(values.get("monitors", ()))),
    ]
    for place, table in tables:
        for key in ("home", "logo", "favicon", "font_file", "image", "url", "icon"):
            if (name := table.get(key)) and is_asset(name):
                yield (*place, key), name


def _announcement_rules(values: Values) -> Iterator[ConfigProblem]:
    zone = values.get("site", {}).get("timezone")
    for index, announcement in enumerate(values.get("announcements", ())):
        start, end = announcement.get("start"), announcement.get("end")
        if zone and start and end and instant_of(end, zone) <= instant_of(start, zone):
            yield ConfigProblem(("announcements", index, "until"), "must be after from")


def _category_rules(values: Values) -> Iterator[ConfigProblem]:
    names = dict.fromkeys(category.get("name") for category in values.get("categories", ()))
    if None in names:
        return  # a category's name is invalid itself, and may be the one meant
    for index, monitor in enumerate(values.get("monitors", ())):
        name = monitor.get("category")
        if name and name not in names:
            text = f"{describe(name)} is not a category{suggestion(name, names)}"
            yield ConfigProblem(("monitors", index, "category"), text)


def _sender_rules(values: Values) -> Iterator[ConfigProblem]:
    """The names of monitors in other services' requests: complete, and each of one monitor only."""
    seen: dict[tuple[str, ...], int] = {}
    monitors = values.get("monitors", ())
    for index, monitor in enumerate(monitors):
        check = monitor.get("healthchecks")
        if check is not None:
            yield from _healthchecks_rules(("monitors", index, "healthchecks"), check)
        for (table, key), name in _sender_names(monitor):
            first = seen.setdefault((table, *name), index)
            if first != index:
                text = f"is already used by {describe(monitors[first].get('tag', 'another monitor'))}"
                yield ConfigProblem(("monitors", index, table, key), text)


def _healthchecks_rules(place: Place, check: Values) -> Iterator[ConfigProblem]:
    match check:
        case {"uuid": "", "ping_key": "", "slug": ""}:
            yield ConfigProblem(place, "is empty, set uuid, or ping_key and slug")
        case {"ping_key": "", "slug": slug} if slug:
            yield ConfigProblem((*place, "slug"), "needs ping_key")
        case {"ping_key": key, "slug": ""} if key:
            yield ConfigProblem((*place, "ping_key"), "needs slug")


def _sender_names(monitor: Values) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    """The names of the monitor in other services' requests, each with its table and key."""
    match monitor.get("healthchecks"):
        case {"uuid": uuid} if uuid:
            yield ("healthchecks", "uuid"), (uuid,)
    match monitor.get("healthchecks"):
        case {"ping_key": key, "slug": slug} if key and slug:
            yield ("healthchecks", "slug"), (key, slug)
    match monitor.get("uptime_kuma"):
        case {"token": token}:
            yield ("uptime_kuma", "token"), (token,)
    match monitor.get("gatus"):
        case {"endpoint": endpoint}:
            yield ("gatus", "key"), (endpoint,)


_DEADLINE_KEYS = ("grace", "down_after", "timezone")


def _heartbeat_rules(values: Values, written: Mapping[str, object]) -> Iterator[ConfigProblem]:
    if not written:
        yield ConfigProblem((), "is empty, set interval, cron or stale_after")
    elif values.get("carry_forward"):
        yield from _carry_forward_rules(written)
    elif "interval" in written or "cron" in written:
        yield from _deadline_rules(values, written)
    else:
        yield from (
            ConfigProblem((key,), "needs interval or cron") for key in _DEADLINE_KEYS if key in written
        )


def _carry_forward_rules(written: Mapping[str, object]) -> Iterator[ConfigProblem]:
    for key in ("interval", "cron", *_DEADLINE_KEYS):
        if key in written:
            yield ConfigProblem((key,), "contradicts carry_forward")
    if "stale_after" not in written:
        yield ConfigProblem(("stale_after",), "is missing, carry_forward needs it")


def _deadline_rules(values: Values, written: Mapping[str, object]) -> Iterator[ConfigProblem]:
    if "stale_after" in written:
        yield ConfigProblem(("stale_after",), "is not used with interval or cron")
    if "timezone" in written and "cron" not in written:
        yield ConfigProblem(("timezone",), "needs cron")
    if "interval" in written and "cron" in written:
        yield ConfigProblem(("cron",), "contradicts interval, set one of them")
    elif "interval" in written:
        yield from _down_after_rules(values, "interval", "grace")
    else:
        yield from _down_after_rules(values, "grace")


def _down_after_rules(values: Values, *parts: str) -> Iterator[ConfigProblem]:
    down_after, seconds = values.get("down_after"), [values.get(key) for key in parts]
    if down_after is None or None in seconds:
        return  # left out, or invalid itself
    least = sum(each for each in seconds if each is not None)
    if down_after < least:
        text = f"must be at least {' + '.join(parts)}, {least} s, not {down_after} s"
        yield ConfigProblem(("down_after",), text)


def _agent_rules(values: Values, written: Mapping[str, Any], folder: Path | None) -> Iterator[ConfigProblem]:
    if values.get("token") and values.get("token_file"):
        yield ConfigProblem(("token_file",), "contradicts token, set one of them")
    yield from duplicates(values, "checks", "tag")
    for index, check in enumerate(values.get("checks", ())):
        if table := table_at(written, "checks", index):
            yield from within(("checks", index), rules_of_check(check, table, tuple(KINDS), folder))
