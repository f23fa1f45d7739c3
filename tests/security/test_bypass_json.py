"""Bypass corpus, JSON and JSON-LD: a post that says where its picture is in a way that only some servers read."""

import json

import pytest

from tests.addons.doors.opened import ACTOR
from tests.security.bypass import BOTH, FORBIDDEN, HARMLESS, JUDGED, ORDINARY, Ending, World, posted

pytestmark = pytest.mark.asyncio(loop_scope="module")

AS = "https://www.w3.org/ns/activitystreams#"
NOTE = '{"type": "Create", "actor": "%s", "object": {"type": "Note", "id": "http://$AT/notes/1", %s}}'
IMAGE = '{"type": "Image", "url": "$URL"}'
DEEP = 60
"""Objects in one another, of the 64 that are looked at."""

# -- what a note holds -------------------------------------------------------------------------------------------------
MEMBERS: dict[str, Ending] = {
    **dict.fromkeys(
        [
            # attachments in all their shapes
            *['"attachment": "$URL"', '"attachment": ["$URL"]', f'"attachment": {IMAGE}', f'"attachment": [[{IMAGE}]]'],
            *['"attachment": {"href": "$URL"}', '"attachment": {"type": "Link", "href": "$URL"}'],
            '"attachment": {"type": "Document", "mediaType": "text/html", "url": "$URL"}',
            '"attachment": {"type": "Document", "mediaType": "application/json", "url": "$URL"}',
            '"attachment": {"type": "Audio", "mediaType": "audio/mpeg", "url": "$URL"}',
            '"attachment": {"type": "Note", "mediaType": "text/plain", "url": "$URL"}',
            '"attachment": {"type": "PropertyValue", "url": "$URL"}',
            '"attachment": {"type": "Image", "url": [{"type": "Link", "href": [{"href": "$URL"}]}]}',
            '"attachment": {"type": "Image", "url": [null, 0, {"a": 1}, "http://$AT/other", [["$URL"]]]}',
            '"attachment": {"type": "Image", "id": "$URL"}',
            '"attachment": {"type": "Image", "id": "$URL", "url": ""}',
            '"attachment": {"type": "Image", "id": "$URL", "url": []}',
            '"attachment": {"type": "Image", "url": {"@id": "$URL"}}',
            '"attachment": {"type": "Image", "url": "http://$AT/other", "href": "$URL"}',
            '"attachment": {"type": "Image", "icon": "$URL"}',
            '"attachment": {"type": "Video", "url": [{"mediaType": "text/html", "href": "$URL"}]}',
            '"attachment": {"type": "Video", "url": [{"rel": "tracker", "mediaType": "image/png", "href": "$URL"}]}',
            '"url": [{"type": "Link", "mediaType": "image/png", "href": "$URL"}]',
            '"url": [{"type": "Link", "mediaType": " IMAGE/PNG; q=1", "href": "$URL"}]',
            # other places
            *[
                f'"{key}": {IMAGE}'
                for key in ("image", "icon", "preview", "Attachment", "IMAGE", "thumbnailUrl", "cover")
            ],
            *[f'"{key}": "$URL"' for key in ("image", "icon", "preview", "banner", "attachments")],
            f'"preview": {{"type": "Note", "attachment": [{IMAGE}]}}',
            '"preview": {"type": "Note", "content": "<img src=$URL>"}',
            '"tag": {"type": "Emoji", "name": ":a:", "icon": {"type": "Image", "url": "$URL"}}',
            '"tag": [{"type": "Emoji", "name": ":a:", "icon": "$URL"}]',
            '"tag": [{"type": "Mention", "href": "http://$AT/other", "icon": [{"url": ["$URL"]}]}]',
            '"tag": [{"type": "Hashtag", "image": {"url": {"href": "$URL"}}}]',
            f'"oneOf": [{{"type": "Note", "name": "a", "attachment": {IMAGE}}}]',
            '"anyOf": [{"type": "Note", "name": "![a]($URL)"}]',
            f'"attributedTo": {{"type": "Person", "id": "{ACTOR}", "icon": {IMAGE}}}',
            f'"inReplyTo": {{"type": "Note", "attachment": {IMAGE}}}',
            f'"replies": {{"type": "Collection", "first": {{"items": [{{"type": "Note", "image": {IMAGE}}}]}}}}',
            f'"quote": {{"type": "Note", "attachment": {IMAGE}}}',
            f'"location": {{"type": "Place", "image": {IMAGE}}}',
            f'"generator": {{"type": "Application", "icon": {IMAGE}}}',
            f'"x": {{"y": [{{"z": {IMAGE}}}]}}',
            # text
            *['"source": {"content": "![]($URL)", "mediaType": "text/markdown"}', '"source": "![]($URL)"'],
            *['"contentMap": {"en": "<img src=$URL>"}', '"contentMap": {"to": "<img src=$URL>"}'],
            *['"contentMap": {"id": ["<img src=$URL>"]}', '"contentMap": {"url": "<img src=$URL>"}'],
            *['"summaryMap": {"und": "![]($URL)"}', '"nameMap": {"x": {"@value": "<img src=$URL>"}}'],
            *['"content": ["a", "<img src=$URL>"]', '"content": {"@value": "<img src=$URL>", "@language": "en"}'],
            *['"summary": "[img]$URL[/img]"', '"name": "<img src=$URL>"', '"_misskey_content": "![]($URL)"'],
            # JSON-LD's own ways
            *[f'"{AS}attachment": [{{"@type": ["{AS}Image"], "{AS}url": [{{"@id": "$URL"}}]}}]'],
            *[f'"as:attachment": {{"@list": [{IMAGE}]}}', f'"attachment": {{"@set": [{{"@set": {IMAGE}}}]}}'],
            *['"attachment": {"@id": "$URL"}', '"attachment": {"@type": "@id", "@value": "$URL"}'],
            *[f'"@graph": [{{"type": "Note", "attachment": {IMAGE}}}]', f'"@included": {{"image": {IMAGE}}}'],
            *[f'"@nest": {{"attachment": {IMAGE}}}', f'"@reverse": {{"object": {{"attachment": {IMAGE}}}}}'],
            '"@context": {"pic": "as:attachment"}, "pic": "$URL"',
            f'"@context": {{"pic": {{"@id": "{AS}attachment", "@type": "@id"}}}}, "pic": "$URL"',
            f'"@context": {{"a": "{AS}", "pic": "a:image"}}, "pic": {{"b": 1, "a:url": "$URL"}}',
            '"@context": {"@vocab": "https://www.w3.org/ns/activitystreams#att"}, "achment": "$URL"',
            f'"@context": {{"Note": {{"@id": "as:Note", "@context": {{"z": "{AS}icon"}}}}}}, "z": "$URL"',
            '"@context": [null, [{"pic": "as:attachment"}]], "x": {"pic": ["$URL"]}',
            '"@context": {"holds": "@nest"}, "holds": {"attachment": "$URL"}',
            '"@context": {"bild": "as:content"}, "bild": "<img src=$URL>"',
            f'"@context": {{"pic": {{"@reverse": "{AS}attachment"}}}}, "pic": {IMAGE}',
            # repeated keys: the first counts, the last counts
            '"attachment": "$URL", "attachment": []',
            '"attachment": [], "attachment": "$URL", "attachment": null',
            '"attachment": {"type": "Image", "url": "$URL", "url": "http://$AT/other"}',
            '"content": "<img src=$URL>", "content": "words"',
            '"type": "Person", "attachment": "$URL", "type": "Note"',
            # how JSON may be written
            '"\\u0061ttachment": "$URL"',
            '"attachment": "\\u0068ttp:\\/\\/$AT$PATH"',
            '"attachment": "$URL", "a": NaN, "b": -Infinity, "c": 1e999',
            f'"attachment": "$URL", "a": {"9" * 5000}, "b": 0.{"1" * 5000}, "c": -0',
            '"attachment": "$URL", "a": "\\ud800", "\\udfff": 1, "b": "\\u0000"',
            '"a": "\t\x01\x7f", "attachment": "$URL"',
            f'"attachment": "$URL", "x": {"[" * DEEP}{"]" * DEEP}',
            f'"x": {'{"x": ' * (DEEP - 2)}{{"attachment": "$URL"}}{"}" * (DEEP - 2)}',
            f'"x": [{"0, " * 15000}0], "attachment": "$URL"',
        ],
        JUDGED,
    ),
    # past the bounds nothing is seen, so nothing passes
    f'"attachment": "$URL", "x": {"[" * 64}{"]" * 64}': "too_many",
    f'"x": {'{"x": ' * 64}{{"attachment": "$URL"}}{"}" * 64}': "too_many",
    f'"x": {"[" * 30_000}{"]" * 30_000}, "attachment": "$URL"': "too_many",
    f'"x": [{"0, " * 20_000}0], "attachment": "$URL"': "too_many",
    f'"attachment": [{", ".join(f'"http://$AT/{number}.png"' for number in range(33))}]': "too_many",
    # no JSON: some parsers take it, so it is refused
    **dict.fromkeys(
        [
            *[
                '"attachment": "$URL",',
                '/* */ "attachment": "$URL"',
                '"attachment": "$URL" // x\n',
                "'attachment': '$URL'",
            ],
            *['attachment: "$URL"', '"attachment": "$URL", "a": 0x10', '"attachment": "$URL", "a": +1'],
            *['"attachment": "$URL", "a": 01', '"attachment": "$URL", "a": .5', '"attachment": "$URL", "a": True'],
            *['"attachment": "\\x68ttp"', '"attachment": "$URL", "a": undefined', '"attachment": "$URL", "a": "'],
        ],
        400,
    ),
    # nobody fetches these
    **dict.fromkeys(
        [
            *['"id": "$URL"', '"tag": [{"type": "Hashtag", "href": "$URL"}]', '"x": "$URL"', '"partOf": "$URL"'],
            *['"attachment": "blob:$URL"', '"attachment": "ipfs://$AT$PATH"', '"attachment": "ftp://$AT$PATH"'],
        ],
        HARMLESS,
    ),
}


@BOTH
@pytest.mark.parametrize("members", MEMBERS, ids=lambda members: members[:70])
async def test_wherever_a_note_has_it(world: World, members: str, bad: bool) -> None:
    picture = world.picture(FORBIDDEN if bad else ORDINARY)
    await world.holds(posted(picture.fill(NOTE % (ACTOR, members)).encode()), MEMBERS[members], bad=bad)


# -- what is around it -------------------------------------------------------------------------------------------------
BARE = f'{{"type": "Note", "id": "http://$AT/notes/1", "attachment": {IMAGE}}}'
AROUND: dict[str, Ending] = {
    **dict.fromkeys(
        [
            *[BARE, f"[{BARE}]", f'[{{"type": "Like"}}, {BARE}]'],
            *[
                f'{{"type": "{kind}", "object": {BARE}}}'
                for kind in ("Update", "Announce", "Add", "Like", "Flag", "Undo")
            ],
            f'{{"type": "Announce", "object": {{"type": "Create", "object": [{BARE}]}}}}',
            f'{{"type": "Undo", "object": {{"type": "Announce", "object": {{"type": "Announce", "object": {BARE}}}}}}}',
            f'{{"object": {BARE}}}',
            f'{{"type": [], "object": {BARE}}}',
            # PeerTube takes collections of activities
            *[f'{{"type": "{kind}", "items": [{BARE}]}}' for kind in ("Collection", "OrderedCollectionPage", "x")],
            f'{{"type": "OrderedCollection", "orderedItems": [{{"type": "Create", "object": {BARE}}}]}}',
            f'{{"type": "Collection", "first": {{"type": "CollectionPage", "items": {BARE}}}}}',
            f'{{"type": "Move", "target": {{"type": "Person", "icon": {IMAGE}}}}}',
            f'{{"type": "Update", "object": {{"type": "Group", "id": "{ACTOR}", "image": {IMAGE}}}}}',
            f'{{"type": "Follow", "instrument": {BARE}}}',
            '{"type": "EmojiReact", "content": ":a:", "tag": [{"type": "Emoji", "icon": {"url": "$URL"}}]}',
            '{"type": "Block", "content": "<img src=$URL>"}',
            f'{{"type": "Delete", "object": {{"type": "Tombstone", "formerType": "Note", "attachment": {IMAGE}}}}}',
            '{"type": "ChatMessage", "attachment": {"url": [{"href": "$URL"}]}}',
            f'{{"@context": "x", "@graph": [{BARE}]}}',
            f'{{"signature": {{"type": "RsaSignature2017"}}, "object": {BARE}}}',
            f'{{"object": {BARE}, "object": {{"type": "Note"}}}}',
            f'{{"object": {{"type": "Note"}}, "Object": {BARE}}}',
            f'  \t\r\n{{"object": {BARE}}}\n\n',
        ],
        JUDGED,
    ),
    **dict.fromkeys(
        [f'["$URL", {BARE}]', '"$URL"', "[[" + BARE + "]]", "null", "", "0", f"{BARE} {BARE}", f"{BARE}x"], 400
    ),
}


@BOTH
@pytest.mark.parametrize("text", AROUND, ids=lambda text: text[:70])
async def test_whatever_brings_it(world: World, text: str, bad: bool) -> None:
    picture = world.picture(FORBIDDEN if bad else ORDINARY)
    await world.holds(posted(picture.fill(text).encode()), AROUND[text], bad=bad)


# -- what characters it is in ------------------------------------------------------------------------------------------
@BOTH
@pytest.mark.parametrize(
    ("before", "codec", "ends"),
    [
        (b"\xef\xbb\xbf", "utf-8", JUDGED),
        *[(b"", codec, 400) for codec in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be", "cp037")],
        (b"\xef\xbb\xbf\xef\xbb\xbf", "utf-8", 400),
        (b"\0", "utf-8", 400),
        (b")]}'\n", "utf-8", 400),
        (b"\xff", "utf-8", 400),
        (b"\x1e", "utf-8", 400),
    ],
)
async def test_whatever_characters_it_is_in(world: World, before: bytes, codec: str, ends: Ending, bad: bool) -> None:
    picture = world.picture(FORBIDDEN if bad else ORDINARY)
    text = picture.fill(NOTE % (ACTOR, '"content": "é+é", "attachment": "$URL"'))
    await world.holds(posted(before + encoded(text, codec)), ends, bad=bad)


def encoded(text: str, codec: str) -> bytes:
    return text.encode(codec) if codec != "cp037" else text.encode("ascii", "replace").decode().encode(codec)


@BOTH
@pytest.mark.parametrize("broken", [b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe9", b"\x80"])
async def test_bytes_that_are_no_text(world: World, broken: bytes, bad: bool) -> None:
    picture = world.picture(FORBIDDEN if bad else ORDINARY)
    body = json.dumps({"type": "Note", "content": "X", "attachment": picture.url}).encode().replace(b"X", broken)
    await world.holds(posted(body), 400, bad=bad)
