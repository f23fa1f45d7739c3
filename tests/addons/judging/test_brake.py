from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.activitypub.references import MediaRef
from addons.judging import brake as braking
from addons.judging.brake import Brake, braked, limited, note
from addons.policy.conditions import AllOf, NotOf, OneOf, SymbolTest
from addons.policy.decide import Policy, decide
from addons.policy.hold_sections import Brake as BrakeSettings
from addons.policy.rules import Rule
from addons.policy.words import Action, Cause, Context, Decision, Medium
from classifier import JudgedFrame, Judgement

HOUR = 3600.0
NUDE = SymbolTest("nudity.explicit", ">", 0.5)
KNOWN = SymbolTest("hash.ours", "=", 1.0)
CONTEXT = Context("inbox", "remote.example")
REF = MediaRef("https://remote.example/a.png", "image", "")


def rule(name: str, action: Action = Action.DROP) -> Rule:
    return Rule(name, NUDE, action)


class Watched:
    """A brake on the rule ``nude`` with a clock that is set by hand."""

    def __init__(self, limits: BrakeSettings | None = None) -> None:
        self.now = 10 * HOUR
        self.brake = Brake([rule("nude"), rule("other")], limits, clock=lambda: self.now)

    def see(self, judged: int, *matched: int, verified: bool = True) -> None:
        """So many media judged, and of each of several hosts so many that matched among them."""
        for number in range(judged):
            self.brake.judged(f"judged{number % 7}.example", verified)
        for host, count in enumerate(matched):
            for _ in range(count):
                self.brake.matched("nude", f"host{host}.example", verified)

    def tripped(self) -> bool:
        return self.brake.tripped("nude")


@pytest.mark.parametrize(
    ("judged", "matched", "trips"),
    [
        (200, (10, 10, 10, 10, 1), True),
        (200, (10, 10, 10, 10), False),  # not from five hosts
        (205, (10, 10, 10, 10, 1), False),  # 20 % is not more
        (204, (10, 10, 10, 10, 1), True),
        (199, (10, 10, 10, 10, 10), False),  # not of 200
        (200, (9, 8, 8, 8, 8), True),
        (200, (8, 8, 8, 8, 8), False),
        (250, (10, 10, 10, 10, 10), False),
        (249, (10, 10, 10, 10, 10), True),
        (1000, (10, 10, 10, 10, 200), False),  # what a host has beyond ten counts nowhere
        (240, (50, 0, 0, 0, 0, 1, 1, 1, 1), False),
        (500, (50,) * 10, True),  # a model that matches all: of ten hosts, 100 of 100
        (2000, (10,) * 41, True),
        (2000, (10,) * 40, False),
    ],
)
def test_when_it_trips(judged: int, matched: tuple[int, ...], trips: bool) -> None:
    one = Watched()
    one.see(judged, *matched)
    assert one.tripped() is trips
    assert one.brake.stopped == ({"nude"} if trips else frozenset())
    assert one.brake.until("nude") == (11 * HOUR if trips else None)


def test_only_verified_hosts_count() -> None:
    one = Watched()
    one.see(200, *[10] * 20, verified=False)
    one.brake.judged(None, True)
    one.brake.matched("nude", None, True)
    one.see(0, *[10] * 20)
    assert not one.tripped()
    assert one.brake.told("nude").startswith("the rule nude matched 200 of 0 media of the last 60 minutes, from 20")


def test_only_its_last_hour_counts() -> None:
    one = Watched()
    one.see(200, 10, 10, 10, 10)
    one.now += HOUR - 61
    one.see(0, 0, 0, 0, 0, 1)
    assert one.tripped()
    late = Watched()
    late.see(200, 10, 10, 10, 10)
    late.now += HOUR
    late.see(0, 0, 0, 0, 0, 1)
    assert not late.tripped()
    assert (late.brake._judged, late.brake._matches["nude"].hosts) == (0, {"host4.example": 1})


def test_it_stays_for_an_hour_and_until_the_share_has_fallen(caplog: pytest.LogCaptureFixture) -> None:
    one = Watched()
    one.see(200, *[10] * 5)
    assert one.tripped()
    one.see(1000)
    one.now += HOUR - 1
    assert one.tripped(), "the share has fallen, and no hour has passed"
    one.see(200, *[10] * 5)
    one.now += 1
    assert one.tripped(), "an hour has passed, and the share has not fallen"
    one.see(1000)
    assert not one.tripped()
    assert [message.partition(":")[0] for message in caplog.messages] == [
        "the brake trips",
        "the brake is released",
    ]


def test_reset() -> None:
    one = Watched()
    one.see(200, *[10] * 5)
    assert one.tripped()
    one.brake.reset("nude")
    assert (one.tripped(), one.brake.until("nude")) == (False, None)
    one.see(0, *[8] * 5)
    assert not one.tripped(), "its matches are counted anew"
    one.see(0, 1)
    assert one.tripped()
    one.now += 2 * HOUR
    assert not one.tripped()
    one.brake.reset("unknown")


def test_a_rule_has_no_part_in_what_another_does() -> None:
    one = Watched()
    one.see(200, *[10] * 5)
    assert one.tripped()
    assert not one.brake.tripped("other")
    assert not one.brake.tripped("unknown")
    one.brake.matched("unknown", "a.example", True)
    assert set(one.brake._matches) == {"nude"}


def test_its_settings() -> None:
    chosen = {"share": 0.5, "media": 4, "within": "1m", "hosts": 1, "per_host": 100}
    one = Watched(BrakeSettings.model_validate(chosen))
    one.see(4, 2)
    assert not one.tripped()
    one.see(0, 1)
    assert one.tripped()
    one.now += 60
    assert not one.tripped()


def test_its_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(braking, "MAX_HOSTS", 50)
    one = Watched()
    one.see(1000, *[1] * 1000)
    assert len(one.brake._matches["nude"].hosts) == 51
    assert one.tripped(), "50 of 50 that count"
    assert "matched 50 of 50 media" in one.brake.told("nude")
    for _ in range(1000):
        one.now += 60
        one.see(1, 1)
    assert len(one.brake._buckets) == 60
    one.now += 2 * HOUR
    assert not one.tripped()
    assert (one.brake._matches["nude"].counted, one.brake._matches["nude"].beyond) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["judged", "matched"]), st.integers(0, 8), st.integers(0, 900)), max_size=300)
)
def test_it_counts_as_a_list_would(events: list[tuple[str, int, int]]) -> None:
    limits = BrakeSettings(media=5, hosts=2, per_host=3)
    one = Watched(limits)
    seen: list[tuple[float, str, int]] = []
    for what, host, wait in events:
        one.now += wait
        seen.append((one.now, what, host))
        if what == "judged":
            one.brake.judged(str(host), True)
        else:
            one.brake.matched("nude", str(host), True)
        bucket = int(one.now / 60)
        late = [(kind, who) for at, kind, who in seen if int(at / 60) > bucket - 60]
        judged = sum(kind == "judged" for kind, _ in late)
        of = [sum(one == ("matched", who) for one in late) for who in range(9)]
        counted = sum(min(count, 3) for count in of)
        one.brake._forget()
        matches = one.brake._matches.get("nude", braking._Matches())
        assert (one.brake._judged, matches.counted, matches.beyond) == (judged, counted, sum(of) - counted)


@pytest.mark.parametrize(
    ("made", "is_limited"),
    [
        (Rule("r", NUDE, Action.DROP), True),
        (Rule("r", NUDE, Action.REJECT), True),
        (Rule("r", NUDE, Action.STRIP), True),
        (Rule("r", NUDE, Action.HOLD, "record"), True),
        (Rule("r", NUDE, Action.RECORD), False),
        (Rule("r", NUDE, Action.PASS), False),
        (Rule("r", KNOWN, Action.DROP), False),
        (Rule("r", SymbolTest("hash.*", "=", 1.0), Action.DROP), False),
        (Rule("r", AllOf((NUDE, NotOf(KNOWN))), Action.DROP), False),
        (Rule("r", AllOf((NUDE, OneOf("kind", ("image",)))), Action.DROP), True),
        (Rule("r", OneOf("host", ("spam.example",)), Action.REJECT), False),
        (Rule("r", OneOf("kind", ("video",)), Action.DROP), False),
    ],
)
def test_which_rules_it_can_stop(made: Rule, is_limited: bool) -> None:
    assert limited([made]) == ({"r"} if is_limited else frozenset())


# -- what a decision comes to ------------------------------------------------------------------------------------------


def medium(cause: Cause | None = None, **symbols: float) -> Medium:
    if cause is not None:
        return Medium(REF, cause=cause)
    found = {name.replace("_", "."): score for name, score in symbols.items()}
    return Medium(REF, judgement=Judgement("00" * 32, "image/png", 1, 1, (JudgedFrame(0, found),), "v"))


NAKED = medium(nudity_explicit=0.9)
NAKED_AND_KNOWN = medium(nudity_explicit=0.9, hash_ours=1.0)
CLEAN = medium(nudity_explicit=0.1)


def on(**others: Action) -> dict[Cause, Action]:
    return dict.fromkeys(Cause, Action.PASS) | {Cause(name): action for name, action in others.items()}


def after(rules: Sequence[Rule], media: Sequence[Medium], causes: Sequence[Cause] = (), **others: Action) -> Decision:
    """The decision with every rule stopped that a brake can stop."""
    policy = Policy(rules, on(**others))
    brake = Brake(rules, clock=lambda: 0.0)
    brake._tripped = dict.fromkeys(brake.rules, 0.0)
    return braked(policy, brake, decide(policy, CONTEXT, media, causes), CONTEXT, media)


@pytest.mark.parametrize("action", [Action.DROP, Action.REJECT, Action.STRIP, Action.DEFER, Action.HOLD])
def test_what_a_stopped_rule_would_do_is_held_and_dropped(action: Action) -> None:
    decision = after([Rule("nude", NUDE, action, "record" if action is Action.HOLD else None)], [CLEAN, NAKED])
    assert (decision.action, decision.then, decision.rule) == (Action.HOLD, "drop", "nude")
    assert decision.deciding is not None
    assert (decision.deciding.medium, decision.deciding.frame) == (1, 0)


def test_nothing_else_is_touched() -> None:
    rules = [Rule("noted", NUDE, Action.RECORD), Rule("known", KNOWN, Action.DROP)]
    assert after(rules, [NAKED]).action is Action.RECORD
    assert after(rules, [NAKED_AND_KNOWN]).action is Action.DROP
    assert after([rule("nude")], [CLEAN]).action is Action.PASS
    policy = Policy([rule("nude")], on())
    decision = decide(policy, CONTEXT, [NAKED])
    assert braked(policy, None, decision, CONTEXT, [NAKED]) is decision
    assert braked(policy, Brake(policy.rules), decision, CONTEXT, [NAKED]) is decision


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("action", [Action.DROP, Action.REJECT])
def test_it_is_never_weaker_where_a_hash_list_knows_it_too(first: bool, action: Action) -> None:
    rules = [rule("nude"), Rule("known", KNOWN, action)]
    decision = after(rules if first else rules[::-1], [NAKED_AND_KNOWN])
    assert (decision.action, decision.rule) == (action, "known")
    assert after(rules, [NAKED, NAKED_AND_KNOWN]).action is action


def test_a_weaker_rule_that_matches_too_does_not_let_it_by() -> None:
    for action in (Action.PASS, Action.RECORD, Action.DEFER):
        rules = [rule("nude"), Rule("known", KNOWN, action)]
        decision = after(rules, [NAKED_AND_KNOWN])
        assert (decision.action, decision.then) == (Action.HOLD, "drop")


def test_of_two_stopped_rules_neither_acts() -> None:
    decision = after([rule("nude"), Rule("naked", NUDE, Action.REJECT)], [NAKED])
    assert (decision.action, decision.rule) == (Action.HOLD, "nude")


def test_causes_stand() -> None:
    rules = [rule("nude")]
    assert after(rules, [NAKED, medium(Cause.UNDECODABLE)], undecodable=Action.DROP).cause is Cause.UNDECODABLE
    assert after(rules, [NAKED], [Cause.TOO_MANY], too_many=Action.REJECT).cause is Cause.TOO_MANY
    decision = after(rules, [NAKED, medium(Cause.TIMEOUT)], timeout=Action.HOLD)
    assert (decision.action, decision.cause, decision.then) == (Action.HOLD, Cause.TIMEOUT, "drop")
    assert {hit.rule for hit in decision.hits} == {"nude", None}


def test_a_context_rule_stands() -> None:
    rules = [rule("nude"), Rule("spam", OneOf("host", ("remote.example",)), Action.REJECT)]
    assert after(rules, [NAKED]).rule == "spam"


def test_what_is_counted_of_a_delivery() -> None:
    frames = tuple(JudgedFrame(index, {"nudity.explicit": 0.9}) for index in range(3))
    film = Medium(REF, judgement=Judgement("00" * 32, "image/gif", 1, 1, frames, "v"))
    media = [film, NAKED, CLEAN, medium(Cause.TIMEOUT)]
    policy = Policy([rule("nude"), Rule("known", KNOWN, Action.DROP)], on())
    brake = Brake(policy.rules)
    decision = decide(policy, CONTEXT, media)
    note(brake, decision, media, "remote.example", True)
    assert (brake._judged, brake._matches["nude"].hosts) == (3, {"remote.example": 2})
    note(brake, decision, media, "remote.example", False)
    note(brake, decision, media, None, True)
    note(None, decision, media, "remote.example", True)
    assert brake._judged == 3


def test_an_attacker_with_five_hosts_gets_nothing_by() -> None:
    """The flood trips it, and all of the flood is dropped or held, at whatever point it does."""
    policy = Policy([rule("nude"), Rule("known", KNOWN, Action.DROP)], on())
    brake = Brake(policy.rules, clock=lambda: 0.0)
    done = []
    for number in range(400):
        media = [NAKED_AND_KNOWN if number % 50 == 0 else NAKED]
        decision = decide(policy, CONTEXT, media)
        note(brake, decision, media, f"attacker{number % 5}.example", True)
        done.append(braked(policy, brake, decision, CONTEXT, media))
    assert brake.tripped("nude")
    assert {one.action for one in done} == {Action.DROP, Action.HOLD}
    assert all(one.then == "drop" for one in done if one.action is Action.HOLD)
    assert all(done[number].action is Action.DROP for number in range(0, 400, 50))
