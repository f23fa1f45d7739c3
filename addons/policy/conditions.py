"""What a rule's ``when:`` may ask, as typed values, and how it is read from YAML with every mistake named in place."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from pydantic_core import PydanticCustomError

from addons.activitypub.references import Kind
from addons.policy.document import Document, Node
from addons.policy.hosts import normal_pattern
from addons.policy.problems import Problem, did_you_mean, one_of
from addons.policy.values import network
from addons.policy.words import Door

MAX_DEPTH = 8
"""How deep ``any``, ``all`` and ``not`` may stand in each other."""

type Software = Literal[
    "lemmy",
    "mastodon",
    "gotosocial",
    "pleroma",
    "akkoma",
    "misskey",
    "mbin",
    "piefed",
    "peertube",
    "pixelfed",
    "generic",
]
type Operator = Literal[">", ">=", "<", "<=", "="]
type ListKey = Literal["host", "actor", "address", "door", "software", "type", "kind"]

SOFTWARE: tuple[str, ...] = get_args(Software.__value__)
DOORS: tuple[str, ...] = get_args(Door.__value__)
KINDS: tuple[str, ...] = get_args(Kind.__value__)
LIST_KEYS: tuple[str, ...] = get_args(ListKey.__value__)
CONTEXT_KEYS = (*LIST_KEYS, "sensitive")
GROUPS = ("any", "all", "not")

_CHOICES = {"door": DOORS, "software": SOFTWARE, "kind": KINDS}
_TEST = re.compile(r"\s*(>=|<=|==|=|>|<)?\s*([0-9]*\.?[0-9]+)\s*\Z")
_SYMBOL = re.compile(r"[a-z][a-z0-9_]*\.(?:[a-z0-9][a-z0-9_-]*|\*)\Z")
_SCORE = 'a score from 0 to 1, such as ">0.5", "<=0.2", "=1", or 0.5 for at least 0.5'


@dataclass(frozen=True, slots=True)
class SymbolTest:
    """A symbol's score compared; ``hash.*`` stands for the highest of all hash lists."""

    symbol: str
    operator: Operator
    score: float


@dataclass(frozen=True, slots=True)
class OneOf:
    """A fact of the context or the reference is one of ``values`` (hosts may be ``*.`` patterns, addresses are in one
    of them)."""

    key: ListKey
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IsSensitive:
    """The media reference is marked sensitive, or is not."""

    wanted: bool


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition holds."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class NotOf:
    """The condition does not hold."""

    condition: "Condition"


type Condition = SymbolTest | OneOf | IsSensitive | AllOf | AnyOf | NotOf


def symbol_tests(condition: Condition) -> Iterator[SymbolTest]:
    """Every test of a symbol in ``condition``."""
    for leaf in leaves(condition):
        if isinstance(leaf, SymbolTest):
            yield leaf


def leaves(condition: Condition) -> Iterator[SymbolTest | OneOf | IsSensitive]:
    """Every condition that holds no others."""
    match condition:
        case AllOf(conditions) | AnyOf(conditions):
            for one in conditions:
                yield from leaves(one)
        case NotOf(one):
            yield from leaves(one)
        case _:
            yield condition


@dataclass(frozen=True, slots=True)
class Asked:
    """A symbol that a rule asks for and where, so that one that nothing gives can be told even in a broken rule."""

    symbol: str
    line: int
    column: int


@dataclass(slots=True)
class Parsed:
    """What became of a ``when:``: the condition (None where it has problems), the symbols asked, the problems."""

    condition: Condition | None = None
    asked: list[Asked] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def parse_when(document: Document, node: Node) -> Parsed:
    """The condition in a ``when:`` value."""
    parser = _Parser(document)
    condition = parser.mapping(node, 0)
    return Parsed(None if parser.problems or node.broken else condition, parser.asked, parser.problems)


@dataclass(slots=True)
class _Parser:
    document: Document
    asked: list[Asked] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def refuse(self, node: Node, message: str, expected: str, hint: str | None = None) -> None:
        if not node.broken:
            self.problems.append(self.document.problem(node.line, node.column, message, expected, hint))

    def mapping(self, node: Node, depth: int) -> Condition | None:
        if depth > MAX_DEPTH:
            self.refuse(node, f"conditions nested more than {MAX_DEPTH} deep", "a flatter rule, or several rules")
            return None
        if node.entries is None:
            self.refuse(node, f"{node.quoted} is not a condition", 'a mapping, such as {clip.minor: ">0.5"}')
            return None
        if not node.entries:
            self.refuse(node, "an empty condition would match everything", "at least one condition")
            return None
        found: list[Condition] = []
        for key, entry in node.entries.items():
            one = self.entry(key, entry.line, entry.column, entry.node, depth)
            if one is not None:
                found.append(one)
        return found[0] if len(found) == 1 else AllOf(tuple(found))

    def entry(self, key: str, line: int, column: int, node: Node, depth: int) -> Condition | None:
        if key in ("any", "all"):
            return self.group(key, node, depth)
        if key == "not":
            inner = self.mapping(node, depth + 1)
            return NotOf(inner) if inner is not None else None
        if key == "sensitive":
            if isinstance(node.value, bool):
                return IsSensitive(node.value)
            meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(node.text.lower())
            hint = f'did you mean "{meant}"?' if meant else None
            self.refuse(node, f"{node.quoted} cannot be asked of sensitive", "true or false", hint)
            return None
        if key in LIST_KEYS:
            return self.one_of(_as_list_key(key), node)
        if "." in key:
            return self.symbol(key, line, column, node)
        known = [*CONTEXT_KEYS, *GROUPS]
        expected = f"a symbol (clip.…, nudity.…, hash.…) or {one_of(known)}"
        hint = did_you_mean(key, known)
        self.problems.append(self.document.problem(line, column, f'unknown condition "{key}"', expected, hint))
        return None

    def group(self, key: str, node: Node, depth: int) -> Condition | None:
        if not node.items:
            what = "an empty list" if node.items is not None else node.quoted
            self.refuse(node, f"{key}: holds {what}", "a list of conditions")
            return None
        inner = [one for item in node.items if (one := self.mapping(item, depth + 1)) is not None]
        return AnyOf(tuple(inner)) if key == "any" else AllOf(tuple(inner))

    def one_of(self, key: ListKey, node: Node) -> Condition | None:
        items = node.items if node.items is not None else (node,)
        if not items:
            self.refuse(node, f"{key}: holds an empty list and could never match", "at least one value")
        values = [value for item in items if (value := self.value(key, item)) is not None]
        return OneOf(key, tuple(dict.fromkeys(values)))

    def value(self, key: ListKey, node: Node) -> str | None:
        text = node.value
        if not isinstance(text, str) or not text:
            self.refuse(node, f"{node.quoted} cannot be asked of {key}", "text, or a list of it")
            return None
        if key == "host":
            pattern = normal_pattern(text)
            if pattern is None:
                self.refuse(node, f"{node.quoted} is not a host", "a host such as example.org, or *.example.org")
            return pattern
        if key == "address":
            return self.network(text, node)
        if key == "actor":
            if not re.match(r"https?://[^/\s]+", text):
                self.refuse(
                    node, f"{node.quoted} is not an actor", "an actor's IRI, such as https://example.org/users/a"
                )
            return text
        if key == "type":
            return text.casefold()
        choices = _CHOICES[key]
        if text in choices:
            return text
        hint = None if node.from_environment else did_you_mean(text, choices)
        self.refuse(node, f"{node.quoted} is no {key}", one_of(choices), hint)
        return None

    def network(self, text: str, node: Node) -> str | None:
        try:
            return str(network(text))
        except PydanticCustomError as error:
            told = error.context or {}
            self.refuse(node, f"{node.quoted} is not a network", str(told["expected"]), str(told["hint"]) or None)
            return None

    def symbol(self, symbol: str, line: int, column: int, node: Node) -> Condition | None:
        if not _SYMBOL.match(symbol):
            expected = "a symbol such as clip.minor, nudity.explicit, hash.ours"
            self.problems.append(self.document.problem(line, column, f'"{symbol}" is not a symbol', expected))
            return None
        self.asked.append(Asked(symbol, line, column))
        value = node.value
        operator: Operator = ">="
        if isinstance(value, str) and (match := _TEST.match(value)):
            operator, score = _as_operator(match[1] or ">="), float(match[2])
        elif isinstance(value, int | float) and not isinstance(value, bool):
            score = float(value)
        else:
            hint = "did you mean 1?" if value is True else None
            self.refuse(node, f"{node.quoted} is not a test of a score", _SCORE, hint)
            return None
        if not 0 <= score <= 1:
            self.refuse(node, f"{node.quoted} can never be: scores lie between 0 and 1", _SCORE)
            return None
        if (operator, score) in ((">", 1.0), ("<", 0.0)):
            self.refuse(node, f"{node.quoted} can never be: scores lie between 0 and 1", _SCORE)
            return None
        if (operator, score) in ((">=", 0.0), ("<=", 1.0)):
            self.refuse(node, f"{node.quoted} would always be: every score does", _SCORE, 'for "not found" write "=0"')
            return None
        return SymbolTest(symbol, operator, score)


def _as_operator(text: str) -> Operator:
    table: dict[str, Operator] = {">": ">", ">=": ">=", "<": "<", "<=": "<=", "=": "=", "==": "="}
    return table[text]


def _as_list_key(text: str) -> ListKey:
    table: dict[str, ListKey] = {key: key for key in get_args(ListKey.__value__)}
    return table[text]


def score_test(operator: Operator, wanted: float) -> Callable[[float], bool]:
    """The comparison. A score that is no number (NaN: a model gone wrong) satisfies every one: never laxer for it."""
    match operator:
        case ">":
            return lambda score: not score <= wanted
        case ">=":
            return lambda score: not score < wanted
        case "<":
            return lambda score: not score >= wanted
        case "<=":
            return lambda score: not score > wanted
        case "=":
            return lambda score: score == wanted or math.isnan(score)
