import gzip
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.test import taddons

from addons.doors.inbox_script import InboxScript
from addons.ledger.reading import Reader, Search
from tests import net, pictures, processes
from tests.addons.doors.opened import configured, create, write_list
from tests.drawing import encode, textured

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = str(Path(__file__).parents[3] / "addons" / "doors" / "inbox_script.py")
ANSWER = b'HTTP/1.1 200 OK\r\nAlt-Svc: h3="a:443"\r\nContent-Length: 0\r\n\r\n'
REVERSE = "reverse:http://127.0.0.1:8536@127.0.0.1:8540"
FORBIDDEN = encode(textured(1))


class Stock:
    """Stock mitmdump with the script, between a remote host and a server."""

    def __init__(self, port: int, host: pictures.Host, upstream: net.Upstream, program: processes.Program) -> None:
        self.port, self.host, self.upstream, self.program = port, host, upstream, program

    async def send(self, request: bytes) -> tuple[int, bytes, bytes]:
        async with net.client(self.port) as client:
            await client.send(request)
            return await client.response()

    async def deliver(self, *paths: str) -> int:
        body = json.dumps(create(*map(self.host.url, paths))).encode()
        return (await self.send(net.post("/inbox", body)))[0]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stock(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stock]:
    folder = tmp_path_factory.mktemp("stock")
    async with pictures.host() as host, net.upstream(ANSWER) as upstream:
        host.put("/forbidden.png", FORBIDDEN)
        host.put("/ordinary.png", encode(textured(2)))
        settings = {"limits": {"body": "16KiB"}}
        config = configured(folder, write_list(folder / "hashes.csv", FORBIDDEN), host.port, settings)
        port = processes.free_port()
        arguments = ["--mode", f"reverse:http://127.0.0.1:{upstream.port}@127.0.0.1:{port}", "-s", SCRIPT]
        options = ["--set", "keep_host_header=true", "--set", f"fediward={config.path}"]
        async with processes.program("mitmdump", *arguments, *options) as program:
            await program.says(f"listening at 127.0.0.1:{port}")
            yield Stock(port, host, upstream, program)
            program.tell()
            assert await program.ended() == 0, program.said
            assert "Traceback" not in program.said
            with Reader.open(config.ledger.url) as reader:
                assert {entry.action for entry in reader.find(Search())} == {"drop", "pass"}
                assert {counted.action for counted in reader.counts()} >= {"pass", "malformed", "too_large"}


async def test_it_judges(stock: Stock) -> None:
    assert await stock.deliver("/ordinary.png") == 200
    assert await stock.deliver("/ordinary.png", "/forbidden.png") == 202
    assert len(stock.upstream.requests) == 1


async def test_what_passes_is_what_came(stock: Stock) -> None:
    stock.upstream.requests.clear()
    body = json.dumps(create()).encode()
    request = net.post("/inbox", body, ("X-Odd", "a,b ;c"), ("x-odd", "second"), host="example.org")
    assert (await stock.send(request))[0] == 200
    (received,) = stock.upstream.requests
    assert received.head + b"\r\n\r\n" + received.body == request


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (net.post("/inbox", b"no JSON"), 400),
        (net.post("/inbox", bytes((16 << 10) + 1)), 413),
        (net.post("/inbox", gzip.compress(bytes(100_000), mtime=0), ("Content-Encoding", "gzip")), 413),
        (net.post("/upload", bytes(3_000_000)), 200),
        (b"GET / HTTP/1.1\r\nHost: mitm.it\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ],
)
async def test_bounds_and_streams(stock: Stock, request_: bytes, status: int) -> None:
    stock.upstream.requests.clear()
    assert (await stock.send(request_))[0] == status
    assert len(stock.upstream.requests) == (status == 200)


async def test_alt_svc_is_left_as_it_is(stock: Stock) -> None:
    assert b'\r\nAlt-Svc: h3="a:443"\r\n' in (await stock.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))[1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "no configuration: add --set fediward=config.yaml."),
        ({"fediward": "{folder}/config.yaml"}, "deliveries are signed with their Host: add --set keep_host_header"),
        (
            {"fediward": "{folder}/config.yaml", "keep_host_header": True, "mode": ["regular"]},
            "it stands in front of a server only",
        ),
        (
            {"fediward": "{folder}/config.yaml", "keep_host_header": True, "mode": [REVERSE, "socks5"]},
            "it stands in front of a server only",
        ),
        (
            {"fediward": "{folder}/config.yaml", "keep_host_header": True, "mode": ["reverse:dns://127.0.0.1:53"]},
            "it stands in front of a server only",
        ),
        ({"fediward": "{folder}/absent.yaml", "keep_host_header": True}, "absent.yaml:1:1: cannot be read: No such"),
        ({"fediward": "{folder}/broken.yaml", "keep_host_header": True}, 'broken.yaml:1:1: unknown key "sever"'),
        (
            {"fediward": "{folder}/nowhere.yaml", "keep_host_header": True},
            "/proc/nowhere/fediward.db",
        ),
    ],
)
async def test_what_it_refuses_to_start_with(
    tmp_path: Path, options: dict[str, object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path, write_list(tmp_path / "hashes.csv"), 80, {})
    text = config.path.read_text()
    (tmp_path / "broken.yaml").write_text("sever: {}\n")
    (tmp_path / "nowhere.yaml").write_text(
        json.dumps(json.loads(text) | {"ledger": {"url": "sqlite:////proc/nowhere/fediward.db"}})
    )
    told = {"mode": [REVERSE]} | {
        name: value.format(folder=tmp_path) if isinstance(value, str) else value for name, value in options.items()
    }
    script = InboxScript()
    with taddons.context(Proxyserver(), script, loadcore=False) as context, pytest.raises(SystemExit) as ended:
        context.configure(script, **told)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "fediward did not start: " in said
    assert says in said
    assert script.service is None


async def test_a_refusal_ends_mitmdump(tmp_path: Path) -> None:
    mode = f"reverse:http://127.0.0.1:1@127.0.0.1:{processes.free_port()}"
    async with processes.program("mitmdump", "--mode", mode, "-s", SCRIPT) as program:
        assert await program.ended() == 1
    assert "fediward did not start: no configuration" in program.said
    assert "listening" not in program.said


async def test_loading_it_again_goes_on_judging(tmp_path: Path) -> None:
    """mitmproxy loads a script anew whenever its file changes."""
    script = tmp_path / "inbox_script.py"
    shutil.copy(SCRIPT, script)
    async with pictures.host() as host, net.upstream() as upstream:
        url = host.put("/forbidden.png", FORBIDDEN)
        config = configured(tmp_path, write_list(tmp_path / "hashes.csv", FORBIDDEN), host.port, {})
        port = processes.free_port()
        mode = f"reverse:http://127.0.0.1:{upstream.port}@127.0.0.1:{port}"
        options = ["--set", "keep_host_header=true", "--set", f"fediward={config.path}"]
        async with processes.program("mitmdump", "--mode", mode, "-s", str(script), *options) as program:
            await program.says("listening at")
            request = net.post("/inbox", json.dumps(create(url)).encode())
            for turn in range(2):
                async with net.client(port) as client:
                    await client.send(request)
                    assert (turn, (await client.response())[0]) == (turn, 202)
                if not turn:
                    program.said = ""
                    os.utime(script, (2e9, 2e9))
                    await program.says("Loading script")
            program.tell()
            assert await program.ended() == 0
            assert "Traceback" not in program.said, program.said
    assert upstream.requests == []
