import pytest

from addons.activitypub.text import Found, find_urls, parsed_chars

A = "https://a.example/a"
B = "https://b.example/b.png"


def shown(text: str) -> set[str]:
    return {found.url for found in find_urls(text) if found.shown}


def links(text: str) -> set[str]:
    return {found.url for found in find_urls(text) if not found.shown}


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        (f'<img src="{A}">', {A}),
        (f"<IMG alt='a > b' SRC='{A}'/>", {A}),
        (f"<img src={A}>", {A}),
        (f'<img alt="x < y" src="{A}">', {A}),
        (f'<img/src="{A}"/onerror=x>', {A}),
        (f'<img\nsrc = "{A}"\n>', {A}),
        ('<img src="https://a.example/?a=1&amp;b=2&#38;c=3">', {"https://a.example/?a=1&b=2&c=3"}),
        (f'<img srcset="{A} 1x, {B} 2x">', {A, B}),
        (f'<img srcset="{A}, {B} 640w,">', {A, B}),
        ('<img srcset="data:image/png;base64,AA== 1x">', {"data:image/png;base64,AA=="}),
        ('<img src="/relative.png">', {"/relative.png"}),
        (f'<img data-src="{A}" src="{B}">', {A, B}),
        (f'<picture><source srcset="{A}"><img src="{B}"></picture>', {A, B}),
        (f'<video poster="{A}" src="{B}"></video>', {A, B}),
        (f'<video><source src="{A}" type="video/mp4"></video>', {A}),
        (f'<audio src="{A}"></audio>', {A}),
        (f'<embed src="{A}"><object data="{B}">', {A, B}),
        (f'<svg><image xlink:href="{A}"/><image href="{B}"/></svg>', {A, B}),
        (f'<input type="image" src="{A}">', {A}),
        (f'<td background="{A}">', {A}),
        (f"<p style=\"background-image: URL('{A}')\">", {A}),
        (f'<a href="{A}"><img src="{B}"></a>', {B}),
        # where parsers disagree, it is found
        (f'<!-- <img src="{A}"> -->', {A}),
        (f'<textarea><img src="{A}"></textarea>', {A}),
        (f'<noscript><img src="{A}"></noscript>', {A}),
        (f'<p a"><img src="{A}">"', {A}),
        (f'<p ="><img src="{A}">', {A}),
        (f'<p title="><img src={A}>', {A}),
        (f'<img src="{A}" ', {A}),
        (f'<img src="{A}', {A}),
        ("<imgsrc='https://a.example/x'>", set()),
        ("<image>", set()),
        ("&lt;img src='https://a.example/x.gif'&gt;", set()),
    ],
)
def test_what_html_shows(text: str, urls: set[str]) -> None:
    assert shown(text) == urls


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        (f'<a href="{A}">x</a>', {A}),
        (f'<a class="x" href={A}>{B}</a>', {A}),
        (f'<a href="{A}">x</a> and {B}', {A, B}),
        (f"<p>{A}</p><p>{B}</p>", {A, B}),
        (f'<area href="{A}">', {A}),
        (f'<iframe src="{A}"></iframe>', {A}),
        (f'<a href="{A}', set()),
        (f'<link rel="icon" href="{A}">', set()),
        ("https://a.example/?a=1&amp;b=2<br>", {"https://a.example/?a=1&b=2"}),
    ],
)
def test_what_html_links_to(text: str, urls: set[str]) -> None:
    assert links(text) == urls
    assert not shown(text)


@pytest.mark.parametrize(
    "attributes",
    [
        'class="u-url mention"',
        'class="mention hashtag" rel="tag"',
        'rel="nofollow tag"',
        'class="h-card"',
        'class="hashtag"',
    ],
)
def test_links_to_people_and_hashtags_are_mentions(attributes: str) -> None:
    assert list(find_urls(f'<a {attributes} href="{A}">@x</a>')) == [Found(A, shown=False, mention=True)]
    assert list(find_urls(f'<a class="unmentioned" rel="tags" href="{A}">@x</a>')) == [Found(A, shown=False)]


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        (f"![alt]({A})", {A}),
        (f'![]({A} "title")', {A}),
        (f"![a]( <{A}> )", {A}),
        (f"![a [b [c] d] e]({A})", {A}),
        ("![a](https://a.example/x_(y).png)", {"https://a.example/x_(y).png"}),
        (r"![a](https://a.example/x\_y.png)", {"https://a.example/x_y.png"}),
        ("![a](https://a.example/?a&amp;b)", {"https://a.example/?a&b"}),
        ("![a](/pictrs/image/x)", {"/pictrs/image/x"}),
        (f"![alt][ref]\n\n[ref]: {A}", {A}),
        (f"![ref]\n\n[ref]: <{A}>", {A}),
        (f"[![thumbnail]({A})]({B})", {A}),
        (f"{'> ' * 60}![deep]({A})", {A}),
        (f"    ![in what may be code]({A})", {A}),
        (f"<img src='{A}'> and ![]({B})", {A, B}),
        (f"* **![a]({A})**\n* ~~![b]({B})~~", {A, B}),
    ],
)
def test_what_markdown_shows(text: str, urls: set[str]) -> None:
    assert shown(text) == urls


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        (f"[x]({A})", {A}),
        (f"<{A}>", {A}),
        (f"[x][y]\n\n[y]: {A}", {A}),
        (f"see {A}, and ({B}).", {A, B}),
        (f"*{A}* _{B}_", {A, B}),
        (f"`{A}`", {A}),
        (f"```\n{A}\n```\n[x]({B})", {A, B}),
        (f"[x]({A}) then {B}", {A, B}),
        (f'<p>[x]({A})</p> <a href="{B}">y</a>', {A, B}),
        ("https://a.example/wiki/X_(y)", {"https://a.example/wiki/X_(y)"}),
        ("(https://a.example/x)", {"https://a.example/x"}),
        ("HTTPS://A.example/x!", {"HTTPS://A.example/x"}),
        ("no link: example.org, mailto:a@b.example, 1 < 2 > 1, [x] (y)", set()),
    ],
)
def test_what_markdown_and_plain_text_link_to(text: str, urls: set[str]) -> None:
    assert links(text) == urls
    assert not shown(text)


@pytest.mark.parametrize(("brackets", "images"), [(398, {A}), (399, {A, B})])
def test_brackets_at_the_bound_of_parsing_and_one_past(brackets: int, images: set[str]) -> None:
    # Past it, which brackets are an image's is not known.
    assert shown(f"![x]({A}) [x]({B}) " + "[" * brackets) == images


@pytest.mark.parametrize("exact", [True, False])
def test_markdown_too_much_for_a_parser_hides_nothing(exact: bool) -> None:
    filler = "[x] " * 500 if exact else ""
    text = f"{filler}\n![a[b[c[d]]]]({A}) ![r][r]\n\n[r]: {B}\n"
    assert {found.url for found in find_urls(text, exact=exact) if found.shown} == {A, B}
    text = f"{filler}\n[x]({A}) [r][r] https://c.example/\n\n[r]: {B}\n"
    assert {(found.url, found.shown) for found in find_urls(text, exact=exact)} == {
        (url, False) for url in (A, B, "https://c.example/")
    }


@pytest.mark.parametrize(
    ("text", "images", "others"),
    [
        (f"[img]{A}[/img]", {A}, set()),
        (f"[img=640x480]{A}[/img]", {A}, set()),
        (f"[img={A}]an image[/img]", {A}, set()),
        (f"[url={A}][img]{B}[/img][/url]", {B}, {A}),
        (f"[url]{A}[/url] [video]{B}[/video]", {B}, {A}),
        (f"[attachment type='link' url='{A}' publisher_img='https://c.example/' image='{B}']x[/attachment]", {B}, {A}),
        (f"[share author='x' profile='https://c.example/' avatar='{B}' link='{A}']x[/share]", {B}, {A}),
    ],
)
def test_bbcode(text: str, images: set[str], others: set[str]) -> None:
    assert shown(text) == images
    assert links(text) - images == others


@pytest.mark.parametrize(
    "text",
    [
        f"<p>&#33;&#91;x&#93;&#40;{A}&#41;</p>",
        f"&#x21;&lsqb;x&rsqb;&lpar;{A})",
        f"!&#91;x&#93;({A})",
        f"![x]&#40;{A})",
        "<p>!&#91;x&#93;(https&#58;//a.example/a)</p>",
        "![x](https&colon;&sol;&#47;a.example/a)",
        f"<a href='{B}'>&#33;[x]({A})</a>",
        f"&#33;[x][r]\n\n&#91;r]: {A}",
        f"<p>&#91;img]{A}[/img]</p>",
        f"![a](<{B}>) &#33;&#91;x]({A})",
        f"&lt;a title='&#33;&#91;x]({A})'&gt;",
    ],
)
@pytest.mark.parametrize("exact", [True, False])
def test_marks_written_as_character_references_hide_nothing(text: str, exact: bool) -> None:
    assert A in {found.url for found in find_urls(text, exact=exact) if found.shown}


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("https&#58;//a.example/a", {A}),
        ("<p>https&#x3a;//a.example/a</p>", {A}),
        ("&lt;https://a.example/a&gt;", {A, A + "&gt"}),
        ("&#91;x&#93;(https://a.example/a) &amp;", {A}),
    ],
)
def test_links_written_with_character_references(text: str, urls: set[str]) -> None:
    assert links(text) == urls
    assert not shown(text)


@pytest.mark.parametrize(
    ("text", "chars"),
    [
        ("no marks &amp;", 0),
        ("[x](y)", 6),
        ("[x](y)&", 7),
        ("[x](y)&amp;", 11 + 7),
        ("&#91;x](y)", 10 + 6),
        ("&#91;x", 0),
    ],
)
def test_how_much_is_parsed(text: str, chars: int) -> None:
    assert parsed_chars(text) == chars


@pytest.mark.parametrize(
    ("reference", "char"),
    [
        ("&#111;", "o"),
        ("&#0000111;", "o"),
        (f"&#{'0' * 5_000}111;", "o"),
        (f"&#X{'0' * 5_000}6f;", "o"),
        (f"&#{'0' * 5_000};", "\ufffd"),
        (f"&#{'1' * 38}", "\ufffd"),
        (f"&#{'1' * 39}", "\ufffd"),
        (f"&#{'1' * 4_301};", "\ufffd"),
        (f"&#x{'1' * 1_000_000};", "\ufffd"),
    ],
    ids=lambda text: text[:12],
)
def test_character_references_of_any_length_are_read(reference: str, char: str) -> None:
    assert shown(f'<img src="https://a.example/{reference}.png">') == {f"https://a.example/{char}.png"}
    assert links(f"<p>https://a.example/{reference}.png</p>") == {f"https://a.example/{char}.png"}


@pytest.mark.parametrize(
    "text",
    [
        "<p>&#" + "1" * 1_000_000,
        "&a" * 500_000 + "<",
        "&#1" * 300_000 + "<",
        "&#33;&#91;" * 100_000 + "](",
        "<div>" * 200_000,
        "<a href=x>" * 100_000,
        '<a title="' * 100_000,
        "<img " * 200_000,
        "<img src='" * 100_000,
        "<p " + "a" * 1_000_000,
        "<p " + "a =" * 300_000,
        "![" * 500_000,
        "[" * 1_000_000,
        "![[]" * 250_000,
        "](" * 500_000,
        "![](" * 250_000,
        "[x]: https://a.example/\n" * 40_000,
        "https://(" * 100_000,
        "https://[" * 100_000,
        "https://a.example/(" * 50_000,
        '<img srcset="' + ", " * 500_000 + '">',
        '<img srcset="' + "a," * 500_000 + '">',
        '<p style="' + "url( " * 200_000 + '">',
        "[attachment " * 80_000,
        "[img" * 250_000,
        "`" * 200_000 + "](",
        "> " * 16_000 + "](",
        "- " * 16_000 + "](",
        "*a " * 10_000 + "](",
        "<https:" * 100_000,
        "&#x" * 300_000 + "<",
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_comes_to_an_end(text: str) -> None:
    # A megabyte each: anything that scans twice would take minutes.
    assert sum(1 for _ in find_urls(text)) <= len(text)


@pytest.mark.parametrize("exact", [True, False])
def test_an_autolink_looks_like_a_tag_and_is_none(exact: bool) -> None:
    assert {found.url for found in find_urls("a <https://m.example/x.png> b", exact=exact)} == {
        "https://m.example/x.png"
    }
