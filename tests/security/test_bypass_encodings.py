"""Bypass corpus, encodings: a body that two servers could decode to two posts, or that grows past all bounds."""

import gzip
import struct
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard

from tests.security.bypass import BOTH, JUDGED, Ending, World, holds, posted

pytestmark = pytest.mark.asyncio(loop_scope="module")


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def members(body: bytes) -> bytes:
    """Two members of gzip: who stops after the first reads half of it."""
    return gzipped(body[:40]) + gzipped(body[40:])


def raw_deflate(body: bytes) -> bytes:
    return zlib.compress(body, wbits=-15)


def frames(body: bytes) -> bytes:
    """Two frames of zstd with one between them that is skipped."""
    one, other = zstandard.compress(body[:40]), zstandard.compress(body[40:])
    return one + struct.pack("<II", 0x184D2A50, 4) + b"skip" + other


def innocent_to_brotli(body: bytes) -> bytes:
    """A comment and a post to who undoes no encodings and allows comments (Ruby's Oj), a harmless post to brotli.

    ``/*`` is a window and the head of 65,621 bytes as they are (RFC 7932 section 9.2); the post stands in a block that
    is skipped.
    """
    harmless = b'{"type": "Like"}'.ljust(84 + (1 << 16) + 1)
    skipped = b"*/" + body
    size = 1 if len(skipped) <= 256 else 2
    header = 3 << 1 | size << 4 | (len(skipped) - 1) << 6
    return b"/*\x80\x08" + harmless + header.to_bytes(1 + size, "little") + skipped + b"\x03"


ENCODINGS: dict[str, tuple[bytes, Callable[[bytes], bytes], Ending]] = {
    "gzip": (b"Content-Encoding: gzip", gzipped, JUDGED),
    "in capitals": (b"CONTENT-ENCODING: GZip ", gzipped, JUDGED),
    "x-gzip": (b"Content-Encoding: x-gzip", gzipped, JUDGED),
    "two members": (b"Content-Encoding: gzip", members, JUDGED),
    "twice": (b"Content-Encoding: gzip, gzip", lambda body: gzipped(gzipped(body)), JUDGED),
    "twice in two": (b"Content-Encoding: br\r\nContent-Encoding: gzip", lambda b: gzipped(brotli.compress(b)), JUDGED),
    "deflate": (b"Content-Encoding: deflate", zlib.compress, JUDGED),
    "raw deflate": (b"Content-Encoding: deflate", raw_deflate, JUDGED),
    "brotli": (b"Content-Encoding: br", brotli.compress, JUDGED),
    "much in little": (b"Content-Encoding: br", lambda body: brotli.compress(body.ljust(900_000), lgwin=16), JUDGED),
    "zstd": (b"Content-Encoding: zstd", zstandard.compress, JUDGED),
    "frames of zstd": (b"Content-Encoding: zstd", frames, JUDGED),
    "identity": (b"Content-Encoding: identity, ,identity", bytes, JUDGED),
    "none": (b"Content-Encoding:", bytes, JUDGED),
    "another header": (b"Content_Encoding: gzip", bytes, JUDGED),
    "wrongly said": (b"Content-Encoding: gzip", bytes, 400),
    "not said": (b"Accept-Encoding: gzip", gzipped, 400),
    "said in the wrong order": (b"Content-Encoding: gzip, br", lambda b: gzipped(brotli.compress(b)), 400),
    "more than three": (
        b"Content-Encoding: gzip, gzip, gzip, gzip",
        lambda b: gzipped(gzipped(gzipped(gzipped(b)))),
        400,
    ),
    "cut off": (b"Content-Encoding: gzip", lambda body: gzipped(body)[:-1], 400),
    "with more behind it": (b"Content-Encoding: gzip", lambda body: gzipped(b"{}") + body, 400),
    "brotli with more behind it": (b"Content-Encoding: br", lambda body: brotli.compress(b"{}") + body, 400),
    "JSON said to be brotli": (b"Content-Encoding: br", bytes, 400),
    "far behind spaces": (b"Content-Encoding: br", lambda body: b" " * 99 + body, 400),
    "a harmless post to brotli": (b"Content-Encoding: br", innocent_to_brotli, 400),
    "a bomb": (b"Content-Encoding: gzip", lambda body: gzipped(body + b" " * (1 << 20)), 413),
    "a bomb of brotli": (b"Content-Encoding: br", lambda body: brotli.compress(body + b" " * (1 << 20)), 413),
    "a bomb of zstd": (b"Content-Encoding: zstd", lambda body: zstandard.compress(body + b" " * (1 << 20)), 413),
    "a bomb in a bomb": (
        b"Content-Encoding: gzip, gzip",
        lambda body: gzipped(gzipped(body + b" " * (64 << 20))),
        413,
    ),
    **{
        name: (b"Content-Encoding: " + name.encode(), bytes, 400)
        for name in (
            "compress",
            "lzma",
            "xz",
            "bzip2",
            "snappy",
            "aes128gcm",
            "exi",
            "dcb",
            "\x0bgzip",
            "gzip;q=1",
            "*",
        )
    },
}


@BOTH
@pytest.mark.parametrize("name", ENCODINGS)
async def test_double_and_odd_encodings(world: World, name: str, bad: bool) -> None:
    said, encode, ends = ENCODINGS[name]
    await holds(world, ends, bad, lambda body: posted(encode(body), *said.split(b"\r\n")))


async def test_the_polyglot_is_one() -> None:
    made = innocent_to_brotli(b'{"type": "Create"}')
    assert brotli.decompress(made).strip() == b'{"type": "Like"}'
    assert made.startswith(b"/*")
    assert made.rpartition(b"*/")[2].removesuffix(b"\x03") == b'{"type": "Create"}'
