from dataclasses import replace

import httpx
import pytest

from addons.demo.arrivals import Arrival

SENT = httpx.Request(
    "POST", "http://example.org/inbox?a=1", headers=[("Host", "example.org"), ("X-A", "b")], content=b"{}"
)
GOT = Arrival("", b"/inbox?a=1", [(b"host", b"example.org"), (b"x-a", b"b"), (b"content-length", b"2")], b"{}")


def test_what_is_as_it_was_sent_has_no_changes() -> None:
    assert GOT.changes(SENT) == []


@pytest.mark.parametrize(
    ("got", "changes"),
    [
        (replace(GOT, target=b"/inbox"), ["path"]),
        (replace(GOT, headers=GOT.headers[::-1]), ["headers"]),
        (replace(GOT, headers=[*GOT.headers, (b"via", b"1.1 x")]), ["headers"]),
        (replace(GOT, body=b"{} "), ["body"]),
        (replace(GOT, target=b"/", headers=[], body=b""), ["path", "headers", "body"]),
    ],
)
def test_what_is_not_is_named(got: Arrival, changes: list[str]) -> None:
    assert got.changes(SENT) == changes
