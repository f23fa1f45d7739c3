import pytest

from addons.judging.local import is_local

OURS = frozenset({"example.org", "www.example.org"})


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/pictrs/image/a.png",
        "http://example.org/a",
        "https://EXAMPLE.org/a",
        "HTTPS://www.example.org./a",
        "https://example.org:443/a?b=c#d",
        "http://example.org:80",
        "https://example.org?thumbnail=256",
    ],
)
def test_ours(url: str) -> None:
    assert is_local(url, OURS)


@pytest.mark.parametrize(
    "url",
    [
        "https://remote.example/a",
        "https://sub.example.org/a",
        "https://example.org.remote.example/a",
        "https://example.org@remote.example/a",
        "https://remote.example/https://example.org/a",
        "https://example.org:8443/a",
        "https://example.org\\@remote.example/a",
        "https://example.org/a\\b",
        "https://example.org/a b",
        "https://example.org/\ta",
        "https://example.org/a\n",
        " https://example.org/a",
        "//example.org/a",
        "ftp://example.org/a",
        "data:image/png;base64,example.org",
        "https:/example.org/a",
        "https://example.org/image_proxy?url=https://remote.example/a.png",
        "https://example.org/image_proxy?url=https%3A%2F%2Fremote.example%2Fa.png",
        "https://example.org/image_proxy?url=https%253A%252F%252Fremote.example%252Fa.png",
        "https://example.org/proxy///remote.example:%2f%2fa",
        "",
    ],
)
def test_not_ours_or_not_beyond_doubt(url: str) -> None:
    assert not is_local(url, OURS)


def test_without_domains_nothing_is_ours() -> None:
    assert not is_local("https://example.org/a", frozenset())
