"""The ledger's tests run on both databases, with entries made of the policy's own words."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from addons.ledger.holds import Holds
from tests.addons.ledger.deliveries import Clock, emptied, opened, tables
from tests.postgres import database, postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    address = request.getfixturevalue("postgres_url")
    assert isinstance(address, str)
    return address


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def _tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path_factory.mktemp('holds') / 'ledger.db'}"
        if request.param == "postgresql":
            url = stack.enter_context(database(request.getfixturevalue("postgres_server")))
        yield stack.enter_context(tables(url))


@pytest.fixture
def there(_tables: str) -> Iterator[str]:
    """The address of a ledger whose tables are there and empty: of each kind in turn, one for many tests."""
    yield _tables
    emptied(_tables)


@pytest.fixture
def clock() -> Clock:
    """The time, which the test sets."""
    return Clock()


@pytest.fixture
def holds(there: str, clock: Clock) -> Iterator[Holds]:
    """The holds of that ledger."""
    with opened(there, clock) as holds:
        yield holds
