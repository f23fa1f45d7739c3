"""The demo as a command. What it shows and how it judges is tested beside its modules, in tests/addons/demo."""

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from rich.console import Console

from addons.commands.demo_ import Stop, run
from addons.demo import show
from addons.demo.no_gpu import slow_scenes
from addons.demo.scenes import Scene, Script
from addons.demo.visits import Visit, visits
from addons.demo.watching import Watcher
from tests.addons.demo.light import CONFIG, Few, few_slow, few_visits

ROOT = Path(__file__).parents[3]
COMMAND = Path(sys.executable).with_name("fediward")
LIGHT = f"""
import functools
from addons.commands import demo_
from addons.demo import run, scenes, watching
from tests.addons.demo.light import few_slow, light_visits, right
run.CONFIG = {CONFIG!r}
watching.PACE = 0.01
scenes.Script.all = lambda self, every=scenes.Script.all: list(filter(right, every(self)))
demo_.Watcher = functools.partial(watching.Watcher, visits=light_visits, slow_scenes=few_slow)
"""
SCRIPT = Script("http://127.0.0.1:1", "http://127.0.0.1:1/actor")
PLAYED: list[Scene | Visit] = [
    *SCRIPT.all(),
    *visits(SCRIPT, "https://127.0.0.1:2"),
    *(scene for scenes in slow_scenes(SCRIPT) for scene in scenes),
]


class Demo:
    """A running ``fediward demo`` with a temporary folder, and session, of its own."""

    def __init__(self, folder: Path, *args: str, before: str | None = None) -> None:
        self.folder = folder
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
        patched = [sys.executable, "-c", f"{before}\nfrom addons.cli import main; main()"]
        words = [str(COMMAND)] if before is None else patched
        self.process = subprocess.Popen(
            [*words, "demo", *args],
            cwd=ROOT,
            env={**environment, "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.text = ""

    def read_until(self, word: str) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line
            if word in line:
                return
        raise AssertionError(f"it never said {word!r}:\n{self.text}")

    def end(self, timeout: float = 60.0) -> int:
        rest, _ = self.process.communicate(timeout=timeout)
        self.text += rest
        return self.process.returncode

    def left(self) -> list[str]:
        """Processes of its session that live on, and files in its folder."""
        deadline = time.monotonic() + 5
        while (living := _session(self.process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return living + [path.name for path in self.folder.iterdir() if path.name.startswith("fediward-demo-")]


def _session(leader: int) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = path.read_text().rsplit(")", 1)
        except OSError:
            continue
        state, _, _, session = fields.split()[:4]
        if int(session) == leader and state != "Z":  # a zombie is its new parent's to bury
            found.append(name)
    return found


def test_every_outcome_is_right_with_the_real_models(tmp_path: Path) -> None:
    """The whole thing, as `deploy/up --once` runs it: the tiny model, NudeNet, the hash list, real sockets."""
    demo = Demo(tmp_path, "--once")
    assert demo.end(180) == 0, demo.text
    told = [line.split(" | ") for line in demo.text.splitlines() if " | " in line]
    doors = [show.DOORS[one.door] if isinstance(one, Visit) else "inbox" for one in PLAYED]
    assert [door for _, door, *_ in told] == doors
    assert set(doors) == set(show.DOORS.values())
    assert [came for _, _, came, *_ in told] == [f"{one.software}: {one.carries}" for one in PLAYED]
    assert {verdict for verdict, *_ in told} == {"right"}
    by_carries = {came.partition(": ")[2]: (found, done) for _, _, came, found, done, *_ in told}
    assert by_carries["an animation, its last frame forbidden"][0].endswith("(frame 5)")
    assert by_carries["an animation, its last frame forbidden"][0].startswith("clip.red_circle")
    assert by_carries["the same picture in another post"][0].endswith("(cached)")
    assert by_carries["a drawn face, which NudeNet finds"][0].startswith("nudity.face")
    assert by_carries["a smaller copy of a picture on a hash list"] == ("hash.known 1.00", "reject (known), 403")
    assert by_carries["no GPU: a post with a forbidden shape"][0].startswith("cause: timeout, then clip.red_circle")
    assert f"{len(PLAYED)} of {len(PLAYED)} outcomes were right" in demo.text
    assert demo.text.count("protects nobody") >= 2
    assert not any(ord(letter) < 32 and letter != "\n" for letter in demo.text)
    assert "Traceback" not in demo.text
    assert "Warning" not in demo.text
    assert demo.left() == []


@pytest.mark.parametrize(
    ("args", "said", "number", "status", "last"),
    [
        ([], "loading", signal.SIGTERM, 0, "Stopped before anything was sent."),
        ([], "words alone", signal.SIGINT, 0, "outcomes were right"),
        ([], "fetches an ordinary picture over https", signal.SIGINT, 0, "outcomes were right"),
        ([], "has pict-rs proxy", signal.SIGTERM, 0, "outcomes were right"),
        (["--once"], "words alone", signal.SIGTERM, 128 + signal.SIGTERM, "outcomes were right"),
    ],
)
def test_a_signal_ends_it_in_order(
    tmp_path: Path, args: list[str], said: str, number: signal.Signals, status: int, last: str
) -> None:
    """Ctrl-C goes to every process of the terminal, SIGTERM to the one that is named. ``--once`` is then no success."""
    demo = Demo(tmp_path, *args, before=LIGHT)
    demo.read_until(said)
    if number is signal.SIGINT:
        os.killpg(demo.process.pid, number)
    else:
        demo.process.send_signal(number)
    assert demo.end(20) == status, demo.text
    assert last in demo.text.splitlines()[-1]
    for word in ("Traceback", "Warning", "resource_tracker", "never retrieved"):
        assert word not in demo.text
    assert demo.left() == []


@pytest.mark.parametrize(
    ("config", "status"), [(CONFIG, 0), (CONFIG.replace("{{hash.known: 1}}", "{{sensitive: true}}"), 1)]
)
async def test_once_ends_with_0_only_if_all_is_right(config: str, status: int) -> None:
    out = io.StringIO()
    assert await run(Watcher(Console(file=out, width=80), True, Few, few_visits, few_slow), Stop(), config) == status
    assert ("WRONG: piefed: a smaller copy of a picture on a hash list" in out.getvalue()) == bool(status)


def test_without_torch_it_says_what_to_install(tmp_path: Path) -> None:
    demo = Demo(tmp_path, "--once", before="import sys; sys.modules['torch'] = None")
    assert demo.end() == 1
    last = demo.text.splitlines()[-1]
    assert last.startswith("The demo did not start: ")
    assert "pip install 'fediward[clip]'" in last
    assert "deploy/up --setup" in last
    assert "Traceback" not in demo.text
    assert demo.left() == []


async def test_a_folder_that_cannot_be_had_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    assert await run(Watcher(Console(file=io.StringIO()), True), Stop(), CONFIG) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("The demo broke off: ")
    assert "/nonexistent/fediward-demo-" in line
