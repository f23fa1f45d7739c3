import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable
from urllib.parse import quote

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from addons.doors.deliveries import (
    MAX_DECODINGS,
    MAX_ENCODINGS,
    MAX_MEMBERS,
    BodyEncodingError,
    BodyTooLargeError,
    decode_body,
    is_delivery,
    is_disguised,
    unknown_charset,
)

INBOX_PATHS = [
    "/inbox",
    "/site_inbox",
    "/activitypub/sharedInbox",
    "/users/alice/inbox",
    "/c/main/inbox",
    "/inbox.json",
    "/actor/21/inbox.json",
    "/inbox/jakob",  # Friendica
]


@pytest.mark.parametrize(
    "path",
    [
        *INBOX_PATHS,
        "/INBOX",
        "/InBox",
        "//inbox",
        "/inbox/",
        "/inbox///",
        "/inbox?",
        "/inbox?x=/y",
        "/inbox#x",
        "/inbox;a=b",
        "/inbox;a=b/;c",
        "/inbox/;",
        "/inbox/.",
        "/inbox/./",
        "/inbox/x/..",
        "/inbox/x/..;y",
        "/inbox/x/../",
        "/x/../inbox",
        "/../../inbox",
        "/inbox/%2e",
        "/inbox/x/%2E%2e",
        "/inbox/.json",
        "/inbox.",
        "/inbox.json.html",
        "/inbox.json;x",
        "/%69nbox",
        "/%2569nbox",
        "/%252569nbox",
        "/inbox%2F",
        "/inbox%2f%2f",
        "/x%2Finbox",
        "/x%252Finbox",
        "/x%5Cinbox",
        "/x\\inbox",
        "\\inbox",
        "/inbox%3Fx",
        "/inbox%3Fx/y",
        "/inbox%23x/y",
        "/a%3Fb/inbox",
        "/a%23b/inbox",
        "/a#b/inbox",
        "/inbox%3Bx",
        "/inbox%20",
        "/inbox%09",
        "/inbox%0A",
        "/inbox%0D%0A",
        "/%20inbox",
        "/inbox%20/",
        "/inbox%00",
        "/inbox%00.png",
        "/inbox%2Ejson",
        "/inbo%58",
        "/ｉｎｂｏｘ",
        "/%EF%BD%89nbox",
        "http://example.org/inbox",
        "http://example.org/users/a/inbox?x",
        "inbox",
    ],
)
def test_a_post_to_what_some_server_reads_as_an_inbox_is_a_delivery(path: str) -> None:
    assert is_delivery("POST", path, [])
    assert is_delivery("post", path, ["text/plain"])
    assert not is_delivery("PUT", path, [])
    assert not is_delivery("GET", path, ["application/activity+json"])


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "*",
        "/api/v3/post",
        "/api/v1/media",
        "/pictrs/image",
        "/outbox",
        "/users/alice/outbox",
        "/inboxes",
        "/myinbox",
        "/inbox-settings",
        "/inbox_",
        "/site_inbox/a/b",
        "/inbox/..",
        "/inbox/a/b",
        "/x?/inbox",
        "/x?inbox",
        "/x?y=/inbox",
        "/inbox%zz",
        "/in%20box",
    ],
)
def test_a_post_to_anything_else_is_none(path: str) -> None:
    assert not is_delivery("POST", path, [])


@pytest.mark.parametrize(
    ("content_types", "expected"),
    [
        (["application/activity+json"], True),
        (["Application/Activity+JSON"], True),
        (["application/activity+json; charset=utf-8"], True),
        (['application/ld+json; profile="https://www.w3.org/ns/activitystreams"'], True),
        (["application/ld+json"], True),
        (["  application/ld+json  ;x"], True),
        (["text/html, application/activity+json"], True),
        (["text/html", "application/ld+json"], True),
        (["application/activity+json,"], True),
        (["application/activity+json\x0b"], True),
        (["application/json"], False),
        (["application/jrd+json"], False),
        (["multipart/form-data; boundary=x"], False),
        ([""], False),
        ([], False),
    ],
)
def test_a_content_type_makes_a_delivery_of_any_post(content_types: list[str], expected: bool) -> None:
    assert is_delivery("POST", "/api/v3/post", content_types) is expected


def encode(path: str, times: int, every: bool) -> str:
    for _ in range(times):
        path = "".join(f"%{byte:02x}" for byte in path.encode()) if every else quote(path, safe="")
    return "/" + path


@given(st.sampled_from(INBOX_PATHS), st.integers(0, 12), st.booleans())
def test_however_often_an_inbox_is_encoded_it_is_one(path: str, times: int, every: bool) -> None:
    assert is_delivery("POST", encode(path, min(times, 4) if every else times, every), [])


@pytest.mark.parametrize(("times", "expected"), [(MAX_DECODINGS - 1, False), (MAX_DECODINGS, True)])
def test_what_is_encoded_more_often_than_it_is_decoded_counts_as_one(times: int, expected: bool) -> None:
    assert is_delivery("POST", encode("a b", times, every=False), []) is expected


TAILS = st.lists(
    st.sampled_from(["/", "//", "/.", ";a=b", "?q", "#f", ".json", "%20", "%2f", "/%2e", "/x/..", "%3b", "%00", "\\"]),
    max_size=4,
)


@given(st.sampled_from(INBOX_PATHS[:5]), TAILS)
def test_whatever_a_lenient_server_drops_from_the_end_an_inbox_stays_one(path: str, tails: list[str]) -> None:
    assert is_delivery("POST", path + "".join(tails), [])


@given(st.text(max_size=50), st.lists(st.text(max_size=50), max_size=3))
def test_no_path_or_content_type_is_too_strange(path: str, content_types: list[str]) -> None:
    is_delivery("POST", path, content_types)
    is_delivery("POST", path.encode("utf-8", "replace").decode("latin-1"), content_types)


@pytest.mark.parametrize(
    "unit",
    ["%25", "/", "/..", "a/", ";", "%2525252525252541", "%", "\\", "%2f..", ".", "ﷺ", "\udcff", " ", "?", "#"],
)
def test_a_hostile_path_takes_no_time(unit: str) -> None:
    path = "/" + unit * ((64 << 10) // len(unit))
    begin = time.process_time()
    is_delivery("POST", path, [])
    assert time.process_time() - begin < 1  # milliseconds in truth; quadratic work would take minutes


# -- bodies ------------------------------------------------------------------------------------------------------------

LIMIT = 10_000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def zstd_streamed(data: bytes) -> bytes:
    """A frame that does not say how large its content is."""
    packer = zstandard.ZstdCompressor().compressobj()
    return packer.compress(data) + packer.flush()


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("identity", bytes),
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("br", brotli.compress),
    ("zstd", zstandard.compress),
    ("zstd", zstd_streamed),
]
coding = pytest.mark.parametrize(("name", "pack"), CODINGS)
compressed = pytest.mark.parametrize(("name", "pack"), CODINGS[1:])


@coding
def test_a_body_at_the_limit_is_decoded_and_one_past_it_is_not(name: str, pack: Callable[[bytes], bytes]) -> None:
    for data in (b"", b"{}", b"x" * LIMIT, bytes(range(250)) * (LIMIT // 250)):
        assert decode_body(pack(data), [name.upper()], LIMIT) == data
    with pytest.raises(BodyTooLargeError):
        decode_body(pack(b"x" * (LIMIT + 1)), [name], LIMIT)


@compressed
def test_a_body_cut_short_anywhere_is_refused(name: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(b'{"type": "Create", "object": "abcdefghijklmnopqrstuvwxyz"}')
    for end in range(1, len(packed)):
        with pytest.raises(BodyEncodingError):
            decode_body(packed[:end], [name], LIMIT)


@compressed
@pytest.mark.parametrize("garbage", [b"\0", b"garbage", b"{}" * 1000])
def test_a_body_with_garbage_behind_it_is_refused(name: str, pack: Callable[[bytes], bytes], garbage: bytes) -> None:
    with pytest.raises(BodyEncodingError):
        decode_body(pack(b"{}") + garbage, [name], LIMIT)


@compressed
def test_a_body_that_is_no_such_thing_is_refused(name: str, pack: Callable[[bytes], bytes]) -> None:
    for body in (b'{"type": "Create"}', b"\xff" * 100):
        with pytest.raises(BodyEncodingError, match="not valid"):
            decode_body(body, [name], LIMIT)


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_every_member_is_read_up_to_a_bound(name: str, pack: Callable[[bytes], bytes]) -> None:
    assert decode_body(pack(b'{"a":') + pack(b"1}"), [name], LIMIT) == b'{"a":1}'
    assert decode_body(pack(b"x") * MAX_MEMBERS, [name], LIMIT) == b"x" * MAX_MEMBERS
    with pytest.raises(BodyEncodingError, match="more than"):
        decode_body(pack(b"x") * (MAX_MEMBERS + 1), [name], LIMIT)
    with pytest.raises(BodyTooLargeError):
        decode_body(pack(b"x" * LIMIT) + pack(b"x"), [name], LIMIT)


@pytest.mark.parametrize(("name", "pack"), [*CODINGS[1:3], CODINGS[4], *CODINGS[6:]])
def test_thousands_of_empty_members_take_no_time(name: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(b"")
    begin = time.process_time()
    with pytest.raises(BodyEncodingError):
        decode_body(packed * ((1 << 20) // len(packed)), [name], 1 << 20)
    assert time.process_time() - begin < 1  # it was many seconds


def test_encodings_are_undone_in_reverse_over_all_headers_up_to_a_bound() -> None:
    body = zlib.compress(brotli.compress(gzip.compress(b"{}")))
    assert decode_body(body, ["gzip, br", "deflate"], LIMIT) == b"{}"
    assert decode_body(body, [" gzip ,, BR,deflate, "], LIMIT) == b"{}"
    assert decode_body(b"{}", ["identity"] * MAX_ENCODINGS, LIMIT) == b"{}"
    with pytest.raises(BodyEncodingError, match="more than 3"):
        decode_body(b"{}", ["identity"] * (MAX_ENCODINGS + 1), LIMIT)
    with pytest.raises(BodyEncodingError):
        decode_body(body, ["deflate, br, gzip"], LIMIT)


@pytest.mark.parametrize("name", ["compress", "aes128gcm", "chunked", "gzip;q=1", "é\r\n\udcff" * 100])
def test_an_unknown_encoding_is_refused_and_quoted(name: str) -> None:
    with pytest.raises(BodyEncodingError, match="is not known here") as caught:
        decode_body(b"{}", [name], LIMIT)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_no_encoding_is_none() -> None:
    assert decode_body(b"{}", [], 2) == b"{}"
    assert decode_body(b"{}", [""], 2) == b"{}"
    with pytest.raises(BodyTooLargeError):
        decode_body(b"{} ", [], 2)


@compressed
def test_a_bomb_takes_no_memory(name: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(b"x" * (30 << 20))
    limit = 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLargeError):
            decode_body(bomb, [name], limit)
        assert tracemalloc.get_traced_memory()[1] < 5 * limit
    finally:
        tracemalloc.stop()


def test_a_bomb_inside_a_bomb_is_stopped_at_the_first() -> None:
    with pytest.raises(BodyTooLargeError):
        decode_body(gzip.compress(gzip.compress(b"x" * (30 << 20))), ["gzip, gzip"], 1 << 20)


def test_a_window_larger_than_decoders_must_have_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=24)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(BodyEncodingError):
        decode_body(packer.compress(b"{}") + packer.flush(), ["zstd"], LIMIT)


@pytest.mark.parametrize(
    ("path", "types", "delivery"),
    [
        ("/?rest_route=/activitypub/1.0/inbox", ["application/json"], True),
        ("/?rest_route=%2Factivitypub%2F1.0%2FINBOX", [], True),
        ("/index.php?pagename=inbox", ["application/json; charset=utf-8"], True),
        ("/index.php?" + "a=b&" * 1000 + "pagename=inbox", [], True),
        ("/search?q=inbox", ["application/x-www-form-urlencoded"], False),
        ("/?rest_route=/activitypub/1.0/outbox", ["application/json"], False),
    ],
)
def test_a_route_in_the_query(path: str, types: list[str], delivery: bool) -> None:
    assert is_delivery("POST", path, types) is delivery


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("begin", [b"{", b"[", b" \r\n\t{", b"\xef\xbb\xbf{"])
def test_what_begins_like_json_is_not_encoded(encoding: str, begin: bytes) -> None:
    with pytest.raises(BodyEncodingError, match=f"not valid {encoding}"):
        decode_body(begin + b"\x00" * 40, [encoding], 1000)
    assert decode_body(begin, ["identity"], 1000) == begin


@pytest.mark.parametrize(
    ("types", "charset"),
    [
        ([], None),
        (["application/activity+json"], None),
        (["application/activity+json; charset=utf-8"], None),
        (['application/ld+json; profile="x"; Charset="UTF8"'], None),
        (["application/json; charset=us-ascii"], None),
        (["application/activity+json; charset=utf-7"], "utf-7"),
        (["application/activity+json", "application/json;charset = 'UTF-16LE'"], "UTF-16LE"),
        (["a/b; charset=utf-8; charset=utf-7"], "utf-7"),
        (["a/b; charset="], None),
    ],
)
def test_another_charset_than_utf_8(types: list[str], charset: str | None) -> None:
    assert unknown_charset(types) == charset


def test_no_body_is_json_and_raw_deflate_at_once() -> None:
    # Stored blocks (RFC 1951 section 3.2.4) let a raw deflate stream begin with any byte that is a block's header.
    hidden = zlib.compressobj(wbits=-15)
    stream = hidden.compress(b"{}") + hidden.flush()
    assert decode_body(stream, ["deflate"], 1000) == b"{}"
    polyglot = b"{" + stream  # what a lenient inflater makes of it is not asked
    with pytest.raises(BodyEncodingError):
        decode_body(polyglot, ["deflate"], 1000)


@pytest.mark.parametrize("size", [0, 65_535, 65_536, 65_537, 500_000])
def test_however_small_brotli_makes_it(size: int) -> None:
    body = b"{".ljust(size)
    assert decode_body(brotli.compress(body, lgwin=16), ["br"], 1 << 20) == body


@pytest.mark.parametrize("start", [b"{", b" " * 99 + b"[", b"/*", b"\xef\xbb\xbf //"])
@pytest.mark.parametrize("name", ["br", "deflate"])
def test_what_begins_like_json_is_not_taken_for_encoded(start: bytes, name: str) -> None:
    with pytest.raises(BodyEncodingError):
        decode_body(start + b"\x03" * 9, [name], 1 << 20)


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("PUT", "/inbox", [(b"X-HTTP-Method-Override", b"post")], True),
        ("PUT", "/inbox?_METHOD=Post", [], True),
        ("POST", "/x", [(b"X-Original-URL", b"/inbox")], True),
        ("GET", "/x", [(b"x-rewrite-url", b"/inbox"), (b"x-http-method", b"POST")], True),
        ("POST", "/inbox", [(b"X-Rewrite-URL", b"/inbox")], False),
        ("POST", "/inbox", [(b"X-HTTP-Method-Override", b"PUT")], False),
        ("PUT", "/inbox", [(b"X-HTTP-Method-Override", b"PATCH")], False),
        ("PUT", "/x?_method=POST", [], False),
        ("PUT", "/x", [(b"X-HTTP-Method-Override", b"POST")], False),
        ("GET", "/x", [(b"X-Original-URL", b"/inbox")], False),
        ("GET", "/inbox", [], False),
    ],
)
def test_a_delivery_in_disguise(method: str, path: str, headers: list[tuple[bytes, bytes]], expected: bool) -> None:
    assert is_disguised(method, path, headers) is expected
