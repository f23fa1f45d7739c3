import gzip
import random
import zlib
from collections.abc import Callable

import pytest

from addons.fetching.decoding import PIECE, Decoder, EncodingError


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "gzip and identity": ("identity, gzip", gzip.compress),
}


def decode(encoding: str, packed: bytes, step: int) -> bytes:
    decoder = Decoder(encoding)
    found = b""
    for start in range(0, len(packed), step):
        for piece in decoder.feed(packed[start : start + step]):
            assert 0 < len(piece) <= PIECE or encoding in ("", "identity")
            found += piece
    decoder.finish()
    return found


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_what_was_packed_comes_out(name: str, step: int) -> None:
    encoding, pack = PACKERS[name]
    data = random.Random(name).randbytes(3_000) + b"\0" * 5_000
    assert decode(encoding, pack(data), step) == data


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, PIECE + 300, 2 * PIECE, 3 * PIECE + 257])
@pytest.mark.parametrize("step", [1, 10, 1_000])
@pytest.mark.parametrize("name", ["gzip", "deflate", "raw deflate"])
def test_sizes_around_the_piece(name: str, size: int, step: int) -> None:
    encoding, pack = PACKERS[name]
    assert decode(encoding, pack(b"a" * size), step) == b"a" * size


def test_a_bomb_comes_out_piece_by_piece() -> None:
    pieces = Decoder("gzip").feed(gzip.compress(bytes(50 * PIECE)))
    assert [len(next(pieces)) for _ in range(3)] == [PIECE] * 3


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "br, gzip", "chunked", "x" * 500])
def test_encodings_that_are_not_undone(encoding: str) -> None:
    with pytest.raises(EncodingError, match="not asked for") as caught:
        Decoder(encoding)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("name", ["gzip", "deflate"])
@pytest.mark.parametrize("cut", [1, 5, 12])
def test_cut_short(name: str, cut: int) -> None:
    encoding, pack = PACKERS[name]
    with pytest.raises(EncodingError, match="cut short"):
        decode(encoding, pack(b"some text that is packed")[:-cut], 1_000)


@pytest.mark.parametrize("name", ["gzip", "deflate", "raw deflate"])
def test_more_after_the_end(name: str) -> None:
    encoding, pack = PACKERS[name]
    with pytest.raises(EncodingError, match="goes on after its end"):
        decode(encoding, pack(b"first") + b"second", 1_000)


def test_a_second_gzip_member_is_not_read_by_clients_either() -> None:
    with pytest.raises(EncodingError, match="goes on"):
        decode("gzip", gzip.compress(b"first") + gzip.compress(b"second"), 1_000)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("step", [1, 1_000])
def test_damaged(encoding: str, step: int) -> None:
    with pytest.raises(EncodingError, match=r"damaged|cut short"):
        decode(encoding, b"\x07 no compressed data at all \xff\xff", step)


def test_an_empty_body_needs_no_decoding() -> None:
    assert decode("gzip", b"", 1) == b""
