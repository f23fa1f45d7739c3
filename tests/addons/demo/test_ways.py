"""Each way with nothing between its ends: what is sent arrives, forbidden or not."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx
import pytest
import pytest_asyncio

from addons.demo.activities import Writer
from addons.demo.receiver import Receiver
from addons.demo.remote import Remote
from addons.demo.scenes import Scene, Script
from addons.demo.store import Store
from addons.demo.visits import Visit, visits
from addons.demo.ways import Cloaks, Ends, Fetches, Previews, Proxies, Stores, Uploads


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Remote, Receiver, Store]]:
    remote, receiver, store = Remote(), Receiver(), Store()
    remote.peer = receiver.key
    with remote.server, receiver.server, store.server:
        yield remote, receiver, store


@pytest_asyncio.fixture
async def ends(servers: tuple[Remote, Receiver, Store]) -> AsyncIterator[Ends]:
    remote, receiver, store = servers
    for server in servers:
        server.clear()
    doors = {"inbox door": receiver.server.url, "pict-rs door": store.server.url}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield Ends(remote, receiver, store, doors, client, client)


def every(remote: Remote) -> list[Visit]:
    return visits(Script(remote.server.url, remote.actor), remote.server.url)


async def test_what_is_sent_arrives(ends: Ends) -> None:
    for visit in every(ends.remote):
        if isinstance(visit.way, Cloaks):
            await ends.client.get(visit.way.url)  # the first look is the inbox door's, which is not here
        gone = await visit.way.go(ends)
        assert gone.arrived == (gone.sent,), visit.carries
        assert gone.changes == (), visit.carries
        assert 200 <= gone.status < 300
        assert gone.ms > 0
        assert gone.end == {"pictrs": "pict-rs", "validate": "pict-rs"}.get(visit.door, gone.end)
    assert len(ends.store.kept()) == sum(visit.way.__class__.__name__ in KEEPING for visit in every(ends.remote))
    assert len(ends.remote.delivered()) == 1


KEEPING = ("Downloads", "Proxies", "Cloaks", "Stores")


async def test_what_does_not_arrive_is_not_told_as_if_it_had(ends: Ends) -> None:
    write = Writer(ends.remote.server.url, ends.remote.actor)
    gone = await Fetches(write.url("known.jpg").replace(ends.remote.server.url, ends.receiver.server.url)).go(ends)
    assert (gone.status, gone.arrived) == (404, ())
    nowhere = replace(ends, doors={**ends.doors, "pict-rs door": ends.receiver.server.url})
    gone = await Proxies(write.url("known.jpg")).go(nowhere)
    assert (gone.status, gone.arrived) == (404, ())
    assert (await Stores("ordinary", 1).go(nowhere)).arrived == ()
    nowhere = replace(ends, doors={**ends.doors, "inbox door": ends.store.server.url})
    assert (await Uploads("/image/download", "file", "ordinary", 1).go(nowhere)).arrived == ()


async def test_a_page_that_is_another_is_a_change(ends: Ends) -> None:
    """Here: the page of another host."""
    write = Writer(ends.remote.server.url, ends.remote.actor)
    page = write.about("pages", write.url("ordinary.jpg")).replace(ends.remote.server.url, ends.receiver.server.url)
    gone = await Previews(page).go(ends)
    assert (gone.status, gone.arrived, gone.changes) == (404, (), ("page",))


async def test_what_pict_rs_shows_and_does_not_keep_is_a_change(ends: Ends) -> None:
    shows = replace(ends, doors={"pict-rs door": ends.receiver.server.url + "/about?"})
    gone = await Proxies(Writer(ends.remote.server.url, "").url("ordinary.jpg")).go(shows)
    assert (gone.status, gone.arrived, gone.changes) == (200, (), ("shown picture",))


async def test_a_cloaking_host_needs_its_delivery_to_arrive(ends: Ends) -> None:
    write = Writer(ends.remote.server.url, ends.remote.actor)
    url = write.url("cloaking.png")
    scene = Scene("mastodon", "x", write.note([write.document(url)]))
    gone = await Cloaks(scene, url).go(ends)
    assert (gone.changes, gone.delivered) == ((), scene.id)
    refused = replace(ends, doors={**ends.doors, "inbox door": ends.store.server.url})
    assert (await Cloaks(scene, write.url("cloaking.png")).go(refused)).changes == ("delivery before",)


async def test_an_address_is_named_as_a_proxy_names_it(ends: Ends) -> None:
    await Uploads("/api/v2/media", "file", "ordinary", 1, "192.0.2.7").go(ends)
    (upload,) = ends.receiver.uploads()
    assert (b"x-forwarded-for", b"192.0.2.7") in upload.headers
