import json
from typing import Any

import pytest

from addons.activitypub.references import MediaRef
from addons.doors.fetched import Document, read
from addons.doors.outcomes import UnfitError, carry_out, outcome
from addons.judging.looking import Scope
from addons.policy.words import Action, Cause, Decision, Hit, Medium

HOST = "https://remote.example"
A, B = "https://m.example/a.png", "https://m.example/b.png"
POST = {"type": "Note", "attachment": [A, B]}
ACTOR = {"type": "Person", "id": HOST, "icon": A, "image": B}
PAGE = {"type": "Collection", "items": [POST]}


def fetched(document: object) -> Document:
    found = read(json.dumps(document).encode(), f"{HOST}/1", Scope(), max_bytes=10_000)
    assert found is not None
    return found


def decision(*hits: Hit) -> Decision:
    return Decision(min((hit.action for hit in hits), key=lambda action: action.rank), hits[0], hits)


def hit(action: str, medium: int | None = None, cause: Cause | None = None) -> Hit:
    return Hit(Action(action), rule=None if cause else "r", cause=cause, medium=medium)


ALL = frozenset({A, B})


@pytest.mark.parametrize(
    ("document", "hits", "fate", "action", "urls"),
    [
        (POST, [hit("record", 0)], "pass", "record", frozenset()),
        (POST, [hit("strip", 0)], "strip", "strip", {A}),
        (POST, [hit("strip", 1), hit("record", 0)], "strip", "strip", {B}),
        (POST, [hit("strip")], "strip", "strip", ALL),
        (POST, [hit("drop", 0)], "gone", "drop", frozenset()),
        (POST, [hit("reject")], "gone", "reject", frozenset()),
        (POST, [hit("hold", 0)], "wait", "hold", frozenset()),
        (POST, [hit("defer", 0, Cause.FETCH_FAILED)], "wait", "defer", frozenset()),
        (POST, [hit("strip", None, Cause.TOO_MANY)], "gone", "drop", frozenset()),
        (ACTOR, [hit("strip", 0)], "strip", "strip", {A}),
        (ACTOR, [hit("drop", 0)], "strip", "strip", {A}),
        (ACTOR, [hit("reject", 0), hit("record", 1)], "strip", "strip", {A}),
        (ACTOR, [hit("drop", 0), hit("hold", 1)], "strip", "strip", ALL),
        (ACTOR, [hit("drop")], "strip", "strip", ALL),
        (ACTOR, [hit("drop", None, Cause.TOO_MANY)], "bare", "strip", frozenset()),
        (ACTOR, [hit("hold", 0)], "wait", "hold", frozenset()),
        (PAGE, [hit("strip", 0)], "strip", "strip", {A}),
        (PAGE, [hit("drop", 0)], "gone", "drop", frozenset()),
        (PAGE, [hit("hold", 0, Cause.TIMEOUT)], "wait", "hold", frozenset()),
        (PAGE, [hit("hold", 0, Cause.FETCH_FAILED)], "gone", "hold", frozenset()),
        (PAGE, [hit("defer", 0, Cause.FETCH_UNAUTHORIZED)], "gone", "defer", frozenset()),
    ],
)
def test_outcomes(document: object, hits: list[Hit], fate: str, action: str, urls: Any) -> None:
    whole = fetched(document)
    media = [Medium(MediaRef(url, "image", "")) for url in (A, B)]
    found = outcome(whole, whole.parts[-1], decision(*hits), media)
    assert (found.fate, found.decision.action, found.urls) == (fate, action, urls)
    assert found.decision.hits == tuple(hits)


def carried(document: object, **actions: str) -> tuple[Any, list[str]]:
    """What is left of a document whose own media (``own``) or whose items' (``items``) are all so decided."""
    whole = fetched(document)
    outcomes = []
    for part in whole.parts:
        action = actions.get("items" if part.at else "own", "pass")
        outcomes.append(outcome(whole, part, decision(hit(action)), ()))
    body, found = carry_out(whole, outcomes)
    return body and json.loads(body), [one.fate for one in found]


@pytest.mark.parametrize(
    ("document", "actions", "left", "fates"),
    [
        (POST, {}, None, ["pass"]),
        (POST, {"own": "strip"}, {"type": "Note", "attachment": []}, ["strip"]),
        (POST, {"own": "drop"}, None, ["gone"]),
        ({"type": "Image", "url": A}, {"own": "strip"}, None, ["gone"]),
        (
            PAGE,
            {"items": "strip"},
            {"type": "Collection", "items": [{"type": "Note", "attachment": []}]},
            ["pass", "strip"],
        ),
        (PAGE, {"items": "drop"}, {"type": "Collection", "items": []}, ["pass", "gone"]),
        (PAGE, {"items": "hold"}, None, ["pass", "wait"]),
        (PAGE, {"own": "drop", "items": "hold"}, None, ["gone", "wait"]),
        (ACTOR, {"own": "drop"}, {"type": "Person", "id": HOST}, ["strip"]),
        (
            {"type": ["Person", "Image"], "url": A, "inbox": HOST},
            {"own": "drop"},
            {"type": ["Person", "Image"], "inbox": HOST},
            ["strip"],
        ),
        (
            {"type": ["Person", "Tombstone"], "object": {"type": "Image", "url": A}},
            {"own": "drop"},
            {"type": ["Person", "Tombstone"]},
            ["strip"],
        ),
    ],
)
def test_carrying_out(document: object, actions: dict[str, str], left: object, fates: list[str]) -> None:
    assert carried(document, **actions) == (left, fates)


def test_an_actor_that_shows_media_where_keys_should_be_is_unfit() -> None:
    whole = fetched({"type": "Person", "id": HOST, "endpoints": {"icon": A}})
    bare = outcome(whole, whole.parts[0], decision(hit("drop", None, Cause.TOO_MANY)), ())
    with pytest.raises(UnfitError, match="media stand where only"):
        carry_out(whole, [bare])


def test_an_actor_whose_id_is_its_picture_is_unfit() -> None:
    with pytest.raises(UnfitError, match="media stand where only"):
        carried({"type": ["Person", "Video"], "id": A}, own="drop")
