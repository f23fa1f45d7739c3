import asyncio
import json
import threading
from ipaddress import ip_network

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from addons.metrics import Metrics, Reading, family
from addons.policy.values import Address
from addons.web.readiness import Check, Readiness
from addons.web.serving import Listener
from addons.web.status import FRESH, Status
from tests import net
from tests.addons.web.parts import asking, listening

PATHS = ("/healthz", "/readyz", "/metrics")


def status(*checks: Check, metrics: Metrics | None = None) -> Status:
    parts = [(check.name, lambda check=check: check) for check in checks]
    return Status(metrics or Metrics(), Readiness(parts))


def slow(value: float = 1) -> list[Metric]:
    found = family(Reading("slow_thing", "", lambda: value))
    assert found is not None
    return [found]


async def test_it_is_alive_whatever_is_wrong() -> None:
    async with asking(status(Check("ledger", "gone"))) as client:
        answer = await client.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "alive\n")
    assert answer.headers["cache-control"] == "no-store"


async def test_it_is_ready_where_all_parts_are() -> None:
    async with asking(status(Check("detectors"), Check("lists", "an old file", "Mend it", able=True))) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (
            200,
            "ready\ndetectors: ok\nlists: warning: an old file. Mend it\n",
        )
        assert answer.headers["content-type"].startswith("text/plain")


async def test_which_part_is_not_and_what_to_do() -> None:
    async with asking(status(Check("detectors"), Check("ledger", "the disk is full", "Make room"))) as client:
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (
            503,
            "not ready\ndetectors: ok\nledger: not ready: the disk is full. Make room\n",
        )
        answer = await client.get("/readyz", headers={"Accept": "application/json"})
    assert answer.status_code == 503
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in answer.text.splitlines()] == [
        {"name": "detectors", "ok": True, "wrong": "", "mend": ""},
        {"name": "ledger", "ok": False, "wrong": "the disk is full", "mend": "Make room"},
    ]


async def test_figures_are_in_prometheus_format() -> None:
    metrics = Metrics()
    metrics.delivery("inbox", "drop", "known")
    async with asking(status(metrics=metrics)) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = {sample.name: sample for one in text_string_to_metric_families(answer.text) for sample in one.samples}
    assert samples["fediward_deliveries_total"].labels["rule"] == "known"


@pytest.mark.parametrize("path", PATHS)
async def test_head_tells_the_same_without_a_body(path: str) -> None:
    async with asking(status()) as client:
        answer = await client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_refused_and_no_body_is_read(path: str, method: str) -> None:
    async with asking(status()) as client:
        answer = await client.request(method, path, content=b"x" * 100_000)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz/", "/metrics/x", "//metrics", "/Metrics", "/healthz%2f", "/../metrics", "/readyz;a", "/%6detrics"],
)
async def test_there_is_nothing_else(path: str) -> None:
    async with listening(status()) as port, net.client(port) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert (await client.response())[0] == 404


async def test_a_query_changes_nothing() -> None:
    async with asking(status()) as client:
        assert (await client.get("/healthz?a=b")).status_code == 200


async def test_it_is_not_for_others() -> None:
    listener = Listener(status(), Address("127.0.0.1", 0), (ip_network("127.0.0.7/32"),))
    _, port = await listener.open()
    try:
        for path in PATHS:
            async with net.client(port) as client:
                await client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                assert (await client.response())[0] == 403
    finally:
        await listener.close()


async def test_who_asks_all_the_time_costs_little() -> None:
    metrics, reads, now = Metrics(), [], [0.0]
    metrics.watch(Reading("some_level", "", lambda: reads.append(1) or len(reads)))  # type: ignore[func-returns-value]  # counts
    app = Status(metrics, Readiness([]), clock=lambda: now[0])
    async with asking(app) as client:
        first, second = await asyncio.gather(client.get("/metrics"), client.get("/metrics"))
        assert first.text == second.text
        now[0] += FRESH
        assert (await client.get("/metrics")).text != first.text
    assert len(reads) == 2


async def test_figures_of_the_database_are_read_in_a_thread() -> None:
    threads = []

    def read() -> list[Metric]:
        threads.append(threading.current_thread())
        return slow(len(threads))

    async with asking(Status(Metrics(), Readiness([]), read)) as client:
        assert "\nslow_thing 1.0\n" in (await client.get("/metrics")).text
    assert threads[0] is not threading.main_thread()


async def test_a_database_that_does_not_answer_costs_only_its_own() -> None:
    gate, asked, now = threading.Event(), [], [0.0]

    def read() -> list[Metric]:
        asked.append(1)
        gate.wait(20)
        return slow()

    async with asking(Status(Metrics(), Readiness([]), read, patience=0.01, clock=lambda: now[0])) as client:
        for _ in range(3):
            text = (await client.get("/metrics")).text
            assert "fediward_held" in text
            assert "slow_thing" not in text
            now[0] += FRESH
        assert len(asked) == 1
        gate.set()
        async with asyncio.timeout(20):
            while "slow_thing" not in (await client.get("/metrics")).text:
                now[0] += FRESH


async def test_a_database_that_fails_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    now, fails = [0.0], [True]

    def read() -> list[Metric]:
        if fails[0]:
            raise OSError("the disk is gone")
        return slow()

    async with asking(Status(Metrics(), Readiness([]), read, clock=lambda: now[0])) as client:
        for _ in range(3):
            assert "slow_thing" not in (await client.get("/metrics")).text
            now[0] += FRESH
        fails[0] = False
        assert "slow_thing" in (await client.get("/metrics")).text
    told = [record.getMessage() for record in caplog.records if record.name == "addons.web.status"]
    assert told == ["what is held cannot be read for /metrics"]
