import pytest

from addons.activitypub.roles import Role, Scope, is_media, is_reference, role_of, role_of_id

POST = Scope(types=("Note",))
ACTOR = Scope(types=("Person",), previews=False)


@pytest.mark.parametrize(
    ("name", "role", "scope", "became"),
    [
        ("content", "object", POST, "text"),
        ("attachment", "object", POST, "media"),
        ("url", "object", POST, "page"),
        ("url", "media", POST, "url"),
        ("href", "url", POST, "url"),
        ("url", "object", Scope(types=("Video",)), "file"),
        ("url", "object", Scope(types=("Document",)), "url"),
        ("tag", "file", POST, "file"),
        ("tag", "object", POST, "tag"),
        ("href", "tag", Scope(types=("Mention",)), "fetch"),
        ("href", "tag", Scope(types=("Hashtag",)), "object"),
        ("@list", "media", POST, "media"),
        ("to", "object", POST, "address"),
        ("object", "object", POST, "fetch"),
        ("object", "object", Scope(types=("Delete",)), "object"),
        ("featured", "object", ACTOR, "fetch"),
        ("featured", "object", POST, "object"),
        ("likes", "object", Scope(types=("Video",)), "fetch"),
        ("unheard", "object", POST, "object"),
    ],
)
def test_what_a_key_makes_of_its_value(name: str, role: Role, scope: Scope, became: Role) -> None:
    found = role_of(name, role, scope)
    assert found is not None
    assert found[0] == became


def test_keys_that_hold_no_url() -> None:
    assert role_of("mediatype", "object", POST) is None


@pytest.mark.parametrize(
    ("name", "role", "scope", "kind"),
    [
        ("icon", "object", ACTOR, "avatar"),
        ("image", "object", ACTOR, "banner"),
        ("preview", "object", ACTOR, "thumbnail"),
        ("icon", "object", POST, "thumbnail"),
        ("icon", "tag", POST, "emoji"),
        ("image", "media", Scope(kind="avatar"), "avatar"),
        ("icon", "media", Scope(kind="page"), "thumbnail"),
        ("attachment", "object", POST, "page"),
        ("cover", "object", POST, "image"),
    ],
)
def test_kinds_of_media(name: str, role: Role, scope: Scope, kind: str) -> None:
    found = role_of(name, role, scope)
    assert found is not None
    assert found[1].kind == kind


def test_only_what_is_an_actor_and_nothing_else_is_one() -> None:
    assert ACTOR.is_actor
    assert not Scope(types=("Person", "Note")).is_actor
    assert not Scope().is_actor


def test_media_roles() -> None:
    assert is_media("url")
    assert not is_media("tag")


@pytest.mark.parametrize(
    ("held", "role", "types", "outer", "became"),
    [
        ({"id", "type"}, "fetch", (), (), "fetch"),
        ({"id", "type", "name"}, "address", (), (), "address"),
        ({"id", "type"}, "fetch", ("Tombstone",), (), None),
        ({"id", "content"}, "fetch", ("Image",), (), None),
        ({"id", "type"}, "media", ("Image",), (), "media"),
        ({"id", "url"}, "media", ("Image",), (), None),
        ({"id", "href"}, "file", (), (), None),
        ({"id", "type"}, "object", ("Image",), ("Note",), "media"),
        ({"id", "type"}, "object", ("Image",), ("Delete",), None),
        ({"id", "type"}, "object", ("Note",), ("Note",), None),
        ({"id", "type"}, "text", ("Image",), (), None),
    ],
)
def test_what_an_id_is(
    held: set[str], role: Role, types: tuple[str, ...], outer: tuple[str, ...], became: Role | None
) -> None:
    assert role_of_id(frozenset(held), role, Scope(types=types), Scope(types=outer)) == became


def test_references() -> None:
    assert is_reference(frozenset({"id"}), "fetch")
    assert not is_reference(frozenset({"id"}), "object")
    assert not is_reference(frozenset({"id", "url"}), "fetch")
