"""What is held is tested on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from addons.ledger.ledger import Ledger
from tests.addons.holding.keeping import Clock
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sqlite(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """A ledger for what does not depend on the database."""
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        yield ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    url = request.getfixturevalue("postgres_url")
    assert isinstance(url, str)
    return url


@pytest.fixture
def ledger(address: str, clock: Clock) -> Iterator[Ledger]:
    """One of each kind in turn."""
    with Ledger.open(address, clock=clock) as opened:
        yield opened
