import pytest
from sqlalchemy.exc import OperationalError

from addons.holding.backoff import Backoff
from addons.holding.database import Database, GivenUpError, told

AGAIN = Backoff(0.001, 0.002)


class Flaky:
    """Fails so many times."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.calls = 0

    def __call__(self, value: str, *, named: str) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise OperationalError("SELECT 1", {}, RuntimeError("disk full"))
        return value + named


async def test_once() -> None:
    database, flaky = Database(None, AGAIN), Flaky(1)
    with pytest.raises(OperationalError):
        await database.call(flaky, "a", named="b")
    assert database.trouble == "disk full"
    assert await database.call(flaky, "a", named="b") == "ab"
    assert database.trouble == ""
    database.close()


async def test_until_it_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    database, flaky = Database(None, AGAIN), Flaky(20)
    assert await database.insist(flaky, "a", named="b") == "ab"
    assert flaky.calls == 21
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    database.close()


async def test_not_for_ever() -> None:
    database, flaky = Database(None, AGAIN, insist=0.02), Flaky(10**9)
    with pytest.raises(GivenUpError):
        await database.insist(flaky, "a", named="b")
    assert flaky.calls > 1
    database.close()


def test_what_was_to_be_stored_is_not_told() -> None:
    error = OperationalError("INSERT", {"body": "secret"}, RuntimeError("disk\nfull"))
    assert told(error) == "disk full"
    assert told(ValueError()) == "ValueError"
    assert len(told(ValueError("x" * 10_000))) == 500
