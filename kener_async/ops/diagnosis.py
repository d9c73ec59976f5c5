"""What measurements mean: each becomes findings, with a remedy where something is wrong."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from kener_async.config.model import BackupConfig, ServerConfig
from kener_async.domain import free_space
from kener_async.domain.calendar import DAY
from kener_async.store.sqlite.files import NETWORK_FILE_SYSTEMS
from kener_async.store.tokens import Token

BUILT_AFTER = 1_767_225_600  # 2026-01-01: no clock that is right says less
SLOW_FLUSH, SLOWEST_FLUSH = 0.1, 1.0  # seconds
LARGE_LOG = 64 * 1024 * 1024
LEAST_FILES = 1024
STRONG_BITS = 128
UNUSED = 90 * DAY
NAMED = 5


class State(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`remedy` is empty only where all is well."""

    check: str
    state: State
    text: str
    remedy: str = ""


Findings = Iterator[Finding]


def ok(check: str, text: str) -> Finding:
    return Finding(check, State.OK, text)


def warn(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, State.WARN, text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, State.FAIL, text, remedy)


def of_clock(now: int, last_seen: int, is_synchronized: bool | None) -> Findings:
    """`last_seen` is the newest instant in the database; `is_synchronized` None: the system does not tell."""
    if now < BUILT_AFTER:
        yield fail("clock", "it says a time before this program was made", "set it: timedatectl set-ntp true")
    elif now < last_seen - 60:
        text = f"it is {last_seen - now} s behind what the database has seen"
        yield fail(
            "clock", text, "set it; if the database saw a wrong one, the service puts that right itself"
        )
    else:
        yield ok("clock", "plausible")
    if is_synchronized is None:
        yield warn("clock source", "whether it is kept right cannot be seen", "see that an NTP client runs")
    elif is_synchronized:
        yield ok("clock source", "synchronized")
    else:
        yield warn("clock source", "not synchronized", "timedatectl set-ntp true, or install chrony")


def of_space(free: int, folder: str) -> Finding:
    text = f"{free / 1e6:,.0f} MB free in {folder}"
    remedy = "make room, or keep less with retention_days"
    if free < free_space.REQUIRED:
        return fail("disk space", text, remedy)
    return warn("disk space", text, remedy) if free < free_space.RECOMMENDED else ok("disk space", text)


def of_flush(seconds: Sequence[float]) -> Finding:
    """`seconds`: how long single flushes took."""
    typical, worst = sorted(seconds)[len(seconds) // 2], max(seconds)
    text = f"a flush takes {typical * 1000:.1f} ms, {worst * 1000:.1f} ms at worst"
    remedy = (
        'take a faster disk; [database] synchronous = "NORMAL" flushes less and may lose the last seconds'
    )
    if typical >= SLOWEST_FLUSH:
        return fail("disk speed", text, remedy)
    return warn("disk speed", text, remedy) if typical >= SLOW_FLUSH else ok("disk speed", text)


def of_file_system(kind: str) -> Finding:
    if kind in NETWORK_FILE_SYSTEMS:
        remedy = "SQLite's locks may fail there: move the database to a local disk"
        return fail("file system", f"{kind}, over a network", remedy)
    if kind in ("tmpfs", "ramfs"):
        return warn("file system", f"{kind}, in memory", "move the database to a disk, or it is gone one day")
    return ok("file system", kind or "not told")


def of_mode(check: str, path: str, mode: int, forbidden: int, right: str) -> Finding:
    if mode & forbidden:
        return warn(check, f"{path} has mode {mode & 0o777:04o}", f"chmod {right} {path}")
    return ok(check, f"{path} has mode {mode & 0o777:04o}")


def of_key(secret: bytes) -> Finding:
    """Length alone says little: the same letter 64 times is long."""
    counts = Counter(secret).values()
    bits = -sum(count * math.log2(count / len(secret)) for count in counts)
    if bits < STRONG_BITS:
        text = f"{len(secret)} bytes, but worth {bits:.0f} bits at most"
        return fail(
            "signing key", text, "take a random one: openssl rand -base64 48; tokens are to be made anew"
        )
    return ok("signing key", f"{len(secret)} bytes")


def of_tokens(records: Sequence[Token], now: int) -> Findings:
    """Only of tokens that are good now."""
    valid = [
        one for one in records if one.revoked_at is None and (one.expires_at is None or one.expires_at > now)
    ]
    kinds = {
        "never expire": [one for one in valid if one.expires_at is None],
        "were not used for 90 days": [
            one for one in valid if max(one.created_at, one.last_used or 0) < now - UNUSED
        ],
        "may do everything (admin)": [one for one in valid if "admin" in one.scopes],
    }
    remedies = {
        "never expire": "make others with --expires, and revoke these",
        "were not used for 90 days": "kener-async token revoke ID",
        "may do everything (admin)": "make others with the scopes that are needed, and revoke these",
    }
    for what, found in kinds.items():
        if found:
            yield warn("tokens", f"{len(found)} {what}: {_named(found)}", remedies[what])
    if not any(kinds.values()):
        yield ok("tokens", f"{len(valid)} good ones")


def _named(found: Sequence[Token]) -> str:
    names = [f"{one.name} ({one.id})" for one in found[:NAMED]]
    return ", ".join([*names, *(["..."] if len(found) > NAMED else [])])


def of_proxy(server: ServerConfig) -> Finding:
    if server.public_url.startswith("https:") and not server.trusted_proxies:
        text = "public_url is https, which a proxy must speak, but none is trusted"
        remedy = 'set trusted_proxies, such as ["127.0.0.1"], or every visitor has the address of the proxy'
        return warn("reverse proxy", text, remedy)
    if server.trusted_proxies and not server.public_url:
        text = "proxies are trusted, but public_url is empty"
        return warn("reverse proxy", text, "set public_url, so that feeds and embeds name the right address")
    wide = [str(network) for network in server.trusted_proxies if network.prefixlen == 0]
    if wide:
        text = f"{wide[0]} is trusted: every visitor can pretend to be another"
        return fail("reverse proxy", text, "name the addresses of the proxies alone")
    if server.base_path and not server.public_url:
        text = f"base_path is {server.base_path}, but public_url is empty"
        return warn("reverse proxy", text, "set public_url to scheme and host of the proxy")
    return ok("reverse proxy", server.public_url or "none configured")


def of_open_files(limit: int, max_connections: int) -> Finding:
    text = f"{limit:,} open files"
    remedy = "LimitNOFILE=65536 in the unit, or ulimit -n 65536"
    if max_connections > limit * 4 // 5:
        return fail("open files", f"{text}, too few for max_connections = {max_connections:,}", remedy)
    return warn("open files", text, remedy) if limit < LEAST_FILES else ok("open files", text)


def of_log_size(size: int) -> Finding:
    text = f"{size / 1e6:,.1f} MB of write-ahead log"
    if size > LARGE_LOG:
        return warn(
            "write-ahead log", text, "a long read keeps it: end what reads the database, else restart"
        )
    return ok("write-ahead log", text)


def of_backups(newest: int | None, plan: BackupConfig, now: int, folder: str) -> Finding:
    """`newest`: when the newest in the folder was made. A `plan` without a folder: a timer may make them."""
    every = plan.every if plan.folder is not None else DAY
    if newest is None:
        remedy = "set [backup] folder, or enable kener-async-backup.timer"
        return warn("backups", f"there is none in {folder}", remedy)
    age = now - newest
    text = f"the newest in {folder} is {age / 3600:,.1f} hours old"
    if age <= 2 * every:
        return ok("backups", text)
    remedy = "the log says why none was made since; kener-async backup makes one now"
    return fail("backups", text, remedy) if plan.folder is not None else warn("backups", text, remedy)
