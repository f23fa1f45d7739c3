from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from addons.opening import Doors, Opened, plans
from addons.policy.values import Address
from addons.service import Service
from tests import pictures
from tests.addons.doors.opened import configured, write_list
from tests.drawing import encode, textured

FORBIDDEN, ORDINARY = encode(textured(1)), encode(textured(2))
PICTRS = {
    "listen": "127.0.0.1:3",
    "upstream": "http://127.0.0.1:4",
    "origin": "127.0.0.1:5",
    "origin_url": "http://127.0.0.1:5",
}


@asynccontextmanager
async def opened(folder: Path, media: int = 80, **settings: Any) -> AsyncIterator[tuple[Service, dict[str, Opened]]]:
    """All the doors of this configuration on free ports, by name."""
    service = Service.start(configured(folder, write_list(folder / "hashes.csv", FORBIDDEN), media, settings))
    doors = Doors(plans(service, free=True), 30)
    try:
        yield service, {door.name: door for door in await doors.open()}
        assert await doors.drain(5)
    finally:
        await doors.close()
        await service.close()


async def test_each_door_that_is_named_is_open(tmp_path: Path) -> None:
    validate = {"listen": "[::1]:6", "judges": "everything"}
    async with opened(tmp_path, doors={"pictrs": PICTRS, "validate": validate}) as (_, doors):
        assert list(doors) == ["inbox door", "pict-rs door", "origin", "validation"]
        assert len({door.address.port for door in doors.values()}) == 4
        assert str(doors["pict-rs door"]).endswith(", in front of http://127.0.0.1:4")
        assert str(doors["validation"]) == f"validation open on [::1]:{doors['validation'].address.port}"
    async with opened(tmp_path) as (_, doors):
        assert list(doors) == ["inbox door"]


async def test_what_is_fixed_stays_where_it_is_configured(tmp_path: Path) -> None:
    """The origin's port stands in its URL."""
    async with opened(tmp_path, doors={"pictrs": PICTRS}) as (service, _):
        for fixed, where in (((), "127.0.0.1:0"), (("origin",), "127.0.0.1:5")):
            origin = next(plan for plan in plans(service, free=True, fixed=fixed) if plan.name == "origin")
            assert origin.listener is not None
            assert str(origin.listener._address) == where


async def test_an_address_that_is_taken(tmp_path: Path) -> None:
    named = {"validate": {"listen": "127.0.0.1:6", "judges": "everything"}}
    async with opened(tmp_path, doors=named) as (service, doors):
        taken = doors["validation"].address
        validation = next(plan for plan in plans(service, free=True) if plan.name == "validation")
        assert validation.listener is not None
        validation.listener._address = Address("127.0.0.1", taken.port)
        second = Doors([validation], 30)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{taken.port}: address already in use"):
            await second.open()
        await second.close()


async def test_the_origin_gives_pict_rs_what_was_judged(tmp_path: Path) -> None:
    async with pictures.host() as host:
        url = host.put("/ordinary.png", ORDINARY)
        async with opened(tmp_path, host.port, doors={"pictrs": PICTRS}) as (service, doors), client() as asking:
            assert service.urls is not None
            stable = service.urls.of(url).replace("http://127.0.0.1:5", f"http://{doors['origin'].address}")
            answer = await asking.get(stable)
            assert (answer.status_code, answer.content) == (200, ORDINARY)


@pytest.mark.parametrize(
    ("scan", "judges", "status"),
    [("federation", "scanned", 200), ("federation", "everything", 403), ("everything", "scanned", 403)],
)
async def test_what_validation_judges(tmp_path: Path, scan: str, judges: str, status: int) -> None:
    doors = {"pictrs": PICTRS, "validate": {"listen": "127.0.0.1:6", "judges": judges, "secret": "0123456789abcdef"}}
    async with opened(tmp_path, doors=doors, scan=scan) as (_, found), client() as asking:
        at = f"http://{found['validation'].address}/validate"
        assert (await asking.post(f"{at}/0123456789abcdef", content=FORBIDDEN)).status_code == status
        assert (await asking.post(at, content=FORBIDDEN)).status_code == 404


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=30, trust_env=False)
