"""A request taken apart, its bounds, and what is added to one that is to be signed."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.activitypub.signatures import request as requests
from addons.activitypub.signatures.keys import SignatureError
from addons.activitypub.signatures.request import (
    MAX_HEADERS,
    MAX_SIGNATURE_HEADER,
    check_digest,
    check_time,
    complete_headers,
    read_date,
    read_request,
    read_unix_time,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOST = ("Host", "Example.org:8443")


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/inbox", ("https", "Example.org:8443", "/inbox", "")),
        ("/inbox?x=1&y=%20", ("https", "Example.org:8443", "/inbox", "?x=1&y=%20")),
        ("/inbox?", ("https", "Example.org:8443", "/inbox", "?")),
        ("//a/../inbox", ("https", "Example.org:8443", "//a/../inbox", "")),
        ("/?u=http://x.example/", ("https", "Example.org:8443", "/", "?u=http://x.example/")),
        ("http://a.example/b?c", ("http", "a.example", "/b", "?c")),
        ("http://user@a.example:81?c", ("http", "a.example:81", "", "?c")),
        ("HTTPS://a.example", ("https", "a.example", "", "")),
    ],
)
def test_targets(target: str, parts: tuple[str, str, str, str]) -> None:
    request = read_request("post", target, [HOST], b"", "https")
    assert (request.scheme, request.authority, request.path, request.query) == parts
    assert request.method == "POST"


def test_headers_are_joined_in_order() -> None:
    request = read_request("GET", "/", [("X", " a "), ("Y", "c"), ("x", "\tb")], b"", "https")
    assert request.field("x") == "a, b"
    with pytest.raises(SignatureError, match="covers the header z, which the request does not have"):
        request.field("z")


def test_the_count_of_headers_is_bounded() -> None:
    read_request("GET", "/", [("X", "")] * MAX_HEADERS, b"", "https")
    with pytest.raises(SignatureError, match="more than 256 headers"):
        read_request("GET", "/", [("X", "")] * (MAX_HEADERS + 1), b"", "https")


def test_a_header_that_is_parsed_is_bounded() -> None:
    request = read_request(
        "GET", "/", [("A", "x" * MAX_SIGNATURE_HEADER), ("B", "x" * (MAX_SIGNATURE_HEADER + 1))], b"", ""
    )
    assert request.bounded("a")
    with pytest.raises(SignatureError, match="header b is longer than 16384 bytes"):
        request.bounded("b")
    with pytest.raises(SignatureError, match="not ASCII"):
        read_request("GET", "/", [("A", "\udce9")], b"", "").bounded("a")


@pytest.mark.parametrize(
    ("target", "headers", "reason"),
    [
        ("/", [HOST, ("host", "b")], "more than one Host"),
        ("/", [("X", "a\nhost: b")], "line break"),
        ("/\nhost: b", [HOST], "line break"),
    ],
)
def test_what_could_mean_two_requests_is_refused(target: str, headers: list[tuple[str, str]], reason: str) -> None:
    with pytest.raises(SignatureError, match=reason):
        read_request("GET", target, headers, b"", "https")


def test_what_is_missing_is_added_and_what_is_there_is_kept() -> None:
    covered = ("date", "digest", "content-length", "content-digest", "x")
    headers = complete_headers("https://a.example:81/b", [("X", "1")], b"hello", covered, NOW)
    assert headers == [
        ("X", "1"),
        ("Host", "a.example:81"),
        ("Date", "Sun, 22 Nov 2026 12:00:00 GMT"),
        ("Digest", "SHA-256=LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="),
        ("Content-Length", "5"),
        ("Content-Digest", "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"),
    ]
    assert complete_headers("https://c.example", headers, b"", covered, NOW) == headers


@pytest.mark.parametrize("seconds", [60, -60])
def test_the_skew_counts_both_ways(seconds: int) -> None:
    minute = timedelta(minutes=1)
    check_time("it", NOW + timedelta(seconds=seconds), NOW, minute)
    with pytest.raises(SignatureError, match="in the future" if seconds > 0 else "too long ago"):
        check_time("it", NOW + timedelta(seconds=seconds) * 1.00001, NOW, minute)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("Sun, 22 Nov 2026 12:00:00 GMT", NOW),
        ("Sun, 22 Nov 2026 12:00:00 -0000", NOW),
        ("Sun, 22 Nov 2026 13:00:00 +0100", NOW.astimezone(timezone(timedelta(hours=1)))),
    ],
)
def test_dates(value: str, moment: datetime) -> None:
    assert read_date(read_request("GET", "/", [("Date", value)], b"", "")) == moment


@given(st.text(max_size=70) | st.text(st.sampled_from("Sun,22 Nov2026:0+-GMT/"), max_size=40))
def test_any_date_is_read_or_refused(value: str) -> None:
    try:
        assert read_date(read_request("GET", "/", [("Date", value)], b"", "")).tzinfo
    except SignatureError:
        return


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e30, -1e30, 10**18])
def test_no_time(seconds: float) -> None:
    with pytest.raises(SignatureError, match="created is no time"):
        read_unix_time("created", seconds)


RIGHT = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
RIGHT_512 = "m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw=="


@pytest.mark.parametrize(
    ("digest", "reason"),
    [
        (f"SHA-256={RIGHT}", None),
        (f"sha-256={RIGHT}", None),
        (f"SHA-512={RIGHT_512}", None),
        (f"md5=x, SHA-256={RIGHT}, SHA-512={RIGHT_512}", None),
        (f"SHA-256={RIGHT[:-2]}8=", "SHA-256 is not that of the body"),
        (f"SHA-256={RIGHT},SHA-512={RIGHT}", "SHA-512 is not that of the body"),
        ("md5=XUFAKrxLKna5cZ2REBfFkg==", "has no SHA-256 or SHA-512"),
        ("", "has no SHA-256 or SHA-512"),
    ],
)
def test_digests(digest: str, reason: str | None) -> None:
    request = read_request("POST", "/", [("Digest", digest)], b"hello", "")
    if reason is None:
        check_digest(request)
    else:
        with pytest.raises(SignatureError, match=reason):
            check_digest(request)


def test_a_body_is_hashed_once_however_often_its_digest_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = requests._base64_hash

    def counting(algorithm: str, body: bytes) -> str:
        made.append(algorithm)
        return real(algorithm, body)

    monkeypatch.setattr(requests, "_base64_hash", counting)
    digests = ",".join([f"SHA-256={real('sha256', b'x')}", f"SHA-512={real('sha512', b'x')}"] * 100)
    check_digest(read_request("POST", "/inbox", [("Digest", digests)], b"x", "https"))
    assert sorted(made) == ["sha256", "sha512"]
