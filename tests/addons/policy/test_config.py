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


def test_paths_start_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "h.csv").write_text("kind,hash,source,note\n")
    config = _config(
        SERVER + "ledger: {url: 'sqlite:///data/l.db'}\n"
        "classifier: {clip: {pretrained: ./w.pt}, hashes: [{name: ours, file: lists/h.csv, distance: 20}]}\n",
        tmp_path,
    )
    assert config.classifier.hashes[0].file == tmp_path / "lists" / "h.csv"
    assert config.classifier.hashes[0].distance == 20
    assert config.classifier.clip is not None
    assert Path(config.classifier.clip.pretrained) == tmp_path / "w.pt"
    assert config.ledger.url == f"sqlite:///{tmp_path}/data/l.db"


@pytest.mark.parametrize(
    ("url", "placed"),
    [
        ("sqlite:////var/l.db", "sqlite:////var/l.db"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("sqlite:///l.db", "sqlite:////etc/fediward/l.db"),
    ],
)
def test_ledger_urls(url: str, placed: str) -> None:
    assert _config(f"{SERVER}ledger: {{url: '{url}'}}").ledger.url == placed


@pytest.mark.parametrize(
    ("pretrained", "placed"),
    [
        ("openai", "openai"),
        ("/w.pt", "/w.pt"),
        ("w.safetensors", "/etc/fediward/w.safetensors"),
        ("laion2b_s32b_b82k",) * 2,
    ],
)
def test_checkpoints(pretrained: str, placed: str) -> None:
    clip = _config(f"{SERVER}classifier: {{clip: {{pretrained: {pretrained}}}}}").classifier.clip
    assert clip is not None
    assert clip.pretrained == placed


def test_hash_lists_must_be_there_and_have_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "h.csv").write_text("kind,hash,source,note\n")
    text = SERVER + "classifier: {hashes: [{name: a, file: h.csv}, {name: a, file: gone.csv}]}\n"
    assert _problems(text, tmp_path) == [
        '2:54: two hash lists are named "a"',
        '2:63: there is no file "gone.csv", or it cannot be read',
    ]


def test_a_worker_needs_no_hash_lists_but_its_keys(tmp_path: Path) -> None:
    proofs = "{nats: tls://a, nkey: k, tls: {ca: c, cert: d, key: e}}"
    text = f"{SERVER}classifier: {{hashes: [{{name: h, file: h.csv}}], workers: {proofs}}}\n"
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, env={}, lists=False)
    assert [problem.message for problem in caught.value.problems] == [
        f'there is no file "{name}", or it cannot be read' for name in "kcde"
    ]
    for name in "kcde":
        (tmp_path / name).touch()
    workers = load(path, env={}, lists=False).classifier.workers
    assert workers is not None
    assert workers.tls is not None
    assert (workers.nkey, workers.creds) == (tmp_path / "k", None)
    assert (workers.tls.ca, workers.tls.cert, workers.tls.key) == (tmp_path / "c", tmp_path / "d", tmp_path / "e")
    with pytest.raises(ConfigError, match=r"h\.csv"):
        load(path, env={})


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
    ],
)
def test_the_policys_version_hangs_on_what_decisions_hang_on(text: str) -> None:
    assert _config(SERVER).policy().version != _config(SERVER + text).policy().version


@pytest.mark.parametrize(
    "text", ["ledger: {keep: 5d}", "classifier: {queue: 7}", "classifier: {workers: tls://a}", "# a comment"]
)
def test_and_on_nothing_else(text: str) -> None:
    elsewhere = Path("/elsewhere")
    assert _config(SERVER).policy().version == _config(SERVER + text, elsewhere).policy().version


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
