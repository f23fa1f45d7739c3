"""A real pict-rs asks ``fediward run`` about every file that it takes in, as its ``external_validation``."""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image

from addons.web.validate import Validate, ValidateSettings
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests.addons.doors.opened import write_list
from tests.addons.web.parts import FORBIDDEN, ORDINARY, Held, listening, parts
from tests.drawing import encode, textured
from tests.e2e.process import Door, door, free_port
from tests.filming import film, moving
from tests.net import until
from tests.pictrs import PictRs, pict_rs

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 60.0
"""For one answer, on a machine where other work shares the processor."""
SECRET = "0123456789abcdef"
CONFIG = """\
doors:
  validate: {{listen: "127.0.0.1:{port}", judges: everything, secret: {secret}, deadline: 20s}}
classifier:
  clip: null
  nudity: null
  decode: {{processes: 1}}
  hashes: [{{name: ours, file: "{hashes}"}}]
rules:
  - {{name: known, when: {{hash.ours: 1}}, do: drop}}
ledger: {{url: "sqlite:///ledger.db"}}
"""
FORBIDDEN_VIDEO = film([textured(1)] * 10)


@dataclass(frozen=True, slots=True)
class Running:
    """``fediward run`` with validation, and where that is."""

    door: Door
    url: str
    port: int


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("lists") / "hashes.csv", FORBIDDEN)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, hashes: Path) -> AsyncIterator[Running]:
    folder, port = tmp_path_factory.mktemp("fediward"), free_port()
    text = CONFIG.format(port=port, secret=SECRET, hashes=hashes)
    async with door(folder, text, 1) as opened:
        yield Running(opened, f"http://127.0.0.1:{port}/validate/{SECRET}", port)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory, running: Running) -> AsyncIterator[PictRs]:
    """pict-rs with its default settings, validated by fediward at an IP literal."""
    folder = tmp_path_factory.mktemp("pict-rs")
    async with pict_rs(folder, validation=running.url, allow_local=False) as opened:
        yield opened


async def upload(to: PictRs, data: bytes, name: str = "a.png") -> tuple[int, Any]:
    """As Lemmy uploads an image: status and what pict-rs says."""
    async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
        answer = await client.post(f"{to.url}/image", files={"images[]": (name, data)})
        return answer.status_code, answer.json()


async def download(of: PictRs, alias: str) -> bytes:
    async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as client:
        answer = await client.get(f"{of.url}/image/original/{alias}")
        assert answer.status_code == 200
        return answer.content


def stored(by: PictRs) -> int:
    """How many files it has stored."""
    return sum(1 for one in (by.folder / "files").rglob("*") if one.is_file())


async def stores(by: PictRs, count: int) -> None:
    """Wait until it has so many: what was refused it deletes once it has answered."""
    await until(lambda: stored(by) == count, SECONDS)


async def test_a_permitted_picture_is_stored(kept: PictRs, running: Running) -> None:
    status, said = await upload(kept, ORDINARY)
    assert (status, said["msg"]) == (201, "ok")
    stored_bytes = await download(kept, said["files"][0]["file"])
    # PNG keeps every pixel, though pict-rs may write it anew.
    assert Image.open(io.BytesIO(stored_bytes)).convert("RGB").tobytes() == textured(2).tobytes()
    entry = (await running.door.entries())[-1]
    assert (entry["door"], entry["action"], entry["peer"]) == ("validate", "pass", "127.0.0.1")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (FORBIDDEN, "a.png"),
        (encode(textured(1), "JPEG", quality=80), "a.jpg"),
        (encode(textured(1), "WEBP", quality=80), "a.webp"),
        (FORBIDDEN_VIDEO, "a.mp4"),
    ],
)
async def test_a_forbidden_one_is_not(kept: PictRs, running: Running, data: bytes, name: str) -> None:
    before = stored(kept)
    status, said = await upload(kept, data, name)
    assert (status, said["code"]) == (400, "failed-external-validation")
    await stores(kept, before)
    entry = (await running.door.entries())[-1]
    assert (entry["door"], entry["action"], entry["rule"]) == ("validate", "drop", "known")


async def test_a_permitted_video_is_stored(kept: PictRs, running: Running) -> None:
    status, said = await upload(kept, film(moving(1)), "a.mp4")
    assert (status, said["msg"]) == (201, "ok")
    assert (await running.door.entries())[-1]["action"] == "pass"


@pytest.mark.parametrize(
    ("host", "allow_local", "status", "code"),
    [("localhost", False, 500, "http-client-error"), ("localhost", True, 201, None), ("127.0.0.1", True, 201, None)],
)
async def test_a_private_host_name_makes_every_upload_fail_unless_local_connections_are_allowed(
    tmp_path: Path, running: Running, host: str, allow_local: bool, status: int, code: str | None
) -> None:
    url = f"http://{host}:{running.port}/validate/{SECRET}"
    async with pict_rs(tmp_path, validation=url, allow_local=allow_local) as opened:
        found, said = await upload(opened, ORDINARY)
        assert (found, said.get("code")) == (status, code)


async def test_a_wrong_secret_lets_nothing_in(tmp_path: Path, running: Running) -> None:
    url = f"http://127.0.0.1:{running.port}/validate"
    async with pict_rs(tmp_path, validation=url) as opened:
        assert (await upload(opened, ORDINARY))[0] == 400
        await stores(opened, 0)


async def test_a_dead_fediward_lets_nothing_in(tmp_path: Path) -> None:
    async with pict_rs(tmp_path, validation=f"http://127.0.0.1:{free_port()}/validate") as opened:
        status, said = await upload(opened, ORDINARY)
        assert (status, said["code"]) == (500, "http-client-error")
        await stores(opened, 0)


async def test_what_is_not_decided_in_time_is_not_stored_and_is_judged_when_it_comes_again(
    tmp_path: Path, hashes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ClassifierSettings(
        clip=None,
        nudity=None,
        hashes=(HashListSettings(name="ours", file=hashes),),
        decode=DecodeSettings(processes=1),
    )
    engine = Engine.start(settings, {})
    held = Held(engine)
    monkeypatch.setattr(engine, "digests", held)
    try:
        async with parts(tmp_path, hashes, 80, engine, {}) as made:
            app = Validate(made.gate, made.budget, ValidateSettings(deadline=1))
            async with (
                listening(app) as port,
                pict_rs(tmp_path / "pict-rs", validation=f"http://127.0.0.1:{port}/validate") as opened,
            ):
                status, said = await upload(opened, ORDINARY)
                assert (status, said["code"]) == (400, "failed-external-validation")
                assert held.begun == 1
                await stores(opened, 0)
                held.gate.set()
                app.settings = ValidateSettings(deadline=SECONDS)
                assert (await upload(opened, ORDINARY))[0] == 201
                assert (await upload(opened, FORBIDDEN))[0] == 400
    finally:
        await engine.close()
