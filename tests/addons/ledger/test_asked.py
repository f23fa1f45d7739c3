from addons.ledger.asked import DEPTH, asked, symbol_tests
from addons.policy.conditions import AllOf, AnyOf, IsSensitive, NotOf, OneOf, SymbolTest
from addons.policy.rules import Rule
from addons.policy.words import Action

WHEN = AllOf(
    (
        SymbolTest("clip.minor", ">", 0.5),
        AnyOf((SymbolTest("clip.sexual", ">=", 0.6), OneOf("host", ("a.example",)))),
        NotOf(SymbolTest("clip.drawn", ">", 0.9)),
        IsSensitive(False),
    )
)


def test_rules_are_remembered_as_they_were_written() -> None:
    assert asked([Rule("r", WHEN, Action.DROP)]) == {
        "r": {
            "all": [
                {"clip.minor": ">0.5"},
                {"any": [{"clip.sexual": ">=0.6"}, {"host": ["a.example"]}]},
                {"not": {"clip.drawn": ">0.9"}},
                {"sensitive": False},
            ]
        }
    }


def test_the_tests_of_symbols_are_read_out_of_them_again() -> None:
    when = asked([Rule("r", WHEN, Action.DROP)])["r"]
    assert list(symbol_tests(when)) == [("clip.minor", ">0.5"), ("clip.sexual", ">=0.6"), ("clip.drawn", "not >0.9")]


def test_odd_or_deep_json_is_no_trouble() -> None:
    deep: object = {"clip.minor": ">0.5"}
    for _ in range(DEPTH - 1):
        deep = {"not": deep}
    assert len(list(symbol_tests(deep))) == 1
    assert list(symbol_tests({"not": deep})) == []
    odd: tuple[object, ...] = (None, [], 3, {"all": 3}, {"not": 3})
    assert [list(symbol_tests(one)) for one in odd] == [[], [], [], [], []]
