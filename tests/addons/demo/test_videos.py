import io
import itertools

import av
import numpy as np
from PIL import Image

from addons.demo import videos


def test_a_video_has_each_of_its_frames_at_its_time() -> None:
    frames = [Image.new("RGB", videos.SIZE, (0, 20 * number, 0)) for number in range(12)]
    with av.open(io.BytesIO(videos.mp4(frames)), "r") as file:
        shown = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    assert [round(time * videos.RATE) for time, _ in shown if time is not None] == list(range(12))
    assert all(abs(int(pixels[60, 80, 1]) - 20 * number) < 12 for number, (_, pixels) in enumerate(shown))


def test_one_second_of_a_picture_replaces_as_many_frames() -> None:
    plain, other = (Image.new("RGB", videos.SIZE, colour) for colour in ("white", "black"))
    made = list(videos.with_one_second_of(other, [plain] * (videos.RATE * videos.SECONDS), 3))
    assert [frame is other for frame in made] == [False] * 30 + [True] * 10


def test_an_ordinary_video_moves_and_has_a_cut_in_its_middle() -> None:
    frames = [np.asarray(frame, dtype=int) for frame in videos.ordinary(np.random.default_rng(5))]
    assert {frame.shape for frame in frames} == {(120, 160, 3)}
    steps = [float(np.abs(after - before).mean()) for before, after in itertools.pairwise(frames)]
    assert len(frames) == videos.RATE * videos.SECONDS
    assert min(steps) > 0
    assert steps.index(max(steps)) == len(frames) // 2 - 1
