"""Says what kind of file some bytes are by their content: a picture Pillow may open, or why it is not judged."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A file's kind. ``pillow`` is the one Pillow format that may open it; None: not judged, ``why`` says why."""

    media_type: str
    pillow: str | None = None
    why: str = ""


_JPEG = Kind("image/jpeg", "JPEG")
_PNG = Kind("image/png", "PNG")
_GIF = Kind("image/gif", "GIF")
_WEBP = Kind("image/webp", "WEBP")
_BMP = Kind("image/bmp", "BMP")
_TIFF = Kind("image/tiff", "TIFF")
_ICO = Kind("image/x-icon", "ICO")
_AVIF = Kind("image/avif", "AVIF")
_HEIC = Kind("image/heic", "HEIF")


def _video(media_type: str) -> Kind:
    return Kind(media_type, why="video is not judged in this version")


def _other(media_type: str, name: str) -> Kind:
    return Kind(media_type, why=f"{name} is not a kind of picture that is judged")


UNKNOWN = _other("application/octet-stream", "this file (its first bytes are of no known kind)")

_PREFIXES: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", _JPEG),
    (b"\x89PNG\r\n\x1a\n", _PNG),
    (b"GIF87a", _GIF),
    (b"GIF89a", _GIF),
    (b"BM", _BMP),
    (b"II*\x00", _TIFF),
    (b"MM\x00*", _TIFF),
    (b"II+\x00", _TIFF),
    (b"MM\x00+", _TIFF),
    (b"\x00\x00\x01\x00", _ICO),
    (b"\x00\x00\x02\x00", _ICO),
    (b"\x1aE\xdf\xa3", _video("video/webm")),
    (b"FLV\x01", _video("video/x-flv")),
    (b"\x00\x00\x01\xba", _video("video/mpeg")),
    (b"\x00\x00\x01\xb3", _video("video/mpeg")),
    (b"OggS", _video("video/ogg")),
    (b"%PDF-", _other("application/pdf", "PDF")),
    (b"\xff\x0a", _other("image/jxl", "JPEG XL")),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", _other("image/jxl", "JPEG XL")),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", _other("image/jp2", "JPEG 2000")),
    (b"\xff\x4f\xff\x51", _other("image/jp2", "JPEG 2000")),
    (b"8BPS", _other("image/vnd.adobe.photoshop", "PSD")),
    (b"ID3", _other("audio/mpeg", "audio")),
    (b"fLaC", _other("audio/flac", "audio")),
    (b"PK\x03\x04", _other("application/zip", "ZIP")),
    (b"\x1f\x8b", _other("application/gzip", "gzip")),
)

# ISO base media: what a file is stands in its brands (ISO/IEC 14496-12 §4.3; HEIF: ISO/IEC 23008-12; AVIF: av1-avif).
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_MAX_BRANDS = 64

_HEAD = 4096
_PAGE = frozenset({b"html", b"head", b"body", b"script"})
_HTML_DOCTYPE = re.compile(rb"<!doctype\s+html", re.IGNORECASE)
_MARKUP = re.compile(rb"<(\?xml|!doctype|html|head|body|script|svg|!--)", re.IGNORECASE)


def sniff(data: bytes) -> Kind:
    """The kind of ``data`` by its first bytes; never by name or header. Never raises."""
    for prefix, kind in _PREFIXES:
        if data.startswith(prefix):
            return kind
    if data[:4] == b"RIFF":
        riff = data[8:12]
        if riff == b"WEBP":
            return _WEBP
        return _video("video/x-msvideo") if riff == b"AVI " else UNKNOWN
    if data[4:8] == b"ftyp":
        return _iso(data)
    return _text(data[:_HEAD])


def _iso(data: bytes) -> Kind:
    size = min(int.from_bytes(data[:4], "big"), 16 + 4 * _MAX_BRANDS)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    # An AVIF file usually names the HEIF brands too, so it is asked for first.
    if brands & _AVIF_BRANDS:
        return _AVIF
    if brands & _HEIC_BRANDS:
        return _HEIC
    return _video("video/quicktime" if data[8:12] == b"qt  " else "video/mp4")


def _text(head: bytes) -> Kind:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x0c")
    if markup := _MARKUP.match(text):
        # A page may draw with <svg> in its head; only a document that is nothing but SVG is a picture.
        page = markup[1].lower() in _PAGE or _HTML_DOCTYPE.match(text)
        if not page and b"<svg" in text.lower():
            return _other("image/svg+xml", "SVG (a document, which each viewer draws in its own way)")
        return _other("text/xml", "XML") if markup[1] == b"?xml" else _other("text/html", "an HTML page")
    if text[:1] in (b"{", b"["):
        return _other("application/json", "JSON")
    if text and b"\x00" not in text and not re.search(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]", text):
        return _other("text/plain", "text")
    return UNKNOWN
