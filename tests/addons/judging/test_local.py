from urllib.parse import quote

import pytest

from addons.judging.local import MAX_DECODED, is_local

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
        "https://example.org//media//a%2Fb.png",
        "https://example.org/media/a%20b%26c.png?x=%2Fy&at=12:30#z",
        "https://example.org/100%.png",
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
        "https://example.org/proxy/image.webp?url=https:evil.example/x.png",
        "https://example.org/proxy/image.webp?url=https:%5C%5Cevil.example/x.png",
        "https://example.org/proxy/image.webp?url=https:/%09/evil.example/x.png",
        "https://example.org/proxy/image.webp?url=ht%0Atps:evil.example/x.png",
        "https://example.org/proxy/image.webp?url=https%25253A%25252F%25252Fevil.example%25252Fx.png",
        "https://example.org/proxy/image.webp?url=//evil.example/x.png",
        "https://example.org/proxy/image.webp?url=/%0a/evil.example/x.png",
        "https://example.org/proxy/image.webp?url=%2F%5Cevil.example/x.png",
        "https://example.org/proxy/image.webp?url=%5C%5Cevil.example/x.png",
        "https://example.org/proxy/image.webp%3Furl=//evil.example/x.png",
        "https://example.org/proxy/image.webp?url=DATA:image/png;base64,AAAA",
        "https://example.org/proxy/https:/evil.example/x.png",
        "https://example.org/proxy/HTTPS%3Aevil.example/x.png",
        "https://example.org/proxy/a%5Cb",
        "",
    ],
)
def test_not_ours_or_not_beyond_doubt(url: str) -> None:
    assert not is_local(url, OURS)


def test_without_domains_nothing_is_ours() -> None:
    assert not is_local("https://example.org/a", frozenset())


@pytest.mark.parametrize(("times", "local"), [(MAX_DECODED, True), (MAX_DECODED + 1, False)])
def test_encoded_again_and_again(times: int, local: bool) -> None:
    text = "a b"
    for _ in range(times):
        text = quote(text)
    assert is_local(f"https://example.org/{text}", OURS) is local
