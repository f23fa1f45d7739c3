"""What is wrong with a configuration, told like a compiler: where, the line, a caret, what was expected, a guess."""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_USER = re.compile(r"(?<=://)[^\s\"'/]+(?=@)")
"""User and password of a URL, as in ``nats://user:password@host``."""
_SECRET = re.compile(r"(\$\{[^}]*\})|[^$]+|\$")

_WIDEST = 160
"""Columns of a line that are shown; a longer one is cut around the caret."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (or, as a ``warning``, risky) at a place in a file.

    ``line`` and ``column`` count from 1, in characters; ``source`` is that line as written in the file, so that a
    value which came from the environment is never shown. Nor is what stands before the ``@`` of a URL.
    """

    file: str
    line: int
    column: int
    message: str
    expected: str | None = None
    hint: str | None = None
    source: str = ""
    warning: bool = False

    def __str__(self) -> str:
        """``file:line:column: message``, the line, a caret under the column, ``expected: …`` and the hint."""
        kind = "warning: " if self.warning else ""
        parts = [f"{self.file}:{self.line}:{self.column}: {kind}{self.message}"]
        if self.source.strip():
            line, column = _window(self.source, self.column)
            parts += [f"  {_shown(line)}", f"  {_padding(line[: column - 1])}^"]
        if self.expected:
            parts.append(f"  expected: {self.expected}")
        if self.hint:
            parts.append(f"  {self.hint}")
        return masked("\n".join(parts))


class ConfigError(Exception):
    """A configuration cannot be used; ``problems`` holds everything that is wrong with it, in the file's order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = in_order(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """Every problem, a blank line between them."""
        return "\n\n".join(str(problem) for problem in self.problems)


def masked(text: str) -> str:
    """The text with stars, as many as there are characters, for users and passwords in URLs; ``${NAME}`` may stand."""
    return _USER.sub(lambda user: _SECRET.sub(lambda part: part[1] or "*" * len(part[0]), user[0]), text)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems by line and column, each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.line, problem.column)))


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """``did you mean "upstream"?`` for the candidate nearest to ``word``, or None where none is near."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    near = difflib.get_close_matches(word.casefold()[:100], by_folded, n=1, cutoff=0.6)
    return f'did you mean "{by_folded[near[0]]}"?' if near else None


def one_of(words: Iterable[str]) -> str:
    """``one of a, b, c``, or ``a`` alone."""
    listed = list(words)
    return listed[0] if len(listed) == 1 else "one of " + ", ".join(listed)


def _window(line: str, column: int) -> tuple[str, int]:
    if len(line) <= _WIDEST:
        return line, column
    start = max(0, min(column - 1 - _WIDEST // 2, len(line) - _WIDEST))
    return line[start : start + _WIDEST], column - start


def _shown(line: str) -> str:
    """The line without characters that would move a terminal's cursor (a tab may stay: the padding has it too)."""
    return "".join(c if c == "\t" or unicodedata.category(c)[0] != "C" else "�" for c in line)


def _padding(before: str) -> str:
    """Blanks as wide as ``before`` is on a terminal: tabs stay tabs, wide characters are two, combining ones none."""
    return "".join(_blank(character) for character in before)


def _blank(character: str) -> str:
    if character == "\t":
        return "\t"
    if unicodedata.combining(character):
        return ""
    return "  " if unicodedata.east_asian_width(character) in "WF" else " "
