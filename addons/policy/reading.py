"""YAML text read into a Document: YAML 1.2's plain values, environment variables put in, and a bound on all of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from addons.policy.document import Document, Entry, Node, Scalar
from addons.policy.hiding import hidden, hidden_line
from addons.policy.problems import ConfigError, Problem

MAX_BYTES = 1 << 20
MAX_NODES = 20_000
MAX_DEPTH = 32

# YAML 1.2's core schema. YAML 1.1, PyYAML's own, reads the key `on` as true and the host `no` as false.
_NULL = re.compile(r"(?:null|Null|NULL|~|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]{1,2})?\Z|[-+]?[0-9]+[eE][-+]?[0-9]{1,2}\Z")
_VARIABLE = re.compile(r"\$?\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# An anchor or a tag before a value.
_PROPERTIES = re.compile(r"(?:[&!]\S*\s*)*")
# What PyYAML takes for the end of a line.
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def read(raw: bytes, file: str, env: Mapping[str, str]) -> tuple[Document, list[Problem]]:
    """The file's nodes, and every problem that does not keep it from being read (double keys, missing variables).

    Raises ConfigError where it is no YAML, no UTF-8 or beyond the bounds. Aliases are followed, each time counted.
    """
    if len(raw) > MAX_BYTES:
        raise ConfigError([Problem(file, 1, 1, f"the file has {len(raw):,} bytes", f"at most {MAX_BYTES:,}")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        line, column = _position(before)
        raise ConfigError([Problem(file, line, column, "the file is not UTF-8", "text saved as UTF-8")]) from None
    reader = _Reader(text, file, env)
    return reader.document(), reader.problems


def _position(before: str) -> tuple[int, int]:
    lines = _BREAK.split(before)
    return len(lines), len(lines[-1]) + 1


_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"
_TOO_MANY = f"more than {MAX_NODES:,} keys and values, each alias counted anew"


class _BoundError(Exception):
    def __init__(self, mark: yaml.Mark, message: str) -> None:
        super().__init__(message)
        self.mark = mark


class _Loader(yaml.SafeLoader):
    """Composes a bounded number of nodes to a bounded depth: composing is slow, and recursive."""

    depth = 0
    composed = 0

    def compose_node(self, parent: yaml.Node | None, index: object) -> yaml.Node | None:
        self.depth += 1
        self.composed += 1
        if self.depth > MAX_DEPTH and parent is not None:
            raise _BoundError(parent.start_mark, _TOO_DEEP)
        if self.composed > MAX_NODES and parent is not None:
            raise _BoundError(parent.start_mark, _TOO_MANY)
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[arg-type]  # stub says int only
        self.depth -= 1
        return node


@dataclass(slots=True)
class _Reader:
    text: str
    file: str
    env: Mapping[str, str]
    problems: list[Problem] = field(default_factory=list)
    nodes: int = 0
    shown: str = ""
    lines: tuple[str, ...] = ()

    def document(self) -> Document:
        lines = _BREAK.split(self.text)
        # Until it is read, nobody knows for sure what in it is secret.
        self.lines = tuple(hidden_line(line, before) for before, line in zip(("", *lines), lines, strict=False))
        try:
            loader = _Loader(self.text)
            top = loader.get_single_node()
            self.shown = hidden(self.text, top) if top is not None else self.text
            self.lines = tuple(_BREAK.split(self.shown))
            root = Node(1, 1, entries={}) if top is None else self.node(top, 0)
        except _BoundError as error:
            raise ConfigError([self.problem(*_at(error.mark), str(error))]) from None
        except yaml.MarkedYAMLError as error:
            raise ConfigError([self.syntax(error)]) from None
        except yaml.reader.ReaderError as error:
            line, column = _position(self.text[: error.position])
            message = f"the character U+{int(error.character):04X} cannot stand in YAML"
            raise ConfigError([self.problem(line, column, message)]) from None
        return Document(self.file, self.lines, root)

    def problem(
        self, line: int, column: int, message: str, expected: str | None = None, hint: str | None = None
    ) -> Problem:
        source = self.lines[line - 1] if line <= len(self.lines) else ""
        return Problem(self.file, line, column, message, expected, hint, source)

    def syntax(self, error: yaml.MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        line, column = _at(mark) if mark else (1, 1)
        what = (error.problem or error.context or "cannot be read").strip()
        if "'\\t'" in what:
            return self.problem(line, column, "not valid YAML: a tab cannot indent", "spaces")
        hint = None
        source = self.lines[line - 1] if line <= len(self.lines) else ""
        if "${" in source:
            hint = 'inside {…} and […] a variable must stand in quotes: "${NAME}"'
        elif error.context and error.context_mark and error.problem:
            hint = f"{error.context} that began in line {error.context_mark.line + 1}"
        return self.problem(line, column, f"not valid YAML: {what}", None, hint)

    def node(self, node: yaml.Node, depth: int) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _BoundError(node.start_mark, _TOO_MANY)
        if depth > MAX_DEPTH:  # an alias of what it stands in
            raise _BoundError(node.start_mark, _TOO_DEEP)
        line, column = _at(node.start_mark)
        properties = _PROPERTIES.match(self.text, node.start_mark.index)
        if properties and "!" in properties[0]:
            self.problems.append(self.problem(line, column, "YAML tags are not used here", "a value without !tag"))
        if isinstance(node, yaml.MappingNode):
            return Node(line, column, entries=self.entries(node, depth))
        if isinstance(node, yaml.SequenceNode):
            return Node(line, column, items=tuple(self.node(item, depth + 1) for item in node.value))
        assert isinstance(node, yaml.ScalarNode)
        return self.scalar(node, line, column)

    def entries(self, node: yaml.MappingNode, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            line, column = _at(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(self.problem(line, column, "a key cannot be a list or mapping", "a word"))
                continue
            self.nodes += 1
            key = str(key_node.value)
            value = self.node(value_node, depth + 1)
            if key in entries:
                message = f'the key "{key}" stands here twice'
                first = f"it stood first in line {entries[key].line}"
                self.problems.append(self.problem(line, column, message, "each key once", first))
                continue
            entries[key] = Entry(line, column, value)
        return entries

    def scalar(self, node: yaml.ScalarNode, line: int, column: int) -> Node:
        plain = node.style is None
        start = _PROPERTIES.match(self.text, node.start_mark.index, node.end_mark.index)
        assert start is not None
        written = _first_line(self.shown[start.end() : node.end_mark.index], plain=plain)
        known = len(self.problems)
        text = self.substitute(str(node.value), line, column)
        broken = len(self.problems) > known
        return Node(line, column, _typed(text) if plain else text, written, plain, broken)

    def substitute(self, text: str, line: int, column: int) -> str:
        """Put environment variables in: ``${NAME}``; ``$${`` is a plain ``${``. The result is never YAML again."""

        def value(match: re.Match[str]) -> str:
            if match[0].startswith("$$"):
                return match[0][1:]
            source = self.lines[line - 1]
            at = source.find(match[0], column - 1)
            where = at + 1 if at >= 0 else column
            if not match[2] or not _NAME.match(match[1]):
                expected = "${NAME} of letters, digits and _, or $${ for a plain ${"
                self.problems.append(self.problem(line, where, "this names no environment variable", expected))
                return ""
            found = self.env.get(match[1])
            if found is None:
                message = f"the environment variable {match[1]} is not set"
                near = next((name for name in self.env if name.casefold() == match[1].casefold()), None)
                hint = f'did you mean "${{{near}}}"?' if near else None
                self.problems.append(
                    self.problem(line, where, message, f"{match[1]} in fediward's own environment", hint)
                )
                return ""
            return found

        return _VARIABLE.sub(value, text) if "${" in text else text


def _at(mark: yaml.Mark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _first_line(written: str, *, plain: bool) -> str:
    line = _BREAK.split(written.strip())[0]
    if not plain and len(line) >= 2 and line[0] == line[-1] and line[0] in "'\"":
        line = line[1:-1]
    return line if len(line) <= 80 else line[:79] + "…"


def _typed(text: str) -> Scalar:
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text[0] in "tT"
    if _INT.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text
