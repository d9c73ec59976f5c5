"""Fixtures: a service of its own for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket

from kener_async.config.model import Config
from kener_async.web.pages import templates
from tests.rigs.service import FakeClock, Service, a_config, running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return a_config(tmp_path)


@pytest.fixture
async def service(config: Config, clock: FakeClock) -> AsyncIterator[Service]:
    async with running(config, clock) as running_service:
        yield running_service


class CompiledTemplates(BytecodeCache):
    """The compiled templates of all services in this process."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if code := self._code.get(bucket.key):
            bucket.bytecode_from_string(code)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def compiled_templates() -> Iterator[None]:
    """Compile each template once, because that takes longer than most tests."""
    cache, before = CompiledTemplates(), templates.environment

    def environment(app: web.Application) -> Environment:
        made = before(app)
        made.bytecode_cache = cache
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(templates, "environment", environment)
        yield
