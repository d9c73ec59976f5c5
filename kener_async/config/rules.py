"""Rules across settings: contradictions, things said twice, files that are not there.

Each rule sees the values that are valid by themselves, and what was written.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from kener_async.config.agent import agent_rules
from kener_async.config.fields import hint, instant_of, is_asset, shown

Place = tuple[str | int, ...]

# What our own addresses begin with; below one of them nobody could tell a base path from a page.
TAKEN = (
    "api",
    "assets",
    "badge",
    "beat",
    "category",
    "embed",
    "incident",
    "incidents",
    "monitor",
    "ping",
    "static",
)


class Misplaced(NamedTuple):
    """A fault and the place of what is wrong, such as `("monitors", 2, "tag")`."""

    place: Place
    text: str


def contradictions(
    read: Mapping[str, Any], written: Mapping[str, object], folder: Path
) -> Iterator[Misplaced]:
    """What is wrong between settings, or between a setting and a file; paths are relative to the folder."""
    yield from _address_rules(read.get("server", {}))
    yield from _retention_rules(read)
    yield from _key_rules(_table(written, "auth"))
    yield from _locale_rules(read.get("site", {}))
    yield from _file_rules(read, folder)
    yield from _announcement_rules(read)
    yield from _twice(read, "categories", "name")
    yield from _twice(read, "monitors", "tag")
    yield from _category_rules(read)
    yield from _sender_rules(read)
    for fault in _twice(read.get("agent", {}), "checks", "tag"):
        yield Misplaced(("agent", *fault.place), fault.text)
    for index, monitor in enumerate(read.get("monitors", ())):
        heartbeat = _table(_table(written, "monitors", index), "heartbeat")
        if "heartbeat" in monitor:
            for key, text in _heartbeat_rules(monitor["heartbeat"], heartbeat):
                yield Misplaced(("monitors", index, "heartbeat", *key), text)
    for place, text in agent_rules(read.get("agent", {}), _table(written, "agent")):
        yield Misplaced(("agent", *place), text)


def _table(within: object, *place: str | int) -> Mapping[str, object]:
    """The table at the place; an empty one where something else stands there."""
    for part in place:
        match within, part:
            case dict(), str():
                within = within.get(part)
            case list(), int():
                within = within[part]
    return within if isinstance(within, dict) else {}


def _address_rules(server: Mapping[str, Any]) -> Iterator[Misplaced]:
    if urlsplit(server.get("public_url", "")).path:
        text = "must be scheme and host alone, the path belongs into server.base_path"
        yield Misplaced(("server", "public_url"), text)
    first = server.get("base_path", "").split("/", 2)[1:2]
    if first and first[0] in TAKEN:
        text = f"must not begin with /{first[0]}, which is an address of ours"
        yield Misplaced(("server", "base_path"), text)


def _retention_rules(read: Mapping[str, Any]) -> Iterator[Misplaced]:
    kept = read.get("database", {}).get("retention_days")
    accepted = read.get("ingest", {}).get("max_age_days")
    if kept is not None and accepted is not None and kept < accepted:
        text = f"must be at least ingest.max_age_days, {accepted}, not {kept}"
        yield Misplaced(("database", "retention_days"), text)


def _key_rules(auth: Mapping[str, object]) -> Iterator[Misplaced]:
    if auth.get("secret_key") and auth.get("secret_key_file"):
        yield Misplaced(("auth", "secret_key_file"), "contradicts secret_key, set one of them")
    algorithm = auth.get("algorithm", "HS256")
    if algorithm in ("EdDSA", "RS256") and not auth.get("public_key_file"):
        yield Misplaced(("auth", "public_key_file"), f"is missing, {algorithm} needs it")
    if algorithm == "HS256" and auth.get("public_key_file"):
        yield Misplaced(("auth", "public_key_file"), "has no use with HS256")


def _locale_rules(site: Mapping[str, Any]) -> Iterator[Misplaced]:
    if "locale" in site and "locales" in site and site["locale"] not in site["locales"]:
        yield Misplaced(("site", "locale"), f"{shown(site['locale'])} is not among site.locales")
    for index, name in enumerate(locales := site.get("locales", ())):
        if name in locales[:index]:
            yield Misplaced(("site", "locales", index), f"{shown(name)} is used twice")


def _file_rules(read: Mapping[str, Any], folder: Path) -> Iterator[Misplaced]:
    site = read.get("site", {})
    if css := site.get("custom_css"):
        yield from _reading_rules(folder, css)
    assets = site.get("assets")
    if assets and not os.path.isdir(folder / assets):
        yield Misplaced(("site", "assets"), f"there is no folder {shown(assets)}")
    elif assets is not None:
        for place, name in _assets_named(read):
            if not assets:
                yield Misplaced(place, f"{shown(name)} is a file of the assets folder, set site.assets")
            elif not os.path.isfile(folder / assets / name):
                yield Misplaced(place, f"there is no file {shown(name)} in {shown(assets)}")


def _reading_rules(folder: Path, css: str) -> Iterator[Misplaced]:
    try:
        (folder / css).read_text(encoding="utf-8")
    except OSError as fault:
        yield Misplaced(("site", "custom_css"), f"{shown(css)} cannot be read: {fault.strerror}")
    except UnicodeDecodeError:
        yield Misplaced(("site", "custom_css"), f"{shown(css)} is not UTF-8")


def _assets_named(read: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Every file of the assets folder that a setting names, with the place of the setting."""
    site = read.get("site", {})
    tables: list[tuple[Place, Mapping[str, Any]]] = [
        (("site",), site),
        (("site", "hero"), site.get("hero", {})),
        *((("site", "nav", index), link) for index, link in enumerate(site.get("nav", ()))),
        *((("monitors", index), monitor) for index, monitor in enumerate(read.get("monitors", ()))),
    ]
    for place, table in tables:
        for key in ("home", "logo", "favicon", "font_file", "image", "url", "icon"):
            if is_asset(table.get(key, "")):
                yield (*place, key), table[key]


def _announcement_rules(read: Mapping[str, Any]) -> Iterator[Misplaced]:
    zone = read.get("site", {}).get("timezone")
    for index, announcement in enumerate(read.get("announcements", ())):
        match announcement:
            case {"from": start, "until": end} if zone and instant_of(end, zone) <= instant_of(start, zone):
                yield Misplaced(("announcements", index, "until"), "must be after from")


def _twice(read: Mapping[str, Any], tables: str, key: str) -> Iterator[Misplaced]:
    seen: set[str] = set()
    for index, table in enumerate(read.get(tables, ())):
        value = table.get(key)
        if value in seen:
            yield Misplaced((tables, index, key), f"{shown(value)} is used twice")
        elif value is not None:
            seen.add(value)


def _category_rules(read: Mapping[str, Any]) -> Iterator[Misplaced]:
    names = [category.get("name") for category in read.get("categories", ())]
    if None in names:
        return  # the fault is there
    for index, monitor in enumerate(read.get("monitors", ())):
        name = monitor.get("category")
        if name and name not in names:
            text = f"{shown(name)} is no category{hint(name, names)}"
            yield Misplaced(("monitors", index, "category"), text)


def _sender_rules(read: Mapping[str, Any]) -> Iterator[Misplaced]:
    """Of what senders of other services call a monitor: enough, and each for one monitor only."""
    seen: dict[tuple[str, ...], int] = {}
    for index, monitor in enumerate(read.get("monitors", ())):
        check = monitor.get("healthchecks")
        if check is not None:
            yield from _check_rules(("monitors", index, "healthchecks"), check)
        for (table, key), name in _names_by_senders(monitor):
            first = seen.setdefault((table, *name), index)
            if first != index:
                text = f"is that of monitors[{first}] already"
                yield Misplaced(("monitors", index, table, key), text)


def _check_rules(place: Place, check: Mapping[str, Any]) -> Iterator[Misplaced]:
    match check:
        case {"uuid": "", "ping_key": "", "slug": ""}:
            yield Misplaced(place, "is empty, set uuid, or ping_key and slug")
        case {"ping_key": "", "slug": slug} if slug:
            yield Misplaced((*place, "slug"), "needs ping_key")
        case {"ping_key": key, "slug": ""} if key:
            yield Misplaced((*place, "ping_key"), "needs slug")


def _names_by_senders(monitor: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    """The tables and keys in which senders' names of the monitor stand, with the names."""
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
        case {"key": key}:
            yield ("gatus", "key"), (key,)


# Faults of a heartbeat, by place within its table
_HeartbeatFaults = Iterator[tuple[tuple[str, ...], str]]
_DEADLINE_KEYS = ("grace", "down_after", "timezone")


def _heartbeat_rules(read: Mapping[str, Any], written: Mapping[str, object]) -> _HeartbeatFaults:
    if not written:
        yield (), "is empty, set interval, cron or stale_after"
    elif read.get("carry_forward"):
        yield from _carry_forward_rules(written)
    elif "interval" in written or "cron" in written:
        yield from _deadline_rules(read, written)
    else:
        yield from (((key,), "needs interval or cron") for key in _DEADLINE_KEYS if key in written)


def _carry_forward_rules(written: Mapping[str, object]) -> _HeartbeatFaults:
    for key in ("interval", "cron", *_DEADLINE_KEYS):
        if key in written:
            yield (key,), "contradicts carry_forward"
    if "stale_after" not in written:
        yield ("stale_after",), "is missing, carry_forward needs it"


def _deadline_rules(read: Mapping[str, Any], written: Mapping[str, object]) -> _HeartbeatFaults:
    if "stale_after" in written:
        yield ("stale_after",), "has no use with interval or cron"
    if "timezone" in written and "cron" not in written:
        yield ("timezone",), "needs cron"
    if "interval" in written and "cron" in written:
        yield ("cron",), "contradicts interval, set one of them"
    elif "interval" in written:
        yield from _down_after_rules(read, "interval", "grace")
    else:
        yield from _down_after_rules(read, "grace")


def _down_after_rules(read: Mapping[str, Any], *parts: str) -> _HeartbeatFaults:
    if all(key in read for key in ("down_after", *parts)):
        least = sum(read[key] for key in parts)
        if read["down_after"] < least:
            yield (
                ("down_after",),
                f"must be at least {' + '.join(parts)}, {least} s, not {read['down_after']} s",
            )
