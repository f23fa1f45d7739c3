"""Which of the upload door's table a request is, however its path is spelt."""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from addons.doors.upload_table import ENDPOINTS, FORMS, PICTRS, Endpoint, Kind

METHODS = frozenset({"POST", "PUT", "PATCH"})
_DECODINGS = 8
_STRENGTH: tuple[Kind, ...] = ("unsupported", "upload", "post")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request is here: its kind, and whose ways it has, for the words of a refusal."""

    kind: Kind
    software: str
    path: str


class Paths:
    """The rows of one server, or of pict-rs; of all servers for ``generic``."""

    def __init__(self, software: str) -> None:
        rows = [
            row
            for row in ENDPOINTS
            if software in row.software or (software == "generic" and PICTRS not in row.software[:1])
        ]
        self.forms = any(row.path == FORMS for row in rows)
        self.software = software
        # The more telling first: a row that names a path before one that ends in a star, an upload before a post.
        rows = sorted(rows, key=lambda row: (row.path.endswith("*"), _STRENGTH.index(row.kind)))
        self._rows = [(re.compile(_pattern(row.path)), row) for row in rows if row.path.startswith("/")]
        self._prefixes = tuple({row.path.partition(":")[0].partition("*")[0] for _, row in self._rows})

    def find(self, path: str) -> Asked | None:
        """The row that a request target is, however it is spelt."""
        plain = canonical(path)
        if not plain.startswith(self._prefixes):
            return None
        for pattern, row in self._rows:
            if pattern.fullmatch(plain):
                return Asked(row.kind, self.named(row), plain)
        return None

    def named(self, row: Endpoint) -> str:
        """Whose errors are spoken at a row: ours, or for ``generic`` the first that has it."""
        return row.software[0] if self.software == "generic" else self.software


def _pattern(path: str) -> str:
    segments = [
        r"[^/]+" if segment.startswith(":") else r".+" if segment == "*" else re.escape(segment)
        for segment in path.split("/")
    ]
    return "/".join(segments)


@lru_cache(maxsize=1024)
def _short(path: str) -> str:
    return _canonical(path)


def canonical(path: str) -> str:
    """A request target as the laxest server's router sees it: percent-decoded until nothing changes, in lower case,
    without query, dot segments, empty segments, parameters and the format suffix of its last segment (Rails)."""
    return _short(path) if len(path) <= 512 else _canonical(path)


def _canonical(path: str) -> str:
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    if "://" in path[:10]:  # the absolute form
        path = "/" + path.partition("://")[2].partition("/")[2]
    for _ in range(_DECODINGS):
        if (decoded := unquote(path, errors="replace")) == path:
            break
        path = decoded
    segments: list[str] = []
    for segment in re.split(r"[?#]", path, maxsplit=1)[0].replace("\\", "/").split("/"):
        name = re.split(r"[;\0]", segment, maxsplit=1)[0].strip().lower()
        if name == "..":
            segments[-1:] = []
        elif name not in ("", "."):
            segments.append(name)
    if segments:
        segments[-1] = segments[-1].partition(".")[0] or segments[-1]
    return "/" + "/".join(segments)
