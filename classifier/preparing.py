"""Bytes to what leaves a decoding process: each frame's hashes, and its tiles for each detector; never the frame."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from classifier.decode import Bounds, Decoded, HashedFrame, Undecoded, decode, decode_parts
from classifier.flatten import Ground
from classifier.inputs import MOST, InputSpec, Rows, rows
from classifier.parts import Needs, Parts
from classifier.pdq import flips_of

MAX_ROWS = 96
"""Tiles of one file for one detector: with many frames, each of them gets fewer."""


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """One view of one frame. ``rows``: by detector, from where to where (exclusive) its tiles stand in the file's.

    ``at``: seconds into a video. ``reading``: which of a file's several readings it belongs to; "" is its own.
    ``flips``: the PDQ hashes of its flips (:func:`classifier.pdq.flips_of`), where a list asks for them.
    """

    index: int
    ground: Ground
    pdq: str
    quality: int
    rows: dict[str, tuple[int, int]]
    at: float | None = None
    reading: str = ""
    flips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file's frames, ready for the detectors; else as :class:`classifier.frames.Decoded`. ``rows``: by detector."""

    media_type: str
    width: int
    height: int
    count: int
    frames: tuple[PreparedFrame, ...]
    truncated: bool = False
    hashes: tuple[HashedFrame, ...] = ()
    duration: float | None = None
    marks: tuple[str, ...] = ()
    rows: dict[str, Rows] = field(default_factory=dict)


def prepare_file(data: bytes | Parts, bounds: Bounds, inputs: Mapping[str, InputSpec]) -> Prepared | Undecoded | Needs:
    """The frames of ``data`` for detectors that want ``inputs``. Never raises for what bytes can bring about."""
    bounds = replace(bounds, wanted=tuple(inputs.values()))
    decoded = decode_parts(data, bounds) if isinstance(data, Parts) else decode(data, bounds)
    return prepared(decoded, inputs, flips=bounds.flips) if isinstance(decoded, Decoded) else decoded


def prepared(decoded: Decoded, inputs: Mapping[str, InputSpec], *, flips: bool = False) -> Prepared:
    """Each frame cut into tiles; at least one of each frame for each detector."""
    most = max(1, min(MOST, MAX_ROWS // len(decoded.frames)))
    places: list[dict[str, tuple[int, int]]] = [{} for _ in decoded.frames]
    tiles: dict[str, Rows] = {}
    for name, spec in inputs.items():
        parts: list[Rows] = []
        start = 0
        for place, frame in zip(places, decoded.frames, strict=True):
            part = rows(frame.pixels, spec, most)
            place[name] = (start, start + len(part))
            start += len(part)
            parts.append(part)
        tiles[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    frames = tuple(
        PreparedFrame(
            frame.index,
            frame.ground,
            frame.pdq,
            frame.quality,
            place,
            frame.at,
            frame.reading,
            flips_of(frame.pixels, frame.size) if flips else (),
        )
        for place, frame in zip(places, decoded.frames, strict=True)
    )
    return Prepared(
        decoded.media_type,
        decoded.width,
        decoded.height,
        decoded.count,
        frames,
        decoded.truncated,
        decoded.hashes,
        decoded.duration,
        decoded.marks,
        tiles,
    )
