"""Judge the measurements of the doctor: each becomes findings, with a remedy for every problem."""

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

BUILT_AFTER = 1_767_225_600  # 2026-01-01: a clock that is earlier is wrong
SLOW_FLUSH, SLOWEST_FLUSH = 0.1, 1.0  # seconds
LARGE_LOG = 64 * 1024 * 1024
LEAST_FILES = 1024
MIB = 1024 * 1024
UNIT_MEMORY = 256  # MB; MemoryMax of systemd/kener-async.service
MEMORY_BASE = 150  # MB
MEMORY_PER_1000 = 35  # MB for so many monitors
STRONG_BITS = 128
UNUSED = 90 * DAY
EXPIRING = 14 * DAY
NAMED = 5
SEALED_SOON = 100  # days of monitors, which take the service seconds


class FindingState(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of a check; `remedy` is empty only if the state is ok."""

    check: str
    state: FindingState
    text: str
    remedy: str = ""


Findings = Iterator[Finding]


def ok(check: str, text: str) -> Finding:
    return Finding(check, FindingState.OK, text)


def warn(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, FindingState.WARN, text, remedy)


def fail(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, FindingState.FAIL, text, remedy)


def of_clock(now: int, last_seen: int, is_synchronized: bool | None) -> Findings:
    """Judge the clock. `last_seen` is the newest instant in the database; `is_synchronized` None: unknown."""
    if now < BUILT_AFTER:
        yield fail("clock", "earlier than this program was built", "set the clock: timedatectl set-ntp true")
    elif now < last_seen - 60:
        text = f"{last_seen - now} s behind the newest time in the database"
        yield fail(
            "clock",
            text,
            "set the clock; if it was wrong before, the service corrects the database",
        )
    else:
        yield ok("clock", "plausible")
    if is_synchronized is None:
        yield warn("clock source", "synchronization unknown", "make sure that an NTP client is running")
    elif is_synchronized:
        yield ok("clock source", "synchronized")
    else:
        yield warn("clock source", "not synchronized", "timedatectl set-ntp true, or install chrony")


def of_space(free: int, folder: str) -> Finding:
    text = f"{free / 1e6:,.0f} MB free in {folder}"
    remedy = "free disk space, or lower [database] retention_days"
    if free < free_space.REQUIRED:
        return fail("disk space", text, remedy)
    return warn("disk space", text, remedy) if free < free_space.RECOMMENDED else ok("disk space", text)


def of_flush(seconds: Sequence[float]) -> Finding:
    """Judge the disk by the median of the durations of single flushes, in seconds."""
    median, worst = sorted(seconds)[len(seconds) // 2], max(seconds)
    text = f"fsync takes {median * 1000:.1f} ms (median), {worst * 1000:.1f} ms (maximum)"
    remedy = 'use a faster disk, or set [database] synchronous = "NORMAL", which may lose the last seconds'
    if median >= SLOWEST_FLUSH:
        return fail("disk speed", text, remedy)
    return warn("disk speed", text, remedy) if median >= SLOW_FLUSH else ok("disk speed", text)


def of_file_system(kind: str) -> Finding:
    if kind in NETWORK_FILE_SYSTEMS:
        remedy = "move the database to a local disk: SQLite's locks are unreliable there"
        return fail("file system", f"{kind}, a network file system", remedy)
    if kind in ("tmpfs", "ramfs"):
        return warn("file system", f"{kind}, in memory", "move the database to a disk: a reboot deletes it")
    return ok("file system", kind or "unknown")


def of_mode(check: str, path: str, mode: int, forbidden: int, right: str) -> Finding:
    if mode & forbidden:
        return warn(check, f"{path} has mode {mode & 0o777:04o}", f"chmod {right} {path}")
    return ok(check, f"{path} has mode {mode & 0o777:04o}")


def of_key(secret: bytes) -> Finding:
    """Judge the entropy of the key, because a repeated letter is long, too."""
    counts = Counter(secret).values()
    bits = -sum(count * math.log2(count / len(secret)) for count in counts)
    if bits < STRONG_BITS:
        text = f"{len(secret)} bytes with at most {bits:.0f} bits of entropy"
        return fail(
            "signing key", text, "replace it by a random one: openssl rand -base64 48; then create new tokens"
        )
    return ok("signing key", f"{len(secret)} bytes")


def of_tokens(records: Sequence[Token], now: int) -> Findings:
    """Judge the tokens that are valid now."""
    valid = [record for record in records if record.state(now) == "valid"]
    kinds = {
        # A beat key has no other end by default: what forgets to beat is seen on the page.
        "never expire": [token for token in valid if token.expires_at is None and token.digest is None],
        "expire soon": [token for token in valid if _expires_soon(token, now)],
        "were not used for 90 days": [
            token for token in valid if max(token.created_at, token.last_used or 0) < now - UNUSED
        ],
        "have the scope admin": [token for token in valid if "admin" in token.scopes],
    }
    remedies = {
        "expire soon": "create their successors: kener-async token create, then change the devices",
        "never expire": "replace them by tokens with --expires: kener-async token create, token revoke",
        "were not used for 90 days": "kener-async token revoke ID",
        "have the scope admin": "replace them by tokens with only the scopes they need",
    }
    for problem, tokens in kinds.items():
        if tokens:
            yield warn("tokens", f"{len(tokens)} {problem}: {_named(tokens)}", remedies[problem])
    if not any(kinds.values()):
        yield ok("tokens", f"{len(valid)} valid")


def _expires_soon(token: Token, now: int) -> bool:
    """Within two weeks, or in the last quarter of a shorter life."""
    if token.expires_at is None:
        return False
    return token.expires_at - now < min(EXPIRING, (token.expires_at - token.created_at) // 4)


def _named(tokens: Sequence[Token]) -> str:
    names = [f"{token.name} ({token.id})" for token in tokens[:NAMED]]
    return ", ".join([*names, *(["..."] if len(tokens) > NAMED else [])])


def of_proxy(server: ServerConfig) -> Finding:
    if server.public_url.startswith("https:") and not server.trusted_proxies:
        text = "public_url is https, but trusted_proxies is empty"
        remedy = 'set [server] trusted_proxies, such as ["127.0.0.1"], else all visitors have one address'
        return warn("reverse proxy", text, remedy)
    if server.trusted_proxies and not server.public_url:
        text = "trusted_proxies is set, but public_url is empty"
        return warn("reverse proxy", text, "set [server] public_url: feeds and embeds need it")
    wide = [str(network) for network in server.trusted_proxies if network.prefixlen == 0]
    if wide:
        text = f"{wide[0]} in trusted_proxies: any client can forge its address"
        return fail("reverse proxy", text, "list the addresses of the proxies only")
    if server.base_path and not server.public_url:
        text = f"base_path is {server.base_path}, but public_url is empty"
        return warn("reverse proxy", text, "set [server] public_url to the scheme and host of the proxy")
    return ok("reverse proxy", server.public_url or "none configured")


def of_open_files(limit: int, max_connections: int) -> Finding:
    text = f"{limit:,} open files"
    remedy = "set LimitNOFILE=65536 in the unit, or run ulimit -n 65536"
    if max_connections > limit * 4 // 5:
        return fail("open files", f"{text}, too few for max_connections = {max_connections:,}", remedy)
    return warn("open files", text, remedy) if limit < LEAST_FILES else ok("open files", text)


def of_memory(monitors: int, total: int) -> Finding:
    """Judge whether the memory allowed is enough. `total`: that of the machine, in bytes."""
    needed, available = needed_memory(monitors), total // MIB
    text = f"about {needed:,} MB for {monitors:,} monitors"
    if needed > available:
        return fail("memory", f"{text}, and the machine has {available:,} MB", "add memory")
    if needed > UNIT_MEMORY:
        remedy = f"systemctl edit kener-async: [Service] MemoryMax={needed}M"
        return warn("memory", f"{text}, and the unit allows {UNIT_MEMORY} MB", remedy)
    return ok("memory", text)


def needed_memory(monitors: int) -> int:
    """Megabytes of a server with so many monitors, 90 days of history and visitors in three languages.

    What benchmarks/memory.py measured and room for batches; the table in docs/operate.md has both.
    """
    return MEMORY_BASE + monitors * MEMORY_PER_1000 // 1000


def of_sealing(unsealed_days: int, monitors: int) -> Finding:
    """Judge how many days of monitors are due to be packed: those of an upgraded database take a while."""
    text = f"{unsealed_days:,} days of monitors are not packed yet"
    if unsealed_days > max(monitors, SEALED_SOON):
        return warn("sealed days", text, "a running service packs them; if the number stays, see its log")
    return ok("sealed days", text if unsealed_days else "all that are due are packed")


def of_log_size(size: int) -> Finding:
    text = f"{size / 1e6:,.1f} MB of write-ahead log"
    if size > LARGE_LOG:
        return warn(
            "write-ahead log",
            text,
            "end programs that read the database for long, or restart the service",
        )
    return ok("write-ahead log", text)


def of_backups(newest: int | None, plan: BackupConfig, now: int, folder: str) -> Finding:
    """Judge the age of the newest backup. Without a folder in `plan`, a timer may make backups once a day."""
    every = plan.every if plan.folder is not None else DAY
    if newest is None:
        remedy = "set [backup] folder, or enable kener-async-backup.timer"
        return warn("backups", f"none in {folder}", remedy)
    age = now - newest
    text = f"newest in {folder}: {age / 3600:,.1f} hours old"
    if age <= 2 * every:
        return ok("backups", text)
    remedy = "see the log for the reason; kener-async backup makes one now"
    return fail("backups", text, remedy) if plan.folder is not None else warn("backups", text, remedy)
