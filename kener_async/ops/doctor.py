"""The doctor: measures what the service depends on; what that means is said in diagnosis.py."""

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
from kener_async.ops import diagnosis
from kener_async.ops.diagnosis import Finding, Findings, fail, ok, warn
from kener_async.ops.signing_key import SigningKeyError, signing_secret
from kener_async.store.admin import backup
from kener_async.store.sqlite import condition, version
from kener_async.store.sqlite.files import file_system

FLUSHES = 9
SECONDS = 3  # for an answer from this machine
ONLINE_SECONDS = 10
SKEW = 30
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where to ask what listens everywhere
UNSYNCHRONIZED = 5  # TIME_ERROR of adjtimex(2)


def examine(config: Config, now: int, *, online: bool = False) -> Findings:
    """Every finding, in order. Nothing is changed, and nobody but this machine is asked unless `online`."""
    database = config.database.path
    server = condition.server_of(database)
    seen, found = _condition(database)
    yield from diagnosis.of_clock(now, 0 if seen is None else seen.last_seen, _is_synchronized())
    yield from _disk(database.absolute().parent)
    yield from found
    yield from _permissions(config)
    yield from _key(config.auth)
    if seen is not None:
        yield from diagnosis.of_tokens(seen.tokens, now)
    yield diagnosis.of_open_files(_open_files(server), config.server.max_connections)
    yield _port(config.server, is_served=server is not None)
    yield diagnosis.of_proxy(config.server)
    if online:
        yield from _online(config.server, now)
    yield _zones(config)
    folder = config.backup.folder or database.parent / "backups"
    newest = backup.newest(folder, database.stem, now)
    yield diagnosis.of_backups(newest, config.backup, now, str(folder))
    yield from _watchdog(server)


def _zones(config: Config) -> Finding:
    """The configured one was found, or there would be no configuration; others are asked for by visitors."""
    text = f"{len(available_timezones())} known; days are those of {config.site.timezone.key}"
    if "Europe/Berlin" in available_timezones():
        return ok("time zones", text)
    return warn("time zones", text, "install the package tzdata")


def _is_synchronized() -> bool | None:
    """By systemd's time client, else by the kernel; None where neither tells."""
    if Path("/run/systemd/timesync/synchronized").exists():
        return True
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # zeros: only ask
    except (AttributeError, OSError):
        return None
    return None if state < 0 else state != UNSYNCHRONIZED


def _disk(folder: Path) -> Findings:
    if not folder.is_dir():
        yield warn("disk", f"{folder} is not there yet", "the first start makes it")
        return
    yield diagnosis.of_space(shutil.disk_usage(folder).free, str(folder))
    try:
        yield diagnosis.of_flush(list(_flushes(folder)))
    except OSError as error:
        remedy = "give the folder to the user of the service, or run this as that user"
        yield fail("disk speed", f"{folder} cannot be written: {error.strerror}", remedy)
    yield diagnosis.of_file_system(file_system(folder))


def _flushes(folder: Path) -> Iterator[float]:
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(FLUSHES):
            file.write(bytes(4096))
            began = perf_counter()
            os.fsync(file.fileno())
            yield perf_counter() - began


def _condition(database: Path) -> tuple[condition.Condition | None, list[Finding]]:
    """What is seen of the database, if it is one, and what that means."""
    try:
        version.require()
    except FatalError as fault:
        return None, [fail("sqlite", str(fault), "upgrade the system, or use the single binary")]
    if not database.exists():
        return None, [warn("database", f"{database} is not there yet", "the first start makes it")]
    try:
        seen = condition.look(database)
    except FatalError as fault:
        return None, [fail("database", str(fault), "kener-async verify; then restore the newest backup")]
    return seen, [_schema(seen), _journal(seen), diagnosis.of_log_size(_size(Path(f"{database}-wal")))]


def _schema(seen: condition.Condition) -> Finding:
    if seen.steps:
        text = f"has an older schema, {seen.steps} steps behind"
        return warn("database", text, "start the service, or run kener-async migrate")
    return ok("database", f"SQLite {version.VERSION}, schema up to date")


def _journal(seen: condition.Condition) -> Finding:
    if seen.journal_mode != "wal":
        text = f"journal mode {seen.journal_mode}, not wal"
        return warn("journal", text, "start the service, which sets it; a network disk may not allow it")
    return ok("journal", "write-ahead log")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _permissions(config: Config) -> Findings:
    database = config.database.path
    if not database.exists():
        return
    mode = stat.S_IMODE(database.stat().st_mode)
    # A folder that nobody else may enter protects what is in it.
    if database.parent.stat().st_mode & 0o007:
        yield diagnosis.of_mode("permissions", str(database), mode, 0o006, "640")
    else:
        yield ok("permissions", f"{database.parent} is closed to others")
    owner = database.stat().st_uid
    beside = [Path(f"{database}{suffix}") for suffix in ("-wal", "-shm", ".lock", "-tokens")]
    strangers = [str(path) for path in beside if path.exists() and path.stat().st_uid != owner]
    if strangers:
        remedy = f"chown --reference={database} {' '.join(strangers)}"
        yield fail("owner", f"other owners than the database's: {', '.join(strangers)}", remedy)
    else:
        yield ok("owner", f"user {owner}")


def _key(auth: AuthConfig) -> Findings:
    path = auth.secret_key_file
    if auth.makes_secret_key and not path.exists():
        yield ok("signing key", "none yet: the first start makes one")
        return
    try:
        yield diagnosis.of_key(signing_secret(auth))
    except SigningKeyError as fault:
        yield fail("signing key", str(fault), "see docs/configure.md, The signing key")
        return
    if not auth.secret_key:
        yield diagnosis.of_mode("key file", str(path), path.stat().st_mode, 0o077, "600")


def _open_files(server: int | None) -> int:
    """The limit of the server, if it can be seen, else ours."""
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{server}/limits").read_text().splitlines():
            if line.startswith("Max open files"):
                return int(line.split()[3])
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _port(server: ServerConfig, *, is_served: bool) -> Finding:
    where = f"{server.host}:{server.port}"
    if not server.port:
        return ok("port", "any free one")
    if is_served:
        return _answers(server, where)
    # Nothing is asked: systemd may be listening, and would start the service.
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((server.host, server.port))
        except OSError as error:
            text = f"{where} is not free: {error.strerror}; no server runs on this database"
            return warn("port", text, "ss -ltnp says who listens; systemd's socket may, then all is well")
    return ok("port", f"{where} is free; no server runs on this database")


def _answers(server: ServerConfig, where: str) -> Finding:
    """Whether what listens there is one of ours; the server that runs may have another port by `--port`."""
    host = EVERYWHERE.get(server.host, server.host)
    try:
        with closing(http.client.HTTPConnection(host, server.port, timeout=SECONDS)) as connection:
            connection.request("GET", "/healthz")
            reply = connection.getresponse()
            is_ours = "X-Request-Id" in reply.headers and json.loads(reply.read(1000)) == {"status": "ok"}
    except (OSError, http.client.HTTPException, ValueError) as error:
        text = f"{where} does not answer as it should: {str(error) or type(error).__name__}"
        return fail("port", text, "a server runs: with another --port, or it hangs; see its log")
    if is_ours:
        return ok("port", f"{where} answers")
    return fail("port", f"another program answers at {where}", "ss -ltnp says which; take another port")


def _online(server: ServerConfig, now: int) -> Findings:
    """Ask as a visitor would; the proxy's clock is another opinion on ours."""
    if not server.public_url:
        yield warn("public_url", "empty: nobody can be asked", "set [server] public_url")
        return
    address = f"{server.public_url}{server.base_path}/healthz"
    try:
        with urlopen(Request(address), timeout=ONLINE_SECONDS) as reply:  # noqa: S310 - http or https
            is_ours = "X-Request-Id" in reply.headers
            date = reply.headers.get("Date")
    except (URLError, OSError, ValueError, http.client.HTTPException) as error:
        remedy = "check name, certificate and proxy"
        yield fail("public_url", f"{address}: {getattr(error, 'reason', error)}", remedy)
        return
    if is_ours:
        yield ok("public_url", f"{address} answers")
    else:
        yield fail("public_url", f"another program answers at {address}", "check the proxy's configuration")
    with suppress(TypeError, ValueError):
        skew = abs(parsedate_to_datetime(date).timestamp() - now)
        if skew > SKEW:
            yield warn("clock", f"{skew:.0f} s off from the proxy's", "see which of the two is wrong")


def _watchdog(server: int | None) -> Findings:
    if server is None:
        return
    try:
        environment = Path(f"/proc/{server}/environ").read_bytes().split(b"\0")
    except OSError:
        yield warn("watchdog", "the server's environment cannot be read", "run this as root")
        return
    if any(variable.startswith(b"WATCHDOG_USEC=") for variable in environment):
        yield ok("watchdog", "systemd restarts a server that hangs")
    else:
        yield warn(
            "watchdog", "nobody restarts a server that hangs", "run it by systemd: kener-async install"
        )
