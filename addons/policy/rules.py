"""Rules: read from the file or from a preset, checked against the detectors that are on, and compiled for speed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import get_args

from addons.activitypub.references import MediaRef
from addons.policy.conditions import (
    AllOf,
    AnyOf,
    Asked,
    Condition,
    IsSensitive,
    NotOf,
    OneOf,
    SymbolTest,
    leaves,
    parse_when,
    score_test,
    symbol_tests,
)
from addons.policy.denials import parse_denial
from addons.policy.document import Document, Entry, Node, Place
from addons.policy.hosts import HostSet
from addons.policy.problems import Problem, did_you_mean, one_of
from addons.policy.reading import read
from addons.policy.values import Network, ip
from addons.policy.words import Action, Context, Denial, Then
from classifier import Symbols

MAX_RULES = 256
PRESETS = ("child-safety", "known-hashes", "fedi-safety")
RULE_KEYS = ("name", "when", "do", "then", "deny")
_NEEDED = ("name", "when", "do")
ACTIONS = tuple(Action)
THENS: tuple[Then, ...] = get_args(Then.__value__)
ANY_HASH = "hash.*"
ALLOW = "allow."
"""How an allow list's symbol begins. No rule asks for it: what has it passes before any rule is tried."""

_FOLDER = Path(__file__).with_name("presets")

type Test = Callable[[Context, MediaRef, Symbols], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions and what is done where they hold; names are unlike each other within one policy.

    ``then``: where ``do`` is ``hold``, what happens when nobody released it in time; ``deny``: who brings this too
    often is denied for a while.
    """

    name: str
    when: Condition
    do: Action
    then: Then | None = None
    deny: Denial | None = None

    @property
    def context_only(self) -> bool:
        """Whether it asks of who brings it, how and what, and of no media: then none need be looked at."""
        return all(isinstance(leaf, OneOf) and leaf.key != "kind" for leaf in leaves(self.when))

    @property
    def asks_symbols(self) -> bool:
        """Whether it asks any symbol: then it says nothing of a medium that was not judged."""
        return any(True for _ in symbol_tests(self.when))


@dataclass(slots=True)
class ParsedRules:
    """What became of a list of rules: those that are right, every symbol asked (in broken ones too), the problems."""

    rules: list[Rule] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def parse_rules(document: Document, node: Node) -> ParsedRules:
    """The rules in a ``rules:`` value."""
    parsed = ParsedRules()
    if node.items is None:
        expected = f"a list of rules, or the name of a preset: {one_of(PRESETS)}"
        hint = did_you_mean(node.text, PRESETS) if not node.from_environment else None
        if not node.broken:
            message = f"{node.quoted} is not a list of rules"
            parsed.problems.append(document.problem(node.line, node.column, message, expected, hint))
        return parsed
    if len(node.items) > MAX_RULES:
        message = f"{len(node.items)} rules are too many"
        parsed.problems.append(document.problem(node.line, node.column, message, f"at most {MAX_RULES}"))
        return parsed
    first: dict[str, Node] = {}
    for index, item in enumerate(node.items):
        rule = _parse_rule(document, item, ("rules", index), parsed)
        if rule is not None:
            parsed.rules.append(rule)
        entry = (item.entries or {}).get("name")
        if entry is None or not isinstance(entry.node.value, str) or entry.node.broken:
            continue
        named = first.setdefault(entry.node.value, entry.node)
        if named is not entry.node:
            message, expected = f"two rules are named {entry.node.quoted}", "each rule a name of its own"
            hint = f"it stood first in line {named.line}"
            parsed.problems.append(document.problem(entry.node.line, entry.node.column, message, expected, hint))
    return parsed


def preset(name: str) -> tuple[Rule, ...]:
    """The rules of a preset. Raises KeyError for a name that is not in PRESETS."""
    document, problems = read(preset_text(name).encode(), f"{name}.yaml", {})
    node = document.find(("rules",))
    assert node is not None
    parsed = parse_rules(document, node)
    assert not problems
    assert not parsed.problems
    return tuple(parsed.rules)


def preset_text(name: str) -> str:
    """A preset as it would stand in a configuration, comments and all. Raises KeyError as :func:`preset`."""
    if name not in PRESETS:
        raise KeyError(name)
    return (_FOLDER / f"{name}.yaml").read_text(encoding="utf-8")


def parse_action(document: Document, node: Node) -> tuple[Action | None, list[Problem]]:
    """The action that a ``do:`` names, or why it cannot be had."""
    if node.broken:
        return None, []
    value = node.value
    expected = one_of(ACTIONS)
    if not isinstance(value, str) or value not in ACTIONS:
        hint = None if node.from_environment else did_you_mean(node.text, ACTIONS)
        return None, [document.problem(node.line, node.column, f"{node.quoted} is not an action", expected, hint)]
    return Action(value), []


def _parse_then(document: Document, entry: Entry, action: Action | None) -> tuple[Then | None, list[Problem]]:
    """What a ``then:`` beside ``do: hold`` says."""
    node = entry.node
    if node.broken or action is None:
        return None, []
    if action is not Action.HOLD:
        return None, [document.problem(entry.line, entry.column, '"then" goes only with hold', "no then")]
    found = next((then for then in THENS if then == node.value), None)
    if found is None:
        hint = None if node.from_environment else did_you_mean(node.text, THENS)
        message = f"{node.quoted} is not what a hold can end in"
        return None, [document.problem(node.line, node.column, message, one_of(THENS), hint)]
    return found, []


def _parse_rule(document: Document, node: Node, place: Place, parsed: ParsedRules) -> Rule | None:
    entries = node.entries
    if entries is None:
        message, expected = f"{node.quoted} is not a rule", "{name: …, when: {…}, do: …}"
        parsed.problems.append(document.problem(node.line, node.column, message, expected))
        return None
    problems: list[Problem] = []
    for key, entry in entries.items():
        if key not in RULE_KEYS:
            hint = did_you_mean(key, RULE_KEYS)
            message, expected = f'unknown key "{key}"', one_of(RULE_KEYS)
            problems.append(document.problem(entry.line, entry.column, message, expected, hint))
    missing = [key for key in _NEEDED if key not in entries]
    if missing:
        message, expected = f"the rule has no {' and no '.join(missing)}", "{name: …, when: {…}, do: …}"
        problems.append(document.problem(node.line, node.column, message, expected))
    name: str | None = None
    if "name" in entries:
        value = entries["name"].node
        if isinstance(value.value, str) and 0 < len(value.value) <= 100:
            name = value.value
        elif not value.broken:
            expected = "text of at most 100 characters"
            problems.append(document.problem(value.line, value.column, f"{value.quoted} is not a name", expected))
    when, action = None, None
    if "when" in entries:
        conditions = parse_when(document, entries["when"].node)
        when = conditions.condition
        parsed.asked += conditions.asked
        problems += conditions.problems
    if "do" in entries:
        action, found = parse_action(document, entries["do"].node)
        problems += found
    then: Then | None = "drop" if action is Action.HOLD else None
    if "then" in entries:
        then, found = _parse_then(document, entries["then"], action)
        problems += found
    denial = None
    if "deny" in entries:
        deny = entries["deny"]
        denial, found = parse_denial(document, deny.node, (*place, "deny"))
        problems += found
        if action not in (None, Action.DROP, Action.REJECT):
            message = '"deny" goes only with drop and reject'
            problems.append(document.problem(deny.line, deny.column, message, "no deny"))
    parsed.problems += problems
    if problems or name is None or when is None or action is None:
        return None
    return Rule(name, when, action, then, denial)


@dataclass(frozen=True, slots=True)
class Known:
    """The symbols that the detectors can give: by detector, None for a detector that is off.

    ``allow``: names of the allow lists, which no rule can ask for.
    """

    by_detector: Mapping[str, frozenset[str] | None]
    allow: frozenset[str] = frozenset()

    def complaint(self, symbol: str) -> tuple[str, str, str | None] | None:
        """Message, expected and hint where nothing gives ``symbol``; None where all is well."""
        detector, _, name = symbol.partition(".")
        if detector in ("hash", "allow") and name in self.allow:
            message = f'"{name}" is an allow list: what is on it passes before any rule is tried'
            return message, "no rule that asks for it, or a list without allow: true", None
        every = sorted(s for symbols in self.by_detector.values() for s in symbols or ())
        if detector not in self.by_detector:
            expected = f"a symbol of {one_of(sorted(self.by_detector))}"
            return f'unknown symbol "{symbol}"', expected, did_you_mean(symbol, every)
        symbols = self.by_detector[detector]
        if symbols is not None and not symbols and detector == "clip":
            return None  # the concepts are broken, and that is told already
        if symbols is None:
            expected = f"the detector {detector} on, or no rule that asks for it"
            return f'nothing gives "{symbol}": the detector {detector} is off', expected, did_you_mean(symbol, every)
        if symbol == ANY_HASH:
            return None if symbols else ('nothing gives "hash.*"', "a list under classifier.hashes", None)
        if symbol not in symbols:
            expected = one_of(sorted(symbols)) if symbols else "a list under classifier.hashes"
            return f'unknown symbol "{symbol}"', expected, did_you_mean(symbol, symbols)
        return None


def compile_test(condition: Condition) -> Test:
    """A function that says whether ``condition`` holds for one frame (or, without symbols, one reference)."""
    match condition:
        case SymbolTest(symbol, operator, wanted):
            compare = score_test(operator, wanted)
            if symbol == ANY_HASH:
                return lambda context, ref, symbols: compare(_highest(symbols, "hash."))
            return lambda context, ref, symbols: compare(symbols.get(symbol, 0.0))
        case IsSensitive(wanted_flag):
            return lambda context, ref, symbols: ref.sensitive is wanted_flag
        case OneOf():
            return _compile_one_of(condition)
        case AllOf(conditions):
            every = tuple(compile_test(one) for one in conditions)
            return lambda context, ref, symbols: all(test(context, ref, symbols) for test in every)
        case AnyOf(conditions):
            some = tuple(compile_test(one) for one in conditions)
            return lambda context, ref, symbols: any(test(context, ref, symbols) for test in some)
        case NotOf(one):
            inner = compile_test(one)
            return lambda context, ref, symbols: not inner(context, ref, symbols)


def _compile_one_of(condition: OneOf) -> Test:
    values = frozenset(condition.values)
    match condition.key:
        case "host":
            hosts = HostSet(condition.values)
            return lambda context, ref, symbols: context.host in hosts
        case "address":
            networks = tuple(ip_network(value) for value in condition.values)
            return lambda context, ref, symbols: _within(context.address, networks)
        case "actor":
            return lambda context, ref, symbols: context.actor in values
        case "door":
            return lambda context, ref, symbols: context.door in values
        case "software":
            return lambda context, ref, symbols: context.software in values
        case "type":
            return lambda context, ref, symbols: any(kind.casefold() in values for kind in context.types)
        case "kind":
            return lambda context, ref, symbols: ref.kind in values


def _within(address: str | None, networks: Sequence[Network]) -> bool:
    found = ip(address or "")
    return found is not None and any(found in network for network in networks)


def _highest(symbols: Symbols, prefix: str) -> float:
    return max((score for name, score in symbols.items() if name.startswith(prefix)), default=0.0)


def asked_symbols(rules: Iterable[Rule]) -> frozenset[str]:
    """Every symbol that some rule asks for."""
    return frozenset(test.symbol for rule in rules for test in symbol_tests(rule.when))
