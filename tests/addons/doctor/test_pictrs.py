"""With a real pict-rs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from addons.doctor import pictrs
from addons.doctor.findings import Finding
from addons.doctor.pictrs import LOCAL, ORIGIN, PICT_RS, VALIDATION, check_pictrs
from addons.ledger.ledger import Ledger
from addons.policy.config import Config
from tests import net
from tests.addons.doctor.configs import config, states
from tests.e2e.pictrs_place import place
from tests.pictrs import PictRs, pict_rs
from tests.processes import free_port

SECRET = "a-secret-of-16-characters"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not written in the end is not waited for."""
    monkeypatch.setattr(pictrs, "WRITTEN", 0.5)


def configured(folder: Path, upstream: str, **doors: Any) -> Config:
    origin = f"127.0.0.1:{free_port()}"
    section = {"listen": f"127.0.0.1:{free_port()}", "upstream": upstream, "origin": origin}
    doors["pictrs"] = section | {"origin_url": f"http://{origin}"} | doors.get("pictrs", {})
    return config(folder, doors=doors)


async def nothing_stays(kept: PictRs) -> None:
    """Of what a check stored; pict-rs deletes in the background."""
    files = kept.folder / "files"
    await net.until(lambda: not any(one.is_file() for one in files.rglob("*")), 60)


def validation(findings: list[Finding]) -> Finding:
    return next(finding for finding in findings if finding.check == VALIDATION)


@asynccontextmanager
async def validator(answer: bytes | net.Answer) -> AsyncIterator[int]:
    async with net.upstream(answer) as served:
        yield served.port


async def test_all_is_well_and_nothing_stays(tmp_path: Path) -> None:
    async with place(tmp_path) as there:
        findings = await check_pictrs(there.service.config, doors=True, validation=False)
        assert states(findings) == {PICT_RS: "ok", ORIGIN: "ok", VALIDATION: "ok"}
        await nothing_stays(there.pict_rs)


async def test_local_connections_are_not_allowed(tmp_path: Path) -> None:
    async with place(tmp_path, allow_local=False) as there:
        _, origin, uploads = await check_pictrs(there.service.config, doors=True, validation=False)
        assert (origin.state, origin.mend) == ("trouble", LOCAL)
        assert uploads.state == "ok"


@pytest.mark.parametrize(
    ("settings", "mend"),
    [({"origin": False}, "origin_url"), ({"pictrs": {"clients": ["192.0.2.0/24"]}}, "doors.pictrs.clients")],
)
async def test_the_origin_is_closed_or_refuses_pict_rs(tmp_path: Path, settings: dict[str, Any], mend: str) -> None:
    async with place(tmp_path, **settings) as there:
        _, origin, _ = await check_pictrs(there.service.config, doors=True, validation=False)
        assert origin.state == "trouble"
        assert mend in origin.mend


async def test_a_pict_rs_that_is_not_there(tmp_path: Path) -> None:
    chosen = configured(tmp_path, f"http://127.0.0.1:{free_port()}")
    findings = await check_pictrs(chosen, doors=True, validation=True)
    assert states(findings) == {PICT_RS: "trouble", ORIGIN: "not checked", VALIDATION: "not checked"}


async def test_something_else_than_pict_rs(tmp_path: Path) -> None:
    async with net.upstream(net.OK) as other:
        chosen = configured(tmp_path, f"http://127.0.0.1:{other.port}")
        findings = await check_pictrs(chosen, doors=False, validation=False)
        assert states(findings) == {PICT_RS: "ok", ORIGIN: "not checked", VALIDATION: "trouble"}


@pytest.mark.parametrize("secret", [None, SECRET])
async def test_a_validator_named_by_a_private_host_name(tmp_path: Path, secret: str | None) -> None:
    async with (
        validator(net.OK) as port,
        pict_rs(tmp_path / "kept", validation=f"http://localhost:{port}/validate", allow_local=False) as kept,
    ):
        section = {"listen": f"127.0.0.1:{port}", "judges": "everything", "secret": secret}
        found = validation(
            await check_pictrs(configured(tmp_path, kept.url, validate=section), doors=False, validation=True)
        )
        assert found.state == "trouble"
        assert "http-client-error" in found.message
        assert f"http://127.0.0.1:{port}/validate" in found.mend
        assert LOCAL in found.mend
        assert SECRET not in found.mend


async def test_a_validator_that_refuses(tmp_path: Path) -> None:
    refusal = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
    async with (
        validator(refusal) as port,
        pict_rs(tmp_path / "kept", validation=f"http://127.0.0.1:{port}/validate") as kept,
    ):
        found = validation(await check_pictrs(configured(tmp_path, kept.url), doors=False, validation=False))
        assert found.state == "trouble"
        assert "doors.validate.clients" in found.mend


async def test_a_validator_that_is_asked_is_known_by_the_ledger(tmp_path: Path) -> None:
    section = {"listen": f"127.0.0.1:{free_port()}"}
    settings: dict[str, Any] = {"validate": section | {"judges": "everything"}}

    async def answer(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with Ledger.open(chosen.ledger.url) as ledger:
            ledger.count("validate", "unjudged")
        writer.write(net.OK)

    async with (
        validator(answer) as port,
        pict_rs(tmp_path / "kept", validation=f"http://127.0.0.1:{port}/validate") as kept,
    ):
        chosen = configured(tmp_path, kept.url, **settings)
        assert validation(await check_pictrs(chosen, doors=False, validation=True)).state == "ok"
        assert validation(await check_pictrs(chosen, doors=False, validation=False)).state == "not checked"
        await nothing_stays(kept)


async def test_a_pict_rs_that_asks_no_validator(tmp_path: Path) -> None:
    async with pict_rs(tmp_path / "kept") as kept:
        section = {"listen": "0.0.0.0:8544", "judges": "everything", "secret": SECRET}
        chosen = configured(tmp_path, kept.url, validate=section)
        with Ledger.open(chosen.ledger.url):
            pass
        found = validation(await check_pictrs(chosen, doors=False, validation=True))
        assert found.state == "trouble"
        assert "EXTERNAL_VALIDATION=http://IP-OF-FEDIWARD:8544/validate/SECRET" in found.mend
