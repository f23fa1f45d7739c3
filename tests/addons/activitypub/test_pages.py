import codecs
import html
import re
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from addons.activitypub import pages
from addons.activitypub.pages import MOST, preview_images

URL = "https://news.example/articles/1"
IMAGE = "https://cdn.example/a.png"


def found(page: str | bytes, content_type: str = "text/html", url: str = URL) -> list[str]:
    data = page.encode() if isinstance(page, str) else page
    return list(preview_images(data, content_type, url))


def og(url: str = IMAGE, name: str = "og:image") -> str:
    return f'<meta property="{name}" content="{url}">'


@pytest.mark.parametrize(
    "tag",
    [
        og(),
        f"<meta content='{IMAGE}' property='og:image'/>",
        f"<META PROPERTY=OG:Image CONTENT={IMAGE}>",
        f'<meta\n\tname = "og:image"\n content\n=\n"{IMAGE}"\n>',
        f'<meta data-x="a>b" property="og:image" content="{IMAGE}">',
        f'<meta property=" og:image " content=" {IMAGE} ">',
        f'<meta property="og:image" content="{html.escape(IMAGE).replace("/", "&#x2F;")}">',
        f'<meta property="og:image" content="" /><meta property="og:image" content="{IMAGE}">',
        og(name="og:image:url"),
        og(name="og:image:secure_url"),
        f'<meta name="twitter:image" content="{IMAGE}">',
        f'<meta name="twitter:image:src" content="{IMAGE}">',
        f'<meta itemprop="og:image" content="{IMAGE}">',
        f'<link rel="image_src" href="{IMAGE}">',
        f'<link href="{IMAGE}" rel="other IMAGE_SRC">',
        f'<p>in the body<meta property="og:image" content="{IMAGE}">',
        f"<!-- a comment -->{og()}",
        f"<script>let a = '<!--'</script>{og()}",
        f"<!-->{og()}",
        f'<meta property="og:image" content="{IMAGE}"',
    ],
)
def test_a_preview_image_however_it_is_written(tag: str) -> None:
    assert found(f"<!doctype html><html><head><title>x</title>{tag}") == [IMAGE]


@pytest.mark.parametrize(
    "page",
    ["", "<", "<meta", "no page", '<meta property="og:image">', '<meta property="og:title" content="x">', og(""),
     og("  "), og("javascript:alert(1)"), og("ftp://x.example/a.png"), f"<metal property=og:image content={IMAGE}>",
     f'<link rel="icon" href="{IMAGE}">', f'<img src="{IMAGE}">'],
)  # fmt: skip
def test_pages_without_one(page: str) -> None:
    assert found(page) == []


@pytest.mark.parametrize(
    ("base", "written", "whole"),
    [
        ("", "/a.png", "https://news.example/a.png"),
        ("", "b.png", "https://news.example/articles/b.png"),
        ("", "//cdn.example/a.png", IMAGE),
        ("", "data:image/png;base64,AAAA", "data:image/png;base64,AAAA"),
        ("", "https:\\\\cdn.example\\a.png", IMAGE),
        ('<base href="https://cdn.example/x/">', "a.png", "https://cdn.example/x/a.png"),
        ('<base href="//cdn.example/x/">', "../a.png", IMAGE),
        ('<base href="/x/"><base href="/y/">', "a.png", "https://news.example/x/a.png"),
        ('<base href="mailto:x">', "/a.png", "https://news.example/a.png"),
        ('<base href="http://[">', "/a.png", "https://news.example/a.png"),
        ("", "https://cdn.example/a.png?x=1&amp;y=2", "https://cdn.example/a.png?x=1&y=2"),
    ],
)
def test_urls_become_whole(base: str, written: str, whole: str) -> None:
    assert found(base + og(written)) == [whole]
    assert found(og(written) + base) == [whole]


def test_the_first_of_each_property_comes_before_the_second_of_any() -> None:
    page = og("/1") + og("/2") + og("/3") + og("/t", "twitter:image") + og("/s", "og:image:secure_url")
    assert found(page) == [f"https://news.example/{name}" for name in ("1", "s", "t", "2")]


def test_one_image_under_many_names_is_one() -> None:
    assert found("".join(og(name=name) for name in pages._PROPERTIES) + og()) == [IMAGE]


@pytest.mark.parametrize("count", [MOST, MOST + 1, 5000])
def test_at_and_past_the_most(count: int) -> None:
    assert len(found("".join(og(f"/{number}") for number in range(count)))) == MOST


@pytest.mark.parametrize(
    "hidden",
    ["<!--{}-->", "<script>{}</script>", "<template>{}</template>", "<title>{}</title>", "<textarea>{}</TEXTAREA >"],
)
def test_decoys_that_one_parser_sees_and_another_does_not_hide_nothing(hidden: str) -> None:
    decoys = "".join(og(f"/decoy{number}") for number in range(9))
    read = found(hidden.format(decoys) + og())
    assert read[0] == IMAGE
    assert read[1:] == [f"https://news.example/decoy{number}" for number in range(MOST)]


@pytest.mark.parametrize("opening", ["<!--", "<script>", "<title>", "<script><!--"])
def test_what_is_never_closed_hides_nothing(opening: str) -> None:
    assert found(opening + og()) == [IMAGE]


@pytest.mark.parametrize(
    ("encoding", "content_type", "head"),
    [
        ("utf-8", "text/html", ""),
        ("utf-8", "text/html; charset=utf-16", ""),
        ("utf-8", "text/html; charset=idna", ""),
        ("utf-8", "text/html; charset=iso-8859-99", ""),
        ("utf-8-sig", "text/html; charset=latin-1", ""),
        ("utf-16", "text/html", ""),
        ("utf-16-le", "text/html", ""),
        ("utf-16-be", "text/html; charset=utf-8", ""),
        ("latin-1", "text/html; charset=ISO-8859-1", ""),
        ("latin-1", 'text/html; Charset = "latin1"', ""),
        ("windows-1251", "text/html", "<meta charset=windows-1251>"),
        ("shift_jis", "text/html", '<meta http-equiv=content-type content="text/html; charset=Shift_JIS">'),
    ],
)
def test_charsets(encoding: str, content_type: str, head: str) -> None:
    letter = {"latin-1": "é", "shift_jis": "の"}.get(encoding, "ж")
    page = f"<html><head>{head}<title>{letter}</title>{og(f'/{letter}.png')}"
    assert found(page.encode(encoding), content_type) == [f"https://news.example/{letter}.png"]


def test_every_charset_that_is_believed_is_read() -> None:
    for name in ("utf8", "utf-8", "us-ascii", "iso-8859-15", "latin1", "windows-1252", "cp1251", "koi8-r", "shift_jis",
                 "euc-jp", "euc-kr", "gb2312", "gbk", "gb18030", "big5"):  # fmt: skip
        assert pages._READ.fullmatch(name)
        codecs.lookup(name)
    for name in ("idna", "punycode", "zlib", "hex", "rot13", "utf-7", "unicode_escape", "undefined", "mbcs"):
        assert not pages._READ.fullmatch(name)


def test_any_bytes_whatever() -> None:
    assert found(bytes(range(256)) * 64) == []
    assert found(b"\0" * 4096) == []


# --- hostile pages: work grows with the page, not with its square -----------------------------------------------------
HOSTILE: list[Callable[[int], str]] = [
    lambda n: "<" * n,
    lambda n: "<meta" * n,
    lambda n: "<meta " * n,
    lambda n: "<meta a" * n,
    lambda n: '<meta x="' * n,
    lambda n: "<meta x='\"" * n,
    lambda n: "<meta x=" + " " * n,
    lambda n: "<meta" + "= " * n,
    lambda n: "<meta" + "='" * n + '="' * n,
    lambda n: "<!--" * n,
    lambda n: "<!-->" * n,
    lambda n: "<!-- -- " * n,
    lambda n: "<script>" * n,
    lambda n: "<script></script" * n,
    lambda n: "<title>" * n + "</title",
    lambda n: "<!--<script>" * n + "-->",
    lambda n: "<base href=a>" * n + og("x"),
    lambda n: og("x" * n) * 3,
    lambda n: og("&amp;" * n),
    lambda n: og("&#" + "9" * n),
    lambda n: f'<base href="https://x.example/{"a/" * n}">' + og("../" * n),
    lambda n: "<meta property=og:image content=" * n,
    lambda n: "charset=" * n,
    lambda n: "<div>" * n + og(),
]


@pytest.mark.parametrize("make", HOSTILE)
def test_work_grows_with_the_page_and_not_with_its_square(make: Callable[[int], str]) -> None:
    small, large = (_steps(make(n).encode()[: 1 << 20]) for n in (2_000, 8_000))
    assert large < 6 * small + 2_000


def _steps(page: bytes) -> int:
    """Lines of Python that are executed for this page."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        preview_images(page, "text/html", URL)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("make", HOSTILE)
def test_a_whole_mebibyte_of_it_is_read(make: Callable[[int], str]) -> None:
    """What a pattern does is not seen above: where it went back and forth this would not end."""
    unit = max(1, len(make(2)) - len(make(1)))
    preview_images(make((1 << 20) // unit).encode()[: 1 << 20], "text/html", URL)


@pytest.mark.parametrize("pattern", [pages._TAG, pages._HIDDEN, pages._SAID, *pages._ENDS.values()])
def test_patterns_repeat_possessively_alone(pattern: re.Pattern[str]) -> None:
    """A repetition that never gives back takes linear time from each place it is begun at."""
    assert not re.search(
        r"[*+](?![+?\]])", re.sub(r"\[[^\]]*\]", "c", pattern.pattern).replace("++", "").replace("*+", "")
    )
