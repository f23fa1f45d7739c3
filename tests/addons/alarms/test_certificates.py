import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from addons.alarms.certificates import SOON, Certificate, certificates, trouble
from addons.demo import certificates as demo
from addons.doors.authority import Authority
from tests.addons.doors.opened import configured, write_list

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.Certificate.make(tmp_path_factory.mktemp("certificate")).file


@pytest.mark.parametrize(
    ("before", "told"),
    [
        (SOON + timedelta(hours=1), ""),
        (SOON - timedelta(hours=1), "runs out on"),
        (timedelta(hours=1), "runs out on"),
        (-timedelta(hours=1), "ran out on"),
    ],
)
def test_it_is_told_two_weeks_before(made: Path, before: timedelta, told: str) -> None:
    until = NOW + demo.VALID
    said = Certificate("the door", made, "Make a new one").trouble(until - before)
    if not told:
        assert said == ""
    else:
        assert said == f"the certificate of the door ({made}) {told} {until:%Y-%m-%d}. Make a new one"


def test_what_cannot_be_read_or_is_none(tmp_path: Path) -> None:
    missing, nonsense = tmp_path / "missing.pem", tmp_path / "nonsense.pem"
    nonsense.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    told = trouble([Certificate("one", missing, "Mend it"), Certificate("other", nonsense, "Mend it")], NOW)
    assert told.splitlines() == [
        f"the certificate of one ({missing}) cannot be read: No such file or directory. Mend it",
        f"the certificate of other ({nonsense}) is none. Mend it",
    ]


def test_a_new_one_in_its_place_is_seen(made: Path, tmp_path: Path) -> None:
    path = tmp_path / "one.pem"
    path.write_bytes(made.read_bytes())
    one = Certificate("it", path, "")
    assert one.trouble(NOW) == ""
    path.write_text("nonsense")
    os.utime(path, ns=(1, 1))
    assert "is none" in one.trouble(NOW)


def test_which_a_configuration_has(tmp_path: Path, made: Path) -> None:
    ca = tmp_path / "ca"
    Authority.open(ca)
    settings = {
        "doors": {"fetch": {"listen": "127.0.0.1:3", "ca": str(ca)}},
        "classifier": {
            "workers": {"nats": "tls://127.0.0.1:4222", "tls": {"cert": str(made), "key": str(made)}},
            "nudity": {},
        },
    }
    config = configured(tmp_path, write_list(tmp_path / "hashes.csv"), 80, settings)
    found = certificates(config)
    assert [one.name for one in found] == ["the fetch door's authority", "classifier.workers.tls"]
    assert trouble(found, NOW) == ""
    assert certificates(configured(tmp_path, tmp_path / "hashes.csv", 80, {})) == []
