import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from classifier.hashlists.apart import DiedError, read_apart
from classifier.hashlists.entries import DIGITS, KINDS, Hashes, Kind, Remarks
from classifier.hashlists.reading import MAX_PROBLEMS, read
from classifier.types import CannotStartError

chance = random.Random(3)


def text(lines: int) -> str:
    """Entries of every kind in every form, some with remarks and some twice."""
    forms = ("{},{},,\n", "{},{},a source,ä\n", '{},{},"a, b",n\n', '{{"kind": "{}", "hash": "{}", "note": "x"}}\n')
    return "".join(
        forms[number % 4].format(kind, f"{chance.randrange(lines // 2):0{DIGITS[kind]}x}")
        for number in range(lines)
        for kind in KINDS
    )


def listed(found: tuple[Mapping[Kind, Hashes], Remarks]) -> list[tuple[Kind, str, str, str]]:
    """All entries, in order: kind, hash, source, note."""
    hashes, remarks = found
    return [
        (kind, one.digest(place), *remarks.at(int(one.remarks[place])))
        for kind, one in hashes.items()
        for place in range(len(one))
    ]


def children() -> set[int]:
    """The processes that this one has begun."""
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def long_to_read(file: Path) -> None:
    """Some ten seconds, on any machine much longer than one."""
    file.write_bytes(b"\n" * (128 << 20))


@pytest.mark.parametrize("written", ["", "# nothing\n", f"md5,{'ab' * 16}\n", text(50)])
def test_it_says_what_reading_here_says(tmp_path: Path, written: str) -> None:
    file = tmp_path / "list.csv"
    file.write_text(written)
    assert listed(read_apart(file)) == listed(read(file))


def test_it_is_told_the_kind_of_lines_that_name_none(tmp_path: Path) -> None:
    file = tmp_path / "-list '\n.txt"
    file.write_text(f"{'ab' * 32}\n")
    assert listed(read_apart(file, "pdq")) == [("pdq", "ab" * 32, "", "")]


@pytest.mark.parametrize("written", ["pdq\n" * (MAX_PROBLEMS + 1), None])
def test_what_is_wrong_comes_back(tmp_path: Path, written: str | None) -> None:
    file = tmp_path / "list.csv"
    if written:
        file.write_text(written)
    with pytest.raises(CannotStartError) as here:
        read(file)
    with pytest.raises(CannotStartError) as there:
        read_apart(file)
    assert str(there.value) == str(here.value)
    assert type(there.value) is CannotStartError


def test_it_is_killed_where_it_takes_too_long(tmp_path: Path) -> None:
    long_to_read(tmp_path / "list.csv")
    before = children()
    with pytest.raises(DiedError, match=r"list\.csv was not read within 1 s"):
        read_apart(tmp_path / "list.csv", seconds=1)
    assert children() == before


def test_somebody_else_kills_it(tmp_path: Path) -> None:
    long_to_read(tmp_path / "list.csv")
    before = children()
    killed: list[int] = []

    def kill() -> None:
        while not (begun := children() - before):
            time.sleep(0.001)
        killed.extend(begun)
        os.kill(killed[0], signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    with pytest.raises(DiedError, match=r"list\.csv died \(SIGKILL\)"):
        read_apart(tmp_path / "list.csv", seconds=60)
    killing.join()
    assert len(killed) == 1


@pytest.mark.parametrize("memory", [448, 2048])
def test_its_memory_is_bounded(tmp_path: Path, memory: int) -> None:
    """The remarks alone take 300 MiB twice."""
    file = tmp_path / "list.csv"
    file.write_text("".join(f"md5,{number:032x},{'s' * 800},\n" for number in range(400_000)))
    if memory == 448:
        with pytest.raises(DiedError, match=r"died \(exit status 1\); it may take 448 MiB"):
            read_apart(file, memory=memory << 20)
    else:
        hashes, _ = read_apart(file, memory=memory << 20)
        assert len(hashes["md5"]) == 400_000


def test_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    with pytest.raises(DiedError, match="No such file or directory"):
        read_apart(tmp_path / "list.csv")


def test_it_ends_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    long_to_read(tmp_path / "list.csv")
    code = "from classifier.hashlists import apart; apart._GRACE = 0; apart.main(1, apart.MEMORY, 1)"
    left = subprocess.run([sys.executable, "-P", "-c", code, tmp_path / "list.csv", ""], timeout=60, check=False)
    assert left.returncode == -signal.SIGALRM


def test_it_imports_nothing_heavy() -> None:
    code = "import sys, classifier.hashlists.apart; print({'torch', 'mitmproxy', 'open_clip'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-P", "-c", code], text=True) == "set()\n"
