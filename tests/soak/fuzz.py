"""Send requests to a real server: those that schemathesis makes from the contract, and hostile ones.

    python -m tests.soak.fuzz [--contract PATH] [--requests N] [--described N] [--seed N]

Exits 1 when a response is not as documented, any is a 5xx, a request is not answered, or the server logs an
error or stops. `--requests` is how many in all; `--described` how many of them are made from the contract.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import yaml  # type: ignore[import-untyped]

from kener_async.app import create_app
from kener_async.config.load import load
from tests.rigs.contract import METHODS, complaints, contract_file
from tests.rigs.process import Server, a_config
from tests.soak.requests import SENDERS, Made, Requests

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
    "ensure_resource_availability",
)
ENVELOPE = {
    "type": "object",
    "properties": {"error": {"type": "string", "minLength": 1}},
    "required": ["error"],
    "additionalProperties": False,
}
COUNTED = re.compile(r'kener_http_requests_total\{method="(\w+)",status="(\d+)"\} (\S+)')
EXAMPLES_A_ROUND = 50


def main() -> int:
    arguments = _arguments()
    with TemporaryDirectory() as folder:
        found = _fuzz(
            Path(folder), arguments.contract or contract_file(), arguments.described, arguments.seed
        )
    with TemporaryDirectory() as folder:
        report = asyncio.run(assault(Path(folder), arguments.requests - arguments.described, arguments.seed))
    report.print()
    return 1 if found or report.faults else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fuzz", description=__doc__)
    parser.add_argument("--contract", type=Path, help="the contract's file; our own description without one")
    parser.add_argument("--requests", type=int, default=150_000, help="how many requests in all")
    parser.add_argument("--described", type=int, default=5000, help="how many of them schemathesis makes")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each round has its own")
    return parser.parse_args()


def _fuzz(folder: Path, contract: Path | None, minimum: int, seed: int) -> int:
    # The tags of the contract's examples, so that what it calls valid finds its monitors.
    with Server(folder, a_config(tags=("earth", "google", "mars"))).start() as server:
        document = _document(contract, server)
        description = folder / "description.json"
        description.write_text(json.dumps(_widened(document)))
        token = server.mint()
        failed_rounds, answered = 0, _answered(server)
        while answered.total() < minimum and server.is_running:
            before = answered.total()
            failed_rounds += _round(description, server, token, seed)
            seed, answered = seed + 1, _answered(server)
            print(f"{answered.total()} of {minimum} requests", flush=True)
            assert answered.total() > before, "a round sent no request"
        faults, running = complaints(server), server.is_running
    _report(document, answered, failed_rounds, faults)
    return 0 if running and not failed_rounds and not faults else 1


def _document(contract: Path | None, server: Server) -> dict[str, Any]:
    """The description to fuzz by, as its owner wrote it."""
    if contract is not None:
        print(f"by the contract in {contract}")
        document: dict[str, Any] = yaml.safe_load(contract.read_text())
        return document
    print("by the server's own /api/openapi.json")
    with urlopen(f"{_url(server)}/api/openapi.json") as reply:
        document = json.load(reply)
    return document


def _widened(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with what we add to it, which is printed, and with links from an incident to its uses."""
    widened: dict[str, Any] = json.loads(json.dumps(document))
    print("allowed beside the document, each answer in the envelope:")
    for path, item in widened["paths"].items():
        for method in sorted(set(METHODS) & item.keys()):
            if "security" in item[method]:
                _widen(widened, method, path)
    _link(widened)
    return widened


def _widen(document: Mapping[str, Any], method: str, path: str) -> None:
    operation = document["paths"][path][method]
    added = ["404"] if "{incidentNumber}" in path else []
    added += ["413"] if "requestBody" in operation else []
    for status in {*operation["responses"], *added} - {"200"}:
        operation["responses"][status] = {
            "description": "error",
            "content": {"application/json": {"schema": ENVELOPE}},
        }
    if path == "/api/status/batch":
        # What is no batch is a line of JSON Lines, and a malformed sample is rejected with a verdict of its
        # own in an answer with 200. No serializer of schemathesis knows JSON Lines.
        content = operation["requestBody"]["content"]
        content.pop("application/x-ndjson", None)
        body = content["application/json"]
        body["schema"] = {"anyOf": [body["schema"], {}]}
    cleared = []
    if method == "patch":
        body = operation["requestBody"]["content"]["application/json"]
        body["schema"] = _copied(document, body["schema"])
        cleared = [name for name in ("endDatetime", "impact", "body") if name in body["schema"]["properties"]]
        for name in cleared:
            field = body["schema"]["properties"][name]
            field["nullable"] = True
            if "enum" in field:
                field["enum"] = [*(word for word in field["enum"] if word is not None), None]
    if added or cleared:
        null = f"null in: {' '.join(cleared)}" if cleared else ""
        print(f"  {method.upper():5} {path}: {' '.join(added)} {null}")


def _copied(document: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a schema of the components, for one operation alone."""
    name = schema["$ref"].rpartition("/")[2]
    copied: dict[str, Any] = json.loads(json.dumps(document["components"]["schemas"][name]))
    return copied


def _link(document: Mapping[str, Any]) -> None:
    """Let requests follow one another: the incident that was just made is read, changed and commented on."""
    uses = {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": {"incidentNumber": "$response.body#/incidentNumber"},
        }
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS and path.startswith("/api/incident/{incidentNumber}")
    }
    document["paths"]["/api/incident"]["post"]["responses"]["200"]["links"] = uses


def _round(description: Path, server: Server, token: str, seed: int) -> int:
    """1 when schemathesis found something."""
    line = [sys.executable, "-m", "schemathesis.cli", "run", str(description), "--url", _url(server)]
    line += ["--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS)]
    line += ["--seed", str(seed), "--max-examples", str(EXAMPLES_A_ROUND), "--continue-on-failure"]
    line += ["--suppress-health-check", "all", "--no-color", "--warnings", "off"]
    done = subprocess.run(line, check=False, capture_output=True, text=True, cwd=description.parent)
    if done.returncode:
        print(done.stdout[-20_000:], done.stderr[-5_000:])
    return 1 if done.returncode else 0


def _url(server: Server) -> str:
    return f"http://127.0.0.1:{server.port}"


def _answered(server: Server) -> Counter[tuple[str, str]]:
    """Requests answered so far, by method and status, as the server counts them."""
    with urlopen(f"{_url(server)}/metrics") as reply:
        counters = COUNTED.findall(reply.read().decode())
    return Counter({(method, status): int(float(count)) for method, status, count in counters})


def _report(
    document: Mapping[str, Any],
    answered: Counter[tuple[str, str]],
    failed_rounds: int,
    faults: list[dict[str, Any]],
) -> None:
    print(f"{document['info']['title']} {document['info']['version']}, checks: {', '.join(CHECKS)}")
    for (method, status), count in sorted(answered.items()):
        print(f"  {method:7} {status}  {count:7}")
    for line in faults[:20]:
        print(json.dumps(line)[:2000])
    total = answered.total()
    print(f"{total} requests, {failed_rounds} rounds with findings, {len(faults)} complaints in the log")


# Bugs on purpose: an error that no handler expects, and a request that is never answered.
FAULTS = {
    "fragile": """
import kener_async.api.tags as tags
def closest(*_): raise RuntimeError("a bug")
tags.closest = closest
""",
    "silent": """
import asyncio
import kener_async.api.http.body as body
async def received(*_): await asyncio.Event().wait()
body._received = received
""",
}
CONNECTIONS = 32
SECONDS = 30  # within which a request must be answered
SETTINGS = {
    "server": {"trusted_proxies": ["127.0.0.1"], "request_timeout_seconds": 1},
    "ingest": {"token_rate": 0},
}


@dataclass
class Report:
    """What became of the hostile requests."""

    seed: int
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)  # by route and status
    faults: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> Counter[int]:
        statuses: Counter[int] = Counter()
        for (_, status), count in self.answers.items():
            statuses[status] += count
        return statuses

    def print(self) -> None:
        for route in sorted({route for route, _ in self.answers}):
            counts = {status: count for (name, status), count in self.answers.items() if name == route}
            words = " ".join(f"{status}:{count}" for status, count in sorted(counts.items()))
            print(f"  {route:42} {words}")
        for fault in self.faults[:40]:
            print(fault)
        print(f"seed {self.seed}: {self.answers.total()} hostile requests, {len(self.faults)} faults")
        print("  " + " ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items())))


async def assault(folder: Path, count: int, seed: int, fault: str = "") -> Report:
    """Send so many hostile requests to a server of their own; `fault` is a bug on purpose in it."""
    report = Report(seed)
    routes = sorted(_routes(folder))
    with Server(folder, a_config(SETTINGS, (), SENDERS), fault=fault).start() as server:
        tokens = [server.add_token(), server.mint("--tag", "mars"), server.mint("--scope", "status:read")]
        key = server.run("token", "create", "--name", "beat", "--beat", "--tag", "earth").stdout.strip()
        senders = [
            _send(
                server, Requests(1000 * seed + number, routes, tokens, key, int(time.time())), report, share
            )
            for number, share in enumerate(_shares(count))
        ]
        await asyncio.gather(*senders)
        if not server.is_running:
            report.faults.append("the server stopped")
        else:
            answered = await asyncio.to_thread(_answered, server)
            failed = sum(number for (_, status), number in answered.items() if status >= "500")
            if failed:
                report.faults.append(f"the server counts {failed} answers of 5xx")
        report.faults += [json.dumps(line)[:2000] for line in complaints(server)]
    return report


def _shares(count: int) -> list[int]:
    return [count // CONNECTIONS + (number < count % CONNECTIONS) for number in range(CONNECTIONS)]


def _routes(folder: Path) -> Iterator[tuple[str, str]]:
    """Every method and path of the app."""
    file = folder / "routes.toml"
    file.write_text(a_config())
    for route in create_app(load(file, {})).router.routes():
        if route.resource is not None:
            yield route.method, route.resource.canonical


async def _send(server: Server, requests: Requests, report: Report, count: int) -> None:
    """Send the requests one after another, over few connections."""
    connection: Connection | None = None
    for _ in range(count):
        made = requests.make()
        if connection is None:
            connection = await Connection.open(server.port)
        try:
            async with asyncio.timeout(SECONDS):
                status, is_open = await connection.ask(made)
        except TimeoutError:
            report.faults.append(f"not answered within {SECONDS} s: {made.raw[:500]!r}")
            status, is_open = 0, False
        except (OSError, EOFError, ValueError) as error:
            if made.keeps:
                report.faults.append(f"{error!r} after {made.raw[:500]!r}")
            status, is_open = 0, False
        report.answers[made.route, status] += 1
        if status >= 500:
            report.faults.append(f"{status} to {made.raw[:1000]!r}")
        if not (is_open and made.keeps):
            connection.close()
            connection = None
    if connection is not None:
        connection.close()


class Connection:
    """A connection to the server that reads answers as a strict client does."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, made: Made) -> tuple[int, bool]:
        """The status of the answer, and whether the connection stays open."""
        self._writer.write(made.raw)
        if not made.keeps:  # what was sent may be less than it says
            self._writer.write_eof()
        status, headers = await self._head()
        while status < 200:
            status, headers = await self._head()
        if made.method != "HEAD" and status not in (204, 304):
            await self._body(headers)
        return status, headers.get("connection", "").lower() != "close"

    async def _head(self) -> tuple[int, dict[str, str]]:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        version, status, *_ = first.split(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0"):
            raise ValueError(f"no answer of HTTP: {first[:100]}")
        is_kept = version == "HTTP/1.1"
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(status), headers if is_kept else {"connection": "close", **headers}

    async def _body(self, headers: Mapping[str, str]) -> None:
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await self._reader.readline(), 16):
                await self._reader.readexactly(size + 2)
            await self._reader.readexactly(2)
        else:
            await self._reader.readexactly(int(headers["content-length"]))

    def close(self) -> None:
        self._writer.close()


if __name__ == "__main__":
    sys.exit(main())
