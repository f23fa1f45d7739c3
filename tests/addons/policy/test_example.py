import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from addons.policy import example
from addons.policy.conditions import CONTEXT_KEYS
from addons.policy.config import Config, parse
from addons.policy.decide import decide
from addons.policy.document import Document
from addons.policy.door_sections import Doors, FetchDoor, PictrsDoor, Tunnels, UploadDoor, ValidateDoor
from addons.policy.example import example_path, example_text
from addons.policy.exchanges import Exchange
from addons.policy.hold_sections import Brake
from addons.policy.reading import read
from addons.policy.rules import RULE_KEYS
from addons.policy.sections import Decode, File
from addons.policy.status_sections import Alarms, AlarmTo, Email, Status
from addons.policy.values import Address
from addons.policy.words import Action, Cause, Context, Denial
from classifier.settings import ClipSettings, Concept, HashListSettings, NuditySettings, TlsSettings, WorkersSettings

# Sections that stand in the example as "#" settings only, since they are none by default.
COMMENTED = (
    *(FetchDoor, Tunnels, PictrsDoor, ValidateDoor),
    *(HashListSettings, Concept, WorkersSettings, TlsSettings, Exchange),
    *(Status, Alarms, AlarmTo, Email),
)


def _document(text: str) -> Document:
    document, problems = read(text.encode(), "config.example.yaml", {})
    assert problems == []
    return document


def _load(text: str, folder: Path = Path("/etc/fediward")) -> Config:
    return parse(text.encode(), path=folder / "c.yaml", env={})


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _sections() -> Iterator[tuple[tuple[str, ...], type[BaseModel]]]:
    yield (), File
    for name, field in File.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield (name,), field.annotation
    yield ("doors", "upload"), UploadDoor
    yield ("brake",), Brake
    yield ("classifier", "clip"), ClipSettings
    yield ("classifier", "nudity"), NuditySettings
    yield ("classifier", "decode"), Decode


def _doors() -> str:
    """The section of the doors."""
    found = re.search(r"^doors:\n(?:[# ] .*\n)*", example_text(), re.MULTILINE)
    assert found is not None
    return found[0]


def test_it_loads_without_a_warning() -> None:
    assert _load(example_text()).warnings == ()


@pytest.mark.parametrize(("place", "model"), [pytest.param(*one, id=".".join(one[0]) or "top") for one in _sections()])
def test_every_key_is_in_it(place: tuple[str, ...], model: type[BaseModel]) -> None:
    node = _document(example_text()).find(place)
    assert node is not None
    if model is Doors:
        assert [*re.findall(r"^#  (\w+):", _doors(), re.MULTILINE), *(node.entries or {})] == _keys(Doors)
    else:
        assert list(node.entries or {}) == _keys(model)


@pytest.mark.parametrize("model", COMMENTED)
def test_every_key_of_what_is_commented_is_in_it(model: type[BaseModel]) -> None:
    settings = "\n".join(line for line in example_text().splitlines() if re.match(r"#\S|#  ", line))
    for key in _keys(model):
        assert re.search(rf"\b{key}:", settings), key


def test_every_key_of_a_rule_and_every_condition_is_in_it() -> None:
    text = example_text()
    for key in (*RULE_KEYS, "any", "not"):
        assert re.search(rf"^#  - {{.*\b{key}: ", text, re.MULTILINE), key
    for key in (*CONTEXT_KEYS, "all"):
        assert re.search(rf"^#   .*\b{key}\b", text, re.MULTILINE), key


def test_every_value_is_the_default() -> None:
    shown, plain = _load(example_text()), _load("server: {upstream: 'http://127.0.0.1:1', listen: '127.0.0.1:2'}")
    for section in (
        "doors",
        "look_ahead",
        "scan",
        "mode",
        "budget",
        "fetch",
        "classifier",
        "exchanges",
        "concepts",
        "rules",
        "on",
        "holds",
        "brake",
        "senders",
        "limits",
        "ledger",
        "status",
        "alarms",
    ):
        assert getattr(shown, section) == getattr(plain, section), section
    for key in ("trusted_proxies", "image_mode"):
        assert getattr(shown.server, key) == getattr(plain.server, key), key


def test_each_cause_has_its_reason() -> None:
    lines = example_text().splitlines()
    for cause in Cause:
        at = next(index for index, line in enumerate(lines) if line.startswith(f"  {cause}: "))
        assert lines[at - 1].startswith("  # "), cause


def _switched_on(text: str, *keys: str) -> str:
    """The example with the "#" settings of these top-level keys in place of the plain ones."""
    lines = text.splitlines()
    result: list[str] = []
    block = ""
    for line in lines:
        if match := re.match(r"#(\w+):", line):
            block = match[1]
        elif not line.startswith("#  "):
            block = ""
        if block in keys:
            result.append(line[1:])
        elif not any(line.startswith(f"{key}:") for key in keys):
            result.append(line)
    return "\n".join(result) + "\n"


def test_the_samples_of_rules_and_concepts_hold_too(tmp_path: Path) -> None:
    (tmp_path / "hashes.csv").write_text("kind,hash,source,note\n")
    text = _switched_on(example_text(), "rules", "concepts")
    text = text.replace("  hashes: []\n#  hashes:", "  hashes:")
    config = _load(text, tmp_path)
    assert [rule.name for rule in config.rules] == [
        "blocked-host",
        "no-uploads-from-abuser",
        "known-material",
        "sexualised-minor",
        "unsure",
        "explicit-avatar",
        "explicit-preview",
        "explicit-unmarked",
    ]
    upload = Context("upload", address="198.51.100.9")
    assert decide(config.policy(), upload, []).rule == "no-uploads-from-abuser"
    assert [rule.deny for rule in config.rules if rule.deny] == [Denial(86400.0)]
    assert [rule.then for rule in config.rules if rule.do is Action.HOLD] == ["drop"]
    assert "advertising" in config.concepts
    assert config.classifier.hashes[0].name == "ours"
    assert config.warnings == ()


def test_every_door_of_the_sample_has_its_defaults() -> None:
    doors = _doors()
    text = example_text().replace(doors, re.sub(r"^#  ", "  ", doors, flags=re.MULTILINE))
    env = {"PICTRS_API_KEY": "hunter2", "VALIDATE_SECRET": "hunter2-hunter2-hunter2"}
    config = parse(text.encode(), path=Path("/etc/fediward/c.yaml"), env=env)
    assert config.warnings == ()
    found = config.doors
    assert found.fetch == FetchDoor(listen=Address("127.0.0.1", 8541), ca=Path("/etc/fediward/fediward-ca"))
    addresses = {"upstream": "http://127.0.0.1:8080", "origin_url": "http://127.0.0.1:8543"}
    listen = {"listen": "127.0.0.1:8542", "origin": "127.0.0.1:8543"}
    assert found.pictrs == PictrsDoor.model_validate({**listen, **addresses, "api_key": "hunter2"})
    validate = {"listen": "127.0.0.1:8544", "secret": env["VALIDATE_SECRET"], "judges": "everything"}
    assert found.validate_ == ValidateDoor.model_validate(validate)
    assert found.upload == UploadDoor()


def test_the_samples_of_status_and_alarms_hold_too() -> None:
    text, none, alarms = _switched_on(example_text(), "status").partition("  to: []\n")
    assert none
    text += re.sub(r"^#", "", alarms, flags=re.MULTILINE)
    env = {
        "ALARM_WEBHOOK": "https://hook.example/hunter2",
        "ALARM_SECRET": "hunter5",
        "NTFY_TOKEN": "hunter3",
        "SMTP_PASSWORD": "hunter4",
    }
    config = parse(text.encode(), path=Path("/etc/fediward/c.yaml"), env=env)
    assert config.warnings == ()
    assert config.status == Status(listen=Address("127.0.0.1", 8545))
    webhook, ntfy, mail = config.alarms.to
    assert (webhook.webhook, webhook.secret) == ("https://hook.example/hunter2", "hunter5")
    assert (ntfy.ntfy, ntfy.token) == ("https://ntfy.example.org/fediward", "hunter3")
    assert mail.email is not None
    assert (mail.email.sender, mail.email.to) == ("fediward@example.org", ("admin@example.org",))
    assert (mail.email.password, mail.email.tls) == ("hunter4", "starttls")


def test_the_samples_of_senders_hold_too(tmp_path: Path) -> None:
    for name in ("blocked-hosts.csv", "friends.txt"):
        (tmp_path / name).write_text("a.example\n")
    text = example_text()
    for key, none in (("deny", "[]"), ("allow", "[]"), ("weights", "{}")):
        text = text.replace(f"  {key}: {none}\n#  {key}: ", f"  {key}: ")
    config = _load(text, tmp_path)
    assert config.warnings == ()
    assert config.senders.deny == (tmp_path / "blocked-hosts.csv",)
    assert config.senders.allow == (tmp_path / "friends.txt",)
    assert config.senders.weights == {"big.example": 3}


def test_no_line_is_too_long_to_read() -> None:
    long = [line for line in example_text().splitlines() if len(line) > 130 and not line.startswith("#  -")]
    assert long == []


def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert example_path().name == "config.example.yaml"
    package = tmp_path / "addons" / "policy"
    package.mkdir(parents=True)
    monkeypatch.setattr(example, "__file__", str(package / "example.py"))
    with pytest.raises(FileNotFoundError, match="install fediward again"):
        example_path()
    (tmp_path / "config.example.yaml").write_text("checkout")
    assert example_text() == "checkout"
    (package / "config.example.yaml").write_text("wheel")
    assert example_text() == "wheel"
