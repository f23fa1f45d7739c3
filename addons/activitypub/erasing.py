"""Takes URLs out of a text: HTML, markdown, bbcode or plain, whatever :func:`addons.activitypub.text.find_urls` reads.

Common marks are taken out with their URL, so that the text still reads well. Where that does not do, the URL goes as it
is written; where that does not do either, the text.
"""

import html
import re
from collections.abc import Callable

from addons.activitypub.text import find_urls, unescape

type Offends = Callable[[str], bool]
"""Whether a URL, as a text has it, is one of those to go."""


def erase(text: str, offends: Offends) -> str:
    """``text`` without the URLs that ``offends`` names, in time linear in its length."""
    for step in (_neatly, _bluntly):
        if not found_in(text, offends):
            return text
        text = step(text, offends)
    return "" if found_in(text, offends) else text


def found_in(text: str, offends: Offends) -> list[str]:
    """The offending URLs in ``text``, as they are written there."""
    # By pattern, which misses nothing: a document may have many texts, and parsing them takes a hundred times as long.
    found = dict.fromkeys(one.url for one in find_urls(text, exact=False))
    return [url for url in found if offends(url)]


def _neatly(text: str, offends: Offends) -> str:
    text = _IMAGE.sub(lambda image: "" if offends(_destination(image[2])) else image[0], text)
    text = _LINK.sub(lambda link: link[1] if offends(_destination(link[2])) else link[0], text)
    text = _AUTOLINK.sub(lambda link: "" if offends(link[1]) else link[0], text)
    text = _TAG.sub(lambda tag: _in_tag(tag, offends), text)
    text = _BBCODE.sub(lambda mark: "" if offends(mark[2] or "") or offends(mark[3].strip()) else mark[0], text)
    return _BARE.sub(lambda bare: _without(bare[0], offends), text)


_AUTOLINK = re.compile(r"<(https?:[^<>\s]++)>", re.IGNORECASE)
# Possessive wherever a pattern could be tried again, so that no text takes more than linear time.
_ALT = r"\[((?:[^\[\]]|\[[^\[\]]*+\])*+)\]"
_DESTINATION = (
    r"\(\s*+<?((?:[^\s()<>\\]|\\.|\([^\s()<>]*+\))++)>?"
    r"""(?:\s++(?:"[^"\n]*+"|'[^'\n]*+'|\([^()\n]*+\)))?+\s*+\)"""
)
_IMAGE = re.compile("!" + _ALT + _DESTINATION)
_LINK = re.compile(_ALT + _DESTINATION)
_BBCODE = re.compile(r"\[(img|video|audio|media)(?:=([^\[\]\s]*+))?[^\[\]]*+\]([^\[\]]*+)(?:\[/\1\])?+", re.IGNORECASE)
_BARE = re.compile(r"""https?://[^\s<>"`{}|\\^\[\]]++""", re.IGNORECASE)
_ENDS = ".,;:!?'\"*_~)"
_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")


def _destination(written: str) -> str:
    return unescape(_ESCAPED.sub(r"\1", written))


def _without(bare: str, offends: Offends) -> str:
    """What stays of a URL in running text: nothing, or the punctuation after it."""
    if offends(bare) or offends(unescape(bare)):
        return ""
    url = bare.rstrip(_ENDS)
    return bare[len(url) :] if url != bare and (offends(url) or offends(unescape(url))) else bare


# --- HTML -------------------------------------------------------------------------------------------------------------
_TAG = re.compile(r"""<([a-z][^\s/>]*+)((?:=\s*+"[^"]*+"|=\s*+'[^']*+'|[^>])*+)(>?)""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""\s*+([^\s"'>/=]++)\s*+=\s*+("[^"]*+"|'[^']*+'|[^\s>]++)""")
_STYLE_URL = re.compile(r"""url\(\s*+(?:"([^"]*+)"|'([^']*+)'|([^"')\s]++))\s*+\)?""", re.IGNORECASE)
_CANDIDATE = re.compile(r"([^\s,]\S*?)(?:,(?=\s|$)|\s[^,]*+(?:,|$)|$)")
_SHOWS = frozenset({"img", "image", "source", "embed", "input"})
"""Elements that are nothing without what they show; others have text inside."""


def _in_tag(tag: re.Match[str], offends: Offends) -> str:
    name, attributes, end = tag[1], tag[2], tag[3]
    if "=" not in attributes:
        return tag[0]
    lost = False

    def stays(attribute: re.Match[str]) -> str:
        nonlocal lost
        kept = _attribute(attribute, offends)
        lost |= not kept
        return kept

    kept = _ATTRIBUTE.sub(stays, attributes)
    if kept == attributes:
        return tag[0]
    if lost and name.lower() in _SHOWS:
        return ""
    return f"<{name}{kept}{end}"


def _attribute(attribute: re.Match[str], offends: Offends) -> str:
    """What stays of one attribute with a value."""
    written = attribute[2]
    quote = written[0] if written[0] in "\"'" else ""
    value = unescape(written[1:-1] if quote else written)
    name = attribute[1].lower()
    kept = value
    if name.endswith("srcset"):
        candidates = list(_CANDIDATE.finditer(value))
        good = [one[0].strip().rstrip(",") for one in candidates if not offends(one[1].rstrip(","))]
        kept = ", ".join(good) if len(good) < len(candidates) else value
    elif "url(" in value.lower():
        kept = _STYLE_URL.sub(lambda one: "none" if offends(one[1] or one[2] or one[3] or "") else one[0], value)
    elif offends(value):
        return ""
    if kept == value:
        return attribute[0]
    return f' {attribute[1]}="{html.escape(kept)}"' if kept else ""


# --- as it is written -------------------------------------------------------------------------------------------------
_MOST = 32
"""URLs taken out as they are written, for each takes a search of its own; a text with more goes whole."""
_LONGER = r"[\w/%?=-]|&(?!(?:quot|apos|lt|gt|#[0-9]+);)|[.,;:!?*_~]+\w"
"""What makes a longer URL of one that it follows."""


def _bluntly(text: str, offends: Offends) -> str:
    """``text`` without the very characters of each URL; not where a longer one begins with them."""
    urls = found_in(text, offends)
    if len(urls) > _MOST:
        return ""
    for url in urls:
        forms = dict.fromkeys((html.escape(url), html.escape(url, quote=False), url))
        text = re.sub(rf"(?:{'|'.join(map(re.escape, forms))})(?!{_LONGER})", "", text)
    return text
