from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from addons.activitypub.references import MediaRef
from addons.policy.conditions import SymbolTest
from addons.policy.document import Node
from addons.policy.reading import read
from addons.policy.rules import (
    MAX_RULES,
    PRESETS,
    Known,
    ParsedRules,
    Rule,
    asked_symbols,
    compile_test,
    parse_action,
    parse_rules,
    preset,
)
from addons.policy.words import Action, Context, Denial
from classifier import presets as concept_presets
from classifier.detectors.nudity import SYMBOLS


def _parse(rules: str) -> ParsedRules:
    document, problems = read(f"rules: {rules}\n".encode(), "c.yaml", {})
    node = document.find(("rules",))
    assert node is not None
    parsed = parse_rules(document, node)
    parsed.problems += problems
    return parsed


def _rule(when: str, do: str = "drop") -> Rule:
    parsed = _parse(f"[{{name: r, when: {when}, do: {do}}}]")
    assert parsed.problems == []
    return parsed.rules[0]


def test_rules_are_read_in_order() -> None:
    parsed = _parse('[{name: a, when: {clip.x: ">0.5"}, do: record}, {name: b, when: {hash.y: 1}, do: reject}]')
    assert parsed.rules == [
        Rule("a", SymbolTest("clip.x", ">", 0.5), Action.RECORD),
        Rule("b", SymbolTest("hash.y", ">=", 1.0), Action.REJECT),
    ]
    assert asked_symbols(parsed.rules) == {"clip.x", "hash.y"}


RIGHT = "name: a, when: {hash.a: 1}, do: drop"


@pytest.mark.parametrize(
    ("rules", "column", "message", "hint"),
    [
        ("child-safty", 8, '"child-safty" is not a list of rules', 'did you mean "child-safety"?'),
        ("{a: b}", 8, "a mapping is not a list of rules", None),
        ("", 7, "nothing is not a list of rules", None),
        ("[x]", 9, '"x" is not a rule', None),
        ("[{}]", 9, "the rule has no name and no when and no do", None),
        ("[{name: a, do: drop}]", 9, "the rule has no when", None),
        ("[{name: '', when: {hash.a: 1}, do: drop}]", 16, '"" is not a name', None),
        ("[{name: 5, when: {hash.a: 1}, do: drop}]", 16, '"5" is not a name', None),
        (f"[{{{RIGHT}, actoin: x}}]", 48, 'unknown key "actoin"', None),
        (f"[{{{RIGHT}, whn: x}}]", 48, 'unknown key "whn"', 'did you mean "when"?'),
        (f"[{{{RIGHT}, then: drop}}]", 48, '"then" goes only with hold', None),
        (
            "[{name: a, when: {hash.a: 1}, do: hold, then: recrd}]",
            54,
            '"recrd" is not what a hold can end in',
            'did you mean "record"?',
        ),
        ("[{name: a, when: {hash.a: 1}, do: hold, then: [drop]}]", 54, "a list is not what a hold can end in", None),
        (
            "[{name: a, when: {hash.a: 1}, do: hold, deny: {for: 1d}}]",
            48,
            '"deny" goes only with drop and reject',
            None,
        ),
        (
            "[{name: a, when: {hash.a: 1}, do: record, deny: {for: 1d}}]",
            50,
            '"deny" goes only with drop and reject',
            None,
        ),
        (f"[{{{RIGHT}, deny: 1d}}]", 54, '"1d" is not a denial', None),
        (f"[{{{RIGHT}, deny: {{for: 1}}}}]", 60, '"1" is not a duration', 'did you mean "1s"?'),
        (f"[{{{RIGHT}, denny: {{}}}}]", 48, 'unknown key "denny"', 'did you mean "deny"?'),
        (f"[{{{RIGHT}}}, {{{RIGHT}}}]", 56, 'two rules are named "a"', "it stood first in line 1"),
        ("[{name: a, when: {hash.a: 1}, do: rejct}]", 42, '"rejct" is not an action', 'did you mean "reject"?'),
        ("[{name: a, when: {hash.a: 1}, do: [drop]}]", 42, "a list is not an action", None),
        ("[{name: a, when: {hash.a: 2}, do: drop}]", 34, '"2" can never be: scores lie between 0 and 1', None),
    ],
)
def test_mistakes_are_named_in_place(rules: str, column: int, message: str, hint: str | None) -> None:
    assert [(one.column, one.message, one.hint) for one in _parse(rules).problems] == [(column, message, hint)]


def test_every_action_can_be_had() -> None:
    found = [_parse(f"[{{name: a, when: {{hash.a: 1}}, do: {action}}}]").rules for action in Action]
    assert [rule.do for rules in found for rule in rules] == list(Action)


@pytest.mark.parametrize(
    ("more", "then"),
    [("do: hold", "drop"), ("do: hold, then: drop", "drop"), ("do: hold, then: record", "record"), ("do: drop", None)],
)
def test_what_a_rules_hold_ends_in(more: str, then: str | None) -> None:
    (rule,) = _parse(f"[{{name: a, when: {{hash.a: 1}}, {more}}}]").rules
    assert rule.then == then


def test_a_then_in_a_rule_whose_action_is_wrong_is_not_told_twice() -> None:
    problems = _parse("[{name: a, when: {hash.a: 1}, do: hodl, then: drop}]").problems
    assert [one.message for one in problems] == ['"hodl" is not an action']


@pytest.mark.parametrize("action", ["drop", "reject"])
def test_a_rule_may_deny_who_brings_it(action: str) -> None:
    rules = f"[{{{RIGHT}}}, {{name: b, when: {{hash.a: 1}}, do: {action}, deny: {{for: 1d, after: {{hits: 3}}}}}}]"
    parsed = _parse(rules)
    assert parsed.problems == []
    assert [rule.deny for rule in parsed.rules] == [None, Denial(86400.0, hits=3)]


def test_a_broken_rule_leaves_the_others() -> None:
    parsed = _parse(f"[{{name: b, when: {{clip.z: high}}, do: no}}, {{{RIGHT}}}]")
    assert [rule.name for rule in parsed.rules] == ["a"]
    assert len(parsed.problems) == 2
    assert [asked.symbol for asked in parsed.asked] == ["clip.z", "hash.a"]


@pytest.mark.parametrize(("length", "wrong"), [(100, False), (101, True)])
def test_a_name_is_bounded(length: int, wrong: bool) -> None:
    assert bool(_parse(f"[{{name: {'n' * length}, when: {{hash.a: 1}}, do: drop}}]").problems) is wrong


def test_the_number_of_rules_is_bounded() -> None:
    def rules(count: int) -> str:
        return "[" + ", ".join(f"{{name: r{n}, when: {{hash.a: 1}}, do: drop}}" for n in range(count)) + "]"

    assert len(_parse(rules(MAX_RULES)).rules) == MAX_RULES
    parsed = _parse(rules(MAX_RULES + 1))
    assert parsed.rules == []
    assert [one.message for one in parsed.problems] == ["257 rules are too many"]


def test_an_action_whose_variable_is_missing_is_told_once() -> None:
    document, problems = read(b"do: ${UNSET}", "c", {})
    node = document.find(("do",))
    assert node is not None
    assert parse_action(document, node) == (None, [])
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("when", "context_only", "asks_symbols"),
    [
        ("{host: a, actor: 'https://a/b', door: inbox, software: lemmy, type: Create}", True, False),
        ("{address: 192.0.2.1, door: upload}", True, False),
        ("{any: [{host: a}, {not: {type: Create}}]}", True, False),
        ("{kind: image}", False, False),
        ("{sensitive: true}", False, False),
        ("{host: a, sensitive: true}", False, False),
        ("{host: a, clip.x: 1}", False, True),
        ("{any: [{host: a}, {not: {clip.x: 1}}]}", False, True),
    ],
)
def test_what_a_rule_needs(when: str, context_only: bool, asks_symbols: bool) -> None:
    rule = _rule(when)
    assert (rule.context_only, rule.asks_symbols) == (context_only, asks_symbols)


CONTEXT = Context(
    "inbox", host="a.example", actor="https://a.example/u", types=("Announce", "Create", "Note"), software="lemmy"
)
IMAGE = MediaRef("https://a.example/i.png", "image", "/attachment/0", sensitive=True)


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ("{host: a.example}", True),
        ("{host: A.EXAMPLE}", True),
        ("{host: '*.example'}", True),
        ("{host: '*.a.example'}", False),
        ("{host: [b.example, a.example]}", True),
        ("{actor: 'https://a.example/u'}", True),
        ("{actor: 'https://a.example/'}", False),
        ("{door: inbox}", True),
        ("{door: [fetch, upload]}", False),
        ("{software: [mastodon, lemmy]}", True),
        ("{software: mastodon}", False),
        ("{type: create}", True),
        ("{type: [Like, Note]}", True),
        ("{type: Delete}", False),
        ("{kind: image}", True),
        ("{kind: [avatar, banner]}", False),
        ("{sensitive: true}", True),
        ("{sensitive: false}", False),
        ('{clip.a: ">0.5"}', True),
        ('{clip.a: ">0.6"}', False),
        ('{clip.absent: "<0.5"}', True),
        ('{clip.absent: "=0"}', True),
        ('{clip.absent: ">0"}', False),
        ("{hash.ours: 1}", True),
        ("{hash.*: 1}", True),
        ('{clip.a: ">0.5", hash.ours: 1}', True),
        ('{clip.a: ">0.5", hash.other: 1}', False),
        ('{any: [{clip.a: ">0.9"}, {kind: image}]}', True),
        ('{any: [{clip.a: ">0.9"}, {kind: video}]}', False),
        ('{all: [{clip.a: ">0.5"}, {kind: image}]}', True),
        ('{all: [{clip.a: ">0.5"}, {kind: video}]}', False),
        ("{not: {kind: image}}", False),
        ("{not: {kind: image, door: fetch}}", True),
    ],
)
def test_whether_a_condition_holds(when: str, holds: bool) -> None:
    assert compile_test(_rule(when).when)(CONTEXT, IMAGE, {"clip.a": 0.6, "hash.ours": 1.0}) is holds


@pytest.mark.parametrize(
    ("asked", "address", "holds"),
    [
        ("198.51.100.0/24", "198.51.100.0", True),
        ("198.51.100.0/24", "198.51.100.255", True),
        ("198.51.100.0/24", "198.51.101.0", False),
        ("198.51.100.0/24", "::ffff:198.51.100.7", True),
        ("'::ffff:198.51.100.0/120'", "198.51.100.7", True),
        ("'::/0'", "198.51.100.7", False),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("198.51.100.7", "198.51.100.7", True),
        ("198.51.100.7", "198.51.100.8", False),
        ("'2001:db8::/32'", "2001:0DB8::1", True),
        ("'fe80::/10'", "fe80::1%eth0", True),
        ("[192.0.2.1, '2001:db8::/32']", "2001:db8::1", True),
        ("0.0.0.0/0", None, False),
        ("0.0.0.0/0", "unknown", False),
    ],
)
def test_who_is_within_a_network(asked: str, address: str | None, holds: bool) -> None:
    test = compile_test(_rule(f"{{address: {asked}}}").when)
    assert test(replace(CONTEXT, address=address), IMAGE, {}) is holds


def test_hash_star_is_no_symbol_of_another_detector() -> None:
    test = compile_test(_rule("{hash.*: 1}").when)
    assert not test(CONTEXT, IMAGE, {"clip.hash": 1.0, "nudity.explicit": 1.0})


def test_a_context_that_knows_little_matches_little() -> None:
    unknown = Context("inbox")
    for when in ("{host: a.example}", "{actor: 'https://a.example/u'}", "{type: Create}"):
        assert not compile_test(_rule(when).when)(unknown, IMAGE, {})


KNOWN = Known({"clip": frozenset({"clip.minor", "clip.sexual"}), "nudity": None, "hash": frozenset({"hash.ours"})})


@pytest.mark.parametrize(
    ("symbol", "complaint"),
    [
        ("clip.minor", None),
        ("hash.ours", None),
        ("hash.*", None),
        ("clip.minr", ('unknown symbol "clip.minr"', "one of clip.minor, clip.sexual", 'did you mean "clip.minor"?')),
        ("hash.other", ('unknown symbol "hash.other"', "hash.ours", 'did you mean "hash.ours"?')),
        (
            "clpi.minor",
            ('unknown symbol "clpi.minor"', "a symbol of one of clip, hash, nudity", 'did you mean "clip.minor"?'),
        ),
        (
            "nudity.explicit",
            (
                'nothing gives "nudity.explicit": the detector nudity is off',
                "the detector nudity on, or no rule that asks for it",
                None,
            ),
        ),
    ],
)
def test_symbols_that_nothing_gives(symbol: str, complaint: tuple[str, str, str | None] | None) -> None:
    assert KNOWN.complaint(symbol) == complaint


def test_without_hash_lists() -> None:
    known = Known({"hash": frozenset()})
    assert known.complaint("hash.*") == ('nothing gives "hash.*"', "a list under classifier.hashes", None)
    assert known.complaint("hash.a") == ('unknown symbol "hash.a"', "a list under classifier.hashes", None)


@pytest.mark.parametrize("symbol", ["hash.fine", "allow.fine"])
def test_no_rule_asks_for_an_allow_list(symbol: str) -> None:
    known = Known({"hash": frozenset({"hash.ours"})}, frozenset({"fine"}))
    complaint = known.complaint(symbol)
    assert complaint is not None
    assert complaint[0] == '"fine" is an allow list: what is on it passes before any rule is tried'
    assert known.complaint("hash.ours") is None


def test_broken_concepts_are_told_of_elsewhere() -> None:
    assert Known({"clip": frozenset()}).complaint("clip.minor") is None


@pytest.mark.parametrize("name", PRESETS)
def test_presets_load_and_keep_known_material_out(name: str) -> None:
    rules = preset(name)
    known = next(rule for rule in rules if rule.name == "known-material")
    assert known.do is Action.DROP
    assert compile_test(known.when)(CONTEXT, IMAGE, {"hash.any-list": 1.0})
    assert not compile_test(known.when)(CONTEXT, IMAGE, {"clip.minor": 1.0})


def test_the_presets_are_the_files_there_are() -> None:
    from addons.policy import rules

    folder = Path(rules.__file__).with_name("presets")
    assert {path.stem for path in folder.glob("*.yaml")} == set(PRESETS)


def test_child_safety_asks_what_its_concepts_and_nudity_give() -> None:
    asked = asked_symbols(preset("child-safety"))
    given = {f"clip.{name}" for name in concept_presets.load("child-safety")} | SYMBOLS | {"hash.*"}
    assert asked <= given


_CONTEXT = {
    "child": 0.188,
    "children": 0.188,
    "infant": 0.19,
    "infants": 0.19,
    "toddler": 0.19,
    "toddlers": 0.19,
    "teen": 0.21,
    "teens": 0.21,
}
_CRITICAL = {
    "child": 0.225,
    "children": 0.225,
    "infant": 0.22,
    "infants": 0.22,
    "toddler": 0.22,
    "toddlers": 0.22,
    "teen": 0.26,
    "teens": 0.26,
}
_SEXUAL = {"nudity": 0.175, "naked": 0.175, "porn": 0.185}


def counted(scores: Mapping[str, float]) -> bool:
    """As horde-safety counts: a word above its threshold counts once, far above it twice more; three are needed."""
    found = sum(scores[word] > bound for word, bound in _CONTEXT.items())
    found += sum(2 * (scores[word] > bound) for word, bound in _CRITICAL.items())
    return found >= 3 and any(scores[word] > bound for word, bound in _SEXUAL.items())


def test_fedi_safety_counts_as_horde_safety_does() -> None:
    tests = [compile_test(rule.when) for rule in preset("fedi-safety")]
    draw = Random(5)
    verdicts: Counter[bool] = Counter()
    for _ in range(20_000):
        # Where a few words lie just above or below: that is what tells one way of counting from another.
        scores = {word: bound + draw.choice([-0.02, -0.02, 0.0, 0.001]) for word, bound in (_CONTEXT | _SEXUAL).items()}
        if draw.random() < 0.2:
            word = draw.choice(list(_CRITICAL))
            scores[word] = _CRITICAL[word] + draw.choice([0.0, 0.001])
        symbols = {f"clip.{word}": score for word, score in scores.items()}
        dropped = any(test(CONTEXT, IMAGE, symbols) for test in tests)
        assert dropped == counted(scores), scores
        verdicts[dropped] += 1
    assert min(verdicts.values()) > 2_000


def test_fedi_safety_asks_what_its_concepts_give() -> None:
    given = {f"clip.{name}" for name in concept_presets.load("fedi-safety")} | {"hash.*"}
    assert asked_symbols(preset("fedi-safety")) == given


def test_child_safety_needs_two_findings_together() -> None:
    tests = [compile_test(rule.when) for rule in preset("child-safety")]

    def dropped(**symbols: float) -> bool:
        return any(
            test(CONTEXT, IMAGE, {name.replace("_", "."): score for name, score in symbols.items()}) for test in tests
        )

    assert not dropped(clip_minor=1.0)
    assert not dropped(clip_sexual=1.0, nudity_explicit=1.0)
    assert dropped(clip_minor=0.51, clip_sexual=0.61)
    assert not dropped(clip_minor=0.5, clip_sexual=0.61)
    assert dropped(clip_minor=0.51, nudity_explicit=0.61)
    assert dropped(hash_a=1.0)


def test_there_is_no_other_preset() -> None:
    with pytest.raises(KeyError):
        preset("../presets/child-safety")


def test_a_list_of_rules_that_could_not_be_read_is_told_once() -> None:
    document, _ = read(b"a: 1", "c", {})
    assert parse_rules(document, Node(1, 4, None, "${X}", broken=True)).problems == []
