"""What each rule of a policy asks, as plain JSON in the form of ``when:``, for the ledger to remember."""

from collections.abc import Iterable, Iterator, Mapping

from addons.policy.conditions import AllOf, AnyOf, Condition, IsSensitive, NotOf, OneOf, SymbolTest
from addons.policy.rules import Rule

DEPTH = 32
"""How deep conditions are looked into when they are read again."""


def asked(rules: Iterable[Rule]) -> dict[str, object]:
    """Rule name to its conditions: what :meth:`addons.ledger.Ledger.note_policy` takes."""
    return {rule.name: _plain(rule.when) for rule in rules}


def symbol_tests(when: object, depth: int = DEPTH) -> Iterator[tuple[str, str]]:
    """Every symbol that a remembered ``when:`` asks for, with its test: ``("clip.minor", ">0.5")``."""
    if depth <= 0 or not isinstance(when, Mapping):
        return
    for name, value in when.items():
        if name in ("all", "any") and isinstance(value, list):
            for one in value:
                yield from symbol_tests(one, depth - 1)
        elif name == "not":
            for symbol, test in symbol_tests(value, depth - 1):
                yield symbol, f"not {test}"
        elif "." in str(name):
            yield str(name), str(value)


def _plain(condition: Condition) -> dict[str, object]:
    match condition:
        case SymbolTest(symbol, operator, score):
            return {symbol: f"{operator}{score:g}"}
        case OneOf(key, values):
            return {key: list(values)}
        case IsSensitive(wanted):
            return {"sensitive": wanted}
        case AllOf(conditions):
            return {"all": [_plain(one) for one in conditions]}
        case AnyOf(conditions):
            return {"any": [_plain(one) for one in conditions]}
        case NotOf(one):
            return {"not": _plain(one)}
