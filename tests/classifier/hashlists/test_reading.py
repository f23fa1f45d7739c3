import contextlib
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.hashlists import reading
from classifier.hashlists.entries import DIGITS, KINDS, Kind
from classifier.hashlists.parsing import Entry, parse
from classifier.hashlists.reading import MAX_LINE, MAX_PROBLEMS, read
from classifier.types import CannotStartError

SHA = "ab" * 32
PDQ = f"{random.Random(1).getrandbits(256):064x}"

MATCHES: tuple[Kind | None, ...] = (None, "pdq")

type Listed = set[tuple[str, str, str, str]]


def listed(file: Path, match: Kind | None = None) -> Listed:
    """All entries: kind, hash, source, note."""
    hashes, remarks = read(file, match)
    return {
        (kind, one.digest(place), *remarks.at(int(one.remarks[place])))
        for kind, one in hashes.items()
        for place in range(len(one))
    }


def known(folder: Path, text: str, match: Kind | None = None) -> Listed:
    file = folder / "list.csv"
    file.write_bytes(text.encode())
    return listed(file, match)


def refused(folder: Path, text: str, match: Kind | None = None) -> str:
    with pytest.raises(CannotStartError) as caught:
        known(folder, text, match)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", 0),
        ("\n\r\n  \n", 0),
        ("# only a comment\n\n", 0),
        ("kind,hash,source,note\n", 0),
        (f"kind,hash,source,note\npdq,{PDQ},s,n\n", 1),
        (f'"kind","hash"\npdq,{PDQ},s,n\n', 1),
        (f"# note\nKIND, HASH\nsha256 , {SHA} \n", 1),
        (f"\ufeffsha256,{SHA}\r\npdq,{PDQ}\r\n", 2),
        (f"\ufeff# note\nkind,hash\nsha256,{SHA}\r\npdq,{PDQ}", 2),
        (f"sha256,{SHA}\nsha256,{SHA},again\n", 1),
        (f"md5,{SHA[:32]}\nsha1,{SHA[:40]}\nsha256,{SHA}\npdq,{SHA}\n", 4),
        (f"SHA256,{SHA.upper()}\n", 1),
        (f'{{"kind": "pdq", "hash": "{PDQ}"}}\nsha256,{SHA}\n', 2),
        (f'{{"hash": "{PDQ}", "kind": "PDQ", "added": [1, {{}}], "note": "x"}}\n', 1),
    ],
)
def test_what_a_list_may_look_like(tmp_path: Path, text: str, entries: int) -> None:
    assert len(known(tmp_path, text)) == entries


@pytest.mark.parametrize(
    ("text", "match", "entries"),
    [
        (f"{PDQ}\n{SHA}\n", "pdq", 2),
        (f"{PDQ}\r\n# note\r\n\r\n  {SHA.upper()}  ", "sha256", 2),
        (f"{SHA[:32]}\n", "md5", 1),
        (f"{SHA[:40]}", "sha1", 1),
        (f"hash,source,note\n{PDQ},a,b\n", "pdq", 1),
        (f"hash\n{PDQ}\n", "pdq", 1),
        (f'{{"hash": "{PDQ}"}}\n{{"hash": "{SHA}", "kind": "sha256"}}\n', "pdq", 2),
    ],
)
def test_lists_that_leave_the_kind_to_the_settings(tmp_path: Path, text: str, match: Kind, entries: int) -> None:
    assert len(known(tmp_path, text, match)) == entries


@pytest.mark.parametrize(
    ("line", "source", "note"),
    [
        (f"pdq,{PDQ}", "", ""),
        (f"pdq,{PDQ},", "", ""),
        (f"pdq,{PDQ},a,", "a", ""),
        (f"pdq,{PDQ},,b", "", "b"),
        (f"pdq,{PDQ}, a b ,\tc ", "a b", "c"),
        (f'pdq,{PDQ},"a, b","say ""x"""', "a, b", 'say "x"'),
        (f"pdq,{PDQ},Größe,€", "Größe", "€"),
        (f'{{"kind":"pdq","hash":"{PDQ}","source":"a\\nb","note":"\\u0000ü,"}}', "a b", "ü,"),
    ],
)
def test_source_and_note(tmp_path: Path, line: str, source: str, note: str) -> None:
    assert known(tmp_path, f"pdq,{SHA},one,two\n{line}\npdq,{'cd' * 32},three\n") == {
        ("pdq", SHA, "one", "two"),
        ("pdq", PDQ, source, note),
        ("pdq", "cd" * 32, "three", ""),
    }


@pytest.mark.parametrize("first", [f"pdq,{PDQ},first", f'"pdq",{PDQ},first'])
@pytest.mark.parametrize("second", [f"pdq,{PDQ},second", f'"pdq",{PDQ},second'])
def test_of_two_lines_with_one_hash_the_first_counts(tmp_path: Path, first: str, second: str) -> None:
    """Whether it is read with its block or by itself."""
    assert known(tmp_path, f"{first}\n{second}\n") == {("pdq", PDQ, "first", "")}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"md4,{SHA}", "expected the kind md5, sha1, sha256 or pdq, found 'md4'"),
        (f"sha256,{SHA[:-1]}", "expected a sha256 hash of 64 hex digits"),
        (f"md5,{SHA}", "expected a md5 hash of 32 hex digits"),
        (f"pdq,{SHA}0", "65 characters"),
        ("pdq,", "expected a pdq hash of 64 hex digits, found ''"),
        (f"pdq,{'g' * 64}", "64 hex digits"),
        (f"pdq,{'ab ' * 21}a", "64 hex digits"),
        (SHA, "found 1 fields: for lines of bare hashes the list needs match: md5 or sha1 or sha256 or pdq"),
        (f"pdq,{PDQ},a,b,c", "found 5 fields"),
        (f'pdq,{PDQ},"a', "not CSV"),
        (f"pdq,{PDQ},{'s' * 1001}", "at most 1000 characters"),
        (f"pdq,{PDQ},{'s' * 1001},n", "at most 1000 characters"),
        (f"kind,{PDQ}", "found 'kind'"),
        ("kind,hash,source,note", "found 'kind'"),
        ("{}", "Object missing required field `hash`"),
        ('{"kind": "pdq", "hash": 5}', "Expected `str`, got `int` - at `$.hash`"),
        (f'{{"hash": "{PDQ}"}}', "found ''"),
        (f'{{"kind": "pdq", "hash": "{PDQ}"', "not as expected (Input data was truncated)"),
        ("{" * 5000, "not as expected"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, words: str) -> None:
    told = refused(tmp_path, f"# first\nsha256,{SHA}\n{line}\n")
    assert told.startswith(f"{tmp_path}/list.csv:3: ")
    assert words in told


def test_a_list_that_names_its_kinds_needs_no_match(tmp_path: Path) -> None:
    assert "as the list has match: pdq, found 'sha256': take match: out" in refused(tmp_path, f"sha256,{SHA}\n", "pdq")
    assert "found 4 fields" in refused(tmp_path, f"{SHA},a,b,c\n", "pdq")


def test_letters_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(f"pdq,{PDQ}\npdq,{SHA},\xff\n".encode("latin-1"))
    with pytest.raises(CannotStartError, match=r"x:2: not UTF-8 text \(byte 70 of the line\)"):
        read(tmp_path / "x")


def test_a_field_as_long_as_allowed(tmp_path: Path) -> None:
    assert len(known(tmp_path, f"pdq,{PDQ},{'s' * 1000},{'n' * 1000}")) == 1


@pytest.mark.parametrize("wrong", [MAX_PROBLEMS, MAX_PROBLEMS + 1])
def test_all_wrong_lines_at_once_but_not_without_end(tmp_path: Path, wrong: int) -> None:
    lines = refused(tmp_path, "nothing\n" * wrong).splitlines()
    assert f":{MAX_PROBLEMS}: " in lines[MAX_PROBLEMS - 1]
    assert lines[MAX_PROBLEMS:] == ([] if wrong == MAX_PROBLEMS else [f"{tmp_path}/list.csv: and 1 more"])


@pytest.mark.parametrize("more", [0, 1])
def test_a_line_without_end(tmp_path: Path, more: int) -> None:
    text = f"pdq,{PDQ}\n#" + (MAX_LINE - 1 + more) * "x"
    if more:
        assert refused(tmp_path, text) == f"{tmp_path}/list.csv:2: a line of more than 64 KiB"
    else:
        assert len(known(tmp_path, text)) == 1


@pytest.mark.parametrize("more", [0, 1])
def test_entries_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    monkeypatch.setattr(reading, "MAX_ENTRIES", 10)
    text = "".join(f"md5,{number:032x}\n" for number in range(10 + more))
    if more:
        assert "more than 10 entries: split the list" in refused(tmp_path, text)
    else:
        assert len(known(tmp_path, text)) == 10


@pytest.mark.parametrize("more", [0, 1])
def test_bytes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    text = f"md5,{SHA[:32]}\n" + more * "\n"
    monkeypatch.setattr(reading, "MAX_BYTES", 37)
    if more:
        assert "split it" in refused(tmp_path, text)
    else:
        assert len(known(tmp_path, text)) == 1


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match=r"nowhere\.csv cannot be read .* create it"):
        read(tmp_path / "nowhere.csv")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(CannotStartError, match="not a regular file"):
            read(path)


FIELD = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=8).map(str.strip)


def quoted(field: str) -> str:
    """As CSV wants it."""
    return '"' + field.replace('"', '""') + '"' if set(field) & set('",') else field


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.sampled_from(KINDS), st.integers(0, 40), st.text("abc 1'-/", max_size=5), st.text("abc", max_size=5)
            ),
            st.tuples(st.sampled_from(KINDS), st.integers(0, 40), FIELD, FIELD),
            st.sampled_from(["", "# note", "  ", "\r"]),
        ),
        max_size=40,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(40, 400),
)
def test_blocks_say_what_line_by_line_says(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str | tuple[Kind, int, str, str]], end: str, block: int
) -> None:
    """However a file is cut, it says what its lines say one by one, the first of two with one hash."""
    written = []
    for line in lines:
        if isinstance(line, str):
            written.append(line)
            continue
        kind, number, source, note = line
        source, note = (
            f'"{field.replace(chr(34), 2 * chr(34))}"' if set(field) & set('",') else field for field in (source, note)
        )
        written.append(f"{kind},{number:0{DIGITS[kind]}x},{source},{note}")
    right: dict[tuple[str, str], tuple[str, str, str, str]] = {}
    for line in written:
        if isinstance(entry := parse(line.encode()), Entry):
            right.setdefault((entry.kind, entry.hash.hex()), (entry.kind, entry.hash.hex(), entry.source, entry.note))
    file = tmp_path_factory.mktemp("list") / "list.csv"
    file.write_bytes(end.join(written).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_BLOCK", block)
        assert listed(file) == set(right.values())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("list") / "list.csv"
    file.write_bytes(data)
    for match in MATCHES:
        with contextlib.suppress(CannotStartError):
            read(file, match)
