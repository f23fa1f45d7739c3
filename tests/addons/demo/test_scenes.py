from collections import Counter
from typing import get_args

import pytest

from addons.activitypub.walk import walk
from addons.demo.scenes import STATUS, Action, Scene, Script

SCENES = Script("http://127.0.0.1:1", "http://127.0.0.1:1/actor").all()
AGAIN = {"the same delivery again, the host is well"}
"""Scenes that send what an earlier one has sent."""


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{scene.software}: {scene.carries}")
def test_a_scene_carries_what_it_says(scene: Scene) -> None:
    found = walk(scene.document, max_depth=64, max_nodes=1000, max_media=32)
    assert found.activity_id == scene.id
    pictures = {ref.url for ref in found.media if ref.kind != "page"}
    assert bool(pictures) == (scene.media and not scene.ahead)
    assert scene.arrives == (scene.action in ("pass", "record", "hold"))
    assert (scene.outcome is None) == (scene.action != "hold")
    assert (scene.decided is None) == (scene.action == "pass")
    if scene.arrives:
        videos = {ref.url for ref in found.media if ref.kind == "video"}
        assert len(videos) == scene.videos
        assert len(pictures - videos) == scene.pictures
    else:
        assert (scene.pictures, scene.videos) == (0, 0)


def test_ids_and_pictures_are_new_in_each_scene_and_each_round() -> None:
    script = Script("http://127.0.0.1:1", "http://127.0.0.1:1/actor")
    first = script.all()
    second = Script("http://127.0.0.1:1", "http://127.0.0.1:1/actor", script.seed).all()
    ids = Counter(scene.id for scene in [*first, *second] if scene.carries not in AGAIN)
    assert set(ids.values()) == {1}
    urls = [
        {ref.url for scene in scenes for ref in walk(scene.document, max_depth=64, max_nodes=999, max_media=32).media}
        for scenes in (first, second)
    ]
    assert urls[0] & urls[1] == {"http://10.0.0.1/cat.jpg"}


def test_every_action_of_the_inbox_door_is_played() -> None:
    assert {scene.action for scene in SCENES} == set(get_args(Action.__value__)) == set(STATUS)
    assert {scene.status for scene in SCENES} == {202, 403}
    assert {scene.software for scene in SCENES} >= {"lemmy", "mastodon", "peertube", "misskey", "akkoma", "pixelfed"}
