from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.activitypub.references import MediaRef
from addons.policy.decide import STRIPS, Policy, decide, decide_on_context
from addons.policy.reading import read
from addons.policy.rules import Rule, parse_rules, preset
from addons.policy.settled import settler
from addons.policy.words import Action, Cause, Context, Door, Medium, Standing, Then
from classifier import JudgedFrame, Judgement, Symbols

KNOWN = {"hash.ours": 1.0}


@cache
def _rule(rule: str) -> Rule:
    document, problems = read(f"rules: [{{name: one, {rule}}}]\n".encode(), "c.yaml", {})
    node = document.find(("rules",))
    assert node is not None
    parsed = parse_rules(document, node)
    assert problems + parsed.problems == []
    return parsed.rules[0]


def _settles(rules: Sequence[str], symbols: Symbols = KNOWN) -> bool:
    found = settler([_rule(rule) for rule in rules])
    return found is not None and found(symbols)


DROP = "when: {hash.ours: 1}, do: drop"
ANY_DROP = "when: {hash.*: 1}, do: drop"
REJECT = "when: {hash.ours: 1}, do: reject"
CLIP_DROP = "when: {clip.a: '>0.5'}, do: drop"
CLIP_REJECT = "when: {clip.a: '>0.5'}, do: reject"
CLIP_STRIP = "when: {clip.a: '>0.5'}, do: strip"
STRIP = "when: {hash.ours: 1}, do: strip"
ADDRESS_REJECT = "when: {address: 192.0.2.0/24}, do: reject"
CLIP_RECORD = "when: {clip.a: '>0.5'}, do: record"
OTHER_DROP = "when: {hash.theirs: 1}, do: drop"
KIND_PASS = "when: {kind: emoji}, do: pass"
HOLD = "when: {hash.ours: 1}, do: hold"
HOLD_RECORD = "when: {hash.ours: 1}, do: hold, then: record"
CLIP_HOLD = "when: {clip.a: '>0.5'}, do: hold"
CLIP_HOLD_RECORD = "when: {clip.a: '>0.5'}, do: hold, then: record"
CLIP_DEFER = "when: {clip.a: '>0.5'}, do: defer"
HOST_REJECT = "when: {host: spam.example}, do: reject"
HOST_PASS = "when: {host: friend.example}, do: pass"
HOST_RECORD = "when: {host: friend.example}, do: record"


@pytest.mark.parametrize(
    ("rules", "settled"),
    [
        pytest.param([DROP], True, id="a known file is dropped"),
        pytest.param([ANY_DROP], True, id="by any list"),
        pytest.param([OTHER_DROP], False, id="another list may know it yet, or not"),
        pytest.param([], False, id="no rule"),
        pytest.param(["when: {hash.ours: 1}, do: record"], False, id="only recorded"),
        pytest.param(["when: {hash.ours: 1}, do: pass", CLIP_DROP], False, id="another frame may be dropped"),
        pytest.param([DROP, CLIP_DROP], True, id="rules after it do not matter"),
        pytest.param([CLIP_RECORD, DROP], True, id="one before it records"),
        pytest.param([CLIP_DROP, DROP], False, id="one before it might apply"),
        pytest.param([OTHER_DROP, DROP], False, id="another list's might"),
        pytest.param(["when: {hash.ours: '=0'}, do: pass", DROP], True, id="one before it does not apply"),
        pytest.param(["when: {not: {hash.*: 1}}, do: pass", DROP], True, id="nor its contrary"),
        pytest.param([KIND_PASS, DROP], False, id="one on the medium before it might apply"),
        pytest.param([HOST_REJECT, DROP], True, id="it would have applied before anything was fetched"),
        pytest.param([HOST_PASS, DROP], True, id="that too"),
        pytest.param([CLIP_RECORD, HOST_PASS, DROP], False, id="not behind a rule on media"),
        pytest.param([HOST_RECORD, DROP], True, id="recorded for its host"),
        pytest.param([REJECT], True, id="rejected, and nothing can be stricter"),
        pytest.param([REJECT, CLIP_REJECT], True, id="nor is this"),
        pytest.param([REJECT, CLIP_DROP], False, id="another frame may be dropped instead"),
        pytest.param([REJECT, CLIP_STRIP], False, id="strip is drop at some doors"),
        pytest.param([DROP, CLIP_STRIP], True, id="and never stricter"),
        pytest.param([STRIP], True, id="stripped, and nothing can be stricter at any door"),
        pytest.param([STRIP, CLIP_REJECT], False, id="strip is laxer at others"),
        pytest.param([STRIP, CLIP_DROP], False, id="than drop too"),
        pytest.param([HOLD], True, id="held, and nothing can be stricter"),
        pytest.param([HOLD, CLIP_DEFER, CLIP_HOLD], True, id="nor are these"),
        pytest.param([HOLD, CLIP_HOLD_RECORD], True, id="a hold that ends in a pass is not"),
        pytest.param([HOLD_RECORD, CLIP_HOLD], False, id="one that ends in a drop is"),
        pytest.param([HOLD_RECORD, CLIP_HOLD_RECORD], True, id="unless both pass in the end"),
        pytest.param([HOLD, CLIP_DROP], False, id="another frame may be dropped rather than held"),
        pytest.param([HOLD, CLIP_STRIP], False, id="or at some doors"),
        pytest.param([CLIP_HOLD, DROP], False, id="a hold before it might apply"),
        pytest.param([DROP, CLIP_HOLD], True, id="known and dropped, whatever is held"),
        pytest.param([ADDRESS_REJECT, DROP], True, id="an address is context as well"),
        pytest.param(["when: {hash.ours: 1, clip.a: '>0.5'}, do: drop"], False, id="more is asked"),
        pytest.param(["when: {hash.ours: 1, sensitive: true}, do: drop"], False, id="context is asked"),
        pytest.param(["when: {any: [{hash.ours: 1}, {clip.a: '>0.5'}]}, do: drop"], True, id="one of them holds"),
        pytest.param(["when: {any: [{hash.theirs: 1}, {clip.a: '>0.5'}]}, do: drop"], False, id="none is known to"),
    ],
)
def test_what_a_known_file_settles(rules: list[str], settled: bool) -> None:
    assert _settles(rules) is settled


@pytest.mark.parametrize(
    "symbols",
    [{}, {"hash.ours": 0.0}, {"hash.ours": 0.9}, {"clip.a": 1.0}, {"hash.ours": 1.0, "allow.friends": 1.0}],
)
def test_what_settles_nothing(symbols: Symbols) -> None:
    assert not _settles([DROP, "when: {clip.a: 1}, do: drop"], symbols)


def test_where_no_rule_could_nothing_is_asked() -> None:
    assert settler([_rule(CLIP_DROP), _rule("when: {hash.ours: 1}, do: record")]) is None
    assert settler([_rule("when: {clip.a: 1}, do: record"), _rule(HOST_REJECT)]) is None


@pytest.mark.parametrize("name", ["child-safety", "known-hashes"])
def test_the_presets_drop_what_is_known(name: str) -> None:
    found = settler(preset(name))
    assert found is not None
    assert found(KNOWN)


_ASKED = st.sampled_from(
    [
        *("{hash.ours: 1}", "{hash.theirs: 1}", "{hash.*: 1}", "{hash.*: '=0'}"),
        *("{clip.a: '>0.5'}", "{clip.a: '<=0.5'}"),
        *("{kind: emoji}", "{sensitive: true}", "{host: a.example}", "{door: inbox}", "{type: create}"),
        "{address: 192.0.2.0/24}",
    ]
)
_CONDITION = st.recursive(
    _ASKED,
    lambda inner: st.one_of(
        inner.map("{{not: {}}}".format),
        st.tuples(st.sampled_from(["any", "all"]), inner, inner).map(lambda one: "{%s: [%s, %s]}" % one),  # noqa: UP031
    ),
    max_leaves=4,
)
_RULES = st.lists(
    st.tuples(
        _CONDITION,
        st.sampled_from(["drop", "reject", "hold", "hold, then: record", "defer", "strip", "record", "pass"]),
    ).map(lambda one: f"when: {one[0]}, do: {one[1]}"),
    max_size=5,
)
_HASHES = st.dictionaries(st.sampled_from(["hash.ours", "hash.theirs"]), st.just(1.0))
_MORE = st.tuples(_HASHES, st.dictionaries(st.just("clip.a"), st.floats(0, 1))).map(lambda one: one[0] | one[1])


@given(
    rules=_RULES,
    known=_HASHES,
    more=_MORE,
    others=st.lists(_MORE, max_size=2),
    at=st.integers(0, 2),
    ref=st.builds(MediaRef, st.just("https://a/x"), st.sampled_from(["image", "emoji"]), st.just("/x"), st.booleans()),
    context=st.builds(
        Context,
        st.sampled_from(["inbox", "fetch"]),
        st.sampled_from([None, "a.example"]),
        types=st.sampled_from([(), ("Create",)]),
        address=st.sampled_from([None, "192.0.2.1"]),
    ),
    standing=st.sampled_from([None, Standing("D1"), Standing("D2", allowed=True)]),
    strips=st.sampled_from([STRIPS, STRIPS | {"inbox"}]),
)
def test_what_is_settled_stays_so_whatever_else_is_found(
    rules: list[str],
    known: dict[str, float],
    more: dict[str, float],
    others: list[dict[str, float]],
    at: int,
    ref: MediaRef,
    context: Context,
    standing: Standing | None,
    strips: frozenset[Door],
) -> None:
    """Of media that are judged at all: with all symbols of all frames the action is that of what was known, at every
    door, and whatever was settled before about the bytes: an allowance is only looked up afterwards."""
    found = [_rule(rule) for rule in rules]
    settles = settler(found)
    policy = Policy(found, dict.fromkeys(Cause, Action.DEFER), strips=strips)
    if settles is None or not settles(known) or decide_on_context(policy, context) is not None:
        return
    frames = [*others[:at], more | known, *others[at:]]

    def action(*symbols: Symbols) -> tuple[Action, Then | None]:
        judged = tuple(JudgedFrame(index, one) for index, one in enumerate(symbols))
        medium = Medium(ref, Judgement("0" * 64, "image/png", 1, 1, judged, "v"), standing=standing)
        decision = decide(policy, context, [medium])
        return decision.action, decision.then

    assert action(known) == action(*frames)
    if standing and standing.allowed:
        assert action(known) == (Action.PASS, None)


def test_what_an_admin_allowed_passes_though_a_list_settled_it() -> None:
    """A judgement that was stopped early lacks symbols; the allowance, looked up by SHA-256 then, needs none."""
    rules = [_rule(DROP), _rule(CLIP_DROP)]
    settles = settler(rules)
    assert settles is not None
    assert settles(KNOWN)
    judgement = Judgement("0" * 64, "image/png", 1, 1, (JudgedFrame(0, KNOWN),), "v")
    allowed = Medium(MediaRef("https://a/x", "image", "/x"), judgement, standing=Standing("D1", allowed=True))
    policy = Policy(rules, dict.fromkeys(Cause, Action.DROP))
    assert decide(policy, Context("inbox"), [allowed]).action is Action.PASS
    assert decide(policy, Context("inbox"), [replace(allowed, standing=None)]).action is Action.DROP
