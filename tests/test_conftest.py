"""The rule of CI that nothing is skipped but for want of a GPU, tried on small test files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PLAIN = "import pytest\n\ndef test_it():\n    pass\n"
CASES = {
    "passes": (PLAIN, True),
    "skips": ("import pytest\n\ndef test_it():\n    pytest.skip('why not')\n", False),
    "skipif": ("import pytest\n\n@pytest.mark.skipif(True, reason='why not')\ndef test_it():\n    pass\n", False),
    "module": ("import pytest\npytest.skip('why not', allow_module_level=True)\n", False),
    "importorskip": ("import pytest\npytest.importorskip('no_such_module_why_not')\n", False),
    "xfail": ("import pytest\n\n@pytest.mark.xfail(reason='why not')\ndef test_it():\n    assert False\n", False),
    "xpass": ("import pytest\n\n@pytest.mark.xfail(reason='why not')\ndef test_it():\n    pass\n", False),
    "fixture": (
        "import pytest\n\n@pytest.fixture\ndef it():\n    pytest.skip('why not')\n\ndef test_it(it):\n    pass\n",
        False,
    ),
    "gpu": ("import pytest\n\n@pytest.mark.gpu\ndef test_it():\n    pytest.skip('no GPU')\n", True),
}


@pytest.mark.parametrize("no_skip", ["1", ""])
@pytest.mark.parametrize("case", CASES)
def test_no_skip(tmp_path: Path, case: str, no_skip: str) -> None:
    source, allowed = CASES[case]
    (tmp_path / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = gpu: x\naddopts = -p no:anyio -p no:asyncio\n")
    (tmp_path / "test_it.py").write_text(PLAIN.replace("test_it", "test_other"))
    (tmp_path / "test_case.py").write_text(source)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "FEDIWARD_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**env, "FEDIWARD_NO_SKIP": no_skip, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    expected = 0 if allowed or not no_skip else 1
    assert done.returncode in ({expected} if expected == 0 else {1, 2}), done.stdout + done.stderr
    if expected:
        assert "why not" in done.stdout or "no_such_module_why_not" in done.stdout
        assert "only a test marked `gpu` may be skipped" in done.stdout
