"""Makes the videos that tests judge, of drawn pictures, with the encoders that PyAV brings."""

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from tests.drawing import shape, textured

RATE = 10
"""Frames a second."""


def film(
    pictures: Iterable[Image.Image],
    format: str = "mp4",
    codec: str = "libx264",
    *,
    pix_fmt: str = "yuv420p",
    rate: int = RATE,
    options: Mapping[str, str] | None = None,
    muxer: Mapping[str, str] | None = None,
    change: Callable[[VideoStream], None] | None = None,
    times: Sequence[int] | None = None,
    tracks: int = 1,
) -> bytes:
    """A video of these pictures, all of the size of the first; the same in each of ``tracks``.

    ``change`` may set up the stream; ``times``: what each frame says of when it is shown, in frames.
    """
    with tempfile.NamedTemporaryFile() as file, unhurried():
        _film(file.name, pictures, format, codec, pix_fmt, rate, options, muxer, change, times, tracks)
        return file.read()


@contextlib.contextmanager
def unhurried() -> Iterator[None]:
    """Take back the real-time priority that SVT-AV1 gives whoever opens it as root, and so all that he starts later:
    PostgreSQL or pict-rs with it would stop the whole machine whenever one of their threads spins."""
    if not hasattr(os, "sched_getscheduler"):  # macOS
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def _film(
    name: str,
    pictures: Iterable[Image.Image],
    format: str,
    codec: str,
    pix_fmt: str,
    rate: int,
    options: Mapping[str, str] | None,
    muxer: Mapping[str, str] | None,
    change: Callable[[VideoStream], None] | None,
    times: Sequence[int] | None,
    tracks: int,
) -> None:
    with av.open(name, "w", format=format, options=dict(muxer or {})) as out:
        streams: list[VideoStream] = []
        for number, picture in enumerate(pictures):
            if not streams:
                streams = [_stream(out, codec, rate, picture, pix_fmt, options, change) for _ in range(tracks)]
            frame = VideoFrame.from_ndarray(np.asarray(picture), format="rgba" if picture.mode == "RGBA" else "rgb24")
            frame.time_base = Fraction(1, rate)
            frame.pts = number if times is None else times[number]
            for stream in streams:
                out.mux(stream.encode(frame.reformat(format=pix_fmt)))
        for stream in streams:
            out.mux(stream.encode(None))


def _stream(
    out: av.container.OutputContainer,
    codec: str,
    rate: int,
    picture: Image.Image,
    pix_fmt: str,
    options: Mapping[str, str] | None,
    change: Callable[[VideoStream], None] | None,
) -> VideoStream:
    stream = out.add_stream(codec, rate=rate, options=dict(options or {}))
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, pix_fmt
    stream.codec_context.time_base = Fraction(1, rate)
    if change:
        change(stream)
    return stream


def moving(seconds: float, width: int = 128, height: int = 96, rate: int = RATE) -> Iterator[Image.Image]:
    """A soft texture that is slowly shifted, with another texture every two seconds."""
    for start in range(0, round(seconds * rate), 2 * rate):
        scene = textured(start // (2 * rate), 2 * width, height)
        for shift in range(min(2 * rate, round(seconds * rate) - start)):
            yield scene.crop((shift, 0, shift + width, height))


def with_circle(pictures: Iterable[Image.Image], start: int, end: int) -> Iterator[Image.Image]:
    """These pictures, but from frame ``start`` to before ``end`` the forbidden red circle."""
    for number, picture in enumerate(pictures):
        yield shape("circle", "red", "white", *picture.size) if start <= number < end else picture


def sound(seconds: float = 1.0, format: str = "mp4", codec: str = "aac", cover: bytes = b"") -> bytes:
    """A file of sound alone, or with a cover picture (PNG)."""
    file = io.BytesIO()
    with av.open(file, "w", format=format) as out:
        stream = out.add_stream(codec, rate=48_000)
        assert isinstance(stream, AudioStream)
        picture = out.add_stream("png", rate=1) if cover else None
        if isinstance(picture, VideoStream):
            picture.width = picture.height = 64
            picture.pix_fmt = "rgb24"
            picture.disposition = av.stream.Disposition.attached_pic
        for number in range(int(seconds * 48_000) // 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, number * 1024
            out.mux(stream.encode(frame))
        if picture:
            packet = av.Packet(cover)
            packet.stream = picture
            packet.pts = packet.dts = 0
            packet.is_keyframe = True
            out.mux(packet)
        out.mux(stream.encode(None))
    return file.getvalue()


def in_pairs(pictures: Sequence[Image.Image], together: int = 2) -> bytes:
    """A WebM of VP9 of which each packet holds so many pictures (VP9 bitstream specification, annex B: superframes).

    libvpx, which Chromium plays VP9 with, shows the last of them only; libav gives all, at one and the same time.
    """
    options = {"lag-in-frames": "0", "auto-alt-ref": "0", "deadline": "realtime", "cpu-used": "8", "g": "1"}
    with av.open(io.BytesIO(film(pictures, "webm", "libvpx-vp9", options=options)), "r") as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as out:
        stream = _stream(out, "libvpx-vp9", RATE, pictures[0], "yuv420p", None, None)
        for number, start in enumerate(range(0, len(packets), together)):
            group = packets[start : start + together]
            marker = bytes((0b110_11_000 | (len(group) - 1),))
            index = marker + b"".join(len(one).to_bytes(4, "little") for one in group) + marker
            packet = av.Packet(b"".join(group) + index)
            packet.stream, packet.time_base = stream, Fraction(1, RATE)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            out.mux(packet)
    return file.getvalue()
