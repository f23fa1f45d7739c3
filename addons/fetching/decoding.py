"""Undoing a response's Content-Encoding piece by piece, so that a compressed bomb never swells in memory."""

import zlib
from collections.abc import Iterator

PIECE = 64 * 1024
"""The most bytes that come out at a time."""


class EncodingError(Exception):
    """The body is not what its Content-Encoding says, or has one that is not undone here."""


class Decoder:
    """One body's decoder: ``feed`` what comes in, then ``finish``.

    gzip (RFC 1952; one member, as every client reads it) and deflate (RFC 9110 8.4.1.2: zlib, or raw as some servers
    send it). Others are refused: we ask for none of them, and their libraries cannot be told how much to give.
    """

    def __init__(self, encoding: str) -> None:
        names = [name.strip().lower() for name in encoding.split(",") if name.strip().lower() not in ("", "identity")]
        if len(names) > 1 or (names and names[0] not in ("gzip", "x-gzip", "deflate")):
            raise EncodingError(f"the body is encoded as {encoding[:60]!r}, which was not asked for")
        self._name = names[0] if names else ""
        self._inflate = (
            None if not names else zlib.decompressobj(zlib.MAX_WBITS | (0 if self._name == "deflate" else 16))
        )
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` decodes to, in pieces of at most ``PIECE`` bytes; each is only made when it is asked for.

        Raises:
            EncodingError: it is damaged, or goes on after its end.
        """
        if self._inflate is None:
            if data:
                yield data
            return
        full = False
        # zlib may have taken all that came in and still owe output: ask on while pieces come out full.
        while data or (full and not self._inflate.eof):
            piece, data = self._step(data)
            full = len(piece) == PIECE
            if piece:
                yield piece

    def finish(self) -> None:
        """Say that the body is over.

        Raises:
            EncodingError: it is cut short.
        """
        if self._inflate is not None and self._begun and not self._inflate.eof:
            raise EncodingError(f"the {self._name} body is cut short")

    def _step(self, data: bytes) -> tuple[bytes, bytes]:
        assert self._inflate is not None
        if self._inflate.eof:
            raise EncodingError(f"the {self._name} body goes on after its end")
        try:
            piece = self._inflate.decompress(data, PIECE)
        except zlib.error as error:
            if self._name == "deflate" and not self._begun:
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
                self._begun = True
                return b"", data
            raise EncodingError(f"the {self._name} body is damaged") from error
        self._begun = True
        return piece, self._inflate.unconsumed_tail or self._inflate.unused_data
