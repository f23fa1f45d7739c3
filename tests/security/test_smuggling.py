"""Requests that two parsers could read differently: each is refused, and nobody sees it or what hides behind it."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from addons.doors.http1 import Bounds
from tests import net
from tests.addons.doors.gate import Gate

pytestmark = pytest.mark.asyncio(loop_scope="module")

HIDDEN = b"POST /hidden/inbox HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nbad"
"""A request that must never be seen by the server on its own, unless the door saw it too (it would answer 202)."""
GOOD = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared() -> AsyncIterator[net.Door]:
    async with net.door(Gate(Bounds(head_time=0.5, body_time=0.5))) as door:
        yield door


@pytest.fixture
def door(shared: net.Door) -> net.Door:
    shared.upstream.requests.clear()
    return shared


def request(*fields: bytes, line: bytes = b"POST /x HTTP/1.1", host: bytes = b"Host: a") -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *fields, b"", b""])


CHUNKED = b"Transfer-Encoding: chunked"
HEADS = {
    # framing said twice, or in words that not all understand
    "two lengths": request(b"Content-Length: 0", b"Content-Length: 70"),
    "two equal lengths": request(b"Content-Length: 3", b"Content-Length: 3"),
    "a list of lengths": request(b"Content-Length: 0, 70"),
    "length and chunked": request(b"Content-Length: 70", CHUNKED),
    "chunked and length": request(CHUNKED, b"Content-Length: 70"),
    "chunked twice": request(CHUNKED, CHUNKED),
    "chunked twice in one": request(b"Transfer-Encoding: chunked, chunked"),
    "gzip, chunked": request(b"Transfer-Encoding: gzip, chunked"),
    "chunked, identity": request(b"Transfer-Encoding: chunked, identity"),
    "identity": request(b"Transfer-Encoding: identity", b"Content-Length: 70"),
    "gzip": request(b"Transfer-Encoding: gzip"),
    "xchunked": request(b"Transfer-Encoding: xchunked", b"Content-Length: 70"),
    "quoted": request(b'Transfer-Encoding: "chunked"', b"Content-Length: 70"),
    "chunked;q=1": request(b"Transfer-Encoding: chunked;q=1", b"Content-Length: 70"),
    "empty encoding": request(b"Transfer-Encoding:", b"Content-Length: 70"),
    "vertical tab before chunked": request(b"Transfer-Encoding: \x0bchunked", b"Content-Length: 70"),
    "vertical tab alone": request(b"Transfer-Encoding: \x0bchunked"),
    "no-break space": request(b"Transfer-Encoding: \xa0chunked", b"Content-Length: 70"),
    "Kelvin sign": request(b"Transfer-Encoding: chun\xe2\x84\xaaed", b"Content-Length: 70"),
    "chunked in HTTP/1.0": request(CHUNKED, line=b"POST /x HTTP/1.0"),
    "chunked in HTTP/1.0, kept alive": request(CHUNKED, b"Connection: keep-alive", line=b"POST /x HTTP/1.0"),
    "space before the colon": request(b"Transfer-Encoding : chunked", b"Content-Length: 70"),
    "tab before the colon": request(b"Transfer-Encoding\t: chunked", b"Content-Length: 70"),
    "length with a space before the colon": request(b"Content-Length : 70"),
    "underscored name with a control character": request(b"Transfer\x00-Encoding: chunked"),
    # lengths
    **{
        f"length {value!r}": request(b"Content-Length: " + value)
        for value in [
            b"-1",
            b"+70",
            b"0x46",
            b"7_0",
            b"070",
            b"7e1",
            b"70.0",
            b"",
            b"70 ,",
            b"70 70",
            b"\xc2\xb2",
            b"9" * 5000,
        ]
    },
    # lines
    "bare LF after the request line": b"POST /x HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF after a header": b"POST /x HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n",
    "bare LF at the end": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 70\r\n\n",
    "bare LF only": b"POST /x HTTP/1.1\nHost: a\nContent-Length: 70\n\n",
    "bare CR in a value": request(b"X: y\rTransfer-Encoding: chunked"),
    "CR CR LF": b"POST /x HTTP/1.1\r\nHost: a\r\r\nX: y\r\n\r\n",
    "NUL in a value": request(b"X: y\0z"),
    "a folded header": request(b"X: y", b" z"),
    "a folded encoding": request(b"Transfer-Encoding:", b" chunked", b"Content-Length: 70"),
    "folded right after the request line": b"POST /x HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n",
    "a header without a colon": request(b"Content-Length 70"),
    "a header without a name": request(b": 70"),
    "a header name with a slash": request(b"Content/Length: 70"),
    # hosts
    "no host": request(host=b""),
    "two hosts": request(b"Host: b"),
    "two hosts, lower case": request(b"host: a"),
    "host with a space before the colon": request(host=b"Host : a"),
    # request lines
    "HTTP/0.9": b"GET /x\r\n\r\n",
    "no target": request(line=b"GET HTTP/1.1"),
    "a second request in the line": request(line=b"GET /x HTTP/1.1 HTTP/1.1"),
    "two spaces": request(line=b"GET  /x HTTP/1.1"),
    "a tab": request(line=b"GET\t/x\tHTTP/1.1"),
    "a tab in the target": request(line=b"GET /x\ty HTTP/1.1"),
    "a vertical tab for a space": request(line=b"POST\x0b/inbox HTTP/1.1"),
    "space at the end": request(line=b"GET /x HTTP/1.1 "),
    "space at the start": request(line=b" GET /x HTTP/1.1"),
    "a target without a slash": request(line=b"POST inbox HTTP/1.1"),
    "a target that begins with a query": request(line=b"POST ?inbox HTTP/1.1"),
    "authority with a query": request(line=b"POST http://a?/inbox HTTP/1.1"),
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/2": request(line=b"GET / HTTP/2.0"),
    "HTTP/3.0": request(line=b"GET / HTTP/3.0"),
    "HTTP/1.2": request(line=b"GET / HTTP/1.2"),
    "HTTP/1": request(line=b"GET / HTTP/1"),
    "HTTP/1.10": request(line=b"GET / HTTP/1.10"),
    "lower case http": request(line=b"GET / http/1.1"),
    "CONNECT": request(line=b"CONNECT b:80 HTTP/1.1"),
    "connect": request(line=b"connect /x HTTP/1.1"),
    "CONNECT to a path": request(line=b"CONNECT /x HTTP/1.1"),
    "a method that is none": request(line=b"PO(ST /inbox HTTP/1.1"),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("name", HEADS)
async def test_an_ambiguous_head_is_refused_and_nothing_behind_it_is_read(door: net.Door, name: str) -> None:
    async with net.client(door.port) as client:
        await client.send(HEADS[name] + HIDDEN + GOOD)
        status, head, body = await client.response()
        assert status == 400
        assert body.startswith(b'{"error": "')
        assert b"mitmproxy" not in head + body
        assert b"Connection: close" in head
        assert await client.closed() == b"", "only one answer, then the end"
    assert door.lines == []


BODIES = {
    "0x3": b"0x3\r\nabc\r\n0\r\n\r\n",
    "plus": b"+3\r\nabc\r\n0\r\n\r\n",
    "minus": b"-3\r\nabc\r\n0\r\n\r\n",
    "underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
    "leading space": b" 3\r\nabc\r\n0\r\n\r\n",
    "tab": b"\t3\r\nabc\r\n0\r\n\r\n",
    "not hex": b"zz\r\nabc\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "an extension without semicolon": b"3 x\r\nabc\r\n0\r\n\r\n",
    "size ends in LF": b"3\nabc\r\n0\r\n\r\n",
    "extension ends in LF": b"3;x\nabc\r\n0\r\n\r\n",
    "chunk ends in LF": b"3\r\nabc\n0\r\n\r\n",
    "chunk longer than said": b"3\r\nabcdef\r\n0\r\n\r\n",
    "chunk ends in nothing": b"3\r\nabc0\r\n\r\n",
    "2**80 as size": b"100000000000000000000\r\nabc\r\n0\r\n\r\n",
    "trailers": b"3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    "trailers that frame": b"3\r\nabc\r\n0\r\nContent-Length: 70\r\n\r\n",
    "end in LF": b"3\r\nabc\r\n0\r\n\n",
    "a NUL size": b"3\x00\r\nabc\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("path", [b"/inbox", b"/upload"])
@pytest.mark.parametrize("name", BODIES)
async def test_ambiguous_chunks_are_refused_and_nothing_behind_them_is_read(
    door: net.Door, name: str, path: bytes
) -> None:
    async with net.client(door.port) as client:
        await client.send(request(CHUNKED, line=b"POST " + path + b" HTTP/1.1") + BODIES[name] + HIDDEN + GOOD)
        status, head, _ = await client.response()
        assert status == 400
        assert b"Connection: close" in head
        assert await client.closed() == b""
    await asyncio.sleep(0.02)
    assert door.lines == [], "a streamed upload that ends badly never becomes a whole request either"


@pytest.mark.parametrize(
    "size", [b"fffffffffffffff0", b"ffffffffffffffff", b"10000000000000003", b"ffffffff", b"80000000"]
)
async def test_a_chunk_size_that_overflows_does_not_end_early(door: net.Door, size: bytes) -> None:
    """A 32 or 64 bit reader takes such a size for a small one; here it only never comes to its end."""
    async with net.client(door.port) as client:
        await client.send(request(CHUNKED, line=b"POST /inbox HTTP/1.1") + size + b"\r\nabc\r\n0\r\n\r\n" + HIDDEN)
        assert (await client.response())[0] == 408
        assert await client.closed() == b""
    assert door.lines == []


@pytest.mark.parametrize(
    ("data", "lines", "statuses"),
    [
        # A body that looks like a request is a body.
        (net.post("/x", HIDDEN), [b"POST /x HTTP/1.1"], [200]),
        (request(CHUNKED) + net.chunked(HIDDEN), [b"POST /x HTTP/1.1"], [200]),
        (
            request(b"Content-Length: %d" % len(HIDDEN), line=b"GET /x HTTP/1.1") + HIDDEN + GOOD,
            [b"GET /x HTTP/1.1", b"GET /good HTTP/1.1"],
            [200, 200],
        ),
        # One that stands alone is a request, and is looked into.
        (GOOD + HIDDEN + GOOD, [b"GET /good HTTP/1.1", b"GET /good HTTP/1.1"], [200, 202, 200]),
        (net.post("/x", b"") + HIDDEN, [b"POST /x HTTP/1.1"], [200, 202]),
        (request() + HIDDEN, [b"POST /x HTTP/1.1"], [200, 202]),
        (request(b"Content-Length: 0", line=b"GET /x HTTP/1.1") + HIDDEN, [b"GET /x HTTP/1.1"], [200, 202]),
        (request(CHUNKED) + b"3;a=b\r\nabc\r\n000;x\r\n\r\n" + HIDDEN, [b"POST /x HTTP/1.1"], [200, 202]),
        (b"\r\n\r\n" + HIDDEN + b"\r\n" + GOOD, [b"GET /good HTTP/1.1"], [202, 200]),
        (HIDDEN.replace(b"POST", b"post") + GOOD, [b"GET /good HTTP/1.1"], [202, 200]),
        (HIDDEN.replace(b"POST /hidden", b"POST http://b/hidden") + GOOD, [b"GET /good HTTP/1.1"], [202, 200]),
        (request(line=b"OPTIONS * HTTP/1.1") + HIDDEN, [b"OPTIONS * HTTP/1.1"], [200, 202]),
        (
            request(b"Expect: 100-continue", b"Content-Length: 3") + b"abc" + HIDDEN,
            [b"POST /x HTTP/1.1"],
            [100, 200, 202],
        ),
        (request(b"Connection: close", b"Content-Length: 0") + HIDDEN, [b"POST /x HTTP/1.1"], [200]),
    ],
)
async def test_requests_end_where_the_door_says_they_end(
    door: net.Door, data: bytes, lines: list[bytes], statuses: list[int]
) -> None:
    async with net.client(door.port) as client:
        await client.send(data)
        assert [(await client.response())[0] for _ in statuses] == statuses
        client.writer.write_eof()
        assert await client.closed() == b""
    assert door.lines == lines


@pytest.mark.parametrize(
    "ending",
    [
        b"",
        b"\r\n",
        b"\r\nContent-Length: 10\r\n\r\nabc",
        b"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ],
)
async def test_a_delivery_cut_short_reaches_nobody(door: net.Door, ending: bytes) -> None:
    async with net.client(door.port) as client:
        await client.send(b"POST /inbox HTTP/1.1\r\nHost: a" + ending)
        client.writer.write_eof()
        answer = await client.closed()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert door.lines == []
