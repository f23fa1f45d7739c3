import pytest

from addons.activitypub.urls import clean, fetchable, is_iri

BASE = "https://example.org/users/a/post/1"


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://a.example/x.png", "https://a.example/x.png"),
        ("HTTP://A.example/X.png?a=b&c#d", "HTTP://A.example/X.png?a=b&c#d"),
        ("http://[2001:db8::1]:8080/x", "http://[2001:db8::1]:8080/x"),
        ("https://ünï.example/ü.png", "https://ünï.example/ü.png"),
        ("https://a.example/with space.png", "https://a.example/with space.png"),
        ("  https://a.example/x\n", "https://a.example/x"),
        ("ht\ntps://a.example/x", "https://a.example/x"),
        ("https:a.example/x", "https://a.example/x"),
        ("https:/a.example/x", "https://a.example/x"),
        ("https:\\\\a.example\\x", "https://a.example/x"),
        ("https:////a.example/x", "https://a.example/x"),
        ("https://a.example\\x", "https://a.example/x"),
        ("data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ("DATA:image/png,x", "DATA:image/png,x"),
        ("//b.example/x.png", "https://b.example/x.png"),
        ("\\\\b.example/x.png", "https://b.example/x.png"),
        ("/x.png", "https://example.org/x.png"),
        ("x.png", "https://example.org/users/a/post/x.png"),
        ("../x.png", "https://example.org/users/a/x.png"),
    ],
)
def test_urls_are_as_written_or_resolved_where_relative(written: str, url: str) -> None:
    assert fetchable(written, BASE) == url


@pytest.mark.parametrize(
    "written",
    ["", " ", "https://", "https:", "http:///", "ftp://a.example/x", "magnet:?xt=1", "wss://a.example", "javascript:x",
     "mailto:a@b.example", "acct:a@b.example", "#note", "?a=b", "two words", "//"],
)  # fmt: skip
def test_what_no_server_would_ask_for_is_none(written: str) -> None:
    assert fetchable(written, BASE) is None


def test_without_a_base() -> None:
    assert fetchable("//b.example/x.png", None) == "https://b.example/x.png"
    assert fetchable("//b.example/x.png", "http://a.example/") == "http://b.example/x.png"
    assert fetchable("/x.png", None) is None
    assert fetchable("x.png", "https://[bad/") is None


def test_lone_surrogates_become_encodable() -> None:
    url = fetchable("https://a.example/\ud800.png", None)
    assert url == "https://a.example/?.png"
    assert clean("é\udfff").encode() == "é?".encode()


@pytest.mark.parametrize(
    ("written", "is_one"), [("https://a.example/1", True), ("HTTP:a", True), ("tag:a", False), ("a", False)]
)
def test_iris(written: str, is_one: bool) -> None:
    assert is_iri(written) is is_one


@pytest.mark.parametrize("around", ["\xa0", "\ufeff", "\u2003\u3000", "\u2028\x85 \t", "\u200b"])
def test_all_kinds_of_spaces_are_trimmed(around: str) -> None:
    assert fetchable(f"{around}https://m.example/a{around}", None) == "https://m.example/a"


@pytest.mark.parametrize("url", ["https://our.example\\@m.example/a", "http:\\\\our.example\\@m.example/a"])
def test_what_leads_to_two_hosts_is_left_as_it_is(url: str) -> None:
    assert fetchable(url, None) == url
    assert fetchable("https://m.example\\a/@b", None) == "https://m.example/a/@b"
