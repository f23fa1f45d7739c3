"""Takes a video apart with libav: its tracks of pictures, each as packets still to be decoded, and its cover pictures.

What libav may do with a stranger's bytes is told here: one demuxer, chosen by content; decoders from a list; one
thread; no other file, whatever a playlist or reference in it says.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from classifier.frames import Bounds
from classifier.parts import LEAST, PartsFile
from classifier.scenes import places
from classifier.walking import TooLargeError, check_pixels, check_time

DECODERS = frozenset(
    {"h264", "hevc", "vp8", "vp9", "av1", "libdav1d", "theora", "mpeg4", "h263", "mpeg1video", "mpeg2video", "mjpeg"}
) | {"prores", "png"}
"""By libav's names: what browsers play, and what else servers are known to accept and convert."""
WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""The decoders that show the transparency of WebM, which libav's own leave out."""
MAX_TRACKS = 4
"""Tracks of pictures that are looked at; players let viewers choose one."""
MAX_PACKETS = 1_000_000
"""Nine hours at 30 frames a second."""
KEYS = 24
"""Key frames taken of a file known in parts: each is a request of its own, mostly."""
REACH = 0.75
"""Share of a file known in parts that its index must reach over: what lies behind could be played and is not seen."""


type Piece = Packet[VideoStream]


class Readable(Protocol):
    """A file as libav reads it."""

    def read(self, n: int, /) -> bytes:
        """Up to ``n`` bytes."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go there."""
        ...

    def tell(self) -> int:
        """Where it stands."""
        ...


class UnsupportedError(Exception):
    """There is nothing in it that can be judged, or something that cannot. ``sound``: it is sound and nothing else."""

    def __init__(self, message: str, *, sound: bool = False) -> None:
        super().__init__(message)
        self.sound = sound


@dataclass(slots=True)
class Track:
    """One track. ``packets`` in the order they are decoded in, each with its frame's number (in the order shown) as
    its ``pts``: what the file says of times never reaches a decoder.

    ``keys``: which of them the file calls key frames. By number: ``times`` in seconds from the first, and ``places``.
    ``whole``: all packets are there, not only those of key frames. ``stretch``: width of a pixel over its height.
    """

    codec: VideoCodecContext
    stretch: float
    packets: list[Piece] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    times: list[float | None] = field(default_factory=list)
    places: list[float] = field(default_factory=list)
    whole: bool = True

    @property
    def duration(self) -> float:
        """Seconds from the first to the last frame, by what the file says of them."""
        return max((time for time in self.times if time is not None), default=0.0)


@dataclass(slots=True)
class Taken:
    """All that a file has to show. ``covers``: its attached pictures, each a file; ``truncated``: it ends too soon."""

    tracks: list[Track]
    covers: list[bytes]
    truncated: bool = False


def take(file: Readable, size: int, format: str, bounds: Bounds, until: float) -> Taken | None:
    """The tracks of a file of ``size`` bytes in libav's ``format``; None: it is known in parts, and not enough of it.

    Raises UnsupportedError, TooLargeError, av.FFmpegError where it cannot be opened at all.
    """
    parts = file if isinstance(file, PartsFile) else None
    try:
        container = _open(file, format, bounds)
    except av.FFmpegError:
        if parts and parts.needs():
            return None
        raise
    with container:
        streams = [stream for stream in container.streams if isinstance(stream, VideoStream)]
        covers = [one for one in streams if one.disposition & Disposition.attached_pic]
        shown = [one for one in streams if one not in covers]
        for other in container.streams:
            if other not in streams:
                other.discard = Discard.all
        if not streams:
            sound = any(stream.type == "audio" for stream in container.streams)
            raise UnsupportedError("it has no pictures", sound=sound)
        if len(streams) > MAX_TRACKS:
            raise TooLargeError(f"it has {len(streams)} tracks of pictures, more than {MAX_TRACKS}")
        tracks = {stream.index: _track(stream, bounds) for stream in shown}
        if parts:
            for stream in shown:
                if parts.needs() or not _take_keys(
                    container, stream, tracks[stream.index], parts, size, KEYS // len(shown)
                ):
                    return None
            return Taken(list(tracks.values()), list(_covers(container, covers)) if covers else [])
        return _take_all(container, streams, tracks, size, until)


def _open(file: Readable, format: str, bounds: Bounds) -> InputContainer:
    return av.open(
        file,
        "r",
        format=format,
        # For the decoders that libav tries while it opens the file.
        options={"threads": "1", "max_pixels": str(bounds.pixels)},
        container_options={
            "codec_whitelist": ",".join(sorted(DECODERS)),
            "ignore_editlist": "1",  # what an edit list hides is shown by players that know none
            "probesize": str(1 << 20),
        },
        io_open=_refuse,
    )


def _refuse(url: str, flags: int, options: Any) -> NoReturn:
    raise PermissionError("a video may not open another file")


def _track(stream: VideoStream, bounds: Bounds) -> Track:
    codec: VideoCodecContext | None = stream.codec_context
    if codec is None or codec.codec.name not in DECODERS:
        raise UnsupportedError(f"video of the kind {codec.codec.name if codec else 'unknown'} is not judged")
    check_pixels(codec.width, codec.height, "it", bounds)
    if stream.metadata.get("alpha_mode") == "1" and (name := WITH_ALPHA.get(codec.codec.name)):
        extradata = codec.extradata
        other = VideoCodecContext.create(name, "r")
        assert isinstance(other, VideoCodecContext)
        codec = other
        codec.extradata = extradata
    codec.thread_count = 1
    ratio = float(stream.sample_aspect_ratio or 1)
    return Track(codec, ratio if 1 / 8 <= ratio <= 8 else 1.0)


def _take_all(
    container: InputContainer, streams: Sequence[VideoStream], tracks: dict[int, Track], size: int, until: float
) -> Taken:
    """Every packet of the file: an index that leaves some out, or points at them twice, changes nothing."""
    taken = Taken(list(tracks.values()), [])
    count = total = 0
    try:
        for packet in container.demux(tuple(streams)):
            if not packet.size:
                continue
            count, total = count + 1, total + packet.size
            if count > MAX_PACKETS or total > 2 * size + LEAST:
                raise TooLargeError(f"it has more than {count - 1} pieces, or the same ones many times over")
            if count % 64 == 0:
                check_time(until)
            if (track := tracks.get(packet.stream_index)) is None:
                taken.covers.append(bytes(packet))
            else:
                track.packets.append(packet)
            taken.truncated |= packet.is_corrupt
    except MemoryError:
        raise
    except av.FFmpegError:
        taken.truncated = True
    for track in taken.tracks:
        _number(track)
    return taken


def _number(track: Track) -> None:
    packets = track.packets
    order = sorted(range(len(packets)), key=lambda at: _shown_at(packets[at], at))
    if any(packet.pts is None and packet.dts is None for packet in packets):
        order = list(range(len(packets)))
    track.keys = [at for at, packet in enumerate(packets) if packet.is_keyframe]
    track.times = _from_first([_seconds(packets[at]) for at in order])
    track.places = places(track.times)
    for number, at in enumerate(order):
        packets[at].pts, packets[at].dts = number, at


def _shown_at(packet: Piece, at: int) -> tuple[int, int]:
    time = packet.pts if packet.pts is not None else packet.dts
    return (time or 0, at)


def _seconds(packet: Piece) -> float | None:
    time = packet.pts if packet.pts is not None else packet.dts
    return None if time is None else time * float(packet.time_base)


def _from_first(times: Sequence[float | None]) -> list[float | None]:
    first = min((time for time in times if time is not None), default=0.0)
    return [None if time is None else time - first for time in times]


def _covers(container: InputContainer, streams: Sequence[VideoStream]) -> Iterator[bytes]:
    """libav hands attached pictures out first."""
    left = len(streams)
    for packet in container.demux(tuple(streams)):
        if packet.size and left:
            yield bytes(packet)
            left -= 1
        if not left:
            return


def _take_keys(
    container: InputContainer, stream: VideoStream, track: Track, file: PartsFile, size: int, most: int
) -> bool:
    """Of a file known in parts, at most ``most`` key frames over its length; False: more of the file is needed."""
    track.whole = False
    if container.format.name.startswith("matroska"):  # its index is read when it is first needed
        with contextlib.suppress(av.FFmpegError):
            container.seek(0, stream=stream)
        if file.needs():
            return False
    index = [(one.timestamp, one.pos, one.size) for one in stream.index_entries]
    keys = [number for number, one in enumerate(stream.index_entries) if one.is_keyframe]
    if not keys or max(pos + length for _, pos, length in index) < REACH * size:
        raise TooLargeError("it is too large to be fetched whole, and has no index that says where its key frames are")
    base = float(stream.time_base or 1)
    track.times = _from_first([time * base for time, _, _ in index])
    track.places = places(track.times)
    wanted = _wanted(keys, track.places, most)
    for number in wanted:
        file.want(index[number][1], index[number][2] or LEAST)
    if file.needs():
        return False
    for number in wanted:
        container.seek(index[number][0], stream=stream)
        for packet in container.demux(stream):
            if packet.size:
                packet.pts = packet.dts = number
                track.keys.append(len(track.packets))
                track.packets.append(packet)
            break
    return not file.needs()


def _wanted(keys: Sequence[int], places: Sequence[float], most: int) -> list[int]:
    """Half of them evenly; half those that come soonest after the one before: encoders put a key frame at a cut."""
    if len(keys) <= most:
        return list(keys)
    evenly = max(2, most - most // 2)
    wanted = {min(keys, key=lambda key: abs(places[key] - step / (evenly - 1))) for step in range(evenly)}
    soon = sorted(range(1, len(keys)), key=lambda at: places[keys[at]] - places[keys[at - 1]])
    for at in soon:
        if len(wanted) >= most:
            break
        wanted.add(keys[at])
    return sorted(wanted)[:most]
