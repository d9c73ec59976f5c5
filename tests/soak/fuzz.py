"""Send property-based requests, made by schemathesis from the contract, to a real server.

    python -m tests.soak.fuzz [--contract PATH] [--requests N] [--seed N]

Exits 1 when a response is not as documented, or the server logs an error or stops.
"""

import argparse
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import yaml  # type: ignore[import-untyped]

from tests.rigs.contract import METHODS, complaints, contract_file
from tests.rigs.process import Server, a_config

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
        return _fuzz(Path(folder), arguments.contract or contract_file(), arguments.requests, arguments.seed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fuzz", description=__doc__)
    parser.add_argument("--contract", type=Path, help="the contract's file; our own description without one")
    parser.add_argument("--requests", type=int, default=5000, help="how many requests at least")
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


if __name__ == "__main__":
    sys.exit(main())
