"""What an admin may set about judging: the ``classifier:`` and ``concepts:`` sections of the configuration, typed."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

type ConceptName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
type Prompt = Annotated[str, Field(min_length=1, max_length=300)]


class Settings(BaseModel):
    """Base of every settings model: unknown keys are errors, values cannot be changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Concept(Settings):
    """One thing clip looks for.

    ``share``: scored by the softmax share of ``prompts`` against ``against``; ``cosine``: by the plain cosine of the
    prompt that is nearest, as other tools do it (then there is no ``against``; ordinary values lie around 0.2).
    """

    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1, max_length=64)]
    score: Literal["share", "cosine"] = "share"
    against: Annotated[tuple[Prompt, ...], Field(max_length=64, validate_default=True)] = ()

    @field_validator("against")
    @classmethod
    def _only_for_a_share(cls, against: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        score = info.data.get("score", "share")
        if score == "share" and not against:
            raise PydanticCustomError("missing", "phrases to weigh the prompts against")
        if score == "cosine" and against:
            raise PydanticCustomError("too_long", "a plain cosine is weighed against nothing", {"max_length": 0})
        return against


class ClipSettings(Settings):
    """The open_clip model: any ``model``/``pretrained`` that open_clip takes, or a local checkpoint's path.

    ``coverage``: ``whole``: all of a picture is seen, in tiles where it is long; ``centre``: the crop of the middle
    that open_clip itself makes, as other tools do.
    ``precision``: auto: fp16 on a GPU; on a CPU bf16 for ViTs where it computes that (AVX512_BF16, AMX), else fp32.
    ``threads``: CPU threads that share the rows of a batch; None: one a core.
    ``model: fediward-tiny`` with ``pretrained: demo-shapes`` is the tiny model shipped with fediward.
    """

    model: str = "ViT-L-14"
    pretrained: str = "openai"
    device: str = "auto"
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    coverage: Literal["whole", "centre"] = "whole"
    threads: Annotated[int, Field(ge=1, le=256)] | None = None


class NuditySettings(Settings):
    """NudeNet's detector: it has nothing to set beside how many CPU threads it takes."""

    threads: Annotated[int, Field(ge=1, le=256)] | None = None


class HashListSettings(Settings):
    """One list of known hashes; its symbol is ``hash.<name>``, or ``allow.<name>`` where it is an allow list.

    ``match``: the kind of hash in lines that name none; None: each line names its own. ``distance``: PDQ bits that may
    differ, inclusive. ``variants``: rotated and mirrored pictures match too. ``allow``: what matches passes.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)]
    file: Path
    match: Literal["md5", "sha1", "sha256", "pdq"] | None = None
    distance: Annotated[int, Field(ge=0, le=64)] | None = None
    variants: bool = False
    allow: bool = False

    @property
    def bits(self) -> int:
        """PDQ bits that may differ: 31, as PDQ's authors advise; in an allow list none, since it lets by."""
        if self.distance is not None:
            return self.distance
        return 0 if self.allow else 31


class DecodeSettings(Settings):
    """Bounds on decoding, each file in a process of its own pool: seconds, bytes, pixels a frame, frames of an
    animation and of a video."""

    processes: Annotated[int, Field(ge=1, le=64)] | None = None
    seconds: Annotated[float, Field(gt=0, le=60)] = 3.0
    memory: Annotated[int, Field(ge=64 << 20)] = 1 << 30
    pixels: Annotated[int, Field(ge=1)] = 64_000_000
    frames: Annotated[int, Field(ge=1, le=64)] = 8
    video_frames: Annotated[int, Field(ge=1, le=64)] = 16


class TlsSettings(Settings):
    """PEM files: ``ca`` instead of the system's authorities; ``cert`` and ``key`` to show who we are."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class WorkersSettings(Settings):
    """Workers on other machines, met at a NATS server.

    ``nats``: URLs (``nats://`` or ``tls://``), which may hold a secret: never shown. ``tls``: encrypted even where the
    URL does not say so. ``nkey``, ``creds``: files that prove who we are. ``fallback``: who judges where no worker is
    there. ``subject``: the first word of every subject, so that two sites can share a server.
    """

    nats: Annotated[tuple[str, ...], Field(min_length=1, max_length=16, repr=False)]
    tls: TlsSettings | None = None
    nkey: Path | None = None
    creds: Path | None = None
    fallback: Literal["none", "local"] = "none"
    subject: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64)] = "fediward"


class ClassifierSettings(Settings):
    """Which detectors judge, and with what. A detector set to null is off. ``workers``: None is this machine."""

    clip: ClipSettings | None = ClipSettings()
    nudity: NuditySettings | None = NuditySettings()
    hashes: tuple[HashListSettings, ...] = ()
    decode: DecodeSettings = DecodeSettings()
    queue: Annotated[int, Field(ge=1, le=100_000)] = 256
    workers: WorkersSettings | None = None
