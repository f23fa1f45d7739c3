"""The inbox door with its detectors on other machines: it holds no model, and says so where nobody judges."""

import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from addons.ledger.reading import Reader, Search
from tests import nats_server, net, pictures
from tests.addons.doors.opened import configured, create, write_list
from tests.drawing import encode, shape
from tests.e2e.process import START_SECONDS
from tests.processes import free_port, program


@pytest.fixture
async def host() -> AsyncIterator[pictures.Host]:
    async with pictures.host() as served:
        yield served


async def deliver(port: int, url: str) -> int:
    async with net.client(port) as client:
        await client.send(net.post("/inbox", json.dumps(create(url)).encode()))
        return (await client.response(timeout=30))[0]


async def test_a_door_without_a_model(tmp_path: Path, host: pictures.Host) -> None:
    colours = ["white", "yellow", "grey"]
    forbidden = [host.put(f"/r{n}.png", encode(shape("circle", "red", on))) for n, on in enumerate(colours)]
    fine = host.put("/b.png", encode(shape("square", "blue", "white")))
    async with nats_server.broker(tmp_path) as broker, net.upstream() as upstream:
        port = free_port()
        config = configured(
            tmp_path,
            write_list(tmp_path / "hashes.csv"),
            host.port,
            {
                "server": {"upstream": f"http://127.0.0.1:{upstream.port}", "listen": f"127.0.0.1:{port}"},
                "classifier": {
                    "clip": {"model": "fediward-tiny", "pretrained": "demo-shapes"},
                    "workers": broker.url,
                },
                "concepts": "demo-shapes",
                "rules": [{"name": "shape", "when": {"clip.red_circle": ">0.5"}, "do": "drop"}],
                "on": {"no_worker": "reject", "timeout": "defer"},
                "budget": "20s",
            },
        )
        async with program("fediward", "run", "-c", str(config.path)) as door:
            await door.says("inbox door open on", START_SECONDS)
            assert await deliver(port, forbidden[0]) == 403  # no_worker: nobody is there yet
            async with program("fediward", "worker", "-c", str(config.path)) as worker:
                await worker.says("connected to", START_SECONDS)
                assert [await deliver(port, url) for url in (forbidden[1], fine)] == [202, 200]
                worker.tell(signal.SIGKILL)
                await worker.ended()
            assert await deliver(port, forbidden[2]) == 403
            loaded = Path(f"/proc/{door.process.pid}/maps").read_text()  # noqa: ASYNC240  # no disk is read
            assert not [library for library in ("libtorch", "onnxruntime") if library in loaded]
            door.tell()
            assert await door.ended() == 0
        assert len(upstream.requests) == 1
    with Reader.open(config.ledger.url) as reader:
        entries = list(reader.find(Search()))
    assert [(entry.action, entry.cause) for entry in entries] == [
        ("reject", "no_worker"),
        ("drop", None),
        ("pass", None),
        ("reject", "no_worker"),
    ]
