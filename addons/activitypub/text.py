"""URLs inside text: HTML, markdown, bbcode or plain, read in every syntax whose marks the text has.

A declared media type is not believed: text said to be HTML may be rendered as markdown by the next server, and the
other way round. Everything here takes linear time on hostile text, which is why HTML is not given to a tree builder
(selectolax's needs 200 s for 1 MiB of nested ``<div>``): what counts is which tags stand there, not how they nest.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token

_MARKDOWN_MAX_BRACKETS = 400
"""Past that, markdown is searched by pattern only: markdown-it takes a second for 16,000 brackets."""


@dataclass(frozen=True, slots=True)
class Found:
    """One URL in a text: ``shown`` where it is an image or the like, else a link; ``mention`` where it names a person
    or hashtag, whose page no server previews."""

    url: str
    shown: bool
    mention: bool = False


_MARKS = re.compile(r"://|[<\[]|data:", re.IGNORECASE)
_MARKDOWN = re.compile(r"\]\(|\]:|<https?:", re.IGNORECASE)
_BBCODE = re.compile(r"\[(?:img|video|audio|media|attachment|share)\b", re.IGNORECASE)


def parsed_chars(text: str) -> int:
    """How many characters ``find_urls`` has to parse as markdown: twice the text's where its character references
    hide other marks than those that stand there."""
    told = unescape(text)
    return sum(len(each) for each in dict.fromkeys((text, told)) if _MARKDOWN.search(each))


def find_urls(text: str, *, exact: bool = True) -> Iterator[Found]:
    """Every URL in ``text`` as it stands there, relative ones of tags and markdown too; repeats are not removed.

    Parsing markdown takes up to 5 µs a character. Without ``exact`` it is searched by pattern only: nothing is
    missed, but where there is an image, links between brackets are taken for images too.
    """
    told = unescape(text)
    if not _MARKS.search(told):
        return
    plain = text
    if "<" in text:
        pieces: list[str] = []
        yield from _in_html(text, pieces)
        plain = "\n".join(pieces)
    if _BBCODE.search(text):
        yield from _in_bbcode(text)
        plain = _CARD_NOISE.sub(" ", plain)
    if _MARKDOWN.search(text):
        yield from _in_markdown(text, plain, exact)
    else:
        yield from _bare(plain)
    if told != text:
        # A server that makes markdown or bbcode of HTML reads marks that are written as character references.
        yield from _in_bbcode(told)
        if _MARKDOWN.search(told):
            yield from _in_markdown(told, "", exact)
        if plain is text:
            yield from _bare(told)


# What HTML can read as a character reference; https://html.spec.whatwg.org/#character-reference-state
_REFERENCE = re.compile(r"&(?:#x[0-9a-f]++|#[0-9]++|[a-z][a-z0-9]{1,31}+);?", re.IGNORECASE)
_LONGEST_REFERENCE = 40
"""Numbers alone are longer, and Python refuses to read those of over 4300 digits."""


def unescape(text: str) -> str:
    """``text`` with its character references decoded."""
    return _REFERENCE.sub(_decode, text) if "&" in text else text


def _decode(reference: re.Match[str]) -> str:
    written = reference[0]
    if len(written) > _LONGEST_REFERENCE:
        mark = written[:3] if written[2] in "xX" else written[:2]
        # Eight digits are past the last character already.
        digits = written[len(mark) :].rstrip(";").lstrip("0")[:8]
        written = f"{mark}{digits or '0'};"
    return _character(written)


@lru_cache(maxsize=1024)
def _character(reference: str) -> str:
    return html.unescape(reference)


# A bare URL in running text: brackets only in pairs, as autolinkers do.
_BARE = re.compile(
    r"""https?://(?:[^\s<>"`{}|\\^()\[\]]|\([^\s()<>\[\]]*+\)|\[(?!/)[^\s\[\]()<>]*+\])++""", re.IGNORECASE
)


def _bare(text: str) -> Iterator[Found]:
    if "://" in text:
        for match in _BARE.finditer(text):
            yield Found(match[0].rstrip(".,;:!?'\"*_~"), shown=False)


# --- HTML -----------------------------------------------------------------------------------------------------------
# A tag never fails to match once its name stands there, so nothing is scanned twice.
_TAG = re.compile(r"""<(/?)([a-z][^\s/>]*+)((?:=\s*+"[^"]*+"|=\s*+'[^']*+'|[^>])*+)""", re.IGNORECASE)
# Media tags once more, wherever they stand: parsers disagree on quotes, comments and <textarea>.
_MEDIA_TAG = re.compile(r"<(img|image|feimage|source|video|audio|embed|object|input)(?=[\s/])([^<>]*+)", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]++)(?:\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s>]++))?""")
_STYLE_URL = re.compile(r"""url\(\s*+["']?([^"')\s]++)|["']((?:https?:)?//[^"'\s]++)""", re.IGNORECASE)
"""What a style shows: ``url(…)``, and strings that are URLs as in ``image-set('…' 1x)``."""
_STYLE_ESCAPE = re.compile(r"\\(?:([0-9a-f]{1,6})\s?|([^\n]))", re.IGNORECASE)
_MENTION = re.compile(r"(?:^|\s)(?:u-url|h-card|mention|hashtag)(?:$|\s)")
_SHOWN_BY = {
    "img": ("src", "srcset", "data-src", "data-srcset", "data-lazy-src"),
    "image": ("src", "href", "xlink:href"),
    "feimage": ("href", "xlink:href"),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "input": ("src",),
}


def _in_html(text: str, pieces: list[str]) -> Iterator[Found]:
    """URLs in tags; ``pieces`` receives the text outside tags and links."""
    end = 0
    linked = False
    for tag in _TAG.finditer(text):
        if not linked:
            pieces.append(unescape(text[end : tag.start()]))
        end = tag.end()
        closed = text.startswith(">", end)
        end += closed
        name = tag[2].lower()
        if tag[1]:
            linked = linked and name != "a"
        elif "=" in tag[3]:
            attributes = attributes_of(tag[3])
            yield from _shown(name, attributes)
            # A tag that the text ends in is dropped by every parser; only media is taken from it, in doubt.
            href = attributes.get("href") if closed else None
            if href and name in ("a", "area"):
                linked = linked or name == "a"
                mention = bool(_MENTION.search(attributes.get("class", "")))
                yield Found(href, shown=False, mention=mention or "tag" in attributes.get("rel", "").split())
            elif name == "iframe" and attributes.get("src"):
                yield Found(attributes["src"], shown=False)
    if not linked:
        pieces.append(unescape(text[end:]))
    for media in _MEDIA_TAG.finditer(text):
        yield from _shown(media[1].lower(), attributes_of(media[2]))


def attributes_of(text: str) -> dict[str, str]:
    """Attribute names in lower case to their values, the first of repeated ones, as HTML's parser keeps it."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text):
        if match[2]:
            quote = match[2][0] if match[2][0] in "\"'" else ""
            value = match[2].removeprefix(quote).removesuffix(quote) if quote else match[2]
            found.setdefault(match[1].lower(), unescape(value))
    return found


def _shown(name: str, attributes: dict[str, str]) -> Iterator[Found]:
    for key in _SHOWN_BY.get(name, ()):
        value = attributes.get(key)
        if value:
            for url in _srcset(value) if key.endswith("srcset") else (value,):
                yield Found(url, shown=True)
    if "background" in attributes:
        yield Found(attributes["background"], shown=True)
    if "(" in attributes.get("style", ""):
        for match in _STYLE_URL.finditer(_STYLE_ESCAPE.sub(_of_style, attributes["style"])):
            yield Found(match[1] or match[2], shown=True)
    for media in _MEDIA_TAG.finditer(attributes.get("srcdoc", "")):
        yield from _shown(media[1].lower(), attributes_of(media[2]))


def _of_style(escape: re.Match[str]) -> str:
    """https://drafts.csswg.org/css-syntax/#consume-escaped-code-point"""
    if escape[2]:
        return escape[2]
    code = int(escape[1], 16)
    return chr(code) if 0 < code <= 0x10FFFF else "\ufffd"


# https://html.spec.whatwg.org/#parsing-a-srcset-attribute
_CANDIDATE = re.compile(r"([^\s,]\S*?)(?:,(?=\s|$)|\s[^,]*+(?:,|$)|$)")


def _srcset(value: str) -> Iterator[str]:
    for match in _CANDIDATE.finditer(value):
        yield match[1].rstrip(",")


# --- markdown -------------------------------------------------------------------------------------------------------
_DESTINATION = r"\(\s*+<?((?:[^\s()<>\\]|\\.|\([^\s()<>]*+\))++)"
_IMAGE = re.compile(r"!\[(?:[^\[\]]|\[[^\[\]]*+\])*+\]" + _DESTINATION)
_ANY_LINK = re.compile(r"\]" + _DESTINATION)
_DEFINITION = re.compile(r"\]:\s*+<?([^\s<>]++)")
_AUTOLINK = re.compile(r"<(https?:[^<>\s]++)>", re.IGNORECASE)
_MARGIN = re.compile(r"^(?:[ \t>]|[-+*][ \t]|[0-9]{1,9}[.)][ \t])++", re.MULTILINE)
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


class _AsWritten(MarkdownIt):
    """CommonMark whose URLs stay as they were written, with no scheme refused: judging that is not its part."""

    def normalizeLink(self, url: str) -> str:
        return url

    def validateLink(self, url: str) -> bool:
        return True


@cache
def _markdown() -> MarkdownIt:
    # Only paragraphs and definitions: blocks say nothing of URLs, and lines after nested quotes take quadratic time.
    # The preset's own nesting bound of 20 would hide what stands deeper in brackets.
    blocks = ["blockquote", "code", "fence", "heading", "hr", "html_block", "lheading", "list"]
    return _AsWritten("commonmark", {"maxNesting": 200}).disable(blocks)


def _in_markdown(text: str, plain: str, exact: bool) -> Iterator[Found]:
    """Images and links of markdown ``text``; ``plain`` is the same without HTML tags."""
    for match in _IMAGE.finditer(text):
        yield Found(_destination(match[1]), shown=True)
    if exact and text.count("[") <= _MARKDOWN_MAX_BRACKETS:
        for token in _markdown().parse(_MARGIN.sub("", text)):
            yield from _of_token(token)
        if plain is not text:
            # What markdown takes for a block of HTML it does not look into; others may.
            for match in _ANY_LINK.finditer(plain):
                yield Found(_destination(match[1]), shown=False)
            yield from _bare(_ANY_LINK.sub(" ", plain))
        return
    # Too much for a parser: which brackets are an image's is not known, so all are where there is one.
    shown = "![" in text
    for pattern in (_ANY_LINK, _DEFINITION):
        for match in pattern.finditer(text):
            yield Found(_destination(match[1]), shown=shown)
    for match in _AUTOLINK.finditer(text):
        # It looks like a tag, and is not in ``plain``.
        yield Found(_destination(match[1]), shown=False)
    yield from _bare(_ANY_LINK.sub(" ", plain))


def _of_token(token: Token) -> Iterator[Found]:
    linked = 0
    for child in token.children or ():
        if child.type == "image":
            yield Found(str(child.attrs.get("src", "")), shown=True)
        elif child.type == "link_open":
            linked += 1
            yield Found(str(child.attrs.get("href", "")), shown=False)
        elif child.type == "link_close":
            linked -= 1
        elif not linked and child.type in ("text", "code_inline"):
            yield from _bare(child.content)


def _destination(written: str) -> str:
    return unescape(_ESCAPED.sub(r"\1", written))


# --- bbcode (Friendica reads its own source again) -------------------------------------------------------------------
_BBCODE_SHOWN = re.compile(r"\[(?:img|video|audio|media)(?:=([^\[\]\s]*+))?[^\[\]]*+\]\s*+([^\[\]\s]*+)", re.IGNORECASE)
_BBCODE_CARD = re.compile(r"\[(?:attachment|share)\b([^\[\]]*+)\]", re.IGNORECASE)
_CARD_VALUE = re.compile(r"\b(url|link|image|preview|avatar)='([^']++)'")
_CARD_NOISE = re.compile(r"\b(?:(?:publisher|author)_(?:url|img)|profile)='[^']*+'")
"""Links of a card that nobody previews or shows."""


def _in_bbcode(text: str) -> Iterator[Found]:
    for match in _BBCODE_SHOWN.finditer(text):
        for url in (match[1], match[2]):
            if url and "/" in url:
                yield Found(url, shown=True)
    for card in _BBCODE_CARD.finditer(text):
        for name, url in _CARD_VALUE.findall(card[1]):
            yield Found(unescape(url), shown=name in ("image", "preview", "avatar"))
