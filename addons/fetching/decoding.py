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
        # Until the first two bytes of a deflate body say which of its two forms it has, they are kept here.
        self._first = b""
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if self._name in ("gzip", "x-gzip") else None
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` decodes to, in pieces of at most ``PIECE`` bytes; each is only made when it is asked for.

        Raises:
            EncodingError: it is damaged, or goes on after its end.
        """
        if not self._name:
            if data:
                yield data
            return
        self._begun = self._begun or bool(data)
        if self._inflate is None:
            self._first += data
            if len(self._first) < 2:
                return
            self._inflate, data = zlib.decompressobj(_deflate_bits(self._first)), self._first
        full = False
        # zlib may have taken all that came in and still owe output: ask on while pieces come out full.
        while data or (full and not self._inflate.eof):
            if self._inflate.eof:
                raise EncodingError(f"the {self._name} body goes on after its end")
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                raise EncodingError(f"the {self._name} body is damaged") from error
            data = self._inflate.unconsumed_tail or self._inflate.unused_data
            full = len(piece) == PIECE
            if piece:
                yield piece

    def finish(self) -> None:
        """Say that the body is over.

        Raises:
            EncodingError: it is cut short.
        """
        if self._begun and self._name and (self._inflate is None or not self._inflate.eof):
            raise EncodingError(f"the {self._name} body is cut short")


def _deflate_bits(first: bytes) -> int:
    """zlib's window argument: a zlib header (RFC 1950 2.2) is told by its method and check bits, else it is raw."""
    zlib_header = first[0] & 0x0F == 8 and int.from_bytes(first[:2]) % 31 == 0
    return zlib.MAX_WBITS if zlib_header else -zlib.MAX_WBITS
