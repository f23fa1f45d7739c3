import numpy as np
import pytest
import zstandard
from PIL import Image

from classifier.inputs import Rows
from classifier.remote.messages import ProtocolError
from classifier.remote.packing import Shape, bytes_of, most_packed, pack, unpack
from tests.drawing import textured

NOISE = np.random.default_rng(1).integers(0, 256, (3, 17, 23, 3), np.uint8)


def shapes(rows: dict[str, Rows]) -> dict[str, Shape]:
    return {name: (len(part), part.shape[1], part.shape[2], 3) for name, part in rows.items()}


@pytest.mark.parametrize(
    "rows",
    [
        {"clip": NOISE},
        {"clip": NOISE, "nudity": NOISE[:1, :5, :1]},
        {"clip": np.zeros((1, 1, 1, 3), np.uint8)},
        {"clip": np.full((256, 8, 8, 3), 255, np.uint8)},
        {"clip": NOISE[:, ::-1, :, ::-1]},  # not contiguous
    ],
)
def test_nothing_is_lost(rows: dict[str, Rows]) -> None:
    packed = pack(rows)
    assert len(packed) <= most_packed(bytes_of(shapes(rows)))
    found = unpack(packed, shapes(rows))
    assert found.keys() == rows.keys()
    for name, part in rows.items():
        assert np.array_equal(found[name], part)
        assert found[name].flags.c_contiguous


def test_a_picture_takes_fewer_bytes() -> None:
    row = np.asarray(Image.fromarray(np.asarray(textured(1, 1024, 768))).resize((224, 224)))[np.newaxis]
    assert len(pack({"clip": row})) < 0.6 * row.nbytes


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b"", "cannot be unpacked"),
        (b"\xff" * 50, "cannot be unpacked"),
        (pack({"clip": NOISE})[:-5], "cannot be unpacked"),
        (pack({"clip": NOISE}) + b"x", "cannot be unpacked"),
        (pack({"clip": NOISE[:2]}), "not the 3519 bytes"),
        (zstandard.ZstdCompressor().compress(bytes(3520)), "not the 3519 bytes"),
        # The size is not said, or a lie: nothing of it may be allocated.
        (zstandard.ZstdCompressor(write_content_size=False).compress(bytes(3519)), "not the 3519 bytes"),
        (b"\x28\xb5\x2f\xfd\xc0" + bytes([0]) + (1 << 60).to_bytes(8, "little") + bytes(9), "not the 3519 bytes"),
        (b"\x28\xb5\x2f\xfd\x60" + (3519 - 256).to_bytes(2, "little") + bytes(9), "cannot be unpacked"),
    ],
)
def test_what_is_not_these_rows(packed: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        unpack(packed, shapes({"clip": NOISE}))
