"""The Kener API 1.0.0 as a table.

`CONTRACT` says what generated clients rely on: operations, parameters, fields, types. `read` brings any
OpenAPI document into the same form, so that documents can be compared with the table.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.rigs.process import ROOT, Server

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of a value. `items` is the kind of an array's items."""

    type: str
    enum: frozenset[str] = frozenset()
    nullable: bool = False
    items: "Kind | None" = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value beside the body; the bounds and the default are None where the contract sets none."""

    place: str
    kind: Kind
    required: bool = False
    minimum: int | None = None
    maximum: int | None = None
    default: Any = None


@dataclass(frozen=True, slots=True)
class Record:
    """A JSON object: its fields, and which are required."""

    fields: Mapping[str, Kind]
    required: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path. `many`: the answer is an array of the response."""

    method: str
    path: str
    response: Record
    request: Record | None = None
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    many: bool = False


TEXT = Kind("string")
INTEGER = Kind("integer")
NUMBER = Kind("number")
TRUTH = Kind("boolean")
STATUS = Kind("string", enum=frozenset({"UP", "DOWN", "DEGRADED"}))
IMPACT = Kind("string", enum=frozenset({"DOWN", "DEGRADED"}))
STATE = Kind("string", enum=frozenset({"open", "closed"}))
TAGS = Kind("array", items=TEXT)

SAMPLE = Record(
    {"status": STATUS, "latency": NUMBER, "timestampInSeconds": INTEGER, "tag": TEXT},
    required=frozenset({"status", "latency", "tag"}),
)
ACCEPTED = Record({"status": INTEGER, "message": TEXT})
STANDING = Record({"status": STATUS, "uptime": TEXT, "lastUpdatedAt": INTEGER})
INCIDENT = Record(
    {
        "startDatetime": INTEGER,
        "endDatetime": INTEGER,
        "title": TEXT,
        "body": TEXT,
        "tags": TAGS,
        "impact": IMPACT,
        "isMaintenance": TRUTH,
        "isIdentified": TRUTH,
        "isResolved": TRUTH,
    },
    required=frozenset({"title", "tags"}),
)
INCIDENT_RESPONSE = Record(
    {
        **INCIDENT.fields,
        "createdAt": INTEGER,
        "closedAt": Kind("integer", nullable=True),
        "incidentNumber": INTEGER,
    },
    required=INCIDENT.required,
)
INCIDENT_STATUS = Record({"isIdentified": TRUTH, "isResolved": TRUTH, "endDatetime": INTEGER})
COMMENT = Record({"body": TEXT}, required=frozenset({"body"}))
COMMENT_RESPONSE = Record({"commentID": INTEGER, "body": TEXT, "createdAt": INTEGER})
ERROR = Record({"error": TEXT})

NUMBER_IN_PATH = {"incidentNumber": Parameter("path", INTEGER, required=True)}

CONTRACT = {
    "updateMonitorStatus": Operation("post", "/api/status", ACCEPTED, SAMPLE),
    "getMonitorStatus": Operation(
        "get", "/api/status", STANDING, parameters={"tag": Parameter("query", TEXT, required=True)}
    ),
    "createIncident": Operation("post", "/api/incident", INCIDENT_RESPONSE, INCIDENT),
    "searchIncidents": Operation(
        "get",
        "/api/incident",
        INCIDENT_RESPONSE,
        parameters={
            "state": Parameter("query", STATE, default="open"),
            "tags": Parameter("query", TEXT),
            "page": Parameter("query", INTEGER, minimum=1, default=1),
            "per_page": Parameter("query", INTEGER, maximum=100, default=10),
            "created_after_utc": Parameter("query", INTEGER),
            "created_before_utc": Parameter("query", INTEGER),
            "title_like": Parameter("query", TEXT),
        },
        many=True,
    ),
    "getIncident": Operation(
        "get", "/api/incident/{incidentNumber}", INCIDENT_RESPONSE, parameters=NUMBER_IN_PATH
    ),
    "updateIncident": Operation(
        "patch", "/api/incident/{incidentNumber}", INCIDENT_RESPONSE, INCIDENT, NUMBER_IN_PATH
    ),
    "addIncidentComment": Operation(
        "post", "/api/incident/{incidentNumber}/comment", COMMENT_RESPONSE, COMMENT, NUMBER_IN_PATH
    ),
    "getIncidentComments": Operation(
        "get",
        "/api/incident/{incidentNumber}/comment",
        COMMENT_RESPONSE,
        parameters=NUMBER_IN_PATH,
        many=True,
    ),
    "updateIncidentStatus": Operation(
        "post", "/api/incident/{incidentNumber}/status", INCIDENT_RESPONSE, INCIDENT_STATUS, NUMBER_IN_PATH
    ),
}


def contract_file() -> Path | None:
    """The contract as it was published, if it is at hand."""
    named = os.environ.get("KENER_CONTRACT")
    if named:
        return Path(named)
    beside = ROOT.parent / "shared" / "kener-openapi-1.0.0.yaml"
    return beside if beside.exists() else None


def read(document: Mapping[str, Any]) -> dict[str, Operation]:
    """The operations of an OpenAPI 3.0 document, by their ids."""
    return {
        described["operationId"]: _operation(document, method, path, item)
        for path, item in document["paths"].items()
        for method, described in item.items()
        if method in METHODS
    }


def refusals(document: Mapping[str, Any], operation: Operation) -> dict[str, Record]:
    """The documented responses but 200."""
    answers = document["paths"][operation.path][operation.method]["responses"]
    return {
        status: _record(document, _schema(document, answer))
        for status, answer in answers.items()
        if status != "200"
    }


def unlike(value: Any, expected: Kind | Record) -> str:
    """The difference between the value and what is expected; "" when there is none."""
    if isinstance(expected, Kind):
        return "" if _is(value, expected) else f"{value!r} is no {expected}"
    if not isinstance(value, dict):
        return f"{value!r} is no object"
    missing = expected.required - value.keys()
    faults = [unlike(value[name], kind) for name, kind in expected.fields.items() if name in value]
    return "; ".join(
        [f"{name} is missing" for name in sorted(missing)] + [fault for fault in faults if fault]
    )


def _is(value: Any, kind: Kind) -> bool:
    if value is None:
        return kind.nullable
    types: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
        "array": (list,),
    }
    fits = isinstance(value, types[kind.type]) and (kind.type == "boolean" or not isinstance(value, bool))
    if not fits or (kind.enum and value not in kind.enum):
        return False
    return kind.items is None or all(_is(item, kind.items) for item in value)


def _operation(document: Mapping[str, Any], method: str, path: str, item: Mapping[str, Any]) -> Operation:
    described = item[method]
    parameters = [
        _resolved(document, each) for each in (*item.get("parameters", ()), *described.get("parameters", ()))
    ]
    answer = _schema(document, described["responses"]["200"])
    body = described.get("requestBody")
    return Operation(
        method=method,
        path=path,
        response=_record(document, answer.get("items", answer)),
        request=None if body is None else _record(document, _schema(document, body)),
        parameters={entry["name"]: _parameter(document, entry) for entry in parameters},
        many=answer.get("type") == "array",
    )


def _parameter(document: Mapping[str, Any], described: Mapping[str, Any]) -> Parameter:
    schema = _resolved(document, described["schema"])
    return Parameter(
        place=described["in"],
        kind=_kind(document, schema),
        required=described.get("required", False),
        minimum=schema.get("minimum"),
        maximum=schema.get("maximum"),
        default=schema.get("default"),
    )


def _schema(document: Mapping[str, Any], holder: Mapping[str, Any]) -> Mapping[str, Any]:
    content = _resolved(document, holder)["content"]
    media_type = next(iter(content))
    assert media_type in {"application/json", "application/toml"}
    return _resolved(document, content[media_type]["schema"])


def _record(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Record:
    schema = _resolved(document, schema)
    fields: dict[str, Kind] = {}
    required: set[str] = set(schema.get("required", ()))
    for part in schema.get("allOf", ()):
        inherited = _record(document, part)
        fields |= inherited.fields
        required |= inherited.required
    fields |= {name: _kind(document, entry) for name, entry in schema.get("properties", {}).items()}
    return Record(fields, frozenset(required))


def _kind(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Kind:
    schema = _resolved(document, schema)
    return Kind(
        type=schema.get("type", "object"),
        enum=frozenset(schema.get("enum", ())) - {None},
        nullable=schema.get("nullable", False),
        items=_kind(document, schema["items"]) if "items" in schema else None,
    )


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        target: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target
    return schema


def complaints(server: Server) -> list[dict[str, Any]]:
    """What the server's log holds that no request, however wrong, should cause."""
    return [line for line in server.logs() if line["level"] not in ("debug", "info") or "exception" in line]
