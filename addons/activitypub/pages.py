"""The preview images that an HTML page names, for whoever links to it: ``og:image`` and its relatives.

Servers read pages with parsers of many minds, so a page is read twice: once as HTML's own parser reads it, as far as
comments and the texts of scripts go, and once as if these were not there. Everything takes linear time on hostile pages
(see :mod:`addons.activitypub.text`).
"""

import codecs
import contextlib
import re
from collections.abc import Iterator

from addons.activitypub.text import attributes_of
from addons.activitypub.urls import fetchable

MOST = 4
"""Images taken of one reading of a page; servers take the first."""
_LONGEST_DATA = 1 << 20

# As in `text._TAG`: once a name stands there a tag never fails to match, so that nothing is scanned twice.
_TAG = re.compile(
    r"""<(meta|link|base)(?=[\s/>])((?:=\s*+"[^"]*+"|=\s*+'[^']*+'|[^>])*+)""",
    re.IGNORECASE,
)
_HIDDEN = re.compile(
    r"<!--|<(script|style|template|textarea|title|xmp|iframe|noembed|noframes)(?=[\s/>])", re.IGNORECASE
)
_ENDS = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE)
    for name in ("script", "style", "template", "textarea", "title", "xmp", "iframe", "noembed", "noframes")
}
_PROPERTIES = (
    "og:image",
    "og:image:url",
    "og:image:secure_url",
    "twitter:image",
    "twitter:image:src",
)
"""Of ``<meta property>`` or ``name``, in the order in which servers ask them; then ``<link rel=image_src>``."""

_CHARSET = re.compile(rb"""charset\s*+=\s*+["']?\s*+([a-z0-9_:.-]{2,40})""", re.IGNORECASE)
_SAID = re.compile(r"""charset\s*+=\s*+["']?\s*+([a-z0-9_:.-]{2,40})""", re.IGNORECASE)
_PRESCANNED = 4096
"""Bytes in which a page says its own charset; HTML's parser looks at 1024 of them."""
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Of https://encoding.spec.whatwg.org/. Python knows more (idna, zlib …) that are none, and slow on hostile bytes.
_READ = re.compile(
    r"utf-?8|utf-16(?:le|be)?|us-ascii|iso-?8859-\d{1,2}|latin-?1|windows-?125\d|cp125\d|koi8-[ru]|shift[_-]jis"
    r"|euc-(?:jp|kr)|gb2312|gbk|gb18030|big5|macintosh"
)


def preview_images(page: bytes, content_type: str, url: str, *, most: int = MOST) -> tuple[str, ...]:
    """The URLs of a page's preview images, those that most servers take first, each once; at most twice ``most``.

    ``content_type``: as the host says; ``url``: where the page lies, to which (or to its ``<base>``) relative URLs are
    relative. ``page`` may be cut off anywhere. Never raises.
    """
    found: dict[str, None] = {}
    text = _decoded(page, content_type)
    for reading in dict.fromkeys((_visible(text), text)):
        found.update(dict.fromkeys(_images(reading, url, most)))
    return tuple(found)


def _images(text: str, url: str, most: int) -> list[str]:
    named: dict[str, dict[str, None]] = {name: {} for name in (*_PROPERTIES, "image_src")}
    base: str | None = None
    for tag in _TAG.finditer(text):
        if "=" not in tag[2]:
            continue
        held = attributes_of(tag[2])
        name = tag[1].lower()
        if name == "base":
            base = base or held.get("href")
        elif name == "link" and "image_src" in held.get("rel", "").lower().split():
            _add(named["image_src"], held.get("href"), most)
        elif name == "meta":
            for key in ("property", "name", "itemprop"):
                if (said := held.get(key, "").strip().lower()) in named:
                    _add(named[said], held.get("content"), most)
    at = (fetchable(base, url) if base else None) or url
    # The first of each property before the second of any: servers differ in which they ask first.
    ordered = [url for rank in range(most) for urls in named.values() for url in list(urls)[rank : rank + 1]]
    whole = (fetchable(each, at) or fetchable(each, url) for each in ordered)
    return list(dict.fromkeys(each for each in whole if each and len(each) <= _LONGEST_DATA))[:most]


def _add(urls: dict[str, None], written: str | None, most: int) -> None:
    if written and written.strip() and len(urls) < most:
        urls[written] = None


def _visible(text: str) -> str:
    """``text`` without comments and the texts of elements whose tags are no tags; what never ends hides the rest."""
    return "".join(_visible_pieces(text))


def _visible_pieces(text: str) -> Iterator[str]:
    at = 0
    while (hidden := _HIDDEN.search(text, at)) is not None:
        yield text[at : hidden.start()]
        if hidden[1] is None:
            # "<!-->" is a comment already.
            end = text.find("-->", hidden.end() - 2)
            at = end + 3
        else:
            closing = _ENDS[hidden[1].lower()].search(text, hidden.end())
            end = closing.start() if closing else -1
            at = closing.end() if closing else 0
        if end < 0:
            return
    yield text[at:]


def _decoded(page: bytes, content_type: str) -> str:
    """The page as text: a byte order mark counts, then what the header says, then what the page says, else UTF-8.

    What was wrongly decoded as UTF-16 would hide everything, so that it counts only where it looks like it.
    """
    for mark, name in _MARKS:
        if page.startswith(mark):
            return page[len(mark) :].decode(name, "replace")
    if page[:2048].count(0) > len(page[:2048]) // 4:
        return page.decode("utf-16-be" if page[:1] == b"\0" else "utf-16-le", "replace")
    said = _SAID.search(content_type)
    told = _CHARSET.search(page[:_PRESCANNED])
    for name in (said[1] if said else "", told[1].decode("ascii") if told else ""):
        lower = name.lower()
        if _READ.fullmatch(lower) and not lower.startswith("utf-16"):
            with contextlib.suppress(LookupError):
                return page.decode(lower, "replace")
    return page.decode("utf-8", "replace")
