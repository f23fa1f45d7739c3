import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.activitypub.walk import walk
from tests.addons.activitypub.walking import AS, ID, JPG, U, V, media, raw, walked


@pytest.mark.parametrize(
    "key", ["attachment", "as:attachment", f"{AS}attachment", "Attachment", "ATTACHMENT", "x:attachment"]
)
@pytest.mark.parametrize("url", ["url", "as:url", f"{AS}url", "URL"])
def test_other_spellings_of_keys_hide_nothing(key: str, url: str) -> None:
    escaped = "/" + key.replace("/", "~1") + "/" + url.replace("/", "~1")
    assert media({key: {"kind": "as:Image", url: U}}) == [("page", U, escaped)]
    assert media({key: {"@type": f"{AS}Image", url: U}}) == [("image", U, escaped)]


@pytest.mark.parametrize(
    "document",
    [
        {f"{AS}attachment": [{"@type": [f"{AS}Image"], f"{AS}url": [{"@id": U}]}]},
        {"attachment": {"@list": [{"@type": "Image", "url": {"@value": U}}]}},
        {"attachment": {"@set": [{"type": "as:Image", "url": U}]}},
        {"@graph": [{"type": "Note", "attachment": {"type": "Image", "url": U}}]},
        {"content": {"@value": f'<img src="{U}">', "@language": "en"}},
        {"content": [{"@value": f'<img src="{U}">'}]},
        {"@context": {"pic": "as:attachment"}, "pic": {"type": "Image", "url": U}},
        {"@context": ["x", {"pic": {"@id": f"{AS}image"}}], "pic": {"url": U}},
        {"@context": {"a": "b", "b": "as:attachment", "c": "a"}, "c": U},
        {"@context": {"Pic": "as:Image"}, "object": {"type": "Pic", "url": U}},
        {"@included": [{"image": {"url": U}}], "type": "Like"},
        {"object": {"@context": {"pic": "as:image"}, "pic": U}},
    ],
)
def test_json_ld_hides_nothing(document: object) -> None:
    assert [url for _, url, _ in media(document)] == [U]


def test_a_context_is_not_walked_and_takes_no_known_name_away() -> None:
    document = {
        "@context": ["https://w3id.org/x.png", {"attachment": "as:nothing", "image": {"@id": JPG}, "z": "z"}],
        "attachment": U,
        "z": 1,
    }
    assert media(document) == [("page", U, "/attachment")]


@pytest.mark.parametrize(
    "body",
    [
        '{"@context": {"partOf": "as:attachment"}, "partOf": "%s"}',
        '{"@context": ["x", {"partOf": "as:attachment"}], "object": {"partOf": {"type": "Image", "url": "%s"}}}',
        '{"@context": {"name": "as:icon"}, "name": {"id": "%s"}}',
        '{"@context": {"name": "as:icon"}, "object": {"id": "https://a.example/", "name": {"url": "%s"}}}',
        '{"@context": {"x": "as:attachment"}, "@context": {"x": "as:nothing"}, "x": "%s"}',
        '{"@context": {"x": "as:nothing"}, "@context": {"x": "as:attachment"}, "x": "%s"}',
        '{"@context": {"x": "as:image"}, "a": {"@context": {"x": "as:nothing"}}, "b": {"x": "%s"}}',
        '{"@context": {"p": "https://www.w3.org/ns/activitystreams#att"}, "p:achment": "%s"}',
        '{"@context": {"l": "@list"}, "attachment": {"l": ["%s"]}}',
        '{"@context": {"Link": "as:Image"}, "x": {"type": "Link", "href": "%s"}}',
        '{"@context": {"text": "as:content"}, "text": "![](%s)"}',
        '{"@context": {"rel": "as:content"}, "rel": "![](%s)"}',
    ],
)
def test_no_meaning_that_a_context_gives_hides_another(body: str) -> None:
    assert [ref.url for ref in raw(body % U).media] == [U]


def test_what_a_context_says_of_a_known_name_takes_nothing_away() -> None:
    context = '{"@context": {"summary": "@id", "x": "as:sensitive", "name": "as:attachment", "sensitive": "as:x"}, '
    assert raw(context + '"id": "https://a.example/b", "summary": "https://c.example/", "icon": "d"}').media[0].url == (
        "https://a.example/d"
    )
    assert raw(context + f'"sensitive": true, "image": "{U}"}}').media[0].sensitive
    found = raw(context + f'"object": {{"id": "{U}", "name": "x"}}}}')
    assert [link.url for link in found.fetches] == [U]


def test_a_term_of_too_many_meanings_overflows() -> None:
    contexts = [{"x": f"y{number}"} for number in range(17)]
    assert walked({"@context": contexts[:16], "x": U}).overflow is None
    assert walked({"@context": contexts, "x": U}).overflow == "nodes"


def test_every_value_of_a_repeated_key_is_walked() -> None:
    found = raw(f'{{"attachment": {{"url": "{U}"}}, "attachment": [], "attachment": {{"url": "{JPG}", "url": "{V}"}}}}')
    assert [(ref.url, ref.path) for ref in found.media] == [
        (U, "/attachment/url"),
        (JPG, "/attachment/url"),
        (V, "/attachment/url"),
    ]
    found = raw(f'{{"type": "Note", "type": "Person", "icon": "{U}", "id": "{ID}", "id": null}}')
    assert (found.types, found.media[0].url) == (("Note", "Person"), U)


NAMES = st.sampled_from(
    [
        "type",
        "id",
        "url",
        "href",
        "attachment",
        "icon",
        "image",
        "tag",
        "content",
        "contentMap",
        "source",
        "object",
        "actor",
        "to",
        "items",
        "@context",
        "@id",
        "@type",
        "@value",
        "@list",
        "as:image",
        "sensitive",
        "mediaType",
        "rel",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.text(),
    NAMES,
    st.sampled_from(
        [
            "Note",
            "Person",
            "Image",
            "Link",
            "Video",
            "Mention",
            "image/png",
            U,
            JPG,
            "//[",
            "https://[x",
            "<a href=",
            "![](",
            "\ud800",
        ]
    ),
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inside: st.one_of(
        st.lists(inside, max_size=4), st.dictionaries(st.one_of(NAMES, st.text()), inside, max_size=5)
    ),
    max_leaves=25,
)


@given(DOCUMENTS)
def test_walking_never_raises_and_what_it_finds_can_be_written(document: object) -> None:
    found = walk(document, max_depth=64, max_nodes=10_000, max_media=32)
    for text in (
        *(part for ref in found.media for part in (ref.url, ref.path)),
        *(part for link in found.links + found.fetches for part in (link.url, link.path)),
        *found.types,
        *filter(None, (found.activity_id, found.actor, found.object_id)),
    ):
        text.encode()


def _pairs(key: str, values: list[str]) -> str:
    return ", ".join(f"{json.dumps(key)}: {value}" for value in values)


PLACES = ["attachment", "icon", "image", "preview", "as:attachment", f"{AS}icon", "Image"]
WRAPPED = [
    "{}",
    '{{"url": {}}}',
    '{{"type": "Image", "url": [{}]}}',
    '[{{"href": {}, "mediaType": "text/html"}}]',
    '{{"url": {{"type": "Link", "href": {}}}}}',
]
AROUND = [
    "{}",
    '{{"type": "Create", "object": {}}}',
    '[{{"object": [{}]}}]',
    '{{"x": 1, "x": {}, "x": 2}}',
    '{{"items": [{{"target": {}}}]}}',
]


@given(
    st.lists(
        st.from_regex(r"https?://[a-z]{1,9}\.example/[a-zA-Z0-9/_.,~%-]{0,20}", fullmatch=True),
        min_size=1,
        max_size=5,
        unique=True,
    ),
    st.sampled_from(PLACES),
    st.sampled_from(WRAPPED),
    st.sampled_from(AROUND),
)
def test_every_url_in_a_media_position_is_found_under_repeated_keys_too(
    urls: list[str], place: str, wrapped: str, around: str
) -> None:
    inner = "{" + _pairs(place, [wrapped.format(json.dumps(url)) for url in urls]) + "}"
    found = raw(around.format(inner))
    assert {ref.url for ref in found.media} == set(urls)


def test_a_page_that_calls_itself_a_tracker_is_one() -> None:
    tracker = {"type": "Link", "rel": ["tracker", "http"], "href": U}
    assert walked({"type": "Video", "url": [tracker]}).links == ()
    assert [link.url for link in walked({"type": "Video", "url": [tracker | {"mediaType": "text/html"}]}).links] == [U]


def test_a_named_object_may_have_text_in_its_name() -> None:
    assert media({"type": "Create", "object": {"type": "Note", "id": ID, "name": f"![]({U})"}}) == [
        ("inline", U, "/object/name")
    ]
