from pathlib import Path

import pytest

from addons.policy.config import Config, parse
from addons.policy.problems import ConfigError

SERVER = "server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2'}\n"


def _config(text: str, folder: Path = Path("/etc/fediward")) -> Config:
    return parse(text.encode(), path=folder / "c.yaml", env={})


def _problems(text: str, folder: Path = Path("/etc/fediward")) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _config(text, folder)
    return [f"{one.line}:{one.column}: {one.message}" for one in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {upstream: 'http://127.0.0.1:2', listen: '127.0.0.1:2'}", "1:20: "),
        ("server: {upstream: 'http://localhost:2', listen: '0.0.0.0:2'}", "1:20: "),
        ("server: {upstream: 'http://[::1]:2', listen: '[::]:2'}", "1:20: "),
        ("server: {upstream: 'http://lemmy:2', listen: 'lemmy:2'}", "1:20: "),
        ("server: {upstream: 'http://127.0.0.1', listen: '127.0.0.1:80'}", "1:20: "),
    ],
)
def test_forwarding_to_itself_is_refused(text: str, problem: str) -> None:
    (found,) = _problems(text)
    assert found.startswith(problem)
    assert found.endswith("is where fediward itself listens: it would forward to itself")


@pytest.mark.parametrize(
    "text",
    [
        "server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2'}",
        "server: {upstream: 'http://10.0.0.1:2', listen: '127.0.0.1:2'}",
        "server: {upstream: 'http://lemmy:2', listen: '0.0.0.0:2'}",
        "server: {upstream: 'http://127.0.0.2:2', listen: '127.0.0.1:2'}",
    ],
)
def test_forwarding_elsewhere_is_not(text: str) -> None:
    _config(text)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("fetch: {max_bytes: 512MiB}", []),
        ("fetch: {max_bytes: 513MiB}", ["2:20: fetch.max_bytes (513MiB) is more than limits.memory (512MiB)"]),
        ("limits: {memory: 40MiB}", []),
        ("limits: {memory: 99MiB}", []),  # doors.upload.max_bytes is 100 MiB where nobody said so
        ("doors: {upload: {max_bytes: 512MiB}}", []),
        (
            "doors: {upload: {max_bytes: 513MiB}}",
            ["2:29: doors.upload.max_bytes (513MiB) is more than limits.memory (512MiB)"],
        ),
        ("limits: {memory: 39MiB}", ["2:18: fetch.max_bytes (40MiB) is more than limits.memory (39MiB)"]),
        (
            "limits: {memory: 16MiB, body: 17MiB}\nfetch: {max_bytes: 1MiB}",
            ["2:31: limits.body (17MiB) is more than limits.memory (16MiB)"],
        ),
    ],
)
def test_what_must_fit_into_memory(text: str, problems: list[str]) -> None:
    if problems:
        assert _problems(SERVER + text) == problems
    else:
        _config(SERVER + text)


def _doors(server: str = "'127.0.0.1:2'", **doors: str) -> str:
    """A configuration with these doors, each of which has what it needs unless it is said here."""
    needs = {
        "fetch": {"listen": "'127.0.0.1:3'"},
        "pictrs": {
            "listen": "'127.0.0.1:4'",
            "upstream": "'http://127.0.0.1:8080'",
            "origin": "'127.0.0.1:5'",
            "origin_url": "'http://127.0.0.1:5'",
        },
        "validate": {"listen": "'127.0.0.1:6'"},
    }
    lines = [f"server: {{upstream: 'http://127.0.0.1:1', listen: {server}}}", "doors:"]
    for door, said in doors.items():
        keys = needs[door] | dict(one.split("=", 1) for one in said.split())
        lines += [f"  {door}:", *(f"    {key}: {value}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def test_all_doors_together() -> None:
    _config(_doors(fetch="", pictrs="", validate=""))


@pytest.mark.parametrize(
    ("text", "place", "whose"),
    [
        (_doors(fetch="listen='127.0.0.1:2'"), "4:13", "the inbox door"),
        (_doors(fetch="", pictrs="listen='127.0.0.1:3'"), "6:13", "the fetch door"),
        (_doors(pictrs="origin='127.0.0.1:4'"), "6:13", "the pict-rs door"),
        (_doors(pictrs="", validate="listen='127.0.0.1:5'"), "9:13", "the origin"),
        (_doors(fetch="listen='localhost:2'"), "4:13", "the inbox door"),
        (_doors(fetch="listen='0.0.0.0:2'"), "4:13", "the inbox door"),
        (_doors("'0.0.0.0:2'", fetch="listen='10.0.0.1:2'"), "4:13", "the inbox door"),
        (_doors("'[::]:2'", fetch="listen='[fd00::1]:2'"), "4:13", "the inbox door"),
        (_doors("'a:2'", fetch="listen='a:2'"), "4:13", "the inbox door"),
        (_doors(fetch="") + "status: {listen: '127.0.0.1:3'}\n", "5:18", "the fetch door"),
    ],
)
def test_two_doors_cannot_listen_on_one_address(text: str, place: str, whose: str) -> None:
    (problem,) = (one for one in _problems(text) if "listens already" in one)
    assert problem.startswith(f"{place}: ")
    assert problem.endswith(f" is where {whose} listens already")


@pytest.mark.parametrize(
    "text",
    [
        _doors(fetch="listen='127.0.0.2:2'"),
        _doors("'10.0.0.1:2'", fetch="listen='127.0.0.1:2'"),
        _doors("'[::1]:2'", fetch="listen='127.0.0.1:2'"),
        _doors("'a:2'", fetch="listen='b:2'"),
    ],
)
def test_two_addresses_of_one_port_are_two(text: str) -> None:
    _config(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (_doors("'127.0.0.1:2'", pictrs="upstream='http://127.0.0.1:2'"), "5:15"),
        (_doors(pictrs="upstream='http://localhost:4'"), "5:15"),
        (_doors(pictrs="upstream='http://127.0.0.1:5'"), "5:15"),
        (_doors(pictrs="upstream='http://127.0.0.1:3'", fetch=""), "5:15"),
        (_doors(pictrs="", validate="listen='0.0.0.0:1'"), "1:20"),
    ],
)
def test_nor_is_another_door_of_ours_the_server_behind_one(text: str, place: str) -> None:
    (problem,) = (one for one in _problems(text) if not one.startswith("8:") or "forward" in one)
    assert problem.startswith(f"{place}: ")
    assert problem.endswith("is where fediward itself listens: it would forward to itself")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://0.0.0.0:5", "is nowhere that pict-rs could fetch from"),
        ("http://[::]:5", "is nowhere that pict-rs could fetch from"),
        ("http://224.0.0.1:5", "is nowhere that pict-rs could fetch from"),
        ("http://127.0.0.1:4", "is where the pict-rs door listens, and pict-rs has to fetch from the origin"),
        ("http://localhost:2", "is where the inbox door listens, and pict-rs has to fetch from the origin"),
    ],
)
def test_pict_rs_has_to_reach_the_origin(url: str, problem: str) -> None:
    assert _problems(_doors(pictrs=f"origin_url='{url}'")) == [f'7:17: "{url}" {problem}']


@pytest.mark.parametrize("url", ["http://127.0.0.1:99", "http://fediward:5", "http://10.0.0.1:5", "http://[fd00::1]:5"])
def test_it_may_do_so_by_any_other_way(url: str) -> None:
    _config(_doors(pictrs=f"origin_url='{url}'"))


@pytest.mark.parametrize(
    ("clients", "column"),
    [
        ("[10.0.0.0/8,0.0.0.0/0]", 26),
        ("['::/0']", 15),
        ("8.0.0.0/15", 14),
        ("8.8.0.0/16", None),
        ("[10.0.0.0/8,'fd00::/8']", None),
        ("['2001:db8::/32']", None),
        ("['2001:db8::/31']", 15),
    ],
)
def test_the_fetch_door_is_no_open_relay(clients: str, column: int | None) -> None:
    text = _doors(fetch=f"clients={clients}")
    if column is None:
        _config(text)
    else:
        told = "strangers in so wide a network could send their own requests through the fetch door"
        assert _problems(text) == [f"5:{column}: {told}"]


def test_validation_alone_does_not_know_what_was_federated() -> None:
    told = "3:3: validate is not told where an image came from, and so cannot leave out uploads (scan: federation)"
    assert _problems(_doors(validate="")) == [told]
    _config(_doors(validate="judges=everything"))
    _config(_doors(validate="", pictrs=""))
    _config(_doors(validate="") + "scan: everything\n")


def test_hash_lists_have_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "h.csv").touch()
    text = SERVER + "classifier: {hashes: [{name: a, file: h.csv}, {name: a, file: h.csv}]}\n"
    assert _problems(text, tmp_path) == ['2:54: two hash lists are named "a"']
