from tests.addons.activitypub.walking import AS, ID, U, V, fetches, note


def test_bare_iris_that_are_dereferenced() -> None:
    keys = [
        "actor",
        "object",
        "target",
        "inReplyTo",
        "attributedTo",
        "audience",
        "quoteUrl",
        "replies",
        "movedTo",
        "instrument",
    ]
    document: dict[str, object] = {"type": "Announce", **{key: f"https://b.example/{key}" for key in keys}}
    assert fetches(document) == [(f"https://b.example/{key}", f"/{key}") for key in keys]
    assert fetches({"actor": {"type": "Person", "id": U}, "object": [V, {"id": ID}]}) == [
        (U, "/actor/id"),
        (V, "/object/0"),
        (ID, "/object/1/id"),
    ]
    assert fetches(
        {"tag": [{"type": "Mention", "href": U}, {"type": "Link", "href": V}, {"type": "Hashtag", "href": ID}]}
    ) == [
        (U, "/tag/0/href"),
        (V, "/tag/1/href"),
    ]


def test_what_is_embedded_or_deleted_is_not_dereferenced() -> None:
    assert fetches({"type": "Create", "object": note(content="x")}) == []
    assert fetches({"type": "Delete", "object": U}) == []
    assert fetches({"type": "Undo", "object": {"type": "Delete", "object": U}}) == []
    assert fetches({"type": "Delete", "object": {"type": "Tombstone", "id": U}}) == []
    assert fetches({"type": "Remove", "object": {"type": "Tombstone", "id": U}}) == []
    assert fetches({"likes": U, "url": U, "context": U, "object": "tag:x", "id": U}) == []


def test_recipients_are_looked_up_but_not_the_public_or_followers() -> None:
    document = {"to": [f"{AS}Public", "as:Public", U], "cc": [f"{U}/followers", "https://b.example/followers/x", V]}
    assert fetches(document) == [(U, "/to/2"), (V, "/cc/2")]


def test_collections_of_actors_and_videos() -> None:
    collections = {"featured": U, "outbox": V, "likes": ID}
    assert fetches({"type": "Person", **collections}) == [(U, "/featured"), (V, "/outbox")]
    assert fetches({"type": "Video", **collections}) == [(ID, "/likes")]
    assert fetches({"type": "Note", **collections}) == []
