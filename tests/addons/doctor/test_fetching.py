"""The authority, and a fetch door over real sockets and real TLS."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from addons.doctor import fetching
from addons.doctor.fetching import ANYWHERE, SOON, TLS, check_fetching
from addons.doctor.findings import Finding
from addons.doors.authority import KEY_FILE, Authority
from addons.doors.forwarding import Dial
from addons.policy.config import Config
from addons.policy.values import Address
from tests import net
from tests.addons.doctor.configs import config, states, with_doors
from tests.addons.doors.conftest import OpenDoor
from tests.addons.doors.fetched import Opened
from tests.addons.fetching.servers import Names

pytestmark = pytest.mark.asyncio(loop_scope="module")


def closed(folder: Path) -> Config:
    return config(folder, doors={"fetch": {"listen": "127.0.0.1:8541"}})


def of(door: Opened, **more: Any) -> Config:
    """The configuration of a door that is open."""
    section = door.service.config.doors.fetch
    assert section is not None
    changed = {"listen": Address("127.0.0.1", door.port), "ca": door.authority.folder, "ports": (443,), **more}
    return with_doors(door.service.config, fetch=section.model_copy(update=changed))


async def tls(config: Config, url: str | None = None) -> Finding:
    authority, found = await check_fetching(config, running=True, url=url)
    assert (authority.check, authority.state, found.check) == ("authority", "ok", TLS)
    return found


async def test_the_authority_is_made_and_tls_not_tried_while_the_door_is_closed(tmp_path: Path) -> None:
    findings = await check_fetching(closed(tmp_path), running=False, url=None)
    assert states(findings) == {"authority": "ok", TLS: "not checked"}
    assert "fediward-ca" in findings[0].message


async def test_an_authority_that_others_can_read(tmp_path: Path) -> None:
    chosen = closed(tmp_path)
    await check_fetching(chosen, running=False, url=None)
    assert chosen.doors.fetch is not None
    (chosen.doors.fetch.ca / KEY_FILE).chmod(0o644)
    (finding,) = await check_fetching(chosen, running=True, url=None)
    assert finding.state == "trouble"
    assert "chmod 600" in finding.message


async def test_an_authority_that_ends_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SOON", SOON + timedelta(days=100 * 365))
    finding, _ = await check_fetching(closed(tmp_path), running=False, url=None)
    assert finding.state == "trouble"
    assert "fediward ca" in finding.mend


async def test_hands_are_shaken_and_nothing_is_asked_of_anybody(
    open_door: OpenDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, dialled = Names(), []

    async def dial(asked: Dial) -> None:
        dialled.append(asked)
        asked.error = "nobody is called in a test"

    async with open_door({"ports": [443]}, names) as door:
        monkeypatch.setattr(door.fetch, "dial", dial)
        finding = await tls(of(door))
        assert finding.state == "ok"
        assert "curl" in finding.mend
        assert f"-x http://FEDIWARD:{door.port} " in finding.mend
    assert (names.asked, dialled) == ([], [])
    assert ANYWHERE == "1.1.1.1"


async def test_another_authority_than_the_doors(open_door: OpenDoor, tmp_path: Path) -> None:
    async with open_door({"ports": [443]}) as door:
        finding = await tls(of(door, ca=Authority.open(tmp_path / "another").folder))
        assert finding.state == "trouble"
        assert "is not of the authority" in finding.message


async def test_a_port_that_the_door_does_not_open(open_door: OpenDoor) -> None:
    async with open_door() as door:
        finding = await tls(of(door))
        assert finding.state == "trouble"
        assert "403" in finding.message


async def test_a_machine_whose_tls_passes_unread(open_door: OpenDoor) -> None:
    async with open_door({"ports": [443], "tunnels": {"clients": ["127.0.0.0/8"]}}) as door:
        assert (await tls(of(door))).state == "not checked"


@pytest.mark.parametrize("answer", [b"", b"what?\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nno TLS at all"])
async def test_something_else_that_listens_there(
    tmp_path: Path, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.3)
    async with net.upstream(answer or _hang_up) as other:
        section = closed(tmp_path).doors.fetch
        assert section is not None
        there = section.model_copy(update={"listen": Address("127.0.0.1", other.port)})
        assert (await tls(with_doors(closed(tmp_path), fetch=there))).state == "trouble"


async def _hang_up(*_: object) -> None:
    raise ConnectionError


async def test_a_url_is_fetched_through_the_door(open_door: OpenDoor) -> None:
    async with open_door() as door:
        finding = await tls(of(door), door.url("/ordinary.png"))
        assert finding.state == "ok"
        assert "answers 200" in finding.message


async def test_a_url_that_the_door_does_not_reach(open_door: OpenDoor) -> None:
    names = Names(remote_example=["127.0.0.1"], dead_example=["127.0.0.2"])
    async with open_door(names=names) as door:
        assert (await tls(of(door), door.url("/", name="dead.example"))).state == "trouble"
        assert (await tls(of(door), door.url("/", name="nowhere.example"))).state == "trouble"


async def test_a_url_whose_tls_passes_unread(open_door: OpenDoor) -> None:
    async with open_door({"tunnels": {"hosts": ["remote.example"]}}) as door:
        finding = await tls(of(door), door.url("/ordinary.png"))
        assert finding.state == "trouble"
        assert "doors.fetch.tunnels" in finding.mend
