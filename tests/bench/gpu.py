"""Takes the classifier's benchmarks to a machine that has a GPU and torch, and nothing else of what they need.

    python tests/bench/gpu.py bundle            # here, with fediward's environment: wheels into build/gpu
    python3 tests/bench/gpu.py run FOLDER [DEVICE [OPTIONS of engine.py]]    # there: figures as JSON into FOLDER

``run``, in a copy of this tree, needs Python 3.12 on x86-64 with torch, torchvision, timm, numpy, huggingface_hub,
OpenCV and PyYAML. What it installs lies in a temporary folder. Left out for their size are the decoder of JPEG XL and
NudeNet: none of the pictures needs the one, and the figure of all detectors is not taken there.
"""

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / "build" / "gpu"
CARRIED = (
    *("annotated-types", "av", "ftfy", "msgspec", "open_clip_torch", "pillow", "pillow-heif", "prometheus-client"),
    *("pydantic", "pydantic-core", "typing-extensions", "typing-inspection", "wcwidth"),
)
GLIBC = ("2_39", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17")
STUB = "def jpegxl_decode(*_, **__):\n    raise NotImplementedError('imagecodecs was not carried along')\n"


def bundle() -> None:
    """Fetch the wheels of the versions that are installed here."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    for old in WHEELS.glob("*.whl"):
        old.unlink()
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in CARRIED]
    platforms = [f"--platform=manylinux_{version}_x86_64" for version in GLIBC] + ["--platform=manylinux2014_x86_64"]
    pip = ["python3", "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--implementation=cp"]
    subprocess.run([*pip, "--python-version=3.12", *platforms, "-d", str(WHEELS), *wanted], check=True)
    size = sum(wheel.stat().st_size for wheel in WHEELS.glob("*.whl"))
    print(f"{len(wanted)} wheels, {size / 2**20:.1f} MiB in {WHEELS}")


def run(out: Path, device: str = "cuda", *arguments: str) -> int:
    """Install them aside and measure; a benchmark that fails does not keep the next from running."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder) / "site"
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--target"]
        subprocess.run([*pip, str(site), *map(str, WHEELS.glob("*.whl"))], check=True)
        (site / "imagecodecs.py").write_text(STUB)
        environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "PYTHONUNBUFFERED": "1"}
        forward = [
            "--out",
            str(out / "variants.json"),
            "--model",
            "ViT-L-14" if device.startswith("cuda") else "ViT-B-32",
        ]
        quick = [argument for argument in arguments if argument == "--quick"]
        benches = {
            "engine_gpu": ["tests.bench.engine_gpu", "--device", device, *forward, *quick],
            "engine": ["tests.bench.engine", "--device", device, "--clip-only", "--work", f"{folder}/work", *arguments],
        }
        codes = []
        for name, command in benches.items():
            with (out / f"{name}.log").open("w") as log:
                done = subprocess.Popen(
                    [sys.executable, "-m", *command],
                    cwd=ROOT,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                assert done.stdout is not None
                last = ""
                for line in done.stdout:
                    print(line, end="", flush=True)
                    log.write(line)
                    last = line
            codes.append(done.wait())
            if codes[-1] == 0:
                (out / f"{name}.json").write_text(last)
    return max(codes)


if __name__ == "__main__":
    if sys.argv[1:2] == ["bundle"]:
        bundle()
    elif sys.argv[1:2] == ["run"] and len(sys.argv) > 2:
        sys.exit(run(Path(sys.argv[2]), *sys.argv[3:]))
    else:
        sys.exit(__doc__)
