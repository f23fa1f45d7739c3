from dataclasses import replace
from datetime import timedelta

import pytest

from addons.activitypub.references import MediaRef
from addons.ledger.entry import BODY, FRAMES, HITS, ID, MATCHES, MEDIA, MESSAGE, TYPES, URL, new_id
from addons.policy.words import Action, Cause, Context, Decision, Hit, Medium
from classifier import JudgedFrame
from tests.addons.ledger.samples import CONTEXT, FAILED, GOOD, JUDGED, MATCH, NOW, WALK, entry


def test_an_entry_says_what_was_decided_and_why() -> None:
    made = entry()
    assert (made.door, made.action, made.rule, made.cause, made.host) == (
        "inbox",
        "drop",
        "forbidden",
        None,
        "a.example",
    )
    assert (made.took_ms, made.at, made.types) == (250.0, NOW, ("Create", "Note"))
    assert [(medium.index, medium.cause, medium.took_ms) for medium in made.media] == [
        (0, None, 12.5),
        (1, "timeout", None),
    ]


@pytest.mark.parametrize(
    ("action", "mode", "kept"),
    [
        (Action.DROP, "enforce", True),
        (Action.REJECT, "enforce", True),
        (Action.RECORD, "enforce", False),
        (Action.PASS, "enforce", False),
        (Action.DROP, "observe", False),
    ],
)
def test_a_body_is_kept_only_of_what_did_not_arrive(action: Action, mode: str, kept: bool) -> None:
    made = entry(decision=Decision(action), mode=mode)
    assert (made.body is not None) is kept


@pytest.mark.parametrize(("size", "kept"), [(BODY, True), (BODY + 1, False)])
def test_a_body_is_bounded(size: int, kept: bool) -> None:
    assert (entry(body=b"a" * size).body is not None) is kept


@pytest.mark.parametrize("over", [0, 1])
def test_texts_are_bounded(over: int) -> None:
    url, id, said = "u" * (URL + over), "i" * (ID + over), "m" * (MESSAGE + over)
    medium = Medium(MediaRef(url, "image", id), cause=Cause.TIMEOUT, message=said, final_url=url)
    made = entry(media=(medium,), walk=replace(WALK, actor=id, activity_id=id, object_id=id))
    one = made.media[0]
    texts = [one.url, one.final_url, one.path, one.message, made.actor, made.activity_id, made.object_id]
    assert [len(text or "") for text in texts] == [URL, URL, ID, MESSAGE, ID, ID, ID]
    assert all((text or "").endswith("…") is bool(over) for text in texts)


@pytest.mark.parametrize("over", [0, 1])
def test_lists_are_bounded(over: int) -> None:
    judged = replace(JUDGED, frames=(JudgedFrame(0, {}),) * (64 + over), matches=(MATCH,) * (MATCHES + over))
    hits = (Hit(Action.RECORD, rule="r"),) * (HITS + over)
    made = entry(
        media=(replace(GOOD, judgement=judged),) * (MEDIA + over),
        decision=Decision(Action.RECORD, hits[0], hits),
        walk=replace(WALK, types=("Announce",) * (TYPES + over)),
    )
    assert (len(made.media), made.media_count) == (MEDIA, MEDIA + over)
    assert (len(made.hits), len(made.types)) == (HITS, TYPES)
    assert (len(made.media[0].frames), len(made.media[0].matches)) == (64, MATCHES)


def test_the_medium_that_decided_is_kept_whatever_its_place() -> None:
    hit = Hit(Action.DROP, rule="r", medium=MEDIA + 9)
    made = entry(media=(FAILED,) * (MEDIA + 10), decision=Decision(Action.DROP, hit, (hit,)))
    assert [medium.index for medium in made.media] == [*range(MEDIA - 1), MEDIA + 9]


@pytest.mark.parametrize("extra", [0, 1, 100])
def test_the_frame_that_decided_is_kept_whatever_its_place(extra: int) -> None:
    assert GOOD.judgement is not None
    last = FRAMES + extra - 1
    frames = tuple(JudgedFrame(number, {}) for number in range(FRAMES + extra))
    medium = replace(GOOD, judgement=replace(GOOD.judgement, frames=frames))
    hit = Hit(Action.DROP, rule="r", medium=0, frame=last)
    (kept,) = entry(decision=Decision(Action.DROP, hit, (hit,)), media=[medium]).media
    assert [frame.index for frame in kept.frames] == [*range(FRAMES - 1), last]


def test_without_an_activity_the_context_speaks() -> None:
    made = entry(walk=None, context=Context("validate", None, None, ("Image",)), media=(), body=None)
    assert (made.activity_id, made.actor, made.types, made.overflow) == (None, None, ("Image",), None)
    assert entry(walk=replace(WALK, actor=None)).actor == CONTEXT.actor


def test_the_weight_grows_with_what_is_held() -> None:
    assert entry(body=b"a" * 1000).weight - entry(body=b"").weight == 1000
    assert entry(media=(GOOD, GOOD)).weight > entry(media=(GOOD,)).weight > entry(media=()).weight


def test_ids_differ_and_sort_by_time() -> None:
    later = [new_id(NOW + timedelta(milliseconds=step)) for step in range(1000)]
    assert later == sorted(later)
    assert len({new_id(NOW) for _ in range(1000)}) == 1000
    assert {len(id) for id in later} == {20}
