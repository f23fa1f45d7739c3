"""New thresholds put into a configuration's text in place: comments, quotes and order stay as they are."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from addons.policy.conditions import GROUPS
from addons.policy.document import Node
from addons.policy.reading import read
from addons.policy.rules import ANY_HASH, PRESETS, preset_text

_ABOVE = re.compile(r"\s*(>=|>)?\s*([0-9]*\.?[0-9]+)\s*\Z")
_PRESET = re.compile(r"""(?m)^rules:[ \t]*(["']?)([a-z-]+)\1[ \t]*(#.*)?$""")

_ON_LISTS = re.compile(rf"(?m)^( *)(- .*{re.escape(ANY_HASH)}.*)$")


@dataclass(frozen=True, slots=True)
class Edit:
    """One threshold that is changed: in which rule and line, of which symbol, from what to what (as written)."""

    rule: str
    line: int
    symbol: str
    old: str
    new: str


def with_thresholds(text: str, scores: Mapping[str, float]) -> tuple[str, list[Edit]]:
    """The configuration's ``text`` with every lower bound on a symbol in ``scores`` changed, and what was changed.

    ``scores``: by symbol. Only ``>`` and ``>=`` outside of ``not`` are thresholds in that sense. Where ``rules`` is the
    name of a preset, the preset's own rules are written out in its place first. Raises ConfigError where it is no YAML.
    """
    text = _written_out(text)
    document, _ = read(text.encode(), "", {})
    rules = document.find(("rules",))
    lines = text.splitlines(keepends=True)
    edits: list[Edit] = []
    places = [place for rule in (rules.items or () if rules else ()) for place in _thresholds(rule)]
    # From the end, so that what is changed moves nothing that is still to be changed.
    for rule, symbol, node in sorted(places, key=lambda place: (place[2].line, place[2].column), reverse=True):
        if symbol not in scores:
            continue
        found = _ABOVE.match(node.text)
        assert found is not None
        new = f"{found[1] or '>='}{scores[symbol]:g}"
        line = lines[node.line - 1]
        at = line.index(node.text, node.column - 1)
        end = at + len(node.text)
        quoted = f'"{new}"' if node.plain else new
        lines[node.line - 1] = line[:at] + quoted + line[end:]
        edits.append(Edit(rule, node.line, symbol, node.text, new))
    return "".join(lines), edits[::-1]


def _written_out(text: str) -> str:
    """The text with a preset's name replaced by its rules; `rules` left out means the first preset."""
    document, _ = read(text.encode(), "", {})
    node, lists = document.find(("rules",)), document.find(("classifier", "hashes"))
    has_lists = bool(lists and lists.items)
    if node is None:
        return text.rstrip("\n") + "\n\n" + _rules_of(PRESETS[0], has_lists=has_lists)
    if node.items is None and isinstance(node.value, str) and node.value in PRESETS:
        return _PRESET.sub(lambda match: _rules_of(match[2], has_lists=has_lists).rstrip("\n"), text, count=1)
    return text


def _rules_of(name: str, *, has_lists: bool) -> str:
    """The preset's text. Without hash lists the rule on them, which a preset may have all the same, is a comment."""
    text = preset_text(name)
    return text if has_lists else _ON_LISTS.sub(r"\1#\2", text)


def _thresholds(rule: Node) -> Iterator[tuple[str, str, Node]]:
    entries = rule.entries or {}
    if "when" not in entries:
        return
    name = entries["name"].node.text if "name" in entries else ""
    for symbol, node in _bounds(entries["when"].node):
        yield name, symbol, node


def _bounds(when: Node) -> Iterator[tuple[str, Node]]:
    for key, entry in (when.entries or {}).items():
        if key in GROUPS:
            if key != "not":
                for item in entry.node.items or ():
                    yield from _bounds(item)
        elif "." in key and _ABOVE.match(entry.node.text):
            yield key, entry.node
