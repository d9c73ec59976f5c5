"""The doctor: measure what the service depends on; diagnosis.py judges the measurements."""

import ctypes
import http.client
import json
import os
import resource
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import perf_counter
from urllib.error import URLError
from urllib.request import Request, urlopen
from zoneinfo import available_timezones

from kener_async.config.model import AuthConfig, Config, ServerConfig
from kener_async.errors import FatalError
from kener_async.ops import alert_diagnosis, check_diagnosis, diagnosis, people_diagnosis, probe_diagnosis
from kener_async.ops.addresses import local_host
from kener_async.ops.diagnosis import Finding, Findings, fail, ok, warn
from kener_async.ops.signing_key import SigningKeyError, signing_secret
from kener_async.store.admin import backup
from kener_async.store.sqlite import condition, version
from kener_async.store.sqlite.files import file_system

FLUSHES = 9
LOCAL_SECONDS = 3  # for a response from this machine
ONLINE_SECONDS = 10
SKEW = 30
UNSYNCHRONIZED = 5  # TIME_ERROR of adjtimex(2)


def examine(config: Config, now: int, *, online: bool = False) -> Findings:
    """All findings, in order. Read-only; requests leave this machine only if `online`."""
    database = config.database.path
    server = condition.server_of(database)
    seen, findings = _condition(database, now, len(config.monitors))
    yield from diagnosis.of_clock(now, 0 if seen is None else seen.last_seen, _is_synchronized())
    yield from _disk(database.absolute().parent)
    yield from findings
    yield from _permissions(config)
    yield from _key(config.auth)
    if seen is not None:
        yield from diagnosis.of_tokens(seen.tokens, now)
    yield diagnosis.of_open_files(_open_files(server), config.server.max_connections)
    yield diagnosis.of_memory(len(config.monitors), os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    yield _port(config.server, is_served=server is not None)
    yield diagnosis.of_proxy(config.server)
    if online:
        yield from _online(config.server, now)
        if config.mail.host:
            yield alert_diagnosis.of_mail(config.mail, config.server.public_host)
    yield from probe_diagnosis.of_probes(config, server, online=online)
    if seen is not None:
        yield from alert_diagnosis.of_alerting(config, seen.channels, seen.failed)
        yield from check_diagnosis.of_checks(config, seen.checks, now)
        yield from people_diagnosis.of_people(config, seen.people)
    if online and config.manage.oidc is not None:
        yield people_diagnosis.of_oidc(config.manage.oidc)
    yield _zones(config)
    folder = config.backup.folder or database.parent / "backups"
    newest = backup.newest(folder, database.stem, now)
    yield diagnosis.of_backups(newest, config.backup, now, str(folder))
    yield from _watchdog(server)


def _zones(config: Config) -> Finding:
    """Whether the zones that visitors may request are installed; the configured one is."""
    text = f"{len(available_timezones())} known; the site uses {config.site.timezone.key}"
    if "Europe/Berlin" in available_timezones():
        return ok("time zones", text)
    return warn("time zones", text, "install the package tzdata")


def _is_synchronized() -> bool | None:
    """Whether the clock is synchronized, by systemd-timesyncd, else by the kernel; None if unknown."""
    if Path("/run/systemd/timesync/synchronized").exists():
        return True
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # zeros: read only
    except (AttributeError, OSError):
        return None
    return None if state < 0 else state != UNSYNCHRONIZED


def _disk(folder: Path) -> Findings:
    if not folder.is_dir():
        yield warn("disk", f"{folder} does not exist yet", "the first start creates it")
        return
    yield diagnosis.of_space(shutil.disk_usage(folder).free, str(folder))
    try:
        yield diagnosis.of_flush(list(_flushes(folder)))
    except OSError as error:
        remedy = "change the owner of the folder to the user of the service, or run this as that user"
        yield fail("disk speed", f"{folder} is not writable: {error.strerror}", remedy)
    yield diagnosis.of_file_system(file_system(folder))


def _flushes(folder: Path) -> Iterator[float]:
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(FLUSHES):
            file.write(bytes(4096))
            began = perf_counter()
            os.fsync(file.fileno())
            yield perf_counter() - began


def _condition(database: Path, now: int, monitors: int) -> tuple[condition.Condition | None, list[Finding]]:
    """The condition of the database, None if it cannot be opened, and the findings about it."""
    try:
        version.require()
    except FatalError as fault:
        return None, [fail("sqlite", str(fault), "upgrade the system, or use the single binary")]
    if (lost := condition.file_fault(database)) is not None:
        return None, [fail("database", lost, "see docs/operate.md, A lost database; /readyz says more")]
    if not database.exists():
        return None, [warn("database", f"{database} does not exist yet", "the first start creates it")]
    try:
        seen = condition.read(database, now - alert_diagnosis.FAILED_WITHIN, now)
    except FatalError as fault:
        return None, [fail("database", str(fault), "run kener-async verify, then restore the newest backup")]
    findings = [_schema(seen), _journal(seen), diagnosis.of_log_size(_size(Path(f"{database}-wal")))]
    if not seen.steps:
        findings.append(diagnosis.of_sealing(seen.unsealed_days, monitors))
    return seen, findings


def _schema(seen: condition.Condition) -> Finding:
    if seen.steps:
        text = f"schema {seen.steps} migrations behind"
        return warn("database", text, "start the service, or run kener-async migrate")
    return ok("database", f"SQLite {version.VERSION}, schema up to date")


def _journal(seen: condition.Condition) -> Finding:
    if seen.journal_mode != "wal":
        text = f"journal mode {seen.journal_mode} instead of wal"
        return warn(
            "journal", text, "start the service, which sets it; network file systems may not support it"
        )
    return ok("journal", "write-ahead log")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _permissions(config: Config) -> Findings:
    database = config.database.path
    if not database.exists():
        return
    mode = stat.S_IMODE(database.stat().st_mode)
    # A folder that others cannot enter protects its files.
    if database.parent.stat().st_mode & 0o007:
        yield diagnosis.of_mode("permissions", str(database), mode, 0o006, "640")
    else:
        yield ok("permissions", f"{database.parent} is not accessible to others")
    owner = database.stat().st_uid
    beside = [Path(f"{database}{suffix}") for suffix in ("-wal", "-shm", ".lock")]
    foreign = [str(path) for path in beside if path.exists() and path.stat().st_uid != owner]
    if foreign:
        remedy = f"chown --reference={database} {' '.join(foreign)}"
        yield fail("owner", f"not owned by the database's owner: {', '.join(foreign)}", remedy)
    else:
        yield ok("owner", f"user {owner}")


def _key(auth: AuthConfig) -> Findings:
    path = auth.secret_key_file
    if auth.makes_secret_key and not path.exists():
        yield ok("signing key", "none yet: the first start creates one")
        return
    try:
        yield diagnosis.of_key(signing_secret(auth))
    except SigningKeyError as fault:
        yield fail("signing key", str(fault), "see docs/configure.md, The signing key")
        return
    if not auth.secret_key:
        yield diagnosis.of_mode("key file", str(path), path.stat().st_mode, 0o077, "600")


def _open_files(server: int | None) -> int:
    """The limit of the server, if it is readable, else of this process."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{server}/limits").read_text().splitlines():
            if line.startswith("Max open files"):
                return int(line.split()[3])
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _port(server: ServerConfig, *, is_served: bool) -> Finding:
    where = f"{server.host}:{server.port}"
    if not server.port:
        return ok("port", "chosen by the system")
    if is_served:
        return _answers(server, where)
    # Bind instead of connecting, because a connection to systemd's socket would start the service.
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except OSError as error:
            text = f"{where} is in use: {error.strerror}; no server runs on this database"
            return warn("port", text, "ss -ltnp shows the program; systemd's socket unit is fine")
    return ok("port", f"{where} is free; no server runs on this database")


def _answers(server: ServerConfig, where: str) -> Finding:
    """Whether a server of this program listens there; with `--port` it listens elsewhere."""
    host = local_host(server.host)
    try:
        with closing(http.client.HTTPConnection(host, server.port, timeout=LOCAL_SECONDS)) as connection:
            connection.request("GET", "/healthz")
            reply = connection.getresponse()
            state = json.loads(reply.read(1000))["status"] if "X-Request-Id" in reply.headers else None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        text = f"{where} gives no valid response: {str(error) or type(error).__name__}"
        return fail("port", text, "a server runs, with another --port, or it hangs; see its log")
    if state == "ok":
        return ok("port", f"{where} responds")
    if state is not None:
        return fail("port", f"{where} responds: {state}", "see docs/operate.md, A lost database")
    return fail("port", f"another program listens on {where}", "ss -ltnp shows which; change [server] port")


def _online(server: ServerConfig, now: int) -> Findings:
    """Request public_url as a visitor would, and compare the clock with the proxy's."""
    if not server.public_url:
        yield warn("public_url", "empty, not requested", "set [server] public_url")
        return
    address = f"{server.public_url}{server.base_path}/healthz"
    try:
        with urlopen(Request(address), timeout=ONLINE_SECONDS) as reply:  # noqa: S310 - http or https
            is_ours = "X-Request-Id" in reply.headers
            date = reply.headers.get("Date")
    except (URLError, OSError, ValueError, http.client.HTTPException) as error:
        remedy = "check the host name, the certificate and the proxy"
        yield fail("public_url", f"{address}: {getattr(error, 'reason', error)}", remedy)
        return
    if is_ours:
        yield ok("public_url", f"{address} responds")
    else:
        yield fail("public_url", f"another program responds at {address}", "check the proxy configuration")
    with suppress(TypeError, ValueError):
        skew = abs(parsedate_to_datetime(date).timestamp() - now)
        if skew > SKEW:
            yield warn("clock", f"{skew:.0f} s off the proxy's clock", "find out which of the two is wrong")


def _watchdog(server: int | None) -> Findings:
    if server is None:
        return
    try:
        environment = Path(f"/proc/{server}/environ").read_bytes().split(b"\0")
    except OSError:
        yield warn("watchdog", "the environment of the server is not readable", "run this as root")
        return
    if any(variable.startswith(b"WATCHDOG_USEC=") for variable in environment):
        yield ok("watchdog", "systemd restarts the server if it hangs")
    else:
        yield warn(
            "watchdog", "the server is not restarted if it hangs", "run it under systemd: kener-async install"
        )
