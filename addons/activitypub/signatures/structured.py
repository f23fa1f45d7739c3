"""The part of structured fields (RFC 8941) that Signature-Input, Signature and Content-Digest are made of."""

import base64
import binascii
import re
from dataclasses import dataclass

from addons.activitypub.signatures.keys import SignatureError

MAX_MEMBERS = 16
MAX_ITEMS = 64
MAX_PARAMETERS = 16


class Token(str):
    """A bare word, such as ``gzip``: not the string of the same letters."""

    __slots__ = ()


type Bare = int | float | str | Token | bytes | bool
type Parameters = dict[str, Bare]


@dataclass(frozen=True, slots=True)
class Item:
    """A value with its parameters."""

    value: Bare
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class InnerList:
    """``(item item …)`` with its parameters."""

    items: tuple[Item, ...]
    parameters: Parameters


_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_NUMBER = re.compile(r"-?(?:[0-9]{1,12}\.[0-9]{1,3}|[0-9]{1,15})(?![0-9.])")
_STRING = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_BYTES = re.compile(r":([A-Za-z0-9+/]*={0,2}):")
_BOOLEAN = re.compile(r"\?([01])")
_SPACES = re.compile(r" *")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


class _Parser:
    """Reads one field's text from left to right (RFC 8941 §4.2). SignatureError says where it could not."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.at = 0

    def fail(self, wanted: str) -> SignatureError:
        seen = self.text[self.at : self.at + 30]
        return SignatureError(f"the header {self.name} has {seen!r} where {wanted} should be")

    def skip(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def take(self, character: str) -> bool:
        if self.text[self.at : self.at + 1] != character:
            return False
        self.at += 1
        return True

    def dictionary(self) -> dict[str, Item | InnerList]:
        members: dict[str, Item | InnerList] = {}
        self.skip(_SPACES)
        while True:
            key = self.key()
            if key in members:
                # RFC 8941 lets the last one win; RFC 9421 §4 wants unique labels, and two readers must not differ.
                raise SignatureError(f"the header {self.name} names {key} twice")
            if len(members) == MAX_MEMBERS:
                raise SignatureError(f"the header {self.name} has more than {MAX_MEMBERS} members")
            if not self.take("="):
                members[key] = Item(True, self.parameters())
            elif self.take("("):
                members[key] = self.inner_list()
            else:
                members[key] = self.item()
            end = self.at
            if self.skip(_COMMA):
                continue
            self.skip(_SPACES)
            if self.at == len(self.text):
                return members
            self.at = end
            raise self.fail("a comma or the end")

    def key(self) -> str:
        found = self.skip(_KEY)
        if found is None:
            raise self.fail("a name")
        return found[0]

    def inner_list(self) -> InnerList:
        items: list[Item] = []
        while True:
            self.skip(_SPACES)
            if self.take(")"):
                return InnerList(tuple(items), self.parameters())
            if len(items) == MAX_ITEMS:
                raise SignatureError(f"the header {self.name} has a list of more than {MAX_ITEMS} items")
            items.append(self.item())
            if self.text[self.at : self.at + 1] not in (" ", ")"):
                raise self.fail("a space or a closing bracket")

    def item(self) -> Item:
        return Item(self.bare(), self.parameters())

    def parameters(self) -> Parameters:
        parameters: Parameters = {}
        while self.take(";"):
            self.skip(_SPACES)
            key = self.key()
            if key in parameters:
                raise SignatureError(f"the header {self.name} has the parameter {key} twice")
            if len(parameters) == MAX_PARAMETERS:
                raise SignatureError(f"the header {self.name} has more than {MAX_PARAMETERS} parameters")
            parameters[key] = self.bare() if self.take("=") else True
        return parameters

    def bare(self) -> Bare:
        if found := self.skip(_STRING):
            return re.sub(r"\\(.)", r"\1", found[1])
        if found := self.skip(_NUMBER):
            return float(found[0]) if "." in found[0] else int(found[0])
        if found := self.skip(_BYTES):
            try:
                return base64.b64decode(found[1], validate=True)
            except binascii.Error:
                raise SignatureError(f"the header {self.name} has bytes that are not base64") from None
        if found := self.skip(_TOKEN):
            return Token(found[0])
        if found := self.skip(_BOOLEAN):
            return found[1] == "1"
        raise self.fail("a value")


def read_dictionary(name: str, text: str) -> dict[str, Item | InnerList]:
    """A dictionary field named ``name``. SignatureError: not one, a name twice, or beyond the bounds."""
    return _Parser(name, text).dictionary()


def write_bare(value: Bare) -> str:
    """RFC 8941 §4.1. ValueError: a string that no structured field can hold."""
    match value:
        case bool():
            return f"?{int(value)}"
        case Token():
            return str(value)
        case bytes():
            return f":{base64.b64encode(value).decode()}:"
        case str():
            if not value.isascii() or not value.isprintable():
                raise ValueError(f"a structured field cannot hold {value!r}")
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case float():
            whole = f"{value:.3f}".rstrip("0")
            return whole + "0" if whole.endswith(".") else whole
        case _:
            return str(value)


def write_item(item: Item) -> str:
    """A value and its parameters."""
    return write_bare(item.value) + _write_parameters(item.parameters)


def write_inner_list(members: InnerList) -> str:
    """The list and its parameters."""
    return f"({' '.join(map(write_item, members.items))}){_write_parameters(members.parameters)}"


def _write_parameters(parameters: Parameters) -> str:
    return "".join(f";{key}" if value is True else f";{key}={write_bare(value)}" for key, value in parameters.items())
