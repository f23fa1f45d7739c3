import sys
from pathlib import Path
from typing import Any

import pytest

from addons.policy.config import Config, parse
from addons.policy.problems import ConfigError

SERVER = "server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2'}\nexchanges:\n"
NCMEC = "kind: ncmec, user: us, password: '${WORD}'"


def config(*exchanges: str, rest: str = "", **more: Any) -> Config:
    text = SERVER + "".join(f"  - {{{one}}}\n" for one in exchanges) + rest
    return parse(text.encode(), path=Path("/etc/fediward/c.yaml"), env={"WORD": "hush hush"}, **more)


def problems(*exchanges: str, rest: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(*exchanges, rest=rest)
    assert "hush" not in str(caught.value)
    return [f"{one.line}:{one.column}: {one.message}" for one in caught.value.problems]


def test_each_exchange_makes_a_list_that_rules_can_ask() -> None:
    rules = "rules: [{name: a, when: {hash.ncmec: 1}, do: drop}]\n"
    found = config(
        f"name: ncmec, {NCMEC}, every: 2h",
        "name: share, kind: file, file: h.txt, folder: /var/x, distance: 10, variants: true",
        rest=rules,
    )
    ncmec, share = found.exchanges
    assert (ncmec.every, ncmec.password, ncmec.environment, ncmec.secrets) == (
        7200,
        "hush hush",
        "Industry",
        ("hush hush",),
    )
    assert (share.file, share.state) == (Path("/etc/fediward/h.txt"), Path("/var/x/share.db"))
    assert found.classifier.hashes == (ncmec.list, share.list)
    assert ncmec.list.file == Path("/etc/fediward/exchanges/ncmec.csv")
    assert (share.list.bits, share.list.variants) == (10, True)
    assert "hush" not in repr(found)
    assert found.there.hashes == ()


@pytest.mark.parametrize(
    ("exchange", "problem"),
    [
        ("name: a, kind: ncmec, user: us", '3:5: the exchange "a" has no password'),
        ("name: a, kind: stopncii, subscription_key: x", '3:5: the exchange "a" has no function_key'),
        ("name: a, kind: file", '3:5: the exchange "a" has no file'),
        (f"name: a, {NCMEC}, match: pdq", '3:59: "match" is not for kind: ncmec'),
        ("name: a, kind: file, file: x, url: 'https://a.example'", '3:36: "url" is not for kind: file'),
        ("name: a, kind: other", '3:21: "other" is not a value of exchanges.kind'),
        (f"name: a, {NCMEC}, every: 9m", '3:66: "9m" is too short'),
        (f"name: a, {NCMEC}, environment: Space", '3:72: "Space" is not a value of exchanges.environment'),
        (f"name: a, {NCMEC}, url: 'http://a.example/x'", '3:64: "http://a.example/x" is not encrypted'),
        (
            f"name: a, {NCMEC}, url: 'https://u:p@a.example'",
            '3:64: "https://u:p@a.example" has more than a scheme, a host, a port and a path',
        ),
        (f"name: a, {NCMEC}, url: nowhere", '3:64: "nowhere" is not the URL of an exchange'),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(exchange: str, problem: str) -> None:
    assert problems(exchange) == [problem]


def test_a_name_is_an_exchanges_or_a_lists() -> None:
    twice = "name: a, kind: file, file: x"
    assert problems(twice, twice) == ['4:12: two hash lists are named "a"']
    rest = "classifier: {hashes: [{name: a, file: /dev/null}]}\n"
    assert '3:12: two hash lists are named "a"' in problems(twice, rest=rest)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "threatexchange", None)
    one = "name: a, kind: file, file: x"
    assert problems(one) == ["2:1: exchanges need the package threatexchange, which is not here"]
    with pytest.raises(ConfigError, match=r"install fediward\[exchanges\]"):
        config(one)
    assert len(config(one, lists=False).exchanges) == 1  # a worker fetches nothing
