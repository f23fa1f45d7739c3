import pytest

from addons.activitypub.keys import Keys, local_name
from addons.activitypub.parsing import Repeated

AS = "https://www.w3.org/ns/activitystreams#"


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("inReplyTo", "inreplyto"),
        ("as:inReplyTo", "inreplyto"),
        ("https://www.w3.org/ns/activitystreams#orderedItems", "ordereditems"),
        ("http://schema.org/value", "value"),
        ("@id", "id"),
        ("@TYPE", "type"),
        ("@value", "@value"),
        ("Unheard:Of", "unheard:of"),
        ("x" * 100 + ":content", "content"),
        ("", ""),
    ],
)
def test_names_of_keys(key: str, name: str) -> None:
    assert Keys().name(key) == name


def test_terms_of_a_context() -> None:
    keys = Keys()
    keys.learn(["https://a.example/", None, {"pic": "as:image", "loop": "pool", "pool": "loop", "url": "as:x", "n": 1}])
    keys.learn({"Pic": {"@id": "as:Image"}, "z": {"@id": None}, "@base": "as:content"})
    assert keys.name("pic") == "image"
    assert keys.name("loop") in ("loop", "pool")
    assert (keys.name("url"), keys.name("n"), keys.name("z"), keys.name("@base")) == ("url", "n", "z", "@base")
    assert keys.types(["Pic", "as:Note", "Note", 1, None]) == ("Pic", "Image", "Note")


def test_local_names() -> None:
    assert local_name("as:Image") == local_name("https://www.w3.org/ns/activitystreams#Image") == "Image"


@pytest.mark.parametrize(
    ("context", "key", "names"),
    [
        ({"partOf": "as:attachment"}, "partOf", ("partof", "attachment")),
        ({"url": "as:image", "image": "as:url"}, "url", ("url", "image")),
        ({"foo": "as:nothing"}, "foo", ("foo",)),
        ([{"foo": "as:icon"}, {"foo": "as:image"}], "foo", ("icon", "image")),
        (Repeated(({"foo": "as:icon"}, [{"foo": "as:nothing"}])), "foo", ("icon",)),
        ({"foo": Repeated(("as:nothing", {"@id": Repeated(("as:x", "as:icon"))}))}, "foo", ("icon",)),
        ([["x", [{"foo": "as:icon"}]]], "foo", ("icon",)),
        ({"p": f"{AS}att"}, "p:achment", ("attachment",)),
        ({"p": "q:at", "q": f"{AS}"}, "p:tachment", ("attachment",)),
        ({"p": {"@id": f"{AS}att", "@prefix": True}, "foo": "p:achment"}, "foo", ("attachment",)),
        ({"@vocab": f"{AS}att"}, "achment", ("attachment",)),
        ({"Note": {"@id": "as:Note", "@context": [{"foo": "as:icon"}]}}, "foo", ("icon",)),
        ({"foo": "@id", "bar": "foo"}, "bar", ("id",)),
        ({"foo": "@list"}, "foo", ("@list",)),
        ({"p": f"{AS}att"}, "p:" + "x" * 100 + "/icon", ("icon",)),
    ],
)
def test_every_meaning_that_contexts_give(context: object, key: str, names: tuple[str, ...]) -> None:
    keys = Keys()
    keys.learn(context)
    assert keys.names(key) == names
    assert keys.name(key) == names[0]
    assert not keys.full


def test_what_is_learnt_later_counts_too() -> None:
    keys = Keys()
    keys.learn({"foo": "as:nothing"})
    assert keys.names("foo") == ("foo",)
    keys.learn({"foo": "as:icon"})
    assert keys.names("foo") == ("icon",)


def test_types_by_every_meaning() -> None:
    keys = Keys()
    keys.learn({"Link": "as:Image", "p": f"{AS}Ima"})
    assert keys.types(["Link", "p:ge"]) == ("Link", "Image", "ge")


@pytest.mark.parametrize(("count", "full"), [(16, False), (17, True)])
def test_meanings_of_a_term_at_the_bound_and_one_past(count: int, full: bool) -> None:
    keys = Keys()
    keys.learn([{"foo": f"x{number}"} for number in range(count - 1)] + [{"foo": "as:icon"}] * 2)
    assert (keys.names("foo"), keys.full) == (("foo",) if full else ("icon",), full)


@pytest.mark.parametrize(("count", "full"), [(16, False), (17, True)])
def test_steps_to_a_meaning_at_the_bound_and_one_past(count: int, full: bool) -> None:
    keys = Keys()
    keys.learn({f"x{number}": f"x{number + 1}" for number in range(count)})
    keys.names("x0")
    assert keys.full == full


@pytest.mark.parametrize(("length", "full"), [(256, False), (257, True)])
def test_the_length_of_terms_at_the_bound_and_one_past(length: int, full: bool) -> None:
    for context in ({"x" * length: "as:icon"}, {"foo": "x" * length}):
        keys = Keys()
        keys.learn(context)
        assert keys.full == full


def test_a_prefix_of_itself_comes_to_an_end() -> None:
    keys = Keys()
    keys.learn({"p": "p:x"})
    assert keys.names("p:y") == ("p:y",)
    assert keys.full


@pytest.mark.parametrize(("count", "full"), [(20_000 // 16, False), (20_000 // 16 + 1, True)])
@pytest.mark.parametrize("of_types", [False, True])
def test_meanings_tried_at_the_bound_and_one_past(count: int, full: bool, of_types: bool) -> None:
    keys = Keys()
    keys.learn([{"p": f"q{number}"} for number in range(16)])
    for _ in range(2):  # what was tried before costs nothing
        for number in range(count):
            if of_types:
                keys.types([f"p:{number}"])
            else:
                keys.names(f"p:{number}")
    assert keys.full == full


def test_a_list_of_types_that_share_a_long_prefix_is_cut() -> None:
    keys = Keys()
    keys.learn([{"p": "q" * 250 + str(number)} for number in range(16)])
    assert len(keys.types([f"p:{number}" for number in range(200_000)])) < 250_000
    assert keys.full
