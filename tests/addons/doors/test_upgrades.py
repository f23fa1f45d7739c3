import pytest
from mitmproxy import http

from addons.doors.upgrades import remove_upgrade


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ([(b"Host", b"a"), (b"Accept", b" b ")], [(b"Host", b"a"), (b"Accept", b" b ")]),
        ([(b"Upgrade", b"h2c"), (b"Connection", b"Upgrade, HTTP2-Settings"), (b"HTTP2-Settings", b"AA")], []),
        ([(b"UPGRADE", b"h2c"), (b"connection", b"close ,  Upgrade")], [(b"connection", b"close")]),
        ([(b"Connection", b"close ,  x")], [(b"Connection", b"close ,  x")]),
        ([(b"a", b"1"), (b"Upgrade", b"x"), (b"a", b"2"), (b"A", b"3")], [(b"a", b"1"), (b"a", b"2"), (b"A", b"3")]),
    ],
)
def test_nothing_but_the_upgrade_goes(fields: list[tuple[bytes, bytes]], left: list[tuple[bytes, bytes]]) -> None:
    request = http.Request.make("GET", "http://a/")
    request.headers.fields = tuple(fields)
    remove_upgrade(request)
    assert list(request.headers.fields) == left
