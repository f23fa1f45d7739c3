import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from addons.cli import main
from addons.commands.run_ import DRAIN_MORE, serve
from addons.judging.stable import origin_urls
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Reader, Search
from addons.policy.config import Config, load
from tests import net, pictures, processes
from tests.addons.doors.opened import configured, create, write_list
from tests.drawing import encode, textured

FORBIDDEN = encode(textured(1))
ORDINARY = encode(textured(2))


@pytest.fixture
async def host() -> AsyncIterator[pictures.Host]:
    async with pictures.host() as served:
        yield served


def config(folder: Path, host: pictures.Host | None = None, upstream: int = 1, **settings: Any) -> Config:
    server = {"upstream": f"http://127.0.0.1:{upstream}", "listen": f"127.0.0.1:{processes.free_port()}"}
    hashes = write_list(folder / "hashes.csv", FORBIDDEN)
    return configured(folder, hashes, host.port if host else 80, {"server": server, **settings})


async def deliver(port: int, *urls: str) -> int:
    async with net.client(port) as client:
        await client.send(net.post("/inbox", json.dumps(create(*urls)).encode()))
        return (await client.response(timeout=20))[0]


async def test_it_judges_until_it_is_told_to_stop_and_then_ends_what_is_under_way(
    tmp_path: Path, host: pictures.Host
) -> None:
    gate = asyncio.Event()
    known, slow = host.put("/forbidden.png", FORBIDDEN), host.put("/slow.png", ORDINARY, gate=gate)
    async with net.upstream() as upstream:
        settings = config(tmp_path, host, upstream.port, budget="20s")
        port = settings.server.listen.port
        async with processes.program("fediward", "run", "-c", str(settings.path)) as program:
            await program.says(f"inbox door open on 127.0.0.1:{port}, in front of http://127.0.0.1:{upstream.port}\n")
            assert "warning: some senders wait 7 s" in program.said
            assert await deliver(port, known) == 202
            assert await deliver(port) == 200
            under_way = asyncio.ensure_future(deliver(port, slow))
            await net.until(lambda: host.hits["/slow.png"] == 1)
            children = program.children()
            program.tell(signal.SIGTERM)
            await program.says("stopping …\n")
            with pytest.raises(ConnectionRefusedError):
                await deliver(port)
            gate.set()
            assert await under_way == 200
            assert await program.ended() == 0
        assert len(upstream.requests) == 2
    assert "Traceback" not in program.said, program.said
    assert program.said.endswith("stopping …\n")
    assert children
    await net.until(lambda: not any(map(processes.lives, children)))
    with Reader.open(settings.ledger.url) as reader:
        assert [entry.action for entry in reader.find(Search())] == ["drop", "pass"]
        assert [(counted.action, counted.count) for counted in reader.counts()] == [("pass", 1)]


async def test_a_second_signal_does_not_wait(tmp_path: Path, host: pictures.Host) -> None:
    hangs = host.put("/hangs.png", gate=asyncio.Event())
    async with net.upstream() as upstream:
        settings = config(tmp_path, host, upstream.port, budget="60s", mode="observe")
        port = settings.server.listen.port
        async with processes.program("fediward", "run", "-c", str(settings.path)) as program:
            await program.says("inbox door open on")
            assert "warning: mode: observe keeps nothing out" in program.said
            assert await deliver(port, hangs) == 200
            await net.until(lambda: host.hits["/hangs.png"] == 1)
            program.tell(signal.SIGINT)
            await program.says("stopping …")
            assert program.process.returncode is None
            program.tell(signal.SIGINT)
            assert await program.ended(DRAIN_MORE + 20) == 0
    assert "Traceback" not in program.said, program.said


def no_file(folder: Path) -> Path:
    return folder / "absent.yaml"


def wrong(folder: Path) -> Path:
    path = folder / "wrong.yaml"
    path.write_text("server: {listen: 127.0.0.1:8540, upstreem: http://127.0.0.1:8536}\n")
    return path


def no_weights(folder: Path) -> Path:
    classifier = {"clip": {"model": "ViT-L-14", "pretrained": "openai"}, "nudity": None}
    return config(
        folder, classifier=classifier, rules=[{"name": "a", "when": {"clip.minor": ">0.5"}, "do": "drop"}]
    ).path


def no_folder(folder: Path) -> Path:
    return config(folder, ledger={"url": "sqlite:////proc/nowhere/fediward.db"}).path


def other_origin(folder: Path) -> Path:
    """What pict-rs keeps was fetched from another origin_url."""
    listen, origin = (f"127.0.0.1:{processes.free_port()}" for _ in range(2))
    pictrs = {"listen": listen, "upstream": "http://127.0.0.1:4", "origin": origin, "origin_url": "http://fediward:5"}
    made = config(folder, doors={"pictrs": pictrs})
    with Ledger.open(made.ledger.url) as ledger:
        origin_urls(ledger, "http://127.0.0.1:5")
    return made.path


@pytest.mark.parametrize(
    ("path", "code", "says"),
    [
        (no_file, 2, ["there is no file", "`fediward config example >"]),
        (wrong, 2, ['wrong.yaml:1:34: unknown key "upstreem"', 'did you mean "upstream"?']),
        (no_weights, 1, ["fediward did not start: ", "fediward models pull"]),
        (no_folder, 1, ["fediward did not start: ", "/proc/nowhere/fediward.db"]),
        (other_origin, 1, ["fediward did not start: ", "was http://127.0.0.1:5 and is http://fediward:5 now"]),
    ],
)
def test_what_it_does_not_start_with(tmp_path: Path, path: Callable[[Path], Path], code: int, says: list[str]) -> None:
    ended = CliRunner().invoke(main, ["run", "-c", str(path(tmp_path))])
    assert ended.exit_code == code, ended.output
    assert [text for text in says if text not in ended.stderr] == [], ended.stderr
    assert "Traceback" not in ended.output
    assert "open on" not in ended.output
    assert ended.stdout == ""


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1"])
def test_an_address_that_cannot_be_had(tmp_path: Path, address: str) -> None:
    settings = config(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        whole = json.loads(settings.path.read_text())
        whole["server"]["listen"] = f"{address}:{port}"
        settings.path.write_text(json.dumps(whole))
        ended = CliRunner().invoke(main, ["run", "-c", str(settings.path)])
    # Python 3.13 keeps the system's own words to itself where there was one address alone to try.
    reason = (
        "address already in use" if address == "127.0.0.1" else "(cannot assign requested address|could not bind .*)"
    )
    advice = f"end the program that has that address, or change it in {settings.path}"
    told = f"fediward did not start: cannot listen on {address}:{port}: {reason}: {advice}"
    assert re.fullmatch(told, ended.stderr.splitlines()[-1])
    assert ended.exit_code == 1


async def test_ipv6(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(config(tmp_path).path.read_text())
    port = processes.free_port()
    whole["server"] |= {"listen": f"[::1]:{port}", "upstream": "http://[::1]:1"}
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(whole))
    serving = asyncio.ensure_future(serve(load(path, env={})))
    said = ""
    while "open on" not in said:
        assert not serving.done()
        await asyncio.sleep(0.02)
        said += capsys.readouterr().err
    assert f"inbox door open on [::1]:{port}, in front of http://[::1]:1\n" in said
    reader, writer = await asyncio.open_connection("::1", port)
    writer.write(net.post("/inbox", b"no JSON"))
    assert await reader.readline() == b"HTTP/1.1 400 Bad Request\r\n"
    writer.close()
    os.kill(os.getpid(), signal.SIGTERM)
    await serving


async def test_a_signal_while_it_loads_is_heard(tmp_path: Path) -> None:
    settings = config(tmp_path)
    async with processes.program("fediward", "run", "-c", str(settings.path)) as program:
        await program.says("loading …")
        program.tell()
        assert await program.ended() == 0
    assert "Traceback" not in program.said, program.said


def test_another_origin_url_is_taken_when_told(tmp_path: Path) -> None:
    path = other_origin(tmp_path)
    with socket.create_server(("127.0.0.1", load(path, env={}).server.listen.port)):
        ended = CliRunner().invoke(main, ["run", "-c", str(path), "--new-origin-url"])
    assert "cannot listen" in ended.stderr  # so far it came
    with Ledger.open(load(path, env={}).ledger.url) as ledger:
        assert origin_urls(ledger, "http://fediward:5").of("a").startswith("http://fediward:5/o/")
