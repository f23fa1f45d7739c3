"""What judged deliveries carry: pictures that a policy forbids and others, their host, and the shapes around them."""

import asyncio
import base64
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pdqhash
from PIL import Image

from classifier.presets import shapes
from tests.addons.fetching.servers import answer as response
from tests.drawing import animation, encode, textured
from tests.e2e.peers import ACTOR
from tests.filming import RATE, film
from tests.net import Received
from tests.ranges import honest_answer

type Json = dict[str, object]

LARGEST = 2 << 20
"""Bytes of one body, as the configuration has it."""

CONFIG = """\
fetch: {{allow: [127.0.0.0/8], ports: [{port}], max_bytes: {largest}}}
budget: {budget}
ledger: {{url: "sqlite:///ledger.db"}}
"""
LISTS = """\
classifier:
  clip: null
  nudity: null
  decode: {processes: 1, seconds: 10}
  hashes: [{name: ours, file: ours.csv}, {name: theirs, file: theirs.csv}, {name: noted, file: noted.csv}]
rules:
  - {name: noted, when: {hash.noted: 1}, do: record}
  - {name: forbidden, when: {hash.ours: 1}, do: drop}
  - {name: refused, when: {hash.theirs: 1}, do: reject}
"""
MODEL = """\
classifier:
  clip: {model: fediward-tiny, pretrained: demo-shapes}
  nudity: null
  decode: {processes: 1, seconds: 10}
concepts: demo-shapes
rules:
  - {name: noted, when: {clip.yellow_star: ">0.8"}, do: record}
  - {name: forbidden, when: {clip.red_circle: ">0.8"}, do: drop}
  - {name: refused, when: {clip.blue_square: ">0.8"}, do: reject}
"""


@dataclass(frozen=True, slots=True)
class Palette:
    """What one way of judging calls forbidden (dropped), refused (rejected), noted (recorded) and fine."""

    config: str
    draw: Callable[[str, int], Image.Image]

    def png(self, what: str, seed: int = 0) -> bytes:
        """A picture as a PNG file. The forbidden, refused and noted ones are the same for every seed."""
        return encode(self.draw(what, seed))

    def jpeg(self, what: str) -> bytes:
        """The same picture as a JPEG file, whose SHA-256 is on no list."""
        return encode(self.draw(what, 0), "JPEG", quality=90)

    def late(self, what: str) -> bytes:
        """An animation of six frames whose last one is ``what``."""
        return animation([*(self.draw("fine", seed) for seed in range(5)), self.draw(what, 0)], duration=200)

    def video(self, what: str, seconds: int = 6, grain: int = 0) -> bytes:
        """An MP4 file of scenes of three seconds, and of ``what`` for one second that begins within the second one.

        With much ``grain`` (levels) it is large. Key frames stand where a scene begins, and at least every 3 s.
        """
        rng = np.random.default_rng(0)

        def frame(number: int) -> Image.Image:
            if 4 * RATE <= number < 5 * RATE:
                return self.draw(what, 0)
            pixels = np.asarray(self.draw("fine", 100 + number // (3 * RATE)), dtype=int)
            noise = rng.integers(-grain, grain + 1, pixels.shape)
            return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))

        options = {"preset": "veryfast", "crf": "18", "g": str(3 * RATE), "threads": "1"}
        return film(map(frame, range(seconds * RATE)), options=options)

    def write_lists(self, folder: Path) -> None:
        """The hash lists that the configuration names: SHA-256 of the files, and PDQ of the forbidden picture."""
        for name, what in {"ours": "forbidden", "theirs": "refused", "noted": "noted"}.items():
            lines = [f"sha256,{hashlib.sha256(self.png(what)).hexdigest()},tests,"]
            if what == "forbidden":
                lines.append(f"pdq,{pdq(self.draw(what, 0))},tests,drawn")
            (folder / f"{name}.csv").write_text("\n".join(lines))


def pdq(image: Image.Image) -> str:
    """The PDQ hash of a picture, 64 hex digits, as the library itself gives it."""
    bits, quality = pdqhash.compute(np.asarray(image.convert("RGB")))
    assert quality >= 50
    return np.packbits(bits).tobytes().hex()


def _textured(what: str, seed: int) -> Image.Image:
    return textured({"forbidden": 9001, "refused": 9002, "noted": 9003}.get(what, seed))


def _shaped(what: str, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed if what == "fine" else 7)
    match what:
        case "forbidden":
            return shapes.draw(*shapes.FORBIDDEN, size=160, background="plain", rng=rng)
        case "refused":
            return shapes.draw("blue", "square", size=160, background="plain", rng=rng)
        case "noted":
            return shapes.draw("yellow", "star", size=160, background="plain", rng=rng)
        case _:
            return shapes.draw_ordinary(size=160, kind="clouds", rng=rng)


BY_LISTS = Palette(LISTS, _textured)
BY_MODEL = Palette(MODEL, _shaped)


@dataclass(slots=True)
class PictureHost:
    """A remote host of media: what each path gives, one answer after the other, and how often it was asked for.

    An answer of None is never finished: its head comes, its body does not, unless ``release`` is set. ``by_range``
    holds files that are served whole or, where it is asked for, in parts.
    """

    palette: Palette
    port: int = 0
    answers: dict[str, list[bytes | None]] = field(default_factory=dict)
    by_range: dict[str, bytes] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    _count: int = 0

    async def __call__(self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = request.line.split()[1].decode()
        if path in self.by_range:
            self.asked[path] += 1
            body, headers, status = honest_answer(self.by_range[path], request.head + b"\r\n\r\n", "video/mp4")
            writer.write(response(body, status, headers))
            await writer.drain()
            return
        answers = self.answers[path]
        answer = answers[min(self.asked[path], len(answers) - 1)]
        self.asked[path] += 1
        if answer is None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 2000\r\n\r\n\x89PNG")
            await writer.drain()
            await self.release.wait()
        else:
            writer.write(answer)
            await writer.drain()

    def path(self, url: str) -> str:
        """The path of one of its URLs."""
        return url.removeprefix(f"http://127.0.0.1:{self.port}")

    def serve(self, *answers: bytes | None, suffix: str = ".png") -> str:
        """A new URL that gives these whole answers, the last one from then on."""
        self._count += 1
        path = f"/media/{self._count}{suffix}"
        self.answers[path] = list(answers)
        return f"http://127.0.0.1:{self.port}{path}"

    def parts(self, data: bytes) -> str:
        """A new URL of a video, of which parts are served where they are asked for."""
        url = self.serve(suffix=".mp4")
        self.by_range[self.path(url)] = data
        return url

    def picture(self, what: str, seed: int = 0) -> str:
        """A new URL of a picture."""
        return self.serve(file(self.palette.png(what, seed)))

    def moved(self, what: str) -> str:
        """A new URL that leads to a picture by way of two redirects."""
        url = self.picture(what)
        for status in (b"302 Found", b"301 Moved Permanently"):
            url = self.serve(b"HTTP/1.1 %b\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, url.encode()))
        return url


def file(data: bytes, kind: str = "image/png") -> bytes:
    """A whole answer with a file."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def note(*urls: str, **more: object) -> Json:
    """A Mastodon-like Note with pictures attached."""
    documents = [{"type": "Document", "mediaType": "image/png", "url": url} for url in urls]
    return {"type": "Note", "content": "<p>caf\xe9</p>", "attachment": documents, **more}


def video_note(url: str) -> Json:
    """A Mastodon-like Note with a video attached."""
    return note(attachment=[{"type": "Document", "mediaType": "video/mp4", "url": url}])


def _page(url: str) -> Json:
    page: Json = {"type": "Page", "name": "A post", "attachment": [{"type": "Link", "href": url}]}
    return {"type": "Create", "actor": ACTOR, "object": page}


def _video(url: str) -> Json:
    return {"type": "Video", "name": "How to draw", "icon": [{"type": "Image", "url": url, "mediaType": "image/jpeg"}]}


def _markdown(url: str) -> Json:
    text = f"Look: ![a cat]({url})"
    return {"type": "Page", "name": "A post", "source": {"content": text, "mediaType": "text/markdown"}}


# Where real servers put media (reference §4): an activity's type and, for a URL, its object.
SHAPES: dict[str, tuple[str, Callable[[str], Json]]] = {
    "attachment": ("Create", note),
    "bare string": ("Create", lambda url: {"type": "Note", "attachment": url}),
    "nested in an Announce": ("Announce", _page),
    "inline html": ("Create", lambda url: note(content=f'<p>Look: <img alt="" src="{url}"></p>')),
    "inline srcset": ("Create", lambda url: note(contentMap={"de": f'<img srcset="{url} 2x">'})),
    "markdown": ("Create", _markdown),
    "emoji": (
        "Create",
        lambda url: note(tag=[{"type": "Emoji", "name": ":hm:", "icon": {"type": "Image", "url": url}}]),
    ),
    "avatar": ("Update", lambda url: {"type": "Person", "id": ACTOR, "icon": {"type": "Image", "url": url}}),
    "banner list": ("Update", lambda url: {"type": "Group", "id": ACTOR, "image": [{"type": "Image", "url": url}]}),
    "video thumbnail": ("Announce", _video),
    "list of links": ("Create", lambda url: {"type": "Image", "url": [{"type": "Link", "href": url}]}),
}


def data_url(data: bytes) -> str:
    """The file inside a URL."""
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
