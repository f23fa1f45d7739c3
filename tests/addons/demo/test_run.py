import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from addons.demo import run
from addons.demo.certificates import BELIEVED
from addons.demo.outcome import Result
from addons.demo.run import Demo, opened
from addons.demo.scenes import Scene
from addons.demo.visited import Visited
from addons.demo.visits import Visit
from tests.addons.demo.light import CONFIG, SLOW, LightScript, light_slow, light_visits
from tests.net import until


class Stage:
    """An open demo, without the models, and what was played on it."""

    def __init__(self, demo: Demo) -> None:
        self.demo, self.client = demo, demo.ends.client
        self.script = LightScript(demo.remote.server.url, demo.remote.actor)
        self.results: list[Result] = []
        self.visited: list[Visited] = []

    def scene(self, carries: str) -> Scene:
        return next(scene for scene in self.script.all() if scene.carries == carries)

    async def play(self, scene: Scene) -> Result:
        self.results.append(await self.demo.play(scene))
        return self.results[-1]

    def visits(self) -> list[Visit]:
        return light_visits(self.script, self.demo.remote.secure.url)

    def find(self, carries: str) -> Visit:
        return next(visit for visit in self.visits() if visit.carries == carries)

    async def go(self, visit: Visit) -> Visited:
        self.visited.append(await self.demo.visit(visit))
        return self.visited[-1]

    async def audit(self) -> list[str]:
        return await self.demo.audit(self.results, self.visited)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def open_demo() -> AsyncIterator[Demo]:
    async with opened(CONFIG, slow=SLOW) as demo:
        yield demo


@pytest.fixture
def stage(open_demo: Demo) -> Stage:
    for end in (open_demo.receiver, open_demo.remote, open_demo.ends.store):
        end.clear()
    return Stage(open_demo)


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
async def test_a_held_delivery_arrives_when_its_picture_is_seen_and_may_be_sent_again(stage: Stage) -> None:
    first = stage.scene("a picture whose host is out of order")
    again = replace(first, action="pass", decided=None, pictures=1, outcome=None)
    result = await stage.play(first)
    assert result.problems() == []
    assert result.end is not None
    assert result.end.outcome == "replayed"
    assert (await stage.play(again)).problems() == []
    assert await stage.audit() == []


@module_loop
async def test_without_a_gpu_nothing_is_lost_and_nobody_waits(stage: Stage) -> None:
    sent = await stage.demo.send_slowly(light_slow(stage.script))
    assert {one.status for one in sent} == {202}
    assert [arrival.id for arrival in stage.demo.receiver.arrivals()] == [
        one.scene.id for one in sent if one.scene.action == "pass"
    ]
    for one in sent:
        stage.results.append(await stage.demo.finish(one))
        assert stage.results[-1].problems() == [], one.scene.carries
    assert {one.end.outcome for one in stage.results if one.end} == {"replayed", "dropped", "withdrawn"}
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
    assert await stage.audit() == [f"piefed: {KNOWN}: reached the server 1 times by the end, not 0"]
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
    doors = {**stage.demo.ends.doors, "inbox door": stage.demo.remote.server.url}
    nowhere = replace(stage.demo, ends=replace(stage.demo.ends, doors=doors))
    assert await nowhere.audit([]) == ["a page that is no delivery came as 404 'Not Found'"]


@module_loop
async def test_every_visit_comes_out_right(stage: Stage) -> None:
    for visit in stage.visits():
        assert (await stage.go(visit)).problems() == [], visit.carries
    assert {one.door for one in stage.visited} == {"fetch", "pictrs", "validate", "upload"}
    assert await stage.audit() == []
    assert stage.demo.ends.store.kept() == []
    assert stage.demo.remote.stopped() == set()


@module_loop
async def test_a_visit_whose_expectation_is_not_met_is_a_problem(stage: Stage) -> None:
    visit = stage.find("has pict-rs proxy a picture to be left out")
    result = await stage.go(replace(visit, arrives="intact", decided=None, action="pass"))
    assert result.problems()[-1] == "1 files arrived, not the 1 that may"
    assert "what arrived: something else, not intact" in result.problems()


@module_loop
async def test_what_pict_rs_was_not_to_keep_is_seen_at_the_end(stage: Stage) -> None:
    """By a way that fediward does not know."""
    url = stage.find("has pict-rs proxy a picture on a hash list").url
    ends = stage.demo.ends
    validation, ends.store.validation = ends.store.validation, None
    assert url is not None
    await ends.client.get(f"{ends.store.server.url}/image/original", params={"proxy": url})
    ends.store.validation = validation
    assert await stage.audit() == [
        "files in pict-rs: 1 by the end, not 0",
        "pict-rs has 1 files that were to be stopped",
    ]


@module_loop
async def test_what_the_server_was_not_to_have_is_seen_at_the_end(stage: Stage) -> None:
    receiver, scene = stage.demo.receiver, stage.scene(KNOWN)
    proxy, receiver.proxy = receiver.proxy, None
    await stage.client.send(stage.demo.remote.delivery(scene, receiver.server.url))
    await until(lambda: receiver.arrivals()[0].pictures is not None)
    receiver.proxy = proxy
    await stage.client.post(f"{receiver.server.url}/api/v3/post", json={})
    assert await stage.audit() == [
        f"unknown activity {scene.id}: reached the server 1 times by the end, not 0",
        "uploads and posts at the server: 1 by the end, not 0",
        "the server has 1 files that were to be stopped",
    ]


async def test_the_folder_is_gone_afterwards_even_where_it_could_not_start() -> None:
    def folders() -> set[Path]:
        return set(Path(tempfile.gettempdir()).glob(f"{run.PREFIX}*"))

    before, seen, believed = folders(), set[Path](), os.environ.get(BELIEVED)

    def stop() -> None:
        seen.update(folders() - before)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        async with opened(CONFIG, stop):
            raise AssertionError("it is not open")
    assert seen
    assert not seen & folders()
    assert os.environ.get(BELIEVED) == believed
