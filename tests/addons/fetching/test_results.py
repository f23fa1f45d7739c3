import pytest

from addons.fetching.budget import MemoryBudget
from addons.fetching.results import Fetched, FetchError
from addons.policy.words import Cause


def test_an_error_shows_no_credentials_and_stays_short() -> None:
    error = FetchError(Cause.TIMEOUT, "not fetched", "https://user:secret@example.org/" + "a" * 9_000, "192.0.2.1")
    assert error.url.startswith("https://example.org/aaa")
    assert len(error.url) <= 200
    assert str(error) == error.message == f"{error.url}: not fetched"
    assert (error.cause, error.address, error.shows) == (Cause.TIMEOUT, "192.0.2.1", "")


async def test_bytes_count_until_released() -> None:
    budget = MemoryBudget(10)
    fetched = Fetched(b"abc", "http://a/", "192.0.2.1", "", 200, budget.take(3))
    assert budget.used == 3
    fetched.release()
    fetched.release()
    assert budget.used == 0


async def test_leaving_the_block_releases() -> None:
    budget = MemoryBudget(10)

    async def use() -> None:
        async with Fetched(b"abc", "http://a/", None, "", 200, budget.take(3)) as fetched:
            assert budget.used == len(fetched.data)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await use()
    assert budget.used == 0
