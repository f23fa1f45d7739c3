import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from addons.cli import main
from tests import nats_server, net
from tests.drawing import encode, shape
from tests.e2e.process import START_SECONDS
from tests.nats_server import Broker
from tests.processes import program

CONFIG = """\
server: {{upstream: http://127.0.0.1:1, listen: 127.0.0.1:2}}
classifier:
  clip: {{model: fediward-tiny, pretrained: demo-shapes}}
  nudity: null
  hashes: [{{name: ours, file: list.csv}}]
  decode: {{processes: 1}}
  workers: {workers}
concepts: {concepts}
rules: [{{name: r, when: {{any: [{{hash.ours: 1}}, {{clip.red_circle: ">0.5"}}]}}, do: drop}}]
"""


def written(folder: Path, workers: str, concepts: str = "demo-shapes") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(workers=workers, concepts=concepts))
    return path


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with nats_server.broker(tmp_path) as server:
        yield server


async def checked(config: Path, *files: Path) -> dict[str, dict[str, object]]:
    async with program("fediward", "check", "-c", str(config), "--json", *map(str, files)) as checking:
        assert await checking.ended(START_SECONDS) == 0
        await net.until(lambda: checking.said.count("\n{") + checking.said.startswith("{") == len(files))
    found = [json.loads(line) for line in checking.said.splitlines() if line.startswith("{")]
    return {Path(str(one["file"])).stem: one for one in found}


async def test_files_are_judged_by_a_worker_on_another_machine_and_not_without_one(
    tmp_path: Path, broker: Broker
) -> None:
    circle, square = tmp_path / "circle.png", tmp_path / "square.png"
    circle.write_bytes(encode(shape("circle", "red", "white")))
    square.write_bytes(encode(shape("square", "blue", "black")))
    here = written(tmp_path / "door", f"'{broker.url}'")
    (here.parent / "list.csv").write_text("kind,hash,source,note\n")
    there = written(tmp_path / "gpu", f"{{nats: '{broker.url}', fallback: local}}")  # and no list.csv
    async with program("fediward", "worker", "-c", str(there)) as worker:
        await worker.says("connected to", START_SECONDS)
        found = await checked(here, circle, square)
        assert (found["circle"]["action"], found["square"]["action"]) == ("drop", "pass")
        scores = found["circle"]["symbols"]
        assert isinstance(scores, dict)
        assert scores["clip.red_circle"] > 0.5
        worker.tell(signal.SIGTERM)
        assert await worker.ended() == 0
        await worker.says("2 judged; 0 under way")
    assert (await checked(here, circle))["circle"]["cause"] == "no_worker"
    # With a fallback it is judged here, to the same score on the same device.
    here = written(tmp_path / "door", f"{{nats: '{broker.url}', fallback: local}}")
    alone = (await checked(here, circle))["circle"]
    assert (alone["action"], alone["cause"]) == ("drop", None)
    assert alone["symbols"] == scores


async def test_a_worker_with_other_concepts_is_refused_and_said(tmp_path: Path, broker: Broker) -> None:
    circle = tmp_path / "circle.png"
    circle.write_bytes(encode(shape("circle", "red", "white")))
    here = written(tmp_path / "door", f"'{broker.url}'")
    (here.parent / "list.csv").write_text("kind,hash,source,note\n")
    there = written(
        tmp_path / "gpu", f"'{broker.url}'", "{clip.red_circle: {prompts: [a red circle], against: [a photo]}}"
    )
    async with program("fediward", "worker", "-c", str(there)) as worker:
        await worker.says("connected to", START_SECONDS)
        async with program("fediward", "check", "-c", str(here), str(circle)) as checking:
            assert await checking.ended(START_SECONDS) == 0
            await checking.says("no_worker")
        told = " ".join(checking.said.split())
        assert "no worker that may judge is there" in told
        assert "clip.concepts is " in told
        worker.tell()
        assert await worker.ended() == 0
        await worker.says("none; 0 under way")


async def test_it_waits_for_a_server_and_ends_when_told(tmp_path: Path) -> None:
    config = written(tmp_path, "nats://127.0.0.1:1")
    async with program("fediward", "worker", "-c", str(config)) as worker:
        await worker.says(
            "cannot connect to nats://127.0.0.1:1: connection refused; it is tried again and again", START_SECONDS
        )
        worker.tell(signal.SIGINT)
        assert await worker.ended() == 0
    assert "Traceback" not in worker.said


def local(folder: Path) -> Path:
    return written(folder, "local")


def absent(folder: Path) -> Path:
    return folder / "absent.yaml"


def wrong(folder: Path) -> Path:
    return written(folder, "http://a")


def no_weights(folder: Path) -> Path:
    path = written(folder, "nats://127.0.0.1:1")
    path.write_text(path.read_text().replace("demo-shapes}", "nowhere}"))
    return path


def no_detector(folder: Path) -> Path:
    path = folder / "config.yaml"
    (folder / "list.csv").touch()
    path.write_text(
        "server: {upstream: http://127.0.0.1:1, listen: 127.0.0.1:2}\n"
        "classifier: {clip: null, nudity: null, hashes: [{name: a, file: list.csv}], workers: nats://127.0.0.1:1}\n"
        "rules: known-hashes\n"
    )
    return path


def no_key(folder: Path) -> Path:
    (folder / "key").write_text("x")
    return written(folder, "{nats: nats://127.0.0.1:1, nkey: key}")


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        (absent, 2, "there is no file"),
        (wrong, 2, '"http://a" is not the URL of a NATS server'),
        (local, 2, "classifier.workers is local: write there the NATS server"),
        (no_weights, 1, "the worker did not start: open_clip has no weights 'nowhere'"),
        (no_detector, 1, "no detector is on: set classifier.clip or classifier.nudity"),
        (no_key, 1, "key holds no seed of an NKey"),
    ],
)
def test_what_it_does_not_start_with(tmp_path: Path, path: Callable[[Path], Path], code: int, words: str) -> None:
    ended = CliRunner().invoke(main, ["worker", "-c", str(path(tmp_path))])
    assert ended.exit_code == code, ended.output
    assert words in ended.stderr
    assert "Traceback" not in ended.output
