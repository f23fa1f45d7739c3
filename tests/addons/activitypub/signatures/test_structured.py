"""Structured fields: what RFC 8941 lets through, what it refuses, and our bounds."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.activitypub.signatures.keys import SignatureError
from addons.activitypub.signatures.structured import (
    MAX_ITEMS,
    MAX_MEMBERS,
    MAX_PARAMETERS,
    Bare,
    InnerList,
    Item,
    Token,
    read_dictionary,
    write_bare,
    write_inner_list,
    write_item,
)


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("a=1", {"a": Item(1, {})}),
        ("a=-999999999999999", {"a": Item(-999999999999999, {})}),
        ("a=1.5", {"a": Item(1.5, {})}),
        (r'a="x\"\\y"', {"a": Item('x"\\y', {})}),
        ("a=gzip", {"a": Item(Token("gzip"), {})}),
        ("a=:AAE=:", {"a": Item(b"\x00\x01", {})}),
        ("a=?0", {"a": Item(False, {})}),
        ("a", {"a": Item(True, {})}),
        ("a;x", {"a": Item(True, {"x": True})}),
        ("a=1;x=2; y", {"a": Item(1, {"x": 2, "y": True})}),
        ("a=()", {"a": InnerList((), {})}),
        ("a=( )", {"a": InnerList((), {})}),
        (
            'sig1=("date" "@query-param";name="Pet");created=5;keyid="k"',
            {
                "sig1": InnerList(
                    (Item("date", {}), Item("@query-param", {"name": "Pet"})), {"created": 5, "keyid": "k"}
                )
            },
        ),
        (" a=1 ,\tb=2 ", {"a": Item(1, {}), "b": Item(2, {})}),
        ("*a-b_c.d=1", {"*a-b_c.d": Item(1, {})}),
    ],
)
def test_read(text: str, members: dict[str, Item | InnerList]) -> None:
    read = read_dictionary("x", text)
    assert read == members
    for name, member in read.items():
        value, wanted = getattr(member, "value", None), getattr(members[name], "value", None)
        assert type(value) is type(wanted)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a name should be"),
        ("A=1", "a name should be"),
        ("a=", "a value should be"),
        ("a=1,", "a name should be"),
        ("a=1 b=2", "a comma or the end should be"),
        ("a=1234567890123456", "a value should be"),
        ("a=1.2345", "a value should be"),
        ("a=1.", "a value should be"),
        ('a="x', "a value should be"),
        ('a="é"', "a value should be"),
        (r'a="\x"', "a value should be"),
        ("a=:AAA:", "not base64"),
        ("a=:A A=:", "a value should be"),
        ("a=?2", "a value should be"),
        ("a=(1", "a space or a closing bracket should be"),
        ('a=("x""y")', "a space or a closing bracket should be"),
        ("a=(1 ", "a value should be"),
        ("a=1;", "a name should be"),
        ("a=1;x=", "a value should be"),
        ("a=1, a=2", "names a twice"),
        ("a=1;x=1;x=2", "parameter x twice"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(SignatureError, match=f"the header x .*{reason}"):
        read_dictionary("x", text)


@pytest.mark.parametrize(
    ("make", "most", "reason"),
    [
        (lambda n: ",".join(f"a{i}=1" for i in range(n)), MAX_MEMBERS, "more than 16 members"),
        (lambda n: f"a=({' '.join(['1'] * n)})", MAX_ITEMS, "more than 64 items"),
        (lambda n: "a=1" + "".join(f";a{i}" for i in range(n)), MAX_PARAMETERS, "more than 16 parameters"),
    ],
)
def test_bounds(make: Callable[[int], str], most: int, reason: str) -> None:
    read_dictionary("x", make(most))
    with pytest.raises(SignatureError, match=reason):
        read_dictionary("x", make(most + 1))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (-5, "-5"),
        (1.5, "1.5"),
        (2.0, "2.0"),
        (True, "?1"),
        (False, "?0"),
        (b"\x00\x01", ":AAE=:"),
        ('a"\\', r'"a\"\\"'),
        (Token("gzip"), "gzip"),
    ],
)
def test_write(value: Bare, text: str) -> None:
    assert write_bare(value) == text
    assert write_item(Item(value, {"x": True, "y": 1})) == f"{text};x;y=1"


def test_what_no_string_can_hold_is_not_written() -> None:
    for text in ("é", "a\nb"):
        with pytest.raises(ValueError, match="cannot hold"):
            write_bare(text)


KEYS = st.from_regex(r"[a-z*][a-z0-9_.*-]{0,8}", fullmatch=True)
BARE = st.one_of(
    st.integers(-(10**15) + 1, 10**15 - 1),
    st.booleans(),
    st.binary(max_size=20),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20),
    st.from_regex(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]{0,10}", fullmatch=True).map(Token),
)
PARAMETERS = st.dictionaries(KEYS, BARE, max_size=4)
ITEMS = st.builds(Item, BARE, PARAMETERS)


@given(st.builds(InnerList, st.lists(ITEMS, max_size=5).map(tuple), PARAMETERS))
def test_what_is_written_reads_the_same(members: InnerList) -> None:
    assert read_dictionary("x", f"a={write_inner_list(members)}") == {"a": members}


@given(st.text(max_size=60) | st.text(st.sampled_from('a=1;,()":?. \\*'), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read_dictionary("x", text)
    except SignatureError:
        return
