from pathlib import Path

import pytest

from addons.policy.config import parse

SERVER = "server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2'}\n"
DEFER = "defer loses what PeerTube and Pixelfed send, and makes a Lemmy server's whole queue to you wait"
FILLS = "one host's deliveries could fill it"
RULES = "rules:\n- {name: a, when: {clip.minor: 1, nudity.explicit: 1}, do: drop}\n"
ALONE = "only who delivers is denied, and this rule is never asked at the inbox door"
PLAIN = "alarms (and a token) go unencrypted"
MAIL = "smtp: 'm.example:25', from: a@b.example, to: a@b.example"


def _warnings(text: str) -> list[str]:
    config = parse(f"{SERVER}{text}\n".encode(), path=Path("/nowhere/c.yaml"), env={})
    assert all(one.warning for one in config.warnings)
    return [f"{one.line}:{one.column}: {one.message}" for one in config.warnings]


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("on: {hold_full: defer, ledger_error: defer}", []),
        ("on: {timeout: defer, unsupported: {do: defer}}", [f"2:15: {DEFER}", f"2:35: {DEFER}"]),
        (RULES + "- {name: b, when: {host: a.example}, do: defer}", [f"4:42: {DEFER}"]),
        (RULES + "- {name: b, when: {host: a.example}, do: hold, then: record}", []),
        ("on: {fetch_failed: {do: hold, then: record}, busy: {do: hold, then: drop}, no_worker: hold}", []),
        (
            "on: {busy: {do: hold, then: record}}",
            ["2:29: busy: then: record lets by what was not judged, once its window closes"],
        ),
        ("brake: off", ["2:8: without the brake a model gone wrong can drop all that comes in"]),
        ("brake: {share: 0.5}", []),
    ],
)
def test_what_is_done_with_what_is_not_judged(text: str, warnings: list[str]) -> None:
    assert _warnings(text) == warnings


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("holds: {host_count: 9999}", []),
        ("holds: {host_count: 10000}", [f"2:21: holds.host_count is not below holds.count: {FILLS}"]),
        ("holds: {count: 1000}", [f"2:16: holds.host_count is not below holds.count: {FILLS}"]),
        ("holds: {bytes: 32MiB}", [f"2:16: holds.host_bytes is not below holds.bytes: {FILLS}"]),
        ("limits: {body: 1MiB, headers: 1MiB}\nholds: {host_bytes: 2MiB}", []),
        (
            "limits: {body: 1MiB, headers: 1MiB}\nholds: {host_bytes: 2097151}",
            ["3:21: holds.host_bytes (2097151B) has no room for one delivery of limits.body and limits.headers"],
        ),
        (
            "limits: {body: 40MiB}",
            ["2:16: holds.host_bytes (32MiB) has no room for one delivery of limits.body and limits.headers"],
        ),
    ],
)
def test_bounds_that_leave_no_room(text: str, warnings: list[str]) -> None:
    assert _warnings(text) == warnings


@pytest.mark.parametrize(
    ("when", "warnings"),
    [
        ("{clip.minor: 1}", []),
        ("{door: [inbox, fetch], clip.minor: 1}", []),
        ("{door: upload, clip.minor: 1}", [f"4:66: {ALONE}"]),
    ],
)
def test_a_denial_that_nobody_meets(when: str, warnings: list[str]) -> None:
    assert _warnings(f"{RULES}- {{name: b, when: {when}, do: drop, deny: {{for: 1d}}}}") == warnings


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("status: {listen: '127.0.0.1:3', clients: [10.0.0.0/8]}", []),
        (
            "status: {listen: '127.0.0.1:3', clients: [10.0.0.1, 0.0.0.0/0]}",
            ["2:53: strangers in so wide a network could read here what fediward does, and when it is down"],
        ),
        ("alarms: {to: [{webhook: 'https://a/'}, {ntfy: 'http://127.0.0.1/'}, {ntfy: 'http://localhost/'}]}", []),
        ("alarms: {to: [{webhook: 'http://a/'}, {ntfy: 'http://a/'}]}", [f"2:25: {PLAIN}", f"2:46: {PLAIN}"]),
        (f"alarms: {{to: [{{email: {{{MAIL}}}}}]}}", []),
        (f"alarms: {{to: [{{email: {{{MAIL.replace('m.example', '127.0.0.1')}, tls: none}}}}]}}", []),
        (
            f"alarms: {{to: [{{email: {{{MAIL}, tls: none}}}}]}}",
            ["2:87: alarms (and a password) go unencrypted to the mail server"],
        ),
    ],
)
def test_who_may_ask_and_who_may_listen(text: str, warnings: list[str]) -> None:
    assert _warnings(text) == warnings
