"""A response's body as it comes in: told by its first bytes what it is, then let go, or gathered to its end."""

import io
from enum import Enum, auto

from addons.fetching.budget import BudgetSpentError, Lease
from addons.fetching.decoding import Decoder, EncodingError
from addons.policy.words import Cause
from classifier.sniff import MAX_TEXT, UNKNOWN, Kind, sniff

FIRST = 8 << 10
"""Decoded bytes by which a body is told."""


class Step(Enum):
    """What comes next."""

    MORE = auto()
    """Wait for more."""
    STREAM = auto()
    """It is nothing to be looked at: let it go on as it comes."""
    WHOLE = auto()
    """All of it is there."""
    FAILED = auto()
    """It cannot be gathered: ``cause`` says why, or none does, where it is broken."""


class What(Enum):
    """What a body is."""

    MEDIA = auto()
    DOCUMENT = auto()


def tell(content_type: str, kind: Kind) -> What | None:
    """What a body is by its Content-Type and its first bytes; None: nothing that is looked at.

    A claim to be a picture or video is believed as much as bytes that are one: a server may go by either.
    """
    said = content_type.lower()
    if "image/" in said or "video/" in said:
        return What.MEDIA
    if kind.pillow or kind.video or kind.media_type.partition("/")[0] in ("image", "video", "audio"):
        return What.MEDIA
    if "json" in said or kind.media_type == "application/json":
        return What.DOCUMENT
    return None


class Reading:
    """One body. ``most``: bytes of media, as sent and decoded alike; ``most_document``: of JSON, None where it is let
    go as well. ``anything``: the server finds pictures behind whatever a file begins with, so that only what no picture
    can stand in, text, is let go, and that at its end.

    Everything kept counts against ``lease``, which is the caller's to release.
    """

    def __init__(
        self,
        content_type: str,
        encoding: str,
        length: int | None,
        *,
        lease: Lease,
        most: int,
        most_document: int | None,
        anything: bool = False,
    ) -> None:
        self.lease = lease
        self.what: What | None = None
        self.kind = UNKNOWN
        self.cause: Cause | None = None
        self.message = ""
        self._content_type, self._length = content_type, length
        self._most, self._most_document = most, most_document
        self._raw = io.BytesIO()
        self._rest = b""
        self._told = False
        self.anything, self._unsure = anything, False
        self._decoder: Decoder | None = None
        try:
            self._decoder = Decoder(encoding)
        except EncodingError as error:
            self.message = str(error)
        plain = encoding.strip().lower() in ("", "identity")
        self._decoded = self._raw if plain else io.BytesIO()

    @property
    def raw(self) -> bytes:
        """All bytes so far, as they were sent."""
        return self._raw.getvalue() + self._rest if self._rest else self._raw.getvalue()

    @property
    def decoded(self) -> bytes:
        """All bytes so far, their encoding undone."""
        return self._decoded.getvalue()

    def feed(self, data: bytes) -> Step:
        """The next bytes as they were sent."""
        self._rest = data
        if self._decoder is None:
            return Step.FAILED
        try:
            self.lease.grow(len(data))
            self._raw.write(data)
            self._rest = b""
            if self._decoded is not self._raw:
                for piece in self._decoder.feed(data):
                    self.lease.grow(len(piece))
                    self._decoded.write(piece)
                    if self._decoded.tell() > self._bound:
                        return self._too_large()
        except BudgetSpentError as error:
            return self._failed(Cause.BUSY, str(error))
        except EncodingError as error:
            return self._failed(None, str(error))
        if not self._told and self._decoded.tell() >= FIRST:
            return self._tell()
        return self._too_large() if self._raw.tell() > self._bound else Step.MORE

    def finish(self) -> Step:
        """That was all."""
        if self._decoder is None and self._raw.tell():
            return Step.FAILED
        if not self._raw.tell():
            return Step.STREAM
        try:
            if self._decoder:
                self._decoder.finish()
        except EncodingError as error:
            return self._failed(None, str(error))
        if not self._told and (step := self._tell()) is not Step.MORE:
            return step
        # A JPEG's header has zero bytes (the length of its frame header: ITU T.81, B.2.2), as videos have.
        return Step.STREAM if self._unsure and b"\0" not in self.decoded[:MAX_TEXT] else Step.WHOLE

    @property
    def _bound(self) -> int:
        return self._most_document or 0 if self.what is What.DOCUMENT else self._most

    def _tell(self) -> Step:
        self._told = True
        if self._decoded is not self._raw and tell("", sniff(self._raw.getvalue()[:FIRST])) is not None:
            # Who undoes no encoding, or not this one, would have another file than the one that is judged.
            return self._failed(None, "encoded, it is a picture or a document already")
        self.kind = sniff(self.decoded[:FIRST])
        self.what = tell(self._content_type, self.kind)
        if self.what is None and not self.decoded[:FIRST].removeprefix(b"\xef\xbb\xbf").strip():
            self.what = What.DOCUMENT  # nothing but space so far, behind which JSON may begin
        if self.what is What.DOCUMENT and self._most_document is None:
            self.what = None
        if self.what is None:
            if not self.anything:
                return Step.STREAM
            self.what, self._unsure = What.MEDIA, True
        longest = max(self._length or 0, self._raw.tell(), self._decoded.tell())
        return self._too_large() if longest > self._bound else Step.MORE

    def _too_large(self) -> Step:
        return self._failed(Cause.TOO_LARGE, f"more than {self._bound} bytes")

    def _failed(self, cause: Cause | None, message: str) -> Step:
        self.cause, self.message = cause, message
        return Step.FAILED
