"""Reads the body of a delivery as JSON, bounded before it is parsed, with every value of a repeated key kept."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


class MalformedActivityError(ValueError):
    """The body is no JSON object or array of objects; the message is for a person and quotes at most a short piece."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """All values of a key that stood more than once in one object, in their order.

    Parsers differ on which one counts (most take the last, some the first, serde refuses), so all are walked.
    """

    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """Stands where a document passed a bound and was not parsed; walking it gives ``Walk.overflow``."""

    bound: Literal["depth", "nodes"]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed body.

    ``document`` is made of dict, list, str, float, bool and None; :class:`Repeated` where a key stood more than once,
    or one :class:`Cut` in place of everything. Numbers are floats unless asked for: nothing here needs more, and Python
    refuses integers of over 4300 digits that other parsers take.
    """

    document: object
    overflow: Literal["depth", "nodes"] | None = None


# Strings (a key keeps its colon), brackets, scalars; last a quote that never closes. Possessive, so linear.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"(\s*+:)?|([\[{])|([\]}])|[^\s"\[\]{},:]++|(")', re.DOTALL)

# One that never closes ends with the body, so that nothing is scanned twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def parse(body: bytes, *, max_depth: int, max_nodes: int, exact: bool = False) -> Parsed:
    """Parse ``body`` (UTF-8) into an object or an array of objects.

    Whatever some server would read is read here too, so that it is judged: a byte order mark (Node's body parsers and
    Python's json take one, RFC 8259 section 8.1 allows ignoring it), NaN and Infinity (Python), raw control characters
    in strings (Ruby). Other encodings than UTF-8 are refused: RFC 8259 section 8.1.

    ``max_depth`` bounds the nesting of objects and arrays (the outermost is 1), ``max_nodes`` the number of values.
    Past either, ``overflow`` names the bound and nothing was parsed. ``exact``: integers stay integers, for who writes
    the document again.

    Raises :class:`MalformedActivityError`.
    """
    overflow = _overflow(body, max_depth, max_nodes)
    if overflow:
        return Parsed(Cut(overflow), overflow)
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedActivityError(f"The body is not UTF-8 text (byte {error.start}).") from None
    try:
        document = (_EXACT if exact else _DECODER).decode(text)
    except json.JSONDecodeError as error:
        piece = text[error.pos : error.pos + 20]
        where = f"line {error.lineno}, column {error.colno}"
        raise MalformedActivityError(f"The body is not JSON: {error.msg} at {where}, near {piece!r}.") from None
    except RecursionError:
        return Parsed(Cut("depth"), "depth")
    if isinstance(document, dict):
        return Parsed(document)
    if not isinstance(document, list):
        raise MalformedActivityError(f"The body is {_name(document)}, not a JSON object or an array of objects.")
    for index, item in enumerate(document):
        if not isinstance(item, dict):
            raise MalformedActivityError(f"Item {index} of the array is {_name(item)}, not a JSON object.")
    return Parsed(document)


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    values: dict[str, list[object]] = {}
    for key, value in pairs:
        values.setdefault(key, []).append(value)
    return {key: found[key] if len(many) == 1 else Repeated(tuple(many)) for key, many in values.items()}


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


_LONGEST_INTEGER = 300
"""Digits; no server reads as many, and a float holds what has no more."""
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=float, strict=False)
_EXACT = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, strict=False)


def _overflow(body: bytes, max_depth: int, max_nodes: int) -> Literal["depth", "nodes"] | None:
    """Which bound the body passes, told without parsing it, so that no parser recurses too deep or fills memory."""
    opened = body.count(b"[") + body.count(b"{")
    # Every value but the first comes after a comma or opens a container: nearly all deliveries end here.
    if opened + body.count(b",") >= max_nodes:
        return _count_tokens(body, max_depth, max_nodes)
    if opened <= max_depth:
        return None
    depth = 0
    for bracket in _STRING.sub(b"", body).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > max_depth:
            return "depth"
    return None


def _count_tokens(body: bytes, max_depth: int, max_nodes: int) -> Literal["depth", "nodes"] | None:
    depth = nodes = 0
    for token in _TOKEN.finditer(body):
        if token[2]:
            depth += 1
            if depth > max_depth:
                return "depth"
        elif token[3]:
            depth -= 1
            continue
        elif token[4]:
            at = token.start()
            raise MalformedActivityError(f"The body is not JSON: a string that begins at byte {at} never ends.")
        if token[1] is None:
            nodes += 1
            if nodes > max_nodes:
                return "nodes"
    return None


def _name(value: object) -> str:
    if value is None:
        return "null"
    names = {str: "a string", bool: "true or false", float: "a number", list: "an array"}
    return names.get(type(value), "something else")
