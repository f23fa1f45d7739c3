import sqlite3
from pathlib import Path

import pytest

from addons.drill.breaking import BrokenJudge, locked
from classifier import CannotJudgeError
from classifier.hashlists import Digests
from tests.addons.demo.test_slow import Quick


async def test_a_broken_judge_fails_until_it_is_mended() -> None:
    judge = BrokenJudge(Quick(), "no_worker", "nobody is there")
    with pytest.raises(CannotJudgeError) as caught:
        await judge.judge(b"x", timeout=1.0)
    assert (caught.value.cause, str(caught.value)) == ("no_worker", "nobody is there")
    judge.mended = True
    judgement = await judge.judge(b"x", timeout=1.0)
    assert judge.version == "quick"
    assert await judge.digests(b"x") == Digests("d")
    assert judge.known(Digests("d"), None, "") is None
    assert judge.look_up_cost(judgement) == 7
    assert judge.look_up(judgement) is judgement


def test_a_locked_ledger_cannot_be_written_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    other = sqlite3.connect(file, timeout=0, isolation_level=None)
    other.execute("CREATE TABLE one (a)")
    with locked(file), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("INSERT INTO one VALUES (1)")
    other.execute("INSERT INTO one VALUES (1)")
    other.close()
