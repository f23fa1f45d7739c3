"""Everything that judges bytes: decoding, detectors, engine. It knows no HTTP, no ActivityPub and no policy."""

from classifier.parts import NeedsError, Parts
from classifier.sniff import media_type_of
from classifier.types import (
    CannotJudgeError,
    CannotStartError,
    Detector,
    FailureCause,
    HashMatch,
    JudgedFrame,
    Judgement,
    Symbols,
)

__all__ = [
    "CannotJudgeError",
    "CannotStartError",
    "Detector",
    "FailureCause",
    "HashMatch",
    "JudgedFrame",
    "Judgement",
    "NeedsError",
    "Parts",
    "Symbols",
    "media_type_of",
]
