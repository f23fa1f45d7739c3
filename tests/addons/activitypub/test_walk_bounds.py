import pytest

from addons.activitypub.parsing import parse
from addons.activitypub.references import MediaRef
from addons.activitypub.walk import walk
from tests.addons.activitypub.walking import JPG, U, V, note, raw, walked


@pytest.mark.parametrize(
    ("flag", "sensitive"),
    [
        (True, True),
        ("true", True),
        (" TRUE ", True),
        ("1", True),
        (1, True),
        ({"@value": True}, True),
        ([True], True),
        (False, False),
        ("false", False),
        (None, False),
        (2, False),
        ("yes", False),
        ({}, False),
        ([True, False], False),
    ],
)
@pytest.mark.parametrize("key", ["sensitive", "as:sensitive"])
def test_sensitive_as_servers_write_it(key: str, flag: object, sensitive: bool) -> None:
    assert [ref.sensitive for ref in walked({key: flag, "attachment": U}).media] == [sensitive]


def test_the_nearest_flag_counts() -> None:
    document = {"sensitive": True, "icon": U, "object": {"sensitive": False, "icon": V, "x": {"attachment": JPG}}}
    assert {ref.url: ref.sensitive for ref in walked(document).media} == {U: True, V: False, JPG: False}
    # An attachment's own flag is nearer still.
    found = walked(note(sensitive=False, attachment=[{"url": U, "sensitive": True}, {"url": V}]))
    assert [ref.sensitive for ref in found.media] == [True, False]
    assert [ref.sensitive for ref in walked(note(sensitive=True, content=f"![]({U})")).media] == [True]


def test_the_flag_that_hides_least_counts_where_it_is_repeated() -> None:
    assert raw(f'{{"sensitive": true, "sensitive": false, "image": "{U}"}}').media == (
        MediaRef(U, "thumbnail", "/image"),
    )


def test_the_same_url_in_several_places_is_told_of_each() -> None:
    found = walked(note(attachment=[U, U], content=f"![]({U}) ![]({U})"), max_media=1)
    assert [ref.path for ref in found.media] == ["/attachment/0", "/attachment/1", "/content"]
    assert found.overflow is None


@pytest.mark.parametrize("max_media", [1, 5])
def test_media_at_the_bound_and_one_past(max_media: int) -> None:
    urls = [f"https://m.example/{number}" for number in range(max_media + 1)]
    assert walked(note(attachment=urls[:-1]), max_media=max_media).overflow is None
    past = walked(note(attachment=urls), max_media=max_media)
    assert (past.overflow, len(past.media)) == ("media", max_media)


@pytest.mark.parametrize("max_depth", [1, 7])
def test_depth_at_the_bound_and_one_past(max_depth: int) -> None:
    def nested(depth: int) -> object:
        return {"x": nested(depth - 1)} if depth > 1 else {"image": U}

    at = walked(nested(max_depth), max_depth=max_depth)
    assert (at.overflow, len(at.media)) == (None, 1)
    past = walked(nested(max_depth + 1), max_depth=max_depth)
    assert (past.overflow, past.media) == ("depth", ())


def test_nodes_at_the_bound_and_one_past() -> None:
    # The object, its two keys' values, three items, one URL in text.
    document = {"content": f"see {U}", "x": [1, 2, 3]}
    assert walked(document, max_nodes=7).overflow is None
    assert walked(document, max_nodes=6).overflow == "nodes"
    repeated = '{"x": [1, 2], "x": 3, "x": 4}'
    parsed = parse(repeated.encode(), max_depth=9, max_nodes=6).document
    assert walk(parsed, max_depth=9, max_nodes=6, max_media=1).overflow is None
    assert walk(parsed, max_depth=9, max_nodes=5, max_media=1).overflow == "nodes"


@pytest.mark.parametrize("url", [U, "nothing", "#", "ftp://a.example/"])
@pytest.mark.parametrize("count", [97, 98])
def test_every_find_in_text_counts_even_repeats_and_what_comes_to_nothing(url: str, count: int) -> None:
    found = walked({"type": "Note", "content": f"<a href={url}>" * count}, max_nodes=100)
    assert found.overflow == ("nodes" if count > 97 else None)


@pytest.mark.parametrize(
    "text",
    ["<a href=x>", "![x](", "](x)", "[x]: y\n", "<p>&a", "&#33;&#91;", "&#91;x&#93;&#40;", "<img src=y ", "http://x "],
)
def test_a_megabyte_of_hostile_text_is_cut_or_read(text: str) -> None:
    content = text * (2**20 // len(text))
    assert walked({"content": content}, max_nodes=20_000).overflow in (None, "nodes")


def test_numbers_of_any_length_do_not_make_it_raise() -> None:
    found = walked(note(content=f"<p>&#{'1' * 5_000};</p><img src='https://a/&#{'1' * 5_000};'>", attachment=U))
    assert len(found.media) == 2


def test_what_was_cut_in_parsing_overflows() -> None:
    for body, bound in ((b"[" * 100_000, "depth"), (b'{"a": [' + b"1," * 100 + b"1]}", "nodes")):
        parsed = parse(body, max_depth=64, max_nodes=100)
        assert walk(parsed.document, max_depth=64, max_nodes=100, max_media=1).overflow == bound


def test_depth_costs_no_recursion() -> None:
    document: object = {"image": U}
    for _ in range(50_000):
        document = {"object": document}
    found = walk(document, max_depth=100_000, max_nodes=1_000_000, max_media=1)
    assert len(found.media) == 1


def test_markdown_is_parsed_up_to_a_bound_and_searched_past_it() -> None:
    # Only a parser knows that this link is no image.
    text = f"![]({U}) [x]({V}) "
    at = text + "x" * (16_384 - len(text))
    assert [ref.url for ref in walked(note(content=at)).media] == [U]
    assert [ref.url for ref in walked(note(content=at + "x")).media] == [U, V]
    # The bound is the document's: what stands before has used it up.
    found = walked(note(summary=at, content=text))
    assert [(ref.url, ref.path) for ref in found.media] == [(U, "/summary"), (U, "/content"), (V, "/content")]


def test_pointers_are_exact_up_to_a_bound_and_end_in_an_ellipsis_past_it() -> None:
    key = "k" * (1_000 - len("//image"))
    assert walked({key: {"image": U}}).media[0].path == f"/{key}/image"
    cut = walked({key + "k": {"image": [U, V]}}).media
    assert len(cut[0].path) < 1_010
    assert cut[0].path.endswith("…")


def test_long_keys_and_long_bases_do_not_fill_memory() -> None:
    long = "x" * 100_000
    found = walked({long: {long: [U] * 5_000, "image": U}})
    assert sum(len(ref.path) for ref in found.media) < 2_000
    base = f"https://a.example/{long}/"
    relative = " ".join(f"[x](y{number})" for number in range(2_000))
    found = walked({"type": "Page", "id": base, "content": relative, "url": [f"z{number}" for number in range(2_000)]})
    assert found.overflow == "nodes"
    assert sum(len(link.url) for link in found.links) < 30_000_000
