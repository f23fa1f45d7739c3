"""In real processes of their own: each takes some seconds to start."""

import sys
from pathlib import Path
from typing import Any

import pytest

from addons.doctor import judging
from addons.doctor.judging import check_judging
from tests.addons.doctor.configs import config, states
from tests.processes import free_port


async def test_lists_load_and_a_drawn_picture_is_judged(tmp_path: Path) -> None:
    findings = await check_judging(config(tmp_path))
    assert states(findings) == {"hash lists": "ok", "detectors": "ok", "workers": "not checked"}
    assert findings[0].message == "ours (2)"
    assert "a drawn picture judged in" in findings[1].message


async def test_what_does_not_load_and_rules_that_let_nothing_by(tmp_path: Path) -> None:
    chosen = config(tmp_path, rules=[{"name": "all", "when": {"hash.ours": "<0.5"}, "do": "drop"}])
    (tmp_path / "hashes.csv").write_text("kind,hash,source,note\nsha256,short,x,\n")
    lists, detectors, _ = await check_judging(chosen)
    assert (lists.state, detectors.state) == ("trouble", "trouble")
    assert "hashes.csv" in lists.message
    assert detectors.message == "a plain grey picture would be met with drop, for the rule all"


@pytest.mark.parametrize(("fallback", "here"), [("none", {}), ("local", {"detectors": "ok"})])
async def test_workers_that_are_not_there(tmp_path: Path, fallback: str, here: dict[str, str]) -> None:
    workers = {"nats": f"nats://127.0.0.1:{free_port()}", "fallback": fallback}
    lists = [{"name": "ours", "file": str(tmp_path / "hashes.csv")}]
    settings: dict[str, Any] = {"clip": None, "nudity": {}, "hashes": lists, "workers": workers}
    findings = await check_judging(config(tmp_path, classifier=settings))
    assert states(findings) == {"hash lists": "ok", "workers": "trouble"} | here
    assert "no_worker" in findings[-1].message
    assert "fediward worker" in findings[-1].mend


async def test_a_process_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (finding,) = await check_judging(config(tmp_path))
    assert (finding.check, finding.state) == ("judging", "trouble")
    assert "ended with 1" in finding.message


async def test_a_process_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeping = tmp_path / "sleeping"
    sleeping.write_text("#!/bin/sh\nexec sleep 600\n")
    sleeping.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeping))
    monkeypatch.setattr(judging, "SECONDS", 0.1)
    (finding,) = await check_judging(config(tmp_path))
    assert "did not end" in finding.message
