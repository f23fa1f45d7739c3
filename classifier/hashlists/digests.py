"""The digests of a file's bytes by which lists know it."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Digests:
    """Hex digests, lower case. ``md5`` and ``sha1`` are None where no list was configured when they were computed."""

    sha256: str
    md5: str | None = None
    sha1: str | None = None

    @classmethod
    def of(cls, data: bytes, *, every: bool) -> "Digests":
        """Those of ``data``: all three, or SHA-256 alone. Blocks (some 1 ms a MiB for all three); the GIL is let go."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not every:
            return cls(sha256)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return cls(sha256, md5, hashlib.sha1(data, usedforsecurity=False).hexdigest())
