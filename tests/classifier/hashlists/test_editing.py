import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from classifier.hashlists import HashList, editing, reading
from classifier.hashlists.editing import add, add_file, remove, write
from classifier.hashlists.entries import Kind
from classifier.hashlists.parsing import Entry, entry_of
from classifier.settings import HashListSettings
from classifier.types import CannotStartError

PDQ, SHA = "0f" * 32, "ab" * 32


def settings(folder: Path, text: str | None = None, match: Kind | None = None) -> HashListSettings:
    file = folder / "list.csv"
    if text is not None:
        file.write_text(text)
    return HashListSettings(name="ours", file=file, match=match)


def entry(kind: Kind, digest: str, source: str = "", note: str = "") -> Entry:
    found = entry_of(kind, digest, source, note)
    assert isinstance(found, Entry)
    return found


@pytest.mark.parametrize(
    ("before", "match", "after"),
    [
        (None, None, f"kind,hash,source,note\npdq,{PDQ},s\nsha256,{SHA}\n"),
        ("", None, f"kind,hash,source,note\npdq,{PDQ},s\nsha256,{SHA}\n"),
        ("# ours", None, f"# ours\npdq,{PDQ},s\nsha256,{SHA}\n"),
        (f"# a\npdq,{PDQ},old\n\n# b\n", None, f"# a\npdq,{PDQ},old\n\n# b\nsha256,{SHA}\n"),
        ("", "sha256", f'{{"kind":"pdq","hash":"{PDQ}","source":"s"}}\n{SHA}\n'),
        (f"{SHA}\n", "sha256", f'{SHA}\n{{"kind":"pdq","hash":"{PDQ}","source":"s"}}\n'),
        (
            f'{{"kind": "pdq", "hash": "{PDQ}"}}',
            None,
            f'{{"kind": "pdq", "hash": "{PDQ}"}}\n{{"kind":"sha256","hash":"{SHA}"}}\n',
        ),
    ],
)
def test_add(tmp_path: Path, before: str | None, match: Kind | None, after: str) -> None:
    """In the form that the list has, at its end; nothing twice, and all else as it was."""
    ours = settings(tmp_path, before, match)
    entries = [entry("pdq", PDQ, "s"), entry("sha256", SHA), entry("pdq", PDQ, "again")]
    had = len(HashList(ours)) if before else 0
    assert add(ours, entries) == 2 - had
    assert ours.file.read_text() == after
    assert len(HashList(ours)) == 2
    assert add(ours, entries) == 0
    assert ours.file.read_text() == after


def test_what_is_added_is_read_again_as_it_was(tmp_path: Path) -> None:
    ours = settings(tmp_path)
    add(ours, [entry("pdq", PDQ, 'a "b", c', "line\nfeed, é"), entry("md5", SHA[:32], "", "note")])
    (match,) = HashList(ours).match_pdq(PDQ)
    assert (match.source, match.note) == ('a "b", c', "line feed, é")


@pytest.mark.parametrize("match", [None, "pdq"])
def test_remove(tmp_path: Path, match: Kind | None) -> None:
    """Only the lines with the hash go; comments that name it stay."""
    line = f"{PDQ},n" if match else f"pdq,{PDQ},n"
    ours = settings(tmp_path, f"# {PDQ}\n{line}\n  {line.upper()}  \n{line.replace('0', '1')}\n", match)
    before = ours.file.read_text()
    assert remove(ours, [(None, SHA), ("sha256", PDQ), (None, "ab")]) == set()
    assert ours.file.read_text() == before
    assert remove(ours, [("pdq", PDQ), (None, SHA)]) == {PDQ}
    assert ours.file.read_text() == f"# {PDQ}\n{line.replace('0', '1')}\n"


def test_one_digest_of_two_kinds(tmp_path: Path) -> None:
    text = f"pdq,{PDQ}\nsha256,{PDQ}\n"
    assert remove(settings(tmp_path, text), [("pdq", PDQ)]) == {PDQ}
    assert (tmp_path / "list.csv").read_text() == f"sha256,{PDQ}\n"
    assert remove(settings(tmp_path, text), [(None, PDQ)]) == {PDQ}
    assert (tmp_path / "list.csv").read_text() == ""


def test_add_file(tmp_path: Path) -> None:
    ours = settings(tmp_path, f"# mine\npdq,{PDQ},old\n")
    other = tmp_path / "other.txt"
    other.write_text(f'{PDQ}\n{SHA},theirs\n{SHA}\n{{"kind": "md5", "hash": "{SHA[:32]}"}}\n')
    seen: list[int] = []
    assert add_file(ours, other, "pdq", source="import", progress=seen.append) == (3, 2)
    assert sum(seen) == other.stat().st_size
    text = ours.file.read_text()
    assert text.startswith(f"# mine\npdq,{PDQ},old\n")
    assert set(text.splitlines()[2:]) == {f"pdq,{SHA},theirs", f"md5,{SHA[:32]},import"}
    assert add_file(ours, other, "pdq") == (3, 0)
    assert ours.file.read_text() == text


def test_a_broken_file_is_not_imported_but_where_that_is_wanted(tmp_path: Path) -> None:
    ours = settings(tmp_path, "")
    other = tmp_path / "other.csv"
    other.write_text(f"pdq,{PDQ}\nnothing\n")
    with pytest.raises(CannotStartError, match=r"other\.csv:2: "):
        add_file(ours, other, None)
    assert ours.file.read_text() == ""
    wrong: list[str] = []
    assert add_file(ours, other, None, wrong=wrong) == (1, 1)
    assert len(wrong) == 1


@pytest.mark.parametrize("more", [0, 1])
def test_no_list_grows_past_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    for module in (editing, reading):
        monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    ours = settings(tmp_path, f"pdq,{PDQ}\n")
    entries = [entry("md5", f"{number:032x}") for number in range(2 + more)]
    if more:
        with pytest.raises(CannotStartError, match="more than 3 entries"):
            add(ours, entries)
        assert ours.file.read_text() == f"pdq,{PDQ}\n"
    else:
        assert add(ours, entries) == 2


def test_a_broken_list_is_left_alone(tmp_path: Path) -> None:
    ours = settings(tmp_path, "broken\n")
    for change in (lambda: add(ours, [entry("pdq", PDQ)]), lambda: remove(ours, [(None, PDQ)])):
        with pytest.raises(CannotStartError, match=r"list\.csv:1: "):
            change()
    assert ours.file.read_text() == "broken\n"
    assert os.listdir(tmp_path) == ["list.csv"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match="cannot be changed"):
        add(settings(tmp_path / "nowhere"), [entry("pdq", PDQ)])


def test_mode_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "list.csv"
    real.write_text("")
    real.chmod(0o640)
    (tmp_path / "list.csv").symlink_to(real)
    assert add(settings(tmp_path), [entry("pdq", PDQ)]) == 1
    assert (tmp_path / "list.csv").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path / "real") == ["list.csv"]


def test_changes_at_the_same_time_lose_none(tmp_path: Path) -> None:
    ours = settings(tmp_path, "")
    with ThreadPoolExecutor(8) as threads:
        added = threads.map(lambda number: add(ours, [entry("md5", f"{number:032x}")]), range(40))
        assert sum(added) == 40
    assert len(HashList(ours)) == 40


def test_written_anew_it_has_these_entries_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = settings(tmp_path, f"# ours\nsha256,{SHA}\n")
    assert write(listed, [entry("pdq", PDQ, "s", 'a "note", with a comma')]) == 1
    assert listed.file.read_text() == f'kind,hash,source,note\npdq,{PDQ},s,"a ""note"", with a comma"\n'
    assert len(HashList(listed)) == 1
    before = listed.file.stat()
    monkeypatch.setattr(editing, "MAX_ENTRIES", 1)
    with pytest.raises(CannotStartError, match="more than 1 entries"):
        write(listed, [entry("pdq", PDQ), entry("sha256", SHA)])
    assert listed.file.stat() == before
