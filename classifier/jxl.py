"""Lets Pillow open JPEG XL, decoded by libjxl (through imagecodecs), with its size known before anything is decoded."""

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
from imagecodecs import jpegxl_decode
from numpy.typing import NDArray
from PIL import Image, ImageFile

from classifier.boxes import boxes

CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
CODESTREAM = b"\xff\x0a"

MAX_CHANNELS = 8
"""Channels beside the colours (alpha, depth, spot); the format allows thousands, each as large as the picture."""
MAX_FRAMES = 4_096
"""Frames that are told apart: more count as so many."""

_HEAD = 4 << 10
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_ALPHA, _BLACK, _CFA, _SPOT = 0, 4, 5, 2
_MARK = 64


@dataclass(frozen=True, slots=True)
class Header:
    """What a codestream says of itself (ISO/IEC 18181-1, annex D). ``bits`` of a sample; 0 where it is a float."""

    width: int
    height: int
    orientation: int
    animated: bool
    bits: int
    extra: tuple[int, ...]


class JxlImageFile(ImageFile.ImageFile):
    """A JPEG XL file. Upright already: the orientation stands in the codestream, and what EXIF says does not count."""

    format = "JXL"
    format_description = "JPEG XL"

    def _open(self) -> None:
        assert self.fp is not None
        self._data: bytes = self.fp.read()
        header = read_header(self._data)
        if _BLACK in header.extra:
            raise ValueError("a JPEG XL with a channel for black (CMYK), which this decoder cannot show")
        if len(header.extra) > MAX_CHANNELS:
            raise ValueError(f"a JPEG XL with {len(header.extra)} further channels, more than {MAX_CHANNELS}")
        self._header = header
        size = header.width, header.height
        self._size = size if header.orientation < 5 else (size[1], size[0])
        self._mode = "RGB"
        self._frame = 0
        self._loaded = -1
        self._count = 0 if header.animated else 1
        self._room: NDArray[Any] | None = None
        exif = next((self._data[box.body + 4 : box.end] for box in boxes(self._data) if box.kind == b"Exif"), b"")
        if exif:
            self.info["exif"] = b"Exif\x00\x00" + exif

    @property
    def n_frames(self) -> int:
        """Frames; in an animation found by asking for ever later ones."""
        if not self._count:
            low, high = 0, 1
            while high < MAX_FRAMES and self._has(high):
                low, high = high, high * 2
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if self._has(middle) else (low, middle)
            self._count = high
        return self._count

    @property
    def is_animated(self) -> bool:
        """Whether it has more than one frame."""
        return self.n_frames > 1

    def seek(self, frame: int) -> None:
        """Go to a frame."""
        if not 0 <= frame < self.n_frames:
            raise EOFError(f"there is no frame {frame}")
        self._frame = frame

    def tell(self) -> int:
        """The frame it stands at."""
        return self._frame

    def getexif(self) -> Image.Exif:
        """Nothing: see above."""
        return Image.Exif()

    def load(self) -> Any:
        """Decode the frame it stands at."""
        if self._loaded != self._frame:
            pixels = jpegxl_decode(self._data, index=self._frame, numthreads=1)
            image = Image.fromarray(_eight_bit(pixels, self._header.bits))
            if image.size != self._size:
                raise ValueError("a JPEG XL of another size than it says")
            self._mode = image.mode
            self.im = image.im
            self._loaded = self._frame
        return Image.Image.load(self)

    def _has(self, index: int) -> bool:
        """Past its last frame libjxl ends in peace, and nothing has been written."""
        if self._room is None:
            self._room = jpegxl_decode(self._data, index=0, numthreads=1)
        seen = self._room.reshape(-1).view(np.uint8)[-_MARK:]
        mark = np.frombuffer(secrets.token_bytes(len(seen)), np.uint8)
        seen[:] = mark
        jpegxl_decode(self._data, index=index, numthreads=1, out=self._room)
        return not np.array_equal(seen, mark)


def accept(prefix: bytes) -> bool:
    """Whether a file that begins so is JPEG XL."""
    return prefix.startswith((CODESTREAM, CONTAINER))


def register() -> None:
    """Make it known to Pillow."""
    Image.register_open(JxlImageFile.format, JxlImageFile, accept)


def _eight_bit(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    if pixels.ndim == 3 and pixels.shape[2] > 4:
        pixels = pixels[..., :3]
    if pixels.dtype == np.uint8 and bits == 8:
        return pixels
    if pixels.dtype.kind == "u":
        return (pixels.astype(np.uint32) * 255 // ((1 << bits) - 1)).astype(np.uint8)
    return (np.nan_to_num(pixels.astype(np.float32)).clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def read_header(data: bytes) -> Header:
    """The header of the JPEG XL file ``data``. Raises ValueError where there is none."""
    codestream = data[:_HEAD] if data.startswith(CODESTREAM) else _codestream(data)
    if not codestream.startswith(CODESTREAM):
        raise ValueError("a JPEG XL without a codestream")
    bits = _Bits(codestream[2:])
    width, height = _size(bits)
    orientation, animated, sample = 1, False, 8
    extra: tuple[int, ...] = ()
    if not bits.flag():
        if bits.flag():
            orientation = 1 + bits.take(3)
            if bits.flag():
                _size(bits)
            if bits.flag():
                _preview(bits)
            animated = bits.flag()
            if animated:
                _animation(bits)
        sample = _depth(bits)
        bits.flag()
        extra = tuple(_channel(bits) for _ in range(bits.number((0, 0), (1, 0), (2, 4), (1, 12))))
    return Header(width, height, orientation, animated, sample, extra)


class _Bits:
    """Numbers of any width, least significant bit first."""

    def __init__(self, data: bytes) -> None:
        self._left = len(data) * 8
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        if count > self._left:
            raise ValueError("a JPEG XL that ends in its header")
        found = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return found

    def flag(self) -> bool:
        return self.take(1) == 1

    def number(self, *forms: tuple[int, int]) -> int:
        """One of four forms: something added to so many bits."""
        more, count = forms[self.take(2)]
        return more + self.take(count)


def _size(bits: _Bits) -> tuple[int, int]:
    eighths = bits.flag()

    def length() -> int:
        return 8 * (1 + bits.take(5)) if eighths else bits.number((1, 9), (1, 13), (1, 18), (1, 30))

    height = length()
    ratio = bits.take(3)
    return (height * _RATIOS[ratio - 1][0] // _RATIOS[ratio - 1][1] if ratio else length()), height


def _preview(bits: _Bits) -> None:
    eighths = bits.flag()
    forms = ((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
    bits.number(*forms)
    if not bits.take(3):
        bits.number(*forms)


def _animation(bits: _Bits) -> None:
    bits.number((100, 0), (1000, 0), (1, 10), (1, 30))
    bits.number((1, 0), (1001, 0), (1, 8), (1, 10))
    bits.number((0, 0), (0, 3), (0, 16), (0, 32))
    bits.flag()


def _depth(bits: _Bits) -> int:
    if bits.flag():
        bits.number((32, 0), (16, 0), (24, 0), (1, 6))
        bits.take(4)
        return 0
    return bits.number((8, 0), (10, 0), (12, 0), (1, 6))


def _channel(bits: _Bits) -> int:
    """The type of one further channel."""
    if bits.flag():
        return _ALPHA
    kind = bits.number((0, 0), (1, 0), (2, 4), (18, 6))
    _depth(bits)
    bits.number((0, 0), (3, 0), (4, 0), (1, 3))
    bits.take(8 * bits.number((0, 0), (0, 4), (16, 5), (48, 10)))
    if kind == _ALPHA:
        bits.flag()
    elif kind == _SPOT:
        bits.take(64)
    elif kind == _CFA:
        bits.number((1, 0), (0, 2), (3, 4), (19, 8))
    return kind


def _codestream(data: bytes) -> bytes:
    """The first bytes of the codestream in a container; it may stand there in parts."""
    found = b""
    for box in boxes(data):
        if box.kind == b"jxlc":
            return data[box.body : min(box.end, box.body + _HEAD)]
        if box.kind == b"jxlp":
            found += data[box.body + 4 : min(box.end, box.body + 4 + _HEAD)]
            if len(found) >= _HEAD:
                break
    return found
