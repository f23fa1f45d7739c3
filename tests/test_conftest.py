"""The rule of CI that nothing is skipped but for want of a GPU, tried on small test files."""

import os
import re
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


@pytest.fixture(scope="module", params=["1", ""], ids=["no skip", "skips"])
def outcome(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, str]:
    """Is the rule in force, and what did pytest say of all the cases?"""
    folder = tmp_path_factory.mktemp("cases")
    (folder / "conftest.py").write_text((ROOT / "tests/conftest.py").read_text())
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu: x\naddopts = -p no:anyio -p no:asyncio\n")
    for case, (source, _) in CASES.items():
        (folder / f"test_{case}.py").write_text(source)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "FEDIWARD_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "--continue-on-collection-errors"],
        cwd=folder,
        env={**env, "FEDIWARD_NO_SKIP": request.param, "PYTHONPATH": str(ROOT), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == (1 if request.param else 0), done.stdout + done.stderr
    return bool(request.param), done.stdout


@pytest.mark.parametrize("case", CASES)
def test_no_skip(outcome: tuple[bool, str], case: str) -> None:
    in_force, output = outcome
    _, _, summary = output.rpartition("short test summary info")
    failed = re.search(rf"^(FAILED|ERROR) test_{case}\.py(.*)$", summary, re.MULTILINE)
    if CASES[case][1] or not in_force:
        assert failed is None
    else:
        assert failed
        refusal = f"only a test marked `gpu` may be skipped, yet test_{case}.py"
        assert refusal in output
        assert "why not" in output.split(refusal)[1].splitlines()[0].replace("no_such_module_why_not", "why not")
