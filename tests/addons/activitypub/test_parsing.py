import json

import pytest

from addons.activitypub.parsing import Cut, MalformedActivityError, Parsed, Repeated, parse


def read(body: bytes, *, max_depth: int = 64, max_nodes: int = 10_000) -> Parsed:
    return parse(body, max_depth=max_depth, max_nodes=max_nodes)


@pytest.mark.parametrize(
    ("body", "document"),
    [
        (b'{"type": "Like"}', {"type": "Like"}),
        (b'[{"a": 1}, {"b": [true, null]}]', [{"a": 1.0}, {"b": [True, None]}]),
        (b"[]", []),
        (b'\xef\xbb\xbf{"a": "b"}', {"a": "b"}),
        (b' \r\n\t{"a": "b"}\n', {"a": "b"}),
        ('{"a": "ÿ"}'.encode(), {"a": "ÿ"}),
        (b'{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        (b'{"a": -Infinity}', {"a": float("-inf")}),
    ],
    ids=["object", "array", "empty array", "bom", "white space", "utf-8", "raw control character", "infinity"],
)
def test_what_some_server_reads_is_read(body: bytes, document: object) -> None:
    assert read(body) == Parsed(document)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"a": 1,}', "at line 1, column"),
        (b'{"a": "b', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'"https://example.org"', "a string, not a JSON object"),
        (b"17", "a number, not"),
        (b"null", "null, not"),
        (b"true", "true or false, not"),
        (b'[{}, "x"]', "Item 1 of the array is a string"),
        (b"[[]]", "Item 0 of the array is an array"),
        (b'{"a": "\xff"}', "not UTF-8 text (byte 7)"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        ('{"a": 1}'.encode("utf-32-be"), "not JSON"),
        (b'{"a": 1} {"b": 2}', "not JSON"),
    ],
)
def test_anything_else_is_refused_in_words(body: bytes, message: str) -> None:
    with pytest.raises(MalformedActivityError) as caught:
        read(body)
    assert message in str(caught.value)


def test_a_message_quotes_only_a_short_piece() -> None:
    with pytest.raises(MalformedActivityError) as caught:
        read(b'{"a": ' + b"x" * 5_000)
    assert "xxx" in str(caught.value)
    assert len(str(caught.value)) < 120


def test_every_value_of_a_repeated_key_is_kept_in_order() -> None:
    assert read(b'{"a": 1, "b": 2, "a": [], "a": "x"}').document == {"a": Repeated((1.0, [], "x")), "b": 2.0}
    assert read(b'{"a": 1, "\\u0061": 2}').document == {"a": Repeated((1.0, 2.0))}


def test_integers_that_python_refuses_are_read() -> None:
    assert read(b'{"a": ' + b"9" * 5_000 + b"}").document == {"a": float("inf")}


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


@pytest.mark.parametrize("max_depth", [1, 2, 64])
def test_depth_at_the_bound_and_one_past(max_depth: int) -> None:
    assert read(nested(max_depth), max_depth=max_depth).overflow is None
    assert read(nested(max_depth + 1), max_depth=max_depth) == Parsed(Cut("depth"), "depth")


def test_depth_counts_nesting_and_not_brackets() -> None:
    wide = b'{"a": [' + b",".join([b'{"b": "[[[[{{{{ \\" ["}'] * 100) + b"]}"
    assert read(wide, max_depth=3).overflow is None
    assert read(wide, max_depth=2).overflow == "depth"


@pytest.mark.parametrize("max_nodes", [4, 65, 200])
@pytest.mark.parametrize("item", [b"1", b'"a,b"', b"true", b"-1.5e3"])
def test_nodes_at_the_bound_and_one_past(max_nodes: int, item: bytes) -> None:
    # The object and the array are two of them; keys are none.
    at = b'{"a" : [' + b" , ".join([item] * (max_nodes - 2)) + b"]}"
    assert read(at, max_nodes=max_nodes).overflow is None
    past = b'{"a" : [' + b" , ".join([item] * (max_nodes - 1)) + b"]}"
    assert read(past, max_nodes=max_nodes) == Parsed(Cut("nodes"), "nodes")


@pytest.mark.parametrize("max_nodes", [50, 10_000_000])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'[{"a":' * 50_000,
    ],
)
def test_a_hundred_thousand_brackets_are_a_clean_outcome(body: bytes, max_nodes: int) -> None:
    assert read(body, max_nodes=max_nodes).overflow in ("depth", "nodes")


def test_a_depth_that_python_cannot_recurse_to_is_still_an_outcome() -> None:
    assert read(nested(1_000_000), max_depth=10_000_000, max_nodes=10_000_000).overflow == "depth"


@pytest.mark.parametrize("max_nodes", [10, 10_000_000])
@pytest.mark.parametrize(
    "body",
    [b'"' + b'\\"' * 500_000, b'"\\' * 300_000, b'{"a":"' + b'\\"' * 500_000],
    ids=["escaped quotes", "backslashes", "in an object"],
)
def test_quotes_that_never_close_end_in_words(body: bytes, max_nodes: int) -> None:
    # Scanning anything twice here would take minutes.
    with pytest.raises(MalformedActivityError):
        read(body, max_nodes=max_nodes)


def test_no_other_key_is_touched_by_repeats() -> None:
    document = {"z": {"y": [1.5, {"x": None}]}, "é": "ß"}
    assert read(json.dumps(document).encode()).document == document
