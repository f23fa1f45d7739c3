"""What became of one delivery: the finding that decided, and all that is not as it should be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from addons.demo.arrivals import Arrival
from addons.demo.scenes import Scene
from addons.ledger.entry import Entry, EntryMedium
from addons.policy.words import Door

NOTHING = "nothing"

type Asked = Mapping[str, Sequence[str]]
"""A rule's name to the symbols that it asks."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One symbol with its score, where it stood: the medium counts from 1 among ``media``, ``frame`` from 0.

    ``frame`` is None where the medium has but one. ``at``: seconds into a video; ``reading``: which further picture of
    the file it is, "" for the file's own.
    """

    symbol: str
    score: float
    medium: int
    media: int
    frame: int | None
    cached: bool
    at: float | None = None
    reading: str = ""


def finding(entry: Entry, asked: Asked) -> Finding | None:
    """What decided: the deciding rule's highest symbol in the very medium and frame; where no rule decided, the
    highest of all. None where nothing was judged, or a cause decided."""
    media = {medium.index: medium for medium in entry.media}
    if entry.cause is not None:
        return None
    for hit in entry.hits:
        if entry.rule is not None and hit.rule == entry.rule and hit.action == entry.action and hit.medium in media:
            return _highest(entry, [media[hit.medium]], hit.frame, asked.get(entry.rule, ()))
    return _highest(entry, list(media.values()), None, ())


def _highest(entry: Entry, media: Sequence[EntryMedium], only: int | None, symbols: Sequence[str]) -> Finding | None:
    found = [
        Finding(
            name,
            score,
            medium.index + 1,
            entry.media_count,
            frame.index if len(medium.frames) > 1 else None,
            medium.cached,
            frame.at,
            frame.reading,
        )
        for medium in media
        for frame in medium.frames
        if only is None or frame.index == only
        for name, score in frame.symbols.items()
        if not symbols or name in symbols
    ]
    return max(found, key=lambda one: one.score, default=None)


@dataclass(frozen=True, slots=True)
class End:
    """How a hold ended, ``seconds`` after its delivery was sent: ``entry`` is of the judgement that ended it, if one
    did, and ``found`` what that found."""

    outcome: str
    seconds: float
    entry: Entry | None = None
    found: Finding | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one scene: the sender's answer after ``ms``, what the ledger says, what reached the server.

    ``changes`` names what reached the server otherwise than it was sent; ``end``: of what was held, None while it is.
    """

    scene: Scene
    status: int
    ms: float
    entry: Entry | None = None
    found: Finding | None = None
    arrivals: tuple[Arrival, ...] = ()
    changes: tuple[str, ...] = ()
    end: End | None = None

    @property
    def door(self) -> Door:
        """Where deliveries come in."""
        return "inbox"

    @property
    def who(self) -> str:
        """In whose shape it came."""
        return self.scene.software

    @property
    def carries(self) -> str:
        """What came, in words."""
        return self.scene.carries

    @property
    def got(self) -> str:
        """What reached the server, in words."""
        if not self.arrivals:
            return NOTHING
        newest = self.arrivals[-1]
        counts = {"picture": newest.pictures, "video": newest.videos}
        what = ", ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in counts.items() if count) or "words"
        times = f", {len(self.arrivals)} times" if len(self.arrivals) > 1 else ""
        return f"{what}, {intact(self.changes)}{times}"

    @property
    def action(self) -> str:
        """What was done at first; a delivery without media has no entry and passes."""
        return self.entry.action if self.entry else "pass"

    @property
    def decided(self) -> str | None:
        """The rule or cause that decided."""
        return (self.entry.rule or self.entry.cause) if self.entry else None

    @property
    def right(self) -> bool:
        """Whether all is as the scene asks for, and for the reason it asks for."""
        return not self.problems()

    def problems(self) -> list[str]:
        """All that is not as the scene asks for, in words."""
        scene = self.scene
        wanted = {
            "the answer": (self.status, scene.status),
            "the action": (self.action, scene.action),
            "what decided": (self.decided, scene.decided),
            "in the ledger": (self.entry is not None, scene.written),
            "how its hold ended": (self.end.outcome if self.end else None, scene.outcome),
            "what decided in the end": (self.end.entry.rule if self.end and self.end.entry else None, scene.ends),
            "times it reached the server": (len(self.arrivals), int(scene.arrives)),
        }
        problems = [f"{name}: {got}, not {asked}" for name, (got, asked) in wanted.items() if got != asked]
        problems += [f"its {change} reached the server changed" for change in self.changes]
        for arrival in self.arrivals:
            if arrival.pictures != scene.pictures:
                problems.append(f"pictures the server got: {arrival.pictures}, not {scene.pictures}")
            if arrival.videos != scene.videos:
                problems.append(f"videos the server got: {arrival.videos}, not {scene.videos}")
        if scene.within is not None and self.ms > 1000 * scene.within:
            problems.append(f"its sender waited {self.ms / 1000:.1f} s")
        if scene.cached and not (self.found and self.found.cached):
            problems.append("its picture was judged again")
        return problems


def intact(changes: Sequence[str]) -> str:
    """Whether it arrived as it was sent."""
    return f"CHANGED: {', '.join(changes)}" if changes else "intact"
