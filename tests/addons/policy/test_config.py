import dataclasses
from pathlib import Path

import pytest

from addons.policy.config import Config, load, parse
from addons.policy.decide import decide
from addons.policy.problems import ConfigError
from addons.policy.reading import MAX_BYTES
from addons.policy.rules import preset
from addons.policy.values import Address, Upstream
from addons.policy.words import Action, Cause, Context
from classifier import presets
from classifier.readings.types import MARKS

SERVER = "server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2'}\n"


def _config(text: str, folder: Path = Path("/etc/fediward"), **env: str) -> Config:
    return parse(text.encode(), path=folder / "c.yaml", env=env)


def _problems(text: str, folder: Path = Path("/etc/fediward"), **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _config(text, folder, **env)
    return [f"{one.line}:{one.column}: {one.message}" for one in caught.value.problems]


def test_upstream_and_listen_alone_are_a_valid_file() -> None:
    config = _config(SERVER)
    assert config.server.upstream == Upstream("http", "127.0.0.1", 1)
    assert config.server.listen == Address("127.0.0.1", 2)
    assert (config.server.software, config.server.domains, config.server.image_mode) == ("generic", (), "store")
    assert [str(network) for network in config.server.trusted_proxies] == ["127.0.0.1/32", "::1/128"]
    assert (config.scan, config.mode, config.budget, config.observe) == ("federation", "enforce", 4.0, False)
    assert config.rules == preset("child-safety")
    assert config.concepts == presets.load("child-safety")
    assert config.classifier.clip is not None
    assert (config.classifier.clip.model, config.classifier.clip.pretrained) == ("ViT-L-14", "openai")
    assert config.classifier.nudity is not None
    assert config.classifier.workers is None
    assert config.fetch.max_bytes == 40 << 20
    assert config.fetch.user_agent is None
    assert config.limits.memory == 512 << 20
    assert config.ledger.keep == 90 * 86400
    assert config.warnings == ()


def test_the_issues_sample_of_errors_is_told_like_a_compilers() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(
            b"server:\n  upsteam: http://127.0.0.1:8536\n  listen: 127.0.0.1:8540\nmode: enforced\n",
            path=Path("config.yaml"),
            env={},
        )
    assert str(caught.value) == (
        "config.yaml:1:1: server.upstream is missing\n"
        "  server:\n"
        "  ^\n"
        "  expected: the server's own address, such as http://127.0.0.1:8536\n"
        "\n"
        'config.yaml:2:3: unknown key "upsteam"\n'
        "    upsteam: http://127.0.0.1:8536\n"
        "    ^\n"
        "  expected: one of software, upstream, listen, domains, trusted_proxies, image_mode\n"
        '  did you mean "upstream"?\n'
        "\n"
        'config.yaml:4:7: "enforced" is not a value of mode\n'
        "  mode: enforced\n"
        "        ^\n"
        "  expected: one of enforce, observe\n"
        '  did you mean "enforce"?'
    )


def test_problems_of_every_part_are_told_together() -> None:
    text = (
        "server: {upstream: 'http://127.0.0.1:1', listen: '${NOWHERE}'}\n"
        "scan: x\n"
        "concepts: y\n"
        "rules: [{name: r, when: {hash.ours: 1}, do: z}]\n"
        "classifier: {nudity: }\n"
        "scan: x\n"
    )
    assert _problems(text) == [
        "1:51: the environment variable NOWHERE is not set",
        '2:7: "x" is not a value of scan',
        '3:11: "y" is not a preset',
        '4:26: unknown symbol "hash.ours"',
        '4:45: "z" is not an action',
        '5:14: "nudity:" has nothing behind it',
        '6:1: the key "scan" stands here twice',
    ]


def test_a_rule_on_an_allow_list_is_refused(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("")
    text = (
        "server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2'}\n"
        "classifier: {hashes: [{name: fine, file: h.csv, allow: true}]}\n"
        "rules: [{name: r, when: {hash.fine: 1}, do: drop}, {name: s, when: {hash.*: 1}, do: drop}]\n"
    )
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), path=tmp_path / "c.yaml", env={})
    assert [f"{one.line}:{one.column}: {one.message}" for one in caught.value.problems] == [
        '3:26: "fine" is an allow list: what is on it passes before any rule is tried',
        '3:69: nothing gives "hash.*"',
    ]


def test_what_may_be_said_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "h.txt").write_text("")
    text = (
        "server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2'}\n"
        "classifier: {hashes: [{name: fine, file: h.txt, match: pdq, distance: 3, variants: true, allow: true}]}\n"
    )
    (listed,) = parse(text.encode(), path=tmp_path / "c.yaml", env={}).classifier.hashes
    assert listed.file == tmp_path / "h.txt"
    assert (listed.match, listed.bits, listed.variants, listed.allow) == ("pdq", 3, True, True)


@pytest.mark.parametrize("text", ["", "# only a comment", "null", "[]", "word"])
def test_a_file_that_is_no_mapping(text: str) -> None:
    assert len(_problems(text)) == 1


def test_environment_variables_are_typed_after_they_are_put_in() -> None:
    text = "server:\n  upstream: http://${HOST}:1\n  listen: 127.0.0.1:${PORT}\nlimits:\n  media: ${N}\n"
    config = _config(text, HOST="lemmy", PORT="8540", N="7")
    assert config.server.listen.port == 8540
    assert config.server.upstream.host == "lemmy"
    assert config.limits.media == 7


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            "classifier: {clip: null}",
            [
                f'2:14: the rule "{rule}" of the preset child-safety: nothing gives "{symbol}":'
                " the detector clip is off"
                for rule, symbol in (
                    ("sexualised-minor", "clip.minor"),
                    ("sexualised-minor", "clip.sexual"),
                    ("minor-nudity", "clip.minor"),
                )
            ],
        ),
        (
            "rules: child-safety\nclassifier: {nudity: null}",
            [
                '2:1: the rule "minor-nudity" of the preset child-safety: nothing gives "nudity.explicit":'
                " the detector nudity is off"
            ],
        ),
        (
            "concepts: explicit",
            [
                f'2:1: the rule "{rule}" of the preset child-safety: unknown symbol "clip.minor"'
                for rule in ("sexualised-minor", "minor-nudity")
            ],
        ),
        ("rules: [{name: a, when: {clip.minr: 1}, do: drop}]", ['2:26: unknown symbol "clip.minr"']),
        ("rules: [{name: a, when: {nudity.explict: 1}, do: drop}]", ['2:26: unknown symbol "nudity.explict"']),
        ("rules: [{name: a, when: {hash.*: 1}, do: drop}]", ['2:26: nothing gives "hash.*"']),
        ("rules: known-hashes", ["2:8: the preset known-hashes needs hashes, and there is no list of them"]),
        ("concepts: nonsense", ['2:11: "nonsense" is not a preset']),
        # Where the classifier section itself is wrong, what it gives is not guessed at.
        (
            "classifier: {clipp: {}}\nrules: [{name: a, when: {clip.minr: 1}, do: drop}]",
            ['2:14: unknown key "clipp"'],
        ),
        # Where another section is wrong, it is.
        (
            "scan: x\nrules: [{name: a, when: {clip.minr: 1}, do: drop}]",
            [
                '2:7: "x" is not a value of scan',
                '3:26: unknown symbol "clip.minr"',
            ],
        ),
    ],
)
def test_symbols_that_nothing_gives(text: str, problems: list[str]) -> None:
    assert _problems(SERVER + text) == problems


def test_marks_of_files_are_known_without_any_detector() -> None:
    rules = "\nrules: [{name: a, when: {any: [%s]}, do: record}]"
    detectors = "classifier: {clip: null, nudity: null}"
    every = ", ".join(f"{{{mark}: 1}}" for mark in sorted(MARKS))
    assert [rule.name for rule in _config(SERVER + detectors + rules % every).rules] == ["a"]
    assert _problems(SERVER + detectors + rules % "{file.archiv: 1}") == ['3:33: unknown symbol "file.archiv"']


@pytest.mark.parametrize("detector", ["clip", "nudity"])
def test_a_detector_is_not_turned_off_unsaid(detector: str) -> None:
    rules = "rules: [{name: a, when: {kind: image}, do: drop}]\n"
    assert f'2:14: "{detector}:" has nothing behind it' in _problems(f"{SERVER}classifier: {{{detector}: }}\n{rules}")
    assert getattr(_config(f"{SERVER}classifier: {{{detector}: null}}\n{rules}").classifier, detector) is None
    assert getattr(_config(f"{SERVER}classifier: {{{detector}: {{}}}}\n{rules}").classifier, detector) is not None


@pytest.mark.parametrize(
    ("workers", "problem"),
    [
        ("{nats: tls://a, tls: {key: /dev/zero}}", 'there is no file "/dev/zero", or it cannot be read'),
        ("{nats: tls://a, tls: {key: c.yaml}}", "a key without the certificate it is for"),
        ("{nats: tls://a, nkey: c.yaml, creds: c.yaml}", "creds and nkey are two ways to say who we are"),
        ("{nats: []}", "classifier.workers.nats is too short"),
        (f"[{', '.join(['tls://a'] * 17)}]", "classifier.workers.nats is too long"),
        ("{}", "classifier.workers.nats is missing"),
        ("[]", "a list is no place for workers"),
        ("5", '"5" is no place for workers'),
        ("", "nothing is no place for workers"),
        ("{nats: tls://a, subject: a.b}", '"a.b" cannot be classifier.workers.subject'),
        ("{nats: tls://a, fallback: busy}", '"busy" is not a value of classifier.workers.fallback'),
    ],
)
def test_workers_that_cannot_be_met(tmp_path: Path, workers: str, problem: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"{SERVER}classifier:\n  workers: {workers}\n")
    with pytest.raises(ConfigError) as caught:
        load(path, env={})
    assert [found.message for found in caught.value.problems] == [problem]


@pytest.mark.parametrize(
    "workers", ["tls://a", "[tls://a]", "{nats: tls://a}", "{nats: [tls://a], tls: , fallback: none}"]
)
def test_a_url_alone_is_where_workers_are_met(workers: str) -> None:
    found = _config(f"{SERVER}classifier: {{workers: {workers}}}").classifier.workers
    assert found is not None
    assert (found.nats, found.fallback, found.subject) == (("tls://a",), "none", "fediward")


def test_known_hashes_alone(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("kind,hash,source,note\n")
    text = SERVER + "rules: known-hashes\nclassifier: {clip: null, nudity: null, hashes: [{name: a, file: h.csv}]}\n"
    config = _config(text, tmp_path)
    assert [rule.name for rule in config.rules] == ["known-material"]
    assert config.warnings == ()


def test_load_reads_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(SERVER)
    assert load(path, env={}).path == path


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_cannot_be_read_is_a_problem_too(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "config.yaml"
    if there:
        path.mkdir()
    with pytest.raises(ConfigError, match=r"config\.yaml:1:1: cannot be read: "):
        load(path, env={})


def test_a_file_without_end_is_not_read_to_it() -> None:
    with pytest.raises(ConfigError, match=f"the file has {MAX_BYTES + 1:,} bytes"):
        load(Path("/dev/zero"), env={})


def test_the_policy_is_compiled_from_it() -> None:
    config = _config(SERVER + "mode: observe\non: {busy: reject}\nrules: [{name: h, when: {host: a}, do: drop}]\n")
    policy = config.policy()
    assert policy.observe
    assert policy.on[Cause.BUSY] is Action.REJECT
    assert decide(policy, Context("inbox", host="a"), []).action is Action.DROP


@pytest.mark.parametrize(
    "text",
    [
        "mode: observe",
        "scan: everything",
        "budget: 5s",
        "on: {busy: drop}",
        "limits: {media: 5}",
        "fetch: {redirects: 4}",
        "rules: [{name: a, when: {clip.minor: 1, nudity.explicit: 1}, do: drop}]",
        "concepts: {preset: child-safety, clip.x: {prompts: [a], against: [b]}}",
        "classifier: {clip: {model: RN50}}",
        "doors: {fetch: {listen: 'a:5'}}",
        "doors: {upload: {max_bytes: 1MiB}}",
        "look_ahead: {links: never}",
        "look_ahead: {objects: never}",
    ],
)
def test_the_policys_version_hangs_on_what_decisions_hang_on(text: str) -> None:
    assert _config(SERVER).policy().version != _config(SERVER + text).policy().version


@pytest.mark.parametrize(
    "text",
    [
        *("ledger: {keep: 5d}", "classifier: {queue: 7}", "classifier: {workers: tls://a}", "# a comment"),
        *("doors: {upload: {contact: me}}", "look_ahead: {links: always, objects: always}"),
    ],
)
def test_and_on_nothing_else(text: str) -> None:
    elsewhere = Path("/elsewhere")
    assert _config(SERVER).policy().version == _config(SERVER + text, elsewhere).policy().version


PICTRS = "listen: 'a:3', upstream: 'http://a:4', origin: 'a:5', origin_url: 'http://a:5'"
VALIDATE = "judges: everything, listen: 'a:6'"


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("fetch: {listen: 'a:3'}", "fetch: {listen: 'a:4', clients: 10.0.0.1, ca: x}", True),
        ("fetch: {listen: 'a:3'}", "fetch: {listen: 'a:3', deadline: 7s}", False),
        ("fetch: {listen: 'a:3'}", "fetch: {listen: 'a:3', ports: [443, 8443]}", False),
        ("fetch: {listen: 'a:3'}", "fetch: {listen: 'a:3', tunnels: {hosts: b}}", False),
        (f"pictrs: {{{PICTRS}}}", f"pictrs: {{{PICTRS}, api_key: hunter2, look_back: false}}", True),
        (f"pictrs: {{{PICTRS}}}", f"pictrs: {{{PICTRS}, deadline: 7s}}", False),
        (f"validate: {{{VALIDATE}}}", f"validate: {{{VALIDATE}, secret: hunter2hunter2hunter2}}", True),
        (f"validate: {{{VALIDATE}}}", f"validate: {{{VALIDATE}, deadline: 7s}}", False),
    ],
)
def test_the_policys_version_hangs_on_no_address_and_no_secret_of_a_door(one: str, other: str, alike: bool) -> None:
    versions = {_config(f"{SERVER}doors: {{{text}}}").policy().version for text in (one, other)}
    assert (len(versions) == 1) is alike


def test_the_policys_version_hangs_on_where_strip_takes_effect() -> None:
    lemmy = "server: {upstream: 'http://b:1', listen: 'b:2', software: lemmy, image_mode: proxy}\n"
    with_door = _config(f"{lemmy}doors: {{pictrs: {{{PICTRS}}}}}")
    assert "inbox" in with_door.strips
    assert with_door.policy().strips == with_door.strips
    assert "inbox" not in _config(lemmy).strips


@pytest.mark.parametrize(
    ("software", "doors", "look_ahead", "links", "objects"),
    [
        ("lemmy", "", "", True, True),
        ("lemmy", "fetch: {listen: 'a:3'}", "", True, False),
        ("mastodon", "", "", True, True),
        ("mastodon", "fetch: {listen: 'a:3'}", "", False, False),
        ("mastodon", "fetch: {listen: 'a:3'}", "links: always, objects: always", True, True),
        ("lemmy", "", "links: never, objects: never", False, False),
    ],
)
def test_what_is_looked_ahead_at(software: str, doors: str, look_ahead: str, links: bool, objects: bool) -> None:
    server = f"server: {{upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2', software: {software}}}\n"
    config = _config(f"{server}doors: {{{doors}}}\nlook_ahead: {{{look_ahead}}}")
    assert (config.look_ahead_links, config.look_ahead_objects) == (links, objects)


def test_nothing_in_it_can_be_changed() -> None:
    config = _config(SERVER)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.mode = "observe"  # type: ignore[misc]  # that it is refused is what is tested


def test_a_secret_is_not_in_what_it_prints() -> None:
    config = _config(SERVER + "ledger: {url: 'postgresql://u:${WORD}@h/d'}", WORD="hunter2")
    assert config.ledger.url == "postgresql://u:hunter2@h/d"
    assert "hunter2" not in repr(config)
    config = _config(SERVER + "classifier: {workers: 'tls://u:${WORD}@h'}", WORD="hunter2")
    assert config.classifier.workers is not None
    assert config.classifier.workers.nats == ("tls://u:hunter2@h",)
    assert "hunter2" not in repr(config)
    doors = f"doors: {{pictrs: {{{PICTRS}, api_key: '${{WORD}}'}}, validate: {{{VALIDATE}, secret: '${{WORD}}'}}}}"
    config = _config(SERVER + doors, WORD="hunter2-hunter2-hunter2")
    assert config.doors.pictrs is not None
    assert config.doors.validate_ is not None
    assert config.doors.pictrs.api_key == config.doors.validate_.secret == "hunter2-hunter2-hunter2"
    assert "hunter2" not in repr(config)


def test_a_secret_in_the_file_itself_is_in_no_problem() -> None:
    pictrs, validate = f"{{{PICTRS}, api_key: 'hunter2 2'}}", "{secret: hunter2, listen: x}"
    text = f"{SERVER}doors: {{pictrs: {pictrs}, validate: {validate}, y: z}}\n"
    with pytest.raises(ConfigError) as caught:
        _config(text)
    assert len(caught.value.problems) == 4
    assert "hunter2" not in repr(caught.value.problems)
    assert "hunter2" not in str(caught.value)


def test_the_authoritys_folder_starts_from_the_files() -> None:
    for ca, placed in (("", "/etc/fediward/fediward-ca"), (", ca: x", "/etc/fediward/x"), (", ca: /x", "/x")):
        door = _config(f"{SERVER}doors: {{fetch: {{listen: 'a:3'{ca}}}}}").doors.fetch
        assert door is not None
        assert door.ca == Path(placed)
