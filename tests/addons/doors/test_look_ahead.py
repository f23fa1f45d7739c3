"""The inbox door looks ahead at links and named objects: over real connections, with real pictures and a hash list."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from addons.policy.config import Config
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import net, pictures
from tests.addons.doors.opened import ACTOR, KNOWN, configured, create, opened, write_list
from tests.drawing import encode, textured

# One engine for all: starting its processes takes longer than any test here.
pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = encode(textured(1))
ORDINARY = encode(textured(2))
HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/activity+json"}
OTHER = "https://other.example/users/b"

type Configure = Callable[..., Config]


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("lists") / "hashes.csv", FORBIDDEN)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(hashes: Path) -> AsyncIterator[Engine]:
    lists = (HashListSettings(name="ours", file=hashes),)
    settings = ClassifierSettings(clip=None, nudity=None, hashes=lists, decode=DecodeSettings(processes=1))
    started = Engine.start(settings, {})
    yield started
    await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[pictures.Host]:
    async with pictures.host() as served:
        served.put("/forbidden.png", FORBIDDEN)
        served.put("/ordinary.png", ORDINARY)
        yield served


@pytest.fixture
def config(tmp_path: Path, hashes: Path, host: pictures.Host) -> Configure:
    return lambda **settings: configured(tmp_path, hashes, host.port, settings)


def article(host: pictures.Host, image: str, path: str = "/article") -> str:
    """Serve an article whose preview is the image at this path; its URL."""
    head = f'<title>News</title><meta property="og:title" content="x"><meta property="og:image" content="{image}">'
    return host.put(path, f"<!doctype html><html><head>{head}</head><body>…</body></html>".encode(), headers=HTML)


def noted(host: pictures.Host, image: str, path: str = "/notes/1", actor: str = OTHER) -> str:
    """Serve a note with the image at this path; its IRI."""
    attached = [{"type": "Image", "url": host.url(image)}]
    note = {"type": "Note", "id": host.url(path), "attributedTo": actor, "content": "x", "attachment": attached}
    return host.put(path, json.dumps(note).encode(), headers=JSON)


def linking(url: str) -> dict[str, Any]:
    """A Lemmy post that links to a page."""
    attached = [{"type": "Link", "href": url}]
    page = {"type": "Page", "id": f"{ACTOR}/post/1", "attributedTo": ACTOR, "name": "News", "attachment": attached}
    return {"type": "Announce", "actor": ACTOR, "object": {"type": "Create", "actor": ACTOR, "object": page}}


def boost(iri: str, kind: str = "Announce") -> dict[str, Any]:
    return {"type": kind, "id": f"{ACTOR}/activities/2", "actor": ACTOR, "object": iri}


# --- links ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("software", ["lemmy", "mastodon", "generic"])
@pytest.mark.parametrize("image", ["/forbidden.png", "/ordinary.png"])
async def test_a_post_is_dropped_for_the_preview_of_its_link(
    config: Configure, engine: Engine, host: pictures.Host, image: str, software: str
) -> None:
    link = article(host, image)
    body = json.dumps(linking(link), indent=1).encode()
    async with opened(config(server={"software": software}), engine) as door:
        status = await door.deliver(body)
        if image == "/ordinary.png":
            assert (status, door.arrived) == (200, [body])
            return
        assert (status, door.arrived) == (202, [])
        (entry,) = await door.entries(1)
        assert [(medium.url, medium.kind) for medium in entry.media] == [(host.url(image), "page")]
    head = host.heads["/article"].decode()
    assert ("bytes=0-1048575" in head) == (software == "lemmy")
    assert (" Bot\r\n" in head) == (software != "lemmy")


@pytest.mark.parametrize(("software", "arrived"), [("lemmy", 1), ("mastodon", 0)])
async def test_links_in_text_count_where_the_server_previews_them(
    config: Configure, engine: Engine, host: pictures.Host, software: str, arrived: int
) -> None:
    activity = create()
    activity["object"]["content"] = f'<p>see <a href="{article(host, "/forbidden.png")}">this</a></p>'
    async with opened(config(server={"software": software}), engine) as door:
        await door.deliver(activity)
        assert len(door.arrived) == arrived


async def test_the_second_post_with_a_link_costs_no_fetch(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    link = article(host, "/ordinary.png")
    async with opened(config(), engine) as door:
        assert [await door.deliver(linking(link)) for _ in range(3)] == [200, 200, 200]
    assert (host.hits["/article"], host.hits["/ordinary.png"]) == (1, 1)


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "500 Broken"])
async def test_a_dead_link_is_an_everyday_post(
    config: Configure, engine: Engine, host: pictures.Host, status: str
) -> None:
    link = host.put("/gone", b"<html>sorry</html>", status=status, headers=HTML)
    async with opened(config(), engine) as door:
        assert await door.deliver(linking(link)) == 200


async def test_a_page_that_does_not_come_in_time_is_a_cause(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    gate = asyncio.Event()
    link = host.put("/slow", b"<html>", headers=HTML, gate=gate)
    async with opened(config(budget="300ms", on={"timeout": "drop"}), engine) as door:
        assert await door.deliver(linking(link)) == 202
        (entry,) = await door.entries(1)
        assert entry.media[0].cause == "timeout"


async def test_a_preview_inside_the_page_is_judged_too(config: Configure, engine: Engine, host: pictures.Host) -> None:
    link = article(host, "data:image/png;base64," + base64.b64encode(FORBIDDEN).decode())
    async with opened(config(), engine) as door:
        assert (await door.deliver(linking(link)), door.arrived) == (202, [])


async def test_links_are_not_looked_at_where_that_is_off(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    link = article(host, "/forbidden.png")
    async with opened(config(look_ahead={"links": "never"}), engine) as door:
        assert await door.deliver(linking(link)) == 200
    assert host.hits["/forbidden.png"] == 0


# --- objects ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("image", ["/forbidden.png", "/ordinary.png"])
async def test_a_boost_is_dropped_for_the_object_it_only_names(
    config: Configure, engine: Engine, host: pictures.Host, image: str
) -> None:
    body = json.dumps(boost(noted(host, image)), indent=1).encode()
    async with opened(config(), engine) as door:
        status = await door.deliver(body)
        if image == "/ordinary.png":
            assert (status, door.arrived) == (200, [body])
        else:
            assert (status, door.arrived) == (202, [])
            (entry,) = await door.entries(1)
            assert (entry.media[0].url, entry.actor) == (host.url(image), ACTOR)
    assert b"Accept: application/activity+json" in host.heads["/notes/1"]
    assert b"ignature" not in host.heads["/notes/1"]


async def test_the_second_boost_costs_no_fetch(config: Configure, engine: Engine, host: pictures.Host) -> None:
    iri = noted(host, "/forbidden.png")
    async with opened(config(), engine) as door:
        assert [await door.deliver(boost(iri)) for _ in range(2)] == [202, 202]
    assert (host.hits["/notes/1"], host.hits["/forbidden.png"]) == (1, 1)


async def test_rules_on_hosts_hold_for_the_host_of_the_object(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    rules = [{"name": "blocked", "when": {"host": ["other.example"]}, "do": "reject"}, *KNOWN]
    bare = host.put("/notes/2", b'{"type": "Note", "content": "no author, no media"}', headers=JSON)
    async with opened(config(rules=rules), engine) as door:
        assert await door.deliver(boost(noted(host, "/ordinary.png"))) == 403
        assert await door.deliver(boost(bare)) == 200
        (entry,) = await door.entries(1)
        assert (entry.rule, entry.host) == ("blocked", "other.example")


async def test_an_object_without_author_speaks_for_its_host(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    rules = [{"name": "blocked", "when": {"host": ["127.0.0.1"]}, "do": "reject"}, *KNOWN]
    bare = host.put("/notes/2", b'{"type": "Note", "content": "no author, no media"}', headers=JSON)
    async with opened(config(rules=rules), engine) as door:
        assert await door.deliver(boost(bare)) == 403


@pytest.mark.parametrize(("software", "status"), [("mastodon", 202), ("lemmy", 200)])
async def test_a_host_that_wants_signatures(
    config: Configure, engine: Engine, host: pictures.Host, software: str, status: int
) -> None:
    iri = host.put("/notes/1", b"{}", status="401 Unauthorized", headers=JSON)
    async with opened(config(server={"software": software}), engine) as door:
        assert await door.deliver(boost(iri)) == status


@pytest.mark.parametrize("kind", ["Like", "Follow", "Undo", "Delete"])
async def test_what_is_only_pointed_at_is_not_fetched(
    config: Configure, engine: Engine, host: pictures.Host, kind: str
) -> None:
    async with opened(config(), engine) as door:
        assert await door.deliver(boost(noted(host, "/forbidden.png"), kind)) == 200
    assert host.hits.total() == 0


@pytest.mark.parametrize("bad", [False, True])
async def test_more_objects_than_are_looked_at(
    config: Configure, engine: Engine, host: pictures.Host, bad: bool
) -> None:
    boosts = [boost(noted(host, "/ordinary.png", f"/notes/{number}")) for number in range(4 + bad)]
    async with opened(config(), engine) as door:
        assert await door.deliver(boosts) == (202 if bad else 200)


async def test_objects_are_not_looked_at_where_that_is_off(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    async with opened(config(look_ahead={"objects": "never"}), engine) as door:
        assert await door.deliver(boost(noted(host, "/forbidden.png"))) == 200
    assert host.hits.total() == 0


# --- both -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("what", ["link", "object"])
async def test_where_it_is_observed_it_is_looked_at_afterwards(
    config: Configure, engine: Engine, host: pictures.Host, what: str
) -> None:
    bad = linking(article(host, "/forbidden.png")) if what == "link" else boost(noted(host, "/forbidden.png"))
    async with opened(config(mode="observe"), engine) as door:
        assert await door.deliver(bad) == 200
        await net.until(lambda: not door.inbox.busy)
        (entry,) = await door.entries(1)
        assert (entry.action, entry.rule, entry.mode) == ("drop", "known", "observe")


@pytest.mark.parametrize("what", ["link", "object"])
async def test_too_much_going_on_is_the_cause_busy(
    config: Configure, engine: Engine, host: pictures.Host, what: str
) -> None:
    late = linking(article(host, "/ordinary.png")) if what == "link" else boost(noted(host, "/ordinary.png"))
    async with opened(config(limits={"deliveries": 1}, on={"busy": "drop"}, budget="300ms"), engine) as door:
        async with door.service.delivering.deciding.fair.admitted("host:else.example"):
            assert await door.deliver(late) == 202
        assert {medium.cause for entry in await door.entries(1) for medium in entry.media} == {"busy"}


async def test_what_stands_on_our_own_domains_is_not_fetched(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    async with opened(config(), engine) as door:
        assert await door.deliver(boost("https://example.org/notes/1")) == 200
        assert await door.deliver(linking("https://example.org/articles/1")) == 200
        assert await door.counts() == {"pass": 2}
