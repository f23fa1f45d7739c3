import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.activitypub.parsing import Cut, Repeated, parse
from addons.activitypub.references import Walk
from addons.activitypub.strip import CannotStripError, _Stripper, bare_actor, strip
from addons.activitypub.walk import walk
from tests.addons.activitypub.walking import AS, ID, JPG, U, V, note

BAD, GOOD = JPG, "https://m.example/good.jpg"


def parsed(body: bytes) -> object:
    return parse(body, max_depth=64, max_nodes=20_000, exact=True).document


def seen(document: object) -> Walk:
    return walk(document, max_depth=64, max_nodes=20_000, max_media=1_000)


def stripped(document: object, *urls: str) -> Any:
    """What is left, as a server would read it."""
    before = json.dumps(document)
    left = strip(parsed(before.encode()), urls or (BAD,))
    assert json.dumps(document) == before
    return json.loads(json.dumps(left, allow_nan=False))


def image(url: object, **more: object) -> dict[str, object]:
    return {"type": "Image", "url": url, **more}


# -- shapes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "left"),
    [
        # attachments
        (note(attachment=[image(BAD), image(GOOD)]), note(attachment=[image(GOOD)])),
        (note(attachment=[image(BAD)], x=1), note(attachment=[], x=1)),
        (note(attachment=image(BAD)), note()),
        (note(attachment=BAD), note()),
        (note(attachment=[BAD, GOOD]), note(attachment=[GOOD])),
        (note(attachment=[{"type": "Link", "href": BAD}]), note(attachment=[])),
        (note(attachment=[{"type": "Document", "url": [{"type": "Link", "href": BAD}]}]), note(attachment=[])),
        (
            note(attachment=[image([{"type": "Link", "href": BAD}, {"type": "Link", "href": GOOD}])]),
            note(attachment=[image([{"type": "Link", "href": GOOD}])]),
        ),
        (
            note(attachment=[{"type": "Video", "url": GOOD, "icon": image(BAD)}]),
            note(attachment=[{"type": "Video", "url": GOOD}]),
        ),
        (note(attachment=[{"type": "Video", "url": BAD, "icon": image(GOOD)}]), note(attachment=[])),
        # icons, images, previews
        (note(image=image(BAD), icon=[image(BAD)]), note()),
        (note(icon=[image(BAD), image(GOOD)]), note(icon=[image(GOOD)])),
        (note(preview=note(attachment=[image(BAD)])), note(preview=note(attachment=[]))),
        # emoji
        (
            note(tag=[{"type": "Emoji", "name": ":a:", "icon": image(BAD)}, {"type": "Mention", "href": ID}]),
            note(tag=[{"type": "Mention", "href": ID}]),
        ),
        # a post's own url, a video's
        (note(url=BAD, name="a"), note(name="a")),
        (
            {"type": "Video", "id": ID, "url": [{"type": "Link", "mediaType": "video/mp4", "href": U}, {"href": V}]},
            {"type": "Video", "id": ID, "url": [{"href": V}]},
        ),
        # text
        (note(content=f'<p>a<img src="{BAD}"></p>'), note(content="<p>a</p>")),
        (note(contentMap={"en": f"![]({BAD})b", "id": "c"}), note(contentMap={"en": "b", "id": "c"})),
        (
            note(source={"content": f"a ![b]({BAD})", "mediaType": "text/markdown"}),
            note(source={"content": "a ", "mediaType": "text/markdown"}),
        ),
        (note(summary=f"see {BAD}", name=f"{BAD}"), note(summary="see ", name="")),
        # other spellings
        ({f"{AS}attachment": [{"@type": f"{AS}Image", f"{AS}url": [{"@id": BAD}]}]}, {f"{AS}attachment": []}),
        (
            {"@context": [{"pic": "as:image"}], "type": "Note", "pic": {"url": BAD}},
            {"@context": [{"pic": "as:image"}], "type": "Note"},
        ),
        (note(attachment={"@list": [image(BAD)]}), note(attachment={"@list": []})),
        (note(attachment=[image("//m.example/x.jpg"), image("https://M.example:443/%78.jpg#a")]), note(attachment=[])),
        (note(content='<img src="//m.example/x&#46;jpg">'), note(content="")),
        # numbers and what is not known
        (
            note(attachment=image(BAD), n=12345678901234567890, f=1.5, z=None),
            note(n=12345678901234567890, f=1.5, z=None),
        ),
    ],
)
def test_shapes(document: object, left: object) -> None:
    assert stripped(document, BAD, U) == left


def test_relative_urls_go_by_what_they_stand_for() -> None:
    document = note(attachment=[image("/pics/1"), image("https://a.example/pics/2")], content='<img src="/pics/1">a')
    assert stripped(document, "https://a.example/pics/1") == note(
        attachment=[image("https://a.example/pics/2")], content="a"
    )


def test_a_link_to_the_medium_goes_too() -> None:
    document = note(attachment=[image(U)], content=f'<a href="{U}">a</a>', url=U)
    assert stripped(document | {"type": "Page"}, U) == note(attachment=[], content="<a>a</a>") | {"type": "Page"}


def test_order_stays() -> None:
    document = {"z": 1, **note(icon=image(BAD), content=f"![]({BAD})"), "a": [3, 1, 2]}
    assert list(stripped(document)) == ["z", "type", "id", "content", "a"]


@pytest.mark.parametrize(
    "document",
    [
        image(BAD),
        [image(BAD)],
        {"type": "Create", "object": image(BAD)},
        {"type": "Announce", "object": {"type": "Create", "object": image(BAD)}},
        {"type": "Video", "id": BAD},
    ],
)
def test_a_document_that_is_nothing_else_cannot_be_stripped(document: object) -> None:
    with pytest.raises(CannotStripError, match="nothing would be left"):
        strip(document, [BAD])


def test_an_item_that_is_nothing_else_leaves_its_collection() -> None:
    page = {"type": "OrderedCollection", "orderedItems": [image(BAD), {"type": "Create", "object": image(BAD)}, ID]}
    assert stripped(page) == {"type": "OrderedCollection", "orderedItems": [ID]}


@pytest.mark.parametrize("bound", ["depth", "nodes"])
def test_what_was_not_seen_whole_cannot_be_stripped(bound: Any) -> None:
    with pytest.raises(CannotStripError, match=f"more {bound} than is looked at"):
        strip(Cut(bound), [BAD])


def test_bounds_are_those_given() -> None:
    document = note(attachment=[image(BAD)])
    assert strip(document, [BAD], max_depth=3, max_nodes=7, max_media=1) == note(attachment=[])
    for bounds in ({"max_depth": 2}, {"max_nodes": 6}, {"max_media": 0}):
        with pytest.raises(CannotStripError):
            strip(document, [BAD], **bounds)


def test_what_is_left_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Stripper, "run", lambda self, document: document)
    with pytest.raises(CannotStripError, match="cannot be taken out"):
        strip(note(icon=BAD), [BAD])


# -- repeated keys and odd numbers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ('{"icon": "BAD", "icon": "GOOD"}', {"icon": GOOD}),
        ('{"icon": "GOOD", "icon": "BAD"}', {"icon": GOOD}),
        ('{"a": 1, "icon": "BAD", "icon": "BAD"}', {"a": 1}),
        (
            '{"icon": {"url": "BAD", "url": 1}, "icon": {"url": "GOOD", "x": 2}}',
            {"icon": {"url": GOOD, "x": 2}},
        ),
        ('{"a": 1, "a": [2, 3], "b": {"c": 1, "c": 2}}', {"a": [2, 3], "b": {"c": 2}}),
        ('{"@context": {"a": 1, "a": 2}, "a": 1}', {"@context": {"a": 2}, "a": 1}),
        (
            '{"a": NaN, "b": Infinity, "c": -Infinity}',
            {"a": None, "b": 1.7976931348623157e308, "c": -1.7976931348623157e308},
        ),
        ('{"a": %s}' % ("9" * 400), {"a": 1.7976931348623157e308}),
        ('{"a": 1e2, "b": 0.1}', {"a": 100, "b": 0.1}),
    ],
)
def test_what_is_left_is_plain_json(body: str, left: object) -> None:
    body = body.replace("BAD", BAD).replace("GOOD", GOOD)
    for exact in (False, True):
        document = parse(body.encode(), max_depth=9, max_nodes=99, exact=exact).document
        found = strip(document, [BAD])
        assert not any(isinstance(each, Repeated) for each in found.values())  # type: ignore[attr-defined]  # a dict
        assert json.loads(json.dumps(found, allow_nan=False)) == left


def test_keys_that_no_pointer_can_say_are_found() -> None:
    document = {"type": "Note", "\ud800a": {"icon": BAD}, "k" * 2_000: {"icon": BAD}, "l~/": {"icon": BAD}}
    assert "x.jpg" not in json.dumps(strip(document, [BAD]))


# -- signatures --------------------------------------------------------------------------------------------------------


def test_what_was_changed_loses_its_signatures_and_so_does_what_is_around_it() -> None:
    signature = {"type": "RsaSignature2017", "creator": ID, "signatureValue": "x"}
    proof = [{"type": "DataIntegrityProof", "proofValue": "z"}]
    document = {
        "type": "Announce",
        "signature": signature,
        "https://w3id.org/security#proof": proof,
        "object": {"type": "Create", "sec:proof": proof, "object": note(attachment=[image(BAD)], proof=proof[0])},
        "instrument": {"type": "Note", "proof": proof, "signature": signature, "odd": signature},
    }
    assert stripped(document) == {
        "type": "Announce",
        "object": {"type": "Create", "object": note(attachment=[])},
        "instrument": {"type": "Note", "proof": proof, "signature": signature, "odd": signature},
    }


def test_a_signature_that_is_a_text_stays() -> None:
    assert stripped(note(attachment=BAD, signature="Yours, A.")) == note(signature="Yours, A.")


def test_nothing_to_strip_changes_nothing() -> None:
    document = note(attachment=[image(GOOD)], proof={"proofValue": "z"})
    assert stripped(document, BAD) == document


# -- actors ------------------------------------------------------------------------------------------------------------


def test_a_bare_actor_has_what_servers_need() -> None:
    addresses = {
        "id": ID,
        "inbox": f"{ID}/inbox",
        "preferredUsername": "a",
        "publicKey": {"id": f"{ID}#k", "owner": ID},
    }
    actor = {"@context": [{"pic": "as:icon"}], "type": "Person", **addresses}
    shown = {"pic": BAD, "name": f"![]({BAD})", "summary": "s", "icon": image(BAD), "url": BAD, "tag": [BAD], "x": BAD}
    assert bare_actor(actor | shown) == actor


@pytest.mark.parametrize("document", [[{"type": "Person"}], {"type": "Person", "endpoints": {"icon": BAD}}, None])
def test_what_even_a_bare_actor_shows_is_refused(document: object) -> None:
    with pytest.raises(CannotStripError):
        bare_actor(document)


# -- properties --------------------------------------------------------------------------------------------------------

_OWN = re.compile(r"(?:/(?:url|href|id)(?:/\d+)?)+\Z")


def assert_stripping_is_exact(document: object) -> None:
    """Each single media URL can be taken out: no trace of it is left, and all others are."""
    before = seen(document)
    assert before.overflow is None
    for url in dict.fromkeys(ref.url for ref in before.media):
        own = [ref.path for ref in before.media if ref.url == url]
        try:
            body = json.dumps(strip(document, [url]), allow_nan=False).encode()
        except CannotStripError:
            # The very object, or the id of one that servers would take for its URL.
            assert all(re.fullmatch(r"(?:/object)*(?:/url|/href|/id)*", path) for path in own), own
            continue
        after = seen(parsed(body))
        assert url not in {ref.url for ref in after.media} | {link.url for link in after.links}
        left = {ref.url for ref in after.media}
        around = [_OWN.sub("", path) for path in own]
        for ref in before.media:
            # What an object shows besides goes with it: a thumbnail of the attachment, the parts of a playlist.
            inside = any(ref.path.startswith(f"{path}/") for path in around)
            assert ref.url == url or ref.url in left or inside, (url, ref)
        assert after.types == before.types


def test_real_documents(activities: Path) -> None:
    for file in sorted(activities.rglob("*.json")):
        assert_stripping_is_exact(parsed(file.read_bytes()))


_numbers = st.integers(0, 5)
_urls = st.one_of(
    _numbers.map(lambda at: f"https://m.example/{at}.png"),
    _numbers.map(lambda at: f"https://m.example/f/{at}?a=1&b={at}"),
    _numbers.map(lambda at: f"/media/{at}.jpg"),
    _numbers.map(lambda at: f"//n.example/{at}.webp"),
)
_snippets = st.builds(
    lambda form, url: form.replace("URL", url),
    st.sampled_from(
        [
            '<p>a <img src="URL" alt="b"></p>',
            "<img src='URL'>",
            '<a href="URL">c</a>',
            '<video poster="URL"></video>',
            '<p style="background: url(URL)">d</p>',
            "![e](URL)",
            "[f](URL)",
            "[img]URL[/img]",
            "g",
        ]
    ),
    _urls,
)
_texts = st.lists(_snippets, max_size=4).map(" \n\n".join)
_links = st.builds(
    lambda url, kind: {"type": "Link", "href": url, "mediaType": kind},
    _urls,
    st.sampled_from(["image/png", "video/mp4"]),
)
_places = st.one_of(_urls, st.lists(_links, max_size=3), _links)
_images = st.one_of(
    _urls,
    _links,
    st.builds(
        lambda kind, url, more: {"type": kind, "url": url, **more},
        st.sampled_from(["Image", "Document", "Video"]),
        _places,
        st.fixed_dictionaries({}, optional={"icon": _urls.map(image), "name": st.just("h"), "blurhash": st.just("i")}),
    ),
)
_tags = st.one_of(
    _urls.map(lambda url: {"type": "Emoji", "name": ":j:", "icon": image(url)}),
    st.just({"type": "Mention", "href": "https://n.example/u/k"}),
)
_posts = st.fixed_dictionaries(
    {"type": st.sampled_from(["Note", "Page", "Article", "Person", "Group"]), "id": st.just(ID)},
    optional={
        "content": _texts,
        "summary": _texts,
        "contentMap": st.dictionaries(st.sampled_from(["en", "de"]), _texts),
        "source": st.fixed_dictionaries({"content": _texts, "mediaType": st.just("text/markdown")}),
        "attachment": st.one_of(_images, st.lists(_images, max_size=3)),
        "icon": st.one_of(_images, st.lists(_images, max_size=2)),
        "image": _images,
        "as:preview": _images,
        "tag": st.lists(_tags, max_size=3),
        "url": st.one_of(st.just("https://a.example/p"), _urls),
        "published": st.integers(),
        "proof": st.just({"type": "DataIntegrityProof"}),
    },
)
_documents = st.recursive(
    _posts,
    lambda inner: st.one_of(
        inner.map(lambda each: {"type": "Create", "id": f"{ID}/c", "object": each}),
        st.lists(inner, max_size=3).map(lambda each: {"type": "OrderedCollection", "orderedItems": each}),
    ),
    max_leaves=4,
)


@given(_documents)
@settings(max_examples=150, deadline=None)
def test_any_document_of_known_shapes(document: object) -> None:
    assert_stripping_is_exact(document)
