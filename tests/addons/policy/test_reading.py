import pytest

from addons.policy.document import Data
from addons.policy.problems import ConfigError, Problem
from addons.policy.reading import MAX_BYTES, MAX_DEPTH, MAX_NODES, read

ENV = {"PORT": "8540", "HOST": "127.0.0.1", "YAML": "[1, {a: b}]", "EMPTY": "", "Name": "x"}


def _data(text: str) -> Data:
    document, problems = read(text.encode(), "c.yaml", ENV)
    assert problems == []
    return document.root.data()


def _problems(text: str) -> list[Problem]:
    return read(text.encode(), "c.yaml", ENV)[1]


def _refused(raw: bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        read(raw, "c.yaml", ENV)
    assert len(caught.value.problems) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),  # YAML 1.1 reads false
        ("on", "on"),
        ("yes", "yes"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-12", -12),
        ("010", 10),  # YAML 1.1 reads 8
        ("1:30", "1:30"),  # YAML 1.1 reads 90
        ("2026-11-22", "2026-11-22"),  # YAML 1.1 reads a date
        ("1_000", "1_000"),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("'12'", "12"),
        ('"null"', "null"),
        ("9" * 18, int("9" * 18)),
        ("9" * 19, "9" * 19),
        (".nan", ".nan"),
        ("127.0.0.1:8540", "127.0.0.1:8540"),
    ],
)
def test_plain_values_are_yaml_1_2(text: str, value: Data) -> None:
    assert _data(f"a: {text}") == {"a": value}


def test_the_key_on_is_a_word() -> None:
    assert _data("on: {timeout: drop}") == {"on": {"timeout": "drop"}}


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n", "\ufeff"])
def test_an_empty_file_is_an_empty_mapping_or_null(text: str) -> None:
    assert not _data(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${PORT}", 8540),
        ("${HOST}:${PORT}", "127.0.0.1:8540"),
        ("'${PORT}'", "8540"),
        ("$${PORT}", "${PORT}"),
        ("$$${PORT}", "$${PORT}"),
        ("$PORT", "$PORT"),
        ("${YAML}", "[1, {a: b}]"),  # never YAML again
        ("${EMPTY}", None),
        ("'${EMPTY}'", ""),
        ("['${PORT}', \"x${PORT}\"]", ["8540", "x8540"]),
        ("|\n  ${HOST}\n", "127.0.0.1\n"),
    ],
)
def test_environment_variables(text: str, value: Data) -> None:
    assert _data(f"a: {text}") == {"a": value}


def test_keys_take_no_variables() -> None:
    assert _data('"${PORT}": 1') == {"${PORT}": 1}


def test_a_missing_variable_is_named_where_it_stands() -> None:
    assert [str(problem) for problem in _problems("a: 127.0.0.1:${NAME}\n")] == [
        "c.yaml:1:14: the environment variable NAME is not set\n"
        "  a: 127.0.0.1:${NAME}\n"
        "               ^\n"
        "  expected: NAME in fediward's own environment\n"
        '  did you mean "${Name}"?'
    ]


@pytest.mark.parametrize("text", ["${}", "${A-B}", "${1A}", "${OPEN", "${A B}"])
def test_a_variable_without_a_right_name(text: str) -> None:
    (problem,) = _problems(f"a: '{text}'")
    assert (problem.column, problem.message) == (5, "this names no environment variable")


def test_double_keys_are_all_told() -> None:
    problems = _problems("a: 1\nb: {c: 1, c: 2}\na: 2\na: 3\n")
    assert sorted((problem.line, problem.column, problem.message) for problem in problems) == [
        (2, 11, 'the key "c" stands here twice'),
        (3, 1, 'the key "a" stands here twice'),
        (4, 1, 'the key "a" stands here twice'),
    ]
    assert problems[-1].hint == "it stood first in line 1"


@pytest.mark.parametrize("text", ["a: !!python/object:os.system x", "a: !x [1]", "a: &b !x {c: 1}", "!x a: 1"])
def test_tags_are_refused(text: str) -> None:
    assert {problem.message for problem in _problems(text)} == {"YAML tags are not used here"}


def test_a_key_that_is_no_scalar() -> None:
    assert [problem.message for problem in _problems("? [a]\n: 1\n")] == ["a key cannot be a list or mapping"]


def test_aliases_are_followed() -> None:
    assert _data("a: &x [1, y]\nb: *x\nc: &z 5\nd: *z\n") == {"a": [1, "y"], "b": [1, "y"], "c": 5, "d": 5}


def test_an_anchor_is_not_part_of_the_value_as_written() -> None:
    node = read(b"a: &x word", "c", {})[0].find(("a",))
    assert node is not None
    assert node.text == "word"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            b"a:\n\t- b",
            "c.yaml:2:1: not valid YAML: a tab cannot indent\n  \t- b\n  ^\n  expected: spaces",
        ),
        (
            b"a: [1, 2\nb: 3\n",
            "c.yaml:2:2: not valid YAML: expected ',' or ']', but got ':'\n  b: 3\n   ^\n"
            "  while parsing a flow sequence that began in line 1",
        ),
        (
            b"a: {b: ${PORT}}",
            "c.yaml:1:9: not valid YAML: expected ',' or '}', but got '{'\n  a: {b: ${PORT}}\n          ^\n"
            '  inside {…} and […] a variable must stand in quotes: "${NAME}"',
        ),
        ("ü: 漢\nkey: \x01".encode(), "c.yaml:2:6: the character U+0001 cannot stand in YAML\n  key: �\n       ^"),
        ("ä: ö\nb: ".encode() + b"\xff\n", "c.yaml:2:4: the file is not UTF-8\n  expected: text saved as UTF-8"),
    ],
)
def test_what_is_no_yaml_is_told_in_the_same_form(raw: bytes, message: str) -> None:
    assert _refused(raw) == message


def test_a_second_document_is_refused() -> None:
    assert "not valid YAML: but found another document" in _refused(b"a: 1\n---\nb: 2\n")


def test_an_unknown_alias_is_refused() -> None:
    assert "c.yaml:1:4: not valid YAML: found undefined alias 'x'" in _refused(b"a: *x")


def test_bytes_are_bounded() -> None:
    at = b"a: 1\n#" + b"x" * (MAX_BYTES - 6)
    assert len(at) == MAX_BYTES
    assert read(at, "c.yaml", {})[0].root.data() == {"a": 1}
    assert _refused(at + b"x") == "c.yaml:1:1: the file has 1,048,577 bytes\n  expected: at most 1,048,576"


def test_depth_is_bounded() -> None:
    def nested(depth: int) -> bytes:
        return b"[" * depth + b"]" * depth

    read(nested(MAX_DEPTH), "c.yaml", {})
    assert f"nested more than {MAX_DEPTH} deep" in _refused(nested(MAX_DEPTH + 1))
    assert "deep" in _refused(b"[" * 100_000)


def test_an_alias_of_what_it_stands_in_is_refused() -> None:
    assert f"nested more than {MAX_DEPTH} deep" in _refused(b"a: &a [*a]")


def test_values_are_bounded_each_alias_counted() -> None:
    # The top, two keys, two lists and ten values; each of b's aliases brings its list and the list's ten values.
    aliases, plain = divmod(MAX_NODES - 15, 11)

    def text(more: int) -> bytes:
        return b"a: &a [" + b"1," * 10 + b"]\nb: [" + b"*a," * aliases + b"1," * (plain + more) + b"]\n"

    read(text(0), "c.yaml", {})
    assert "more than 20,000 keys and values, each alias counted anew" in _refused(text(1))


def test_exactly_the_bound_on_values() -> None:
    read(b"[" + b"1," * (MAX_NODES - 1) + b"]", "c.yaml", {})
    assert "more than 20,000 keys and values" in _refused(b"[" + b"1," * MAX_NODES + b"]")
