import pytest
from pydantic import ValidationError

from addons.policy.reading import read
from addons.policy.sections import File
from addons.policy.translate import translate

SERVER = "server: {upstream: 'http://a:1', listen: 'b:2'}\n"


def _problems(text: str) -> list[str]:
    document, problems = read(text.encode(), "c.yaml", {"SECRET": "hunter2", "WORD": "lemy"})
    assert [one for one in problems if "is not set" not in one.message] == []
    with pytest.raises(ValidationError) as caught:
        File.model_validate(document.root.data())
    return [str(problem) for problem in translate(document, caught.value, File)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "",
            "c.yaml:1:1: server is missing\n  expected: a mapping with upstream and listen",
        ),
        (
            "[a]\n",
            "c.yaml:1:1: a list cannot be the configuration\n  [a]\n  ^\n  expected: a mapping (key: value)",
        ),
        (
            "server: {listen: 'b:2'}\n",
            "c.yaml:1:1: server.upstream is missing\n  server: {listen: 'b:2'}\n  ^\n"
            "  expected: the server's own address, such as http://127.0.0.1:8536",
        ),
        (
            "server:\n",
            "c.yaml:1:8: nothing cannot be server\n  server:\n         ^\n  expected: a mapping (key: value)",
        ),
        (
            SERVER + "limits: {medai: 3}\n",
            'c.yaml:2:10: unknown key "medai"\n  limits: {medai: 3}\n           ^\n'
            "  expected: one of memory, body, media, depth, nodes, headers, header_time, body_time, idle_time,"
            ' connections_per_peer, deliveries, unverified\n  did you mean "media"?',
        ),
        (
            SERVER + "max_bytes: 5\n",
            'c.yaml:2:1: unknown key "max_bytes"\n  max_bytes: 5\n  ^\n'
            "  expected: one of server, doors, look_ahead, scan, mode, budget, fetch, classifier, exchanges, concepts,"
            " rules, on, holds, brake, senders, limits, ledger, status, alarms\n"
            '  did you mean "fetch.max_bytes"?',
        ),
        (
            SERVER + "scan: all\n",
            'c.yaml:2:7: "all" is not a value of scan\n  scan: all\n        ^\n'
            "  expected: one of federation, everything",
        ),
        (
            SERVER + "classifier: {decode: {pixels: many}}\n",
            'c.yaml:2:31: "many" cannot be classifier.decode.pixels\n  classifier: {decode: {pixels: many}}\n'
            "                                ^\n  expected: a whole number",
        ),
        (
            SERVER + "classifier: {decode: {frames: 65}}\n",
            'c.yaml:2:31: "65" is out of bounds for classifier.decode.frames\n  classifier: {decode: {frames: 65}}\n'
            "                                ^\n  expected: at most 64",
        ),
        (
            SERVER + "classifier: {decode: {seconds: 0}}\n",
            'c.yaml:2:32: "0" is out of bounds for classifier.decode.seconds\n  classifier: {decode: {seconds: 0}}\n'
            "                                 ^\n  expected: more than 0",
        ),
        (
            SERVER + "fetch: {user_agent: 'ü'}\n",
            "c.yaml:2:21: \"ü\" cannot be fetch.user_agent\n  fetch: {user_agent: 'ü'}\n                      ^\n"
            "  expected: ASCII text in one line",
        ),
        (
            SERVER + "fetch: {ports: []}\n",
            "c.yaml:2:16: fetch.ports is too short\n  fetch: {ports: []}\n                 ^\n  expected: at least 1",
        ),
        (
            SERVER + "fetch: [a]\n",
            "c.yaml:2:8: a list cannot be fetch\n  fetch: [a]\n         ^\n  expected: a mapping (key: value)",
        ),
        (
            SERVER + "on: {hold_full: hold}\n",
            "c.yaml:2:17: there is nowhere to hold it: this cause is that nothing could be stored\n"
            "  on: {hold_full: hold}\n                  ^\n  expected: one of drop, reject, defer, strip, record, pass",
        ),
        (
            SERVER + "on: {busy: {do: drop, then: drop}}\n",
            'c.yaml:2:23: "then" goes only with hold\n'
            "  on: {busy: {do: drop, then: drop}}\n                        ^\n  expected: no then",
        ),
        (
            SERVER + "on: {busy: {do: hold, then: recrd}}\n",
            'c.yaml:2:29: "recrd" is not a value of on.busy.then\n  on: {busy: {do: hold, then: recrd}}\n'
            '                              ^\n  expected: one of drop, record\n  did you mean "record"?',
        ),
        (
            SERVER + "brake: on\n",
            'c.yaml:2:8: "on" is no brake\n  brake: on\n         ^\n  expected: a mapping, or off',
        ),
        (
            SERVER + "senders: {weights: {a b: 1}}\n",
            'c.yaml:2:21: "a b" is not a host\n  senders: {weights: {a b: 1}}\n                      ^\n'
            "  expected: a host such as example.org, or *.example.org",
        ),
        (
            SERVER + "senders: {weights: {a.example: 101}}\n",
            'c.yaml:2:32: "101" is too large\n  senders: {weights: {a.example: 101}}\n'
            "                                 ^\n  expected: a whole number from 1 to 100",
        ),
        (
            SERVER + "alarms: {to: [{webhook: hunter2}]}\n",
            'c.yaml:2:25: "*******" is not a URL to send alarms to\n  alarms: {to: [{webhook: *******}]}\n'
            "                          ^\n  expected: a URL such as https://example.org/hook\n"
            "  write https:// before it",
        ),
        (
            SERVER + "alarms: {to: [{token: a}]}\n",
            "c.yaml:2:15: an alarm goes one way, and this has none\n  alarms: {to: [{token: *}]}\n"
            "                ^\n  expected: one of webhook: URL, ntfy: URL, email: {…}",
        ),
        (
            SERVER + "on: {busy: {}}\n",
            "c.yaml:2:6: on.busy.do is missing\n  on: {busy: {}}\n       ^\n  expected: do: …",
        ),
        (
            SERVER + "doors:\n  uplaod: {}\n",
            'c.yaml:3:3: unknown key "uplaod"\n    uplaod: {}\n    ^\n'
            '  expected: one of fetch, pictrs, validate, upload\n  did you mean "upload"?',
        ),
        (
            SERVER + "doors: {pictrs: {listen: 'a:1', origin: 'a:2', origin_url: 'http://a:2'}}\n",
            "c.yaml:2:9: doors.pictrs.upstream is missing\n"
            "  doors: {pictrs: {listen: 'a:1', origin: 'a:2', origin_url: 'http://a:2'}}\n          ^\n"
            "  expected: pict-rs's own address, such as http://127.0.0.1:8080",
        ),
        (
            SERVER + "doors:\n  validate: {listen: 'a:1', secret: short}\n",
            "c.yaml:3:37: \"*****\" cannot be doors.validate.secret\n    validate: {listen: 'a:1', secret: *****}\n"
            "                                      ^\n  expected: 16 to 128 letters, digits, - and _",
        ),
        (
            SERVER + "doors:\n  validate: {listen: 'a:1', secret: 12345678901234567}\n",
            'c.yaml:3:37: "*****************" cannot be doors.validate.secret\n'
            "    validate: {listen: 'a:1', secret: *****************}\n"
            "                                      ^\n  expected: text",
        ),
        (
            SERVER + 'doors: {upload: {contact: "a\\nb"}}\n',
            'c.yaml:2:27: "a\\nb" cannot be doors.upload.contact\n  doors: {upload: {contact: "a\\nb"}}\n'
            "                            ^\n  expected: text in one line",
        ),
        (
            SERVER + "classifier: {workers: a:4222}\n",
            'c.yaml:2:23: "a:4222" is not the URL of a NATS server\n  classifier: {workers: a:4222}\n'
            "                        ^\n  expected: nats://host:4222, or tls:// where it must be encrypted\n"
            "  write nats:// before it",
        ),
        (
            SERVER + "classifier: {hashes: [{file: x}]}\n",
            "c.yaml:2:23: classifier.hashes.name is missing\n  classifier: {hashes: [{file: x}]}\n"
            "                        ^\n  expected: name: …",
        ),
        (
            SERVER + "on: {busy: dorp}\n",
            'c.yaml:2:12: "dorp" is not an action\n  on: {busy: dorp}\n             ^\n'
            '  expected: one of drop, reject, hold, defer, strip, record, pass\n  did you mean "drop"?',
        ),
    ],
)
def test_problems_are_told_in_place(text: str, problem: str) -> None:
    assert _problems(text) == [problem]


def test_all_are_told_at_once() -> None:
    assert len(_problems("server: {upstream: x}\nscan: y\nlimits: {media: 0, depth: 0}\nzzz: 1\n")) == 6


@pytest.mark.parametrize(
    "text",
    [
        "ledger: {url: 'mysql://${SECRET}@h'}",
        "fetch: {user_agent: 'ü${SECRET}', max_bytes: '${SECRET}'}",
        "budget: '${SECRET}'",
        "mode: '${SECRET}'",
        "limits: {media: '${SECRET}', header_time: '${SECRET}'}",
        "classifier: {decode: {pixels: '${SECRET}'}, workers: '${SECRET}', clip: '${SECRET}'}",
        "classifier: {workers: 'nats://u:${SECRET}@h/x'}",
        "classifier: {workers: {nats: ['nats://${SECRET}@'], nkey: '${SECRET}', fallback: '${SECRET}'}}",
        "on: {busy: '${SECRET}'}",
        "server: {listen: '${SECRET}', upstream: 'http://${SECRET}@a'}",
        "server: {domains: ['${SECRET}/'], trusted_proxies: '${SECRET}'}",
    ],
)
def test_no_message_shows_a_value_from_the_environment(text: str) -> None:
    problems = _problems(text)
    assert any("${SECRET}" in problem for problem in problems)
    assert not any("hunter2" in problem for problem in problems)


def test_no_guess_is_made_from_a_value_of_the_environment() -> None:
    (problem,) = _problems("server: {upstream: 'http://a:1', listen: 'b:2', software: '${WORD}'}")
    assert "did you mean" not in problem


def test_a_missing_variable_is_not_told_twice() -> None:
    assert _problems(SERVER + "budget: '${UNSET}'\nscan: x\n") == _problems(SERVER + "\nscan: x\n")
