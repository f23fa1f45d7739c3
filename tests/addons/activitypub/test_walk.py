import pytest

from addons.activitypub.references import Link
from tests.addons.activitypub.walking import ID, JPG, MP4, U, V, fetches, links, media, note, walked


@pytest.mark.parametrize(
    ("document", "found"),
    [
        # Mastodon, lotide, Mobilizon: an array; Pleroma's chat: one object; Mbin: a bare string
        (
            note(attachment=[{"type": "Document", "mediaType": "image/png", "url": U}]),
            [("image", U, "/attachment/0/url")],
        ),
        (note(attachment={"type": "Image", "url": U}), [("image", U, "/attachment/url")]),
        (note(attachment=JPG), [("image", JPG, "/attachment")]),
        (note(attachment=[U, JPG]), [("page", U, "/attachment/0"), ("image", JPG, "/attachment/1")]),
        # Akkoma: url is a string, a Link or an array of them
        (
            note(attachment=[{"type": "Document", "url": {"type": "Link", "href": U, "mediaType": "video/mp4"}}]),
            [("video", U, "/attachment/0/url/href")],
        ),
        (
            note(attachment=[{"type": "Audio", "url": [{"href": U, "mediaType": "audio/ogg"}, {"href": JPG}]}]),
            [("audio", U, "/attachment/0/url/0/href"), ("image", JPG, "/attachment/0/url/1/href")],
        ),
        # Lemmy: a Link
        (note(type="Page", attachment=[{"type": "Link", "href": JPG}]), [("image", JPG, "/attachment/0/href")]),
        # types missing, wrong or lying exclude nothing
        (note(attachment=[{"url": U}]), [("page", U, "/attachment/0/url")]),
        (note(attachment=[{"type": "Document", "url": U}]), [("image", U, "/attachment/0/url")]),
        (
            note(attachment=[{"type": "Document", "url": U, "mediaType": "application/pdf"}]),
            [("page", U, "/attachment/0/url")],
        ),
        (note(attachment=[{"type": "Link", "href": U, "mediaType": "text/html"}]), [("page", U, "/attachment/0/href")]),
        (
            note(attachment=[{"type": "Document", "url": MP4, "mediaType": "application/octet-stream"}]),
            [("video", MP4, "/attachment/0/url")],
        ),
        (
            note(attachment=[{"type": "PropertyValue", "url": U, "mediaType": "IMAGE/PNG; q=1"}]),
            [("image", U, "/attachment/0/url")],
        ),
        (
            note(attachment=[{"type": ["Object", "Video"], "url": U, "mediaType": 17}]),
            [("video", U, "/attachment/0/url")],
        ),
        (note(attachment=[{"type": "Document", "id": U}]), [("image", U, "/attachment/0/id")]),
        (note(attachment={"type": "Image", "url": None, "href": [], "id": U}), [("image", U, "/attachment/id")]),
        (
            note(attachment=[{"type": "Image", "url": U, "href": V}]),
            [("image", U, "/attachment/0/url"), ("image", V, "/attachment/0/href")],
        ),
        # thumbnails of attachments
        (
            note(attachment=[{"type": "Video", "url": U, "icon": {"type": "Image", "url": V}}]),
            [("video", U, "/attachment/0/url"), ("thumbnail", V, "/attachment/0/icon/url")],
        ),
        (
            note(attachment=[{"type": "Video", "url": U, "icon": JPG, "preview": V}]),
            [
                ("video", U, "/attachment/0/url"),
                ("thumbnail", JPG, "/attachment/0/icon"),
                ("thumbnail", V, "/attachment/0/preview"),
            ],
        ),
        # posts: Lemmy's thumbnail, WordPress's image, a preview that is a note
        (note(type="Page", image={"type": "Image", "url": U}), [("thumbnail", U, "/image/url")]),
        (
            note(icon={"type": "Image", "url": U}, preview={"type": "Note", "content": f'<img src="{V}">'}),
            [("thumbnail", U, "/icon/url"), ("inline", V, "/preview/content")],
        ),
        # actors
        (
            {
                "type": "Person",
                "id": ID,
                "icon": {"type": "Image", "url": U},
                "image": {"type": "Image", "url": {"href": V}},
            },
            [("avatar", U, "/icon/url"), ("banner", V, "/image/url/href")],
        ),
        (
            {"type": "Group", "id": ID, "icon": [{"url": U}, V], "image": [{"url": [JPG]}]},
            [("avatar", U, "/icon/0/url"), ("avatar", V, "/icon/1"), ("banner", JPG, "/image/0/url/0")],
        ),
        (
            {"type": "Person", "icon": {"type": "Image", "image": {"url": U}, "url": V}},
            [("avatar", U, "/icon/image/url"), ("avatar", V, "/icon/url")],
        ),
        ({"type": "Person", "backgroundUrl": {"type": "Image", "url": U}}, [("banner", U, "/backgroundUrl/url")]),
        # emoji: on notes, actors and reactions
        (
            note(tag=[{"type": "Emoji", "name": ":x:", "icon": {"type": "Image", "url": U}}]),
            [("emoji", U, "/tag/0/icon/url")],
        ),
        ({"type": "EmojiReact", "content": ":x:", "tag": {"icon": U}}, [("emoji", U, "/tag/icon")]),
        # PeerTube
        (
            {
                "type": "Video",
                "id": ID,
                "icon": [{"type": "Image", "url": U}],
                "preview": [{"type": "Image", "rel": ["storyboard"], "url": [{"mediaType": "image/jpeg", "href": V}]}],
                "url": [
                    {"type": "Link", "mediaType": "text/html", "href": ID},
                    {
                        "type": "Link",
                        "mediaType": "application/x-mpegURL",
                        "href": "https://m.example/a",
                        "tag": [
                            {"type": "Infohash", "name": "00"},
                            {"type": "Link", "mediaType": "application/json", "href": "https://m.example/b.json"},
                            {"type": "Link", "mediaType": "video/mp4", "href": "https://m.example/c"},
                            {"type": "Link", "mediaType": "application/x-bittorrent", "href": "https://m.example/d"},
                            {
                                "type": "Link",
                                "mediaType": "application/x-bittorrent;x-scheme-handler/magnet",
                                "href": "magnet:?xt=1",
                            },
                        ],
                    },
                    {"type": "Link", "rel": ["tracker", "http"], "href": "https://m.example/announce"},
                    {"type": "Link", "href": "https://m.example/e"},
                ],
            },
            [
                ("page", ID, "/id"),
                ("thumbnail", U, "/icon/0/url"),
                ("thumbnail", V, "/preview/0/url/0/href"),
                ("video", "https://m.example/a", "/url/1/href"),
                ("video", "https://m.example/c", "/url/1/tag/2/href"),
                ("video", "https://m.example/d", "/url/1/tag/3/href"),
                ("video", "https://m.example/e", "/url/3/href"),
            ],
        ),
        # media as the object itself
        ({"type": "Create", "object": {"type": "Image", "id": ID, "url": U}}, [("image", U, "/object/url")]),
        ({"type": "Create", "object": {"type": "Audio", "id": ID, "url": U}}, [("audio", U, "/object/url")]),
        (
            {"type": "Create", "object": {"type": "Document", "id": ID, "url": [{"href": U}]}},
            [("page", U, "/object/url/0/href")],
        ),
        # a post's own url is what people open, unless it is a file
        (note(url=U), []),
        (note(url=JPG), [("image", JPG, "/url")]),
        (
            note(url=[{"type": "Link", "href": U, "mediaType": "image/webp"}, {"href": V}]),
            [("image", U, "/url/0/href")],
        ),
        # places that no server of ours is known to read: only what ends like a file
        (
            note(location={"type": "Place", "picture": JPG, "url": U, "id": JPG}, x=[{"y": [MP4]}], z=U),
            [("image", JPG, "/location/picture"), ("video", MP4, "/x/0/y/0")],
        ),
        (note(x={"type": "Image", "url": U}), [("image", U, "/x/url")]),
        # under a key that a remote context may explain
        (note(x={"type": "Document", "url": U}), [("image", U, "/x/url")]),
        (note(x={"type": "Image", "id": U}), [("image", U, "/x/id")]),
        (note(x=[{"type": "Link", "href": U, "mediaType": "image/png"}]), [("image", U, "/x/0/href")]),
        (note(x={"href": U, "mediaType": "video/mp4"}), [("video", U, "/x/href")]),
        (note(x={"type": "Link", "href": JPG}), [("image", JPG, "/x/href")]),
        (note(x={"type": "Link", "href": U, "mediaType": "text/html"}), []),
        (note(x={"type": "Link", "href": U}), []),
        ({"type": "Delete", "object": {"type": "Image", "id": U}}, []),
        # Lemmy: the id of a video without attachments is the post's URL
        ({"type": "Video", "id": U}, [("page", U, "/id")]),
        ({"type": "Create", "object": {"type": "Video", "id": JPG}}, [("image", JPG, "/object/id")]),
        ({"type": "Announce", "object": {"type": "Video", "id": U, "attachment": []}}, [("page", U, "/object/id")]),
        ({"type": "Video", "id": U, "as:attachment": V}, [("page", U, "/id"), ("page", V, "/as:attachment")]),
        ({"type": "Video", "id": U, "url": V}, [("page", U, "/id"), ("video", V, "/url")]),
        ({"type": "Video", "id": U, "attachment": [{"type": "Link", "href": V}]}, [("page", V, "/attachment/0/href")]),
        (note(tag=[{"type": "Hashtag", "href": "https://m.example/tags/x"}, {"type": "Mention", "href": JPG}]), []),
    ],
)
def test_shapes_of_media(document: object, found: list[tuple[str, str, str]]) -> None:
    assert media(document) == found


def test_an_attachment_that_says_nothing_of_itself_is_previewed_too() -> None:
    document = note(type="Page", attachment=[{"type": "Link", "href": U}, {"type": "Link", "href": JPG}])
    assert links(document) == [(U, "/attachment/0/href")]


def test_an_icon_that_is_a_bare_iri_is_fetched_as_json_too() -> None:
    document = {"type": "Person", "id": ID, "icon": U, "image": {"type": "Image", "id": V}}
    assert media(document) == [("avatar", U, "/icon"), ("banner", V, "/image/id")]
    assert fetches(document) == [(U, "/icon"), (V, "/image/id")]
    assert fetches({"type": "Person", "icon": {"url": U}}) == []


def test_fields_of_a_profile_are_no_media_unless_they_say_so() -> None:
    fields = [
        {"type": "PropertyValue", "name": "web", "value": f'<a href="{U}">x</a>'},
        {"type": "Link", "href": U},
        {"type": "Link", "href": JPG},
        {"type": "PropertyValue", "name": "x", "value": f'<img src="{V}">'},
        {"type": "Document", "url": U},
    ]
    document = {"type": "Person", "attachment": fields}
    assert media(document) == [
        ("image", JPG, "/attachment/2/href"),
        ("inline", V, "/attachment/3/value"),
        ("image", U, "/attachment/4/url"),
    ]
    # What is an actor and a post at once is a post.
    assert media({"type": ["Person", "Note"], "attachment": [{"type": "Link", "href": U}]})


@pytest.mark.parametrize("wrapped", ["Announce", "Create", "Update", "Undo", "Add", "Move", "Flag", "Like", "Unheard"])
def test_nesting_activities(wrapped: str) -> None:
    inner = note(attachment={"url": JPG}, content=f'<img src="{U}">')
    document = {"type": wrapped, "object": {"type": "Announce", "object": [{"type": wrapped, "target": inner}]}}
    assert media(document) == [
        ("image", JPG, "/object/object/0/target/attachment/url"),
        ("inline", U, "/object/object/0/target/content"),
    ]


@pytest.mark.parametrize("kind", ["Collection", "OrderedCollection", "CollectionPage", "OrderedCollectionPage"])
@pytest.mark.parametrize("key", ["items", "orderedItems"])
def test_collections(kind: str, key: str) -> None:
    document = {
        "type": kind,
        "id": ID,
        key: [{"type": "Create", "object": note(attachment=JPG)}, U],
        "next": V,
        "first": {key: [MP4]},
    }
    assert media(document) == [("image", JPG, f"/{key}/0/object/attachment")]
    assert fetches(document) == [(U, f"/{key}/1"), (V, "/next"), (MP4, f"/first/{key}/0")]


def test_an_array_of_activities() -> None:
    found = walked(
        [{"type": "Create", "id": U, "object": note(attachment=JPG)}, {"type": "Like", "object": note(image=U)}]
    )
    assert [ref.path for ref in found.media] == ["/0/object/attachment", "/1/object/image"]
    assert (found.types, found.activity_id, found.object_id) == (("Create", "Note", "Like"), U, ID)


@pytest.mark.parametrize("key", ["content", "summary", "name", "_misskey_content", "description", "support"])
def test_text_is_searched_for_media(key: str) -> None:
    assert media(note(**{key: f'<p><img src="{U}"></p> ![]({V})'})) == [
        ("inline", U, f"/{key}"),
        ("inline", V, f"/{key}"),
    ]


def test_links_in_text_are_previewed_or_media_where_they_end_like_it() -> None:
    text = (
        f'<a href="{U}">x</a> <a href="{JPG}?x=1">y</a> <a href="{MP4}">z</a> <a href="https://m.example/x.mp3">z</a>'
    )
    assert media(note(content=text)) == [("inline", f"{JPG}?x=1", "/content"), ("inline", MP4, "/content")]
    assert links(note(content=text)) == [(U, "/content"), ("https://m.example/x.mp3", "/content")]
    assert links(note(content=f'<a href="{U}"><img src="{U}"></a>')) == []


@pytest.mark.parametrize(
    ("text", "linked"),
    [
        (f'<a href="{JPG}">x</a>', True),
        (f"[x]({JPG})", True),
        (f"see {MP4}", True),
        (f"<code>{JPG}</code> {JPG}", True),
        (f'<img src="{JPG}">', False),
        (f"![x]({JPG})", False),
        (f'<video src="{MP4}">', False),
        (f"![]({U})", False),
        (f'<a href="{JPG}"><img src="{JPG}"></a>', False),
        (f"![x]({JPG}) {JPG}", False),
        (f"{JPG} [img]{JPG}[/img]", False),
    ],
)
def test_media_that_text_only_links_to_is_told_apart(text: str, linked: bool) -> None:
    assert [ref.linked for ref in walked(note(content=text)).media] == [linked]


def test_media_elsewhere_are_not_linked() -> None:
    found = walked(note(attachment=JPG, url=MP4, x=JPG, content=f"{JPG}", summary=f"![]({JPG})"))
    assert {ref.path: ref.linked for ref in found.media} == {
        "/attachment": False,
        "/url": False,
        "/x": False,
        "/content": True,
        "/summary": False,
    }


def test_people_and_hashtags_are_not_previewed() -> None:
    tags = [{"type": "Mention", "href": U}, {"type": "Hashtag", "href": V}, {"type": "Emoji", "href": ID}]
    text = f'<a href="{U}">@x</a> <a href="{V}">#x</a> <a href="{ID}">x</a> <a class="mention" href="https://b.example/">y</a>'
    assert links(note(content=text, tag=tags)) == [(ID, "/content")]
    # Media they are all the same.
    assert media(note(content=f'<a class="mention" href="{JPG}">x</a>')) == [("inline", JPG, "/content")]


def test_titles_and_profiles_are_not_previewed() -> None:
    document = note(
        name=f"{U} {JPG}", nameMap={"en": V}, attributedTo={"type": "Person", "summary": f'<a href="{U}">x</a>'}
    )
    assert links(document) == []
    assert media(document) == [("inline", JPG, "/name")]


def test_language_maps_and_sources() -> None:
    document = note(
        contentMap={"en": f'<img src="{U}">', "de/x~y": f"![]({V})"},
        source={"content": f"![]({JPG}) <{U}>", "mediaType": "text/bbcode"},
    )
    assert media(document) == [
        ("inline", U, "/contentMap/en"),
        ("inline", V, "/contentMap/de~1x~0y"),
        ("inline", JPG, "/source/content"),
    ]
    assert links(document) == [(U, "/source/content")]
    assert media(note(source=f"![]({U})")) == [("inline", U, "/source")]
    assert media(note(summary={"type": "Image", "url": U})) == [("image", U, "/summary/url")]


@pytest.mark.parametrize("key", ["tag", "url", "href", "attachment", "icon", "name", "id", "type", "to", "x"])
@pytest.mark.parametrize("beside", ["tag", "url", "image"])
def test_a_key_of_another_meaning_hides_no_text(key: str, beside: str) -> None:
    texts = {beside: "x", "en": f'<img src="{U}">', key: f'<img src="{V}">'}
    assert {url for kind, url, _ in media(note(contentMap=texts)) if kind == "inline"} == {U, V}
    nested = note(contentMap={beside: "x", "en": {key: [f"![]({U})"]}})
    assert ("inline", U) in {(kind, url) for kind, url, _ in media(nested)}


def test_an_object_in_the_place_of_text_is_one_still() -> None:
    document = note(summary={"url": JPG, "x": {"type": "Image", "url": U}, "content": f"![]({V})", "id": ID})
    assert {(kind, url) for kind, url, _ in media(document)} == {
        ("image", JPG),
        ("inline", JPG),
        ("image", U),
        ("inline", V),
    }


def test_the_url_of_a_post_that_others_link_to_is_previewed() -> None:
    for kind in ("Page", "Article", "Event"):
        assert links(note(type=kind, url=U)) == [(U, "/url")]
        assert links(note(type=kind, url=[{"type": "Link", "href": U}])) == [(U, "/url/0/href")]
    assert links(note(url=U)) == []
    assert links({"type": "Video", "url": [{"href": U, "mediaType": "text/html"}]}) == [(U, "/url/0/href")]


def test_relative_urls_are_resolved_against_the_nearest_id() -> None:
    document = {
        "id": "https://b.example/act",
        "object": note(attachment=["/x.png", "//c.example/y.png", {"url": "z.png"}]),
    }
    assert [url for _, url, _ in media(document)] == [
        "https://a.example/x.png",
        "https://c.example/y.png",
        "https://a.example/post/z.png",
    ]
    assert media(note(content="<img src='/i'> [x](#y)")) == [("inline", "https://a.example/i", "/content")]
    assert media({"attachment": ["/x.png", "//c.example/y.png"]}) == [
        ("image", "https://c.example/y.png", "/attachment/1")
    ]


def test_data_urls_are_media_and_other_schemes_are_nothing() -> None:
    data = "data:image/png;base64,iVBORw0KGgo="
    assert media(note(attachment={"url": data}, content=f'<img src="{data}">')) == [
        ("image", data, "/attachment/url"),
        ("inline", data, "/content"),
    ]
    assert media(note(icon=data))[0][:2] == ("thumbnail", data)
    for other in ("ftp://a.example/x.png", "ipfs://x/y.png", "javascript:x", "cid:x.png", "not a url.png", ""):
        assert media(note(attachment={"url": other}, icon=other)) == []


def test_links_are_told_once_a_place() -> None:
    assert walked(note(content=f"{U} {U} [x]({U})")).links == (Link(U, "/content", text=True),)
