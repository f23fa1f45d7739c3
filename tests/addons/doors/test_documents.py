import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from addons.doors.documents import READ_INLINE, Answer, Documents
from addons.doors.reading import Readers
from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetcher
from addons.judging.gate import Gate
from addons.judging.judge import Judge
from addons.ledger.entry import Entry
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Reader, Search
from addons.ledger.standings import Place
from addons.policy.config import Config
from addons.policy.words import Action
from addons.service import fetch_settings, scope_of
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import net, pictures
from tests.addons.doors.opened import KNOWN, configured, write_list
from tests.drawing import encode, textured

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = encode(textured(1))
SAME_PICTURE = encode(textured(1), "JPEG", quality=85)
ORDINARY = encode(textured(2))
AP = "application/activity+json; charset=utf-8"
HOST = "https://remote.example"

type Configure = Callable[..., Config]


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("lists") / "hashes.csv", FORBIDDEN)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(hashes: Path) -> AsyncIterator[Engine]:
    lists = (HashListSettings(name="ours", file=hashes),)
    started = Engine.start(
        ClassifierSettings(clip=None, nudity=None, hashes=lists, decode=DecodeSettings(processes=1)), {}
    )
    yield started
    await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def host() -> AsyncIterator[pictures.Host]:
    async with pictures.host() as served:
        served.put("/bad.png", FORBIDDEN)
        served.put("/same.jpg", SAME_PICTURE)
        served.put("/good.png", ORDINARY)
        yield served


@pytest.fixture
def config(tmp_path: Path, hashes: Path, host: pictures.Host) -> Configure:
    return lambda **settings: configured(tmp_path, hashes, host.port, settings)


@dataclass
class Opened:
    """Documents with all that stands behind them."""

    documents: Documents
    config: Config
    ledger: Ledger

    async def look(self, document: object, path: str = "/1", *, media_type: str = AP, timeout: float = 30) -> Answer:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return await self.documents.look(
            HOST + path, body, media_type=media_type, timeout=timeout, peer="192.0.2.7", share="a"
        )

    async def entries(self) -> list[Entry]:
        await net.until(lambda: self.ledger.waiting == 0)
        with Reader.open(self.config.ledger.url) as reader:
            return reader.find(Search())

    def kept(self, entry: Entry) -> Any:
        with Reader.open(self.config.ledger.url) as reader:
            kept = reader.kept(entry.id)
        return None if kept is None else json.loads(kept.body)

    def counts(self) -> dict[str, int]:
        self.ledger.close()
        with Reader.open(self.config.ledger.url) as reader:
            return {counted.action: counted.count for counted in reader.counts()}


@contextlib.asynccontextmanager
async def opened(
    config: Config, engine: Engine, *, queue: int = 100, readers: Readers | None = None, max_bytes: int = 1 << 20
) -> AsyncIterator[Opened]:
    budget = MemoryBudget(config.limits.memory)
    with Ledger.open(config.ledger.url, queue=queue) as ledger:
        judge = Judge(Fetcher(fetch_settings(config), budget), engine)
        documents = Documents(
            scope_of(config), Gate(config.policy(), judge, ledger), readers=readers, max_bytes=max_bytes
        )
        yield Opened(documents, config, ledger)
        documents.close()
        await net.until(lambda: (budget.used, judge.in_flight) == (0, 0))


def note(*urls: str, id: str = f"{HOST}/1", **more: object) -> dict[str, Any]:
    attached = [{"type": "Image", "url": url} for url in urls]
    return {"type": "Note", "id": id, "attributedTo": f"{HOST}/u/a", "content": "a", "attachment": attached, **more}


def person(*urls: str, **more: object) -> dict[str, Any]:
    emoji = [{"type": "Emoji", "name": ":a:", "icon": {"type": "Image", "url": url}} for url in urls[1:]]
    icon = {"icon": {"type": "Image", "url": urls[0]}} if urls else {}
    return {"type": "Person", "id": f"{HOST}/u/a", "inbox": f"{HOST}/u/a/inbox", "tag": emoji, **icon, **more}


def page(*items: object, **more: object) -> dict[str, Any]:
    return {"type": "OrderedCollectionPage", "id": f"{HOST}/o", "totalItems": 9, "orderedItems": list(items), **more}


def known(action: str) -> dict[str, Any]:
    return {"rules": [{**KNOWN[0], "do": action}]}


# -- every action, for a post, an actor and a collection ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "status", "urls"),
    [
        ("pass", 200, None),
        ("record", 200, None),
        ("strip", 200, ["/good.png"]),
        ("drop", 404, None),
        ("reject", 404, None),
        ("defer", 503, None),
    ],
)
async def test_posts(
    config: Configure, engine: Engine, host: pictures.Host, action: str, status: int, urls: list[str] | None
) -> None:
    post = note(host.url("/good.png"), host.url("/same.jpg"), signature={"signatureValue": "x"}, n=12345678901234567890)
    async with opened(config(**known(action)), engine) as door:
        answer = await door.look(post)
        (entry,) = await door.entries()
    assert (answer.status, answer.passes, answer.id, answer.action) == (status, status == 200, entry.id, action)
    if urls is None:
        assert answer.body is None
    else:
        assert answer.body is not None
        assert json.loads(answer.body) == note(*map(host.url, urls), n=12345678901234567890)
    assert (entry.action, entry.rule, entry.door, entry.mode) == (action, "known", "fetch", "enforce")
    assert (entry.host, entry.actor, entry.peer) == ("remote.example", f"{HOST}/u/a", "192.0.2.7")
    assert (entry.types, entry.object_id, len(entry.media)) == (("Note",), f"{HOST}/1", 2)


@pytest.mark.parametrize(
    ("action", "status", "left"),
    [
        ("pass", 200, None),
        ("record", 200, None),
        ("strip", 200, ["/good.png"]),
        ("drop", 200, ["/good.png"]),
        ("reject", 200, ["/good.png"]),
        ("defer", 503, None),
    ],
)
async def test_actors_are_never_refused(
    config: Configure, engine: Engine, host: pictures.Host, action: str, status: int, left: list[str] | None
) -> None:
    async with opened(config(**known(action)), engine) as door:
        answer = await door.look(person(host.url("/good.png"), host.url("/same.jpg")))
        (entry,) = await door.entries()
    assert (answer.status, answer.id) == (status, entry.id)
    assert (answer.body and json.loads(answer.body)) == (left and person(*map(host.url, left)))
    assert entry.action == ("strip" if left else action)
    assert {hit.action for hit in entry.hits} == {Action(action)}
    assert entry.actor == f"{HOST}/u/a"


@pytest.mark.parametrize(
    ("action", "status", "left"),
    [
        ("pass", 200, None),
        ("strip", 200, ["good", "stripped", "iri"]),
        ("drop", 200, ["good", "iri"]),
        ("reject", 200, ["good", "iri"]),
        ("defer", 503, None),
    ],
)
async def test_items_of_collections(
    config: Configure,
    engine: Engine,
    host: pictures.Host,
    action: str,
    status: int,
    left: list[str] | None,
) -> None:
    def whole(*items: object) -> dict[str, Any]:
        return {"type": "OrderedCollection", "id": f"{HOST}/c", "totalItems": 3, "first": page(*items)}

    def create(name: str, *urls: str) -> dict[str, Any]:
        return {"type": "Create", "id": f"{HOST}/{name}", "actor": f"{HOST}/u/a", "object": note(*urls)}

    good, bad = host.url("/good.png"), host.url("/bad.png")
    items: dict[str, Any] = {"good": create("good", good), "bad": create("bad", bad, good), "iri": f"{HOST}/elsewhere"}
    items["stripped"] = create("bad", good)
    async with opened(config(**known(action)), engine) as door:
        answer = await door.look(page(items["good"], items["bad"], items["iri"]))
        entries = await door.entries()
        embedded = await door.look(whole(items["good"], items["bad"], items["iri"]))
    assert (answer.status, embedded.status) == (status, status)
    kept = left and [items[name] for name in ("good", "stripped", "iri") if name in left]
    assert (answer.body and json.loads(answer.body)) == (kept and page(*kept))
    assert (embedded.body and json.loads(embedded.body)) == (kept and whole(*kept))
    by_id = {entry.activity_id: entry for entry in entries}
    assert set(by_id) == {f"{HOST}/good", f"{HOST}/bad"}
    bad_one = by_id[f"{HOST}/bad"]
    assert (bad_one.action, bad_one.rule, bad_one.types) == (action, "known", ("Create", "Note"))
    assert by_id[f"{HOST}/good"].action == "pass"
    assert answer.id == bad_one.id or action == "pass"
    if action in ("drop", "reject"):
        assert door.kept(bad_one) == items["bad"]


async def test_a_collection_that_lost_an_item_has_no_proof_any_more(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    proof = {"type": "DataIntegrityProof", "proofValue": "z"}
    good = note(host.url("/good.png"), proof=proof)
    async with opened(config(), engine) as door:
        answer = await door.look(page(good, note(host.url("/bad.png")), proof=proof))
    assert answer.body is not None
    assert json.loads(answer.body) == page(good)


async def test_a_collection_whose_own_picture_is_dropped_is_dropped(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    async with opened(config(), engine) as door:
        answer = await door.look(page(note(host.url("/good.png")), icon={"type": "Image", "url": host.url("/bad.png")}))
        (entry,) = await door.entries()
    assert (answer.status, entry.action, answer.id) == (404, "drop", entry.id)


async def test_what_cannot_be_stripped_is_dropped(config: Configure, engine: Engine, host: pictures.Host) -> None:
    bad = host.url("/bad.png")
    picture = {"type": "Image", "id": f"{HOST}/1", "url": bad}
    async with opened(config(**known("strip")), engine) as door:
        assert (await door.look(picture)).status == 404
        answer = await door.look(page(note(bad), picture))
        entries = await door.entries()
    assert answer.body is not None
    assert json.loads(answer.body) == page(note())
    assert sorted(entry.action for entry in entries) == ["drop", "strip", "strip"]


# -- rules on context --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "document", "status"),
    [
        ({"host": "remote.example"}, "post", 404),
        ({"host": "other.example"}, "post", 200),
        ({"actor": f"{HOST}/u/a"}, "post", 404),
        ({"actor": "https://other.example/u/b"}, "other", 200),
        ({"address": "192.0.2.0/24"}, "post", 404),
        ({"door": "fetch"}, "post", 404),
        ({"host": "remote.example"}, "actor", 200),
        ({"actor": f"{HOST}/u/a"}, "actor", 200),
        ({"host": "remote.example"}, "collection", 404),
    ],
)
async def test_rules_on_context(
    config: Configure, engine: Engine, host: pictures.Host, when: dict[str, object], document: str, status: int
) -> None:
    good = host.url("/good.png")
    documents = {
        "post": note(good),
        # Nobody speaks for an actor on another host.
        "other": note(good, attributedTo="https://other.example/u/b"),
        "actor": person(good),
        "collection": page(note(good)),
    }
    async with opened(config(rules=[{"name": "blocked", "when": when, "do": "reject"}]), engine) as door:
        answer = await door.look(documents[document])
        entries = await door.entries()
    blocked = when.get("host") != "other.example" and document != "other"
    assert answer.status == status
    assert (answer.body and json.loads(answer.body)) == (person() if document == "actor" else None)
    assert [entry.rule for entry in entries] == (["blocked"] if blocked else [None])
    assert bool(host.hits) is not blocked  # nothing is fetched that is refused in any case


async def test_an_item_of_a_blocked_actor_leaves(config: Configure, engine: Engine, host: pictures.Host) -> None:
    rules = [{"name": "blocked", "when": {"actor": f"{HOST}/u/b"}, "do": "drop"}]
    async with opened(config(rules=rules), engine) as door:
        answer = await door.look(page(note(), note(attributedTo=f"{HOST}/u/b")))
    assert answer.body is not None
    assert json.loads(answer.body) == page(note())


# -- what is no ActivityPub --------------------------------------------------------------------------------------------


NO_ACTIVITYPUB = [
    (
        b'{"subject": "acct:a@b", "links": [{"rel": "avatar", "type": "image/png", "href": "BAD"}]}',
        "application/jrd+json",
    ),
    (b'{"version": "2.0", "software": {"name": "x"}, "metadata": {"icon": "BAD"}}', "application/json"),
    (b'{"type": "photo", "version": "1.0", "url": "BAD"}', "application/json+oembed"),
    (b'{"uri": "x", "thumbnail": {"url": "BAD"}}', "application/json"),
    (b'["a.example", "b.example"]', "application/json"),
    (b'["type": malformed', "text/plain"),
    (b"true", "application/json"),
    (b" ", "application/activity+json"),
    (b'<html><img src="BAD"></html>', "text/html"),
    (b"[" + b'"a.example",' * 20_000 + b'"b"]', "application/json"),
]


async def test_what_is_no_activitypub_passes(config: Configure, engine: Engine, host: pictures.Host) -> None:
    async with opened(config(), engine) as door:
        for body, media_type in NO_ACTIVITYPUB:
            sent = body.replace(b"BAD", host.url("/bad.png").encode())
            assert await door.look(sent, media_type=media_type) == Answer(), body[:40]
        assert (await door.entries(), host.hits) == ([], {})


async def test_activitypub_is_known_by_what_it_is(config: Configure, engine: Engine, host: pictures.Host) -> None:
    bad = note(host.url("/bad.png"))
    async with opened(config(), engine) as door:
        for media_type in (AP, "application/json", 'application/ld+json; profile="x"', "text/html", ""):
            assert (await door.look(bad, media_type=media_type)).status == 404
        assert (await door.look([bad])).status == 404
        assert (await door.look(b"\xef\xbb\xbf\n" + json.dumps(bad).encode())).status == 404


async def test_our_own_media_are_not_judged(config: Configure, engine: Engine) -> None:
    async with opened(config(), engine) as door:
        assert await door.look(note("https://example.org/a.png")) == Answer()
        assert await door.look(note()) == Answer()
        assert door.counts() == {"pass": 2}


# -- bounds ------------------------------------------------------------------------------------------------------------


MALFORMED = [
    b"{",
    b'{"type": "Note"} x',
    b"\xff\xfe{\x00}\x00",
    "{}".encode("utf-32"),
    b'{"type": "Note", "a": "\xe4"}',
    b"<html>",
]


async def test_malformed_json_is_not_passed_on(config: Configure, engine: Engine) -> None:
    async with opened(config(), engine) as door:
        for body in MALFORMED:
            for media_type in (AP, "application/json"):
                assert await door.look(body, media_type=media_type) == Answer(502, action=Action.DROP), body
        assert door.counts() == {"malformed": 2 * len(MALFORMED)}


@pytest.mark.parametrize(("action", "status"), [("drop", 502), ("reject", 502), ("defer", 503), ("record", 200)])
async def test_what_is_too_much_to_be_read(config: Configure, engine: Engine, action: str, status: int) -> None:
    limits = {"depth": 8, "nodes": 100}
    settings = config(limits=limits, on={"too_many": action, "too_large": action})
    deep: object = "x"
    for _ in range(7):
        deep = [deep]
    async with opened(settings, engine, max_bytes=1_000) as door:
        for fits, not_fits, cause in [
            ({"type": "Note", "x": deep}, {"type": "Note", "x": [deep]}, "too_many"),
            ({"type": "Note", "x": [1] * 97}, {"type": "Note", "x": [1] * 98}, "too_many"),
            ({"type": "Note", "x": "y" * 975}, {"type": "Note", "x": "y" * 976}, "too_large"),
        ]:
            assert cause == "too_many" or len(json.dumps(fits)) == 1_000
            assert await door.look(fits) == Answer()
            answer = await door.look(not_fits)
            (entry,) = [each for each in await door.entries() if each.id == answer.id]
            assert (answer.status, answer.body) == (status, None)
            assert (entry.cause, entry.action, entry.host) == (cause, action, "remote.example")


@pytest.mark.parametrize(
    ("document", "media", "status"),
    [("post", 2, 200), ("post", 3, 404), ("actor", 2, 200), ("actor", 3, 200), ("item", 2, 200), ("item", 3, 200)],
)
async def test_too_many_media(
    config: Configure, engine: Engine, host: pictures.Host, document: str, media: int, status: int
) -> None:
    urls = [host.put(f"/{at}.png", ORDINARY) for at in range(media)]
    documents = {"post": note(*urls), "actor": person(*urls, summary="<p>a</p>"), "item": page(note(*urls), note())}
    async with opened(config(limits={"media": 2}), engine) as door:
        answer = await door.look(documents[document])
        entries = await door.entries()
    left = {"post": None, "actor": {k: v for k, v in person().items() if k != "tag"}, "item": page(note())}
    assert answer.status == status
    assert (answer.body and json.loads(answer.body)) == (left[document] if media > 2 else None)
    assert [entry.cause for entry in entries] == (["too_many"] if media > 2 else [None])


async def test_a_collection_has_room_for_sixteen_posts_of_most_media(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    urls = [host.put(f"/{at}.png", ORDINARY) for at in range(17)]
    async with opened(config(limits={"media": 1}), engine) as door:
        assert (await door.look(page(*map(note, urls[:16])))).status == 200
        assert (await door.look(page(*map(note, urls)))).status == 404


# -- what is not decided -----------------------------------------------------------------------------------------------


async def test_what_is_judged_too_slowly_has_been_judged_when_asked_again(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    gate = asyncio.Event()
    documents = [note(host.put("/slow.png", ORDINARY, gate=gate)), person(host.url("/slow.png"))]
    documents.append(page(note(host.url("/slow.png"))))
    async with opened(config(), engine) as door:
        for document in documents:
            assert (await door.look(document, timeout=0.05)).status == 503
        gate.set()
        for document in documents:
            assert (await door.look(document)).status == 200
        causes = [entry.cause for entry in await door.entries()]
    assert sorted(map(str, causes)) == ["None"] * 3 + ["timeout"] * 3


async def test_a_dead_link_does_not_hold_up_a_collection(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    dead = note(host.url("/absent.png"))
    async with opened(config(), engine) as door:
        assert (await door.look(dead)).status == 503
        assert (await door.look(person(host.url("/absent.png")))).status == 503
        answer = await door.look(page(dead, note()))
    assert answer.body is not None
    assert json.loads(answer.body) == page(note())


async def test_what_is_undecided_beside_what_goes_goes_too(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    async with opened(config(), engine) as door:
        answer = await door.look(person(host.url("/bad.png"), host.url("/absent.png"), host.url("/good.png")))
    assert answer.body is not None
    left = person(host.url("/good.png"), host.url("/good.png"))
    assert json.loads(answer.body) == {key: each for key, each in left.items() if key != "icon"}


# -- large documents ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [READ_INLINE, READ_INLINE + 1])
async def test_large_documents_are_read_in_a_thread(
    config: Configure, engine: Engine, host: pictures.Host, size: int
) -> None:
    body = json.dumps(note(host.url("/bad.png"))).encode()
    body += b" " * (size - len(body))
    async with opened(config(), engine, readers=Readers(per_sender=0)) as door:
        answer = await door.look(body)
        (entry,) = await door.entries()
    inline = size <= READ_INLINE
    assert (answer.status, entry.cause) == ((404, None) if inline else (503, "busy"))
    async with opened(config(), engine) as door:
        assert (await door.look(body)).status == 404
        assert (await door.look(body + b" " * READ_INLINE, timeout=0)).status == 503


async def test_what_breaks_in_us_is_not_passed_on(
    config: Configure, engine: Engine, host: pictures.Host, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Readers):
        async def read(self, sender: str, work: Any) -> Any:
            raise ZeroDivisionError

    async with opened(config(), engine, readers=Broken()) as door:
        answer = await door.look(note(x="y" * READ_INLINE))
        (entry,) = await door.entries()
    assert (answer.status, entry.cause) == (503, "detector_error")
    assert "a document from remote.example could not be looked at" in caplog.text


# -- the block set, the ledger, observing ------------------------------------------------------------------------------


async def test_what_is_on_the_block_set_is_not_even_fetched(
    config: Configure, engine: Engine, host: pictures.Host
) -> None:
    good = host.url("/good.png")
    async with opened(config(), engine) as door:
        door.ledger.standings.block([Place(good)], Action.STRIP, "earlier")
        answer = await door.look(note(good))
        (entry,) = await door.entries()
    assert answer.body is not None
    assert (json.loads(answer.body), host.hits) == (note(), {})
    assert entry.hits[0].blocked == "earlier"


async def test_an_admin_can_undo_it(config: Configure, engine: Engine, host: pictures.Host) -> None:
    async with opened(config(), engine) as door:
        assert (await door.look(note(host.url("/bad.png")))).status == 404
        (entry,) = await door.entries()
        assert entry.media[0].sha256 is not None
        door.ledger.standings.allow([entry.media[0].sha256], entry.id)
        assert (await door.look(note(host.url("/bad.png")))).status == 200


@pytest.mark.parametrize(("action", "status"), [("pass", 200), ("defer", 503), ("drop", 502)])
async def test_a_ledger_that_is_full(
    config: Configure, engine: Engine, host: pictures.Host, action: str, status: int
) -> None:
    async with opened(config(on={"ledger_error": action}), engine, queue=0) as door:
        assert (await door.look(note())).status == 200
        assert (await door.look(note(host.url("/good.png")))).status == status
        assert (await door.look(note(host.url("/bad.png")))).status == 404


async def test_observing_passes_first(config: Configure, engine: Engine, host: pictures.Host) -> None:
    async with opened(config(mode="observe"), engine) as door:
        answer = await door.look(note(host.url("/bad.png")))
        assert (answer.status, answer.body, answer.id, dict(host.hits)) == (200, None, "", {})
        assert answer.afterwards is not None
        await answer.afterwards()
        (entry,) = await door.entries()
        assert (entry.action, entry.mode, door.kept(entry)) == ("drop", "observe", None)


async def test_an_actor_that_hides_media_among_its_keys_is_refused_but_not_gone(
    config: Configure, engine: Engine, host: pictures.Host, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = person(*[host.put(f"/{at}.png", ORDINARY) for at in range(3)], endpoints={"icon": host.url("/0.png")})
    async with opened(config(limits={"media": 2}), engine) as door:
        answer = await door.look(hidden)
        (entry,) = await door.entries()
    assert (answer.status, answer.id) == (502, entry.id)
    assert "an actor's document from remote.example is refused" in caplog.text
