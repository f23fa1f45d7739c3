from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.faulty import Judging, judging


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def judge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Judging]:
    """One for a module: its decoding process takes a second to start."""
    async with judging(tmp_path_factory.mktemp("judge")) as made:
        yield made
