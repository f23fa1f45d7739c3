import h11
import pytest
from h11._receivebuffer import ReceiveBuffer
from mitmproxy.net.http import http1

from addons.doors.heads import MalformedHeadError, StrictChunkedReader, error_response, read_head

HOST = b"Host: a.example"


def head(*lines: bytes) -> tuple[list[bytes], int]:
    return list(lines), len(b"\r\n".join(lines)) + 4


@pytest.mark.parametrize(
    "line",
    [
        b"POST /inbox HTTP/1.1",
        b"post /inbox HTTP/1.1",
        b"GET //a//b/?q=%2F&&;x=1 HTTP/1.1",
        b"GET /%2e%2E/%2f/!$&'()*+,;=:@-._~[]{}|\\^`\"<> HTTP/1.1",
        b"GET /caf\xc3\xa9/\xe9 HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET http://a.example/x?y HTTP/1.1",
        b"GET HTTPS://A.example:444 HTTP/1.1",
        b"GET / HTTP/1.0",
    ],
)
def test_a_request_line_goes_out_as_it_came_in(line: bytes) -> None:
    request = read_head(*head(line, HOST, b"x-A: \xe9 a\tb  c", b"X-a:", b"Accept: */*"))
    assert http1.assemble_request_head(request) == line + b"\r\n" + (
        HOST + b"\r\nx-A: \xe9 a\tb  c\r\nX-a: \r\nAccept: */*\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([b"GET / HTTP/1.1"], "no Host"),
        ([b"GET / HTTP/1.1", HOST, b"host: b"], "more than one Host"),
        ([b"GET / HTTP/1.1", HOST, b" folded"], "folded"),
        ([b"GET / HTTP/1.1", b"Host : a"], "header is malformed"),
        ([b"GET / HTTP/1.1", HOST, b": a"], "header is malformed"),
        ([b"GET / HTTP/1.1", HOST, b"no colon"], "header is malformed"),
        ([b"GET / HTTP/1.1", HOST, b""], "header is malformed"),
        ([b"GET / HTTP/1.1", HOST, b"X: a\0b"], "control"),
        ([b"GET / HTTP/1.1", HOST, b"X: a\rb"], "control"),
        ([b"GET / HTTP/1.1", HOST, b"X: a\x0bb"], "control"),
        ([b"GET / HTTP/1.1", HOST, b"Transfer-Encoding: \x0bchunked"], "control"),
        ([b"GET / HTTP/1.1", HOST, b"X: \x7f"], "control"),
        ([b"GET / HTTP/1.1", HOST, b"X\xe9: a"], "header is malformed"),
        ([b"GET / HTTP/1.1", HOST, b"Transfer-Encoding: gzip, chunked"], "chunked"),
        ([b"GET / HTTP/1.1", HOST, b"Transfer-Encoding: chunked, identity"], "chunked"),
        ([b"GET / HTTP/1.1", HOST, b"Transfer-Encoding: xchunked"], "chunked"),
        ([b"GET / HTTP/1.1", HOST, b"Transfer-Encoding:"], "chunked"),
        ([b"GET /", HOST], "request line"),
        ([b"GET  / HTTP/1.1", HOST], "request line"),
        ([b"GET\t/ HTTP/1.1", HOST], "request line"),
        ([b"GET / HTTP/1.1 ", HOST], "request line"),
        ([b" GET / HTTP/1.1", HOST], "request line"),
        ([b"GET /a b HTTP/1.1", HOST], "request line"),
        ([b"GET /\x7f HTTP/1.1", HOST], "request line"),
        ([b"G@T / HTTP/1.1", HOST], "request line"),
        ([b"PO\xc5\xbfT /inbox HTTP/1.1", HOST], "request line"),
        ([b"GET / HTTP/11", HOST], "request line"),
        ([b"GET / http/1.1", HOST], "request line"),
        ([b"GET a HTTP/1.1", HOST], "request head"),
        ([b"GET ftp://a/ HTTP/1.1", HOST], "request head"),
        ([b"GET http://a?b/inbox HTTP/1.1", HOST], "request head"),
        ([b"CONNECT a HTTP/1.1", HOST], "request head"),
        ([b"PRI * HTTP/2.0"], "only HTTP/1.1"),
        ([b"GET / HTTP/3.0", HOST], "only HTTP/1.1"),
        ([b"GET / HTTP/1.2", HOST], "only HTTP/1.1"),
        ([b"GET / HTTP/0.9"], "only HTTP/1.1"),
    ],
)
def test_what_parsers_could_read_differently_is_refused(lines: list[bytes], message: str) -> None:
    with pytest.raises(MalformedHeadError, match=message):
        read_head(*head(*lines))


def test_a_line_that_ends_in_lf_alone_is_refused() -> None:
    lines, size = head(b"GET / HTTP/1.1", HOST)
    with pytest.raises(MalformedHeadError, match="CR LF"):
        read_head(lines, size - 1)


def read_chunks(data: bytes, step: int) -> bytes:
    reader, buffer, got = StrictChunkedReader(), ReceiveBuffer(), b""
    for start in range(0, len(data), step):
        buffer += data[start : start + step]
        while (part := reader(buffer)) is not None:
            if isinstance(part, h11.EndOfMessage):
                assert start + step >= len(data), "ended before the end"
                assert not buffer
                return got
            got += part.data
    raise AssertionError("no end was found")


@pytest.mark.parametrize("step", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"03;x=y\r\nabc\r\n00a;\r\n0123456789\r\n000\r\n\r\n", b"abc0123456789"),
    ],
)
def test_chunks_are_read_to_their_end(data: bytes, body: bytes, step: int) -> None:
    assert read_chunks(data, step) == body


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize(
    "data",
    [
        b"0\r\n\n",
        b"0\r\nX: y\r\n\r\n",
        b"0\r\n\rX",
        b"3\nabc\n0\n\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc\n\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"0_3\r\nabc\r\n0\r\n\r\n",
        b"3 x\r\nabc\r\n0\r\n\r\n",
        b"g\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"000000000000000000003\r\nabc\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_parsers_could_read_differently_are_refused(data: bytes, step: int) -> None:
    with pytest.raises(h11.ProtocolError):
        read_chunks(data, step)


def test_an_error_is_a_whole_response() -> None:
    assert error_response(400, 'a "b"') == (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 20\r\n"
        b'Cache-Control: no-store\r\nConnection: close\r\n\r\n{"error": "a \\"b\\""}'
    )
    assert error_response(799, "x").startswith(b"HTTP/1.1 799 Error\r\n")
