"""What a local user's post, profile or form holds: its values, and the pictures that they name or carry. Pure."""

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from addons.activitypub.parsing import Cut, MalformedActivityError, Repeated, parse
from addons.activitypub.references import Kind, MediaRef
from addons.activitypub.text import find_urls, parsed_chars
from addons.activitypub.urls import fetchable
from addons.activitypub.vocabulary import kind_by_ending
from addons.doors.deliveries import unknown_charset
from addons.doors.multipart import MalformedFormError
from addons.policy.words import Cause
from classifier import media_type_of

MAX_BYTES = 16 << 20
"""Bytes of a body that is no multipart form: a picture of 10 MiB in base64, and more text than anybody posts."""
MAX_FIELDS = 1000
MAX_MARKDOWN = 100_000
"""Characters that are parsed as markdown; what is longer is searched by pattern, which misses nothing either."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{64}")
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/_-]+")
_HEAD = 512
"""Characters in which the beginning of base64 must stand, with whatever decoders skip (Ruby, PHP, Python)."""
_AFTER = re.compile(r"[a-z]{3,10}/[^,]{0,100};base64,", re.IGNORECASE)
"""Before the base64 of what lost the beginning of its data: URL."""
_WEAK = frozenset({"image/bmp", "image/jxl"})
"""Known by two bytes: words can begin so, unless nothing but base64 stands there."""
_DATA = re.compile(r"data:[^,]{0,200}?(?:base64|image/|video/)[^,]{0,200},", re.IGNORECASE)
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("avatar", re.compile("icon|avatar")),
    ("banner", re.compile("banner|header|cover|background")),
    ("thumbnail", re.compile("image|img|thumbnail|picture|photo|logo|file")),
    ("page", re.compile("url|uri|link|href|src")),
)
_WORDS = re.compile("alt|desc|caption|text|title|comment|status|content|body|bio|summary")
"""Keys of what is written for people, though they may also name a picture (``image_description``)."""
_NO_LETTERS = re.compile(r"[^a-z0-9]")
_SENSITIVE = frozenset({"sensitive", "nsfw", "issensitive", "isadult", "statussensitive"})
_TRUE = frozenset({"true", "1", "on", "yes", "t"})


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a form or JSON body, as text, under the nearest key above it."""

    key: str
    text: str


@dataclass(slots=True)
class Found:
    """What is to be judged: URLs, files that stood in text as base64; ``causes`` of the whole."""

    refs: dict[MediaRef, None] = field(default_factory=dict)
    files: list[bytes] = field(default_factory=list)
    causes: set[Cause] = field(default_factory=set)


def values_of(body: bytes, content_types: Sequence[str], query: str, *, depth: int, nodes: int) -> list[Value]:
    """The values of a body that is no multipart form, and of the query, which frameworks put beside them (Rails).

    By its type it is JSON or a form; one of another type or of none is read in every way that it can be. Raises
    MalformedFormError.
    """
    if len(content_types) > 1:
        raise MalformedFormError("there is more than one Content-Type")
    if body and (charset := unknown_charset(content_types)) and charset.lower() != "iso-8859-1":
        raise MalformedFormError("its charset is not UTF-8")  # body-parser (Express) would read UTF-16 and UTF-7
    said = content_types[0].lower() if content_types else ""
    values = list(_form(query.encode(), "query"))
    if not body:
        return values
    if "json" in said:
        return [*values, *_json(body, depth, nodes)]
    if "urlencoded" in said:
        return [*values, *_form(body, "body")]
    try:
        values += _json(body, depth, nodes)
    except MalformedFormError:
        values += [*_form(body, "body"), Value("", body.decode("utf-8", "replace"))]
    return values


def _form(body: bytes, where: str) -> Iterator[Value]:
    if not body:
        return
    try:
        pairs = parse_qsl(body, keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
    except ValueError:
        raise MalformedFormError(f"the {where} has more than {MAX_FIELDS} fields") from None
    for key, value in pairs:
        yield Value(key.decode("utf-8", "replace"), value.decode("utf-8", "replace"))


def _json(body: bytes, depth: int, nodes: int) -> Iterator[Value]:
    try:
        document = parse(body, max_depth=depth, max_nodes=nodes).document
    except MalformedActivityError:
        raise MalformedFormError("its body is not JSON") from None
    stack: list[tuple[str, object]] = [("", document)]
    while stack:
        key, value = stack.pop()
        if isinstance(value, Cut):
            raise MalformedFormError("its JSON is too large or too deep")
        if isinstance(value, dict):
            stack += [(name, each) for name, each in value.items()]
        elif isinstance(value, list | Repeated):
            stack += [(key, each) for each in (value.values if isinstance(value, Repeated) else value)]
        elif isinstance(value, str):
            yield Value(key, value)
        elif value is True:
            yield Value(key, "true")


def is_sensitive(values: Iterable[Value]) -> bool:
    """Whether it is marked as sensitive."""
    return any(_plain(value.key) in _SENSITIVE and value.text.strip().lower() in _TRUE for value in values)


def look(values: Sequence[Value], *, most: int, text: int) -> Found:
    """Which pictures ``values`` name or carry: ``most`` of them, in ``text`` characters beside base64; past either the
    cause is ``too_many`` or ``too_large``."""
    found, sensitive, markdown, chars = Found(), is_sensitive(values), 0, 0
    for value in values:
        if (file := _carried(value.text)) is not None:
            found.files.append(file)
            continue
        if (url := fetchable(value.text, None)) is not None and _is_url(url, value.key):
            refs: Iterable[MediaRef] = _named(url, value.key, sensitive)
        else:
            chars += len(value.text)
            if chars > text:
                found.causes.add(Cause.TOO_LARGE)
                break
            markdown += parsed_chars(value.text)
            refs = _in_text(value.text, sensitive, exact=markdown <= MAX_MARKDOWN)
        for ref in refs:
            if ref in found.refs:
                continue
            if len(found.refs) + len(found.files) >= most:
                found.causes.add(Cause.TOO_MANY)
                return found
            found.refs[ref] = None
    if len(found.refs) + len(found.files) > most:
        found.causes.add(Cause.TOO_MANY)
        del found.files[most:]
    return found


def _is_url(url: str, key: str) -> bool:
    """Whether a text that begins like a URL is one as a whole. Lenient parsers take spaces in it (Rust's ``url``), and
    decoders of base64 skip them."""
    if url[:5].lower() == "data:":
        return _DATA.match(url) is not None or not re.search(r"\s", url)
    if not re.search(r"\s", url):
        return True
    plain = _plain(key)
    return not _WORDS.search(plain) and any(pattern.search(plain) for _, pattern in _KINDS)


def _in_text(text: str, sensitive: bool, *, exact: bool) -> Iterator[MediaRef]:
    for each in find_urls(text, exact=exact):
        url = fetchable(each.url, None)
        if url is not None and (each.shown or kind_by_ending(url) in ("image", "video")):
            yield MediaRef(url, "inline", "", sensitive, linked=not each.shown)


def _named(url: str, key: str, sensitive: bool) -> Iterator[MediaRef]:
    """The reference that a whole URL is, by the key it stands under."""
    plain = _plain(key)
    kind: Kind | None = "image" if url[:5].lower() == "data:" else None
    kind = kind or next((kind for kind, pattern in _KINDS if pattern.search(plain)), None)
    if kind is not None:
        yield MediaRef(url, kind, "", sensitive)
    elif kind_by_ending(url) in ("image", "video"):
        yield MediaRef(url, "inline", "", sensitive, linked=True)


def _plain(key: str) -> str:
    return _NO_LETTERS.sub("", key[:200].lower())


def _carried(text: str) -> bytes | None:
    """The picture or video that ``text`` is, in base64 without more (data: URLs are judged as URLs).

    As the laxest decoders read it, which skip whatever is no base64.
    """
    if len(text) < 64:
        return None
    text = text[match.end() :] if (match := _AFTER.match(text)) else text
    head = _plain_base64(text[:_HEAD])[:64]
    if len(head) < 64:
        return None
    kind = media_type_of(base64.b64decode(head))
    if not is_shown(kind) or (kind in _WEAK and not _BASE64.match(text)):
        return None
    plain = _plain_base64(text)
    plain = plain[:-1] if len(plain) % 4 == 1 else plain  # six bits are no byte
    return base64.b64decode(plain + "=" * (-len(plain) % 4))


def _plain_base64(text: str) -> str:
    return _NO_BASE64.sub("", text).replace("-", "+").replace("_", "/")


def is_shown(media_type: str) -> bool:
    """Whether a file of this kind, by content, is a picture or video as bytes (SVG is text)."""
    return media_type.startswith(("image/", "video/")) and media_type != "image/svg+xml"
