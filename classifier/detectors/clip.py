"""The clip detector: an open_clip model scores each frame for concepts that are given in words."""

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from classifier.openclip.model import Embeddings, OpenClipModel
from classifier.settings import ClipSettings, Concept
from classifier.types import CannotJudgeError, CannotStartError, Frame

# Raise it when scores change for a reason that nothing else in the version shows.
_REVISION = 1


class ClipDetector:
    """Gives ``clip.<concept>`` for every concept: the softmax share of its prompts against its counter-prompts.

    Pictures are prepared as open_clip prepares them for this model. For most models that is a crop of the middle
    square, so the sides of a wide picture, and top and bottom of a tall one, are not seen.
    """

    name = "clip"

    def __init__(self, model: OpenClipModel, concepts: Mapping[str, Concept]) -> None:
        """Embed every prompt once. Raises CannotStartError without concepts, or for a prompt that is too long."""
        if not concepts:
            raise CannotStartError("the clip detector has no concept to look for; set concepts: or clip: null")
        phrases: list[str] = []
        self._shares: dict[str, tuple[slice, int]] = {}
        for name, concept in concepts.items():
            both = (*concept.prompts, *concept.against)
            self._shares[f"clip.{name}"] = (slice(len(phrases), len(phrases) + len(both)), len(concept.prompts))
            phrases.extend(both)
        self.model = model
        self.symbols = frozenset(self._shares)
        self.version = _version(model, concepts)
        self._words = model.scale * model.phrases(phrases).T.astype(np.float64)

    @classmethod
    def load(
        cls, settings: ClipSettings, concepts: Mapping[str, Concept], *, threads: int | None = None
    ) -> "ClipDetector":
        """Load the model from this machine's files; never downloads.

        ``settings.pretrained`` is a tag or the path of a checkpoint; concept names come without ``clip.``; ``threads``
        sets torch's CPU threads. Raises CannotStartError, saying what to do.
        """
        return cls(OpenClipModel.load(settings, threads=threads), concepts)

    def judge(self, frames: Sequence[Frame]) -> list[dict[str, float]]:
        """Scores in 0…1 for each frame, in order.

        Raises CannotJudgeError (``detector_error``) where the model gives no number: NaN would slip past every rule.
        """
        return self.score(self.model.frames(frames)) if frames else []

    def score(self, embeddings: Embeddings) -> list[dict[str, float]]:
        """Scores of frames already embedded (``float32 [n, dimensions]``)."""
        logits = embeddings @ self._words
        if not np.isfinite(logits).all():
            raise CannotJudgeError("detector_error", f"{self.model.name} gave NaN for a frame")
        found: list[dict[str, float]] = [{} for _ in embeddings]
        for symbol, (part, own) in self._shares.items():
            powers = np.exp(logits[:, part] - logits[:, part].max(axis=1, keepdims=True))
            shares = powers[:, :own].sum(axis=1) / powers.sum(axis=1)
            for scores, share in zip(found, shares, strict=True):
                scores[symbol] = float(min(share, 1.0))
        return found


def _version(model: OpenClipModel, concepts: Mapping[str, Concept]) -> str:
    """Name and a hash of all that a score depends on."""
    depends = {
        "revision": _REVISION,
        "model": model.name,
        "weights": model.weights_sha256,
        "precision": model.precision,
        "pixels": model.pixels.describe(),
        "concepts": {name: concept.model_dump() for name, concept in concepts.items()},
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    return f"clip:{model.name}:{digest[:16]}"
