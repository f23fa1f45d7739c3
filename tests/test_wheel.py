"""The built wheel: all that fediward needs is inside, and in a bare venv elsewhere it runs, demo and all."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_MODEL = 8 * 1024 * 1024  # bytes of the tiny model


@pytest.fixture(scope="module")
def uv() -> str:
    """The uv that set-up uses, fetched where there is none."""
    script = 'root=$1; . "$root/deploy/setup.sh"; get_uv "$2"; printf %s "$uv"'
    command = ["bash", "-euo", "pipefail", "-c", script, "bash", str(ROOT), sys.executable]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True).stdout


def call(command: list[str], *, cwd: Path) -> str:
    """Run it elsewhere than in the repository; its words are in the failure's message."""
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "PYTEST"))
    }
    done = subprocess.run(
        command,
        env={**env, "COLUMNS": "120"},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    call(
        [uv, "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", str(folder), str(ROOT)], cwd=folder
    )
    (built,) = folder.glob("*.whl")
    return built


def test_everything_is_inside(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        metadata = archive.read(next(name for name in sizes if name.endswith(".dist-info/METADATA"))).decode()
        example = archive.read("addons/policy/config.example.yaml")
    in_tree = {
        path.relative_to(ROOT).as_posix()
        for package in ("addons", "classifier")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert in_tree - set(sizes) == set()
    assert example == (ROOT / "config.example.yaml").read_bytes()
    outside = {name for name in sizes if not name.startswith(("addons/", "classifier/", "fediward-"))}
    assert outside == set()
    models = [size for name, size in sizes.items() if name.startswith("classifier/presets/tiny/")]
    assert 0 < max(models) <= MAX_MODEL
    assert [name for name in sizes if name.startswith("addons/ledger/migrations/versions/")]
    assert "Provides-Extra: clip" in metadata
    assert "Provides-Extra: exchanges" in metadata
    torch = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: torch")]
    assert torch
    assert all("extra == 'clip'" in line for line in torch)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not stay: a venv with torch is 6 GB where the cache is on another disk."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def test_it_runs_in_a_bare_venv(uv: str, wheel: Path, elsewhere: Path) -> None:
    made = ROOT / ".venv"
    backend = made / "fediward-torch-backend"
    pins = made / "fediward-constraints.txt"
    torch = ["--torch-backend", backend.read_text()] if backend.exists() and backend.read_text() else []
    constraints = pins if torch else ROOT / "deploy/constraints.txt"
    python = elsewhere / "a venv/bin/python"
    call([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(elsewhere / "a venv")], cwd=elsewhere)
    install = [uv, "pip", "install", "--quiet", "--python", str(python), "--constraints", str(constraints), *torch]
    call([*install, f"{wheel}[clip]"], cwd=elsewhere)

    fediward = str(elsewhere / "a venv/bin/fediward")
    assert call([fediward, "--version"], cwd=elsewhere).strip() == "fediward, version 0.1.0"
    assert call([fediward, "config", "example"], cwd=elsewhere) == (ROOT / "config.example.yaml").read_text()
    assert "outcomes were right" in call([fediward, "demo", "--once"], cwd=elsewhere)
    left = {path.name for path in elsewhere.iterdir()}
    assert left == {"a venv"}  # the demo leaves nothing where it is run
