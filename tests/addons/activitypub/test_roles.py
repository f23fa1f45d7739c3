import pytest

from addons.activitypub.roles import Role, Scope, is_media, role_of

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
