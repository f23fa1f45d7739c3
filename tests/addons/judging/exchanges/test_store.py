from pathlib import Path

import pytest

from addons.judging.exchanges.store import Found, Store, TooManyError

A, B, C = "aa" * 16, "bb" * 16, "cc" * 16


def found(*digests: str, note: str = "") -> list[Found]:
    return [Found("md5", digest, note) for digest in digests]


def there(store: Store) -> list[str]:
    return [entry.hash.hex() for entry in store.entries("x")]


def test_records_are_changed_and_deleted_by_their_key(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        store.afresh("here")
        store.take({"1": found(A, B), "2": found(B)}, "one")
        store.take({"1": found(C)}, "two")
        assert (there(store), len(store)) == ([B, C], 2)
        store.take({"2": None, "3": None}, "three")
        assert (there(store), len(store)) == ([C], 1)
    with Store(tmp_path / "x.db") as store:
        assert (there(store), len(store), store.checkpoint, store.origin) == ([C], 1, "three", "here")


def test_a_hash_of_several_records_is_one_entry_with_all_remarks(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        updates = {"1": found(A, note="b"), "2": found(A, note="a"), "3": found(A, note="b"), "4": found(A)}
        store.take(updates, None)
        assert [(entry.source, entry.note) for entry in store.entries("x")] == [("x", "b; a")]


def test_what_no_list_can_hold_is_left_out_or_cut(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        store.take({"k" * 100_000: [Found("md5", "zz" * 16, ""), Found("md5", A, "n\n" * 2000)]}, None)
        (entry,) = store.entries("x")
        assert entry.hash.hex() == A
        assert len(entry.note) <= 1000
        assert "\n" not in entry.note
        store.take({"k" * 100_000: None}, None)
        assert there(store) == []


def test_the_old_generation_counts_until_the_new_one_is_complete(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        store.afresh("here")
        store.take({"1": found(A), "2": found(B)}, "old")
        store.complete(1.0)
        store.written(2)
        assert (store.listed, store.unwritten) == (2, False)
        store.afresh("there")
        assert store.checkpoint is None
        store.take({"1": found(A), "3": found(C)}, "new")
        assert there(store) == [A, B, C]
        store.complete(2.0)
        assert (there(store), len(store), store.fetched_at, store.unwritten) == ([A, C], 2, 2.0, True)


def test_too_many_are_refused_with_all_that_came_beside_them(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db", most=2) as store:
        store.take({"1": found(A, B)}, "one")
        with pytest.raises(TooManyError, match="more than 2 hashes"):
            store.take({"2": found(C)}, "two")
        assert (there(store), len(store), store.checkpoint) == ([A, B], 2, "one")


def test_trouble_is_kept_until_a_fetch_is_complete(tmp_path: Path) -> None:
    with Store(tmp_path / "x.db") as store:
        store.failed("no one there")
    with Store(tmp_path / "x.db") as store:
        assert store.trouble == "no one there"
        store.complete(3.0)
        assert store.trouble == ""
