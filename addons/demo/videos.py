"""Draws and encodes the videos of the demo's remote host: four seconds, small, by a seed."""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from classifier.presets import shapes

SIZE = (160, 120)
RATE = 10
"""Frames a second."""
SECONDS = 4


def ordinary(rng: np.random.Generator) -> Iterator[Image.Image]:
    """Two scenes of two seconds, each a slow pan over a picture that nothing forbids."""
    width, height = SIZE
    frames = RATE * SECONDS // 2
    for _ in range(2):
        scene = shapes.draw_ordinary(size=(width + frames, height), kind="clouds", rng=rng)
        for shift in range(frames):
            yield scene.crop((shift, 0, shift + width, height))


def with_one_second_of(picture: Image.Image, frames: Iterable[Image.Image], start: int) -> Iterator[Image.Image]:
    """These frames, but from second ``start`` on for one second ``picture``."""
    for number, frame in enumerate(frames):
        yield picture if number // RATE == start else frame


def mp4(frames: Iterable[Image.Image]) -> bytes:
    """The frames as an MP4 file of H.264."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        # x264's slower presets read memory that they never wrote: now and then the same frames are another file.
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", Fraction(1, RATE)
        stream.codec_context.thread_count = 1  # else the same seed need not be the same file
        for number, picture in enumerate(frames):
            frame = VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    return file.getvalue()
