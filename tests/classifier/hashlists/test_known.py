import os
import random
from pathlib import Path

import pytest

from classifier.hashlists.known import MAX_MATCHES, MAX_PROBLEMS, HashList
from classifier.settings import HashListSettings
from classifier.types import CannotStartError

SHA = "ab" * 32
PDQ = f"{random.Random(1).getrandbits(256):064x}"


def flipped(pdq: str, bits: int, seed: int = 0) -> str:
    """The hash with that many other bits."""
    value = int(pdq, 16)
    for bit in random.Random(seed).sample(range(256), bits):
        value ^= 1 << bit
    return f"{value:064x}"


def known(folder: Path, text: str, distance: int = 31) -> HashList:
    file = folder / "list.csv"
    file.write_text(text, encoding="utf-8")
    return HashList.load(file, "ours", distance)


def test_sha256(tmp_path: Path) -> None:
    found = known(tmp_path, f"sha256,{SHA.upper()},a source,a note\n").match_sha256(SHA)
    assert found is not None
    assert (found.list, found.kind, found.entry, found.distance) == ("ours", "sha256", SHA, 0)
    assert (found.source, found.note, found.frame) == ("a source", "a note", None)
    assert known(tmp_path, f"sha256,{SHA}").match_sha256("cd" * 32) is None


@pytest.mark.parametrize("distance", [0, 1, 31, 64])
def test_distance_is_inclusive(tmp_path: Path, distance: int) -> None:
    ours = known(tmp_path, f"pdq,{PDQ},s,n\n", distance)
    for seed in range(20):
        (found,) = ours.match_pdq(flipped(PDQ, distance, seed))
        assert (found.distance, found.entry, found.kind) == (distance, PDQ, "pdq")
        assert ours.match_pdq(flipped(PDQ, distance + 1, seed)) == []


@pytest.mark.parametrize("entries", [0, 1, 3, 50_000, 1 << 18])
def test_many_at_once_are_as_each_by_itself(tmp_path: Path, entries: int) -> None:
    """Also where the list is so long that few, or one, are compared at once."""
    chance = random.Random(entries)
    listed = [PDQ, *(f"{chance.getrandbits(256):064x}" for _ in range(entries - 1))][:entries]
    ours = known(tmp_path, "".join(f"pdq,{pdq}\n" for pdq in listed))
    asked = [SHA, PDQ, flipped(PDQ, 31), flipped(PDQ, 32), listed[-1] if listed else SHA]
    assert ours.near(asked) == [at for at, pdq in enumerate(asked) if ours.match_pdq(pdq)]
    assert ours.near([]) == []
    assert bool(ours.near(asked)) == bool(entries)


def test_every_bit_counts_once(tmp_path: Path) -> None:
    ours = known(tmp_path, f"pdq,{PDQ}\n", 64)
    for bit in range(256):
        assert ours.match_pdq(f"{int(PDQ, 16) ^ 1 << bit:064x}")[0].distance == 1


def test_a_kind_matches_only_its_own(tmp_path: Path) -> None:
    ours = known(tmp_path, f"pdq,{PDQ}\nsha256,{SHA}\n")
    assert ours.match_sha256(PDQ) is None
    assert ours.match_pdq(SHA) == []


@pytest.mark.parametrize("more", [0, 1])
def test_nearest_first_and_no_more_than_a_few(tmp_path: Path, more: int) -> None:
    entries = [flipped(PDQ, distance) for distance in range(MAX_MATCHES + more, 0, -1)]
    found = known(tmp_path, "".join(f"pdq,{entry}\n" for entry in entries)).match_pdq(PDQ)
    assert [match.distance for match in found] == list(range(1, MAX_MATCHES + 1))


def test_brute_force_agrees(tmp_path: Path) -> None:
    chance = random.Random(5)
    entries = [f"{chance.getrandbits(256):064x}" for _ in range(500)]
    ours = known(tmp_path, "".join(f"pdq,{entry}\n" for entry in entries), 64)
    for entry in entries[:50]:
        probe = flipped(entry, 40, 3)
        right = [other for other in entries if (int(other, 16) ^ int(probe, 16)).bit_count() <= 64]
        assert [match.entry for match in ours.match_pdq(probe)] == right == [entry]


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", 0),
        ("# only a comment\n\n", 0),
        ("kind,hash,source,note\n", 0),
        (f"kind,hash,source,note\npdq,{PDQ},s,n\n", 1),
        (f"# note\nKIND, HASH\nsha256 , {SHA} \n", 1),
        (f"\ufeffsha256,{SHA}\r\npdq,{PDQ}\r\n", 2),
        (f"sha256,{SHA}\nsha256,{SHA},again\n", 1),
        (f'pdq,{PDQ},"a, b","say ""x"""\n', 1),
    ],
)
def test_what_a_list_may_look_like(tmp_path: Path, text: str, entries: int) -> None:
    assert len(known(tmp_path, text)) == entries


def test_quoted_fields(tmp_path: Path) -> None:
    (found,) = known(tmp_path, f'pdq,{PDQ},"a, b","say ""x"""\n').match_pdq(PDQ)
    assert (found.source, found.note) == ("a, b", 'say "x"')


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"md5,{SHA}", "expected the kind sha256 or pdq, found 'md5'"),
        (f"sha256,{SHA[:-1]}", "expected a sha256 hash of 64 hex digits"),
        (f"pdq,{SHA}0", "65 characters"),
        ("pdq,", "expected a pdq hash of 64 hex digits, found ''"),
        (f"pdq,{'g' * 64}", "64 hex digits"),
        (SHA, "found 1 fields"),
        (f"pdq,{PDQ},a,b,c", "found 5 fields"),
        (f'pdq,{PDQ},"a', "not CSV"),
        (f"pdq,{PDQ},{'s' * 1001}", "at most 1000 characters"),
        (f"kind,{PDQ}", "expected the kind sha256 or pdq, found 'kind'"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(CannotStartError) as caught:
        known(tmp_path, f"# first\nsha256,{SHA}\n{line}\n")
    assert "list.csv:3: " in str(caught.value)
    assert words in str(caught.value)


def test_a_field_as_long_as_allowed(tmp_path: Path) -> None:
    assert len(known(tmp_path, f"pdq,{PDQ},{'s' * 1000},{'n' * 1000}")) == 1


@pytest.mark.parametrize("wrong", [MAX_PROBLEMS, MAX_PROBLEMS + 1])
def test_all_wrong_lines_at_once_but_not_without_end(tmp_path: Path, wrong: int) -> None:
    with pytest.raises(CannotStartError) as caught:
        known(tmp_path, "nothing\n" * wrong)
    lines = str(caught.value).splitlines()
    assert f":{MAX_PROBLEMS}: " in lines[MAX_PROBLEMS - 1]
    assert lines[MAX_PROBLEMS:] == ([] if wrong == MAX_PROBLEMS else [f"{tmp_path}/list.csv: and 1 more"])


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(CannotStartError, match=r"nowhere\.csv cannot be read .* create it"):
        HashList.from_settings(HashListSettings(name="ours", file=tmp_path / "nowhere.csv"))
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(CannotStartError, match="not UTF-8"):
        HashList.load(tmp_path / "x", "ours", 31)


def test_reload(tmp_path: Path) -> None:
    ours = known(tmp_path, "")
    file = tmp_path / "list.csv"
    assert ours.match_sha256(SHA) is None
    assert ours.reload_if_changed() is None

    file.write_text(f"sha256,{SHA}\n")
    assert ours.reload_if_changed() is None
    assert ours.match_sha256(SHA) is not None

    file.write_text("broken\n")
    told = ours.reload_if_changed()
    assert told is not None
    assert "list.csv:1: " in told
    assert "stays in force" in told
    assert ours.reload_if_changed() is None, "told once a change"
    assert ours.match_sha256(SHA) is not None

    file.unlink()
    told = ours.reload_if_changed()
    assert told is not None
    assert "cannot be read" in told
    assert ours.reload_if_changed() is None
    assert ours.match_sha256(SHA) is not None

    file.write_text(f"pdq,{PDQ}\n")
    assert ours.reload_if_changed() is None
    assert ours.match_sha256(SHA) is None
    assert ours.match_pdq(PDQ)


def test_reload_sees_a_change_of_the_same_size(tmp_path: Path) -> None:
    ours = known(tmp_path, f"sha256,{SHA}\n")
    file = tmp_path / "list.csv"
    file.write_text(f"sha256,{'cd' * 32}\n")
    os.utime(file, ns=(1, 2))
    assert ours.reload_if_changed() is None
    assert ours.match_sha256("cd" * 32) is not None
