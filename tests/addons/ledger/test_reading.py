from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from addons.ledger import Reader, Search
from addons.policy.words import Action, Cause, Context, Decision, Hit
from tests.addons.ledger.samples import CONTEXT, FAILED, GOOD, NOW, WALK, entry, write

SECOND = timedelta(seconds=1)
LATE = Hit(Action.RECORD, cause=Cause.TIMEOUT, medium=0)


@pytest.fixture
def reader(url: str) -> Iterator[Reader]:
    write(
        url,
        entry(id="1"),
        entry(
            id="2",
            started=NOW + SECOND,
            context=replace(CONTEXT, door="fetch", host="b.example"),
            decision=Decision(Action.RECORD, LATE, (LATE,)),
            media=(FAILED,),
        ),
        entry(
            id="3",
            started=NOW + 2 * SECOND,
            context=Context("upload"),
            decision=Decision(Action.PASS),
            walk=replace(WALK, actor="https://c.example/u/bob", activity_id="https://c.example/act/3"),
            media=(GOOD, GOOD),
        ),
    )
    with Reader.open(url) as reader:
        yield reader


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "123"),
        ({"limit": 2}, "23"),
        ({"limit": 3}, "123"),
        ({"door": "fetch"}, "2"),
        ({"action": "drop"}, "1"),
        ({"rule": "forbidden"}, "1"),
        ({"cause": "timeout"}, "2"),
        ({"host": "b.example"}, "2"),
        ({"host": "nobody.example"}, ""),
        ({"actor": "https://c.example/u/bob"}, "3"),
        ({"activity_id": "https://a.example/act/1"}, "12"),
        ({"sha256": "ab" * 32}, "13"),
        ({"url": "https://b.example/y.png"}, "12"),
        ({"url": "https://b.example/y.png", "sha256": "ab" * 32}, "1"),
        ({"since": NOW + SECOND}, "23"),
        ({"until": NOW + SECOND}, "1"),
        ({"since": NOW + SECOND, "until": NOW + 2 * SECOND}, "2"),
        ({"host": "x' OR '1'='1\x00"}, ""),
    ],
)
def test_search(reader: Reader, asked: dict[str, Any], found: str) -> None:
    assert "".join(one.id for one in reader.find(Search(**asked))) == found


def test_what_is_not_there(reader: Reader) -> None:
    assert (reader.get("9"), reader.kept("2"), reader.rules("policy-1"), reader.counts()) == (None, None, {}, [])
    assert reader.get("\x00" * 9000) is None


def test_where_bytes_came_from_is_told_once(url: str) -> None:
    write(url, *(entry(id=name) for name in ("one", "two")))
    with Reader.open(url) as reader:
        assert reader.places("ab" * 32) == [("https://a.example/x.gif", "https://cdn.a.example/x.gif")]
        assert reader.places("cd" * 32) == []
        assert reader.places("ab" * 32, limit=0) == []
