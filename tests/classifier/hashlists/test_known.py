import os
import random
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from classifier.hashlists import Digests, HashList
from classifier.hashlists import known as known_
from classifier.hashlists.apart import APART_FROM, read_apart
from classifier.hashlists.entries import Hashes, Kind, Remarks
from classifier.hashlists.known import MAX_MATCHES
from classifier.hashlists.near import INDEXED_FROM
from classifier.pdq import flips_of, pdq_of
from classifier.settings import HashListSettings
from classifier.types import FrameHash, HashMatch
from tests.classifier.hashlists.test_variants import NAMES, turnings
from tests.drawing import textured

SHA = "ab" * 32
PDQ = f"{random.Random(1).getrandbits(256):064x}"


def flipped(pdq: str, bits: int, seed: int = 0) -> str:
    """The hash with that many other bits."""
    value = int(pdq, 16)
    for bit in random.Random(seed).sample(range(256), bits):
        value ^= 1 << bit
    return f"{value:064x}"


def known(
    folder: Path, text: str, distance: int | None = None, *, variants: bool = False, allow: bool = False
) -> HashList:
    file = folder / "list.csv"
    file.write_text(text, encoding="utf-8")
    return HashList(HashListSettings(name="ours", file=file, distance=distance, variants=variants, allow=allow))


def by_sha256(ours: HashList, digest: str) -> HashMatch | None:
    """The entry for a file's SHA-256."""
    return next(iter(ours.match_file(Digests(digest))), None)


def test_sha256(tmp_path: Path) -> None:
    found = by_sha256(known(tmp_path, f"sha256,{SHA.upper()},a source,a note\n"), SHA)
    assert found is not None
    assert (found.list, found.kind, found.entry, found.distance) == ("ours", "sha256", SHA, 0)
    assert (found.source, found.note, found.frame) == ("a source", "a note", None)
    assert by_sha256(known(tmp_path, f"sha256,{SHA}"), "cd" * 32) is None


@pytest.mark.parametrize("distance", [0, 1, 31, 64])
def test_distance_is_inclusive(tmp_path: Path, distance: int) -> None:
    ours = known(tmp_path, f"pdq,{PDQ},s,n\n", distance)
    for seed in range(20):
        (found,) = ours.match_pdq(flipped(PDQ, distance, seed))
        assert (found.distance, found.entry, found.kind) == (distance, PDQ, "pdq")
        assert ours.match_pdq(flipped(PDQ, distance + 1, seed)) == []


@pytest.mark.parametrize("entries", [0, 1, 2, 3, INDEXED_FROM])
def test_many_at_once_are_as_each_by_itself(tmp_path: Path, entries: int) -> None:
    chance = random.Random(entries)
    listed = [PDQ, *(f"{chance.getrandbits(256):064x}" for _ in range(entries - 1))][:entries]
    ours = known(tmp_path, "".join(f"pdq,{pdq}\n" for pdq in listed))
    asked = [SHA, PDQ, flipped(PDQ, 31), flipped(PDQ, 32), listed[-1] if listed else SHA]
    near = [place for place, pdq in enumerate(asked) if ours.match_pdq(pdq)]
    assert ours.near([FrameHash(0, pdq) for pdq in asked]) == near
    assert ours.near([]) == []
    assert bool(near) == bool(entries)
    assert ours.cost == entries


def test_every_bit_counts_once(tmp_path: Path) -> None:
    ours = known(tmp_path, f"pdq,{PDQ}\n", 64)
    for bit in range(256):
        assert ours.match_pdq(f"{int(PDQ, 16) ^ 1 << bit:064x}")[0].distance == 1


def test_a_kind_matches_only_its_own(tmp_path: Path) -> None:
    ours = known(tmp_path, f"pdq,{PDQ}\nsha256,{SHA}\n")
    assert by_sha256(ours, PDQ) is None
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


def test_every_digest_of_a_file(tmp_path: Path) -> None:
    """Of each kind an entry may match; what was not computed matches none."""
    ours = known(tmp_path, f"sha256,{SHA},s,1\nsha1,{SHA[:40]},s,2\nmd5,{SHA[:32]},s,3\n")
    assert ours.counts == {"sha256": 1, "sha1": 1, "md5": 1}
    found = ours.match_file(Digests(SHA, SHA[:32], SHA[:40]))
    assert [(match.kind, match.entry, match.note) for match in found] == [
        ("sha256", SHA, "1"),
        ("sha1", SHA[:40], "2"),
        ("md5", SHA[:32], "3"),
    ]
    assert [match.kind for match in ours.match_file(Digests(SHA))] == ["sha256"]
    assert ours.match_file(Digests(PDQ, PDQ[:32], PDQ[:40])) == []


def test_symbols_and_distances_of_allow_lists(tmp_path: Path) -> None:
    """An allow list's symbol is not among ``hash.*``, and by default it takes no likeness for the thing itself."""
    denies, allows = known(tmp_path, f"pdq,{PDQ}\n"), known(tmp_path, f"pdq,{PDQ}\n", allow=True)
    assert (denies.symbol, denies.allow, allows.symbol, allows.allow) == ("hash.ours", False, "allow.ours", True)
    assert denies.match_pdq(flipped(PDQ, 31))
    assert allows.match_pdq(PDQ)
    assert not allows.match_pdq(flipped(PDQ, 1))
    assert known(tmp_path, f"pdq,{PDQ}\n", 1, allow=True).match_pdq(flipped(PDQ, 1))


@pytest.mark.parametrize("place", range(8))
def test_variants_where_the_list_asks_for_them(tmp_path: Path, place: int) -> None:
    listed = textured(3, 256, 192)
    turned = np.ascontiguousarray(list(turnings(np.asarray(listed)))[place])
    pdq, flips = pdq_of(turned)[0], flips_of(turned)
    text = f"pdq,{pdq_of(np.asarray(listed))[0]}\n"
    ours, plain = known(tmp_path, text, 0, variants=True), known(tmp_path, text, 0)
    (found,) = ours.match_pdq(pdq, flips)
    assert (found.distance, found.variant) == (0, NAMES[place])
    assert ours.near([FrameHash(0, SHA), FrameHash(1, pdq, flips)]) == [1]
    assert bool(plain.match_pdq(pdq, flips)) == (place == 0)
    assert [match.variant for match in ours.match_pdq(pdq)] == ([NAMES[place]] if place in (0, 4) else [])
    assert ours.near([FrameHash(1, pdq)]) == ([0] if place in (0, 4) else []), "what the bits alone tell"


def test_memory_is_told(tmp_path: Path) -> None:
    assert known(tmp_path, "").memory == 0
    assert known(tmp_path, f"pdq,{PDQ},abc,de\n").memory == 32 + 4 + 8 + len("abc,de")


def test_what_is_put_back_as_it_was_is_no_trouble_any_more(tmp_path: Path) -> None:
    ours = known(tmp_path, f"sha256,{SHA}\n")
    file, aside = tmp_path / "list.csv", tmp_path / "aside.csv"
    file.rename(aside)
    assert ours.reload_if_changed() is not None
    assert ours.trouble
    aside.rename(file)
    assert ours.reload_if_changed() is None
    assert ours.trouble == ""


def test_reload(tmp_path: Path) -> None:
    ours = known(tmp_path, "")
    file = tmp_path / "list.csv"
    assert by_sha256(ours, SHA) is None
    assert ours.reload_if_changed() is None

    file.write_text(f"sha256,{SHA}\n")
    assert ours.reload_if_changed() is None
    assert by_sha256(ours, SHA) is not None
    assert ours.trouble == ""

    file.write_text("broken\n")
    told = ours.reload_if_changed()
    assert told is not None
    assert "list.csv:1: " in told
    assert "stays in force" in told
    assert ours.reload_if_changed() is None, "told once a change"
    assert ours.trouble == told, "and true until it is mended"
    assert by_sha256(ours, SHA) is not None

    file.unlink()
    told = ours.reload_if_changed()
    assert told is not None
    assert "cannot be read" in told
    assert ours.reload_if_changed() is None
    assert ours.trouble == told
    assert by_sha256(ours, SHA) is not None

    file.write_text(f"pdq,{PDQ}\n")
    assert ours.reload_if_changed() is None
    assert ours.trouble == ""
    assert by_sha256(ours, SHA) is None
    assert ours.match_pdq(PDQ)


def test_reload_sees_a_change_of_the_same_size(tmp_path: Path) -> None:
    ours = known(tmp_path, f"sha256,{SHA}\n")
    file = tmp_path / "list.csv"
    file.write_text(f"sha256,{'cd' * 32}\n")
    os.utime(file, ns=(1, 2))
    assert ours.reload_if_changed() is None
    assert by_sha256(ours, "cd" * 32) is not None


def large(file: Path, first: str, more: int = 0) -> None:
    """As many bytes as are read in a process of their own, or so many more, put in place at once."""
    line = f"sha256,{first}\n"
    (file.parent / "new").write_text(line + "\n" * (APART_FROM - len(line) + more))
    (file.parent / "new").replace(file)


@pytest.mark.parametrize("more", [-1, 0])
def test_a_large_file_is_read_again_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    apart = []

    def noted(path: Path, match: Kind | None) -> tuple[Mapping[Kind, Hashes], Remarks]:
        apart.append(path)
        return read_apart(path, match)

    monkeypatch.setattr(known_, "read_apart", noted)
    ours = known(tmp_path, "")
    large(tmp_path / "list.csv", SHA, more)
    assert ours.reload_if_changed() is None
    assert by_sha256(ours, SHA) is not None
    assert apart == [tmp_path / "list.csv"] * (more >= 0)


def test_a_large_file_that_is_broken(tmp_path: Path) -> None:
    ours = known(tmp_path, f"sha256,{SHA}\n")
    large(tmp_path / "list.csv", "broken")
    told = ours.reload_if_changed()
    assert told is not None
    assert told.startswith(f"{tmp_path}/list.csv:1: expected a sha256 hash of 64 hex digits")
    assert "stays in force" in told
    assert ours.reload_if_changed() is None, "told once a change"
    assert by_sha256(ours, SHA) is not None


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "list.csv"
    ours = known(tmp_path, "")

    def overtaken(path: Path, match: Kind | None) -> tuple[Mapping[Kind, Hashes], Remarks]:
        found = read_apart(path, match)
        large(file, "cd" * 32, 1)
        return found

    large(file, SHA)
    with monkeypatch.context() as patch:
        patch.setattr(known_, "read_apart", overtaken)
        assert ours.reload_if_changed() is None
    assert by_sha256(ours, SHA) is not None
    assert ours.reload_if_changed() is None
    assert by_sha256(ours, "cd" * 32) is not None


def test_a_file_whose_reading_was_killed_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    file = tmp_path / "list.csv"
    file.write_text(f"sha256,{PDQ}\n")
    ours = HashList(HashListSettings(name="ours", file=file), clock=lambda: now)
    large(file, SHA)
    with monkeypatch.context() as patch:
        patch.setattr(known_, "read_apart", partial(read_apart, memory=100 << 20))
        told = ours.reload_if_changed()
    assert told is not None
    assert "list.csv died (exit status 1); it may take 100 MiB\nit is tried again in 60 s" in told
    now += known_.RETRY - 0.1
    assert ours.reload_if_changed() is None
    assert by_sha256(ours, PDQ) is not None
    now += 0.2
    assert ours.reload_if_changed() is None
    assert by_sha256(ours, SHA) is not None
