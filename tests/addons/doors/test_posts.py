import base64
import json
from collections.abc import Mapping

import pytest

from addons.activitypub.references import MediaRef
from addons.doors import posts
from addons.doors.multipart import MalformedFormError
from addons.doors.posts import Value, is_sensitive, look, values_of
from addons.policy.words import Cause
from tests.drawing import encode, textured

IMAGE = encode(textured(1))
BASE64 = base64.b64encode(IMAGE).decode()
URL = "https://remote.example/a"


def read(body: bytes, *content_types: str, query: str = "") -> list[Value]:
    return values_of(body, content_types, query, depth=8, nodes=100)


def looked(**said: str) -> posts.Found:
    return look([Value(key, text) for key, text in said.items()], most=10, text=10_000)


def refs(**said: str) -> list[tuple[str, str, bool]]:
    return [(ref.kind, ref.url, ref.linked) for ref in looked(**said).refs]


# -- values ------------------------------------------------------------------------------------------------------------


def test_json() -> None:
    body = b'{"a": "1", "b": [{"c": "2"}, "3"], "d": true, "e": null, "f": 4, "a": "5"}'
    found = {(value.key, value.text) for value in read(body, "application/json; charset=utf-8")}
    assert found == {("a", "1"), ("c", "2"), ("b", "3"), ("d", "true"), ("a", "5")}


def test_a_form_and_the_query() -> None:
    found = read(b"a=1&b%5B%5D=2+3&c=", "application/x-www-form-urlencoded", query="a=4")
    assert found == [Value("a", "4"), Value("a", "1"), Value("b[]", "2 3"), Value("c", "")]


@pytest.mark.parametrize("content_types", [(), ("",), ("text/plain",), ("application/octet-stream",)])
def test_a_body_of_another_type_is_read_in_every_way(content_types: tuple[str, ...]) -> None:
    assert Value("a", "1") in read(b'{"a": "1"}', *content_types)
    assert Value("a", "1") in read(b"a=1", *content_types)
    assert Value("", "words") in read(b"words", *content_types)


@pytest.mark.parametrize(
    ("body", "content_types"),
    [
        (b"{", ("application/json",)),
        (b"a=1", ("application/json",)),
        (b"\xff\xfe{\x00}\x00", ("application/json",)),
        (json.dumps(dict.fromkeys(map(str, range(101)))).encode(), ("application/json",)),
        (b'{"a":' * 9 + b"1" + b"}" * 9, ("application/json",)),
        (b"a=1&" * (posts.MAX_FIELDS + 1), ("application/x-www-form-urlencoded",)),
        (b"a=1", ("application/x-www-form-urlencoded", "application/json")),
        (b'{"url": "+AGgAdAB0AHA-://a"}', ("application/json; charset=utf-7",)),
        (b"a=1", ("application/x-www-form-urlencoded; charset=utf-16",)),
    ],
)
def test_what_cannot_be_read(body: bytes, content_types: tuple[str, ...]) -> None:
    with pytest.raises(MalformedFormError):
        read(body, *content_types)


def test_bounds_of_values() -> None:
    assert len(read(json.dumps(dict.fromkeys(map(str, range(99)), "a")).encode(), "application/json")) == 99
    assert len(read(b"&".join([b"a=1"] * posts.MAX_FIELDS), "application/x-www-form-urlencoded")) == posts.MAX_FIELDS
    assert read(b'{"a":' * 8 + b'"1"' + b"}" * 8, "application/json") == [Value("a", "1")]
    assert read(b"", "application/json") == []


@pytest.mark.parametrize(
    ("said", "sensitive"),
    [
        ({"sensitive": "true"}, True),
        ({"nsfw": "1"}, True),
        ({"isSensitive": "on"}, True),
        ({"status[sensitive]": "True"}, True),
        ({"sensitive": "false"}, False),
        ({"text": "true"}, False),
    ],
)
def test_sensitive(said: Mapping[str, str], sensitive: bool) -> None:
    assert is_sensitive([Value(*each) for each in said.items()]) == sensitive


# -- pictures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("icon", "avatar"),
        ("account[avatar]", "avatar"),
        ("banner", "banner"),
        ("header", "banner"),
        ("custom_thumbnail", "thumbnail"),
        ("imageUrl", "thumbnail"),
        ("file", "thumbnail"),
        ("url", "page"),
        ("link", "page"),
    ],
)
def test_a_url_by_the_key_it_stands_under(key: str, kind: str) -> None:
    assert refs(**{key: URL}) == [(kind, URL, False)]
    assert refs(**{key: f" {URL}\n"}) == [(kind, URL, False)]


def test_urls_in_text() -> None:
    assert refs(body=f"an ![image]({URL}), a [link]({URL}b.png) and {URL}c") == [
        ("inline", URL, False),
        ("inline", f"{URL}b.png", True),
    ]
    assert refs(body=f'<img src="{URL}">') == [("inline", URL, False)]
    assert refs(language=URL) == []
    assert refs(language=f"{URL}.png") == [("inline", f"{URL}.png", True)]
    assert refs(a="words", b="", c="/relative.png") == []


@pytest.mark.parametrize("key", ["avatar", "anything"])
def test_a_picture_in_a_data_url(key: str) -> None:
    url = f"data:image/png;base64,{BASE64}"
    assert refs(**{key: url}) == [("image", url, False)]
    broken = "\n".join(url[at : at + 76] for at in range(0, len(url), 76))
    assert refs(**{key: broken}) == [("image", url, False)]
    spaced = f"data:image/png;charset=a b;base64, {BASE64[:99]} {BASE64[99:]}"
    assert refs(**{key: spaced}) == [("image", spaced, False)]
    assert refs(**{key: "data: words, and a picture"}) == []


def test_a_url_with_spaces_in_it() -> None:
    """Rust's ``url`` takes them (Lemmy); what is written for people may begin with a URL."""
    assert refs(custom_thumbnail=f"{URL} b.png") == [("thumbnail", f"{URL} b.png", False)]
    assert refs(image_description=f"{URL} is where it is") == []


@pytest.mark.parametrize(
    "text",
    [
        BASE64,
        BASE64.rstrip("="),
        BASE64.replace("+", "-").replace("/", "_"),
        "\n".join(BASE64[at : at + 76] for at in range(0, len(BASE64), 76)),
        # What decoders skip (Ruby, PHP, Python), and what may stand before it.
        "".join(f"{BASE64[at : at + 4]}* " for at in range(0, len(BASE64), 4)),
        f"\n!{BASE64}ä",
        f"image/png;name=a;base64,{BASE64}",
    ],
)
def test_a_picture_in_bare_base64(text: str) -> None:
    assert looked(avatar=text).files == [IMAGE]


@pytest.mark.parametrize(
    "text", ["a" * 100, BASE64[:63], base64.b64encode(b"words" * 20).decode(), "/wonderful words " * 9]
)
def test_other_long_words(text: str) -> None:
    assert not looked(avatar=text).files


def test_bounds_of_what_is_judged() -> None:
    urls = {f"url{count}": f"{URL}/{count}" for count in range(10)}
    assert (len(looked(**urls).refs), looked(**urls).causes) == (10, set())
    more = looked(**urls, last=f"{URL}/10.png")
    assert (len(more.refs), more.causes) == (10, {Cause.TOO_MANY})
    carried = look([Value("", BASE64)] * 11, most=10, text=10)
    assert (len(carried.files), carried.causes) == (10, {Cause.TOO_MANY})
    assert look([Value("", "a b" * 10)], most=1, text=30).causes == set()
    assert look([Value("", "a b" * 10 + "c")], most=1, text=30).causes == {Cause.TOO_LARGE}


def test_the_same_again_counts_once() -> None:
    same = [Value("url", URL)] * 20
    assert list(look(same, most=1, text=10).refs) == [MediaRef(URL, "page", "")]


def test_much_markdown_is_searched_by_pattern() -> None:
    text = "[a](b) " * (posts.MAX_MARKDOWN // 7) + f"![]({URL})"
    assert MediaRef(URL, "inline", "") in look([Value("body", text)], most=100_000, text=1 << 20).refs
