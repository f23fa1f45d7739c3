from pathlib import Path

import pytest

from addons.policy.config import Config, load, parse
from addons.policy.problems import ConfigError

SERVER = "server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2'}\n"


def _config(text: str, folder: Path = Path("/etc/fediward")) -> Config:
    return parse(text.encode(), path=folder / "c.yaml", env={})


def _problems(text: str, folder: Path = Path("/etc/fediward")) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        _config(text, folder)
    return [f"{one.line}:{one.column}: {one.message}" for one in caught.value.problems]


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


def test_the_senders_lists_start_from_the_files_folder_too(tmp_path: Path) -> None:
    for name in ("d.csv", "a.txt"):
        (tmp_path / name).write_text("a.example\n")
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("")
    config = _config(f"{SERVER}senders: {{deny: [d.csv, {elsewhere}], allow: a.txt}}\n", tmp_path)
    assert config.senders.deny == (tmp_path / "d.csv", elsewhere)
    assert config.senders.allow == (tmp_path / "a.txt",)


def test_lists_of_senders_have_to_be_there_but_for_a_worker(tmp_path: Path) -> None:
    (tmp_path / "there.csv").write_text("a.example\n")
    text = SERVER + "senders: {deny: [there.csv, nowhere.csv], allow: nowhere.txt}\n"
    assert _problems(text, tmp_path) == [
        '2:29: there is no file "nowhere.csv", or it cannot be read',
        '2:50: there is no file "nowhere.txt", or it cannot be read',
    ]
    assert parse(text.encode(), path=tmp_path / "c.yaml", env={}, lists=False).senders.allow == (
        tmp_path / "nowhere.txt",
    )


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
