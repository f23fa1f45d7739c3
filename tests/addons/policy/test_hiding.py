import pytest

from addons.policy.hiding import KEYS, hidden_line
from addons.policy.problems import ConfigError
from addons.policy.reading import read


def _lines(text: str) -> list[str]:
    document, _ = read(text.encode(), "c.yaml", {})
    return list(document.lines)


@pytest.mark.parametrize("key", sorted(KEYS))
def test_each_of_the_keys_holds_a_secret(key: str) -> None:
    assert _lines(f"a: b\n{key}: hunter2 # why\n") == ["a: b", f"{key}: ******* # why", ""]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{a: b, secret: hunter2, c: d}", "{a: b, secret: *******, c: d}"),
        ('{"secret": "hunter2", c: d}', '{"secret": "*******", c: d}'),
        ("- secret: 'hunter 2'", "- secret: '****** *'"),
        ("secret: &x hunter2\nb: *x", "secret: ** *******\nb: *x"),
        ("a: &x hunter2\nsecret: *x", "a: ** *******\nsecret: *x"),
        ("secret:\n  hunter2\nb: c", "secret:\n  *******\nb: c"),
        ("secret: |\n  hunter2\n  hunter3\nb: c", "secret: *\n  *******\n  *******\nb: c"),
        ("secret: [hunter2, {a: hunter3}]", "secret: [*******, {a: *******}]"),
        ("secret: a${NAME}b", "secret: *${NAME}*"),
        ("secret:\nb: c", "secret:\nb: c"),
        ("? [a]\n: b\nc: d", "? [a]\n: b\nc: d"),
        ("secrets: open", "secrets: open"),
    ],
)
def test_what_is_shown_of_a_line(text: str, shown: str) -> None:
    assert "\n".join(_lines(text)) == shown


def test_an_alias_of_what_it_stands_in_ends() -> None:
    with pytest.raises(ConfigError) as caught:
        read(b"a: &a {secret: hunter2, b: *a}", "c.yaml", {})
    assert [problem.source for problem in caught.value.problems] == ["a: &a {secret: *******, b: *a}"]


def test_a_value_is_itself_and_no_message_names_it() -> None:
    node = read(b"secret: hunter2", "c.yaml", {})[0].find(("secret",))
    assert node is not None
    assert (node.value, node.text, node.quoted) == ("hunter2", "*******", '"*******"')


@pytest.mark.parametrize(
    ("line", "before", "shown"),
    [
        ("{secret: hunter2, b: c", "", "{secret: ******** ** *"),
        ("'api_key' : hunter2", "", "'api_key' : *******"),
        ("  hunter2: x", "secret:", "  ******** *"),
        ("  hunter2: x", "{a: b, password:  # why", "  ******** *"),
        ("a: b", "secret: x", "a: b"),
        ("the_secret: b", "", "the_secret: b"),
        ("password: ${WORD}: x", "", "password: ${WORD}* *"),
    ],
)
def test_a_line_of_what_is_no_yaml(line: str, before: str, shown: str) -> None:
    assert hidden_line(line, before) == shown


@pytest.mark.parametrize(
    "text", ["{secret: hunter2, b", "secret: hunter2: x", "secret:\n  hunter2: x: y", 'secret: "hunter2']
)
def test_no_error_of_reading_shows_a_secret(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text.encode(), "c.yaml", {})
    assert "hunter" not in str(caught.value)


def test_nor_does_one_beside_it() -> None:
    _, problems = read(b"{secret: hunter2, a: '${UNSET}', a: 1}", "c.yaml", {})
    assert len(problems) == 2
    assert all("{secret: *******," in problem.source for problem in problems)
