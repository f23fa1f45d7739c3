"""A GET as the fetch door sends it on: for the whole object, in an encoding that can be undone; and the part asked for.

What is taken out of the request is not signed by any server (reference section 2: signatures of GETs cover target,
host and date): ``Range``, the conditionals, and the encodings that nobody here could look into.
"""

import re
from dataclasses import dataclass

from mitmproxy import http

_CONDITIONALS = frozenset({b"if-none-match", b"if-modified-since", b"if-match", b"if-unmodified-since"})
_ENCODINGS = frozenset({"gzip", "x-gzip", "deflate", "identity"})
_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)

type Field = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """The single range of bytes that was asked for: ``first`` to ``last``, or the last ``last`` ones (RFC 9110 14.1.2).

    ``if_range``: the validator it goes with, "" for none.
    """

    first: int | None
    last: int | None
    if_range: str = ""


class UnsatisfiableError(Exception):
    """The object ends before the range begins: 416."""


def ask_for_all(request: http.Request) -> Asked | None:
    """Make a GET ask for the whole object; the range that it asked for, None for none or more than one."""
    ranges = request.headers.get_all("range")
    if_range = ", ".join(request.headers.get_all("if-range"))
    fields: list[Field] = []
    accepted: list[bytes] = []
    for name, value in request.headers.fields:
        lower = name.lower()
        if lower in _CONDITIONALS or lower in (b"range", b"if-range"):
            continue
        if lower == b"accept-encoding":
            accepted.append(value)
            if len(accepted) > 1:
                continue
        fields.append((name, value))
    if accepted:
        narrowed = _narrowed(b",".join(accepted))
        fields = [(name, narrowed if name.lower() == b"accept-encoding" else value) for name, value in fields]
    request.headers.fields = tuple(fields)
    match = _RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    if match is None or not (match[1] or match[2]):
        return None
    first, last = (int(match[1]) if match[1] else None), (int(match[2]) if match[2] else None)
    if first is not None and last is not None and last < first:
        return None
    return Asked(first, last, if_range)


def _narrowed(accepted: bytes) -> bytes:
    """The encodings among those accepted that can be undone here, with their weights; ``identity`` where none is."""
    tokens = [token.strip() for token in accepted.decode("latin-1").split(",")]
    kept = [token for token in tokens if token.partition(";")[0].strip().lower() in _ENCODINGS]
    return ", ".join(kept).encode("latin-1") or b"identity"


def span(asked: Asked | None, total: int, response: http.Response) -> tuple[int, int] | None:
    """The bytes to answer with, as first and one past the last; None for all of them, as a plain 200.

    Raises UnsatisfiableError.
    """
    if asked is None or response.status_code != 200 or (asked.if_range and not _is_current(asked.if_range, response)):
        return None
    if asked.first is None:
        length = min(asked.last or 0, total)
        if not length:
            raise UnsatisfiableError
        return total - length, total
    if asked.first >= total:
        raise UnsatisfiableError
    return asked.first, total if asked.last is None else min(total, asked.last + 1)


def _is_current(validator: str, response: http.Response) -> bool:
    """Whether the object is still the one that the asker has a part of (RFC 9110 13.1.5: a strong comparison)."""
    if validator.startswith("W/"):
        return False
    return validator in (response.headers.get("etag"), response.headers.get("last-modified"))


def make_partial(response: http.Response, part: tuple[int, int], total: int) -> None:
    """Turn the head of a whole answer into that of a part of it."""
    response.status_code = 206
    response.reason = "Partial Content"
    response.headers["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{total}"
    response.headers["Content-Length"] = str(part[1] - part[0])
    response.headers.pop("transfer-encoding", None)


def unsatisfiable(total: int) -> http.Response:
    """The answer where the object ends before the range begins."""
    return http.Response.make(416, b"", {"Content-Range": f"bytes */{total}", "Cache-Control": "no-store"})


class Cut:
    """Lets the bytes of one part of a stream by. ``done`` once nothing of it can follow."""

    def __init__(self, part: tuple[int, int]) -> None:
        self._at = 0
        self._first, self._end = part

    @property
    def done(self) -> bool:
        """Whether the whole part went by."""
        return self._at >= self._end

    def __call__(self, data: bytes) -> bytes:
        """What of ``data``, the next bytes of the stream, belongs to the part."""
        start, self._at = self._at, self._at + len(data)
        return data[max(0, self._first - start) : max(0, self._end - start)]
