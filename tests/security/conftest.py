"""The world of the bypass corpus: one engine and one inbox door for all the rows of a module."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from classifier.engine import Engine
from tests.security import bypass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bypass")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def judges(folder: Path) -> AsyncIterator[Engine]:
    async with bypass.engine(folder) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(folder: Path, judges: Engine) -> AsyncIterator[bypass.World]:
    async with bypass.world(folder, judges, bypass.NAMES) as made:
        yield made
