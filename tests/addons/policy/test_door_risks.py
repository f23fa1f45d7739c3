from collections.abc import Mapping
from pathlib import Path

import pytest

from addons.policy.config import parse

NEEDS: dict[str, dict[str, object]] = {
    "fetch": {"listen": "127.0.0.1:3"},
    "pictrs": {
        "listen": "127.0.0.1:4",
        "upstream": "http://127.0.0.1:8080",
        "origin": "127.0.0.1:5",
        "origin_url": "http://127.0.0.1:5",
    },
    "validate": {"listen": "127.0.0.1:6", "judges": "everything"},
    "upload": {},
}


def _config(*rest: str, software: str = "lemmy", more: str = "", **doors: Mapping[str, object]) -> str:
    """A configuration with these doors, each with what it needs unless it is said here; ``more`` of the server."""
    lines = [f"server: {{upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2', software: {software}{more}}}", "doors:"]
    for door, said in doors.items():
        keys = ", ".join(f"{key}: {_quoted(value)}" for key, value in (NEEDS[door] | dict(said)).items())
        lines.append(f"  {door}: {{{keys}}}")
    return "\n".join([*lines, *rest])


def _quoted(value: object) -> str:
    return f"[{', '.join(map(_quoted, value))}]" if isinstance(value, list) else f"'{value}'"


def _warnings(text: str) -> list[str]:
    """Each with the text at which it points."""
    found = parse(text.encode(), path=Path("/nowhere/c.yaml"), env={}).warnings
    assert all(one.warning for one in found)
    return [f"{one.source[one.column - 1 :].split(', ')[0].strip(' {}[]')} | {one.message}" for one in found]


@pytest.mark.parametrize("software", ["lemmy", "generic"])
def test_all_doors_by_default_are_no_risk(software: str) -> None:
    assert _warnings(_config(software=software, fetch={}, pictrs={}, validate={}, upload={})) == []
    assert _warnings(_config("scan: everything", pictrs={}, validate={"judges": "scanned"})) == []


STRIP = "at the inbox door strip counts as drop here: "
BY_LEMMY = STRIP + "with image_mode: store readers load images from where they lie"


@pytest.mark.parametrize(
    ("when", "told"),
    [
        ("{kind: avatar}", True),
        ("{door: inbox}", True),
        ("{door: [fetch, inbox], kind: avatar}", True),
        ("{door: fetch}", False),
        ("{door: [fetch, pictrs], kind: avatar}", False),
        ("{not: {door: inbox}}", False),
        ("{not: {door: fetch}}", True),
        ("{not: {kind: avatar}}", True),
        ("{any: [{door: fetch}, {kind: avatar}]}", True),
        ("{any: [{door: fetch}, {door: upload}]}", False),
        ("{any: [{door: inbox}, {kind: avatar}]}", True),
        ("{all: [{not: {any: [{door: inbox}, {kind: avatar}]}}, {sensitive: true}]}", False),
    ],
)
def test_strip_is_told_where_it_counts_as_drop(when: str, told: bool) -> None:
    rules = "classifier: {clip: null, nudity: null}\nrules:\n  - {name: r, when: %s, do: strip}"
    assert _warnings(_config(rules % when)) == ([f"strip | {BY_LEMMY}"] if told else [])


def test_of_a_cause_too_and_of_each() -> None:
    text = _config("on: {unsupported: strip, too_large: strip, busy: drop}")
    assert _warnings(text) == [f"strip | {BY_LEMMY}"] * 2


def test_strip_is_no_risk_where_it_hides() -> None:
    on = "on: {unsupported: strip}"
    assert _warnings(_config(on, more=", image_mode: proxy", pictrs={})) == []
    assert _warnings(_config(on, software="mastodon", fetch={})) == []
    (told,) = _warnings(_config(on, software="mastodon"))
    assert told == f"strip | {STRIP}without a fetch door mastodon stores the media itself"


def test_pict_rs_is_lemmys() -> None:
    told = "mastodon has no pict-rs that this door could stand before: only Lemmy uses it"
    text = _config(software="mastodon", pictrs={}, validate={})
    assert _warnings(text) == [
        f"pictrs: {{listen: '127.0.0.1:4' | {told}",
        f"validate: {{listen: '127.0.0.1:6' | {told}",
    ]


PUBLIC = "by a public name or address strangers may reach the origin too"
ELSEWHERE = "there pict-rs reaches itself: it runs elsewhere (pictrs)"
NO_CLIENT = "pict-rs (pictrs) is none of the origin's clients, and could fetch nothing"
IN_COMPOSE = {"upstream": "http://pictrs:8080", "clients": "172.16.0.0/12", "origin": "0.0.0.0:5"}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"origin_url": "http://media.example.org:5", "origin": "0.0.0.0:5"}, [f"origin_url | {PUBLIC}"]),
        ({"origin_url": "http://8.8.8.8:5", "origin": "0.0.0.0:5"}, [f"origin_url | {PUBLIC}"]),
        ({"origin_url": "http://[2606:4700::1]:5", "origin": "[::]:5"}, [f"origin_url | {PUBLIC}"]),
        ({"origin_url": "http://fediward.svc.cluster.local:5", "origin": "0.0.0.0:5"}, []),
        ({"origin_url": "http://10.0.0.5:5", "origin": "10.0.0.5:5"}, []),
        ({"origin_url": "http://[fd00::5]:5", "origin": "[fd00::5]:5"}, []),
        ({**IN_COMPOSE, "origin_url": "http://fediward:5"}, []),
        ({**IN_COMPOSE, "origin_url": "http://127.0.0.1:5"}, [f"origin_url | {ELSEWHERE}"]),
        (
            {"origin_url": "http://fediward:5", "origin": "127.0.0.1:5"},
            ["origin | pict-rs does not reach 127.0.0.1:5 from another machine or container"],
        ),
        ({**IN_COMPOSE, "origin_url": "http://fediward:5", "clients": "127.0.0.1"}, [f"clients | {NO_CLIENT}"]),
        (
            {"origin_url": "http://10.0.0.5:5", "origin": "10.0.0.5:5", "upstream": "http://10.0.0.6:1"},
            ["pictrs | pict-rs (10.0.0.6) is none of the origin's clients, and could fetch nothing"],
        ),
        (
            {
                "origin_url": "http://10.0.0.5:5",
                "origin": "10.0.0.5:5",
                "upstream": "http://10.0.0.6:1",
                "clients": "10.0.0.6",
            },
            [],
        ),
        (
            {"origin_url": "https://127.0.0.1:5"},
            [
                "origin_url | the origin speaks plain http; pict-rs trusts public authorities only,"
                " so something must stand before it"
            ],
        ),
    ],
)
def test_the_origin_is_reached_by_pict_rs_and_by_nobody_else(keys: dict[str, object], told: list[str]) -> None:
    found = _warnings(_config(pictrs=keys))
    places = {str(value): key for key, value in keys.items()}
    named = [one.split(" | ") for one in found]
    assert [f"{places.get(at.strip(chr(39)), 'pictrs')} | {message}" for at, message in named] == told


@pytest.mark.parametrize(
    ("upstream", "clients", "told"),
    [
        ("http://localhost:1", "127.0.0.1", False),
        ("http://127.0.0.1:1", "127.0.0.0/8", False),
        ("http://10.0.0.6:1", "127.0.0.0/8", True),
        ("http://10.0.0.6:1", "10.0.0.0/8", False),
        ("http://[fd00::6]:1", "10.0.0.0/8", True),
        ("http://lemmy:1", "127.0.0.0/8", True),
        ("http://lemmy:1", "172.16.0.0/12", False),
    ],
)
def test_who_needs_a_door_is_a_client_of_it(upstream: str, clients: str, told: bool) -> None:
    text = _config(fetch={"clients": clients}).replace("http://127.0.0.1:1", upstream)
    assert [" is none of the clients, and could fetch nothing" in one for one in _warnings(text)] == [True] * told


def test_so_wide_networks_let_strangers_in() -> None:
    wide: list[object] = ["10.0.0.0/8", "0.0.0.0/0"]
    assert _warnings(_config(pictrs={"clients": wide}, validate={"clients": wide})) == [
        "'0.0.0.0/0' | strangers in so wide a network reach the origin, which pict-rs alone needs",
        "'0.0.0.0/0' | strangers in so wide a network could try out here which images are found",
    ]
    assert _warnings(_config(validate={"clients": wide, "secret": "x" * 16})) == []


@pytest.mark.parametrize(
    ("software", "door", "most", "past", "who"),
    [
        ("lemmy", "fetch", "10s", "10001ms", "lemmy"),
        ("mastodon", "fetch", "10s", "10001ms", "mastodon"),
        ("gotosocial", "fetch", "10s", "10001ms", "gotosocial"),
        ("mbin", "fetch", "8s", "8001ms", "mbin"),
        ("akkoma", "fetch", "15s", "15001ms", "akkoma"),
        ("pleroma", "fetch", "15s", "15001ms", "pleroma"),
        ("generic", "pictrs", "10s", "10001ms", "Lemmy"),
        ("lemmy", "validate", "8s", "8001ms", "pict-rs"),
        ("lemmy", "upload", "30s", "30001ms", "Lemmy"),
    ],
)
def test_nobody_waits_past_a_deadline(software: str, door: str, most: str, past: str, who: str) -> None:
    def told(deadline: str) -> list[str]:
        doors: dict[str, Mapping[str, object]] = {door: {"deadline": deadline}}
        return _warnings(_config("", software=software, more="", **doors))

    assert told(most) == []
    assert told(past) == [f"'{past}' | {who} waits {most.removesuffix('s')} s at most for an answer"]


def test_who_is_not_known_to_hurry_may_be_kept_waiting() -> None:
    assert _warnings(_config(software="generic", fetch={"deadline": "60s"}, upload={"deadline": "5m"})) == []


def test_doors_that_do_nothing() -> None:
    text = _config(pictrs={}, validate={"judges": "scanned"}, fetch={"ports": ["8443"]})
    assert [one.split(" | ")[1] for one in _warnings(text)] == [
        "validate judges nothing here: the pict-rs door judges what is federated, and nobody scans the rest",
        "without port 443 the server can fetch nothing by https",
    ]


LINKS = "never | where Lemmy cannot have a link's image it shows it from where it lies, so nobody judges it"
OBJECTS = "never | without a fetch door nobody judges what an activity only names (a boost, for one)"


@pytest.mark.parametrize(
    ("software", "fetch", "told"),
    [
        ("lemmy", False, [LINKS, OBJECTS]),
        ("lemmy", True, [LINKS]),
        ("mastodon", False, [OBJECTS]),
        ("mastodon", True, []),
    ],
)
def test_what_is_not_looked_ahead_at_is_seen_elsewhere_or_not(software: str, fetch: bool, told: list[str]) -> None:
    doors: dict[str, Mapping[str, object]] = {"fetch": {}} if fetch else {}
    text = _config("look_ahead: {links: never, objects: never}", software=software, more="", **doors)
    assert _warnings(text) == told
