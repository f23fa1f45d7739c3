"""A YAML file as fediward sees it: every key and value with the position at which it stands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from addons.policy.problems import Problem

type Scalar = str | int | float | bool | None
type Data = Scalar | list["Data"] | dict[str, "Data"]
type Place = tuple[str | int, ...]
"""The way to a value from the top: ``("rules", 0, "when")``."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file: a scalar, a list (``items``) or a mapping (``entries``), and where it stands.

    ``text`` is a scalar as written, ``${NAME}`` and all, so that a message may quote it; ``plain``: without quotes;
    ``broken``: a variable in it could not be put in, which is a problem of its own.
    """

    line: int
    column: int
    value: Scalar = None
    text: str = ""
    plain: bool = True
    broken: bool = False
    items: tuple["Node", ...] | None = None
    entries: Mapping[str, "Entry"] | None = None

    @property
    def quoted(self) -> str:
        """How a message names this value."""
        if self.entries is not None:
            return "a mapping"
        if self.items is not None:
            return "a list"
        if not self.text:
            return "nothing" if self.plain else '""'
        return f'"{self.text}"'

    @property
    def from_environment(self) -> bool:
        """Whether a variable stands in it: then no message may show its value."""
        return "${" in self.text

    def data(self) -> Data:
        """The plain value."""
        if self.entries is not None:
            return {key: entry.node.data() for key, entry in self.entries.items()}
        if self.items is not None:
            return [item.data() for item in self.items]
        return self.value

    def walk(self) -> Iterator["Node"]:
        """This node and all below it."""
        yield self
        for child in self.items or ():
            yield from child.walk()
        for entry in (self.entries or {}).values():
            yield from entry.node.walk()


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping with its own position, and its value."""

    line: int
    column: int
    node: Node


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its name, its lines and its top node."""

    file: str
    lines: tuple[str, ...]
    root: Node

    def find(self, place: Sequence[str | int]) -> Node | None:
        """The node at ``place``, or None."""
        node: Node | None = self.root
        for step in place:
            node = None if node is None else _child(node, step)
        return node

    def nearest(self, place: Sequence[str | int], *, key: bool = False) -> tuple[int, int, Node]:
        """Line, column and node of ``place`` or of the last thing on the way there; with ``key``, of its key."""
        node, line, column = self.root, self.root.line, self.root.column
        for step in place:
            child = _child(node, step)
            if child is None:
                break
            entry = node.entries.get(str(step)) if node.entries is not None else None
            node = child
            line, column = (entry.line, entry.column) if key and entry else (node.line, node.column)
        return line, column, node

    def problem(
        self, line: int, column: int, message: str, expected: str | None = None, hint: str | None = None
    ) -> Problem:
        """A problem at a line and column of this file."""
        source = self.lines[line - 1] if line <= len(self.lines) else ""
        return Problem(self.file, line, column, message, expected, hint, source)


def _child(node: Node, step: str | int) -> Node | None:
    if node.entries is not None:
        entry = node.entries.get(str(step))
        return entry.node if entry else None
    if node.items is not None and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None
