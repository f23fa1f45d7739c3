"""The presets: what they name, and that their phrases stay short and clinical."""

import pytest

from classifier import presets
from classifier.presets import shapes

SYMBOLS = {
    "child-safety": {"minor", "sexual", "photographic", "drawn"},
    "explicit": {"sexual", "photographic", "drawn"},
    "fedi-safety": {
        *("child", "children", "infant", "infants", "toddler", "toddlers", "teen", "teens"),
        *("nudity", "naked", "porn"),
    },
    "demo-shapes": {"red_circle", "blue_square", "green_triangle", "yellow_star", "pattern"},
}


def test_the_names_are_these() -> None:
    assert set(presets.NAMES) == set(SYMBOLS)


@pytest.mark.parametrize("name", presets.NAMES)
def test_a_preset_gives_its_symbols(name: str) -> None:
    assert set(presets.load(name)) == SYMBOLS[name]


@pytest.mark.parametrize("name", presets.NAMES)
def test_phrases_are_short_and_none_is_for_and_against(name: str) -> None:
    for concept in presets.load(name).values():
        phrases = (*concept.prompts, *concept.against)
        assert len(set(phrases)) == len(phrases)
        assert all(len(phrase.split()) <= 6 for phrase in phrases)


def test_a_photograph_is_not_drawn() -> None:
    for name in ("child-safety", "explicit"):
        concepts = presets.load(name)
        assert set(concepts["photographic"].prompts) <= set(concepts["drawn"].against)
        assert set(concepts["drawn"].prompts) <= set(concepts["photographic"].against)


def test_a_shape_is_asked_for_against_all_that_the_tiny_model_knows() -> None:
    for concept in presets.load("demo-shapes").values():
        assert len(concept.prompts) + len(concept.against) == len(shapes.CLASSES) + 1


def test_a_caller_may_change_what_it_got() -> None:
    presets.load("explicit").clear()
    assert presets.load("explicit")


def test_an_unknown_preset_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'nothing'.*child-safety, explicit, fedi-safety, demo-shapes"):
        presets.load("nothing")
