"""Says what kind of file some bytes are by their content: a picture Pillow may open, or why it is not judged."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A file's kind. ``pillow`` is the one Pillow format that may open it, ``video`` the one libav format.

    Neither: it is not judged, ``why`` says why. ``video`` and ``why``: a sound, in which only a cover can be judged.
    """

    media_type: str
    pillow: str | None = None
    why: str = ""
    video: str = ""


_JPEG = Kind("image/jpeg", "JPEG")
_PNG = Kind("image/png", "PNG")
_GIF = Kind("image/gif", "GIF")
_WEBP = Kind("image/webp", "WEBP")
_BMP = Kind("image/bmp", "BMP")
_TIFF = Kind("image/tiff", "TIFF")
_ICO = Kind("image/x-icon", "ICO")
_AVIF = Kind("image/avif", "AVIF")
_HEIC = Kind("image/heic", "HEIF")
_JXL = Kind("image/jxl", "JXL")


def _video(media_type: str, format: str) -> Kind:
    return Kind(media_type, video=format)


def _other(media_type: str, name: str) -> Kind:
    return Kind(media_type, why=f"{name} is not a kind of picture that is judged")


def _audio(media_type: str, format: str = "") -> Kind:
    return Kind(media_type, why="audio is not a kind of picture that is judged", video=format)


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
    (b"FLV\x01", _other("video/x-flv", "FLV")),
    (b"\x00\x00\x01\xba", _other("video/mpeg", "MPEG")),
    (b"\x00\x00\x01\xb3", _other("video/mpeg", "MPEG")),
    (b"%PDF-", _other("application/pdf", "PDF")),
    (b"\xff\x0a", _JXL),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", _JXL),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", _other("image/jp2", "JPEG 2000")),
    (b"\xff\x4f\xff\x51", _other("image/jp2", "JPEG 2000")),
    (b"8BPS", _other("image/vnd.adobe.photoshop", "PSD")),
    (b"ID3", _audio("audio/mpeg", "mp3")),
    *((bytes((0xFF, second)), _audio("audio/mpeg", "mp3")) for second in (0xFB, 0xFA, 0xF3, 0xF2)),
    *((bytes((0xFF, second)), _audio("audio/aac")) for second in (0xF1, 0xF9)),
    (b"fLaC", _audio("audio/flac", "flac")),
    (b"PK\x03\x04", _other("application/zip", "ZIP")),
    (b"\x1f\x8b", _other("application/gzip", "gzip")),
)

# ISO base media: what a file is stands in its brands (ISO/IEC 14496-12 §4.3; HEIF: ISO/IEC 23008-12; AVIF: av1-avif).
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_MAX_BRANDS = 64
_OGG_SOUNDS = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")
_OGG_VIDEOS = (b"theora", b"OVP80", b"BBCD\x00", b"fishead")
_OGG_HEAD = 64 << 10
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""Boxes that files older than ``ftyp`` begin with (QuickTime File Format, 2001)."""

MAX_TEXT = 1 << 20
"""Bytes of text that are looked through for SVG."""
_SVG = _other("image/svg+xml", "SVG (a document, which each viewer draws in its own way)")
_LONG_TEXT = _other("image/svg+xml", f"text of more than {MAX_TEXT} bytes, in which SVG can stand,")
_SPACE = re.compile(rb"[ \t\r\n\x0c]*")
_PAGE = re.compile(rb"<(html|head|body|script)[\s>/]", re.IGNORECASE)
_HTML_DOCTYPE = re.compile(rb"<!doctype\s+html\b", re.IGNORECASE)
# A whole one without declarations of its own.
_DOCTYPE = re.compile(rb"""<!doctype([^\[<>"']|"[^"]*"|'[^']*')*>""", re.IGNORECASE)
_MARKUP = re.compile(rb"<(!doctype|!--)", re.IGNORECASE)
# With any namespace prefix: `<s:svg xmlns:s=…>` is drawn too. No `<` in the prefix, so that the search stays linear.
_SVG_TAG = re.compile(rb"<([^\s<>/]*:)?svg\b", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
# Byte order marks, and `<` without one (XML 1.0, appendix F).
_UTF_16 = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"<\x00", "utf-16-le"), (b"\x00<", "utf-16-be"))


def media_type_of(data: bytes) -> str:
    """The media type of ``data`` by content, ``application/octet-stream`` where it is not known. Never raises."""
    return sniff(data).media_type


def sniff(data: bytes) -> Kind:
    """The kind of ``data`` by content; never by name or header. Never raises.

    Mostly the first bytes say it. Text is looked through for SVG up to ``MAX_TEXT`` bytes; longer text that is no HTML
    page and no JSON counts as SVG, since it could be. An HTML page with SVG in it is an HTML page.
    """
    for prefix, kind in _PREFIXES:
        if data.startswith(prefix):
            return kind
    if data[:4] == b"RIFF":
        riff = data[8:12]
        if riff == b"WEBP":
            return _WEBP
        if riff == b"WAVE":
            return _audio("audio/wav")
        return _other("video/x-msvideo", "AVI") if riff == b"AVI " else UNKNOWN
    if data[:4] == b"OggS":
        # Every stream is introduced at the start (RFC 3533 section 4): one that is no sound makes it a video.
        sound = any(name in data[:64] for name in _OGG_SOUNDS) and not any(n in data[:_OGG_HEAD] for n in _OGG_VIDEOS)
        return _audio("audio/ogg", "ogg") if sound else _video("video/ogg", "ogg")
    if data[4:8] == b"ftyp":
        return _iso(data)
    if data[:1] == b"\x00" and data[4:8] in _OLD_QUICKTIME:
        return _video("video/quicktime", "mov")
    if data[:4] == b"\x1aE\xdf\xa3":
        return _video("video/webm" if b"webm" in data[:64] else "video/x-matroska", "matroska")
    return _text(_utf_8(data[:MAX_TEXT]), whole=len(data) <= MAX_TEXT)


def _iso(data: bytes) -> Kind:
    size = min(int.from_bytes(data[:4], "big"), 16 + 4 * _MAX_BRANDS)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, size, 4))}
    # An AVIF file usually names the HEIF brands too, so it is asked for first.
    if brands & _AVIF_BRANDS:
        return _AVIF
    if brands & _HEIC_BRANDS:
        return _HEIC
    if data[8:12] in (b"M4A ", b"M4B ") and b"vide" not in data:
        return _audio("audio/mp4", "mov")  # no track's handler is "vide" (ISO/IEC 14496-12 section 8.4.3)
    return _video("video/quicktime" if data[8:12] == b"qt  " else "video/mp4", "mov")


def _utf_8(data: bytes) -> bytes:
    for mark, encoding in _UTF_16:
        if data.startswith(mark):
            return data.decode(encoding, "replace").removeprefix("\ufeff").encode("utf-8", "replace")
    return data.removeprefix(b"\xef\xbb\xbf")


def _text(text: bytes, *, whole: bool) -> Kind:
    at = _space(text, 0)
    declared = text.startswith(b"<?xml", at)
    root = _past_comments(text, at)
    page = _PAGE.match(text, root) or (not declared and _HTML_DOCTYPE.match(text, root))
    # To an XML parser, a document that declares itself XML is SVG by its root, whatever its doctype says.
    if not page and (doctype := _DOCTYPE.match(text, root)):
        page = _PAGE.match(text, _past_comments(text, doctype.end()))
    # Neither has zero bytes. Programs that find videos and JPEGs behind anything else (ffmpeg) need them.
    if page and b"\0" not in text:
        return _other("text/html", "an HTML page")
    if text[at : at + 1] in (b"{", b"[") and b"\0" not in text:
        return _other("application/json", "JSON")
    if _SVG_TAG.search(text):
        return _SVG
    if at == len(text) or _CONTROL.search(text):
        return UNKNOWN
    if not whole:
        return _LONG_TEXT
    if declared:
        return _other("text/xml", "XML")
    return _other("text/html", "an HTML page") if _MARKUP.match(text, at) else _other("text/plain", "text")


def _space(text: bytes, at: int) -> int:
    """Where the white space from ``at`` ends."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _past_comments(text: bytes, at: int) -> int:
    """Where the first thing from ``at`` stands that is no space, comment or processing instruction (XML 1.0, 2.5f)."""
    while True:
        at = _space(text, at)
        closing = b"-->" if text.startswith(b"<!--", at) else b"?>" if text.startswith(b"<?", at) else b""
        if not closing:
            return at
        # From behind the opening: `<!-->` closes a comment in HTML only.
        end = text.find(closing, at + (4 if closing == b"-->" else 2))
        if end < 0:
            return len(text)
        at = end + len(closing)
