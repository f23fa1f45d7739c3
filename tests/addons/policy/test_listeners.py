import pytest

from addons.policy.listeners import clash, leads_to, listeners, local
from addons.policy.sections import File
from addons.policy.values import address, upstream

FILE = {
    "server": {"upstream": "http://a:1", "listen": "b:2"},
    "doors": {
        "fetch": {"listen": "b:3"},
        "pictrs": {"listen": "b:4", "upstream": "http://a:1", "origin": "b:5", "origin_url": "http://b:5"},
        "validate": {"listen": "b:6"},
    },
    "status": {"listen": "b:7"},
}


def test_every_listener_of_the_configuration_is_among_them() -> None:
    found = list(listeners(File.model_validate(FILE)))
    assert [str(one.address) for one in found] == ["b:2", "b:3", "b:4", "b:5", "b:6", "b:7"]
    for one in found:
        said: object = FILE
        for step in one.place:
            assert isinstance(said, dict)
            said = said[step]
        assert said == str(one.address)
    assert [one.name for one in listeners(File.model_validate(FILE | {"doors": {}, "status": None}))] == [
        "the inbox door"
    ]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("a:1", "a:2", False),
        ("a:1", "b:1", False),
        ("a:1", "a:1", True),
        ("localhost:1", "127.0.0.1:1", True),
        ("localhost:1", "[::1]:1", True),
        ("localhost:1", "127.0.0.2:1", False),
        ("0.0.0.0:1", "10.0.0.1:1", True),
        ("0.0.0.0:1", "a:1", True),
        ("0.0.0.0:1", "[::1]:1", False),
        ("[::]:1", "[fd00::1]:1", True),
        ("[::]:1", "0.0.0.0:1", False),
        ("127.0.0.1:1", "[::1]:1", False),
    ],
)
def test_which_addresses_exclude_each_other(one: str, other: str, both: bool) -> None:
    assert clash(address(one), address(other)) is both
    assert clash(address(other), address(one)) is both


@pytest.mark.parametrize(
    ("url", "listen", "there"),
    [
        ("http://127.0.0.1:1", "127.0.0.1:1", True),
        ("http://127.0.0.1:1", "127.0.0.1:2", False),
        ("http://localhost:1", "0.0.0.0:1", True),
        ("http://127.0.0.1:1", "[::]:1", True),
        ("http://[::1]:1", "localhost:1", True),
        ("http://127.0.0.2:1", "127.0.0.1:1", False),
        ("http://a:1", "0.0.0.0:1", False),
        ("http://a:1", "a:1", True),
    ],
)
def test_whether_a_url_leads_to_one(url: str, listen: str, there: bool) -> None:
    assert leads_to(upstream(url), address(listen)) is there


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_what_is_local(host: str) -> None:
    assert local(host)


@pytest.mark.parametrize("host", ["a", "0.0.0.0", "::", "10.0.0.1", "localhost.example"])
def test_what_is_not(host: str) -> None:
    assert not local(host)
