"""Where the real documents are, and the flag that refreshes what we print for them."""

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write what fediward inspect prints as expected")


@pytest.fixture(scope="session")
def activities() -> Path:
    """The 124 real documents, which are not in the repository (AGPL)."""
    folder = Path(__file__).parents[4] / "shared" / "activities"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: the real documents are not part of the repository")
    return folder
