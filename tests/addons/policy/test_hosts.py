import pytest

from addons.policy.hosts import HostSet, normal_host, normal_pattern


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("example.org", "example.org"),
        ("EXAMPLE.org.", "example.org"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),  # a combining mark
        ("straße.example", "xn--strae-oqa.example"),  # IDNA 2003 would make it strasse
        ("ｅｘａｍｐｌｅ.org", "example.org"),
        ("例。example", "xn--fsq.example"),  # an ideographic full stop
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("lemmy_one", "lemmy_one"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        ("a" * 64 + ".example", None),
        (".".join(["a" * 49] * 5) + ".abc", ".".join(["a" * 49] * 5) + ".abc"),  # 253 characters
        (".".join(["a" * 49] * 5) + ".abcd", None),
        ("", None),
        (".", None),
        ("a..b", None),
        ("-a.example", None),
        ("example.org:443", None),
        ("http://example.org", None),
        ("a b", None),
        ("example.org\n", None),
        ("*.example.org", None),
        ("ü" * 300, None),
        ("[::1", None),
        ("::g", None),
    ],
)
def test_normal_host(text: str, host: str | None) -> None:
    assert normal_host(text) == host


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("*.Example.org", "*.example.org"), ("Example.org", "example.org"), ("*.", None), ("*", None), ("a.*.org", None)],
)
def test_normal_pattern(text: str, pattern: str | None) -> None:
    assert normal_pattern(text) == pattern


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("spam.example", True),
        ("SPAM.example.", True),
        ("www.spam.example", False),
        ("below.example.org", True),
        ("far.below.example.org", True),
        ("example.org", False),
        ("notexample.org", False),
        ("bücher.example", True),
        ("xn--bcher-kva.example", True),
        (None, False),
        ("", False),
    ],
)
def test_host_set(host: str | None, inside: bool) -> None:
    assert (host in HostSet(["spam.example", "*.example.org", "xn--bcher-kva.example"])) is inside
