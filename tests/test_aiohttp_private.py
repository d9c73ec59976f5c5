"""Private attributes of aiohttp: they exist, and no untested minor release is allowed."""

import asyncio
import tomllib
from importlib.metadata import version

import pytest
from aiohttp import ClientSession
from aiohttp.client_proto import ResponseHandler
from aiohttp.test_utils import make_mocked_request
from aiohttp.web_protocol import RequestHandler

from kener_async.api.http.aiohttp_private import CONNECTION_ATTRIBUTES, REQUEST_ATTRIBUTES
from kener_async.probes.connector import RESPONSE_ATTRIBUTES, SESSION_ATTRIBUTES
from tests.rigs.process import ROOT


@pytest.mark.parametrize("name", REQUEST_ATTRIBUTES)
def test_a_request_of_aiohttp_has_the_attribute(name: str):
    assert hasattr(make_mocked_request("GET", "/"), name)


@pytest.mark.parametrize("name", CONNECTION_ATTRIBUTES)
def test_a_connection_of_aiohttp_has_the_attribute(name: str):
    assert hasattr(RequestHandler, name)


@pytest.mark.parametrize("name", SESSION_ATTRIBUTES)
async def test_a_session_of_aiohttp_has_the_attribute(name: str):
    async with ClientSession() as session:
        assert hasattr(session, name)


@pytest.mark.parametrize("name", RESPONSE_ATTRIBUTES)
async def test_a_response_handler_of_aiohttp_has_the_attribute(name: str):
    assert hasattr(ResponseHandler(asyncio.get_running_loop()), name)


@pytest.mark.parametrize("library", ["aiohttp", "marshmallow"])
def test_the_library_is_bounded_above_at_the_tested_minor(library: str):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (requirement,) = (one for one in project["dependencies"] if one.startswith(f"{library}>"))
    major, minor, *_ = map(int, version(library).split("."))
    assert requirement.endswith(f",<{major}.{minor + 1}")
