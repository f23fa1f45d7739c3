import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.doors.pictrs_paths import MOST, Target, UnreadableTargetError, read_target
from addons.judging.stable import LONGEST

PICTURE = "https://remote.example/a.png"


def read(target: bytes) -> Target:
    found = read_target(target)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("target", "urls"),
    [
        (b"/image/original?proxy=https://remote.example/a.png", [PICTURE]),
        (b"/image/download?url=https%3A%2F%2Fremote.example%2Fa.png&resize=512", [PICTURE]),
        (b"/image/download?resize=512&url=https://remote.example/a.png&backgrounded=true", [PICTURE]),
        (b"/image/original?%70%72oxy=%68ttps://remote.example/a.png", [PICTURE]),
        (b"/any/path?proxy=x", ["x"]),
        (b"//image/./original/?proxy=x", ["x"]),
        (b"http://pict-rs:8080/image/original?proxy=x", ["x"]),
        (b"?proxy=x", ["x"]),
        # Every occurrence of both.
        (b"/image/original?proxy=a&proxy=b&url=c", ["a", "b", "c"]),
        (b"/image/original?&&proxy=a&", ["a"]),
        # Decoded once, as pict-rs does.
        (b"/image/original?proxy=a+b%2Bc%2525", ["a b+c%25"]),
        (b"/image/original?proxy=%zz%4", ["%zz%4"]),
        (b"/image/original?proxy=\xc3\xa9%C3%A9", ["éé"]),
        (b"/image/original?proxy=a=b=c", ["a=b=c"]),
        (b"/image/original?proxy=a;proxy=b", ["a;proxy=b"]),
        (b"/image/original?proxy=a?url=b", ["a?url=b"]),
        (b"/image/original?proxy=a%26url=b", ["a&url=b"]),
        (b"/image/original?proxy=a%00b", ["a\0b"]),
    ],
)
def test_the_images_that_a_request_names(target: bytes, urls: list[str]) -> None:
    assert read(target).urls == urls


@pytest.mark.parametrize(
    "target",
    [
        b"/image/original/alias.png",
        b"/image/original?alias=proxy",
        b"/image/original?Proxy=a&URL=b&proxy%20=c&+proxy=d&proxy[]=e&prox%79%00=f&xproxy=g",
        b"/image/original?pro%ffxy=a",
        b"/image/proxy=a",
        b"/image/original%3Fproxy=a",
        b"/image/process.jpg?src=alias&resize=2",
        b"/image/original/alias.png#fragment",
        b"/",
        b"*",
        b"",
    ],
)
def test_no_image_named(target: bytes) -> None:
    assert read_target(target) is None


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (b"/image/original?proxy=", "empty"),
        (b"/image/original?proxy", "empty"),
        (b"/image/original?proxy=a&url=", "empty"),
        (b"/image/original?proxy=http://remote.example/%ff", "not UTF-8"),
        (b"/image/original?proxy=http://remote.example/\xff", "not UTF-8"),
        (b"/image/original?proxy=%ED%A0%80", "not UTF-8"),  # a surrogate
        (b"/image/original?proxy=" + b"x" * (LONGEST + 1), "more than 8192 bytes"),
        (b"/image/original?" + b"proxy=a&" * (MOST + 1), "more than 8 images"),
        (b"/image/original?proxy=http://remote.example/a#b", "fragment"),
        (b"/image/original?a#&proxy=b", "fragment"),
    ],
)
def test_what_cannot_be_read_is_refused(target: bytes, message: str) -> None:
    with pytest.raises(UnreadableTargetError, match=message):
        read_target(target)


def test_at_the_bounds() -> None:
    assert read(b"/?proxy=" + b"%78" * LONGEST).urls == ["x" * LONGEST]
    assert len(read(b"/?" + b"proxy=a&" * MOST).urls) == MOST


def test_only_the_urls_are_rewritten() -> None:
    target = read(b"/image/%70rocess.jpg?a=%zz+&&%70roxy=x%20y&src&url=z&=&thumbnail=96")
    changed = target.rewritten(lambda url: f"http://[::1]:1/{url}&é")
    proxy, url = b"http://%5B::1%5D:1/x%20y%26%C3%A9", b"http://%5B::1%5D:1/z%26%C3%A9"
    assert changed == b"/image/%70rocess.jpg?a=%zz+&&proxy=" + proxy + b"&src&url=" + url + b"&=&thumbnail=96"
    assert read(changed).urls == ["http://[::1]:1/x y&é", "http://[::1]:1/z&é"]


@given(st.text(min_size=1, max_size=60))
def test_what_is_written_is_read_again(url: str) -> None:
    assert read(read(b"/?proxy=x").rewritten(lambda _: url)).urls == [url]


@pytest.mark.parametrize(
    "path",
    [
        b"/image/original",
        b"/image/blurhash",
        b"/image/process.jpg",
        b"/image/process_backgrounded.webp",
        b"/image/details/original",
        b"/image/details/process.jpg",
        b"/internal/purge",
        b"/internal/delete",
        b"/internal/aliases",
        b"/internal/identifier",
    ],
)
def test_where_a_pair_may_be_from_before(path: bytes) -> None:
    assert read(path + b"?proxy=a&resize=2").pair == "a"
    assert read(path + b"?url=a").pair is None
    assert read(path + b"?proxy=a&url=b").pair is None
    assert read(path + b"?proxy=a&proxy=a").pair is None


@pytest.mark.parametrize(
    "path", [b"/image/download", b"//image/original", b"/%69mage/original", b"/image/original/", b"/image/processxjpg"]
)
def test_where_it_may_not(path: bytes) -> None:
    assert read(path + b"?proxy=a").pair is None
