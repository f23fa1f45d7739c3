"""A whole service's status, over its own listener."""

import json
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from addons.health import held_readings
from addons.ledger.held import Bounds, HoldState, Totals
from addons.metrics import family
from addons.opening import Doors, plans
from addons.service import Service
from addons.web import status
from classifier.breaker import Breaker
from tests import net, pictures
from tests.addons.alarms.receiving import hook
from tests.addons.doors.opened import configured, create, write_list
from tests.addons.ledger import deliveries
from tests.drawing import encode, textured

FORBIDDEN, ORDINARY = encode(textured(1)), encode(textured(2))
STATUS = {"status": {"listen": "127.0.0.1:6"}}


@asynccontextmanager
async def opened(
    folder: Path, media: int = 80, **settings: Any
) -> AsyncIterator[tuple[Service, httpx.AsyncClient, int]]:
    """A service, a client of its status listener, and the inbox door's port."""
    hashes = write_list(folder / "hashes.csv", FORBIDDEN)
    service = Service.start(configured(folder, hashes, media, STATUS | settings))
    doors = Doors(plans(service, free=True), 30)
    try:
        found = {one.name: one.address for one in await doors.open()}
        async with httpx.AsyncClient(base_url=f"http://{found['status']}", timeout=30, trust_env=False) as client:
            yield service, client, found["inbox door"].port
        assert await doors.drain(5)
    finally:
        await doors.close()
        await service.close()


async def figures(client: httpx.AsyncClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for found in text_string_to_metric_families(answer.text)
        for sample in found.samples
    }


async def test_a_service_that_is_well(tmp_path: Path) -> None:
    async with opened(tmp_path) as (_, client, _):
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/readyz")
        assert answer.status_code == 200, answer.text
        lines = answer.text.splitlines()
        assert lines[:5] == ["ready", "detectors: ok", "lists: ok", "workers: ok", "ledger: ok"]
        told = await figures(client)
    assert told["fediward_ledger_healthy", ()] == 1
    assert told["fediward_memory_limit_bytes", ()] == 512 << 20
    assert told["fediward_holds_oldest_seconds", ()] == 0
    assert ("fediward_classifier_judged_total", ()) in told
    assert not [name for name, _ in told if name == "fediward_workers"]


async def test_the_dashboard_asks_for_what_there_is(tmp_path: Path) -> None:
    dashboard = Path(__file__).parents[2] / "deploy" / "dashboards" / "fediward.json"
    asked = set(
        re.findall(r"fediward_\w+", " ".join(one["expr"] for one in targets(json.loads(dashboard.read_text()))))
    )
    async with opened(tmp_path) as (service, client, _):
        text = (await client.get("/metrics")).text
        assert service.health is not None
        there = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
        there |= {reading.name for reading in service.health.metrics._readings}
    assert len(asked) > 10
    assert {name.removesuffix("_bucket") for name in asked} <= there


def targets(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [target for panel in dashboard["panels"] for target in panel["targets"]]


async def test_without_the_section_there_is_no_listener(tmp_path: Path) -> None:
    service = Service.start(configured(tmp_path, write_list(tmp_path / "hashes.csv"), 80, {}))
    try:
        assert "status" not in [plan.name for plan in plans(service, free=True)]
    finally:
        await service.close()


async def test_decisions_of_a_door_are_counted(tmp_path: Path) -> None:
    async with pictures.host() as host:
        bad = host.put("/forbidden.png", FORBIDDEN)
        async with opened(tmp_path, host.port) as (_, client, inbox), net.client(inbox) as sender:
            await sender.send(net.post("/inbox", json.dumps(create(bad)).encode()))
            assert (await sender.response())[0] == 202
            told = await figures(client)
    key = (("action", "drop"), ("cause", ""), ("door", "inbox"), ("rule", "known"))
    assert told["fediward_deliveries_total", key] == 1
    assert told["fediward_stage_seconds_count", (("stage", "decision"),)] == 1
    assert told["fediward_stage_seconds_count", (("stage", "fetch"),)] == 1
    assert told["fediward_stage_seconds_count", (("stage", "verify"),)] == 1
    assert told["fediward_deliveries_judging", ()] == 0
    # Labels are ours, never a stranger's.
    assert {name for _, labels in told for name, _ in labels} <= {
        *("door", "action", "rule", "cause", "stage", "state", "outcome", "le", "detector", "judge"),
    }
    assert not any("127.0.0.1" in value or "remote.example" in value for _, labels in told for _, value in labels)


async def test_a_ledger_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as (service, client, _):
        monkeypatch.setattr(service.ledger._writer, "trouble", "the disk is full")
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert "ledger: not ready: the disk is full. `fediward doctor` tries it" in answer.text.splitlines()
        assert (await client.get("/healthz")).status_code == 200
        monkeypatch.undo()
        assert (await client.get("/readyz")).status_code == 200


async def test_a_list_that_cannot_be_read_again_is_a_warning(tmp_path: Path) -> None:
    async with opened(tmp_path) as (service, client, _):
        kept = (tmp_path / "hashes.csv").read_text()
        (tmp_path / "hashes.csv").write_text("nonsense")
        service.engine.lists.reload_if_changed()
        answer = await client.get("/readyz")
        assert answer.status_code == 200
        assert [line for line in answer.text.splitlines() if line.startswith("lists: warning: ")]
        (tmp_path / "hashes.csv").write_text(kept)
        service.engine.lists.reload_if_changed()
        assert "lists: ok" in (await client.get("/readyz")).text


async def test_a_detector_that_is_broken(tmp_path: Path) -> None:
    async with opened(tmp_path, classifier={"clip": None, "nudity": {}}, rules=[]) as (service, client, _):
        assert (await client.get("/readyz")).status_code == 200
        breaker = service.engine.breakers["nudity"]
        assert isinstance(breaker, Breaker)
        breaker.trip("detector_error", "CUDA error")
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        line = next(line for line in answer.text.splitlines() if line.startswith("detectors: not ready: "))
        assert "CUDA error" in line
        assert (await figures(client))["fediward_classifier_breaker", (("judge", "nudity"),)] == 1
        breaker.succeeded()
        assert (await client.get("/readyz")).status_code == 200


async def test_what_is_held(tmp_path: Path) -> None:
    async with opened(tmp_path) as (service, client, _):
        service.ledger.holds.put(deliveries.new("A", body=b"x" * 100), Bounds(10, 10_000, 10, 10_000))
        told = await figures(client)
    assert told["fediward_holds", (("state", "judging"),)] == 1
    assert told["fediward_holds_bytes", ()] == 100 + len(deliveries.HEAD)
    assert told["fediward_holds_oldest_seconds", ()] > 0
    assert told["fediward_upstream_down", ()] == 0


async def test_a_rule_that_the_brake_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as (service, client, _):
        assert not [name for name, _ in await figures(client) if name == "fediward_brake_stopped"]
        assert service.health is not None
        monkeypatch.setattr(service.health, "_brake", Stopped())
        monkeypatch.setattr(status, "FRESH", 0.0)
        assert (await figures(client))["fediward_brake_stopped", (("rule", "explicit"),)] == 1


class Stopped:
    """A brake that has stopped a rule."""

    stopped = frozenset({"explicit"})


async def test_workers_elsewhere_of_which_there_is_none(tmp_path: Path) -> None:
    hashes = write_list(tmp_path / "hashes.csv", FORBIDDEN)
    lists = [{"name": "ours", "file": str(hashes)}]
    workers = {"clip": None, "nudity": {}, "hashes": lists, "workers": {"nats": "nats://127.0.0.1:1"}}
    async with opened(tmp_path, classifier=workers) as (_, client, _):
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        line = next(line for line in answer.text.splitlines() if line.startswith("workers: not ready: "))
        assert "fediward worker" in line
        assert "detectors: ok" in answer.text
        assert (await figures(client))["fediward_workers", ()] == 0


async def test_an_alarm_goes_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from addons.alarms.kinds import AlarmKind

    caplog.set_level(logging.CRITICAL)
    async with hook(net.OK) as (port, got):
        to = [{"webhook": f"http://127.0.0.1:{port}/hook"}]
        async with opened(tmp_path, alarms={"to": to}) as (service, _, _):
            assert service.health is not None
            service.health.alarms.raise_(AlarmKind.LEDGER, "it")
            await net.until(lambda: bool(got), 20)
    assert json.loads(got[0].body)["message"] == "it"


def test_what_is_held_is_told_without_whose_it_is() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    totals = Totals(
        count=3,
        bytes=500,
        by_state={HoldState.JUDGING: 2, HoldState.WAITING: 1},
        oldest=now - timedelta(minutes=2),
        by_share={"host:remote.example": 3},
    )
    found = [family(one) for one in held_readings(totals, lambda: now)]
    samples = {(one.name, *one.labels.values()): one.value for each in found if each for one in each.samples}
    assert samples == {
        ("fediward_holds", "judging"): 2,
        ("fediward_holds", "waiting"): 1,
        ("fediward_holds_bytes",): 500,
        ("fediward_holds_oldest_seconds",): 120,
    }
