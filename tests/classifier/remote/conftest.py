from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.nats_server import Broker
from tests.nats_server import broker as running


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A real NATS server."""
    async with running(tmp_path) as server:
        yield server
