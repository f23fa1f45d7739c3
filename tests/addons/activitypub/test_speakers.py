import json

import pytest

from addons.activitypub.parsing import parse
from addons.activitypub.speakers import Speaker, Speakers, speakers
from addons.activitypub.walk import walk

A, B = "https://a.example/users/a", "https://b.example/users/b"


def speak(document: object | str, most: int = 8) -> Speakers:
    body = document if isinstance(document, str) else json.dumps(document)
    read = parse(body.encode(), max_depth=64, max_nodes=20_000).document
    return speakers(read, walk(read, max_depth=64, max_nodes=20_000, max_media=32), max_depth=64, most=most)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"type": "Like", "actor": A}, [(A, ("Like",))]),
        ({"type": "Create", "actor": {"id": A}, "object": {"type": "Note"}}, [(A, ("Create", "Note"))]),
        ({"type": "Note", "attributedTo": A}, [(A, ("Note",))]),
        ({"type": "Like", "actor": [A, B]}, [(A, ("Like",)), (B, ("Like",))]),
        (f'{{"type": "Like", "actor": "{A}", "actor": "{B}"}}', [(A, ("Like",)), (B, ("Like",))]),
        ([{"type": "Like", "actor": A}, {"type": "Delete", "actor": B}], [(A, ("Like",)), (B, ("Delete",))]),
        ([{"type": "Like", "actor": A}, {"type": "Like", "actor": A}], [(A, ("Like",))]),
        (
            {"type": "OrderedCollection", "actor": A, "orderedItems": [{"type": "Like", "actor": B}]},
            [(A, ("OrderedCollection",)), (B, ("Like",))],
        ),
        (
            {"type": "Collection", "items": {"type": "Collection", "items": [{"type": "Like", "actor": B}]}},
            [(None, ("Collection",)), (B, ("Like",))],
        ),
        ({"@context": {"who": "as:actor"}, "type": "Like", "who": A}, [(A, ("Like",))]),
        ({"type": "Announce", "actor": A, "object": {"type": "Create", "actor": B}}, [(A, ("Announce", "Create"))]),
        ({}, [(None, ())]),
        ([], [(None, ())]),
    ],
)
def test_speakers(document: object, expected: list[tuple[str | None, tuple[str, ...]]]) -> None:
    assert speak(document) == Speakers(tuple(Speaker(*each) for each in expected))


@pytest.mark.parametrize(("count", "overflow"), [(7, False), (8, False), (9, True), (20, True)])
def test_at_the_bound_all_are_told_and_past_it_that_there_are_more(count: int, overflow: bool) -> None:
    found = speak([{"type": "Like", "actor": f"https://a.example/{n}"} for n in range(count)])
    assert found.overflow is overflow
    assert [speaker.actor for speaker in found.all] == [f"https://a.example/{n}" for n in range(min(count, 8))]


def test_many_nested_collections_take_linear_time() -> None:
    document: object = [{"type": "Like", "actor": A}] * 5000
    for _ in range(50):
        document = {"type": "Collection", "actor": A, "items": document}
    assert speak(document) == Speakers((Speaker(A, ("Collection",)), Speaker(A, ("Like",))))
