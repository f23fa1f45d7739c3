import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from addons.activitypub.parsing import parse
from addons.holding.order import DEPTH, IDS, LONGEST, SEVERAL, Ids, gives_keys, ids_of, may_withdraw, needs_keys
from addons.ledger.held import Signer, SignerState

SAMPLES = Path(__file__).resolve().parents[4] / "shared" / "activities"
ACTOR = "https://remote.example/users/a"
NOTE = "https://remote.example/notes/1"
ACT = "https://remote.example/activities/1"
WRAP = "https://group.example/announces/1"
PARENT = "https://else.example/notes/9"


def of(document: object) -> Ids:
    return ids_of(parse(json.dumps(document).encode(), max_depth=64, max_nodes=10_000).document)


def activity(kind: str, object: Any = NOTE, id: str = ACT, **more: Any) -> dict[str, Any]:
    return {"type": kind, "id": id, "actor": ACTOR, "object": object, **more}


def note(**more: Any) -> dict[str, Any]:
    return {"type": "Note", "id": NOTE, "attributedTo": ACTOR, **more}


def announce(object: Any) -> dict[str, Any]:
    return {"type": "Announce", "id": WRAP, "actor": "https://group.example/c/1", "object": object}


@pytest.mark.parametrize(
    ("document", "gives", "needs", "removes"),
    [
        # what brings an object
        (activity("Create", note()), [ACT, NOTE], [ACT, NOTE], []),
        (activity("Update", note()), [ACT, NOTE], [ACT, NOTE], []),
        (activity("Create", note(inReplyTo=PARENT)), [ACT, NOTE], [ACT, NOTE, PARENT], []),
        (activity("Create", note(inReplyTo={"id": PARENT, "type": "Note"})), [ACT, NOTE], [ACT, NOTE, PARENT], []),
        (activity("Create", note(inReplyTo=[PARENT, None])), [ACT, NOTE], [ACT, NOTE, PARENT], []),
        (note(), [NOTE], [NOTE], []),
        (announce(activity("Create", note())), [WRAP, ACT, NOTE], [WRAP, ACT, NOTE], []),
        # by its IRI alone
        (announce(NOTE), [WRAP, NOTE], [WRAP, NOTE], []),
        (announce({"id": NOTE}), [WRAP, NOTE], [WRAP, NOTE], []),
        (activity("Create", [NOTE, note(id=PARENT)]), [ACT, NOTE, PARENT], [ACT, NOTE, PARENT], []),
        # what takes one back
        (activity("Delete"), [ACT], [], [NOTE]),
        (activity("Delete", {"type": "Tombstone", "id": NOTE}), [ACT], [], [NOTE]),
        (activity("Undo", activity("Announce", NOTE, id=WRAP)), [ACT], [], [WRAP]),
        (activity("Undo", activity("Delete", NOTE, id=WRAP)), [ACT], [], [WRAP]),
        (activity("Undo", WRAP), [ACT], [], [WRAP]),
        (announce(activity("Delete")), [WRAP, ACT], [WRAP], [NOTE]),
        (announce(activity("Undo", activity("Create", note(), id=PARENT))), [WRAP, ACT], [WRAP], [PARENT]),
        # what may overtake
        (activity("Like"), [ACT], [], []),
        (activity("Follow", ACTOR), [ACT], [], []),
        (announce(activity("Like")), [WRAP, ACT], [WRAP, ACT], []),
        # several at once
        (
            [activity("Create", note()), activity("Delete", PARENT, id=WRAP)],
            [ACT, NOTE, WRAP, SEVERAL],
            [ACT, NOTE],
            [PARENT],
        ),
        ({"type": "Collection", "items": [activity("Delete")]}, [ACT], [], [NOTE]),
        ({"type": "OrderedCollection", "orderedItems": [note()]}, [NOTE], [NOTE], []),
        # other spellings
        ({"@type": "Delete", "@id": ACT, "as:object": {"@id": NOTE}}, [ACT], [], [NOTE]),
        ({"TYPE": ["as:Delete"], "Object": [NOTE]}, [], [], [NOTE]),
        ({"@context": {"wirf": "as:object"}, "type": "Delete", "wirf": NOTE}, [], [], []),
        # what is none
        ({}, [], [], []),
        (activity("Create", None), [ACT], [ACT], []),
        (activity("Create", 7, id=""), [], [], []),
        (activity("Delete", "x" * LONGEST), [ACT], [], ["x" * LONGEST]),
        (activity("Delete", "x" * (LONGEST + 1)), [ACT], [], []),
    ],
)
def test_ids(document: Any, gives: list[str], needs: list[str], removes: list[str]) -> None:
    assert of(document) == Ids(tuple(gives), tuple(needs), tuple(removes))


def test_of_a_repeated_key_every_value_counts() -> None:
    body = b'{"type": "Delete", "type": "Like", "object": "https://a.example/1", "object": "https://a.example/2"}'
    assert ids_of(parse(body, max_depth=9, max_nodes=99).document).removes == (
        "https://a.example/1",
        "https://a.example/2",
    )


def test_no_more_ids_than_the_bound() -> None:
    ids = [f"https://remote.example/{number}" for number in range(IDS + 1)]
    assert of(activity("Delete", ids[:IDS])).removes == tuple(ids[:IDS])
    assert of(activity("Delete", ids)).removes == tuple(ids[:IDS])
    assert of([note(id=one, inReplyTo=PARENT) for one in ids]).gives == (*ids[:IDS], SEVERAL)


def test_no_deeper_than_the_bound() -> None:
    nested: Any = activity("Delete")
    for _ in range(DEPTH - 1):
        nested = announce(nested)
    assert of(nested).removes == (NOTE,)
    assert of(announce(nested)).removes == ()


def samples() -> Iterator[Path]:
    yield from sorted(SAMPLES.rglob("*.json"))


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples in shared/activities are not here")
def test_what_servers_really_send() -> None:
    seen = 0
    for path in samples():
        document = json.loads(path.read_bytes())
        found = of(document)
        if not isinstance(document, dict) or "type" not in document:
            continue
        seen += 1
        if document.get("id"):
            assert document["id"] in found.gives, path
        named = document["object"] if document["type"] in ("Delete", "Undo") else None
        if named is not None:
            assert found.removes == ((named if isinstance(named, str) else named["id"]),), path
            assert not found.needs, path
    assert seen > 100


@pytest.mark.parametrize(
    ("sample", "gives", "needs"),
    [
        (
            "lemmy/activities/community/announce_create_page.json",
            ["http://enterprise.lemmy.ml/post/7"],
            ["http://enterprise.lemmy.ml/post/7"],
        ),
        ("lotide/activities/create_note_reply.json", ["https://c.tide.tk/comments/52"], ["https://c.tide.tk/posts/51"]),
        (
            "lemmy/activities/create_or_update/update_page.json",
            ["http://ds9.lemmy.ml/post/1"],
            ["http://ds9.lemmy.ml/post/1"],
        ),
    ],
)
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples in shared/activities are not here")
def test_what_a_real_one_gives_and_needs(sample: str, gives: list[str], needs: list[str]) -> None:
    found = of(json.loads((SAMPLES / sample).read_bytes()))
    assert set(gives) <= set(found.gives)
    assert set(needs) <= set(found.needs)


# -- who stands in whose way -------------------------------------------------------------------------------------------


def signed(host: str | None, state: SignerState = "verified") -> Signer:
    return Signer(state, host)


@pytest.mark.parametrize(
    ("first", "second", "waits"),
    [
        # its own host's, or the same signer's
        (signed("remote.example"), signed("remote.example"), True),
        (signed("remote.example"), signed("group.example"), True),
        (signed("group.example"), signed("group.example"), True),
        # a stranger who names it stands in nobody's way
        (signed("else.example"), signed("remote.example"), False),
        (signed("else.example"), signed("group.example"), False),
        # nor does who is not verified, or wait
        (signed("remote.example", "unverified"), signed("remote.example"), False),
        (signed("remote.example", "unverifiable"), signed("remote.example"), False),
        (signed("remote.example"), signed("remote.example", "unverified"), False),
        (signed("remote.example"), signed("remote.example", "unverifiable"), False),
        (signed("remote.example"), signed(None), False),
        (signed(None), signed("remote.example"), False),
    ],
)
def test_who_waits_for_whom(first: Signer, second: Signer, waits: bool) -> None:
    gives, needs = gives_keys([NOTE], first), needs_keys([NOTE], second)
    assert NOTE in gives
    assert (not set(gives).isdisjoint(needs)) is waits


@pytest.mark.parametrize("id", ["tag:remote.example,2026:1", "https://[::1", "not an id", "urn:x"])
def test_an_id_without_a_host_is_its_signers(id: str) -> None:
    assert set(gives_keys([id], signed("a.example"))) & set(needs_keys([id], signed("a.example")))
    assert not set(gives_keys([id], signed("a.example"))) & set(needs_keys([id], signed("b.example")))


def test_nobody_stands_in_a_strangers_way_by_an_id_that_looks_like_his_key() -> None:
    (key,) = needs_keys([NOTE], signed("remote.example"))
    found = of([note(), note(id=key), activity("Create", key), announce({"id": key}), note(id=[f" {key}"])])
    gives = gives_keys(found.gives, signed("else.example"))
    assert key not in gives


@pytest.mark.parametrize(
    ("signer", "held", "may"),
    [
        (signed("remote.example"), signed("remote.example"), True),
        (signed("remote.example"), signed("group.example"), True),  # the id's own host
        (signed("group.example"), signed("group.example"), True),  # as the hold's signer
        (signed("remote.example"), signed(None, "unverified"), True),
        (signed("else.example"), signed("remote.example"), False),
        (signed("remote.example", "unverified"), signed("remote.example"), False),
        (signed("remote.example", "unverifiable"), signed("remote.example"), False),
        (signed("else.example"), signed("else.example", "unverifiable"), False),
        (signed(None), signed(None), False),
    ],
)
def test_who_may_take_back_what(signer: Signer, held: Signer, may: bool) -> None:
    assert may_withdraw(signer, held, gives_keys([ACT, NOTE], held), [NOTE]) is may
    assert not may_withdraw(signer, held, gives_keys([ACT], held), [NOTE])


@pytest.mark.parametrize(
    "document",
    [
        [activity("Create", note()), activity("Create", note(id=PARENT), id=WRAP)],
        {"type": "Collection", "items": [note(), note(id=PARENT)]},
    ],
)
def test_a_delete_of_one_takes_back_no_others(document: Any) -> None:
    host = signed("remote.example")
    assert not may_withdraw(host, host, gives_keys(of(document).gives, host), [NOTE])
