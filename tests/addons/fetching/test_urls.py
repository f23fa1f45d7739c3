import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.fetching.urls import MAX_URL, UrlRefusedError, follow, parse, shown


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("http://example.org", "http://example.org/"),
        ("HTTPS://EXAMPLE.ORG/A", "https://example.org/A"),
        ("  https://example.org/  ", "https://example.org/"),
        ("https://example.org./x", "https://example.org/x"),
        ("https://example.org:443/x", "https://example.org/x"),
        ("https://example.org:/x", "https://example.org/x"),
        ("https://example.org:0080/x", "https://example.org:80/x"),
        ("https://example.org?q=1#part", "https://example.org/?q=1"),
        ("https://example.org#part", "https://example.org/"),
        ("https://example.org/@user/a:b", "https://example.org/@user/a:b"),
        ("https://example.org/a b/é.png?é", "https://example.org/a%20b/%C3%A9.png?%C3%A9"),
        ("https://example.org/%41%2f%zz", "https://example.org/%41%2f%zz"),
        ("https://example.org/a/../b/./c", "https://example.org/b/c"),
        ("https://example.org//two//slashes", "https://example.org//two//slashes"),
        ("https://a_b.example.org/", "https://a_b.example.org/"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
        ("http://[::FFFF:127.0.0.1]:8080/", "http://[::ffff:127.0.0.1]:8080/"),
        ("http://①②⑦。⓪。⓪。①/", "http://127.0.0.1/"),  # full-width digits and dots are what UTS 46 makes of them
    ],
)
def test_one_meaning(url: str, meant: str) -> None:
    assert parse(url).url == meant
    assert parse(meant).url == meant


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "only http and https"),
        ("ftp://example.org/", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("gopher://example.org/", "only http and https"),
        ("//example.org/", "only http and https"),
        ("example.org", "only http and https"),
        ("http:example.org", "not followed by //"),
        ("http:/example.org", "not followed by //"),
        ("http://", "no host"),
        ("http:///path", "no host"),
        ("http://:80/", "no host"),
        ("http://./", "no host"),
        ("http://user@example.org/", "user name or password"),
        ("http://user:pass@example.org/", "user name or password"),
        ("http://@example.org/", "user name or password"),
        ("http://example.org\\@evil.example/", "backslash"),
        ("http:\\\\example.org/", "backslash"),
        ("http://exa\tmple.org/", "control character"),
        ("http://example.org/\r\nHost: evil", "control character"),
        ("http://example.org/\x00", "control character"),
        ("http://example.org/\x85", "control character"),
        ("http://example.org/\ud800", "control character"),
        ("http://ex%61mple.org/", "percent sign"),
        ("http://127.0.0.1%2f.example.org/", "percent sign"),
        ("http://example..org/", "not a host name"),
        ("http://.example.org/", "not a host name"),
        ("http://example.org../", "not a host name"),
        ("http://-a.example/", "not a host name"),
        ("http://exa mple.org/", "not a host name"),
        ("http://a,b/", "not a host name"),
        ("http://" + "a" * 64 + ".example/", "not a host name"),
        ("http://" + "a." * 127 + "example/", "not a host name"),
        ("http://\u0301.example/", "international name"),
        ("http://example.org:0/", "port"),
        ("http://example.org:65536/", "port"),
        ("http://example.org:8o/", "port"),
        ("http://example.org:80:80/", "port"),
        ("http://example.org:+80/", "port"),
        ("http://example.org:１/", "port"),
        ("http://[::1/", "name or an address"),
        ("http://[::1]x/", "name or an address"),
        ("http://[127.0.0.1]/", "IPv6"),
        ("http://[fe80::1%25eth0]/", "zone"),
        ("http://[fe80::1%eth0]/", "zone"),
        ("http://2130706433/", "unusual spelling"),
        ("http://0x7f000001/", "unusual spelling"),
        ("http://0x7f.0.0.1/", "unusual spelling"),
        ("http://0177.0.0.1/", "unusual spelling"),
        ("http://017700000001/", "unusual spelling"),
        ("http://127.1/", "unusual spelling"),
        ("http://127.0.1/", "unusual spelling"),
        ("http://127.0.0.01/", "unusual spelling"),
        ("http://127.0.0.1.1/", "unusual spelling"),
        ("http://256.0.0.1/", "unusual spelling"),
        ("http://example.0x/", "unusual spelling"),
        ("http://example.123/", "unusual spelling"),
    ],
)
def test_refused(url: str, why: str) -> None:
    with pytest.raises(UrlRefusedError, match=why):
        parse(url)


@pytest.mark.parametrize("label", ["a" * 63, "a" * 62 + "-"])
def test_labels_of_63_characters(label: str) -> None:
    if label.endswith("-"):
        with pytest.raises(UrlRefusedError, match="not a host name"):
            parse(f"http://{label}.example/")
    else:
        assert parse(f"http://{label}.example/").host == f"{label}.example"


def test_length_at_the_bound_and_one_past_it() -> None:
    url = "http://example.org/" + "a" * (MAX_URL - 19)
    assert len(parse(url).url) == MAX_URL
    with pytest.raises(UrlRefusedError, match="8193 characters"):
        parse(url + "a")


BASE = parse("https://example.org/a/b?c")


@pytest.mark.parametrize(
    ("location", "meant"),
    [
        ("/x", "https://example.org/x"),
        ("x", "https://example.org/a/x"),
        ("../x", "https://example.org/x"),
        ("?x", "https://example.org/a/b?x"),
        ("#x", "https://example.org/a/b?c"),
        ("//other.example/x", "https://other.example/x"),
        ("http://other.example/x", "http://other.example/x"),
        (" /x ", "https://example.org/x"),
        ("/a b", "https://example.org/a%20b"),
    ],
)
def test_where_a_redirect_leads(location: str, meant: str) -> None:
    assert follow(BASE, location).url == meant


@pytest.mark.parametrize(
    "location",
    [
        "///evil.example/x",
        "http:///evil.example/x",
        "http:evil.example",
        "https:x",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "//user@evil.example/",
        "data:image/png;base64,AAAA",
        "javascript:0",
        "//[::1/",
        "/" + "a" * MAX_URL,
    ],
)
def test_redirects_that_parsers_read_differently(location: str) -> None:
    with pytest.raises(UrlRefusedError):
        follow(BASE, location)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://example.org/x", "https://example.org/x"),
        ("https://user:secret@example.org/x@y", "https://example.org/x@y"),
        ("https://user:se@cret@example.org/", "https://example.org/"),
        ("https:\\\\user:secret@example.org/", "https:\\\\example.org/"),
        ("  //user:secret@example.org/", "  //example.org/"),
        ("http://a/\x1b[31m\n", "http://a/\\x1b[31m\\x0a"),
        ("data:image/png;base64," + "A" * 100, "data:image/png;base64," + "A" * 38 + "…"),
        ("http://a/" + "b" * 190, "http://a/" + "b" * 190),
        ("http://a/" + "b" * 191, "http://a/" + "b" * 190 + "…"),
        ("http://" + "u" * 50_000 + ":secret@example.org/", "http://example.org/"),
        ("", ""),
    ],
)
def test_shown(url: str, text: str) -> None:
    assert shown(url) == text


@given(st.text())
def test_any_text_is_refused_or_has_one_meaning(text: str) -> None:
    for url in (text, f"http://{text}", f"http://example.org/{text}"):
        assert len(shown(url)) <= 200
        assert shown(url).isprintable()
        try:
            target = parse(url)
        except UrlRefusedError:
            continue
        assert target.url.isascii()
        assert parse(target.url) == target
