import contextlib
import sqlite3
from pathlib import Path

import pytest

from addons.doctor import database
from addons.doctor.database import check_ledger
from addons.ledger.ledger import Ledger
from tests.addons.doctor.configs import config


def rows(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(folder / "fediward.db")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM secrets").fetchone()
        return int(count)


async def test_it_is_made_and_keeps_nothing_of_ours(tmp_path: Path) -> None:
    chosen = config(tmp_path)
    for _ in range(2):
        finding = await check_ledger(chosen)
        assert (finding.check, finding.state) == ("ledger", "ok")
        assert rows(tmp_path) == 0


async def test_it_is_checked_while_fediward_runs(tmp_path: Path) -> None:
    chosen = config(tmp_path)
    with Ledger.open(chosen.ledger.url) as ledger:
        ledger.secrets.get("origin")
        assert (await check_ledger(chosen)).state == "ok"
    assert rows(tmp_path) == 1


async def test_a_file_that_is_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "fediward.db").write_text("this is no database, whatever it is called " * 100)
    finding = await check_ledger(config(tmp_path))
    assert finding.state == "trouble"
    assert "fediward.db" in finding.message


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    finding = await check_ledger(config(tmp_path, ledger={"url": "sqlite:///nowhere/fediward.db"}))
    assert finding.state == "trouble"
    assert "ledger.url" in finding.mend


async def test_one_that_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "SLOW", 0.0)
    finding = await check_ledger(config(tmp_path))
    assert finding.state == "trouble"
    assert "took" in finding.message
