"""One engine for all tests of our listeners: starting its processes takes longer than any of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import pictures
from tests.addons.doors.opened import write_list
from tests.addons.web.parts import FORBIDDEN, ORDINARY, SAME_PICTURE


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("lists") / "hashes.csv", FORBIDDEN)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(hashes: Path) -> AsyncIterator[Engine]:
    started = Engine.start(
        ClassifierSettings(
            clip=None,
            nudity=None,
            hashes=(HashListSettings(name="ours", file=hashes),),
            decode=DecodeSettings(processes=1),
        ),
        {},
    )
    yield started
    await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[pictures.Host]:
    async with pictures.host() as served:
        served.put("/forbidden.png", FORBIDDEN)
        served.put("/same.jpg", SAME_PICTURE)
        served.put("/ordinary.png", ORDINARY)
        yield served
