"""The Kener API 1.0.0 as published: the table, our OpenAPI document, and a real server agree."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.request import urlopen

import aiohttp
import pytest
import yaml  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from kener_async.api.openapi import document
from kener_async.app import create_app
from kener_async.config.model import Config
from kener_async.web import docs
from tests.rigs.contract import (
    CONTRACT,
    ERROR,
    METHODS,
    Kind,
    Operation,
    Parameter,
    Record,
    complaints,
    contract_file,
    read,
    refusals,
    unlike,
)
from tests.rigs.process import Server
from tests.rigs.service import Service

# What we serve under /api beside the operations: the description itself, and the page that shows it.
DESCRIPTIONS = {"/api/openapi.json", "/api/docs", "/api/v2/{name}"}  # what describes itself
OF_OTHERS = {"/api/push/{token}", "/api/v1/endpoints/{key}/external"}  # what other services describe
BY_ID = pytest.mark.parametrize("name", CONTRACT)


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    path = contract_file()
    if path is None:
        pytest.skip("the contract's file is not at hand: KENER_CONTRACT names it")
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


@pytest.fixture
def ours(config: Config) -> dict[str, Any]:
    return document(create_app(config).router, config)


def test_the_table_is_what_the_contract_says(published: dict[str, Any]):
    assert read(published) == CONTRACT


def test_the_contract_knows_one_form_of_error(published: dict[str, Any]):
    for operation in CONTRACT.values():
        assert refusals(published, operation) == {"400": ERROR, "401": ERROR}


def test_our_description_is_valid(ours: dict[str, Any]):
    validate(ours)


def test_our_description_lists_every_route_of_the_api(config: Config, ours: dict[str, Any]):
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in create_app(config).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    listed = {(method, path) for path, item in ours["paths"].items() for method in item if method in METHODS}
    of_the_api = {(method, path) for method, path in served if path.startswith("/api/")}
    assert listed <= served
    assert {path for _, path in of_the_api - listed} == DESCRIPTIONS | OF_OTHERS


def test_no_two_operations_share_an_id(ours: dict[str, Any]):
    assert len(read(ours)) == sum(len(set(METHODS) & item.keys()) for item in ours["paths"].values())


@BY_ID
def test_our_operation_has_the_contracts_id_method_and_path(ours: dict[str, Any], name: str):
    mine = read(ours)[name]
    assert (mine.method, mine.path, mine.many) == (
        CONTRACT[name].method,
        CONTRACT[name].path,
        CONTRACT[name].many,
    )


@BY_ID
def test_our_operation_takes_the_contracts_parameters_and_requires_no_other(ours: dict[str, Any], name: str):
    mine, theirs = read(ours)[name].parameters, CONTRACT[name].parameters
    assert theirs.keys() <= mine.keys()
    for parameter, expected in theirs.items():
        assert _is_as_wide(mine[parameter], expected), parameter
    assert not [added for added in mine.keys() - theirs.keys() if mine[added].required]


def _is_as_wide(mine: Parameter, theirs: Parameter) -> bool:
    """Bounds the contract does not set are our documented ones; those it sets are met."""
    return (
        (mine.place, mine.kind, mine.required, mine.default)
        == (theirs.place, theirs.kind, theirs.required, theirs.default)
        and (theirs.minimum is None or mine.minimum == theirs.minimum)
        and (theirs.maximum is None or mine.maximum == theirs.maximum)
    )


@BY_ID
def test_our_operation_takes_the_contracts_fields_and_requires_no_other(ours: dict[str, Any], name: str):
    mine, theirs = read(ours)[name].request, CONTRACT[name].request
    if mine is None or theirs is None:
        assert mine is theirs
        return
    assert mine.required == theirs.required
    for field, kind in theirs.fields.items():
        assert _takes(mine.fields[field], kind), field


def _takes(mine: Kind, theirs: Kind) -> bool:
    """Null may be taken in addition."""
    return replace(mine, nullable=theirs.nullable) == theirs and (mine.nullable or not theirs.nullable)


@BY_ID
def test_our_answer_has_the_contracts_fields(ours: dict[str, Any], name: str):
    mine, theirs = read(ours)[name].response, CONTRACT[name].response
    assert theirs.required <= mine.required
    for field, kind in theirs.fields.items():
        assert mine.fields[field] == kind, field


@BY_ID
def test_our_refusals_are_the_contracts_and_have_its_form(ours: dict[str, Any], name: str):
    mine = refusals(ours, CONTRACT[name])
    assert mine.keys() >= {"400", "401"}
    assert all(record.fields == ERROR.fields for record in mine.values())


@pytest.mark.parametrize("status", ["408", "413", "415", "503"])
def test_what_can_befall_a_body_is_described(ours: dict[str, Any], status: str):
    without = [
        name
        for name, operation in CONTRACT.items()
        if operation.request is not None and status not in refusals(ours, operation)
    ]
    assert without == []


def test_our_examples_are_accepted_as_they_stand(ours: dict[str, Any]):
    """Unlike the contract's, whose incident ends before it starts."""
    fields = ours["components"]["schemas"]["Incident"]["properties"]
    assert fields["endDatetime"]["example"] > fields["startDatetime"]["example"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")).start() as running:
        yield running
        assert complaints(running) == []


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    return server.mint()


NEW = {"title": "Disk full", "tags": ["mars", "earth"]}
ALL_FIELDS: dict[str, Any] = {
    **NEW,
    "startDatetime": 1731901920,
    "endDatetime": 1731905520,
    "body": "text",
    "impact": "DOWN",
    "isMaintenance": False,
    "isIdentified": True,
    "isResolved": True,
}
CALLS = [
    ("updateMonitorStatus", {"tag": "earth", "status": "UP", "latency": 0.25}, {}),
    ("updateMonitorStatus", {"tag": "earth", "status": "DOWN", "latency": 100, "more": [None]}, {}),
    ("getMonitorStatus", None, {"tag": "earth"}),
    ("getMonitorStatus", None, {"tag": "mars"}),
    ("createIncident", NEW, {}),
    ("createIncident", ALL_FIELDS, {}),
    ("searchIncidents", None, {}),
    ("searchIncidents", None, {"state": "closed", "tags": "earth,mars", "page": 1, "per_page": 100}),
    ("searchIncidents", None, {"created_after_utc": 1, "created_before_utc": 2**37, "title_like": "DISK"}),
    ("getIncident", None, {}),
    ("updateIncident", ALL_FIELDS, {}),
    ("updateIncident", NEW, {}),
    ("addIncidentComment", {"body": "looking"}, {}),
    ("getIncidentComments", None, {}),
    ("updateIncidentStatus", {"isIdentified": True, "isResolved": True, "endDatetime": 4102444800}, {}),
    ("updateIncidentStatus", {}, {}),
]


async def _call(
    server: Server, name: str, token: str | None, body: Any, query: dict[str, Any]
) -> tuple[int, str, Any]:
    """Status, content type and JSON of an answer, with a connection of its own."""
    operation = CONTRACT[name]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{server.port}", headers=headers) as session,
        session.request(
            operation.method, operation.path.format(incidentNumber=1), params=query, json=body
        ) as reply,
    ):
        return reply.status, reply.content_type, await reply.json()


@pytest.mark.process
@pytest.mark.parametrize(("name", "body", "query"), CALLS, ids=[call[0] for call in CALLS])
async def test_a_real_server_answers_as_the_contract_says(
    server: Server, token: str, name: str, body: Any, query: dict[str, Any]
):
    await _call(server, "createIncident", token, NEW, {})  # so that there is one, with the number 1
    status, content_type, answer = await _call(server, name, token, body, query)
    assert (status, content_type) == (200, "application/json"), answer
    assert _faults(answer, CONTRACT[name]) == ""


def _faults(answer: Any, operation: Operation) -> str:
    if not operation.many:
        return unlike(answer, operation.response)
    assert isinstance(answer, list)
    return "".join(unlike(item, operation.response) for item in answer)


def test_the_calls_reach_every_operation_of_the_contract():
    assert {name for name, _, _ in CALLS} == CONTRACT.keys()


@pytest.mark.process
@BY_ID
async def test_a_real_server_refuses_every_operation_without_a_token(server: Server, name: str):
    body: Any = {} if CONTRACT[name].request else None
    assert await _call(server, name, None, body, {}) == (401, "application/json", {"error": "invalid token"})


REFUSED = [
    ("updateMonitorStatus", {"tag": "earth"}, {}),
    ("getMonitorStatus", None, {}),
    ("createIncident", {"tags": ["earth"]}, {}),
    ("searchIncidents", None, {"per_page": 101}),
    ("updateIncident", {"title": "x"}, {}),
    ("addIncidentComment", {}, {}),
    ("updateIncidentStatus", {"isResolved": "yes"}, {}),
]


@pytest.mark.process
@pytest.mark.parametrize(("name", "body", "query"), REFUSED, ids=[call[0] for call in REFUSED])
async def test_a_real_server_refuses_in_the_contracts_form(
    server: Server, token: str, name: str, body: Any, query: dict[str, Any]
):
    status, content_type, answer = await _call(server, name, token, body, query)
    assert (status, content_type) == (400, "application/json")
    assert unlike(answer, Record(ERROR.fields, required=frozenset({"error"}))) == ""


@pytest.mark.process
def test_the_description_is_served_as_it_is_printed(server: Server):
    with urlopen(f"http://127.0.0.1:{server.port}/api/openapi.json") as reply:
        assert json.load(reply) == json.loads(server.run("openapi").stdout)


async def test_the_description_is_built_once_and_again_only_for_other_addresses(
    service: Service, monkeypatch: pytest.MonkeyPatch
):
    built = []

    def counted(router: Any, config: Any) -> Any:
        built.append(config.server.public_url)
        return document(router, config)

    monkeypatch.setattr(docs, "document", counted)
    etags = set()
    for _ in range(3):
        async with service.client.get("/api/openapi.json") as reply:
            etags.add(reply.headers["ETag"])
    (etag,) = etags
    async with service.client.get("/api/openapi.json", headers={"If-None-Match": etag}) as reply:
        assert (reply.status, await reply.read()) == (304, b"")
    assert built == [""]
    service.change("server", public_url="https://status.example.org")
    described = await asyncio.gather(*(service.get("/api/openapi.json") for _ in range(4)))
    assert [one["servers"] for one in described] == [[{"url": "https://status.example.org"}]] * 4
    assert built == ["", "https://status.example.org"]
