import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine

from addons.ledger import Ledger
from addons.ledger.database import engine_for, parsed
from addons.ledger.secrets import SIZE, Secrets
from tests.addons.ledger.samples import NOW

ROOT = Path(__file__).parents[3]


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    Ledger.open(url).close()
    engine = engine_for(parsed(url))
    yield engine
    engine.dispose()


@pytest.fixture
def secrets(engine: Engine) -> Secrets:
    return Secrets(engine, lambda: NOW)


def test_a_secret_is_made_once_and_each_name_has_its_own(engine: Engine, secrets: Secrets) -> None:
    assert secrets.known("origin") is None
    made = secrets.get("origin")
    assert len(made) == SIZE
    assert (secrets.get("origin"), secrets.known("origin"), Secrets(engine).get("origin")) == (made, made, made)
    assert secrets.get("other") != made


def test_what_was_given_first_stays(secrets: Secrets) -> None:
    assert secrets.first("name", b"one") == b"one"
    assert secrets.first("name", b"two") == b"one"
    assert secrets.get("name") == b"one"


def test_it_changes_only_when_told_so(secrets: Secrets) -> None:
    secrets.first("name", b"one")
    secrets.change("name", b"two")
    secrets.change("new", b"three")
    assert (secrets.get("name"), secrets.known("new")) == (b"two", b"three")


def test_threads_that_ask_at_once_get_the_same(secrets: Secrets) -> None:
    start = threading.Barrier(4)

    def ask() -> bytes:
        start.wait()
        return secrets.get("origin")

    with ThreadPoolExecutor(4) as threads:
        assert len({done.result() for done in [threads.submit(ask) for _ in range(4)]}) == 1


def test_processes_that_ask_at_once_get_the_same(url: str, secrets: Secrets) -> None:
    code = (
        "import sys; from addons.ledger import Ledger\n"
        "with Ledger.open(sys.argv[1]) as ledger: print(ledger.secrets.get('origin').hex())"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = {process.communicate(timeout=180)[0].strip() for process in started}
    assert told == {secrets.get("origin").hex()}
