"""How fast the inbox door is, beside stock mitmdump and a bare mitmproxy master in the same run.

    .venv/bin/python -m tests.bench.door [--quick] [--json]

Every proxy is one process of its own, kept-alive connections, the same upstream and senders. Rounds go from one proxy
to the next, so that a noisy machine is noisy for all; ratios are taken within a round, then their median. Deliveries
with media each carry an image that was never seen before: fetched, decoded, judged by the tiny model, written to the
ledger.
"""

import argparse
import contextlib
import io
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

from tests.bench.load import Measured, delivery, senders, upstream
from tests.bench.report import arguments, finish, median, say

BARE = """
import asyncio, sys
from mitmproxy import options
from mitmproxy.addons import core, disable_h2c, errorcheck, next_layer, proxyserver, tlsconfig
from mitmproxy.master import Master
async def main():
    master = Master(options.Options())
    master.addons.add(core.Core(), proxyserver.Proxyserver(), next_layer.NextLayer(), tlsconfig.TlsConfig(),
                      disable_h2c.DisableH2C(), errorcheck.ErrorCheck())
    master.options.update(mode=[sys.argv[1]], keep_host_header=True)
    await master.run()
asyncio.run(main())
"""

CONFIG = """
server: {{software: lemmy, upstream: "http://127.0.0.1:{upstream}", listen: "127.0.0.1:{listen}"}}
fetch: {{allow: [127.0.0.0/8], ports: [{media}]}}
classifier: {{clip: {{model: fediward-tiny, pretrained: demo-shapes}}, nudity: null}}
concepts: demo-shapes
rules:
  - {{name: forbidden-shape, when: {{clip.red_circle: ">0.9"}}, do: drop}}
ledger: {{url: "sqlite:///{ledger}"}}
budget: 30s
"""


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextlib.contextmanager
def process(command: Sequence[str], port: int) -> Iterator[int]:
    """A proxy in a process of its own, once its port is open."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        for _ in range(600):
            if child.poll() is not None:
                assert child.stderr is not None
                raise SystemExit(f"{command[0]} ended: {child.stderr.read().decode()[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            time.sleep(0.1)
        yield port
    finally:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(10)
        child.kill()


def _images(pipe: Connection) -> None:
    """Serve a fresh picture at every path: random blocks, so that no two have the same bytes."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            rng = random.Random(self.path)
            small = Image.frombytes("RGB", (16, 12), rng.randbytes(16 * 12 * 3))
            out = io.BytesIO()
            small.resize((640, 480), Image.Resampling.BICUBIC).save(out, "JPEG", quality=80)
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(out.getvalue())))
            self.end_headers()
            self.wfile.write(out.getvalue())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_address[1])
    server.serve_forever()


@contextlib.contextmanager
def images() -> Iterator[int]:
    """A remote host with pictures; its port."""
    here, there = get_context("spawn").Pipe()
    child = get_context("spawn").Process(target=_images, args=(there,), daemon=True)
    child.start()
    try:
        yield here.recv()
    finally:
        child.terminate()
        child.join()


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = arguments(__doc__, argv)
    rounds, plain, pictures = (3, 600, 60) if options.quick else (9, 3000, 400)
    bin_folder = Path(sys.executable).parent
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        behind = stack.enter_context(upstream())
        media = stack.enter_context(images())
        send = stack.enter_context(senders())
        ports = {name: free_port() for name in ("fediward", "mitmdump", "bare")}
        config = folder / "config.yaml"
        config.write_text(
            CONFIG.format(upstream=behind, listen=ports["fediward"], media=media, ledger=folder / "bench.db")
        )
        modes = {name: f"reverse:http://127.0.0.1:{behind}@127.0.0.1:{port}" for name, port in ports.items()}
        commands = {
            "fediward": [str(bin_folder / "fediward"), "run", "-c", str(config)],
            "mitmdump": [
                str(bin_folder / "mitmdump"),
                "-q",
                "--mode",
                modes["mitmdump"],
                "--set",
                "keep_host_header=true",
            ],
            "bare": [sys.executable, "-c", BARE, modes["bare"]],
        }
        for name, command in commands.items():
            stack.enter_context(process(command, ports[name]))
        figures = _plain(options, send, ports, rounds, plain)
        figures |= _with_media(options, send, ports["fediward"], media, rounds, pictures)
    finish(figures)


type Send = Callable[[int, int, Sequence[bytes]], Measured]


def _plain(
    options: argparse.Namespace, send: Send, ports: dict[str, int], rounds: int, count: int
) -> dict[str, object]:
    """Deliveries without media, through each proxy in turn."""
    figures: dict[str, object] = {}
    runs: dict[tuple[str, int], list[Measured]] = {}
    requests = [delivery(number) for number in range(count)]
    for port in ports.values():
        send(port, 8, requests[:200])
    for _ in range(rounds):
        for connections in (1, 8):
            for name, port in ports.items():
                measured = send(port, connections, requests[: count if connections == 8 else count // 3])
                assert set(measured.statuses) == {202}, measured
                runs.setdefault((name, connections), []).append(measured)
    for (name, connections), measured_runs in runs.items():
        per_second = median([run.per_second for run in measured_runs])
        p50, p99 = median([run.p50_ms for run in measured_runs]), median([run.p99_ms for run in measured_runs])
        figures[f"{name}_{connections}"] = {"per_second": per_second, "p50_ms": p50, "p99_ms": p99}
        say(options, f"{name:9} {connections} connections  {per_second:8.0f}/s  p50 {p50:6.2f} ms  p99 {p99:6.2f} ms")
    for other in ("mitmdump", "bare"):
        for connections, suffix in ((8, ""), (1, "_1")):
            ratios = [
                ours.per_second / theirs.per_second
                for ours, theirs in zip(runs["fediward", connections], runs[other, connections], strict=True)
            ]
            figures[f"throughput_over_{other}{suffix}"] = median(ratios)
    return figures


def _with_media(
    options: argparse.Namespace, send: Send, port: int, media: int, rounds: int, count: int
) -> dict[str, object]:
    """Deliveries that each carry a new picture."""
    figures: dict[str, object] = {}
    number = 0
    for connections in (1, 8):
        runs = []
        for _ in range(max(2, rounds // 3)):
            urls = [f"http://127.0.0.1:{media}/{number + i}.jpg" for i in range(count // (8 // connections))]
            number += len(urls)
            measured = send(port, connections, [delivery(i, url) for i, url in enumerate(urls)])
            assert set(measured.statuses) == {202}, measured
            runs.append(measured)
        per_second = median([run.per_second for run in runs])
        p50, p99 = median([run.p50_ms for run in runs]), median([run.p99_ms for run in runs])
        figures[f"fediward_media_{connections}"] = {"per_second": per_second, "p50_ms": p50, "p99_ms": p99}
        say(options, f"with media {connections} connections {per_second:8.0f}/s  p50 {p50:6.1f} ms  p99 {p99:6.1f} ms")
    return figures


if __name__ == "__main__":
    main()
