"""The clip detector: an open_clip model scores each frame for concepts that are given in words."""

import hashlib
import json
from collections.abc import Mapping

import numpy as np

from classifier.inputs import InputSpec, Rows
from classifier.openclip.model import Embeddings, OpenClipModel
from classifier.settings import ClipSettings, Concept
from classifier.types import CannotJudgeError, CannotStartError

# Raise it when scores change for a reason that nothing else in the version shows.
_REVISION = 2


class ClipDetector:
    """Gives ``clip.<concept>`` for every concept: the softmax share of its prompts against its counter-prompts, or (for
    ``score: cosine``) the highest cosine of a prompt, 0 where all are negative.

    With ``whole``, all of a picture is seen, in several tiles where it is long; else what open_clip's own preparation
    keeps of it, which for most models is the middle square.
    """

    name = "clip"

    def __init__(self, model: OpenClipModel, concepts: Mapping[str, Concept], *, whole: bool = True) -> None:
        """Embed every prompt once. Raises CannotStartError without concepts, or for a prompt that is too long."""
        if not concepts:
            raise CannotStartError("the clip detector has no concept to look for; set concepts: or clip: null")
        phrases: list[str] = []
        self._shares: dict[str, tuple[slice, int]] = {}
        self._cosines: dict[str, slice] = {}
        for name, concept in concepts.items():
            if concept.score == "cosine":
                self._cosines[f"clip.{name}"] = slice(len(phrases), len(phrases) + len(concept.prompts))
                phrases.extend(concept.prompts)
                continue
            both = (*concept.prompts, *concept.against)
            self._shares[f"clip.{name}"] = (slice(len(phrases), len(phrases) + len(both)), len(concept.prompts))
            phrases.extend(both)
        self.model = model
        self.symbols = frozenset(self._shares) | frozenset(self._cosines)
        self.input = model.pixels.spec(whole=whole)
        self.batch, self.depth = model.batch, model.depth
        self.version = _version(model, concepts, self.input, model.precision)
        self.identity = _version(model, concepts, self.input, "any")
        """As ``version``, and the same on every device and in every precision."""
        self.runs_on = f"{model.device} in {model.precision}"
        self._words = model.scale * model.phrases(phrases).T.astype(np.float64)

    @classmethod
    def load(
        cls, settings: ClipSettings, concepts: Mapping[str, Concept], *, threads: int | None = None
    ) -> "ClipDetector":
        """Load the model from this machine's files; never downloads.

        ``settings.pretrained`` is a tag or the path of a checkpoint; concept names come without ``clip.``; ``threads``
        sets torch's CPU threads. Raises CannotStartError, saying what to do.
        """
        model = OpenClipModel.load(settings, threads=threads)
        found = cls(model, concepts, whole=settings.coverage == "whole")
        model.measure()
        found.batch = model.batch
        return found

    def judge(self, rows: Rows) -> list[dict[str, float]]:
        """Scores in 0…1 for each row, in order.

        Raises CannotJudgeError (``detector_error``) where the model gives no number: NaN would slip past every rule.
        """
        return self.score(self.model.rows(rows)) if len(rows) else []

    def score(self, embeddings: Embeddings) -> list[dict[str, float]]:
        """Scores of rows already embedded (``float32 [n, dimensions]``)."""
        logits = embeddings @ self._words
        if not np.isfinite(logits).all():
            raise CannotJudgeError("detector_error", f"{self.model.name} gave NaN for a picture")
        found: list[dict[str, float]] = [{} for _ in embeddings]
        for symbol, (part, own) in self._shares.items():
            powers = np.exp(logits[:, part] - logits[:, part].max(axis=1, keepdims=True))
            shares = powers[:, :own].sum(axis=1) / powers.sum(axis=1)
            for scores, share in zip(found, shares, strict=True):
                scores[symbol] = float(min(share, 1.0))
        for symbol, part in self._cosines.items():
            for scores, cosine in zip(found, logits[:, part].max(axis=1) / self.model.scale, strict=True):
                scores[symbol] = float(np.clip(cosine, 0.0, 1.0))
        return found


def _version(model: OpenClipModel, concepts: Mapping[str, Concept], spec: InputSpec, precision: str) -> str:
    """Name and a hash of all that a score depends on."""
    depends = {
        "revision": _REVISION,
        "model": model.name,
        "weights": model.weights_sha256,
        "precision": precision,
        "pixels": model.pixels.describe(),
        "input": spec.as_json(),
        "concepts": {name: concept.model_dump() for name, concept in concepts.items()},
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    return f"clip:{model.name}:{digest[:16]}"
