"""Adds a file's further readings to the frames of its own picture, where they show something else."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from PIL import Image

from classifier.flatten import views
from classifier.frames import MIN_PDQ_QUALITY, Decoded, DecodedFrame, Undecoded, frame_of
from classifier.readings.alike import alike
from classifier.readings.types import GAIN_MAP, PICTURE, VIDEO, Found, Reading

FRAMES = 2
"""Frames taken of a further picture that is an animation: its first and last, say."""
VIDEO_FRAMES = 4
"""Frames taken of a video behind a picture."""


def with_readings(
    own: Decoded, orientation: int, found: Found, most: int, decode: Callable[[Reading], Decoded | Undecoded]
) -> Decoded:
    """``own`` with at most ``most`` further frames, and the marks of what could not be judged.

    ``orientation``: how the file's own picture was turned. ``decode`` gives the frames of one reading.
    """
    marks = set(found.marks)
    frames: list[DecodedFrame] = []
    index = own.count
    # An animation's first and last frames: a thumbnail is of one of them, if of any.
    seen = [frame for frame in own.frames if frame.index in (own.frames[0].index, own.frames[-1].index)]
    blank = all(frame.quality < MIN_PDQ_QUALITY for frame in own.frames)
    for reading in found.readings:
        if reading.gain and not blank:
            marks.add(GAIN_MAP)
            continue
        mark = VIDEO if reading.kind.video else PICTURE
        if len(frames) >= most:
            marks.add(mark)
            break
        decoded = decode(reading)
        if isinstance(decoded, Undecoded):
            marks.add(mark)
            continue
        for frame in _upright(decoded, orientation if reading.turned else 1, seen):
            seen.append(frame)
            frames.append(replace(frame, index=index + frame.index, reading=reading.name))
        index += decoded.count
    if len(frames) > most:
        marks.add(PICTURE)
    return replace(own, frames=(*own.frames, *frames[:most]), marks=(*own.marks, *sorted(marks)))


def _upright(decoded: Decoded, orientation: int, seen: list[DecodedFrame]) -> Iterator[DecodedFrame]:
    """The frames that show something else than those ``seen``, turned as these were."""
    for frame in decoded.frames:
        if any(alike(one.pixels, frame.pixels) for one in seen):
            continue
        if orientation == 1:
            yield frame
            continue
        (_, pixels), *_ = views(Image.fromarray(frame.pixels), orientation)
        if not any(alike(one.pixels, pixels) for one in seen):
            yield replace(frame_of(frame.index, frame.ground, pixels), at=frame.at)
