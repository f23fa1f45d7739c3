import json
import stat
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from addons.cli import main
from addons.commands.ca_ import proxy_url
from addons.commands.ca_guides import GUIDES, MAKE_BUNDLE
from addons.policy.values import Address


def configure(folder: Path, doors: object) -> Path:
    server = {"upstream": "http://127.0.0.1:1", "listen": "127.0.0.1:2", "domains": ["example.org"]}
    classifier: dict[str, object] = {"clip": None, "nudity": {}}
    path = folder / "config.yaml"
    path.write_text(json.dumps({"server": server, "doors": doors, "classifier": classifier, "rules": []}))
    return path


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return configure(tmp_path_factory.mktemp("ca"), {"fetch": {"listen": "0.0.0.0:8541", "ca": "ours"}})


def ca(config: Path, *options: str) -> Result:
    return CliRunner().invoke(main, ["ca", "-c", str(config), *options])


def test_pem_is_the_certificate_alone_and_the_same_each_time(config: Path) -> None:
    first, second = ca(config, "--pem"), ca(config, "--pem")
    assert (first.exit_code, first.output) == (0, second.output)
    certificate = x509.load_pem_x509_certificate(first.output.encode())
    assert certificate.subject.rfc4514_string() == "O=fediward,CN=fediward"
    folder = config.parent / "ours"
    assert (folder / "fediward-ca-cert.pem").read_text() == first.output
    assert "PRIVATE" not in first.output
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "fediward-ca.pem").stat().st_mode) == 0o600


def test_json_names_what_is_there(config: Path) -> None:
    told = json.loads(ca(config, "--json", "--software", "mastodon").output)
    certificate = x509.load_pem_x509_certificate(Path(told["certificate"]).read_bytes())
    assert told["sha256"] == certificate.fingerprint(SHA256()).hex(":").upper()
    assert told["until"] == certificate.not_valid_after_utc.isoformat()
    assert told["proxy"] == "http://fediward:8541"
    assert list(told["software"]) == ["mastodon"]


def test_all_software_is_told_of(config: Path) -> None:
    shown = ca(config).output
    for guide in GUIDES.values():
        assert guide.text("http://fediward:8541") in shown
    assert MAKE_BUNDLE in shown
    assert "fingerprint" not in shown
    assert "no container reaches" not in shown


def test_one_software_is_told_of(config: Path) -> None:
    shown = ca(config, "--software", "gotosocial").output
    assert "allow-ips" in shown
    assert "Mastodon" not in shown


def test_a_loopback_door_is_said_to_be_out_of_reach(tmp_path: Path) -> None:
    shown = ca(configure(tmp_path, {"fetch": {"listen": "127.0.0.1:8541"}}), "--software", "mastodon").output
    assert "no container reaches" in shown
    assert "http_proxy: http://127.0.0.1:8541" in shown


def test_without_a_fetch_door_there_is_nothing_to_say(tmp_path: Path) -> None:
    result = ca(configure(tmp_path, {}))
    assert result.exit_code == 2
    assert "no doors.fetch" in result.output


def test_a_wrong_or_missing_file_is_said(tmp_path: Path) -> None:
    assert ca(configure(tmp_path, {"fetch": {}})).exit_code == 2
    result = ca(tmp_path / "none.yaml")
    assert result.exit_code == 2
    assert "none.yaml" in result.output


def test_an_authority_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    config = configure(tmp_path, {"fetch": {"listen": "127.0.0.1:8541", "ca": "file/ca"}})
    (tmp_path / "file").write_text("")
    result = ca(config)
    assert result.exit_code == 1
    assert "doors.fetch.ca" in result.output


@pytest.mark.parametrize("name", GUIDES)
def test_the_lines_for_compose_are_yaml_that_names_the_door_and_spares_the_databases(name: str) -> None:
    guide = GUIDES[name]
    compose = "\n".join(guide._compose("http://fediward:8541")) if guide.proxy or guide.trust else "services: {}"
    services = yaml.safe_load(compose)["services"]
    for service in services.values():
        environment = service["environment"]
        assert {environment[key] for key in guide.proxy} <= {"http://fediward:8541"}
        if guide.proxy:
            assert {*guide.around, "localhost"} <= {*environment["NO_PROXY"].split(",")}
        mounted = {line.split(":")[1] for line in service.get("volumes", ())}
        assert mounted == {environment[key] for key, _ in guide.trust}
    text = guide.text("http://fediward:8541")
    assert "http://fediward:8541" in text
    assert "{" not in text or name == "lemmy-0.19"


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        (Address("0.0.0.0", 8541), "http://fediward:8541"),
        (Address("::", 8541), "http://fediward:8541"),
        (Address("172.18.0.5", 8541), "http://172.18.0.5:8541"),
        (Address("fd00::5", 8541), "http://[fd00::5]:8541"),
    ],
)
def test_the_url_is_one_that_a_container_can_use(listen: Address, url: str) -> None:
    assert proxy_url(listen) == url
