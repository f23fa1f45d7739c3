import pytest
from mitmproxy import http

from addons.doors.asking import Asked, Cut, UnsatisfiableError, ask_for_all, make_partial, span


def get(*headers: tuple[str, str]) -> http.Request:
    fields = [(name.encode(), value.encode()) for name, value in headers]
    return http.Request.make("GET", "http://remote.example/", b"", http.Headers(fields))


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("bytes=0-1048575", Asked(0, 1048575)),
        ("Bytes = 5-", Asked(5, None)),
        ("bytes=-7", Asked(None, 7)),
        ("bytes=-", None),
        ("bytes=9-8", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=" + "9" * 19 + "-", None),
    ],
)
def test_one_range_is_kept_and_none_is_sent(value: str, asked: Asked | None) -> None:
    request = get(("Host", "remote.example"), ("Range", value), ("X", "y"))
    assert ask_for_all(request) == asked
    assert [name for name, _ in request.headers.fields if name != b"content-length"] == [b"Host", b"X"]


def test_conditionals_go_and_what_is_signed_stays() -> None:
    kept = [("Host", "remote.example"), ("Date", "x"), ("Signature", "y"), ("Accept", "z")]
    gone = ["If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range", "Range"]
    request = get(*kept, *((name, "bytes=0-1") for name in gone))
    ask_for_all(request)
    assert [(name.decode(), value.decode()) for name, value in request.headers.fields][: len(kept)] == kept


def test_two_range_headers_are_no_range() -> None:
    assert ask_for_all(get(("Range", "bytes=0-1"), ("Range", "bytes=0-1"))) is None


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        (["gzip, deflate, br;q=1, zstd"], "gzip, deflate"),
        (["GZIP;q=0.5", "br"], "GZIP;q=0.5"),
        (["br"], "identity"),
        (["*"], "identity"),
        ([""], "identity"),
        (["identity"], "identity"),
    ],
)
def test_only_encodings_that_are_undone_here_are_accepted(sent: list[str], asked: str) -> None:
    request = get(*(("Accept-Encoding", value) for value in sent))
    ask_for_all(request)
    assert request.headers.get_all("accept-encoding") == [asked]


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        (Asked(0, 0), (0, 1)),
        (Asked(9, 99), (9, 10)),
        (Asked(9, None), (9, 10)),
        (Asked(None, 3), (7, 10)),
        (Asked(None, 30), (0, 10)),
        (None, None),
        (Asked(10, None), UnsatisfiableError),
        (Asked(None, 0), UnsatisfiableError),
    ],
)
def test_the_part_of_ten_bytes(asked: Asked | None, part: tuple[int, int] | type[Exception] | None) -> None:
    response = http.Response.make(200, b"")
    if isinstance(part, type):
        with pytest.raises(part):
            span(asked, 10, response)
    else:
        assert span(asked, 10, response) == part


def test_only_a_200_is_cut_and_only_for_its_validator() -> None:
    assert span(Asked(0, 1), 10, http.Response.make(404, b"")) is None
    response = http.Response.make(200, b"", {"ETag": '"a"', "Last-Modified": "then"})
    told = [span(Asked(0, 1, validator), 10, response) for validator in ('"a"', "then", '"b"', 'W/"a"')]
    assert told == [(0, 2), (0, 2), None, None]


def test_a_part_says_what_it_is() -> None:
    response = http.Response.make(200, b"", {"Transfer-Encoding": "chunked"})
    make_partial(response, (3, 5), 10)
    assert (response.status_code, response.reason) == (206, "Partial Content")
    assert dict(response.headers) == {"Content-Range": "bytes 3-4/10", "Content-Length": "2"}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_stream_is_cut_however_it_comes(size: int) -> None:
    body = bytes(range(40))
    cut = Cut((5, 21))
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert b"".join(map(cut, pieces)) == body[5:21]
    assert cut.done
    assert not Cut((0, 1)).done
