import base64
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.fetching.data_urls import (
    MAX_TYPE,
    DataTooLargeError,
    DataUrl,
    DataUrlError,
    decode_data_url,
    is_data_url,
)


@pytest.mark.parametrize(
    ("url", "kind", "data"),
    [
        ("data:,hello", "text/plain;charset=US-ASCII", b"hello"),
        ("data:text/html,%3Cb%3E", "text/html", b"<b>"),
        ("DATA:image/png;base64,AAEC", "image/png", b"\0\1\2"),
        ("  data:image/png;base64,AAE=", "image/png", b"\0\1"),
        ("data:image/png;base64,AAE", "image/png", b"\0\1"),
        ("data:image/png;BASE64,AA==", "image/png", b"\0"),
        ("data:image/png; base64,AA", "image/png", b"\0"),
        ("data:image/png;name=x;base64,A A\tE=", "image/png;name=x", b"\0\1"),
        ("data:image/png;base64,%41%41%3D%3D", "image/png", b"\0"),
        ("data:;base64,", "text/plain;charset=US-ASCII", b""),
        ("data:image/png;base64,AAEC#part", "image/png", b"\0\1\2"),
        ("data:base64,AAEC", "base64", b"AAEC"),
        ("data:,a,b", "text/plain;charset=US-ASCII", b"a,b"),
    ],
)
def test_decoded(url: str, kind: str, data: bytes) -> None:
    assert is_data_url(url)
    assert decode_data_url(url, 100) == DataUrl(kind, data)


@pytest.mark.parametrize(
    "url",
    [
        "data:",
        "data:image/png;base64",
        "http://example.org/,",
        "data:image/png;base64,A",
        "data:image/png;base64,AAAAA",
        "data:image/png;base64,AA=",
        "data:image/png;base64,A===",
        "data:image/png;base64,AA==AA==",
        "data:image/png;base64,AA-_",
        "data:image/png;base64,AAé=",
    ],
)
def test_malformed(url: str) -> None:
    with pytest.raises(DataUrlError):
        decode_data_url(url, 100)


def test_the_media_type_at_its_bound_and_one_past_it() -> None:
    assert decode_data_url("data:" + "a" * MAX_TYPE + ",x", 100).data == b"x"
    with pytest.raises(DataUrlError):
        decode_data_url("data:" + "a" * (MAX_TYPE + 1) + ",x", 100)


@pytest.mark.parametrize("head", ["data:image/png;base64,", "data:image/png,"])
@pytest.mark.parametrize("escape", [False, True])
def test_size_at_the_bound_and_one_past_it(head: str, escape: bool) -> None:
    def url(size: int) -> str:
        body = (
            base64.b64encode(bytes(size)).decode() if "base64" in head else urllib.parse.quote_from_bytes(bytes(size))
        )
        return head + ("".join(f"%{ord(c):02x}" for c in body) if escape and "base64" in head else body)

    assert decode_data_url(url(100), 100).data == bytes(100)
    with pytest.raises(DataTooLargeError, match="more than 100 bytes"):
        decode_data_url(url(101), 100)


def test_a_long_one_is_not_even_decoded() -> None:
    bound = 4 * 100 + 1024
    assert decode_data_url("data:;base64," + " " * bound, 100).data == b""
    with pytest.raises(DataTooLargeError):
        decode_data_url("data:;base64," + " " * (bound + 1), 100)


@given(st.binary(max_size=300))
def test_whatever_was_encoded_comes_out(data: bytes) -> None:
    assert decode_data_url("data:a/b;base64," + base64.b64encode(data).decode(), 300).data == data
    assert decode_data_url("data:a/b," + urllib.parse.quote_from_bytes(data), 300).data == data
