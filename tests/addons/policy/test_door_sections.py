from pathlib import Path

import pytest
from pydantic import ValidationError

from addons.policy.door_sections import Doors, Tunnels, UploadDoor

LISTEN = {"listen": "127.0.0.1:3"}
PICTRS = LISTEN | {"upstream": "http://127.0.0.1:4", "origin": "127.0.0.1:5", "origin_url": "http://127.0.0.1:5"}
DOORS: dict[str, dict[str, object]] = {"fetch": {**LISTEN}, "pictrs": {**PICTRS}, "validate": {**LISTEN}}


def test_beside_the_inbox_only_uploads_have_a_door_unless_it_is_named() -> None:
    doors = Doors.model_validate({"fetch": None})
    assert (doors.fetch, doors.pictrs, doors.validate_, doors.upload) == (None, None, None, UploadDoor())
    assert Doors.model_validate({"upload": None}) == doors


def test_what_a_door_is_like_where_nothing_else_is_said() -> None:
    doors = Doors.model_validate(DOORS)
    assert doors.fetch is not None
    assert doors.pictrs is not None
    assert doors.validate_ is not None
    for door in (doors.fetch, doors.pictrs, doors.validate_):
        assert [str(network) for network in door.clients] == ["127.0.0.0/8", "::1/128"]
        assert door.deadline == 8
    assert (doors.fetch.ports, doors.fetch.tunnels, doors.fetch.ca) == ((443,), Tunnels(), Path("fediward-ca"))
    assert (doors.pictrs.look_back, doors.pictrs.api_key) == (True, None)
    assert (doors.validate_.secret, doors.validate_.judges) == (None, "scanned")
    assert (doors.upload.contact, doors.upload.deadline, doors.upload.max_bytes) == (None, 20, 100 << 20)


@pytest.mark.parametrize(
    ("door", "key"),
    [(door, key) for door, keys in DOORS.items() for key in keys] + [(door, "clients") for door in DOORS],
)
def test_what_a_door_cannot_be_without(door: str, key: str) -> None:
    wrong = {other: value for other, value in DOORS[door].items() if other != key}
    with pytest.raises(ValidationError):
        Doors.model_validate({door: wrong | ({"clients": []} if key == "clients" else {})})


@pytest.mark.parametrize(
    ("door", "key", "least", "most", "below", "above"),
    [
        *((door, "deadline", "100ms", "60s", "99ms", "60001ms") for door in DOORS),
        ("upload", "deadline", "100ms", "5m", "99ms", "301s"),
        ("upload", "max_bytes", "64KiB", "4GiB", 65535, (4 << 30) + 1),
        ("upload", "contact", "x", "x" * 300, "", "x" * 301),
        ("upload", "contact", "mailto:a@b.example", "Grüße an alle", "a\nb", "\x7f"),
        ("fetch", "ports", [1], [65535] * 100, [0], [443] * 101),
        ("fetch", "ports", [443], [443, 8443], [], [65536]),
        ("fetch", "clients", "10.0.0.1", ["10.0.0.1"] * 1000, [], ["10.0.0.1"] * 1001),
        ("fetch", "tunnels", {}, {"hosts": ["a.example"] * 1000}, {"host": "a"}, {"hosts": ["a.example"] * 1001}),
        ("fetch", "tunnels", None, {"hosts": "*.a.example", "clients": "10.0.0.1"}, {"hosts": "a/b"}, {"clients": "a"}),
        ("pictrs", "api_key", "x", "~" * 500, "", "x" * 501),
        ("pictrs", "api_key", "x", "!", "a b", "a\r\nb"),
        ("pictrs", "origin_url", "http://a", "https://a:1", "http://a/b", "a:1"),
        ("validate", "secret", "x" * 16, "aA0-_" * 25, "x" * 15, "x" * 129),
        ("validate", "secret", "x" * 16, "aA0-_" * 25, "x" * 15 + "/", "x" * 16 + "\n"),
    ],
)
def test_bounds_of_doors(door: str, key: str, least: object, most: object, below: object, above: object) -> None:
    for right in (least, most):
        Doors.model_validate({door: DOORS.get(door, {}) | {key: right}})
    for wrong in (below, above):
        with pytest.raises(ValidationError):
            Doors.model_validate({door: DOORS.get(door, {}) | {key: wrong}})


def test_a_doors_secrets_are_not_shown() -> None:
    validate, pictrs = LISTEN | {"secret": "hunter2-hunter2-hunter2"}, PICTRS | {"api_key": "hunter2"}
    assert "hunter2" not in repr(Doors.model_validate({"validate": validate, "pictrs": pictrs}))


MATTER = {
    "fetch": {"ports", "deadline", "tunnels"},
    "pictrs": {"deadline"},
    "validate": {"deadline", "judges"},
    "upload": {"deadline", "max_bytes"},
}
DO_NOT = {
    "fetch": {"listen", "clients", "ca"},
    "pictrs": {"listen", "upstream", "origin", "origin_url", "clients", "look_back", "api_key"},
    "validate": {"listen", "clients", "secret"},
    "upload": {"contact"},
}


def test_for_each_key_it_is_said_whether_a_decision_hangs_on_it() -> None:
    doors = Doors.model_validate(DOORS)
    for field, info in Doors.model_fields.items():
        name = info.alias or field
        keys = set(type(getattr(doors, field)).model_fields)
        assert keys == MATTER[name] | DO_NOT[name]
        told = doors.deciding()[field]
        assert isinstance(told, dict)
        assert set(told) == MATTER[name]
    assert Doors().deciding()["fetch"] is None
