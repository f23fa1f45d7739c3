from dataclasses import replace

import pytest

from addons.demo.outcome import Finding, Result, finding
from addons.policy.words import Action, Hit
from classifier import JudgedFrame
from tests.addons.demo.results import ASKED, arrival, dropped, entry, medium, passed, undecodable


def test_the_symbol_that_decided_is_told_with_its_medium_and_frame() -> None:
    """Not the highest of all, which another frame and another concept had."""
    assert dropped().found == Finding("clip.red_circle", 0.93, 2, 2, 2, False)


def test_of_several_symbols_that_a_rule_asks_the_highest_is_told() -> None:
    made = entry(
        "drop",
        medium(0, {"clip.a": 0.7, "clip.b": 0.8, "clip.c": 0.9}, cached=True),
        rule="both",
        hits=(Hit(Action.DROP, rule="both", medium=0, frame=0),),
    )
    assert finding(made, {"both": ["clip.a", "clip.b"]}) == Finding("clip.b", 0.8, 1, 1, None, True)


def test_where_no_rule_decided_the_highest_of_all_is_told() -> None:
    made = entry("pass", medium(0, {"clip.a": 0.2}), medium(1, {"clip.b": 0.4}, {"clip.b": 0.3}))
    assert finding(made, ASKED) == Finding("clip.b", 0.4, 2, 2, 0, False)


def test_a_finding_says_where_in_its_file_it_stood() -> None:
    frames = (
        JudgedFrame(0, {"clip.a": 0.1}, at=0.0),
        JudgedFrame(31, {"clip.a": 0.9}, at=3.1),
        JudgedFrame(40, {"clip.a": 0.5}, reading="trailing jpeg"),
    )
    made = entry("pass", replace(medium(0), frames=frames))
    assert finding(made, ASKED) == Finding("clip.a", 0.9, 1, 1, 31, False, 3.1, "")
    made = entry("pass", replace(medium(0), frames=(frames[0], frames[2])))
    assert finding(made, ASKED) == Finding("clip.a", 0.5, 1, 1, 40, False, None, "trailing jpeg")


def test_a_cause_is_no_finding() -> None:
    assert undecodable().found is None
    assert undecodable().right


def test_a_rule_on_context_alone_has_no_medium() -> None:
    made = entry("drop", rule="host", hits=(Hit(Action.DROP, rule="host"),))
    assert finding(made, {"host": []}) is None


def test_what_is_as_the_scene_asks_is_right() -> None:
    assert dropped().problems() == []
    assert passed(arrival()).problems() == []
    assert dropped().right
    assert passed(arrival()).right


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (dropped(status=200), "the answer: 200, not 202"),
        (dropped(arrivals=(arrival(),)), "times it reached the server: 1, not 0"),
        (passed(), "times it reached the server: 0, not 1"),
        (passed(arrival(), arrival()), "times it reached the server: 2, not 1"),
        (passed(arrival(0)), "pictures the server got: 0, not 1"),
        (passed(arrival(None)), "pictures the server got: None, not 1"),
        (passed(arrival(1, 1)), "videos the server got: 1, not 0"),
        (passed(arrival(1, None)), "videos the server got: None, not 0"),
        (passed(arrival(), changes=("body",)), "its body reached the server changed"),
        (replace(passed(arrival()), entry=None), "in the ledger: False, not True"),
        (replace(dropped(), scene=passed().scene), "the action: drop, not pass"),
        (replace(dropped(), scene=replace(dropped().scene, decided="other")), "what decided: red-circle, not other"),
        (replace(dropped(), scene=replace(dropped().scene, media=False)), "in the ledger: True, not False"),
        (replace(dropped(), scene=replace(dropped().scene, cached=True)), "its picture was judged again"),
        (replace(undecodable(), scene=replace(undecodable().scene, cached=True)), "its picture was judged again"),
    ],
)
def test_what_is_not_is_named(result: Result, problem: str) -> None:
    assert problem in result.problems()
    assert not result.right


def test_a_picture_known_from_earlier_is_right_where_that_is_asked() -> None:
    result = passed(arrival(), cached=True)
    assert replace(result, scene=replace(result.scene, cached=True)).right
