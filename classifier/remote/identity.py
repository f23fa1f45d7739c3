"""What a door and its workers must have in common, so that a judgement means the same whoever gave it."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from classifier.detectors.nudity import SYMBOLS as NUDITY_SYMBOLS
from classifier.remote.messages import VERSION, Told
from classifier.settings import ClassifierSettings, Concept
from classifier.types import Detector

type Asked = Mapping[str, Mapping[str, str]]
"""By detector, what the configuration says that its scores hang on; device and precision are each machine's own."""


def asked(settings: ClassifierSettings, concepts: Mapping[str, Concept]) -> dict[str, dict[str, str]]:
    """What this machine's configuration asks for; no model is loaded for it."""
    found: dict[str, dict[str, str]] = {}
    if settings.nudity is not None:
        found["nudity"] = {}
    if (clip := settings.clip) is not None:
        # A checkpoint may lie elsewhere on another machine; whether it is the same shows in the detector's identity.
        pretrained = Path(clip.pretrained).name if os.sep in clip.pretrained else clip.pretrained
        meant = {name: concept.model_dump(mode="json") for name, concept in concepts.items()}
        found["clip"] = {
            "model": clip.model,
            "pretrained": pretrained,
            "coverage": clip.coverage,
            "concepts": _digest(meant),
        }
    return found


def symbols(settings: ClassifierSettings, concepts: Mapping[str, Concept]) -> dict[str, frozenset[str]]:
    """By detector, every symbol that it can give."""
    found: dict[str, frozenset[str]] = {}
    if settings.nudity is not None:
        found["nudity"] = NUDITY_SYMBOLS
    if settings.clip is not None:
        found["clip"] = frozenset(f"clip.{name}" for name in concepts)
    return found


def told(detectors: Sequence[Detector], asks: Asked) -> dict[str, Told]:
    """How a worker with these detectors announces itself."""
    return {
        detector.name: Told(
            asks=dict(asks[detector.name]),
            # A detector whose version changes with device or precision says beside it what does not.
            identity=getattr(detector, "identity", detector.version),
            input=detector.input,
            runs_on=getattr(detector, "runs_on", ""),
        )
        for detector in detectors
    }


def key(detectors: Mapping[str, Told]) -> str:
    """One word for all that must be equal: the subject on which such workers take jobs ends with it."""
    alike = {name: [one.asks, one.identity, one.input.as_json()] for name, one in detectors.items()}
    return _digest([VERSION, alike])


def differences(here: Asked, there: Mapping[str, Told]) -> list[str]:
    """What a worker has otherwise than this configuration, for a person."""
    found = [f"it has no detector {name}" for name in here if name not in there]
    found += [f"it has a detector {name}, which is off here" for name in there if name not in here]
    for name in here:
        ours, theirs = here[name], there[name].asks if name in there else here[name]
        for about in sorted(ours.keys() | theirs.keys()):
            if ours.get(about) != theirs.get(about):
                found.append(f"{name}.{about} is {theirs.get(about)} there, {ours.get(about)} here")
    return found


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
