import io
import itertools
from collections.abc import Iterator
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from classifier import video
from classifier.decode import decode, decode_parts, prepare
from classifier.detectors.nudity import INPUT
from classifier.frames import Bounds, Decoded, DecodedFrame, Undecoded
from classifier.inputs import InputSpec
from classifier.parts import Needs, Parts
from classifier.pdq import pdq_of
from classifier.preparing import prepared
from tests.drawing import encode, quadrants, shape, textured
from tests.filming import RATE, film, in_pairs, moving, sound, with_circle

BOUNDS = Bounds(pixels=4_000_000, frames=8, seconds=20.0)


@pytest.fixture(autouse=True, scope="module")
def _prepared() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        prepare()
        yield


def decoded(data: bytes, bounds: Bounds = BOUNDS) -> Decoded:
    result = decode(data, bounds)
    assert isinstance(result, Decoded), result
    return result


def refused(data: bytes, bounds: Bounds = BOUNDS) -> Undecoded:
    result = decode(data, bounds)
    assert isinstance(result, Undecoded), "it was decoded"
    return result


def is_red(frame: DecodedFrame) -> bool:
    """Whether the forbidden circle is in the middle."""
    height, width, _ = frame.pixels.shape
    red, green, blue = frame.pixels[height // 2, width // 2].tolist()
    return bool(red > 180 and green < 90 and blue < 90)


def at_red(result: Decoded) -> list[float]:
    return [frame.at for frame in result.frames if is_red(frame) and frame.at is not None]


@pytest.mark.parametrize(
    ("format", "codec", "pix_fmt", "media_type"),
    [
        ("mp4", "libx264", "yuv420p", "video/mp4"),
        ("mp4", "libx264", "yuv420p10le", "video/mp4"),
        ("mp4", "libx264", "yuv444p", "video/mp4"),
        ("mp4", "libsvtav1", "yuv420p", "video/mp4"),
        ("mp4", "mpeg4", "yuv420p", "video/mp4"),
        ("mov", "libx264", "yuv420p", "video/quicktime"),
        ("mov", "mjpeg", "yuvj420p", "video/quicktime"),
        ("mov", "prores", "yuv422p10le", "video/quicktime"),
        ("webm", "libvpx", "yuv420p", "video/webm"),
        ("webm", "libvpx-vp9", "yuv420p", "video/webm"),
        ("matroska", "libx264", "yuv420p", "video/x-matroska"),
        ("matroska", "libx265", "yuv420p", "video/x-matroska"),
        ("ogg", "libvpx", "yuv420p", "video/ogg"),
    ],
)
def test_each_kind(format: str, codec: str, pix_fmt: str, media_type: str) -> None:
    options = {"libvpx": {"cpu-used": "8"}, "libx265": {"x265-params": "log-level=none"}}.get(codec, {})
    result = decoded(film(with_circle(moving(4), 20, 26), format, codec, pix_fmt=pix_fmt, options=options))
    assert (result.media_type, result.width, result.height, result.count) == (media_type, 128, 96, 40)
    assert not result.truncated
    assert result.duration == pytest.approx(3.9)
    assert len(result.frames) == BOUNDS.video_frames
    assert at_red(result)
    assert all(2.0 <= at <= 2.5 for at in at_red(result))
    assert [frame.index for frame in result.frames] == sorted({frame.index for frame in result.frames})
    assert all(frame.at == pytest.approx(frame.index / RATE) for frame in result.frames)
    assert not {frame.index for frame in result.frames} & {one.index for one in result.hashes}


def test_colours_are_right() -> None:
    picture = quadrants(128, 96)
    (frame,) = decoded(film([picture], pix_fmt="yuv444p", options={"crf": "1"})).frames
    far = np.abs(frame.pixels.astype(int) - np.asarray(picture, int)).mean()
    assert far < 4


@pytest.mark.parametrize("start", [0, 300, 590])
@pytest.mark.parametrize("keys", ["by scene", "none"])
def test_one_second_of_a_minute_is_seen_wherever_it_lies(start: int, keys: str) -> None:
    options = {"preset": "veryfast"} | ({} if keys == "by scene" else {"g": "9999", "sc_threshold": "0"})
    result = decoded(film(with_circle(moving(60), start, start + 10), options=options))
    assert result.count == 600
    assert at_red(result)
    assert all(start / RATE <= at < start / RATE + 1 for at in at_red(result))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_second_that_shows_a_known_picture_is_hashed_upright_though_not_chosen(degrees: int) -> None:
    known = textured(99, 128, 96)
    pictures = [known if 200 <= number < 210 else one for number, one in enumerate(moving(60))]
    data = _turned(film([one.rotate(degrees, expand=True) for one in pictures]), degrees)
    result = decoded(data, Bounds(4_000_000, 8, 20.0, video_frames=1))
    bits = int(pdq_of(np.asarray(known))[0], 16)
    near = [one.index for one in result.hashes if (int(one.pdq, 16) ^ bits).bit_count() <= 31]
    assert near
    assert all(200 <= index < 210 for index in near)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17])
def test_every_frame_of_a_short_one_up_to_the_cap(count: int) -> None:
    result = decoded(film([textured(number) for number in range(count)]))
    assert (result.count, len(result.frames)) == (count, min(count, 16))
    assert len(result.hashes) == max(0, count - 16)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_it_is_turned_as_its_metadata_say(degrees: int) -> None:
    result = decoded(_turned(film([quadrants(128, 96)], pix_fmt="yuv444p", options={"crf": "1"}), degrees))
    turned = quadrants(128, 96).rotate(-degrees, expand=True)
    assert (result.width, result.height) == turned.size
    (frame,) = result.frames
    assert np.abs(frame.pixels.astype(int) - np.asarray(turned, int)).mean() < 4


def _turned(data: bytes, degrees: int) -> bytes:
    """An MP4 whose matrix says so."""
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = b"".join(
        (value << 16 & 0xFFFFFFFF).to_bytes(4, "big") for value in (cosine, sine, 0, -sine, cosine, 0, 0, 0)
    )
    at = data.index(b"tkhd") + 4 + 40
    return data[:at] + matrix + data[at + 32 :]


@pytest.mark.parametrize(("size", "degrees"), [((1280, 720), 0), ((1280, 720), 90), ((2560, 1440), 0)])
def test_tiles_and_hashes_are_those_of_full_frames(size: tuple[int, int], degrees: int) -> None:
    inputs = {"clip": InputSpec((224, 224), "squash"), "nudity": INPUT}
    data = _turned(film([textured(number, *size) for number in range(3)], options={"preset": "ultrafast"}), degrees)
    whole, small = (
        decoded(data, replace(BOUNDS, wanted=wanted))
        for wanted in ((InputSpec(size, "squash"),), tuple(inputs.values()))
    )
    for full, frame in zip(whole.frames, small.frames, strict=True):
        assert full.pixels.shape[1::-1] == full.size == frame.size == (size[::-1] if degrees else size)
        assert max(frame.pixels.shape) < 800
        assert (int(full.pdq, 16) ^ int(frame.pdq, 16)).bit_count() <= 6
    theirs, ours = prepared(whole, inputs).rows, prepared(small, inputs).rows
    for name in inputs:
        apart = np.abs(theirs[name].astype(int) - ours[name].astype(int))
        assert apart.mean() < 2
        assert np.percentile(apart, 99) <= 4


def test_wide_pixels_are_shown_wide() -> None:
    def wide(stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = 2

    result = decoded(film([shape()], change=wide))
    assert (result.width, result.height, result.frames[0].pixels.shape) == (256, 128, (128, 256, 3))


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparent_parts_are_judged_on_every_ground(codec: str) -> None:
    """Red everywhere; only the circle is opaque, so without alpha there is nothing to be seen."""
    circle = np.asarray(shape().convert("L"))
    picture = Image.new("RGB", (128, 128), "red")
    picture.putalpha(Image.fromarray(np.where(circle < 200, 255, 0).astype(np.uint8)))
    result = decoded(film([picture] * 3, "webm", codec, pix_fmt="yuva420p", options={"auto-alt-ref": "0"}))
    first = [frame for frame in result.frames if frame.index == 0]
    assert [frame.ground for frame in first] == ["white", "black", "bare"]
    white, black, bare = (frame.pixels[4, 4].tolist() for frame in first)
    assert min(white) > 230
    assert max(black) < 25
    assert bare[0] > 200
    assert all(is_red(frame) for frame in first)


def test_fragments() -> None:
    movflags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    result = decoded(film(with_circle(moving(6), 40, 50), muxer=movflags, options={"g": "10"}))
    assert (result.count, bool(at_red(result))) == (60, True)


def test_every_track_is_judged() -> None:
    data = film(with_circle(moving(4), 10, 20), tracks=3)
    result = decoded(data)
    assert {frame.reading for frame in result.frames} == {"", "track 2", "track 3"}
    for reading in ("", "track 2", "track 3"):
        assert any(is_red(frame) for frame in result.frames if frame.reading == reading)
    assert len({frame.index for frame in result.frames}) == len(result.frames) <= BOUNDS.video_frames
    assert not {frame.index for frame in result.frames} & {one.index for one in result.hashes}


def test_tracks_are_bounded() -> None:
    pictures = [shape()] * 2
    assert len({frame.reading for frame in decoded(film(pictures, tracks=4)).frames}) == 4
    answer = refused(film(pictures, tracks=5))
    assert (answer.cause, "5 tracks" in answer.message) == ("too_large", True)


# -- what is no video --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "codec", "media_type"),
    [
        ("mp4", "aac", "audio/mp4"),
        ("webm", "libopus", "audio/webm"),
        ("ogg", "libopus", "audio/ogg"),
        ("mp3", "libmp3lame", "audio/mpeg"),
    ],
)
def test_sound_alone_is_unsupported(format: str, codec: str, media_type: str) -> None:
    answer = refused(sound(format=format, codec=codec))
    assert (answer.cause, answer.media_type) == ("unsupported", media_type)


@pytest.mark.parametrize(("format", "codec"), [("mp3", "libmp3lame"), ("mp4", "aac")])
def test_the_cover_of_sound_is_judged(format: str, codec: str) -> None:
    result = decoded(sound(format=format, codec=codec, cover=encode(shape(width=64, height=64))))
    (frame,) = result.frames
    assert (frame.reading, is_red(frame), result.width, result.height) == ("cover", True, 64, 64)


def test_a_cover_that_cannot_be_judged_marks_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    found = video._Found()
    found.add_cover(Undecoded("undecodable", "broken"))
    assert found.marks == ["file.cover"]


def test_a_kind_of_video_that_no_server_takes() -> None:
    answer = refused(film([shape()], "matroska", "ffv1"))
    assert (answer.cause, "ffv1" in answer.message) == ("unsupported", True)


@pytest.mark.parametrize("data", [film([shape()])[:40], b"\0\0\0\x10ftypisom\0\0\0\0" + bytes(5000)])
def test_nothing_to_be_seen_is_undecodable(data: bytes) -> None:
    assert refused(data).cause == "undecodable"


@pytest.mark.parametrize("hidden", [0, 1])
def test_each_of_two_pictures_in_one_packet_is_looked_at(hidden: int) -> None:
    pictures = [shape() if number % 2 == hidden else textured(number) for number in range(12)]
    result = decoded(in_pairs(pictures))
    assert result.count == 12
    assert len(at_red(result)) == 6
    assert {frame.reading for frame in result.frames} == {"", "layer 2"}


def test_more_pictures_in_one_packet_than_any_encoder_makes() -> None:
    answer = refused(in_pairs([shape()] * 8, video.LAYERS + 1))
    assert (answer.cause, "in one packet" in answer.message) == ("too_large", True)
    assert decoded(in_pairs([shape()] * 6, video.LAYERS)).count == 6


# -- broken and hostile ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("format", "codec"), [("webm", "libvpx"), ("matroska", "libx264"), ("ogg", "libvpx")])
@pytest.mark.parametrize("twentieths", range(2, 20))
def test_what_is_left_of_a_truncated_one_is_judged(format: str, codec: str, twentieths: int) -> None:
    whole = _whole(format, codec)
    result = decoded(whole[: len(whole) * twentieths // 20])
    assert 0 < result.count < 60
    # The circle is shown from the start, so that whatever is left of it is seen.
    assert is_red(result.frames[0])


_films: dict[tuple[str, str], bytes] = {}


def _whole(format: str, codec: str) -> bytes:
    if (format, codec) not in _films:
        _films[format, codec] = film(with_circle(moving(6), 0, 5), format, codec, options={"g": "10"})
    return _films[format, codec]


@pytest.mark.parametrize("twentieths", range(1, 20))
def test_a_truncated_mp4_is_what_its_index_still_leads_to(twentieths: int) -> None:
    fast = film(with_circle(moving(6), 0, 5), muxer={"movflags": "faststart"}, options={"g": "10"})
    result = decode(fast[: len(fast) * twentieths // 20], BOUNDS)
    if isinstance(result, Decoded):
        assert is_red(result.frames[0])
    else:
        assert result.cause == "undecodable"
        assert twentieths <= 5  # the index itself, and the first frame
    without_index = film(with_circle(moving(6), 0, 5))
    assert refused(without_index[: len(without_index) * twentieths // 20]).cause == "undecodable"


def test_noise_in_the_middle_costs_only_what_it_hits() -> None:
    whole = _whole("matroska", "libx264")
    noise = np.random.default_rng(1).integers(0, 256, 300, dtype=np.uint8).tobytes()
    result = decoded(whole[: len(whole) // 2] + noise + whole[len(whole) // 2 + 300 :])
    assert result.count > 30
    assert is_red(result.frames[0])


@pytest.mark.parametrize("duration", [0, 1, 0xFFFFFFFF])
def test_what_a_file_says_of_its_length_changes_nothing(duration: int) -> None:
    data = bytearray(film(with_circle(moving(6), 30, 35)))
    for box, offset in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        at = data.index(box) + 4 + offset
        data[at : at + 4] = duration.to_bytes(4, "big")
    result = decoded(bytes(data))
    assert (result.count, bool(at_red(result))) == (60, True)


def test_an_edit_list_hides_nothing() -> None:
    """One that shows only the first frame; without B-frames, so that the encoder writes none of its own meaning."""
    data = bytearray(film(with_circle(moving(6), 30, 35), options={"bf": "0"}))
    at = data.index(b"elst") + 4 + 8
    data[at : at + 4] = (100).to_bytes(4, "big")
    result = decoded(bytes(data))
    assert (result.count, bool(at_red(result))) == (60, True)


@pytest.mark.parametrize(
    "times",
    [
        [*range(59), 100_000_000],
        [0, *range(100_000_000, 100_000_059)],
        [number * number * number for number in range(60)],
    ],
)
def test_times_that_lie_do_not_hide_the_rest(times: list[int]) -> None:
    result = decoded(film(with_circle(moving(6), 30, 35), "matroska", times=times, options={"bf": "0"}))
    assert (result.count, bool(at_red(result))) == (60, True)


def test_every_frame_called_a_key_frame() -> None:
    """The table of key frames is taken out, so that every frame is said to be one; the decoder knows better."""
    data = film(with_circle(moving(6), 30, 35), options={"bf": "0", "g": "9999", "sc_threshold": "0"})
    result = decoded(data.replace(b"stss", b"free"))
    assert (result.count, bool(at_red(result))) == (60, True)
    clean = decoded(film(moving(6), options={"bf": "0", "g": "9999", "sc_threshold": "0"}).replace(b"stss", b"free"))
    assert not at_red(clean)


def test_a_size_that_changes_midway() -> None:
    """Two streams of VP8 in one: a key frame of another size is a new size to every decoder."""
    small, large = (film([textured(1, width, 96)] * 3, "ogg", "libvpx") for width in (128, 256))
    result = decoded(_spliced(small, large))
    assert {frame.pixels.shape for frame in result.frames} == {(96, 128, 3), (96, 256, 3)}
    answer = refused(_spliced(small, large), Bounds(128 * 96, 8, 20.0))
    assert (answer.cause, "256x96" in answer.message) == ("too_large", True)


def _spliced(one: bytes, other: bytes) -> bytes:
    """The packets of both in the first one's file."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = None
        number = itertools.count()
        for data in (one, other):
            with av.open(io.BytesIO(data), "r") as source:
                stream = stream or out.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(source.streams.video[0]):
                    if packet.size:
                        packet.pts = packet.dts = next(number) * 100
                        packet.time_base = stream.time_base
                        packet.stream = stream
                        out.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize(("pixels", "ok"), [(128 * 96, True), (128 * 96 - 1, False)])
def test_pixels_of_a_frame_are_bounded(pixels: int, ok: bool) -> None:
    result = decode(film(moving(1)), Bounds(pixels, 8, 20.0))
    assert isinstance(result, Decoded) == ok
    if isinstance(result, Undecoded):
        assert result.cause == "too_large"


def test_a_video_of_which_too_little_could_be_seen_in_time_is_too_large() -> None:
    """One key frame only, so that everything must be decoded to see the end."""
    data = film(moving(60, 320, 240), options={"g": "9999", "sc_threshold": "0", "preset": "ultrafast"})
    answer = refused(data, Bounds(4_000_000, 8, 0.05))
    assert (answer.cause, "decode.seconds" in answer.message) == ("too_large", True)
    assert isinstance(decode(data, BOUNDS), Decoded)


def test_a_long_one_is_seen_evenly_when_time_is_short() -> None:
    data = film(moving(120, 320, 240), options={"g": "20", "preset": "ultrafast"})
    result = decoded(data, Bounds(4_000_000, 8, 1.6))
    assert result.count == 1200
    at = [frame.at or 0.0 for frame in result.frames]
    assert len(at) == 16
    assert max(after - before for before, after in itertools.pairwise([0.0, *at, 119.9])) < 30


def test_the_same_bytes_many_times_over_are_too_large() -> None:
    """All samples point at the first one's place and have its size: a megabyte that would become gigabytes."""
    data = bytearray(film(moving(6), codec="mjpeg", format="mov", pix_fmt="yuvj420p"))
    at = data.index(b"stsz") + 4 + 12
    data[at : at + 60 * 4] = (len(data) - 1000).to_bytes(4, "big") * 60
    assert refused(bytes(data)).cause in ("too_large", "undecodable")


def test_no_other_file_is_opened(tmp_path: object) -> None:
    """A playlist, named as a video, is no video; libav is never asked to guess."""
    for text in (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n"):
        assert refused(text).cause == "unsupported"
        assert refused(b"\0\0\0\x10ftypisom\0\0\0\0" + text).cause == "undecodable"


@pytest.mark.parametrize(("format", "codec"), [("mp4", "libx264"), ("webm", "libvpx")])
def test_mutations_are_judged_or_refused(format: str, codec: str) -> None:
    whole = film(moving(2), format, codec)
    rng = np.random.default_rng(3)
    for _ in range(40):
        data = np.frombuffer(whole, np.uint8).copy()
        places = rng.integers(0, len(data), 12)
        data[places] = rng.integers(0, 256, 12, dtype=np.uint8)
        assert isinstance(decode(data.tobytes(), Bounds(4_000_000, 8, 3.0)), Decoded | Undecoded)


# -- in parts ----------------------------------------------------------------------------------------------------------


def noisy(seconds: float) -> Iterator[Image.Image]:
    """Hard to compress, as large videos are."""
    rng = np.random.default_rng(0)
    for picture in moving(seconds, 320, 240):
        grain = rng.integers(-40, 40, (240, 320, 3))
        yield Image.fromarray((np.asarray(picture, int) + grain).clip(0, 255).astype(np.uint8))


def large(format: str, codec: str = "libx264", **more: str) -> bytes:
    """30 seconds with the circle at 10, of some megabytes."""
    options = {"preset": "ultrafast", "crf": "20", "g": "20"} if codec == "libx264" else {"b": "8M", "g": "20"}
    return film(with_circle(noisy(30), 100, 120), format, codec, options=options, muxer=more)


def in_parts(data: bytes, first: int = 1 << 16) -> tuple[Decoded | Undecoded, int, int]:
    """What comes of it; bytes fetched and in how many rounds."""
    parts = Parts.of(len(data), [(0, data[:first])])
    for rounds in range(12):
        result = decode_parts(parts, BOUNDS)
        if not isinstance(result, Needs):
            return result, parts.known, rounds
        more = [(offset, data[offset : offset + length]) for offset, length in result.ranges]
        assert all(length > 0 and parts.missing(offset, length) for offset, length in result.ranges)
        parts = Parts.of(len(data), [*parts.pieces, *more])
    raise AssertionError("it asks for ever")


@pytest.mark.parametrize(
    ("format", "codec", "muxer"),
    [
        ("mp4", "libx264", {}),
        ("mp4", "libx264", {"movflags": "faststart"}),
        ("mov", "libx264", {}),
        ("webm", "libvpx", {}),
        ("matroska", "libx264", {}),
    ],
)
def test_key_frames_of_a_large_video_are_judged(format: str, codec: str, muxer: dict[str, str]) -> None:
    data = large(format, codec, **muxer)
    result, known, _ = in_parts(data)
    assert isinstance(result, Decoded), result
    assert at_red(result)
    assert all(10 <= at < 12 for at in at_red(result))
    assert 10 <= len(result.frames) <= BOUNDS.video_frames
    if format == "mp4":
        assert known < len(data) / 2


def test_a_large_video_without_an_index_is_too_large() -> None:
    data = large("mp4", movflags="frag_keyframe+empty_moov")
    parts = Parts.of(len(data), [(0, data[: 1 << 16])])
    for _ in range(4):
        result = decode_parts(parts, BOUNDS)
        assert isinstance(result, Needs)
        parts = Parts.of(len(data), [*parts.pieces, *((at, data[at : at + n]) for at, n in result.ranges)])


def test_an_index_that_does_not_reach_the_end_is_too_large() -> None:
    """What lies behind could be another video, for players that look for it there."""
    result, _, _ = in_parts(large("mp4", movflags="faststart") + bytes(8 << 20))
    assert isinstance(result, Undecoded)
    assert (result.cause, "no index" in result.message) == ("too_large", True)


def test_one_key_frame_is_not_enough_of_a_large_video() -> None:
    data = film(noisy(10), options={"preset": "ultrafast", "crf": "20", "g": "9999", "sc_threshold": "0"})
    result, _, _ = in_parts(data)
    assert isinstance(result, Undecoded)
    assert (result.cause, "fetched whole" in result.message) == ("too_large", True)


def test_only_videos_are_judged_in_parts() -> None:
    data = encode(textured(1))
    result = decode_parts(Parts.of(1 << 30, [(0, data)]), BOUNDS)
    assert isinstance(result, Undecoded)
    assert (result.cause, "image/png" in result.message) == ("too_large", True)
