"""Make text from outside safe: bounded and storable in any database, and harmless when printed on a terminal."""

import hashlib
import json
import re
import unicodedata

_DATA_URL = re.compile(r"\s*data:([^,;\s]{0,64})", re.IGNORECASE)
# Each is linear in the body's length: possessive, and a run can begin only where the one before it ended.
_DATA_BYTES = re.compile(rb"(data:[^,:\"\s]{0,256},)((?:[^\"\s\\]++|\\.)++)", re.IGNORECASE | re.DOTALL)
_MAYBE_RUN = re.compile(rb"(?<![A-Za-z0-9+/=_%\\-])[A-Za-z0-9+/=_%\\-]{1024,}+")
_RUN = re.compile(rb"(?:(?<!\\)\\++)?(?<![A-Za-z0-9+/=_%-])[A-Za-z0-9+/=_%-]{1024,}+")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def bounded(text: str, limit: int) -> str:
    """``text`` in at most ``limit`` characters, without what PostgreSQL refuses: NUL and lone surrogates."""
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    if text.isascii():
        return text.replace("\x00", "\ufffd")
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def bounded_url(url: str, limit: int) -> str:
    """A URL like :func:`bounded`, but of a ``data:`` URL only its type and length: its payload may be an image."""
    if found := _DATA_URL.match(url):
        return bounded(f"data:{found[1]},[{len(url)} characters not kept]", limit)
    return bounded(url, limit)


def key(text: str) -> str:
    """32 hex digits that stand for a long text in an index (PostgreSQL's index rows end at about 2,700 bytes)."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def without_payloads(body: bytes) -> bytes:
    """An activity's bytes without embedded files: fediward stores no image, not even inside a ``data:`` URL.

    Long runs of base64 go whatever stands before them, since JSON can spell ``data:`` in many ways.
    """
    body = _DATA_BYTES.sub(lambda found: found[1] + b"[%d bytes not kept]" % len(found[2]), body)
    return _MAYBE_RUN.sub(_without_runs, body)


def _without_runs(found: re.Match[bytes]) -> bytes:
    # JSON may write a slash with a backslash before it; after any other backslash no base64 goes on.
    plain, runs = _RUN.subn(lambda run: b"[%d bytes not kept]" % len(run[0]), found[0].replace(b"\\/", b"/"))
    return plain if runs else found[0]


def printable(text: str, *, keep: str = "") -> str:
    """``text`` with control, bidirectional and other unseen characters as ``\\u{…}``, so that it cannot act or lie."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"\\u{{{ord(char):x}}}" if unicodedata.category(char) in _HIDDEN and char not in keep else char for char in text
    )


def printable_json(value: object) -> str:
    """JSON on one line, in ASCII only, so that nothing in it can act on a terminal."""
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": ")).replace("\x7f", "\\u007f")


def printable_body(body: bytes) -> str:
    """A kept activity for a terminal: unseen characters become JSON's own escapes, so it stays the same JSON."""
    return "".join(
        json.dumps(char)[1:-1].replace("\x7f", "\\u007f")
        if unicodedata.category(char) in _HIDDEN and char not in "\n\t"
        else char
        for char in body.decode("utf-8", "replace")
    )
