"""Videos to frames: key frames over the whole length, then all between them as long as the time lasts.

What is looked at: every key frame, since encoders put one where the scene changes; then, the longest stretches
first, all the frames between, until half of ``decode.seconds`` is spent. Of these, the frames that are least alike and
some that stand evenly over the length go to the detectors, at most ``decode.video_frames``; the others are hashed.
A stretch of more than a quarter of a video in which no frame could be looked at makes it ``too_large``.

What is not seen: of a video too long to be decoded whole, frames between those looked at; of a file known in parts, all
but some key frames. Of frames that differ from what is chosen only in something small, the detectors may see none.
"""

import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from PIL import Image

from classifier.flatten import Pixels, turned, upright, views
from classifier.frames import MIN_PDQ_QUALITY, Bounds, Decoded, DecodedFrame, HashedFrame, Undecoded, frame_of, hashed
from classifier.parts import Needs, Parts, PartsFile
from classifier.scenes import Candidate, Look, Pool, coarse_to_fine, widest
from classifier.screen import Screen, orientation_of
from classifier.sniff import Kind
from classifier.tracks import Track, UnsupportedError, take
from classifier.walking import TooLargeError, check_pixels, check_time

UNSEEN = 0.25
"""Share of a video that may lie between two frames looked at."""
ENOUGH = 0.5
"""Share of the time after which a video that is seen evenly is no longer looked at."""
LAST = 0.8
"""And any other: the rest of the time is for the frames chosen."""

HASHED = 2_000
"""Frames hashed besides those chosen."""
SAME = 4
"""Bits that two hashes in turn may be apart for the later one to be left out (as in ``walking``)."""
LAYERS = 3
"""Pictures in one packet at most, as a stream of three spatial layers has."""
STILL = 1.0
"""Levels by which a frame must differ from the one looked at before, for it to be hashed."""

_SMALL = 128
_CELLS = 16
_OFTEN = 8
_POOL = 64
_POOL_BYTES = 192 << 20
_FULL_HD = 1920 * 1088
_SURELY_A_PICTURE = 1  # libav's AV_PICTURE_TYPE_I


class BrokenError(Exception):
    """Too little of it can be decoded; the message says how much."""


@dataclass(frozen=True, slots=True)
class _Shot:
    """A decoded frame, its own size, and how it is then to be turned."""

    frame: VideoFrame
    size: tuple[int, int]
    orientation: int


def prepare() -> None:
    """Load what decoding videos takes; called once in each process."""
    av.logging.set_level(None)
    frame = VideoFrame(16, 16, "yuv420p")
    VideoReformatter().reformat(frame, 8, 8, "rgb24", threads=1)


def decode_video(
    data: bytes | Parts,
    kind: Kind,
    bounds: Bounds,
    until: float,
    picture: Callable[[bytes], Decoded | Undecoded],
) -> Decoded | Undecoded | Needs:
    """The frames of a video, and the cover pictures in it or in a file of sound, which ``picture`` decodes.

    ``until``: on this process's clock of computing time, in seconds. Never raises for what bytes can bring about.
    """
    try:
        return _decode(data, kind, bounds, until, picture)
    except UnsupportedError as error:
        media_type = f"audio/{kind.media_type.partition('/')[2]}" if error.sound else kind.media_type
        return Undecoded("unsupported", kind.why or str(error), media_type)
    except TooLargeError as error:
        return Undecoded("too_large", str(error))
    except BrokenError as error:
        return Undecoded("undecodable", str(error))
    except MemoryError:
        return Undecoded("too_large", "decoding it takes more memory than a decoding process may have")
    except av.FFmpegError as error:
        if kind.why:  # a sound in which a cover was looked for
            return Undecoded("unsupported", kind.why, kind.media_type)
        return Undecoded("undecodable", f"the {kind.media_type} file is broken: {error.strerror}")
    except Exception as error:
        message = (str(error) or type(error).__name__)[:200]
        return Undecoded("undecodable", f"the {kind.media_type} file is broken: {message}")


def _decode(
    data: bytes | Parts, kind: Kind, bounds: Bounds, until: float, picture: Callable[[bytes], Decoded | Undecoded]
) -> Decoded | Undecoded | Needs:
    began = time.process_time()
    file = PartsFile(data) if isinstance(data, Parts) else io.BytesIO(data)
    size = data.size if isinstance(data, Parts) else len(data)
    taken = take(file, size, kind.video, bounds, until)
    if taken is None:
        assert isinstance(file, PartsFile)
        needs = file.needs()
        assert needs is not None
        return needs
    tracks = [track for track in taken.tracks if track.packets]
    found = _Found()
    for number, track in enumerate(tracks):
        share = (until - began) / len(tracks)
        walk = _Walk(track, bounds, began + number * share, share, 1 / len(tracks))
        walk.look()
        found.truncated |= walk.broken
        found.add(walk, until, f"track {number + 1}" if number else "")
    for cover in taken.covers:
        found.add_cover(picture(cover))
    if not found.frames:
        if kind.why:
            return Undecoded("unsupported", kind.why, kind.media_type)
        return Undecoded("undecodable", f"the {kind.media_type} file has no frame that can be decoded")
    return Decoded(
        kind.media_type,
        *found.size,
        found.count,
        tuple(found.frames),
        found.truncated or taken.truncated,
        tuple(found.hashes),
        max((track.duration for track in tracks), default=None),
        tuple(found.marks),
    )


@dataclass(slots=True)
class _Found:
    """What goes into the result, of all tracks; their frames are numbered on."""

    frames: list[DecodedFrame] = field(default_factory=list)
    hashes: list[HashedFrame] = field(default_factory=list)
    size: tuple[int, int] = (0, 0)
    count: int = 0
    truncated: bool = False
    marks: list[str] = field(default_factory=list)

    def add(self, walk: "_Walk", until: float, reading: str) -> None:
        """The frames chosen of one track, and the hashes of others."""
        for layer, seen in enumerate(walk.layers):
            self._add(walk, seen, until, f"{reading} layer {layer + 1}".lstrip() if layer else reading)

    def _add(self, walk: "_Walk", seen: "_Seen", until: float, reading: str) -> None:
        chosen = seen.chosen()
        for one in chosen:
            shot, number = one.frame, one.number + self.count
            at, size = walk.track.times[one.number], upright(shot.size, shot.orientation)
            picture = walk.screen.picture(shot.frame, shot.size, shot.orientation)
            for ground, pixels in views(picture, shot.orientation, walk.bounds.needed):
                self.frames.append(replace(frame_of(number, ground, pixels, size), at=at, reading=reading))
            check_time(until)
            self.size = max(self.size, size, key=lambda size: size[0] * size[1])
        taken = {one.number for one in chosen}
        hashes = (one for one in _unlike(seen.hashed) if one.index not in taken)
        self.hashes += (replace(one, index=one.index + self.count) for one in hashes)
        self.count += len(walk.track.times)

    def add_cover(self, cover: Decoded | Undecoded) -> None:
        """A picture that was attached."""
        if isinstance(cover, Undecoded):
            self.marks.append("file.cover")
            return
        self.frames += (replace(one, index=one.index + self.count, reading="cover") for one in cover.frames)
        self.hashes += (replace(one, index=one.index + self.count) for one in cover.hashes)
        self.count += cover.count
        if self.size == (0, 0):
            self.size = cover.width, cover.height


class _Seen:
    """The frames looked at: their ``numbers``, the hashes of some, and those from which are ``chosen``."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self.hashed: list[HashedFrame] = []
        self.pool: Pool[_Shot] | None = None
        self._before: Look | None = None

    def chosen(self) -> list[Candidate[_Shot]]:
        """Some of the frames looked at, in the order shown."""
        return self.pool.chosen() if self.pool else []

    def still(self, look: Look) -> bool:
        """Whether the frame looks as the one before it."""
        before, self._before = self._before, look
        return before is not None and bool(np.abs(before - look).max() < STILL)


class _Walk:
    """Looks at the frames of one track, coarse to fine. ``broken``: something in it cannot be decoded.

    It has ``seconds`` of computing time from ``began``, and this ``share`` of the frames that a file may give.
    """

    def __init__(self, track: Track, bounds: Bounds, began: float, seconds: float, share: float) -> None:
        self.track = track
        self.bounds = bounds
        self.screen = Screen(track.stretch, bounds.needed)
        self.layers = [_Seen()]
        """Of several pictures in a packet, each goes to the next: some players show the first, some the last."""
        self.broken = False
        self._enough = began + ENOUGH * seconds
        self._last = began + LAST * seconds
        self._most = max(1, int(bounds.video_frames * share))
        self._most_hashed = int(HASHED * share)
        self._came: Counter[int] = Counter()
        """Frames of each number that came since the decoder began anew."""
        self._seen_evenly = False
        self._starts: set[int] = {0}

    def look(self) -> None:
        """Key frames, then all others, until it is enough. Raises TooLargeError or BrokenError where it never is."""
        track = self.track
        self._key_frames()
        if track.whole:
            self._between()
        numbers = self.layers[0].numbers
        if not numbers or (unseen := self._unseen()) <= UNSEEN:
            return
        seen = f"{len(numbers)} of its {len(track.times)} frames were seen, and {unseen:.0%} of it lie unseen in a row"
        if not track.whole:
            raise TooLargeError(f"it is too large to be fetched whole; {seen}")
        if not self._time_left():
            raise TooLargeError(f"decoding it takes more computing time than decode.seconds allows: {seen}")
        raise BrokenError(f"too much of it cannot be decoded: {seen}")

    def _time_left(self) -> bool:
        now = time.process_time()
        if now <= self._enough:
            return True
        if now > self._last or self._seen_evenly:
            return False
        self._seen_evenly = self._unseen() <= UNSEEN
        return not self._seen_evenly

    def _unseen(self) -> float:
        return widest(self.track.places, self.layers[0].numbers, whole=self.track.whole)

    def _key_frames(self) -> None:
        track = self.track
        for at in coarse_to_fine(len(track.keys)):
            if not self._time_left():
                return
            key = track.keys[at]
            frames = [*self._decode(key), *self._decode(None)]
            self._begin_anew()
            for frame in frames:
                # Only the decoder knows whether it needed no other: a file may call any frame a key frame.
                if frame.pict_type == _SURELY_A_PICTURE and not frame.is_corrupt:
                    self._starts.add(key)
                    self._look_at(frame, key)

    def _between(self) -> None:
        """All frames, from each key frame to the next, the longest stretches first."""
        track = self.track
        self._came.clear()
        starts = sorted(self._starts)
        ends = [*starts[1:], len(track.packets)]
        runs = sorted(zip(starts, ends, strict=True), key=lambda run: -self._length(*run))
        stands = 0
        for start, end in runs:
            if start != stands:
                self._drain(stands - 1)
            for at in range(start, end):
                if at % _OFTEN == 0 and not self._time_left():
                    return
                for frame in self._decode(at):
                    self._look_at(frame, at)
            stands = end
        self._drain(stands - 1)

    def _length(self, start: int, end: int) -> float:
        packets, places = self.track.packets, self.track.places
        after = places[packets[end].pts or 0] if end < len(packets) else 1.0
        return round(after - places[packets[start].pts or 0], 3)

    def _drain(self, at: int) -> None:
        for frame in self._decode(None):
            self._look_at(frame, at)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.track.codec.flush_buffers()
        self._came.clear()

    def _decode(self, at: int | None) -> list[VideoFrame]:
        try:
            return self.track.codec.decode(None if at is None else self.track.packets[at])
        except MemoryError:
            raise
        except av.FFmpegError:
            self.broken = True
            return []

    def _look_at(self, frame: VideoFrame, at: int) -> None:
        """``at``: the packet that was decoded last, for a decoder that does not say which one the frame came from."""
        check_pixels(frame.width, frame.height, "a frame", self.bounds)
        number = frame.pts if frame.pts is not None else self.track.packets[at].pts or 0
        if not 0 <= number < len(self.track.places):
            return
        layer = self._came[number]
        self._came[number] += 1
        if layer >= LAYERS:
            raise TooLargeError(f"it has more than {LAYERS} pictures in one packet")
        if layer == len(self.layers):
            self.layers.append(_Seen())
        seen = self.layers[layer]
        if number in seen.numbers:
            return
        seen.numbers.add(number)
        small = self.screen.small(frame, _SMALL)
        look = _look(small)
        size, orientation = self.screen.size(frame), orientation_of(frame)
        if len(seen.hashed) < self._most_hashed and not seen.still(look):
            # Lists are of pictures as they are seen; that it is squashed to a square is all the same to PDQ.
            seen.hashed.append(hashed(number, turned(Image.fromarray(small[..., :3]), orientation), self.bounds))
        large = frame.width * frame.height > _FULL_HD
        shown = self.screen.shrunk(frame, size, orientation) if large else frame
        if seen.pool is None:
            held = sum(plane.buffer_size for plane in shown.planes)
            seen.pool = Pool(self._most, min(_POOL, _POOL_BYTES // max(1, held)))
        shot = _Shot(shown, size, orientation)
        seen.pool.offer(Candidate(number, self.track.places[number], look, shot))


def _look(small: Pixels) -> Look:
    """Means over cells; whole rows are added first, which is ten times as fast as ``mean`` over both axes."""
    step = _SMALL // _CELLS
    rows = small.reshape(_CELLS, step, -1).sum(1, np.uint16)
    return rows.reshape(_CELLS, _CELLS, step, -1).sum(2, np.uint32).reshape(-1).astype(np.float32) / np.float32(step**2)


def _unlike(found: list[HashedFrame]) -> Iterator[HashedFrame]:
    """In the order shown, those that show something else than the one before; no flat ones."""
    last: int | None = None
    for one in sorted(found, key=lambda one: one.index):
        if one.quality < MIN_PDQ_QUALITY:
            continue
        bits = int(one.pdq, 16)
        if last is None or (last ^ bits).bit_count() > SAME:
            yield one
            last = bits
