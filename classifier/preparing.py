"""Bytes to what leaves a decoding process: each frame's hashes, and its tiles for each detector; never the frame."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from classifier.decode import decode, decode_parts
from classifier.frames import MAX_ROWS, Bounds, Decoded, Prepared, PreparedFrame, Undecoded
from classifier.inputs import MOST, InputSpec, Rows, rows
from classifier.parts import Needs, Parts
from classifier.pdq import flips_of


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
        decoded.marks,
        tiles,
    )
