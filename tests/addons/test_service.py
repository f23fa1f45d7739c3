import asyncio
import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.test.tflow import tflow

from addons.activitypub.references import MediaRef
from addons.fetching.user_agents import manner
from addons.judging.exchanges import schedule
from addons.ledger.errors import LedgerError
from addons.ledger.reading import Reader
from addons.policy.config import Config
from addons.policy.decide import decide
from addons.policy.words import Action, Cause, Context
from addons.service import Service, fetch_settings
from classifier import CannotStartError
from classifier.hashlists import lists
from tests import net, pictures
from tests.addons.doors.opened import configured, create, write_list
from tests.drawing import encode, textured

FORBIDDEN = encode(textured(1))


def config(folder: Path, media: int = 80, **settings: Any) -> Config:
    return configured(folder, write_list(folder / "hashes.csv", FORBIDDEN), media, settings)


async def test_from_a_configuration_to_a_door_and_down_again(tmp_path: Path) -> None:
    async with pictures.host() as host:
        service = Service.start(config(tmp_path, host.port, server={"software": "lemmy"}))
        try:
            async with net.door(service.inbox()) as door, net.client(door.port) as client:
                body = json.dumps(create(host.put("/forbidden.png", FORBIDDEN))).encode()
                await client.send(net.post("/inbox", body))
                assert (await client.response())[0] == 202
                assert b"\r\nUser-Agent: Lemmy/" in host.heads["/forbidden.png"]
        finally:
            await service.close()
    with Reader.open(service.config.ledger.url) as reader:
        assert reader.rules(service.policy.version) == {"known": {"hash.ours": ">=1"}}


async def test_what_an_exchange_gives_is_known_while_the_door_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "SOON", (0, 0))
    monkeypatch.setattr(lists, "RELOAD_EVERY", 0.0)
    (tmp_path / "share.txt").write_text(f"video_sha256 {hashlib.sha256(FORBIDDEN).hexdigest()}\n")
    exchange = {"name": "share", "kind": "file", "file": str(tmp_path / "share.txt")}
    rules = [{"name": "shared", "when": {"hash.share": 1}, "do": "drop"}]
    none = write_list(tmp_path / "none.csv")
    async with pictures.host() as host:
        service = Service.start(configured(tmp_path, none, host.port, {"exchanges": [exchange], "rules": rules}))
        try:
            ref = MediaRef(host.put("/forbidden.png", FORBIDDEN), "image", "/attachment/0/url")
            async with asyncio.timeout(30):
                while True:
                    (medium,) = await service.judge.judge([ref], timeout=20)
                    assert medium.judgement is not None
                    if "hash.share" in medium.judgement.worst():
                        break
                    await asyncio.sleep(0.05)
        finally:
            await service.close()
    assert decide(service.policy, Context("inbox"), [medium]).rule == "shared"


@pytest.mark.parametrize(
    ("settings", "partial"),
    [({}, True), ({"classifier": {"stop_early": False}}, False), ({"mode": "observe"}, False)],
)
async def test_what_is_known_is_judged_no_further(tmp_path: Path, settings: dict[str, Any], partial: bool) -> None:
    async with pictures.host() as host:
        service = Service.start(config(tmp_path, host.port, **settings))
        try:
            ref = MediaRef(host.put("/forbidden.png", FORBIDDEN), "image", "/attachment/0/url")
            (medium,) = await service.judge.judge([ref], timeout=20)
        finally:
            await service.close()
    assert medium.judgement is not None
    assert (medium.judgement.partial, medium.judgement.worst()) == (partial, {"hash.ours": 1.0})
    decision = decide(service.policy, Context("inbox"), [medium])
    assert (decision.action, decision.rule) == (Action.DROP, "known")


async def test_every_limit_reaches_the_door(tmp_path: Path) -> None:
    limits = {
        "memory": "17MiB",
        "body": "17KiB",
        "media": 3,
        "depth": 9,
        "nodes": 101,
        "headers": "5KiB",
        "header_time": "11s",
        "body_time": "12s",
        "idle_time": "13s",
        "connections_per_peer": 14,
        "deliveries": 15,
    }
    settings: dict[str, Any] = {"limits": limits, "fetch": {"max_bytes": "16MiB"}, "budget": "3s", "scan": "everything"}
    service = Service.start(config(tmp_path, **settings))
    inbox = service.inbox()
    scope, rules, bounds = inbox.deciding.scope, inbox.rules, inbox.rules.bounds
    await service.close()
    assert rules.budget.limit == 17 << 20
    assert (bounds.body, bounds.head, bounds.head_time, bounds.body_time, bounds.idle_time) == (17408, 5120, 11, 12, 13)
    assert (scope.media, scope.depth, scope.nodes, scope.judge_local) == (3, 9, 101, True)
    assert scope.domains == {"example.org"}
    assert (inbox.settings.connections_per_peer, inbox.settings.deliveries, inbox.settings.budget) == (14, 15, 3)
    assert [str(network) for network in inbox.settings.trusted_proxies] == ["127.0.0.1/32", "::1/128"]


@pytest.mark.parametrize(
    ("mode", "on", "status", "large"),
    [
        ("enforce", "defer", 503, True),
        ("enforce", "pass", None, True),
        ("enforce", "strip", 202, True),  # nothing was read that could be stripped
        ("enforce", "hold", 503, True),  # nor anything gathered that could be held: the cause hold_full
        ("observe", "defer", None, False),
        ("observe", "hold", None, False),
    ],
)
async def test_what_a_busy_door_answers(tmp_path: Path, mode: str, on: str, status: int | None, large: bool) -> None:
    service = Service.start(config(tmp_path, mode=mode, on={"busy": on}))
    rules = service.inbox().rules
    await service.close()
    answer = rules.busy(tflow())
    assert (answer.status_code if answer else None) == status
    assert rules.refuse_large is large
    assert service.policy.on[Cause.BUSY] is Action(on)


@pytest.mark.parametrize(
    ("scan", "routes"), [("federation", {}), ("everything", {"example.org": "http://127.0.0.1:8536"})]
)
def test_our_own_media_come_from_the_server_itself(tmp_path: Path, scan: str, routes: dict[str, str]) -> None:
    server = {"software": "mastodon", "upstream": "http://127.0.0.1:8536"}
    settings = fetch_settings(config(tmp_path, server=server, scan=scan, fetch={"max_bytes": "1MiB", "per_host": 3}))
    assert dict(settings.routes) == routes
    assert "example.org" in settings.user_agent
    assert (settings.accept, settings.max_bytes, settings.per_host) == (manner("mastodon").accept, 1 << 20, 3)


def test_an_admins_own_user_agent(tmp_path: Path) -> None:
    assert fetch_settings(config(tmp_path, fetch={"user_agent": "Own/1"})).user_agent == "Own/1"
    nameless = fetch_settings(config(tmp_path, server={"software": "lemmy", "domains": []})).user_agent
    assert nameless == manner("lemmy").nameless


async def test_what_cannot_be_loaded_leaves_no_ledger_open(tmp_path: Path) -> None:
    whole = config(tmp_path)
    whole.classifier.hashes[0].file.write_text("no,list\n")
    with pytest.raises(CannotStartError, match=r"hashes\.csv"):
        Service.start(whole)
    assert "fediward-ledger" not in [thread.name for thread in threading.enumerate()]


async def test_a_ledger_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="/proc/nowhere"):
        Service.start(config(tmp_path, ledger={"url": "sqlite:////proc/nowhere/a.db"}))
