from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.activitypub.references import Kind, MediaRef
from addons.policy.decide import STRIPS, Policy, decide, decide_on_context
from addons.policy.reading import read
from addons.policy.rules import Rule, parse_rules
from addons.policy.sections import On
from addons.policy.words import Action, Cause, Context, Decision, Door, Hit, Medium, Standing, Then
from classifier import JudgedFrame, Judgement

ON = dict.fromkeys(Cause, Action.DEFER) | {
    Cause.UNDECODABLE: Action.DROP,
    Cause.TOO_MANY: Action.DROP,
    Cause.UNSUPPORTED: Action.RECORD,
    Cause.LEDGER_ERROR: Action.PASS,
}


@cache
def _rule(rule: str) -> Rule:
    document, problems = read(f"rules: [{{{rule}}}]\n".encode(), "c.yaml", {})
    node = document.find(("rules",))
    assert node is not None
    parsed = parse_rules(document, node)
    assert problems + parsed.problems == []
    return parsed.rules[0]


def _rules(*rules: str) -> list[Rule]:
    return [_rule(rule) for rule in rules]


def _policy(*rules: str, observe: bool = False) -> Policy:
    return Policy(_rules(*rules), ON, observe=observe)


def _ref(kind: Kind = "image", sensitive: bool = False) -> MediaRef:
    return MediaRef("https://a.example/x", kind, "/url", sensitive)


def _judged(*frames: Mapping[str, float], kind: Kind = "image", sensitive: bool = False) -> Medium:
    judged = tuple(JudgedFrame(index, dict(symbols)) for index, symbols in enumerate(frames))
    return Medium(_ref(kind, sensitive), Judgement("0" * 64, "image/png", 1, 1, judged, "v"))


def _failed(cause: Cause, kind: Kind = "image", sensitive: bool = False) -> Medium:
    return Medium(_ref(kind, sensitive), cause=cause)


CONTEXT = Context("inbox", host="spam.example", types=("Create", "Note"))
ELSEWHERE = Context("inbox", host="other.example", types=("Create", "Note"))

DROP_BOTH = "name: both, when: {clip.a: '>0.5', clip.b: '>0.5'}, do: drop"
DROP_A = "name: drop-a, when: {clip.a: '>0.5'}, do: drop"
REJECT_B = "name: reject-b, when: {clip.b: '>0.5'}, do: reject"
RECORD_A = "name: record-a, when: {clip.a: '>0.5'}, do: record"
PASS_EMOJI = "name: pass-emoji, when: {kind: emoji}, do: pass"
RECORD_KIND = "name: record-kind, when: {kind: image}, do: record"
REJECT_HOST = "name: host, when: {host: spam.example}, do: reject"
DROP_HOST = "name: drop-host, when: {host: spam.example}, do: drop"
RECORD_HOST = "name: note-host, when: {host: spam.example}, do: record"
PASS_HOST = "name: friend, when: {host: spam.example}, do: pass"
DROP_WITHOUT_A = "name: without, when: {clip.a: '=0'}, do: drop"
DROP_UNMARKED = "name: unmarked, when: {clip.a: '>0.5', sensitive: false}, do: drop"


def _told(decision: Decision) -> list[tuple[str, int | None, int | None]]:
    return [(hit.rule or f"!{hit.cause}", hit.medium, hit.frame) for hit in decision.hits]


@pytest.mark.parametrize(
    ("rules", "media", "causes", "action", "deciding", "hits"),
    [
        pytest.param([DROP_A], [], [], "pass", None, [], id="no media"),
        pytest.param([DROP_A], [_judged({"clip.a": 0.4})], [], "pass", None, [], id="no rule applies"),
        pytest.param([], [_judged({"clip.a": 1.0})], [], "pass", None, [], id="no rules"),
        pytest.param([DROP_A], [_judged({"clip.a": 0.6})], [], "drop", "drop-a", [("drop-a", 0, 0)], id="one rule"),
        pytest.param(
            [DROP_BOTH],
            [_judged({"clip.a": 1.0}), _judged({"clip.b": 1.0})],
            [],
            "pass",
            None,
            [],
            id="two media never add",
        ),
        pytest.param(
            [DROP_BOTH], [_judged({"clip.a": 1.0}, {"clip.b": 1.0})], [], "pass", None, [], id="nor two frames"
        ),
        pytest.param(
            [DROP_BOTH],
            [_judged({"clip.a": 1.0}, {"clip.a": 1.0, "clip.b": 1.0})],
            [],
            "drop",
            "both",
            [("both", 0, 1)],
            id="one frame is enough",
        ),
        pytest.param(
            [RECORD_A, DROP_A],
            [_judged({"clip.a": 1.0})],
            [],
            "drop",
            "drop-a",
            [("record-a", 0, 0), ("drop-a", 0, 0)],
            id="record goes on",
        ),
        pytest.param(
            [DROP_A, RECORD_A], [_judged({"clip.a": 1.0})], [], "drop", "drop-a", [("drop-a", 0, 0)], id="drop ends"
        ),
        pytest.param(
            [REJECT_B, DROP_A],
            [_judged({"clip.a": 1.0, "clip.b": 1.0})],
            [],
            "reject",
            "reject-b",
            [("reject-b", 0, 0)],
            id="the first rule ends the turn though a later one is stricter",
        ),
        pytest.param(
            [REJECT_B, DROP_A],
            [_judged({"clip.b": 1.0}), _judged({"clip.a": 1.0})],
            [],
            "drop",
            "drop-a",
            [("reject-b", 0, 0), ("drop-a", 1, 0)],
            id="each medium has its turn, the strictest wins",
        ),
        pytest.param(
            [REJECT_B, DROP_A],
            [_judged({"clip.b": 1.0}, {"clip.a": 1.0})],
            [],
            "drop",
            "drop-a",
            [("reject-b", 0, 0), ("drop-a", 0, 1)],
            id="each frame has its turn",
        ),
        pytest.param(
            [PASS_EMOJI, DROP_A],
            [_judged({"clip.a": 1.0}, kind="emoji")],
            [],
            "pass",
            "pass-emoji",
            [("pass-emoji", 0, None)],
            id="pass ends the turn",
        ),
        pytest.param(
            [PASS_EMOJI, DROP_A],
            [_judged({"clip.a": 1.0}, kind="emoji"), _judged({"clip.a": 1.0})],
            [],
            "drop",
            "drop-a",
            [("pass-emoji", 0, None), ("drop-a", 1, 0)],
            id="pass of one does not spare another",
        ),
        pytest.param(
            [RECORD_KIND, DROP_A],
            [_judged({}, {}, {"clip.a": 1.0})],
            [],
            "drop",
            "drop-a",
            [("record-kind", 0, None), ("drop-a", 0, 2)],
            id="what asks no symbol is noted once for all frames",
        ),
        pytest.param(
            [DROP_A], [_failed(Cause.TIMEOUT)], [], "defer", "!timeout", [("!timeout", 0, None)], id="a cause"
        ),
        pytest.param(
            [DROP_A],
            [_failed(Cause.TIMEOUT), _judged({"clip.a": 1.0})],
            [],
            "drop",
            "drop-a",
            [("!timeout", 0, None), ("drop-a", 1, 0)],
            id="a cause beside a rule",
        ),
        pytest.param(
            [RECORD_A],
            [_judged({"clip.a": 1.0}), _failed(Cause.UNDECODABLE)],
            [],
            "drop",
            "!undecodable",
            [("record-a", 0, 0), ("!undecodable", 1, None)],
            id="a stricter cause beside a rule",
        ),
        pytest.param(
            [RECORD_KIND],
            [_failed(Cause.TIMEOUT)],
            [],
            "defer",
            "!timeout",
            [("!timeout", 0, None), ("record-kind", 0, None)],
            id="rules without symbols apply to what was not judged",
        ),
        pytest.param(
            ["name: no-video, when: {kind: video}, do: reject"],
            [_failed(Cause.UNSUPPORTED, kind="video")],
            [],
            "reject",
            "no-video",
            [("!unsupported", 0, None), ("no-video", 0, None)],
            id="and may be stricter than the cause",
        ),
        pytest.param(
            [PASS_EMOJI],
            [_failed(Cause.TIMEOUT, kind="emoji")],
            [],
            "defer",
            "!timeout",
            [("!timeout", 0, None), ("pass-emoji", 0, None)],
            id="but never make it laxer",
        ),
        pytest.param(
            [DROP_WITHOUT_A],
            [_failed(Cause.TIMEOUT)],
            [],
            "defer",
            "!timeout",
            [("!timeout", 0, None)],
            id="an absent symbol of what was not judged is not 0",
        ),
        pytest.param(
            [DROP_WITHOUT_A],
            [_judged({})],
            [],
            "drop",
            "without",
            [("without", 0, 0)],
            id="an absent symbol of what was is 0",
        ),
        pytest.param(
            [], [_failed(Cause.UNSUPPORTED)], [], "record", "!unsupported", [("!unsupported", 0, None)], id="on record"
        ),
        pytest.param(
            [DROP_UNMARKED],
            [_judged({"clip.a": 1.0}, sensitive=True), _judged({}, sensitive=False)],
            [],
            "pass",
            None,
            [],
            id="sensitive is each reference's own",
        ),
        pytest.param(
            [],
            [],
            [Cause.TOO_MANY],
            "drop",
            "!too_many",
            [("!too_many", None, None)],
            id="a cause of the whole delivery",
        ),
        pytest.param(
            [],
            [_failed(Cause.BUSY)],
            [Cause.LEDGER_ERROR],
            "defer",
            "!busy",
            [("!ledger_error", None, None), ("!busy", 0, None)],
            id="a pass on a cause spares nothing",
        ),
        pytest.param(
            [DROP_A],
            [Medium(_ref())],
            [],
            "defer",
            "!detector_error",
            [("!detector_error", 0, None)],
            id="neither judgement nor cause",
        ),
        pytest.param(
            [DROP_A],
            [_judged()],
            [],
            "defer",
            "!detector_error",
            [("!detector_error", 0, None)],
            id="a judgement of nothing",
        ),
        pytest.param(
            [DROP_A],
            [_judged({"clip.a": float("nan")})],
            [],
            "drop",
            "drop-a",
            [("drop-a", 0, 0)],
            id="a score that is no number is never laxer",
        ),
    ],
)
def test_decisions(
    rules: list[str],
    media: list[Medium],
    causes: list[Cause],
    action: str,
    deciding: str | None,
    hits: list[tuple[str, int | None, int | None]],
) -> None:
    for observe in (False, True):  # in observe decisions are computed alike; the door acts differently
        policy = _policy(*rules, observe=observe)
        decision = decide(policy, ELSEWHERE, media, causes)
        assert policy.observe is observe
        assert decision.action == action
        assert (decision.rule or (f"!{decision.cause}" if decision.cause else None)) == deciding
        assert _told(decision) == hits


BAD = _judged({"clip.a": 1.0})


@pytest.mark.parametrize(
    ("rules", "at_once", "with_bad_image"),
    [
        pytest.param([REJECT_HOST, DROP_A], "reject", "reject", id="stricter than record: at once"),
        pytest.param([DROP_A, REJECT_HOST], "reject", "reject", id="even behind a rule on media"),
        pytest.param([RECORD_HOST, DROP_A], None, "drop", id="record: not at once"),
        pytest.param([RECORD_HOST], None, "record", id="record with nothing else"),
        pytest.param([PASS_HOST, DROP_A], "pass", "pass", id="pass before any rule on media: at once"),
        pytest.param([DROP_A, PASS_HOST], None, "drop", id="pass behind one: it ends each medium's turn only"),
        pytest.param([RECORD_A, PASS_HOST, DROP_A], None, "record", id="and then the later rules are not asked"),
        pytest.param([PASS_HOST, REJECT_HOST], "pass", "pass", id="the first that ends a turn, pass"),
        pytest.param([REJECT_HOST, DROP_HOST], "reject", "reject", id="the first that ends a turn, reject"),
        pytest.param([DROP_A, PASS_HOST, REJECT_HOST], None, "drop", id="behind a pass nothing is asked"),
        pytest.param([RECORD_HOST, REJECT_HOST], "reject", "reject", id="record, then at once"),
        pytest.param([DROP_A], None, "drop", id="no rule on context"),
    ],
)
def test_context_only_rules(rules: list[str], at_once: str | None, with_bad_image: str) -> None:
    policy = _policy(*rules)
    decision = decide_on_context(policy, CONTEXT)
    assert (decision.action if decision else None) == at_once
    assert decide(policy, CONTEXT, [BAD]).action == with_bad_image
    if decision is not None:
        assert decide(policy, CONTEXT, [BAD], [Cause.TOO_MANY]) == decision
    assert decide_on_context(policy, ELSEWHERE) is None


def test_context_hits_are_noted_once_and_first() -> None:
    policy = _policy(RECORD_A, RECORD_HOST)
    decision = decide(policy, CONTEXT, [BAD, BAD])
    assert _told(decision) == [("note-host", None, None), ("record-a", 0, 0), ("record-a", 1, 0)]
    assert _told(decide(policy, CONTEXT, [])) == [("note-host", None, None)]


def test_a_pass_that_only_ends_turns_is_noted_and_does_not_spare_a_cause() -> None:
    policy = _policy(DROP_A, PASS_HOST, DROP_WITHOUT_A)
    assert decide(policy, CONTEXT, [_judged({})]) == Decision(
        Action.PASS, Hit(Action.PASS, rule="friend"), (Hit(Action.PASS, rule="friend"),)
    )
    assert decide(policy, CONTEXT, [_failed(Cause.BUSY)]).action is Action.DEFER


def test_a_decision_at_once_tells_what_was_noted_before() -> None:
    decision = decide_on_context(_policy(RECORD_HOST, REJECT_HOST), CONTEXT)
    assert decision is not None
    assert decision.rule == "host"
    assert _told(decision) == [("note-host", None, None), ("host", None, None)]


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_its_action(cause: Cause) -> None:
    for action in Action:
        policy = Policy([], ON | {cause: action}, strips=STRIPS | {"inbox"})
        decision = decide(policy, CONTEXT, [_failed(cause)])
        assert (decision.action, decision.cause) == (action, cause)
        whole = Hit(action, cause=cause, then="drop" if action is Action.HOLD else None)
        assert decide(policy, CONTEXT, [], [cause]) == Decision(action, whole, (whole,))


STRIP_A = "name: strip-a, when: {clip.a: '>0.5'}, do: strip"
STRIP_HOST = "name: strip-host, when: {host: spam.example}, do: strip"


@pytest.mark.parametrize(
    ("strips", "door", "action"),
    [
        (STRIPS, "inbox", Action.DROP),
        (STRIPS | {"inbox"}, "inbox", Action.STRIP),
        *((STRIPS, door, Action.STRIP) for door in ("fetch", "pictrs", "validate", "upload")),
    ],
)
def test_strip_is_drop_where_it_would_not_hide(strips: frozenset[Door], door: Door, action: Action) -> None:
    """Whatever asks for it: a rule on media or on context, a cause of one medium or of all, the block set."""
    actions = dict.fromkeys(Cause, Action.STRIP)
    by_rule = Policy(_rules(STRIP_A), actions, strips=strips)
    context = Context(door, host="spam.example")
    blocked = replace(_judged({}), standing=Standing("D1"))
    assert by_rule.acts(Action.STRIP, door) is action
    assert decide(by_rule, context, [_judged({"clip.a": 1.0})]).action is action
    assert decide(by_rule, context, [_failed(Cause.TIMEOUT)]).action is action
    assert decide(by_rule, context, [], [Cause.TOO_MANY]).action is action
    assert decide(by_rule, context, [blocked]).action is action
    at_once = decide_on_context(Policy(_rules(STRIP_HOST), actions, strips=strips), context)
    assert at_once is not None
    assert at_once.action is action


@pytest.mark.parametrize("action", [one for one in Action if one is not Action.STRIP])
@pytest.mark.parametrize("door", get_args(Door.__value__))
def test_no_other_action_hangs_on_the_door(door: Door, action: Action) -> None:
    assert Policy([], ON).acts(action, door) is action


@pytest.mark.parametrize(
    ("strips", "action", "rule"), [(STRIPS, "drop", "strip-a"), (STRIPS | {"inbox"}, "reject", "reject-b")]
)
def test_strictness_is_that_of_what_is_done(strips: frozenset[Door], action: str, rule: str) -> None:
    policy = Policy(_rules(STRIP_A, REJECT_B), ON, strips=strips)
    decision = decide(policy, ELSEWHERE, [_judged({"clip.a": 1.0}), _judged({"clip.b": 1.0})])
    assert (decision.action, decision.rule) == (action, rule)


def test_the_order_of_strictness() -> None:
    assert sorted(Action, key=lambda action: action.rank) == [
        *(Action.DROP, Action.REJECT, Action.HOLD, Action.DEFER, Action.STRIP, Action.RECORD, Action.PASS)
    ]


def test_a_policy_needs_an_action_for_every_cause() -> None:
    with pytest.raises(KeyError):
        Policy([], {})


def test_the_version_changes_with_all_that_a_decision_hangs_on() -> None:
    rules = _rules(DROP_A, RECORD_A)
    versions = [
        Policy(rules, ON).version,
        Policy(rules[::-1], ON).version,
        Policy(_rules(DROP_A.replace("0.5", "0.6"), RECORD_A), ON).version,
        Policy(rules, ON | {Cause.BUSY: Action.DROP}).version,
        Policy(_rules(HOLD_A), ON).version,
        Policy(_rules(HOLD_A_RECORD), ON).version,
        Policy(_rules(DROP_A), ON).version,
        Policy(_rules(DROP_A + ", deny: {for: 1d}"), ON).version,
        Policy(_rules(DROP_A + ", deny: {for: 2d}"), ON).version,
        Policy(rules, ON | {Cause.BUSY: Action.HOLD}).version,
        Policy(rules, ON | {Cause.BUSY: Action.HOLD}, then={Cause.BUSY: "record"}).version,
        Policy(rules, ON, observe=True).version,
        Policy(rules, ON, salt="x").version,
        Policy(rules, ON, strips=STRIPS | {"inbox"}).version,
    ]
    assert len(set(versions)) == len(versions)
    assert all(len(version) == 12 for version in versions)
    assert Policy(_rules(DROP_A, RECORD_A), dict(reversed(ON.items()))).version == versions[0]


def test_the_default_reactions_let_nothing_unjudged_by() -> None:
    actions = On().actions()
    assert set(actions) == set(Cause)
    lax = {cause for cause, action in actions.items() if action in (Action.PASS, Action.RECORD, Action.STRIP)}
    assert lax == {Cause.LEDGER_ERROR}
    assert {cause for cause, then in On().thens().items() if then == "record"} == {Cause.FETCH_FAILED}


def test_nothing_that_may_be_otherwise_soon_is_refused_by_default() -> None:
    actions = On().actions()
    held = {cause for cause, action in actions.items() if action is Action.HOLD}
    assert held == {Cause.TIMEOUT, Cause.NO_WORKER, Cause.BUSY, Cause.FETCH_FAILED, Cause.DETECTOR_ERROR}
    assert {cause for cause, action in actions.items() if action is Action.DEFER} == {Cause.HOLD_FULL}


HOLD_A = "name: hold-a, when: {clip.a: '>0.5'}, do: hold"
HOLD_A_RECORD = "name: hold-a, when: {clip.a: '>0.5'}, do: hold, then: record"
HOLD_B_RECORD = "name: hold-b, when: {clip.b: '>0.5'}, do: hold, then: record"
HOLD_HOST = "name: hold-host, when: {host: spam.example}, do: hold, then: record"
HOLD_KIND = "name: hold-kind, when: {kind: emoji}, do: hold"
HELD = ON | {Cause.TIMEOUT: Action.HOLD, Cause.FETCH_FAILED: Action.HOLD}
THENS: Mapping[Cause, Then] = {Cause.FETCH_FAILED: "record"}


@pytest.mark.parametrize(
    ("rules", "media", "told"),
    [
        ([], [_failed(Cause.TIMEOUT)], (Cause.TIMEOUT, "drop")),
        ([], [_failed(Cause.FETCH_FAILED)], (Cause.FETCH_FAILED, "record")),
        # A hold that ends in a drop is the stricter, in whatever order.
        ([], [_failed(Cause.FETCH_FAILED), _failed(Cause.TIMEOUT)], (Cause.TIMEOUT, "drop")),
        ([], [_failed(Cause.TIMEOUT), _failed(Cause.FETCH_FAILED)], (Cause.TIMEOUT, "drop")),
        ([HOLD_A], [_judged({"clip.a": 1.0})], ("hold-a", "drop")),
        ([HOLD_A_RECORD], [_judged({"clip.a": 1.0})], ("hold-a", "record")),
        ([HOLD_B_RECORD, HOLD_A], [_judged({"clip.a": 1.0}), _judged({"clip.b": 1.0})], ("hold-a", "drop")),
        ([HOLD_B_RECORD, HOLD_A], [_judged({"clip.b": 1.0}), _judged({"clip.a": 1.0})], ("hold-a", "drop")),
        # A cause before a rule: what was not judged yet is judged first, then a person is asked. It ends as strictly.
        ([HOLD_A], [_judged({"clip.a": 1.0}), _failed(Cause.FETCH_FAILED)], (Cause.FETCH_FAILED, "drop")),
        ([HOLD_A_RECORD], [_judged({"clip.a": 1.0}), _failed(Cause.FETCH_FAILED)], (Cause.FETCH_FAILED, "record")),
        ([HOLD_A_RECORD], [_judged({"clip.a": 1.0}), _failed(Cause.TIMEOUT)], (Cause.TIMEOUT, "drop")),
        ([HOLD_KIND], [_failed(Cause.FETCH_FAILED, "emoji")], (Cause.FETCH_FAILED, "drop")),
        ([HOLD_KIND], [_judged({}, kind="emoji")], ("hold-kind", "drop")),
    ],
)
def test_which_hold_decides_and_how_it_ends(
    rules: list[str], media: list[Medium], told: tuple[str | Cause, Then]
) -> None:
    decision = decide(Policy(_rules(*rules), HELD, then=THENS), ELSEWHERE, media)
    assert decision.action is Action.HOLD
    assert (decision.cause or decision.rule, decision.then) == told


def test_a_rule_on_context_holds_at_once() -> None:
    decision = decide_on_context(_policy(HOLD_HOST), CONTEXT)
    hit = Hit(Action.HOLD, rule="hold-host", then="record")
    assert decision == Decision(Action.HOLD, hit, (hit,))
    assert decision.then == "record"


def test_whatever_is_stricter_than_a_hold_leaves_none() -> None:
    for rule, action in ((DROP_A, Action.DROP), (REJECT_B, Action.REJECT)):
        policy = Policy(_rules(rule), HELD)
        decision = decide(policy, ELSEWHERE, [_judged({"clip.a": 1.0, "clip.b": 1.0}), _failed(Cause.TIMEOUT)])
        assert (decision.action, decision.then) == (action, None)


ALL_RULES = [
    DROP_BOTH,
    DROP_A,
    REJECT_B,
    RECORD_A,
    PASS_EMOJI,
    RECORD_KIND,
    RECORD_HOST,
    PASS_HOST,
    REJECT_HOST,
    DROP_WITHOUT_A,
    DROP_UNMARKED,
    STRIP_A,
    STRIP_HOST,
]
_symbols = st.dictionaries(st.sampled_from(["clip.a", "clip.b"]), st.sampled_from([0.0, 0.5, 0.6, 1.0]))
_kinds: st.SearchStrategy[Kind] = st.sampled_from(["image", "emoji", "video"])
_media = st.one_of(
    st.builds(
        lambda frames, kind, sensitive: _judged(*frames, kind=kind, sensitive=sensitive),
        st.lists(_symbols, min_size=1, max_size=3),
        _kinds,
        st.booleans(),
    ),
    st.builds(_failed, st.sampled_from(list(Cause)), _kinds, st.booleans()),
)
_media = st.builds(
    lambda medium, standing: replace(medium, standing=standing),
    _media,
    st.sampled_from([None, None, Standing("D1"), Standing("D2", action=Action.DROP), Standing("D3", allowed=True)]),
)
_policies = st.builds(
    lambda rules, actions, strips: Policy(_rules(*rules), dict(zip(Cause, actions, strict=True)), strips=strips),
    st.lists(st.sampled_from(ALL_RULES), unique=True, max_size=5),
    st.lists(st.sampled_from(list(Action)), min_size=len(Cause), max_size=len(Cause)),
    st.sampled_from([STRIPS, STRIPS | {"inbox"}]),
)
_contexts = st.sampled_from([CONTEXT, ELSEWHERE])


@given(_policies, _contexts, st.lists(_media, max_size=4), st.data())
def test_the_order_of_media_does_not_matter(
    policy: Policy, context: Context, media: Sequence[Medium], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(media))
    assert decide(policy, context, media).action is decide(policy, context, shuffled).action


@given(_policies, _contexts, st.lists(_media, max_size=3), _media)
def test_a_medium_more_never_makes_it_laxer(
    policy: Policy, context: Context, media: Sequence[Medium], another: Medium
) -> None:
    assert decide(policy, context, [*media, another]).action.rank <= decide(policy, context, media).action.rank


@given(_policies, _contexts, st.lists(_media, max_size=3))
def test_the_deciding_hit_gives_the_action_and_none_is_stricter(
    policy: Policy, context: Context, media: Sequence[Medium]
) -> None:
    decision = decide(policy, context, media)
    assert decision.action is (decision.deciding.action if decision.deciding else Action.PASS)
    assert all(hit.action.rank >= decision.action.rank for hit in decision.hits)
    assert decision.deciding is None or decision.deciding in decision.hits


@given(_policies, _contexts, st.lists(_media, max_size=3))
def test_what_is_decided_on_context_stands(policy: Policy, context: Context, media: Sequence[Medium]) -> None:
    at_once = decide_on_context(policy, context)
    if at_once is not None:
        assert decide(policy, context, media) == at_once


ALLOWED = {"clip.a": 1.0, "clip.b": 1.0, "hash.ours": 1.0, "allow.fine": 1.0}


@pytest.mark.parametrize("rules", [[DROP_A], [DROP_UNMARKED], [RECORD_KIND], [DROP_WITHOUT_A], []])
def test_what_an_allow_list_knows_passes_whatever_the_rules_say(rules: list[str]) -> None:
    decision = decide(_policy(*rules), ELSEWHERE, [_judged(ALLOWED, ALLOWED)])
    assert (decision.action, decision.rule, decision.cause, decision.allowed) == (Action.PASS, None, None, "fine")
    assert decision.hits == (Hit(Action.PASS, medium=0, allowed="fine"),)


def test_a_rule_on_any_list_is_not_about_allow_lists() -> None:
    rule = "name: known, when: {hash.*: 1}, do: drop"
    assert decide(_policy(rule), ELSEWHERE, [_judged({"hash.ours": 1.0})]).action is Action.DROP
    assert decide(_policy(rule), ELSEWHERE, [_judged({"allow.fine": 1.0})]).action is Action.PASS


def test_one_allowed_frame_does_not_clear_the_others() -> None:
    decision = decide(_policy(DROP_A), ELSEWHERE, [_judged(ALLOWED, {"clip.a": 1.0})])
    assert (decision.action, decision.allowed) == (Action.DROP, None)
    assert decision.hits == (
        Hit(Action.PASS, medium=0, frame=0, allowed="fine"),
        Hit(Action.DROP, rule="drop-a", medium=0, frame=1),
    )


def test_a_context_rule_is_about_the_delivery_and_stands() -> None:
    assert decide(_policy(DROP_HOST), CONTEXT, [_judged(ALLOWED)]).action is Action.DROP


@given(_policies, _contexts, st.lists(_media, max_size=3))
def test_an_allowed_medium_changes_no_decision(policy: Policy, context: Context, media: Sequence[Medium]) -> None:
    without, more = decide(policy, context, media), decide(policy, context, [*media, _judged(ALLOWED)])
    assert more.action is without.action
    assert (more.rule, more.cause) == (without.rule, without.cause)


BLOCKED, UNDONE = Standing("D1"), Standing("D2", allowed=True)
ANY_DOOR = Context("fetch")


@pytest.mark.parametrize("medium", [BAD, _failed(Cause.UNDECODABLE), Medium(_ref())])
def test_what_an_admin_undid_passes_before_everything(medium: Medium) -> None:
    policy = Policy(_rules(DROP_A, RECORD_KIND), ON)
    decision = decide(policy, ELSEWHERE, [replace(medium, standing=UNDONE)])
    assert (decision.action, decision.rule, decision.cause, decision.allowed) == (Action.PASS, None, None, "D2")
    assert decision.hits == (Hit(Action.PASS, medium=0, allowed="D2"),)


def test_it_spares_neither_another_medium_nor_what_the_context_decides() -> None:
    undone = replace(BAD, standing=UNDONE)
    assert decide(_policy(DROP_A), ELSEWHERE, [undone, BAD]).action is Action.DROP
    assert decide(_policy(DROP_HOST), CONTEXT, [undone]).action is Action.DROP


def test_what_is_blocked_need_not_be_judged() -> None:
    decision = decide(_policy(DROP_A), ANY_DOOR, [Medium(_ref(), standing=BLOCKED)])
    blocked = Hit(Action.STRIP, medium=0, blocked="D1")
    assert decision == Decision(Action.STRIP, blocked, (blocked,))
    assert (decision.rule, decision.cause, decision.allowed) == (None, None, None)


def test_nor_does_it_matter_why_it_could_not_be() -> None:
    unreadable = replace(_failed(Cause.UNDECODABLE), standing=BLOCKED)
    assert decide(_policy(), ANY_DOOR, [unreadable]).action is Action.STRIP


@pytest.mark.parametrize(
    ("rule", "action"),
    [
        pytest.param(DROP_A, Action.DROP, id="its symbols"),
        pytest.param("name: no, when: {kind: image}, do: reject", Action.REJECT, id="its kind"),
        pytest.param(RECORD_KIND, Action.STRIP, id="nothing stricter"),
        pytest.param(
            "name: fine, when: {kind: image}, do: pass", Action.STRIP, id="a rule lets it by: not the block set"
        ),
    ],
)
def test_a_rule_may_be_stricter_than_the_block_set_and_never_laxer(rule: str, action: Action) -> None:
    assert decide(_policy(rule), ANY_DOOR, [replace(BAD, standing=BLOCKED)]).action is action


def test_a_rule_that_asks_no_symbol_is_asked_of_blocked_media_that_were_not_judged() -> None:
    rules = ["name: no, when: {kind: image}, do: reject", DROP_WITHOUT_A]
    decision = decide(_policy(*rules), ANY_DOOR, [Medium(_ref(), standing=BLOCKED)])
    assert (decision.action, _told(decision)) == (Action.REJECT, [("!None", 0, None), ("no", 0, None)])
