"""Whether what the hash lists found in a file settles what the policy does, whatever the detectors would say."""

from collections.abc import Callable, Sequence, Set

from addons.policy.conditions import (
    AllOf,
    AnyOf,
    Condition,
    IsSensitive,
    NotOf,
    OneOf,
    SymbolTest,
    score_test,
    symbol_tests,
)
from addons.policy.rules import ALLOW, ANY_HASH, Rule
from addons.policy.words import Action, Then
from classifier import Symbols


def settler(rules: Sequence[Rule]) -> Callable[[Symbols], bool] | None:
    """A function that says of the symbols found so far in one frame whether they settle the matter: None: none could.

    They do where a rule holds by what is known alone and ends the frame's turn, where every rule before it either only
    records or is known not to hold, and where no rule can do anything stricter with another frame of the file. What a
    rule asks besides ``hash.*`` is never known: not the context either, for whoever asks for the same bytes next has
    another one. For the same reason ``strip`` has both of its ranks (see ``Policy.acts``). What an admin allowed by its
    SHA-256 passes in any case, so it need not be looked up first.
    """
    first_media = next((index for index, rule in enumerate(rules) if not rule.context_only), len(rules))
    turns = [rule for index, rule in enumerate(rules) if not _decided_before(rule, index < first_media)]
    strictest = _strictest({_end(rule) for rule in turns})
    if not any(_end(rule) in strictest and _may_settle(rule) for rule in turns):
        return None

    def settles(symbols: Symbols) -> bool:
        if any(name.startswith(ALLOW) for name in symbols):
            return False
        for rule in turns:
            if rule.do is Action.RECORD:
                continue
            holds = _holds(rule.when, symbols)
            if holds is not False:
                return holds is True and _end(rule) in strictest
        return False

    return settles


type _End = tuple[Action, Then | None]
"""What a rule does, and for a hold what that ends in."""


def _end(rule: Rule) -> _End:
    return rule.do, rule.then


def _strictest(ends: Set[_End]) -> frozenset[_End]:
    """Those than which none of the others is stricter at any door, whether ``strip`` is ``drop`` there or not."""
    both = {end: (_rank(*end), _rank(Action.DROP if end[0] is Action.STRIP else end[0], end[1])) for end in ends}
    least = tuple(min(ranks) for ranks in zip(*both.values(), strict=True))
    return frozenset(end for end, ranks in both.items() if ranks == least)


def _rank(action: Action, then: Then | None) -> tuple[int, bool]:
    return action.rank, then == "record"


def _decided_before(rule: Rule, before_media: bool) -> bool:
    """Whether this rule is known not to hold where media are judged at all (see ``Policy.on_context``)."""
    if not rule.context_only or rule.do is Action.RECORD:
        return False
    return rule.do is not Action.PASS or before_media


def _may_settle(rule: Rule) -> bool:
    if rule.do in (Action.RECORD, Action.PASS):
        return False
    return any(test.symbol.startswith("hash.") for test in symbol_tests(rule.when))


def _holds(condition: Condition, symbols: Symbols) -> bool | None:
    """Whether it holds; None: that hangs on what is not known. A list's 1 stays, and no other symbol is known."""
    match condition:
        case SymbolTest(symbol, operator, wanted):
            found = [score for name, score in symbols.items() if name.startswith("hash.")] if symbol == ANY_HASH else []
            score = max(found, default=0.0) if symbol == ANY_HASH else symbols.get(symbol, 0.0)
            known = symbol.startswith("hash.") and score == 1.0
            return score_test(operator, wanted)(score) if known else None
        case OneOf() | IsSensitive():
            return None
        case NotOf(inner):
            held = _holds(inner, symbols)
            return None if held is None else not held
        case AllOf(conditions):
            return _all([_holds(one, symbols) for one in conditions])
        case AnyOf(conditions):
            held = _all([_not(_holds(one, symbols)) for one in conditions])
            return _not(held)


def _not(held: bool | None) -> bool | None:
    return None if held is None else not held


def _all(held: Sequence[bool | None]) -> bool | None:
    if False in held:
        return False
    return None if None in held else True
