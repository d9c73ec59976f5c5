"""Fixtures: a service of its own for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kener_async.config.model import Config
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
