import base64
import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.judging.stable import LONGEST, StableUrls, TooLongError, origin_urls
from addons.ledger.ledger import Ledger
from classifier import CannotStartError

KEY = bytes(range(32))
ORIGIN = "http://127.0.0.1:8543"
URLS = StableUrls(KEY, ORIGIN)
PICTURE = "https://remote.example/a.png"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def path(url: str) -> str:
    return URLS.of(url).removeprefix(ORIGIN)


def signed(data: bytes) -> str:
    """A path with a right MAC for bytes that no URL of ours has."""
    mac = hmac.digest(KEY, data, hashlib.sha256)[:24]
    return f"/o/{base64.urlsafe_b64encode(mac).decode()}/{base64.urlsafe_b64encode(data).rstrip(b'=').decode()}"


def test_it_is_the_same_for_ever() -> None:
    """pict-rs keeps pairs under this very string: one that changes loses every image it has."""
    expected = "http://127.0.0.1:8543/o/JoIgEWAZ25o3jg8pFRgtOXckgePTY8lz/aHR0cHM6Ly9yZW1vdGUuZXhhbXBsZS9hLnBuZw"
    assert URLS.of(PICTURE) == expected
    assert StableUrls(KEY, ORIGIN + "/").of(PICTURE) == expected


@given(st.text(max_size=200))
def test_what_went_in_comes_out(url: str) -> None:
    assert URLS.original(path(url)) == (url or None)


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_two_urls_have_two(one: str, other: str) -> None:
    assert (URLS.of(one) == URLS.of(other)) == (one == other)


@pytest.mark.parametrize("length", [1, 2, 3, 27, 28, 29])
def test_one_character_changed_anywhere_is_not_ours(length: int) -> None:
    """Also in the last one of an encoding that has bits to spare."""
    ours = path("h" * length)
    for place in range(len(ours)):
        for other in ALPHABET + "/=+.%":
            changed = ours[:place] + other + ours[place + 1 :]
            assert changed == ours or URLS.original(changed) is None, changed


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path + "=",
        lambda path: path + "\n",
        lambda path: path + "/",
        lambda path: path + "?a=b",
        lambda path: path[:-1],
        lambda path: "/" + path,
        lambda path: path.replace("/o/", "/O/"),
        lambda path: path.replace("aHR0", "%61HR0"),
        lambda path: path.rpartition("/")[0] + "/",
        lambda path: path.rpartition("/")[0],
        lambda path: ORIGIN + path,
        lambda path: "",
        lambda path: "/o//",
    ],
)
def test_not_canonical_is_not_ours(change: Callable[[str], str]) -> None:
    assert URLS.original(change(path(PICTURE))) is None


@pytest.mark.parametrize("key", [b"", bytes(32), KEY[:-1]])
def test_another_key(key: bytes) -> None:
    assert URLS.original(StableUrls(key, ORIGIN).of(PICTURE).removeprefix(ORIGIN)) is None


def test_no_text() -> None:
    assert URLS.original(signed(PICTURE.encode())) == PICTURE
    assert URLS.original(signed(b"http://remote.example/\xff")) is None


def test_the_longest() -> None:
    longest = "https://remote.example/".ljust(LONGEST, "x")
    assert URLS.original(path(longest)) == longest
    with pytest.raises(TooLongError, match="8,193 bytes is too long: at most 8,192"):
        URLS.of(longest + "x")
    assert URLS.original(signed(longest.encode() + b"x")) is None


def test_bytes_count_not_characters() -> None:
    with pytest.raises(TooLongError):
        URLS.of("é" * (LONGEST // 2 + 1))
    assert URLS.of("é" * (LONGEST // 2))


def test_a_lone_surrogate_has_none() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        URLS.of("https://remote.example/\ud800")


@pytest.mark.parametrize(
    ("origin", "said", "owned"),
    [
        (ORIGIN, ORIGIN, True),
        ("http://fediward:80", "http://fediward:80", True),
        ("http://fediward:80", "http://fediward", True),
        ("https://fediward:443", "https://fediward", True),
        ("http://fediward:443", "http://fediward", False),
        ("http://fediward:8080", "http://fediward", False),
        (ORIGIN, "http://127.0.0.1:85430", False),
        (ORIGIN, "https://127.0.0.1:8543", False),
        (ORIGIN, "http://127.0.0.1:8543@evil.example", False),
    ],
)
def test_whether_a_url_is_one_already(origin: str, said: str, owned: bool) -> None:
    urls = StableUrls(KEY, origin)
    assert urls.owns(urls.of(PICTURE).replace(origin, said)) is owned


def test_a_forged_one_is_not_ours() -> None:
    assert URLS.owns(URLS.of(PICTURE))
    assert not URLS.owns(URLS.of(PICTURE)[:-1])
    assert not URLS.owns(URLS.of(PICTURE) + "#a")
    assert not URLS.owns(PICTURE)
    assert not URLS.owns(StableUrls(bytes(32), ORIGIN).of(PICTURE))


def test_a_changed_origin_url_is_an_error_unless_forced(tmp_path: Path) -> None:
    other = "http://fediward:8543"
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        first = origin_urls(ledger, ORIGIN)
        assert origin_urls(ledger, ORIGIN).of(PICTURE) == first.of(PICTURE) != URLS.of(PICTURE)
        assert first.of(PICTURE).startswith(ORIGIN)
        with pytest.raises(CannotStartError) as said:
            origin_urls(ledger, other)
        assert "origin_url was http://127.0.0.1:8543 and is http://fediward:8543 now" in str(said.value)
        assert "`fediward run --new-origin-url`" in str(said.value)
        forced = origin_urls(ledger, other, force=True)
        assert forced.of(PICTURE) == first.of(PICTURE).replace(ORIGIN, other)
        assert origin_urls(ledger, other).of(PICTURE) == forced.of(PICTURE)
        with pytest.raises(CannotStartError):
            origin_urls(ledger, ORIGIN)
