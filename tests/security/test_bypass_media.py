"""Bypass corpus, media: URLs that parsers read differently, and texts that show a picture in any way there is."""

import base64
import json
from urllib.parse import quote_from_bytes

import pytest

from tests.security.bypass import BOTH, FORBIDDEN, HARMLESS, JUDGED, ORDINARY, Ending, World, create, note, posted

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVIL = "http://evil.example:$PORT$PATH"
FORMS: dict[str, Ending] = {
    **dict.fromkeys(
        [
            *["$URL", " $URL ", "\t$URL\n", "\r\n$URL", "\x00\x1f$URL", "http://$AT\n$PATH", "ht\ttp://$AT$PATH"],
            *["\u00a0$URL", "\u2003$URL\u3000", "\ufeff$URL", "\u2028$URL", "$URL\u0085"],
            *["HTTP://$AT$PATH", "hTtP:\\\\$AT$PATH", "http:/$AT$PATH", "http:$AT$PATH", "http:\\/\\$AT$PATH"],
            *["//$AT$PATH", "\\\\$AT$PATH", "/\\$AT$PATH", " //$AT$PATH", "$PATH", "$URL#@example.org/", "$URL#"],
            *["http://$AT/.$PATH", "http://$AT/x/..$PATH"],
            # hosts
            *[
                EVIL,
                EVIL.upper().replace("$PATH", "$PATH"),
                EVIL.replace("example", "example."),
                EVIL.replace("e", "ｅ", 1),
            ],
            *[
                "http://EVIL.Example:$PORT$PATH",
                "http://ｅｖｉｌ.example:$PORT$PATH",
                "http://evil。example:$PORT$PATH",
            ],
            *[
                "http://evil\u00ad.example:$PORT$PATH",
                "http://Ⓔvil.example:$PORT$PATH",
                "http://evil｡example.:$PORT$PATH",
            ],
            *["http://bücher.example:$PORT$PATH", "http://xn--bcher-kva.example:$PORT$PATH"],
            *["http://BU\u0308CHER.example:$PORT$PATH", "http://XN--Bcher-KVA.example:$PORT$PATH"],
        ],
        JUDGED,
    ),
    # read in more than one way, or no place to be sent to
    **dict.fromkeys(
        [
            *[
                "http://a@$AT$PATH",
                "http://a:b@$AT$PATH",
                "http://@$AT$PATH",
                "http://example.org@evil.example:$PORT$PATH",
            ],
            *["http://example.org\\@evil.example:$PORT$PATH", "http://evil.example:$PORT\\@example.org$PATH"],
            *["http:\\\\example.org\\@$AT$PATH"],
            *["http://example.org\t@$AT$PATH", "http://example.org%40$AT$PATH", "http://example.org&@$AT$PATH"],
            *[
                "http://%65vil.example:$PORT$PATH",
                "http://evil%2eexample:$PORT$PATH",
                "http://evil.example%00:$PORT$PATH",
            ],
            *["http://127.1:$PORT$PATH", "http://2130706433:$PORT$PATH", "http://0x7f000001:$PORT$PATH"],
            *["http://0177.0.0.1:$PORT$PATH", "http://127.0.0.1.1:$PORT$PATH"],
            *["http://[::1]:$PORT$PATH", "http://[fe80::1%25lo]:$PORT$PATH"],
            *["http://evil.example:1$PATH", "http://evil.example:99999$PATH", "http://evil.example:$PORT:80$PATH"],
            *["http://evil.example:+$PORT$PATH", "http://evil.example: $PORT$PATH", "http://evil example:$PORT$PATH"],
            *["http://10.0.0.1$PATH", "http://169.254.169.254$PATH", "http://evil_.-example$PATH", "http://.$PATH"],
            "http://evil.example:$PORT$PATH" + "?" * 9000,
        ],
        "fetch_refused",
    ),
    **dict.fromkeys(["x", "http://$AT/%2e%2e$PATH"], "fetch_failed"),
    # ours by the name alone
    **dict.fromkeys(
        [
            *[
                "https://example.org/proxy?url=$URL",
                "https://example.org/proxy/$URL",
                "https://example.org/?u=//$AT$PATH",
            ],
            *["https://example.org/p%3Furl=http%253A%252F%252F$AT$PATH", "https://example.org:444/x"],
        ],
        "fetch_refused",
    ),
    **dict.fromkeys(
        [
            *["https://example.org/x.png", "//example.org/x.png", "https://EXAMPLE.org.:443/x.png"],
            # no server fetches these
            *["blob:$URL", "ipfs://$AT$PATH", "ftp://$AT$PATH", "file://$AT$PATH", "javascript:fetch('$URL')"],
            *["view-source:$URL", "about:blank#$URL", "urn:$URL", "mailto:a@$AT", "#$URL", "?$URL", "", "   "],
        ],
        HARMLESS,
    ),
}


@BOTH
@pytest.mark.parametrize("form", FORMS)
async def test_however_a_url_is_written(world: World, form: str, bad: bool) -> None:
    picture = world.picture(FORBIDDEN if bad else ORDINARY)
    inner = note(id=f"http://{picture.at}/notes/1", attachment=[{"type": "Image", "url": picture.fill(form)}])
    await world.holds(posted(json.dumps(create(inner)).encode()), FORMS[form], bad=bad)


DATA: dict[str, Ending] = {
    **dict.fromkeys(
        [
            *["data:image/png;base64,$B", "DATA:IMAGE/PNG;BASE64,$B", " data:image/png;base64,$B", "da\nta:;base64,$B"],
            *["data:;base64,$B", "data:text/html;base64,$B", "data:text/plain;charset=utf-8;base64,$B", "data:,$E"],
            *[
                "data:image/svg+xml;base64,$B",
                "data:image/png;base64, $B",
                "data:image/png ; base64,$B",
                "data:image/png,$E",
            ],
            *["data:image/png;base64,$B#x", "data:image/png;base64;base64,$B", "data:a/b;x=%2C;base64,$B"],
        ],
        JUDGED,
    ),
    "data:image/svg+xml,<svg><image href='$URL'/></svg>": "unsupported",
    "data:image/png;base64,!$B": "fetch_failed",
    "data:image/png;base64": "fetch_failed",
}


@BOTH
@pytest.mark.parametrize("form", DATA)
async def test_a_picture_in_the_url(world: World, form: str, bad: bool) -> None:
    file = FORBIDDEN if bad else ORDINARY
    url = form.replace("$B", base64.b64encode(file).decode()).replace("$E", quote_from_bytes(file))
    body = json.dumps(create(note(attachment=[{"type": "Image", "url": url}]))).encode()
    await world.holds(posted(body), DATA[form], bad=bad)


# -- texts -------------------------------------------------------------------------------------------------------------
TEXTS: dict[str, Ending] = {
    **dict.fromkeys(
        [
            # HTML
            *['<img src="$URL">', "<img src='$URL'>", "<img src=$URL>", "<IMG SRC=$URL", "<img/src=$URL />"],
            *['<img alt=">" src="$URL">', '<img\nsrc\n=\n"$URL">', "<img\x0csrc=$URL>", '<img x="<y" src="$URL"'],
            *['<img src="&#104;ttp://$AT$PATH">', '<img src="http&colon;//$AT$PATH">', '<img src="\n$URL\n">'],
            *[
                '<img src="//$AT$PATH">',
                '<img src="$PATH">',
                '<img src="/other" srcset="/other 1x, $URL 2x">',
                "<img srcset=$URL>",
            ],
            *['<picture><source srcset="$URL 100w"></picture>', '<video poster="$URL"></video>', '<video src="$URL">'],
            *['<video><source src="$URL"></video>', '<audio src="$URL">', '<embed src="$URL">', '<object data="$URL">'],
            *[
                '<svg><image href="$URL"/></svg>',
                '<svg><image xlink:href="$URL"/></svg>',
                '<input type="image" src="$URL">',
            ],
            *[
                '<svg><filter><feImage href="$URL"/></filter></svg>',
                '<table background="$URL">',
                "<body background=$URL>",
            ],
            *[
                '<p style="background: url($URL)">',
                "<p style='background:URL( \"$URL\" )'>",
                '<p style="x:url(&quot;$URL&quot;)">',
            ],
            *["<p style=\"background:image-set('$URL' 1x)\">", '<p style="background:u\\72l($URL)">'],
            *['<p style="x:url(http\\3a //$AT$PATH)">', '<p style="list-style:url(\\68ttp://$AT$PATH)">'],
            *['<a href="x"><img src="$URL"></a>', '<!-- <img src="$URL"> -->', "<textarea><img src=$URL></textarea>"],
            *['<iframe srcdoc="&lt;img src=$URL&gt;">', "<iframe srcdoc='<img src=\"$URL\">'></iframe>"],
            *["<noscript><img src=$URL></noscript>", "<template><img src=$URL></template>", "<a <img src=$URL>"],
            # markdown
            *["![]($URL)", "![a]( <$URL> 'title')", "![a](\n$URL)", "[![a]($URL)](x)", "![a][b]\n\n[b]: $URL"],
            *["![b]\n\n[B]: <$URL>", "![b][]\n\n[b]:\n$URL 'x'", "> - ![a]($URL)", "![a \\] ]($URL)", "![[a]]($URL)"],
            *["![a](http:&#47;&#47;$AT$PATH)", "![a](http\\://$AT$PATH)", "![a](//$AT$PATH)", "![a]($PATH)"],
            *["!\\[a]($URL) ![b]($URL)", "![a](<$URL>)", "<p>![a]($URL)</p>", "<div>\n![a][b]\n\n[b]: $URL\n</div>"],
            *["&#33;&#91;a&#93;&#40;$URL&#41;", "::: spoiler x\n![a]($URL)\n:::", "$[x2 ![a]($URL)]", "`![a]($URL)`"],
            # bbcode
            *[
                "[img]$URL[/img]",
                "[IMG=10x10]$URL[/IMG]",
                "[img=$URL]a[/img]",
                "[img] $URL [/img]",
                "[video]$URL[/video]",
            ],
            *["[share author='a' avatar='$URL']x[/share]", "[attachment type='link' image='$URL']x[/attachment]"],
            *["[url=x][img]$URL[/img][/url]", "&#91;img&#93;$URL&#91;/img&#93;", "<p>[img]$URL[/img]</p>"],
        ],
        JUDGED,
    ),
    # links alone, with no preview where none is looked at
    **dict.fromkeys(
        ["$URL", "<a href=$URL>x</a>", "[a]($URL)", "<$URL>", "[url]$URL[/url]", "<b title='$URL'>"], HARMLESS
    ),
}


@BOTH
@pytest.mark.parametrize("text", TEXTS)
async def test_whatever_text_shows_it(world: World, text: str, bad: bool) -> None:
    picture = world.picture(FORBIDDEN if bad else ORDINARY)
    inner = note(id=f"http://{picture.at}/notes/1", content=picture.fill(text))
    await world.holds(posted(json.dumps(create(inner)).encode()), TEXTS[text], bad=bad)
