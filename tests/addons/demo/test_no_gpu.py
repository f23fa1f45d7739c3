import pytest

from addons.demo.no_gpu import DOOR, PATIENCE, in_order, slow_scenes
from addons.demo.scenes import Scene, Script
from addons.holding.order import ids_of

SCENES = slow_scenes(Script("http://127.0.0.1:1", "http://127.0.0.1:1/actor"))
FIRST, SECOND = SCENES
EVERY = [*FIRST, *SECOND]


def test_every_scene_goes_to_the_slow_one_and_is_answered_in_time() -> None:
    assert {scene.door for scene in EVERY} == {DOOR}
    assert {scene.within for scene in EVERY} == {PATIENCE}
    assert {scene.status for scene in EVERY} == {202}
    assert len({scene.id for scene in EVERY}) == len(EVERY)


def test_every_end_of_a_hold_is_there() -> None:
    assert {scene.outcome for scene in EVERY} == {None, "replayed", "dropped", "withdrawn"}
    assert {scene.carries for scene in EVERY if not scene.arrives} == {
        "no GPU: a post with a forbidden shape",
        "no GPU: a picture on a hash list",
        "no GPU: a post that is deleted meanwhile",
    }


def test_what_is_sent_second_is_about_what_was_sent_first() -> None:
    update, reply, delete = (ids_of(scene.document) for scene in SECOND)
    created, gone = (ids_of(scene.document) for scene in (FIRST[1], FIRST[-1]))
    assert set(update.needs) & set(created.gives)
    assert set(reply.needs) & set(created.gives)
    assert set(delete.removes) & set(gone.gives)
    assert SECOND[0].behind == SECOND[1].behind == FIRST[1].id


@pytest.mark.parametrize(
    ("reached", "wrong"),
    [
        (["a", "b"], 0),
        (["b", "a"], 1),
        (["b", "a", "b"], 1),
        (["a", "b", "a"], 0),
        (["b"], 0),
        ([], 0),
    ],
)
def test_what_overtakes_is_told(reached: list[str], wrong: int) -> None:
    first, second = (Scene("mastodon", id, {"id": id}, behind="a" if id == "b" else None) for id in "ab")
    assert len(in_order([first, second], reached)) == wrong
