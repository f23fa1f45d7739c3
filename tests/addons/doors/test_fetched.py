import json
from typing import Any

import pytest

from addons.activitypub.parsing import MalformedActivityError
from addons.doors.fetched import Document, UnknownError, claims_json, leaving_out, may_be_json, read, write
from addons.judging.looking import Scope
from addons.policy.words import Cause

HOST = "https://remote.example"
A, B = "https://m.example/a.png", "https://m.example/b.png"
SCOPE = Scope(software="lemmy", domains=frozenset({"example.org"}), media=2)


def fetched(document: object, *, url: str = f"{HOST}/1", scope: Scope = SCOPE) -> Document | None:
    return read(json.dumps(document).encode(), url, scope, max_bytes=10_000, peer="192.0.2.1")


def parts(document: object, **more: Any) -> list[tuple[tuple[str | int, ...], list[str]]]:
    found = fetched(document, **more)
    assert found is not None
    return [(part.at, [ref.url for ref in part.media]) for part in found.parts]


@pytest.mark.parametrize(
    ("media_type", "claims"),
    [
        ("application/activity+json", True),
        ('Application/LD+JSON ; profile="https://www.w3.org/ns/activitystreams"', True),
        ("application/json", True),
        ("text/json", True),
        ("text/html, application/activity+json;charset=utf-8", True),
        ("text/html", False),
        ("application/x-ndjson", False),
        ("", False),
    ],
)
def test_what_claims_to_be_json(media_type: str, claims: bool) -> None:
    assert claims_json(media_type) is claims


@pytest.mark.parametrize(
    ("body", "may"),
    [(b"{", True), (b" \n[", True), (b"\xef\xbb\xbf {", True), (b"<", False), (b"", False), (b"x{", False)],
)
def test_what_may_be_json(body: bytes, may: bool) -> None:
    assert may_be_json(body) is may


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"type": "Note"}, "post"),
        ({"@context": "x"}, "post"),
        ([{"type": "Note"}], "post"),
        ({"type": "as:Person"}, "actor"),
        ({"@type": ["Note", "Group"]}, "actor"),
        ({"@context": {"Man": "as:Person"}, "type": "Man"}, "actor"),
        ({"type": "Person", "items": [{}]}, "actor"),
        ({"type": "Update", "object": {"type": "Person"}}, "post"),
        ({"type": "Collection", "items": []}, "collection"),
        (
            {"type": "OrderedCollection", "first": {"type": "OrderedCollectionPage", "as:orderedItems": [A]}},
            "collection",
        ),
        ({"type": "OrderedCollection", "first": f"{HOST}/2"}, "post"),
        ({"type": "Collection", "items": {"type": "Note"}}, "post"),
        ({"type": "photo", "version": "2"}, None),
        ({"type": "Video", "version": "2"}, "post"),
        ({"links": [{"type": "Image", "href": A}]}, None),
        ([], None),
        (["Note"], None),
    ],
)
def test_kinds(document: object, kind: str | None) -> None:
    found = fetched(document)
    assert (found and found.kind) == kind


def test_repeated_arrays_of_items_are_one_part_with_their_collection() -> None:
    body = f'{{"type": "Collection", "items": [{{"icon": "{A}"}}], "items": [{{"icon": "{B}"}}]}}'
    found = read(body.encode(), HOST, SCOPE, max_bytes=10_000)
    assert found is not None
    assert [(part.at, len(part.media)) for part in found.parts] == [((), 2)]


def test_each_item_has_its_own_media_and_speaker() -> None:
    first = {"type": "Create", "id": f"{HOST}/c", "actor": f"{HOST}/a", "object": {"type": "Note", "icon": A}}
    second = {
        "type": "Announce",
        "actor": "https://other.example/b",
        "object": {"icon": [B, "https://example.org/x.png"]},
    }
    document = {
        "type": "OrderedCollection",
        "id": HOST,
        "icon": B,
        "orderedItems": [first, HOST, second, None, [first]],
    }
    found = fetched(document)
    assert found is not None
    assert [(part.at, [ref.url for ref in part.media]) for part in found.parts] == [
        ((), [B]),
        (("orderedItems", 0), [A]),
        (("orderedItems", 2), [B]),
        (("orderedItems", 4), [A]),
    ]
    own, one, two, _ = found.parts
    assert [each.context.types for each in (own, one, two)] == [
        ("OrderedCollection",),
        ("Create", "Note"),
        ("Announce",),
    ]
    assert [each.context.actor for each in (own, one, two)] == [None, f"{HOST}/a", None]
    assert (one.walk.activity_id, one.walk.media[0].path) == (f"{HOST}/c", "/orderedItems/0/object/icon")
    assert one.context.host == "remote.example"
    assert (one.context.address, one.context.software, one.context.door) == ("192.0.2.1", "lemmy", "fetch")
    assert own.value == document | {"orderedItems": []}


def test_an_actor_speaks_for_itself_on_its_own_host_only() -> None:
    for id, actor in ((f"{HOST}/u/a", f"{HOST}/u/a"), ("https://other.example/u/a", None)):
        found = fetched({"type": "Person", "id": id, "attributedTo": f"{HOST}/u/b"})
        assert found is not None
        assert found.parts[0].context.actor == actor


def test_bounds_of_parts() -> None:
    three = [f"https://m.example/{at}.png" for at in range(3)]
    for document, causes in [
        ({"type": "Note", "attachment": three[:2]}, [()]),
        ({"type": "Note", "attachment": three}, [(Cause.TOO_MANY,)]),
        ({"type": "Collection", "items": [{"attachment": three}, {"attachment": A}]}, [(), (Cause.TOO_MANY,), ()]),
    ]:
        found = fetched(document)
        assert found is not None
        assert [part.causes for part in found.parts] == causes


def test_what_is_too_much_may_yet_be_no_activitypub() -> None:
    for body, cause in ((b"[" * 70 + b"]" * 70, Cause.TOO_MANY), (b'{"x": "' + b"y" * 10_000 + b'"}', Cause.TOO_LARGE)):
        assert read(body, HOST, SCOPE, max_bytes=10_000) is None
        for sign in (b'"@context": ', b'"as:TYPE" : ', b'"t\\u0079pe": '):
            with pytest.raises(UnknownError) as caught:
                read(body + sign, HOST, SCOPE, max_bytes=10_000)
            assert caught.value.cause is cause


def test_malformed() -> None:
    with pytest.raises(MalformedActivityError):
        read(b'{"type": ', HOST, SCOPE, max_bytes=10_000)
    assert read(b'[1, {"type": "Note"}]', HOST, SCOPE, max_bytes=10_000) is None


def test_leaving_out() -> None:
    proof = {"proofValue": "x"}
    inner = {"items": ["a", "b", "c"], "proof": proof}
    document = {"first": inner, "items": ["d", "e"], "signature": proof, "x": {"proof": proof}}
    assert leaving_out(document, {("first", "items", 1), ("items", 0)}) == {
        "first": {"items": ["a", "c"]},
        "items": ["e"],
        "x": {"proof": proof},
    }
    assert document["first"] is inner
    assert inner["items"] == ["a", "b", "c"]


def test_writing() -> None:
    assert (
        write({"a": "ä", "b": [1, 1.5, None, 10**30]})
        == '{"a":"ä","b":[1,1.5,null,1000000000000000000000000000000]}'.encode()
    )
    assert write({"a": "ä\ud800"}) == b'{"a":"\\u00e4\\ud800"}'
