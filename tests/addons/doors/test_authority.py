import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from addons.doors.authority import CERTIFICATE_FILE, KEY_FILE, Authority, AuthorityError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("authority") / "deep" / "ca"
    Authority.open(folder)
    return folder


def copy(made: Path, to: Path) -> Path:
    to.mkdir(mode=0o700)
    (to / KEY_FILE).write_bytes((made / KEY_FILE).read_bytes())
    (to / KEY_FILE).chmod(0o600)
    return to


def test_the_key_is_its_owners_alone(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE((made / KEY_FILE).stat().st_mode) == 0o600
    assert sorted(os.listdir(made)) == [CERTIFICATE_FILE, KEY_FILE, "fediward-dhparam.pem"]


def test_it_is_made_once(made: Path) -> None:
    first, second = Authority.open(made), Authority.open(made)
    assert first.pem == second.pem == first.certificate.read_text()
    assert first.since < datetime.now(UTC) < first.until


def test_two_that_make_it_at_once_have_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        pems = {one.pem for one in pool.map(lambda _: Authority.open(tmp_path / "ca"), range(4))}
    assert pems == {(tmp_path / "ca" / CERTIFICATE_FILE).read_text()}


def test_a_certificate_that_went_missing_is_written_again(made: Path, tmp_path: Path) -> None:
    folder = copy(made, tmp_path / "ca")
    assert Authority.open(folder).certificate.read_bytes() == (made / CERTIFICATE_FILE).read_bytes()


def test_it_is_named_fediward_and_signs(made: Path) -> None:
    certificate = x509.load_pem_x509_certificate(Authority.open(made).pem.encode())
    assert certificate.subject.rfc4514_string() == "O=fediward,CN=fediward"
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_key_that_others_can_read_is_refused(made: Path, tmp_path: Path) -> None:
    folder = copy(made, tmp_path / "ca")
    (folder / KEY_FILE).chmod(0o640)
    with pytest.raises(AuthorityError, match="chmod 600"):
        Authority.open(folder)


def test_what_is_no_authority_is_refused(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("nothing")
    (tmp_path / KEY_FILE).chmod(0o600)
    with pytest.raises(AuthorityError, match="put it back"):
        Authority.open(tmp_path)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuthorityError, match=r"doors\.fetch\.ca"):
        Authority.open(tmp_path / "file" / "ca")


def test_one_that_is_over_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Authority, "until", property(lambda _: datetime.now(UTC) - timedelta(seconds=1)))
    with pytest.raises(AuthorityError, match="delete the folder"):
        Authority.open(made)
