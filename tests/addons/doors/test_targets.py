import pytest

from addons.doors.heads import MalformedHeadError
from addons.doors.targets import MisdirectedError, Place, read_proxied, url_of

type Read = tuple[str, str, int, bytes, list[tuple[str, str]]]


def read(head: str, inside: Place | None = None, *, tls: bool = True) -> Read:
    lines = [line.encode("latin-1") for line in head.split("|")]
    request = read_proxied(lines, sum(map(len, lines)) + 2 * len(lines) + 2, inside=inside, tls=tls)
    data = request.data
    return request.method, data.host, data.port, data.path, list(request.headers.items(multi=True))


@pytest.mark.parametrize(
    ("line", "host", "port", "path"),
    [
        ("GET http://Remote.example/a?b=c HTTP/1.1", "remote.example", 80, b"/a?b=c"),
        ("GET HTTP://remote.example:8080 HTTP/1.1", "remote.example", 8080, b"/"),
        ("POST http://remote.example./caf%C3%A9//x HTTP/1.1", "remote.example", 80, b"/caf%C3%A9//x"),
        ("GET http://[2606:4700:0::1]/ HTTP/1.1", "2606:4700::1", 80, b"/"),
        ("CONNECT remote.example:443 HTTP/1.1", "remote.example", 443, b""),
        ("CONNECT [::1]:8443 HTTP/1.1", "::1", 8443, b""),
    ],
)
def test_where_a_request_goes(line: str, host: str, port: int, path: bytes) -> None:
    named = line.split()[1].lower().removeprefix("http://").partition("/")[0]
    method, *place, headers = read(f"{line}|Host: {named}|X: y")
    assert (method, place) == (line.split()[0], [host, port, path])
    assert headers == [("Host", named), ("X", "y")]


@pytest.mark.parametrize(
    "line",
    [
        "GET / HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET remote.example/ HTTP/1.1",
        "GET https://remote.example/ HTTP/1.1",
        "GET ftp://remote.example/ HTTP/1.1",
        "GET http://a@remote.example/ HTTP/1.1",
        "GET http:///x HTTP/1.1",
        "GET http://remote.example?a=b HTTP/1.1",
        "GET http://127.1/ HTTP/1.1",
        "GET http://remote.example\\@other.example/ HTTP/1.1",
        "GET http://remote.example/#x HTTP/1.1",
        "GET http://remote.example:99999/ HTTP/1.1",
        "CONNECT remote.example HTTP/1.1",
        "CONNECT remote.example:443/x HTTP/1.1",
        "CONNECT a@remote.example:443 HTTP/1.1",
        "CONNECT remote.example:70000 HTTP/1.1",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(line: str) -> None:
    with pytest.raises(MalformedHeadError):
        read(f"{line}|Host: remote.example")


def test_the_host_has_to_be_the_urls() -> None:
    with pytest.raises(MalformedHeadError):
        read("GET http://remote.example/ HTTP/1.1|Host: other.example")
    assert read("GET http://remote.example/ HTTP/1.0")[4] == [("Host", "remote.example")]


@pytest.mark.parametrize("length", ["Content-Length: 1", "Transfer-Encoding: chunked"])
def test_a_get_has_no_body(length: str) -> None:
    with pytest.raises(MalformedHeadError):
        read(f"GET http://remote.example/ HTTP/1.1|Host: remote.example|{length}")
    read("GET http://remote.example/ HTTP/1.1|Host: remote.example|Content-Length: 0")
    read(f"POST http://remote.example/ HTTP/1.1|Host: remote.example|{length}")


def test_what_is_said_to_a_proxy_is_taken_out() -> None:
    said = "Proxy-Authorization: x|PROXY-connection: y|Proxy: z"
    assert read(f"GET http://remote.example/ HTTP/1.1|Host: remote.example|{said}")[4][1:] == [("Proxy", "z")]


@pytest.mark.parametrize(
    ("head", "tls", "error"),
    [
        ("GET /a HTTP/1.1|Host: remote.example", True, None),
        ("GET /a HTTP/1.1|Host: REMOTE.example:443", True, None),
        ("GET /a HTTP/1.0", True, None),
        ("OPTIONS * HTTP/1.1|Host: remote.example", True, None),
        ("GET /a HTTP/1.1|Host: remote.example:443", False, None),
        ("GET /a HTTP/1.1|Host: remote.example", False, MisdirectedError),
        ("GET /a HTTP/1.1|Host: other.example", True, MisdirectedError),
        ("GET /a HTTP/1.1|Host: a@remote.example", True, MalformedHeadError),
        ("GET https://remote.example/a HTTP/1.1|Host: remote.example", True, MalformedHeadError),
        ("CONNECT remote.example:443 HTTP/1.1|Host: remote.example", True, MalformedHeadError),
    ],
)
def test_inside_of_a_connect(head: str, tls: bool, error: type[Exception] | None) -> None:
    inside = ("remote.example", 443)
    if error is None:
        read(head, inside, tls=tls)
        return
    with pytest.raises(error):
        read(head, inside, tls=tls)


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("GET http://Remote.example/a?b HTTP/1.1", "http://remote.example/a?b"),
        ("GET http://remote.example:8080/ HTTP/1.1", "http://remote.example:8080/"),
        ("GET http://[2606:4700::1]:443/ HTTP/1.1", "http://[2606:4700::1]:443/"),
    ],
)
def test_the_url_is_the_one_that_an_activity_would_name(line: str, url: str) -> None:
    named = line.split()[1][7:].partition("/")[0]
    lines = [line.encode(), f"Host: {named}".encode()]
    assert url_of(read_proxied(lines, sum(map(len, lines)) + 6, inside=None, tls=False)) == url
