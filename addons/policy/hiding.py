"""Secrets written into the configuration itself: hidden before any of its lines can be shown in a message."""

import re
from collections.abc import Iterator

import yaml

KEYS = frozenset({"secret", "api_key", "password", "subscription_key", "function_key", "token", "webhook", "ntfy"})
"""The keys whose values are secrets, wherever they stand: who knows a webhook's or a topic's URL can write to it."""

_VARIABLE = re.compile(r"(\$\{[^}]*\})|[^\s\"']")
_WORD = rf"[\"']?\b(?:{'|'.join(sorted(KEYS))})\b[\"']?[ \t]*:"
_KEY = re.compile(rf"({_WORD})(.*)")
_KEY_ALONE = re.compile(rf"{_WORD}[ \t]*(?:#.*)?\Z")


def hidden(text: str, top: yaml.Node) -> str:
    """The file's text with stars for every character of a secret; what names a variable (``${NAME}``) may stand."""
    for start, end in sorted(_spans(top), reverse=True):
        text = text[:start] + _starred(text[start:end]) + text[end:]
    return text


def hidden_line(line: str, before: str = "") -> str:
    """One line of what is no YAML, so that nobody knows where a value ends: all of it behind such a key is hidden.

    ``before``: the line before, whose key this line may be the value of.
    """
    if _KEY_ALONE.search(before):
        return _starred(line)
    return _KEY.sub(lambda match: match[1] + _starred(match[2]), line)


def _spans(top: yaml.Node) -> Iterator[tuple[int, int]]:
    """Where in the text the secrets stand: from and to."""
    seen: set[tuple[int, bool]] = set()  # an alias may be of what it stands in
    waiting = [(top, False)]
    while waiting:
        node, secret = waiting.pop()
        if (id(node), secret) in seen:
            continue
        seen.add((id(node), secret))
        if isinstance(node, yaml.MappingNode):
            waiting += ((value, secret or key.value in KEYS) for key, value in node.value if _is_word(key))
        elif isinstance(node, yaml.SequenceNode):
            waiting += ((item, secret) for item in node.value)
        elif secret:
            yield node.start_mark.index, node.end_mark.index


def _is_word(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode)


def _starred(text: str) -> str:
    return _VARIABLE.sub(lambda match: match[1] or "*", text)
