from addons.policy.document import Document, Node
from addons.policy.reading import read


def _document(text: str) -> Document:
    document, problems = read(text.encode(), "c.yaml", {})
    assert problems == []
    return document


DOCUMENT = _document("a: 1\nb:\n  - {c: x}\n  - y\n")


def test_data_is_what_stands_in_the_file() -> None:
    assert DOCUMENT.root.data() == {"a": 1, "b": [{"c": "x"}, "y"]}


def test_find() -> None:
    found = DOCUMENT.find(("b", 0, "c"))
    assert found is not None
    assert (found.value, found.line, found.column) == ("x", 3, 9)
    assert DOCUMENT.find(("b", 2)) is None
    assert DOCUMENT.find(("a", "z")) is None
    assert DOCUMENT.find(("z", 0)) is None


def test_nearest_is_the_last_thing_on_the_way() -> None:
    assert DOCUMENT.nearest(("b", 0, "c"))[:2] == (3, 9)
    assert DOCUMENT.nearest(("b", 0, "c"), key=True)[:2] == (3, 6)
    assert DOCUMENT.nearest(("b", 0, "nothing", "below"))[:2] == (3, 5)
    assert DOCUMENT.nearest(("nothing",))[:2] == (1, 1)


def test_how_a_message_names_a_value() -> None:
    names = {
        key: entry.node.quoted
        for key, entry in (_document("a:\nb: ''\nc: 'x'\nd: [1]\ne: {f: 1}\n").root.entries or {}).items()
    }
    assert names == {"a": "nothing", "b": '""', "c": '"x"', "d": "a list", "e": "a mapping"}


def test_a_value_from_the_environment_is_known_as_one() -> None:
    assert Node(1, 1, "secret", "${NAME}").from_environment
    assert not Node(1, 1, "open", "open").from_environment


def test_a_problem_shows_its_line() -> None:
    assert DOCUMENT.problem(1, 4, "wrong").source == "a: 1"
    assert DOCUMENT.problem(99, 1, "wrong").source == ""
