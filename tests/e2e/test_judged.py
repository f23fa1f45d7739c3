"""Signed deliveries judged by the running door: what the policy forbids never reaches the server, the rest does."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.e2e.fedify import Fedify
from tests.e2e.peers import ACTOR, SENDERS, pairs
from tests.e2e.pictures import BY_LISTS, BY_MODEL, LARGEST, SHAPES, data_url, file, note, video_note
from tests.e2e.process import fediward
from tests.e2e.world import ANSWER_SECONDS, Sent, World, opened
from tests.net import client

pytestmark = pytest.mark.asyncio(loop_scope="module")

BUDGET = 7.0
"""Seconds, the most for this software: a busy machine takes some for a large video, and one test waits for its end."""


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=[BY_LISTS, BY_MODEL], ids=["lists", "model"])
async def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fedify: Fedify, rsa_key: RSAPrivateKey
) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("judged")
    async with opened(folder, request.param, fedify, rsa_key, BUDGET) as everything:
        yield everything


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_shape_is_looked_into(world: World, shape: str) -> None:
    kind, make = SHAPES[shape]
    fine = await world.signed(make(world.host.picture("fine")), kind)
    assert await world.deliver(fine) == 200
    await world.must_arrive(fine)

    url = world.host.picture("forbidden")
    assert await world.stopped(await world.signed(make(url), kind)) == 202
    assert world.host.asked[world.host.path(url)] == 1


@pytest.mark.parametrize("way", ["redirect", "data URL", "late frame", "other format", "lying type"])
async def test_each_way_to_a_picture_is_followed(world: World, way: str) -> None:
    host, palette = world.host, world.palette

    def reach(what: str) -> str:
        match way:
            case "redirect":
                return host.moved(what)
            case "data URL":
                return data_url(palette.png(what))
            case "late frame":
                return host.serve(file(palette.late(what), "image/gif"), suffix=".gif")
            case "other format":
                return host.serve(file(palette.jpeg(what), "image/jpeg"), suffix=".jpg")
            case _:
                return host.serve(file(palette.png(what), "text/html"), suffix="")

    fine = await world.signed(note(reach("fine")))
    assert await world.deliver(fine) == 200
    await world.must_arrive(fine)
    assert await world.stopped(await world.signed(note(reach("forbidden")))) == 202


@pytest.mark.parametrize("large", [False, True])
async def test_a_video_is_dropped_for_one_second_of_it(world: World, large: bool) -> None:
    """A large one is fetched in parts; its forbidden second begins one second after a key frame."""
    host = world.host

    async def about(what: str) -> tuple[str, Sent]:
        data = world.palette.video(what, 24, grain=40) if large else world.palette.video(what)
        assert (len(data) > LARGEST) == large
        url = host.parts(data) if large else host.serve(file(data, "video/mp4"), suffix=".mp4")
        return url, await world.signed(video_note(url))

    url, fine = await about("fine")
    assert await world.deliver(fine) == 200
    await world.must_arrive(fine)
    assert (host.asked[host.path(url)] > 2) == large
    _, forbidden = await about("forbidden")
    assert await world.stopped(forbidden) == 202


async def test_fedify_delivers_through_the_door(world: World) -> None:
    for sender in SENDERS:
        if sender.covered:
            continue
        fine = await world.signed(note(world.host.picture("fine")), sender=sender)
        assert await world.deliver(fine) == 200
        await world.must_arrive(fine)
        assert await world.stopped(await world.signed(note(world.host.picture("forbidden")), sender=sender)) == 202


MIXED: dict[tuple[str, ...], int] = {
    ("fine", "fine"): 200,
    ("fine", "noted"): 200,
    ("fine", "forbidden"): 202,
    ("forbidden", "noted", "fine"): 202,
    ("fine", "refused"): 403,
    ("refused", "forbidden", "fine"): 202,
    ("refused", "noted"): 403,
    ("broken", "fine"): 202,
}


@pytest.mark.parametrize(("pictures", "status"), MIXED.items(), ids=[", ".join(pictures) for pictures in MIXED])
async def test_the_strictest_action_counts(world: World, pictures: tuple[str, ...], status: int) -> None:
    broken = file(b"\x89PNG\r\n\x1a\nthis is no picture")
    urls = [
        world.host.serve(broken) if what == "broken" else world.host.picture(what, seed)
        for seed, what in enumerate(pictures)
    ]
    sent = await world.signed(note(*urls))
    if status == 200:
        assert await world.deliver(sent) == 200
        await world.must_arrive(sent)
    else:
        assert await world.stopped(sent) == status


async def test_a_refusal_names_no_rule(world: World) -> None:
    sent = await world.signed(note(world.host.picture("refused")))
    async with client(world.running.port) as sender:
        await sender.send(sent.bytes)
        status, head, body = await sender.response(timeout=ANSWER_SECONDS)
    assert (status, body) == (403, b'{"error": "this activity is not accepted here"}')
    assert b"retry-after" not in head.lower()


async def test_a_delivery_whose_host_hangs_is_held(world: World) -> None:
    """All at once, for each takes the whole budget; a hopeless picture beside the hanging one is dropped meanwhile."""
    host, before = world.host, len(world.reached)
    alone = await world.signed(note(host.serve(None)))
    beside_fine = await world.signed(note(host.picture("fine"), host.serve(None)))
    beside_refused = await world.signed(note(host.serve(None), host.picture("refused")))
    beside_forbidden = await world.signed(note(host.serve(None), host.picture("forbidden")))
    fine = await world.signed(note(host.picture("fine", 1)))
    every = [alone, beside_fine, beside_refused, beside_forbidden, fine]
    assert await asyncio.gather(*map(world.deliver, every)) == [202, 202, 403, 202, 200]
    assert len(world.reached) == before + 1
    await world.must_arrive(fine)


async def test_a_url_is_judged_once_while_it_is_remembered(world: World) -> None:
    """The limit that the media doors will close: a host that shows another picture later deceives the inbox door."""
    good, bad = (file(world.palette.png(what)) for what in ("fine", "forbidden"))
    url = world.host.serve(good, bad)
    for _ in range(2):
        sent = await world.signed(note(url))
        assert await world.deliver(sent) == 200
        await world.must_arrive(sent)
    assert world.host.asked[world.host.path(url)] == 1

    other_way = world.host.serve(bad, good)  # and nobody gets a second try by showing something better
    for _ in range(2):
        assert await world.stopped(await world.signed(note(other_way))) == 202
    assert world.host.asked[world.host.path(other_way)] == 1


@pytest.mark.parametrize("senders", [1, 8])
async def test_kept_alive_connections(world: World, senders: int) -> None:
    """Each sends on one connection; every third delivery is forbidden, and only those are missing behind the door."""
    every: list[list[tuple[Sent, str]]] = []
    for at in range(senders):
        kinds = [("fine", "forbidden", "fine")[number % 3] for number in range(12)]
        urls = [world.host.picture(what, at * 12 + number) for number, what in enumerate(kinds)]
        every.append([(await world.signed(note(url)), what) for url, what in zip(urls, kinds, strict=True)])
    before = len(world.reached)

    async def send(deliveries: list[tuple[Sent, str]]) -> list[int]:
        async with client(world.running.port) as over:
            return [await world.deliver(sent, over) for sent, _ in deliveries]

    answers = await asyncio.gather(*map(send, every))
    for deliveries, statuses in zip(every, answers, strict=True):
        assert statuses == [{"fine": 200, "forbidden": 202}[what] for _, what in deliveries]
    fine = [sent for sent, what in itertools.chain(*every) if what == "fine"]
    assert len(world.reached) == before + len(fine)
    for number, sent in enumerate(fine):
        got = world.arrived(sent)
        assert got is not None
        assert got.headers == pairs(sent.headers)
        if number % 8 == 0:
            await world.must_arrive(sent)
        assert world.verifiers.our_refusal(got) is None


async def test_the_ledger_tells_it(world: World) -> None:
    """Of every delivery that these tests sent, and of one in full; the commands are real ones."""
    urls = [world.host.picture("fine"), world.host.picture("forbidden")]
    dropped = await world.signed(note(*urls))
    assert await world.stopped(dropped) == 202
    noted = await world.signed(note(world.host.picture("noted")))
    assert await world.deliver(noted) == 200
    entries = {str(entry["activity_id"]): entry for entry in await world.all_entries()}
    assert len(entries) == world.count
    let_in = {id for id, entry in entries.items() if entry["action"] in ("pass", "record")}
    assert let_in == {json.loads(request.body)["id"] for request in world.reached}
    assert (entries[noted.id]["action"], entries[noted.id]["rule"]) == ("record", "noted")
    reasons = {(str(entry["action"]), entry["rule"] or entry["cause"]) for entry in entries.values()}
    assert reasons <= {
        *(("pass", None), ("record", "noted"), ("drop", "forbidden"), ("drop", "undecodable"), ("reject", "refused")),
        ("hold", "timeout"),
    }

    entry = entries[dropped.id]
    assert (entry["action"], entry["rule"], entry["cause"], entry["door"]) == ("drop", "forbidden", None, "inbox")
    assert (entry["actor"], entry["host"], entry["peer"]) == (ACTOR, "remote.example", "127.0.0.1")
    media = entry["media"]
    assert isinstance(media, list)
    assert [(medium["url"], medium["address"]) for medium in media] == [(url, "127.0.0.1") for url in urls]

    config = ("-c", str(world.running.config))
    status, told = await fediward("explain", str(entry["id"]), *config)
    assert status == 0
    assert 'The rule "forbidden" decided on medium 2' in told
    assert urls[1] in told
    status, kept = await fediward("explain", str(entry["id"]), "--activity", *config)
    assert status == 0
    assert json.loads(kept) == json.loads(dropped.body)
