"""Reads one list of hosts and actors: a name a line, or a CSV as admins of the fediverse share it. Blocks.

A line is a host (``example.org``), a pattern (``*.example.org``: every host below it) or an actor's URL; ``#`` begins a
comment. In a CSV, whose first line names its columns (``#domain,#severity,#reject_media,…`` as Mastodon writes it;
``domain``, ``host`` or ``instance`` elsewhere), a host stands for those below it too, as in Mastodon, and only the
severity ``suspend`` counts, which is also what an empty one and a list without that column mean.
"""

import csv
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from addons.policy.hosts import normal_host, normal_pattern
from classifier.types import CannotStartError

MAX_BYTES = 16 << 20
MAX_LINES = 1_000_000
MAX_PROBLEMS = 20

_COLUMNS = ("domain", "host", "instance")
_SEVERITIES = {"suspend": True, "": True, "silence": False, "limit": False, "noop": False, "none": False}


class WrongListError(CannotStartError):
    """A list that cannot be used; the message names the file and each wrong line, and says what was expected."""


def read_list(path: Path) -> Mapping[str, int]:
    """What is listed, to the line that it stands on: hosts and patterns in their one form, and actors (as :func:`actor`
    writes them). A million lines take some 150 MB and seconds. Raises WrongListError.
    """
    lines = _lines(path)
    problems: list[str] = []
    found: dict[str, int] = {}
    for number, names in _csv(path, lines, problems) if _is_csv(lines) else _plain(path, lines, problems):
        for name in names:
            found.setdefault(name, number)
    if problems:
        more = len(problems) - MAX_PROBLEMS
        shown = [*problems[:MAX_PROBLEMS], f"{path}: and {more} more"] if more > 0 else problems
        raise WrongListError("\n".join(shown))
    return found


def actor(url: str) -> str | None:
    """An actor's URL in the one form that is compared: https or http, host, path and query; None where it is none."""
    scheme, slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if not slashes or scheme.lower() not in ("https", "http"):
        return None
    host, port = _split(authority)
    name = normal_host(host)
    if name is None:
        return None
    return f"{scheme.lower()}://{f'[{name}]' if ':' in name else name}{port}{slash}{path.partition('#')[0]}"


def host_of(written: str) -> str:
    """The host in what :func:`actor` wrote."""
    authority = written.partition("://")[2].partition("/")[0]
    return authority.partition("]")[0] + "]" if authority.startswith("[") else authority.partition(":")[0]


def _split(authority: str) -> tuple[str, str]:
    """Host and, behind its colon, the port, if that is any but https's."""
    host, colon, port = authority.rpartition(":")
    if not colon or not port.isdecimal():
        return authority, ""
    return host, "" if port == "443" else f":{port}"


def _lines(path: Path) -> list[str]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before it is opened: a pipe would be waited for
            raise WrongListError(f"the list {path} is not a regular file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise WrongListError(
            f"the list {path} cannot be read ({error.strerror}): create it (an empty file is a valid list) or take it "
            "out of senders"
        ) from error
    if len(data) > MAX_BYTES:
        raise WrongListError(f"the list {path} has more than {MAX_BYTES >> 20} MiB: split it")
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise WrongListError(f"{path}:{number}: the line is not UTF-8 text") from None
    if len(lines) > MAX_LINES + 1:
        raise WrongListError(f"{path}:{MAX_LINES + 1}: more than {MAX_LINES} lines: split the list")
    return lines


def _is_csv(lines: Iterable[str]) -> bool:
    """Whether the first line that says anything names the columns."""
    for line in lines:
        if _is_header(line.split(",")):
            return True
        if line.strip() and not line.lstrip().startswith("#"):
            return False
    return False


def _is_header(cells: list[str]) -> bool:
    """``#domain`` names a column, ``# domain`` is a comment."""
    return not cells[0].startswith("# ") and any(_column(cell) in _COLUMNS for cell in cells)


def _column(text: str) -> str:
    return text.strip().strip('"').lstrip("#").strip().lower()


def _plain(path: Path, lines: Iterable[str], problems: list[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        # An actor's URL may have a fragment; a comment has a space before it.
        if "#" in text:
            text = "" if text.startswith("#") else text.partition(" #")[0].partition("\t#")[0].strip()
        if text:
            name = _name(text)
            if name is None:
                hint = " (a CSV begins with a line that names its columns)" if "," in text else ""
                problems.append(f"{path}:{number}: {text[:80]!r} is no host, *.host or actor's URL{hint}")
            else:
                yield number, (name,)


def _name(text: str) -> str | None:
    if "://" not in text:
        return normal_pattern(text)
    found = actor(text)
    if found is None:
        return None
    # The URL of a server stands for the server.
    return found if found.partition("://")[2].partition("/")[2] else normal_host(host_of(found))


def _csv(path: Path, lines: list[str], problems: list[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    rows = csv.reader(line + "\n" for line in lines)
    columns: dict[str, int] | None = None
    begins = 1
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            problems.append(f"{path}:{rows.line_num}: the line is no CSV: {error}")
            return
        if row is None:
            return
        number, begins = begins, rows.line_num + 1
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            if _is_header(row):
                columns = {_column(cell): at for at, cell in reversed(list(enumerate(row)))}
            continue
        if not row[0].startswith("#") and (names_ := _row(path, number, row, columns, problems)):
            yield number, names_


def _row(
    path: Path, number: int, row: list[str], columns: Mapping[str, int], problems: list[str]
) -> tuple[str, ...] | None:
    at = next(columns[column] for column in _COLUMNS if column in columns)
    text = row[at].strip() if at < len(row) else ""
    place = columns.get("severity", len(row))
    severity = row[place].strip().lower() if place < len(row) else ""
    if severity not in _SEVERITIES:
        problems.append(f"{path}:{number}: the severity {severity[:40]!r} is none of suspend, silence, noop")
        return None
    if not _SEVERITIES[severity]:
        return None
    host = normal_host(text.removeprefix("*."))
    if host is None:
        hidden = " (a name that is made unreadable with * cannot be recognised)" if "*" in text else ""
        problems.append(f"{path}:{number}: {text[:80]!r} is no host{hidden}")
        return None
    return host, f"*.{host}"
