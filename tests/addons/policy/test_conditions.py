import math

import pytest

from addons.policy.conditions import (
    MAX_DEPTH,
    AllOf,
    AnyOf,
    Condition,
    IsSensitive,
    NotOf,
    OneOf,
    Operator,
    Parsed,
    SymbolTest,
    leaves,
    parse_when,
    score_test,
    symbol_tests,
)
from addons.policy.reading import read


def _parse(when: str) -> Parsed:
    document, problems = read(f"when: {when}\n".encode(), "c.yaml", {"SET": "clip"})
    node = document.find(("when",))
    assert node is not None
    parsed = parse_when(document, node)
    parsed.problems += problems
    return parsed


@pytest.mark.parametrize(
    ("when", "condition"),
    [
        ('{clip.minor: ">0.5"}', SymbolTest("clip.minor", ">", 0.5)),
        ('{clip.minor: ">= .5"}', SymbolTest("clip.minor", ">=", 0.5)),
        ('{clip.minor: "<1"}', SymbolTest("clip.minor", "<", 1.0)),
        ('{clip.minor: "<=0"}', SymbolTest("clip.minor", "<=", 0.0)),
        ('{clip.minor: "=1"}', SymbolTest("clip.minor", "=", 1.0)),
        ('{clip.minor: "=0"}', SymbolTest("clip.minor", "=", 0.0)),
        ('{clip.minor: "==1"}', SymbolTest("clip.minor", "=", 1.0)),
        ("{hash.ours: 1}", SymbolTest("hash.ours", ">=", 1.0)),
        ("{hash.ours: 0.5}", SymbolTest("hash.ours", ">=", 0.5)),
        ('{hash.ours: "0.5"}', SymbolTest("hash.ours", ">=", 0.5)),
        ("{hash.*: 1}", SymbolTest("hash.*", ">=", 1.0)),
        ("{hash.our-list: 1}", SymbolTest("hash.our-list", ">=", 1.0)),
        ("{host: Spam.example}", OneOf("host", ("spam.example",))),
        ("{host: ['*.Spam.example', spam.example, spam.example]}", OneOf("host", ("*.spam.example", "spam.example"))),
        ("{host: no}", OneOf("host", ("no",))),
        ("{actor: 'https://a.example/users/A'}", OneOf("actor", ("https://a.example/users/A",))),
        ("{door: [inbox, fetch]}", OneOf("door", ("inbox", "fetch"))),
        ("{software: lemmy}", OneOf("software", ("lemmy",))),
        ("{type: Announce}", OneOf("type", ("announce",))),
        ("{address: 198.51.100.0/24}", OneOf("address", ("198.51.100.0/24",))),
        ("{address: [198.51.100.7, '2001:DB8::/32']}", OneOf("address", ("198.51.100.7/32", "2001:db8::/32"))),
        ("{address: '::ffff:198.51.100.0/120'}", OneOf("address", ("198.51.100.0/24",))),
        ("{kind: [avatar, banner]}", OneOf("kind", ("avatar", "banner"))),
        ("{sensitive: true}", IsSensitive(True)),
        ("{sensitive: false}", IsSensitive(False)),
        ("{sensitive: true, door: inbox}", AllOf((IsSensitive(True), OneOf("door", ("inbox",))))),
        ("{any: [{sensitive: true}, {door: inbox}]}", AnyOf((IsSensitive(True), OneOf("door", ("inbox",))))),
        ("{all: [{sensitive: true}]}", AllOf((IsSensitive(True),))),
        ("{not: {sensitive: true}}", NotOf(IsSensitive(True))),
        (
            "{door: inbox, not: {any: [{kind: emoji}]}}",
            AllOf((OneOf("door", ("inbox",)), NotOf(AnyOf((OneOf("kind", ("emoji",)),))))),
        ),
    ],
)
def test_conditions(when: str, condition: Condition) -> None:
    parsed = _parse(when)
    assert parsed.problems == []
    assert parsed.condition == condition


@pytest.mark.parametrize(
    ("when", "column", "message", "hint"),
    [
        ("{}", 7, "an empty condition would match everything", None),
        ("", 6, "nothing is not a condition", None),
        ("[a]", 7, "a list is not a condition", None),
        ("{any: []}", 13, "any: holds an empty list", None),
        ("{all: {a.b: 1}}", 13, "all: holds a mapping", None),
        ("{not: [a]}", 13, "a list is not a condition", None),
        ("{any: [x]}", 14, '"x" is not a condition', None),
        ("{sensitiv: true}", 8, 'unknown condition "sensitiv"', 'did you mean "sensitive"?'),
        ("{sensitive: no}", 19, '"no" cannot be asked of sensitive', 'did you mean "false"?'),
        ("{sensitive: 1}", 19, '"1" cannot be asked of sensitive', None),
        ("{host: []}", 14, "host: holds an empty list and could never match", None),
        ("{host: 'http://a'}", 14, '"http://a" is not a host', None),
        ("{host: [a, 5]}", 18, '"5" cannot be asked of host', None),
        ("{actor: someone}", 15, '"someone" is not an actor', None),
        ("{address: someone}", 17, '"someone" is not a network', None),
        (
            "{address: 198.51.100.7/24}",
            17,
            '"198.51.100.7/24" is not a network',
            "the bits behind the prefix must be 0",
        ),
        ("{address: [192.0.2.1, 1]}", 29, '"1" cannot be asked of address', None),
        ("{address: []}", 17, "address: holds an empty list and could never match", None),
        ("{door: inbx}", 14, '"inbx" is no door', 'did you mean "inbox"?'),
        ("{software: lemy}", 18, '"lemy" is no software', 'did you mean "lemmy"?'),
        ("{kind: imgae}", 14, '"imgae" is no kind', 'did you mean "image"?'),
        ("{type: ''}", 14, '"" cannot be asked of type', None),
        ("{Clip.minor: 1}", 8, '"Clip.minor" is not a symbol', None),
        ("{clip.: 1}", 8, '"clip." is not a symbol', None),
        ("{clip.a: high}", 16, '"high" is not a test of a score', None),
        ("{clip.a: '>0.5x'}", 16, '">0.5x" is not a test of a score', None),
        ("{clip.a: '>-1'}", 16, '">-1" is not a test of a score', None),
        ("{clip.a: .nan}", 16, '".nan" is not a test of a score', None),
        ("{hash.a: true}", 16, '"true" is not a test of a score', "did you mean 1?"),
        ("{clip.a: [1]}", 16, "a list is not a test of a score", None),
        ("{clip.a: 1.1}", 16, '"1.1" can never be: scores lie between 0 and 1', None),
        ("{clip.a: '>1'}", 16, '">1" can never be: scores lie between 0 and 1', None),
        ("{clip.a: '<0'}", 16, '"<0" can never be: scores lie between 0 and 1', None),
        ("{clip.a: 0}", 16, '"0" would always be: every score does', 'for "not found" write "=0"'),
        ("{clip.a: '<=1'}", 16, '"<=1" would always be: every score does', 'for "not found" write "=0"'),
    ],
)
def test_mistakes_are_named_in_place(when: str, column: int, message: str, hint: str | None) -> None:
    parsed = _parse(when)
    assert parsed.condition is None
    assert [(one.column, one.message, one.hint) for one in parsed.problems] == [(column, message, hint)]


def test_every_mistake_is_told_and_every_symbol_known_of() -> None:
    parsed = _parse("{clip.a: high, sensitiv: 1, any: [{clip.b: '>2'}, {kind: x}]}")
    assert len(parsed.problems) == 4
    assert [(asked.symbol, asked.column) for asked in parsed.asked] == [("clip.a", 8), ("clip.b", 42)]


def test_a_value_from_the_environment_is_not_guessed_at() -> None:
    (problem,) = _parse('{kind: "${SET}"}').problems
    assert problem.message == '"${SET}" is no kind'
    assert problem.hint is None


def test_a_value_whose_variable_is_missing_is_told_once() -> None:
    parsed = _parse('{kind: "${UNSET}"}')
    assert parsed.condition is None or parsed.problems
    assert [one.message for one in parsed.problems] == ["the environment variable UNSET is not set"]


@pytest.mark.parametrize("group", ["{any: [%s]}", "{all: [%s]}", "{not: %s}"])
def test_depth_is_bounded(group: str) -> None:
    when = "{sensitive: true}"
    for _ in range(MAX_DEPTH):
        when = group % when
    assert _parse(when).problems == []
    assert [one.message for one in _parse(group % when).problems] == ["conditions nested more than 8 deep"]


@pytest.mark.parametrize(
    ("operator", "holds"),
    [
        (">", (False, False, True)),
        (">=", (False, True, True)),
        ("<", (True, False, False)),
        ("<=", (True, True, False)),
        ("=", (False, True, False)),
    ],
)
def test_comparisons(operator: Operator, holds: tuple[bool, bool, bool]) -> None:
    test = score_test(operator, 0.5)
    assert (test(0.49), test(0.5), test(0.51)) == holds


@pytest.mark.parametrize("operator", [">", ">=", "<", "<=", "="])
def test_a_score_that_is_no_number_satisfies_every_comparison(operator: Operator) -> None:
    assert score_test(operator, 0.5)(math.nan)


def test_leaves_and_symbols() -> None:
    condition = _parse("{sensitive: true, any: [{clip.a: 1}, {not: {clip.b: 1}}], all: [{kind: image}]}").condition
    assert condition is not None
    assert len(list(leaves(condition))) == 4
    assert [test.symbol for test in symbol_tests(condition)] == ["clip.a", "clip.b"]
