from pathlib import Path

import pytest

from addons.policy.config import parse

SERVER = "server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2'}\n"
NEVER = "{name: r, when: {clip.minor: '>0.9', nudity.explicit: '>0.9'}, do: drop}"


def _warnings(text: str, folder: Path = Path("/nowhere")) -> list[str]:
    config = parse(text.encode(), path=folder / "c.yaml", env={})
    assert all(one.warning for one in config.warnings)
    return [f"{one.line}:{one.column}: {one.message}" for one in config.warnings]


def test_the_defaults_are_no_risk() -> None:
    assert _warnings(SERVER) == []


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        (
            SERVER + "on: {busy: pass, timeout: record, too_large: reject, ledger_error: record}",
            [
                "2:12: busy: pass lets by what was not judged, and writes nothing down",
                "2:27: timeout: record lets by what was not judged",
            ],
        ),
        (
            SERVER + "rules: []\nclassifier: {clip: null, nudity: null}",
            ["2:8: there are no rules: every image passes"],
        ),
        (
            SERVER + "rules: [{name: r, when: {clip.minor: '>0.5', nudity.explicit: 1}, do: record}]",
            ["2:8: no rule keeps anything out: each passes or records"],
        ),
        (
            SERVER + "mode: observe",
            ["2:7: mode: observe keeps nothing out: deliveries are forwarded and judged afterwards"],
        ),
        (SERVER + "budget: 7s", []),
        (SERVER + "budget: 7001ms", ["2:9: some senders wait 7 s for an answer and never try again"]),
        (
            "server: {upstream: 'http://a:1', listen: 'b:2',"
            " trusted_proxies: [10.0.0.0/8, 0.0.0.0/7, 'fd00::/31', 'fd00::/32']}",
            [
                "1:79: so wide a network lets strangers forge the sender's address",
                "1:90: so wide a network lets strangers forge the sender's address",
            ],
        ),
        (
            SERVER + "fetch: {allow: [192.168.0.0/16, 127.0.0.1]}",
            ["2:33: this lets URLs in strangers' activities reach this machine's own services"],
        ),
        (
            "server: {upstream: 'http://a:1', listen: 'b:2', image_mode: proxy}",
            ["1:61: image_mode means something with software: lemmy only"],
        ),
        ("server: {upstream: 'http://a:1', listen: 'b:2', image_mode: proxy, software: lemmy}", []),
        (
            SERVER + "rules: [{name: r, when: {clip.minor: 1}, do: drop}]",
            ["1:1: the detector nudity is on and no rule asks for what it finds"],
        ),
        (
            SERVER + "classifier: {clip: {}}\nrules: [{name: r, when: {nudity.explicit: 1}, do: drop}]",
            ["2:20: the detector clip is on and no rule asks for what it finds"],
        ),
        *(
            (SERVER + f"classifier: {{workers: {{{workers}}}}}", [])
            for workers in (
                "nats: 'nats://127.0.0.1'",
                "nats: 'nats://[::1]'",
                "nats: 'nats://localhost'",
                "nats: 'tls://a'",
                "nats: 'nats://a', tls: {}",
            )
        ),
        (
            SERVER + "classifier: {workers: ['tls://a', 'nats://p@10.0.0.1:1']}",
            ["2:23: pictures (and a password in the URL) go unencrypted to the NATS server"],
        ),
    ],
)
def test_risks(text: str, warnings: list[str]) -> None:
    assert _warnings(text) == warnings


@pytest.mark.parametrize(
    ("keys", "warnings"),
    [
        ("", []),
        (", distance: 0, match: pdq", []),
        (", match: sha256", []),
        (", distance: 1", ["2:72: a stranger can make a picture that is 1 bits from an allowed one, and it passes"]),
        (", match: md5", ["2:69: two files with one md5 can be made: one to be allowed, another to follow"]),
    ],
)
def test_allow_lists_that_a_stranger_can_get_on(tmp_path: Path, keys: str, warnings: list[str]) -> None:
    (tmp_path / "h.csv").write_text("")
    text = SERVER + f"classifier: {{hashes: [{{name: fine, file: h.csv, allow: true{keys}}}]}}\n"
    assert _warnings(text, tmp_path) == warnings


def test_a_list_that_no_rule_asks_for(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("kind,hash,source,note\n")
    text = SERVER + "classifier: {hashes: [{name: ours, file: h.csv}]}\n"
    assert _warnings(text, tmp_path) == []  # the preset asks for hash.*
    assert _warnings(f"{text}rules: [{NEVER}]\n", tmp_path) == ['2:23: no rule asks for the hash list "ours"']
