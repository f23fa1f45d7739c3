import pytest

from addons.policy.denials import parse_denial
from addons.policy.problems import Problem
from addons.policy.reading import read
from addons.policy.words import Denial

HOUR, DAY = 3600.0, 86400.0


def _parse(deny: str, env: dict[str, str] | None = None) -> tuple[Denial | None, list[Problem]]:
    document, _ = read(f"deny: {deny}\n".encode(), "c.yaml", env or {})
    node = document.find(("deny",))
    assert node is not None
    return parse_denial(document, node, ("deny",))


@pytest.mark.parametrize(
    ("deny", "denial"),
    [
        ("{for: 1d}", Denial(DAY, hits=5, within=HOUR, who="host")),
        ("{for: 1d, after: {hits: 5, within: 1h}, who: host}", Denial(DAY)),
        ("{for: 1m, after: {hits: 1}, who: actor}", Denial(60.0, hits=1, who="actor")),
        ("{for: 365d, after: {hits: 10000, within: 30d}}", Denial(365 * DAY, hits=10_000, within=30 * DAY)),
        ("{for: 1h, after: {within: 1m}}", Denial(HOUR, within=60.0)),
        ("{for: 1h, after: }", Denial(HOUR)),
        ("{for: '${LONG}'}", Denial(2 * DAY)),
    ],
)
def test_what_a_denial_says(deny: str, denial: Denial) -> None:
    assert _parse(deny, {"LONG": "2d"}) == (denial, [])


@pytest.mark.parametrize(
    ("deny", "told"),
    [
        ("1d", '1:7: "1d" is not a denial'),
        ("[1d]", "1:7: a list is not a denial"),
        ("", "1:6: nothing is not a denial"),
        ("{}", "1:1: deny.for is missing"),
        ("{for: 59s}", '1:13: "59s" is too short'),
        ("{for: 366d}", '1:13: "366d" is too long'),
        ("{for: 1d, after: 5}", '1:24: "5" cannot be deny.after'),
        ("{for: 1d, after: {hits: 0}}", '1:31: "0" is too small'),
        ("{for: 1d, after: {hits: 10001}}", '1:31: "10001" is too large'),
        ("{for: 1d, after: {within: 59s}}", '1:33: "59s" is too short'),
        ("{for: 1d, after: {within: 31d}}", '1:33: "31d" is too long'),
        ("{for: 1d, who: all}", '1:22: "all" is not a value of deny.who'),
        ("{for: 1d, afetr: {}}", '1:17: unknown key "afetr"'),
    ],
)
def test_what_is_wrong_with_it_is_named_in_place(deny: str, told: str) -> None:
    denial, problems = _parse(deny)
    assert denial is None
    assert [f"{one.line}:{one.column}: {one.message}" for one in problems] == [told]


def test_a_variable_that_is_not_there_is_not_told_twice() -> None:
    assert _parse("${NOWHERE}") == (None, [])
