"""The set-up scripts: which Python they find, what they ask of uv, what is redone, and where deploy/up's words go."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# All that the scripts may lean on, beside a Python.
TOOLS = (
    *("awk", "bash", "cat", "chmod", "cksum", "cp", "cut", "df", "dirname", "env", "grep", "id", "mkdir", "mv"),
    *("readlink", "rm", "sh", "sha256sum", "sleep", "uname"),
)

# A stand-in for an interpreter of another version: the scripts' own question runs in the real one, told a version.
FAKE_PYTHON = """#!/bin/sh
log() {{ printf '%s\\n' "$*" >>{log}; }}
if [ "$1 $2" = "-I -c" ]; then
    case $3 in *ensurepip*) exit {no_venv} ;; esac
    exec {real} -I -c "import sys, collections
sys.version_info = collections.namedtuple('V', 'major minor micro')({version})
sys.executable = '$0'
exec(sys.argv[1])" "$3"
fi
case "$*" in
    -V) echo "Python 3" ;;
    "-m venv --clear "*) log "$@"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
    "-m pip install "*uv==*) log "$@"; [ -z "$NO_NETWORK" ] || exit 1
        case "$*" in *--target*) to={target} ;; *) to=$(dirname "$0") ;; esac
        mkdir -p "$to"; cp {uv} "$to/uv" ;;
    "-m pip config get "*) exit 1 ;;
    "-m pip --version") exit {no_pip} ;;
    *) echo "unexpected: $*" >&2; exit 9 ;;
esac
"""

FAKE_UV = """#!/bin/sh
[ "$1" != --version ] || {{ echo "uv $FAKE_UV_VERSION (somewhere)"; exit 0; }}
printf '%s\\n' "uv $* [${{UV_TORCH_BACKEND-}}]" >>{log}
case "$1" in
    venv)
        for last; do :; done
        rm -rf "$last"; mkdir -p "$last/bin"
        printf '#!/bin/sh\\nexec {real} "$@"\\n' >"$last/bin/python"
        chmod +x "$last/bin/python" ;;
    pip)
        [ -z "$NO_NETWORK" ] || exit 2
        [ -z "$KILLED" ] || {{ kill -9 "$(cat .uv/lock/pid)"; exit 1; }}
        printf '#!/bin/sh\\nprintf "[%%s]" "$@"\\n' >.venv/bin/fediward
        chmod +x .venv/bin/fediward ;;
esac
"""


@dataclass(frozen=True)
class Clone:
    """A clone of the scripts at an awkward path, on a machine that has only what the test put there."""

    root: Path
    home: Path
    bin: Path
    log: Path

    def python(self, path: Path, version: str, *, venv: bool = True, pip: bool = True) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            FAKE_PYTHON.format(
                log=shlex.quote(str(self.log)),
                real=shlex.quote(sys.executable),
                version=", ".join(version.split(".")),
                no_venv=int(not venv),
                no_pip=int(not pip),
                uv=shlex.quote(str(self.home / "uv")),
                target=shlex.quote(str(self.root / ".uv/tool/bin")),
            )
        )
        path.chmod(0o755)
        return path

    def run(self, script: str, *words: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", script, *words],
            env={"PATH": str(self.bin), "HOME": str(self.home), "FAKE_UV_VERSION": "0.13.9", **(env or {})},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def up(self, *words: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        return self.run(str(self.root / "deploy/up"), *words, env=env)

    def tool(self, name: str, script: str) -> None:
        """Put a stand-in for a system tool on PATH."""
        (self.bin / name).unlink(missing_ok=True)
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def asked(self) -> list[str]:
        """What pip and uv were asked for since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def bare(tmp_path: Path) -> Clone:
    """No Python and no uv."""
    clone = Clone(tmp_path / "a clone", tmp_path / "ho me", tmp_path / "bin", tmp_path / "log")
    for folder in (clone.root / "deploy", clone.root / "tests", clone.home, clone.bin):
        folder.mkdir(parents=True)
    for name in ("deploy/up", "deploy/setup.sh", "deploy/constraints.txt", "tests/run", "pyproject.toml"):
        shutil.copy(ROOT / name, clone.root / name)
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, f"this test needs {tool}"
        (clone.bin / tool).symlink_to(found)
    uv = clone.home / "uv"
    uv.write_text(FAKE_UV.format(log=shlex.quote(str(clone.log)), real=sys.executable))
    uv.chmod(0o755)
    return clone


@pytest.fixture
def clone(bare: Clone) -> Clone:
    """With a Python and a uv on PATH."""
    bare.python(bare.bin / "python3", "3.13.1")
    (bare.bin / "uv").symlink_to(bare.home / "uv")
    return bare


@pytest.mark.parametrize(
    ("on_path", "in_pyenv", "chosen"),
    [
        ({"python3": "3.13.0"}, {}, "bin/python3"),
        ({"python3": "3.12.0"}, {"3.13.0": "3.13.0"}, "bin/python3"),  # PATH comes first
        ({"python3": "3.11.7", "python3.12": "3.12.1"}, {}, "bin/python3.12"),
        ({"python3": "3.14.0", "python3.12": "3.12.1", "python3.13": "3.13.2"}, {}, "bin/python3.13"),
        ({"python3": "3.14.0", "python3.12": "3.12.1"}, {}, "bin/python3.12"),
        ({"python3": "3.16.0", "python3.14": "3.14.1"}, {}, "bin/python3.14"),
        ({"python": "3.12.9"}, {}, "bin/python"),
        ({"python3": "3.11.7"}, {"3.13.0": "3.13.0"}, "pyenv/3.13.0"),
        ({}, {"3.9.18": "3.9.18", "3.12.1": "3.12.1", "3.13.0": "3.13.0", "3.14.0": "3.14.0"}, "pyenv/3.13.0"),
        ({}, {"3.11.7": "3.11.7", "3.16.0": "3.16.0"}, "pyenv/3.16.0"),
        ({"python3": "broken"}, {"3.12.1": "3.12.1"}, "pyenv/3.12.1"),
        ({"python3": "broken", "python3.13": "3.13.5"}, {}, "bin/python3.13"),
        ({"python3": "3.11.99"}, {}, None),
        ({"python3": "3.11.7"}, {"3.13.0": "broken", "3.10.0": "3.10.0"}, None),
        ({}, {}, None),
    ],
)
@pytest.mark.parametrize("script", ["deploy/up", "tests/run"])
def test_which_python(
    bare: Clone, script: str, on_path: dict[str, str], in_pyenv: dict[str, str], chosen: str | None
) -> None:
    places = {bare.bin / name: version for name, version in on_path.items()}
    places |= {bare.home / f".pyenv/versions/{name}/bin/python3": version for name, version in in_pyenv.items()}
    for path, version in places.items():
        if version == "broken":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("#!/bin/sh\nexit 127\n")
            path.chmod(0o755)
        else:
            bare.python(path, version)
    (bare.bin / "uv").symlink_to(bare.home / "uv")

    done = bare.run(str(bare.root / script), "--setup" if script == "deploy/up" else "--version")
    if chosen is None:
        assert done.returncode == 1
        assert done.stderr == (
            "fediward: needs Python 3.12 or newer (3.13 is best) and found none on PATH or in ~/.pyenv/versions: "
            "install one and run this again.\n"
        )
        assert bare.asked() == []
        return
    place, name = chosen.split("/", 1)
    path = bare.bin / name if place == "bin" else bare.home / f".pyenv/versions/{name}/bin/python3"
    made, installed = bare.asked()
    assert f"--python {path} {bare.root}/.venv" in made
    assert f"--python {bare.root}/.venv/bin/python" in installed
    assert f"--constraints {bare.root}/deploy/constraints.txt --editable .[clip,exchanges] --group dev" in installed


def test_the_second_run_asks_nothing_and_a_change_of_the_project_asks_again(clone: Clone) -> None:
    assert clone.up("--setup").returncode == 0
    assert len(clone.asked()) == 2
    again = clone.up("--setup")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert clone.asked() == []
    with (clone.root / "pyproject.toml").open("a") as project:
        project.write("\n")
    assert "bringing .venv up to date" in clone.up("--setup").stderr
    (installed,) = clone.asked()  # into the same venv
    assert installed.startswith("uv pip install")


def test_an_interrupted_set_up_is_made_anew(clone: Clone) -> None:
    assert clone.up("--setup", env={"KILLED": "yes"}).returncode < 0
    clone.asked()
    assert clone.up("--setup").returncode == 0
    made, installed = clone.asked()
    assert made.startswith("uv venv")
    assert "--clear" in made
    assert installed.startswith("uv pip install")


def test_a_venv_that_was_moved_or_lost_its_python_is_made_anew(clone: Clone, tmp_path: Path) -> None:
    assert clone.up("--setup").returncode == 0
    clone.asked()
    moved = Clone(tmp_path / "moved", clone.home, clone.bin, clone.log)
    clone.root.rename(moved.root)
    assert moved.up("--setup").returncode == 0
    assert [line.split()[1] for line in moved.asked()] == ["venv", "pip"]
    (moved.root / ".venv/bin/python").write_text("#!/nowhere/python\n")
    assert moved.up("--setup").returncode == 0
    assert [line.split()[1] for line in moved.asked()] == ["venv", "pip"]


def test_uv_is_told_the_torch_backend_and_keeps_it(clone: Clone) -> None:
    first = clone.up("--setup", env={"UV_TORCH_BACKEND": "cpu"})
    assert "CPU build" in first.stderr
    assert "5 GB" not in first.stderr
    made, installed = clone.asked()
    assert installed.endswith("[cpu]")
    assert f"--constraints {clone.root}/.venv/fediward-constraints.txt" in installed
    pins = (clone.root / ".venv/fediward-constraints.txt").read_text()
    assert "torch==" in pins
    assert "nvidia" not in pins  # another build of torch pins other ones
    assert clone.up("--setup").stderr == ""
    with (clone.root / "pyproject.toml").open("a") as project:
        project.write("\n")
    assert clone.up("--setup").returncode == 0
    (installed,) = clone.asked()
    assert installed.endswith("[cpu]")
    other = clone.up("--setup", env={"UV_TORCH_BACKEND": "cu130"})
    assert other.returncode == 0
    assert "setting up in .venv" in other.stderr
    made, installed = clone.asked()
    assert made.startswith("uv venv")
    assert installed.endswith("[cu130]")


def test_the_size_of_cuda_is_said_before(clone: Clone) -> None:
    clone.tool("uname", "echo Linux")
    done = clone.up("--setup")
    assert "torch comes with CUDA, about 5 GB on disk" in done.stderr
    assert "UV_TORCH_BACKEND=cpu" in done.stderr


def test_little_space_is_said(clone: Clone) -> None:
    clone.tool("df", f"echo header; echo /dev/x 99999999 0 {10 * 1048576 - 1} 1% /")
    assert "only 9 GB are free" in clone.up("--setup").stderr


def test_enough_space_is_not_worth_a_word(clone: Clone) -> None:
    clone.tool("df", f"echo header; echo /dev/x 99999999 0 {10 * 1048576} 1% /")
    assert "GB are free" not in clone.up("--setup").stderr


def test_no_network_is_said(clone: Clone) -> None:
    done = clone.up("--setup", env={"NO_NETWORK": "yes"})
    assert done.returncode == 1
    assert "cannot reach its package index: check the network or the proxy" in done.stderr.splitlines()[-1]
    assert clone.up("--setup").returncode == 0


@pytest.mark.parametrize(
    ("venv", "pip", "how"), [(True, True, "-m venv --clear"), (False, True, "--target"), (False, False, None)]
)
def test_uv_is_fetched_into_a_private_folder(bare: Clone, venv: bool, pip: bool, how: str | None) -> None:
    bare.python(bare.bin / "python3", "3.12.4", venv=venv, pip=pip)
    done = bare.up("--setup")
    if how is None:
        assert done.returncode == 1
        assert "neither venv nor pip" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    asked = bare.asked()
    assert how in asked[0]
    assert any("uv==" in line for line in asked[:2])
    assert [line.split()[1] for line in asked[-2:]] == ["venv", "pip"]
    (bare.root / ".venv/fediward-stamp").unlink()
    assert bare.up("--setup").returncode == 0
    assert len(bare.asked()) == 1  # uv itself is kept


def test_without_network_uv_cannot_be_fetched(bare: Clone) -> None:
    bare.python(bare.bin / "python3", "3.12.4")
    done = bare.up("--setup", env={"NO_NETWORK": "yes"})
    assert done.returncode == 1
    assert "could not fetch uv" in done.stderr


@pytest.mark.parametrize(("version", "fetched"), [("0.9.0", False), ("1.0.0", False), ("0.8.99", True), ("junk", True)])
def test_an_installed_uv_is_used_where_it_is_new_enough(clone: Clone, version: str, fetched: bool) -> None:
    clone.up("--setup", env={"FAKE_UV_VERSION": version})
    assert any("uv==" in line for line in clone.asked()) is fetched


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        ((), "[demo]"),
        (("--once",), "[demo][--once]"),
        (("--once", "-v", "a b"), "[demo][--once][-v][a b]"),
        (("run", "-c", "my file.yaml"), "[run][-c][my file.yaml]"),
        (("check", "--help"), "[check][--help]"),
        (("--setup",), ""),
    ],
)
def test_where_the_words_of_up_go(clone: Clone, words: tuple[str, ...], ran: str) -> None:
    done = clone.up(*words)
    assert (done.returncode, done.stdout) == (0, ran), done.stderr


def test_up_explains_itself_without_setting_up(bare: Clone) -> None:
    for word in ("--help", "-h"):
        done = bare.up(word)
        assert done.returncode == 0
        assert "deploy/up --setup" in done.stdout
        assert "UV_TORCH_BACKEND=cpu" in done.stdout


def test_set_up_goes_alone(clone: Clone) -> None:
    assert clone.up("--setup", "--once").returncode == 1
    assert clone.asked() == []


def test_up_works_through_links(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links/one").symlink_to(clone.root / "deploy/up")
    (tmp_path / "links/two").symlink_to("one")
    done = clone.run(str(tmp_path / "links/two"), "run")
    assert (done.returncode, done.stdout) == (0, "[run]"), done.stderr


def test_a_stale_lock_is_taken_over(clone: Clone) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    (clone.root / ".uv/lock").mkdir(parents=True)
    (clone.root / ".uv/lock/pid").write_text(f"{gone.pid}\n")
    assert clone.up("--setup").returncode == 0
    assert not (clone.root / ".uv/lock").exists()


def test_a_running_set_up_is_waited_for(clone: Clone) -> None:
    (clone.root / ".uv/lock").mkdir(parents=True)
    (clone.root / ".uv/lock/pid").write_text(f"{os.getpid()}\n")
    waiting = subprocess.Popen(
        ["bash", str(clone.root / "deploy/up"), "--setup"],
        env={"PATH": str(clone.bin), "HOME": str(clone.home), "FAKE_UV_VERSION": "0.13.9"},
        stderr=subprocess.PIPE,
        text=True,
    )
    with waiting:
        assert waiting.stderr
        assert "waiting for another set-up" in waiting.stderr.readline()
        assert clone.asked() == []
        shutil.rmtree(clone.root / ".uv/lock")
        waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert len(clone.asked()) == 2


@pytest.mark.parametrize("script", ["deploy/up", "deploy/pins", "tests/run", ".ci/run"])
def test_scripts_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / script], check=True)


def ci(clone: Clone) -> None:
    """CI's script, on a machine that has all it needs, before tests that only say how they were run."""
    (clone.root / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", clone.root / ".ci/run")
    (clone.root / "tests/run").write_text('echo "tests ran, $# words, no skip: $FEDIWARD_NO_SKIP"\n')
    for name in ("ls", "ffmpeg", "exiftool", "magick"):
        clone.tool(name, "exit 0")
    clone.tool("pict-rs", "echo pict-rs 0.5.25")


@pytest.mark.parametrize(
    ("there", "works_at", "user", "asked", "code"),
    [
        (True, 0, 0, [], 0),
        (False, 1, 0, ["install"], 0),
        (False, 2, 0, ["install", "update", "install"], 0),
        (False, 9, 0, ["install", "update", "install"], 1),
        (False, 1, 1000, ["sudo -n apt-get", "install"], 0),
    ],
)
def test_ci_installs_what_is_missing(
    clone: Clone, there: bool, works_at: int, user: int, asked: list[str], code: int
) -> None:
    ci(clone)
    log = shlex.quote(str(clone.log))
    count = f"$(grep -c '^install' {log})"
    stands_in = {
        "ls": f"exit {int(not there)}",
        "id": f"echo {user}",
        "sudo": f'echo "sudo $1 $2" >>{log}; shift; exec "$@"',
        "apt-get": f'echo "$1" >>{log}; [ "$1" = update ] || [ {count} -ge {works_at} ]',
    }
    for name, script in stands_in.items():
        clone.tool(name, script)
    done = clone.run(str(clone.root / ".ci/run"))
    assert [line.strip() for line in clone.asked()] == asked
    assert done.returncode == code
    if code:
        assert done.stderr == (
            "ci: could not install postgresql with apt-get: install them by hand and run this again.\n"
        )
    else:
        assert done.stdout == "tests ran, 0 words, no skip: 1\n"


@pytest.mark.parametrize(
    ("missing", "package"),
    [("ffmpeg", "ffmpeg"), ("exiftool", "libimage-exiftool-perl"), ("magick", "imagemagick")],
)
def test_ci_installs_what_pict_rs_needs(clone: Clone, missing: str, package: str) -> None:
    ci(clone)
    (clone.bin / missing).unlink()
    clone.tool("apt-get", f'for last; do :; done; echo "$1 $last" >>{shlex.quote(str(clone.log))}')
    clone.tool("id", "echo 0")
    assert clone.run(str(clone.root / ".ci/run")).returncode == 0
    assert clone.asked() == [f"install {package}"]


def test_ci_takes_the_older_imagemagick(clone: Clone) -> None:
    ci(clone)
    (clone.bin / "magick").rename(clone.bin / "convert-im6.q16")
    assert clone.run(str(clone.root / ".ci/run")).returncode == 0


@pytest.mark.parametrize(
    ("there", "cargo", "code", "said"),
    [
        ("pict-rs 0.5.25", None, 0, ""),
        ("pict-rs 0.5.24", 0, 0, ""),
        (None, 0, 0, ""),
        (None, 101, 1, "ci: pict-rs could not be built"),
        (None, None, 1, "ci: there is no cargo to build pict-rs with. Debian's is too old: install Rust"),
    ],
)
def test_ci_builds_pict_rs_once(clone: Clone, there: str | None, cargo: int | None, code: int, said: str) -> None:
    ci(clone)
    if there is None:
        (clone.bin / "pict-rs").unlink()
    else:
        clone.tool("pict-rs", f"echo {there}")
    if cargo is not None:
        clone.tool("cargo", f'echo "cargo $*" >>{shlex.quote(str(clone.log))}; exit {cargo}')
    done = clone.run(str(clone.root / ".ci/run"))
    assert done.returncode == code
    assert done.stderr.startswith(said)
    assert done.stdout.endswith("tests ran, 0 words, no skip: 1\n") is (code == 0)
    built = ["cargo install pict-rs --version 0.5.25 --locked --force --quiet"] if cargo is not None else []
    assert clone.asked() == built


def test_pins_are_versions_and_markers_only() -> None:
    lines = (ROOT / "deploy/constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 50
    for line in pins:
        requirement, _, marker = line.partition(" ; ")
        name, _, version = requirement.partition("==")
        assert name.replace("-", "").isalnum(), line
        assert version.replace(".", "").isalnum(), line
        assert "/" not in marker
