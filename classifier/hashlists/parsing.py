"""One line of a hash list, as CSV, JSON or a bare hash: the entry in it, or what is wrong with it."""

import csv
import re
from typing import NamedTuple

import msgspec

from classifier.hashlists.entries import DIGITS, KINDS, Kind

MAX_FIELD = 1_000
"""Characters of a source or a note."""

_HEX = re.compile(r"[0-9a-fA-F]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BOM = "\ufeff"
_BY_NAME: dict[str, Kind] = {kind: kind for kind in KINDS}


class Entry(NamedTuple):
    """One line of a list."""

    kind: Kind
    hash: bytes
    source: str = ""
    note: str = ""


class _Line(msgspec.Struct):
    """A line of JSON; other keys are of no interest."""

    hash: str
    kind: str = ""
    source: str = ""
    note: str = ""


def parse(raw: bytes, match: Kind | None = None) -> Entry | str | None:
    """The entry of a line, or what is wrong with it, or None where it says nothing (blank, a comment).

    ``match``: the kind of every line that names none.
    """
    try:
        line = raw.decode().removeprefix(_BOM).strip()
    except UnicodeDecodeError as error:
        return f"not UTF-8 text (byte {error.start + 1} of the line)"
    if not line or line.startswith("#"):
        return None
    return _json(line, match) if line.startswith("{") else _csv(line, match)


def is_header(raw: bytes) -> bool:
    """Whether the first line that says anything names columns."""
    return bool(re.match(rb'(?:\xef\xbb\xbf)?\s*"?(?:kind"?\s*,\s*"?hash|hash"?\s*(?:,|$))', raw, re.IGNORECASE))


def _json(line: str, match: Kind | None) -> Entry | str:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, RecursionError) as error:
        return f'not as expected ({error}): {{"kind": …, "hash": …, "source": …, "note": …}}'
    return entry_of(found.kind or match or "", found.hash, found.source, found.note)


def _csv(line: str, match: Kind | None) -> Entry | str:
    columns = "hash,source,note" if match else "kind,hash,source,note"
    try:
        (fields,) = csv.reader([line], strict=True)
    except (csv.Error, ValueError) as error:
        return f"not CSV ({error}); expected {columns}"
    fields = [field.strip() for field in fields]
    if match:
        if fields[0].lower() in KINDS:
            return f"expected {columns}, as the list has match: {match}, found {fields[0]!r}: take match: out"
        fields.insert(0, match)
    if not 2 <= len(fields) <= 4:
        found = f"expected {columns} (source and note may be left out), found {len(fields) - bool(match)} fields"
        bare = len(fields) == 1 and _HEX.fullmatch(fields[0])
        return f"{found}: for lines of bare hashes the list needs match: {' or '.join(KINDS)}" if bare else found
    return entry_of(*fields)


def entry_of(kind: str, digest: str, source: str = "", note: str = "") -> Entry | str:
    """The entry with these fields, or what is wrong with them; line feeds and the like become spaces."""
    known = _BY_NAME.get(kind) or _BY_NAME.get(kind.lower())
    if known is None:
        return f"expected the kind {', '.join(KINDS[:-1])} or {KINDS[-1]}, found {kind[:40]!r}"
    try:
        packed = bytes.fromhex(digest)
    except ValueError:
        packed = b""
    # Spaces between the digits pass bytes.fromhex.
    if len(digest) != DIGITS[known] or 2 * len(packed) != len(digest):
        found = f"found {digest[:80]!r} ({len(digest)} characters)"
        return f"expected a {known} hash of {DIGITS[known]} hex digits, {found}"
    if len(source) > MAX_FIELD or len(note) > MAX_FIELD:
        return f"source and note may have at most {MAX_FIELD} characters each"
    return Entry(known, packed, _told(source), _told(note))


def _told(text: str) -> str:
    return text if text.isprintable() else _CONTROL.sub(" ", text).strip()
