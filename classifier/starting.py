"""Loads what the configuration's ``classifier:`` section names, and says all that is missing at once."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from classifier.detectors.nudity import NudityDetector
from classifier.hashlists import HashList, Lists
from classifier.lanes import Lanes
from classifier.media import MediaDecoder
from classifier.metrics import Metrics
from classifier.passes import ask_plain
from classifier.settings import ClassifierSettings, ClipSettings, Concept, NuditySettings
from classifier.types import Backend, CannotJudgeError, CannotStartError, Detector


@dataclass(frozen=True, slots=True)
class Parts:
    """All that an engine is made of, started and tried."""

    decoder: MediaDecoder
    backend: Backend
    lists: Lists


def load(settings: ClassifierSettings, concepts: Mapping[str, Concept], metrics: Metrics | None = None) -> Parts:
    """Start the decoding processes, load the lists and detectors. Blocks. Raises CannotStartError, a line a problem."""
    problems: list[str] = []
    names = Counter(chosen.name for chosen in settings.hashes)
    problems.extend(
        f"{count} hash lists are named {name}: give each a name of its own"
        for name, count in names.items()
        if count > 1
    )
    loaded = [_try(problems, HashList, chosen) for chosen in settings.hashes]
    lists = Lists([known for known in loaded if known is not None])
    backend = _try(problems, _backend, settings, concepts, metrics, problems)
    decoder = MediaDecoder(settings.decode, flips=lists.flips)
    _try(problems, decoder.warm_up)
    if problems or backend is None:
        decoder.stop()
        raise CannotStartError("\n".join(problems))
    return Parts(decoder, backend, lists)


def _backend(
    settings: ClassifierSettings, concepts: Mapping[str, Concept], metrics: Metrics | None, problems: list[str]
) -> Backend:
    """The detectors here, workers elsewhere, or both. For workers alone no detector is loaded."""
    if settings.workers is None:
        return Lanes(detectors(settings, concepts, problems), metrics)
    from classifier.remote.client import Workers
    from classifier.remote.fallback import Fallback

    if settings.workers.fallback == "none":
        return Workers(settings, settings.workers, concepts)
    local = detectors(settings, concepts, problems)
    return Fallback(Workers(settings, settings.workers, concepts, local), Lanes(local, metrics))


def detectors(
    settings: ClassifierSettings, concepts: Mapping[str, Concept], problems: list[str]
) -> tuple[Detector, ...]:
    """Load and try the detectors that are on. Blocks. What cannot be had is said in ``problems`` and left out."""
    found: list[Detector | None] = []
    if settings.nudity:
        found.append(_try(problems, _nudity, settings.nudity))
    if settings.clip:
        found.append(_try(problems, _clip, settings.clip, concepts))
    return tuple(one for one in found if one)


def _nudity(settings: NuditySettings) -> Detector:
    return tried(NudityDetector.load(settings))


def _clip(settings: ClipSettings, concepts: Mapping[str, Concept]) -> Detector:
    """Late, as torch takes seconds and hundreds of megabytes that a box without clip need not have."""
    try:
        from classifier.detectors.clip import ClipDetector
    except ImportError as error:
        raise CannotStartError(
            f"classifier.clip needs torch and open_clip, which are not here ({error}): install fediward[clip], "
            "or set clip to null"
        ) from error
    # Of one picture alone (a batch's are shared out, each to a thread that waits for nobody). With as many threads as
    # cores, torch waits on its own threads whenever anything else wants a core: two on two busy cores take three times
    # as long as one, measured.
    threads = settings.threads or max(1, len(os.sched_getaffinity(0)) - 1)
    return tried(ClipDetector.load(settings, concepts, threads=threads))


def tried(detector: Detector) -> Detector:
    """The detector, after it has judged a grey picture: what cannot work fails now, and the first file is not slow.

    Raises CannotStartError.
    """
    try:
        ask_plain(detector)
    except CannotJudgeError as error:
        raise CannotStartError(f"{error} (on a plain grey picture, tried at the start)") from error
    return detector


def _try[**P, T](problems: list[str], start: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    try:
        return start(*args, **kwargs)
    except CannotStartError as error:
        problems.append(str(error))
        return None
