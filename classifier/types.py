"""The values the classifier takes and gives: frames, symbols, judgements, and why something could not be judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from classifier.inputs import InputSpec, Rows

type Symbols = Mapping[str, float]
"""Symbol name (``clip.minor``, ``nudity.explicit``, ``hash.ours``) to its score in 0…1."""

FailureCause = Literal["timeout", "no_worker", "busy", "undecodable", "unsupported", "too_large", "detector_error"]
"""The causes of DESIGN.md's list that judging bytes can end with."""


class CannotJudgeError(Exception):
    """These bytes could not be judged; ``cause`` is one of DESIGN.md's causes, the message is for a person.

    ``media_type`` is by content, where the cause is ``unsupported``; else empty.
    """

    def __init__(self, cause: FailureCause, message: str, media_type: str = "") -> None:
        super().__init__(message)
        self.cause: FailureCause = cause
        self.media_type = media_type


class CannotStartError(Exception):
    """A detector cannot be had as configured (no weights, bad checkpoint, no CUDA); the message says what to do."""


_HASHES_A_FRAME = 8


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """What was found in one frame.

    ``index`` counts from 0 in the file's own order; ``pdq`` is the frame's PDQ hash as 64 hex digits, or None where
    the picture is too flat for PDQ to say anything (quality < 50). ``at``: seconds into a video. ``reading``: which of
    a file's several readings it belongs to (``thumbnail``, say); "" is the file's own. ``flips``: the PDQ hashes of
    the frame mirrored, upside down and turned by 180°, where a hash list asks for them.
    """

    index: int
    symbols: Symbols
    pdq: str | None = None
    at: float | None = None
    reading: str = ""
    flips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FrameHash:
    """The PDQ hash (64 hex digits) of a frame of an animation that no detector looked at, only the hash lists.

    ``flips`` as in :class:`JudgedFrame`.
    """

    index: int
    pdq: str
    flips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HashMatch:
    """One entry of a hash list that a file or frame matched: ``distance`` bits from it, 0 for a file.

    ``frame``: the frame's index, None for the whole file; ``variant``: how the frame was turned or mirrored to match,
    empty where it matched as it is.
    """

    list: str
    kind: Literal["md5", "sha1", "sha256", "pdq"]
    entry: str
    distance: int
    source: str
    note: str
    frame: int | None = None
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """All symbols of one piece of media, frame by frame (never fewer than one frame).

    ``media_type`` is by content; ``version`` names every detector that judged, so that a cache can tell; ``matches``
    is filled by :meth:`classifier.engine.Engine.look_up` and is empty in what is cached. ``hashes`` are those of the
    frames that were not sampled; one that a list knows becomes a frame in ``look_up``. ``partial``: the caller's
    ``stop`` ended it before every detector had judged, so it must not be remembered.
    """

    sha256: str
    media_type: str
    width: int
    height: int
    frames: tuple[JudgedFrame, ...]
    version: str
    matches: tuple[HashMatch, ...] = field(default=())
    hashes: tuple[FrameHash, ...] = field(default=())
    partial: bool = False
    md5: str | None = None
    sha1: str | None = None

    @property
    def weight(self) -> int:
        """What it takes of memory, in frames (about two kilobytes each), for a cache's bound."""
        hashes = sum(1 + len(one.flips) for one in self.hashes)
        return len(self.frames) + -(-hashes // _HASHES_A_FRAME)

    def worst(self) -> dict[str, float]:
        """Every symbol with its highest score over the frames: for showing, never for rules."""
        worst: dict[str, float] = {}
        for frame in self.frames:
            for name, score in frame.symbols.items():
                worst[name] = max(score, worst.get(name, 0.0))
        return worst

    def with_lists(self, frames: Sequence[JudgedFrame], matches: Sequence[HashMatch]) -> "Judgement":
        """The same judgement with the hash lists' symbols and matches in it."""
        return replace(self, frames=tuple(frames), matches=tuple(matches))


class Detector(Protocol):
    """Something that gives symbols for tiles of frames. A new one is one new file in ``classifier/detectors``."""

    name: str
    """The key in the configuration's ``classifier:`` section."""
    version: str
    """Changes whenever a score could: model, weights, concepts, pre-processing."""
    symbols: frozenset[str]
    """Every symbol it can give."""
    input: InputSpec
    """How it wants its frames."""

    @property
    def batch(self) -> int:
        """Rows judged in one go at which it judges the most a second."""
        ...

    @property
    def depth(self) -> int:
        """Threads that may call ``judge`` at the same time with profit: 1 on a CPU."""
        ...

    def judge(self, rows: Rows) -> list[dict[str, float]]:
        """Symbols for each row, in order. Called in a thread, never on the event loop."""
        ...


class Guarding(Protocol):
    """What a :class:`classifier.breaker.Breaker` tells of itself."""

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Whether it lets files by."""
        ...

    @property
    def since(self) -> float:
        """When it came to that, in seconds on its clock."""
        ...

    def trouble(self) -> str:
        """Why it does not, for a person; empty if it does."""
        ...


class Backend(Protocol):
    """Where rows become symbols: detectors on this machine, or workers elsewhere."""

    @property
    def breakers(self) -> Mapping[str, Guarding]:
        """Around each detector here, by its name, and around the workers elsewhere (``workers``)."""
        ...

    @property
    def version(self) -> str:
        """Names every detector that judges."""
        ...

    @property
    def symbols(self) -> frozenset[str]:
        """Every symbol they can give."""
        ...

    @property
    def ahead(self) -> int:
        """Files that may be decoded and wait for it with profit: enough to keep it busy."""
        ...

    async def ready(self, timeout: float) -> Mapping[str, InputSpec]:
        """By detector, how it wants its frames. May wait for a worker. Raises CannotJudgeError: no_worker."""
        ...

    def expect(self, files: int) -> None:
        """Told whenever it changes: so many files are being decoded, whose rows may come soon."""
        ...

    async def judge(self, rows: Mapping[str, Rows], *, timeout: float) -> Mapping[str, Sequence[Symbols]]:
        """By detector, symbols for each of its rows.

        Raises CannotJudgeError: timeout, busy, no_worker, detector_error.
        """
        ...

    def trouble(self) -> str:
        """What is wrong with it now, for a person; empty if nothing."""
        ...

    async def unable(self) -> str:
        """Why it can judge nothing now, for a person; empty if it can."""
        ...

    @property
    def known(self) -> int | None:
        """Workers elsewhere that may judge; None where judging is done here alone."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...
