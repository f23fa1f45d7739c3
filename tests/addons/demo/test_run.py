import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from addons.demo import run
from addons.demo.outcome import Result
from addons.demo.run import Demo, opened
from addons.demo.scenes import Scene
from tests.addons.demo.light import CONFIG, LightScript


class Stage:
    """An open demo, without the models, and what was played on it."""

    def __init__(self, demo: Demo, client: httpx.AsyncClient) -> None:
        self.demo, self.client = demo, client
        self.script = LightScript(demo.remote.server.url, demo.remote.actor)
        self.results: list[Result] = []

    def scene(self, carries: str) -> Scene:
        return next(scene for scene in self.script.all() if scene.carries == carries)

    async def play(self, scene: Scene) -> Result:
        self.results.append(await self.demo.play(scene, self.client))
        return self.results[-1]

    async def audit(self) -> list[str]:
        return await self.demo.audit(self.results, self.client)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def open_demo() -> AsyncIterator[tuple[Demo, httpx.AsyncClient]]:
    async with opened(CONFIG) as demo, httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield demo, client


@pytest.fixture
def stage(open_demo: tuple[Demo, httpx.AsyncClient]) -> Stage:
    demo, client = open_demo
    demo.receiver.clear()
    return Stage(demo, client)


KNOWN = "a smaller copy of a picture on a hash list"
module_loop = pytest.mark.asyncio(loop_scope="module")


@module_loop
async def test_what_arrives_is_intact_and_what_is_rejected_does_not_arrive(stage: Stage) -> None:
    for carries in ("words alone", "a gzip body, its picture ordinary", KNOWN):
        result = await stage.play(stage.scene(carries))
        assert result.problems() == [], carries
    assert stage.results[-1].status == 403
    assert stage.results[-1].found is not None
    assert stage.results[-1].found.symbol == "hash.known"
    assert await stage.audit() == []


@module_loop
async def test_a_deferred_delivery_arrives_when_it_is_sent_again(stage: Stage) -> None:
    first = stage.scene("a picture whose host is out of order")
    again = replace(first, action="pass", decided=None, pictures=1)
    assert (await stage.play(first)).status == 503
    assert (await stage.play(again)).problems() == []
    assert await stage.audit() == []


@module_loop
async def test_an_expectation_that_is_not_met_is_a_problem(stage: Stage) -> None:
    result = await stage.play(replace(stage.scene("words alone"), action="drop", decided="some-rule"))
    assert "times it reached the server: 1, not 0" in result.problems()


@module_loop
async def test_a_stopped_delivery_that_arrives_late_is_seen_at_the_end(stage: Stage) -> None:
    scene = stage.scene(KNOWN)
    assert (await stage.play(scene)).right
    late = stage.demo.remote.signed(scene, f"{stage.demo.receiver.server.url}/inbox")
    assert (await stage.client.send(late)).status_code == 202
    assert await stage.audit() == [f"piefed, {KNOWN}: reached the server 1 times by the end, not 0"]
    assert stage.demo.receiver.arrivals() == []


@module_loop
async def test_what_nobody_played_and_what_was_refused_is_seen_at_the_end(stage: Stage) -> None:
    scene = stage.scene("words alone")
    inbox = f"{stage.demo.receiver.server.url}/inbox"
    await stage.client.send(stage.demo.remote.signed(scene, inbox))
    await stage.client.post(inbox, content=b"{}")
    refused, unknown = await stage.audit()
    assert refused.startswith("the server refused a delivery: signature")
    assert unknown == f"unknown activity {scene.id}: reached the server 1 times by the end, not 0"


@module_loop
async def test_a_page_that_does_not_come_is_seen_at_the_end(stage: Stage) -> None:
    nowhere = replace(stage.demo, door=stage.demo.remote.server.url)
    assert await nowhere.audit([], stage.client) == ["a page that is no delivery came as 404 'Not Found'"]


async def test_the_folder_is_gone_afterwards_even_where_it_could_not_start() -> None:
    def folders() -> set[Path]:
        return set(Path(tempfile.gettempdir()).glob(f"{run.PREFIX}*"))

    before, seen = folders(), set[Path]()

    def stop() -> None:
        seen.update(folders() - before)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        async with opened(CONFIG, stop):
            raise AssertionError("it is not open")
    assert seen
    assert not seen & folders()
