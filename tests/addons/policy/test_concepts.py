import pytest

from addons.policy.concepts import MAX_CONCEPTS, parse_concepts
from addons.policy.reading import read
from classifier import presets
from classifier.settings import Concept

OWN = "{prompts: [a], against: [b]}"


def _parse(text: str) -> tuple[dict[str, Concept], list[tuple[int, str, str | None]]]:
    document, _ = read(f"concepts: {text}\n".encode(), "c.yaml", {"SET": "explicit"})
    node = document.find(("concepts",))
    assert node is not None
    concepts, problems = parse_concepts(document, node)
    return concepts, [(one.column, one.message, one.hint) for one in problems]


@pytest.mark.parametrize("name", presets.NAMES)
def test_presets(name: str) -> None:
    assert _parse(name) == (presets.load(name), [])
    assert _parse(f"{{preset: {name}}}") == (presets.load(name), [])


@pytest.mark.parametrize("key", ["x", "clip.x"])
def test_concepts_of_ones_own(key: str) -> None:
    assert _parse(f"{{{key}: {OWN}}}") == ({"x": Concept(prompts=("a",), against=("b",))}, [])


def test_own_ones_stand_beside_a_preset_and_go_before_its() -> None:
    concepts, problems = _parse(f"{{clip.minor: {OWN}, clip.new: {OWN}, preset: child-safety}}")
    assert problems == []
    assert set(concepts) == set(presets.load("child-safety")) | {"new"}
    assert concepts["minor"] == Concept(prompts=("a",), against=("b",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("child-safty", (11, '"child-safty" is not a preset', 'did you mean "child-safety"?')),
        ('"${SET}x"', (11, '"${SET}x" is not a preset', None)),
        ("[a]", (11, "a list is not a preset", None)),
        ("", (10, "nothing is not a preset", None)),
        ("{preset: x}", (20, '"x" is not a preset', None)),
        ("{}", (11, "0 concepts", None)),
        (f"{{X: {OWN}}}", (12, '"X" cannot name a concept', None)),
        (f"{{nudity.x: {OWN}}}", (12, '"nudity.x" cannot name a concept', None)),
        (f"{{x: {OWN}, clip.x: {OWN}}}", (45, 'the concept "x" stands here twice', "it stood first in line 1")),
        ("{x: word}", (15, '"word" is not a concept', None)),
        ("{x: {prompts: [a]}}", (12, "concepts.x.against is missing", None)),
        ("{x: {prompts: [], against: [b]}}", (25, "concepts.x.prompts is too short", None)),
        ("{x: {prompts: [a], agianst: [b]}}", (12, "concepts.x.against is missing", None)),
        ("{x: {prompts: [a], against: []}}", (12, "concepts.x.against is missing", None)),
        ("{x: {prompts: [a], score: share}}", (12, "concepts.x.against is missing", None)),
        ("{x: {prompts: [a], score: cosine, against: [b]}}", (54, "concepts.x.against is too long", None)),
        (
            "{x: {prompts: [a], score: cosin}}",
            (37, '"cosin" is not a value of concepts.x.score', 'did you mean "cosine"?'),
        ),
        ("{clip.x: {prompts: [a], against: [['b']]}}", (45, "a list cannot be concepts.clip.x.against", None)),
    ],
)
def test_mistakes_are_named_in_place(text: str, problem: tuple[int, str, str | None]) -> None:
    assert _parse(text)[1][0] == problem


def test_a_plain_cosine_needs_nothing_against_it() -> None:
    assert _parse("{x: {prompts: [a], score: cosine}}") == ({"x": Concept(prompts=("a",), score="cosine")}, [])


def test_an_unknown_key_of_a_concept() -> None:
    assert _parse("{x: {prompts: [a], against: [b], agianst: [c]}}")[1] == [
        (44, 'unknown key "agianst"', 'did you mean "against"?')
    ]


def test_the_number_of_concepts_is_bounded() -> None:
    def own(count: int) -> str:
        return "{" + ", ".join(f"c{n}: {OWN}" for n in range(count)) + "}"

    assert _parse(own(MAX_CONCEPTS))[1] == []
    assert _parse(own(MAX_CONCEPTS + 1))[1] == [(11, "65 concepts", None)]


def test_a_missing_variable_is_told_elsewhere() -> None:
    assert _parse('"${UNSET}"') == ({}, [])
