"""mitmproxy's messages at a price that a door can pay for each request: headers indexed, field types not re-checked."""

from collections.abc import Iterable
from typing import Self

from mitmproxy import http

# mitmproxy checks the type of every field of every message it makes, unless Python runs with -O. It is a check on its
# own code, and costs a twelfth of a delivery's time (tests/bench/door.py).
if hasattr(http.MessageData, "__post_init__"):
    setattr(http.MessageData, "__post_init__", lambda self: None)  # noqa: B010 (mypy refuses the plain assignment)


class IndexedHeaders(http.Headers):
    """mitmproxy's headers, which lower-case every name anew for each look-up; these do it once, until they change."""

    _indexed: tuple[tuple[bytes, bytes], ...] | None = None
    _index: dict[bytes, list[str]]

    @classmethod
    def of(cls, headers: http.Headers) -> Self:
        """The same fields, in order and case."""
        made = cls.__new__(cls)
        made.fields = headers.fields
        return made

    def get_all(self, name: str | bytes) -> list[str]:
        """All values under a name, in order; any letter case."""
        if self._indexed is not self.fields:
            self._index = _indexed(self.fields)
            self._indexed = self.fields
        key = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
        return list(self._index.get(key.lower(), ()))


def _indexed(fields: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[str]]:
    index: dict[bytes, list[str]] = {}
    for name, value in fields:
        index.setdefault(name.lower(), []).append(value.decode("utf-8", "surrogateescape"))
    return index
