import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from addons.ledger.errors import explained, shown

SECRET = "s3cret/word"
POSTGRES = make_url("postgresql+psycopg://ward:s3cret%2Fword@db.example/ward?sslpassword=other&sslmode=require")


def failed(said: str) -> OperationalError:
    return OperationalError("INSERT", {}, sqlite3.OperationalError(said))


def test_a_password_is_never_shown() -> None:
    told = [shown(POSTGRES), str(explained(POSTGRES, failed(f"no user with {SECRET} or other; password=abc")))]
    for text in told:
        assert "ward:***@db.example" in text
        assert not any(word in text for word in (SECRET, "s3cret", "sslpassword", "other", "abc"))


@pytest.mark.parametrize(
    ("said", "told", "advice"),
    [
        ("attempt to write a readonly database", "cannot be opened or written", "must be allowed to write in"),
        ("unable to open database file", "cannot be opened or written", "two files beside it"),
        ("file is not a database", "no SQLite database", "put a backup back"),
        ("database disk image is malformed", "a damaged one", "put a backup back"),
        ("database is locked", "holds it locked", "end that program"),
        ("database or disk is full", "the disk is full", "ledger.keep"),
        ("disk I/O error", "disk I/O error", "its disk is sound"),
    ],
)
def test_about_a_file_it_says_what_where_and_what_to_do(tmp_path: Path, said: str, told: str, advice: str) -> None:
    text = str(explained(make_url(f"sqlite:///{tmp_path}/l.db"), failed(said)))
    assert text.startswith(f"ledger file {tmp_path}/l.db: ")
    assert told in text
    assert advice in text


def test_a_missing_directory_and_a_directory_are_said(tmp_path: Path) -> None:
    error = failed("unable to open database file")
    assert f"the directory {tmp_path}/no does not exist" in str(
        explained(make_url(f"sqlite:///{tmp_path}/no/l.db"), error)
    )
    assert "this is a directory" in str(explained(make_url(f"sqlite:///{tmp_path}"), error))


def test_a_fault_of_ours_is_said_to_be_one() -> None:
    assert "report it" in str(explained(POSTGRES, KeyError("x")))
    assert "see that the server runs" in str(explained(POSTGRES, failed("connection refused")))
    assert "TimeoutError" in str(explained(POSTGRES, TimeoutError()))
