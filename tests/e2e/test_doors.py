"""Each way by which a picture comes to a server: a forbidden drawing never arrives, a permitted one byte for byte."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.e2e.peers import ACTOR
from tests.e2e.pictures import BY_LISTS, SHAPES, Json, file, note
from tests.e2e.stage import Stage, stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with stage(tmp_path_factory.mktemp("doors"), BY_LISTS) as opened:
        yield opened


@pytest.mark.parametrize("shape", ["attachment", "inline html", "emoji", "avatar", "video thumbnail"])
async def test_inbox(doors: Stage, shape: str) -> None:
    kind, make = SHAPES[shape]
    assert await doors.deliver(make(doors.host.picture("fine")), kind) == (200, True)
    assert await doors.deliver(make(doors.host.picture("forbidden")), kind) == (202, False)


async def test_inbox_announce_by_iri(doors: Stage) -> None:
    fine, bad = (doors.document(_post(doors.host.picture(what))) for what in ("fine", "forbidden"))
    assert await doors.deliver(fine, "Announce") == (200, True)
    assert await doors.deliver(bad, "Announce") == (202, False)


async def test_inbox_link_preview(doors: Stage) -> None:
    for what, expected in (("fine", (200, True)), ("forbidden", (202, False))):
        link = doors.page(doors.host.picture(what))
        page: Json = {"type": "Page", "name": "News", "attachment": [{"type": "Link", "href": link}]}
        assert await doors.deliver(page) == expected


async def test_fetched_media(doors: Stage) -> None:
    fine, bad = doors.host.picture("fine", 31), doors.host.picture("forbidden")
    got = await doors.proxied.get(fine)
    assert (got.status_code, got.content) == (200, doors.palette.png("fine", 31))
    got = await doors.proxied.get(bad)
    assert got.status_code == 200
    assert got.headers["content-type"] == "image/png"
    assert got.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert got.content != doors.palette.png("forbidden")
    assert (await doors.proxied.get(doors.host.picture("refused"))).status_code == 403


async def test_fetched_actor_and_post(doors: Stage) -> None:
    actor: Json = {"@context": "https://www.w3.org/ns/activitystreams", "type": "Person", "name": "A"}
    for what in ("fine", "forbidden"):
        icon: Json = {"type": "Image", "url": doors.host.picture(what)}
        shown = {**actor, "icon": icon}
        url = doors.document(shown)
        got = await doors.proxied.get(url, headers={"Accept": "application/activity+json"})
        assert got.status_code == 200
        assert got.json() == (shown if what == "fine" else {**actor, "id": url})
    for what, status in (("fine", 200), ("forbidden", 404)):
        url = doors.document(_post(doors.host.picture(what)))
        got = await doors.proxied.get(url, headers={"Accept": "application/activity+json"})
        assert got.status_code == status


@pytest.mark.parametrize("way", ["download", "proxy"])
async def test_pict_rs_fetches(doors: Stage, way: str) -> None:
    """pict-rs may store another encoding, so what it keeps is compared with what it keeps of the same upload."""
    for what in ("fine", "forbidden"):
        url = doors.host.picture(what, 77)
        kept = await _kept(doors, way, url)
        assert doors.host.asked[doors.host.path(url)] >= 1
        direct = await _uploaded(doors.client, f"http://127.0.0.1:{doors.pict_rs.port}", doors.palette.png("fine", 77))
        assert (kept == direct) == (what == "fine")
        if what == "forbidden":
            assert kept != doors.palette.png("forbidden")


async def test_validation(doors: Stage) -> None:
    """An upload that goes to pict-rs by itself, past every other door."""
    base = f"http://127.0.0.1:{doors.pict_rs.port}"
    await _uploaded(doors.client, base, doors.palette.png("fine", 5))
    refused = await _upload(doors.client, base, doors.palette.png("forbidden"))
    assert refused.status_code == 400
    assert refused.json()["code"] == "failed-external-validation"


async def test_uploads(doors: Stage) -> None:
    fine, bad = doors.palette.png("fine", 6), doors.palette.png("forbidden")
    for base, path in ((doors.at("pictrs", ""), "/image"), (doors.at("inbox", ""), "/pictrs/image")):
        before = len(doors.reached)
        assert (await _upload(doors.client, base, fine, path)).status_code in (200, 201)
        refused = await _upload(doors.client, base, bad, path)
        assert 400 <= refused.status_code < 500
        assert "decision" in refused.text
        if path == "/pictrs/image":
            assert [fine in request.body for request in doors.reached[before:]] == [True]


async def test_all_of_it_is_in_the_ledger(doors: Stage) -> None:
    """After the others: each door has written what it did."""
    await doors.deliver(note(doors.host.picture("forbidden")))
    await doors.proxied.get(doors.host.picture("forbidden"))
    found = await doors.running.entries()
    assert {entry["door"] for entry in found} == {"inbox", "fetch", "pictrs", "validate", "upload"}


async def test_a_host_that_shows_the_scanner_something_else(doors: Stage) -> None:
    """Harmless when the inbox door asks, forbidden when pict-rs does: what is stored was judged."""
    url = doors.host.serve(file(doors.palette.png("fine", 88)), file(doors.palette.png("forbidden")))
    assert await doors.deliver(note(url)) == (200, True)
    kept = await _kept(doors, "proxy", url)
    assert kept != doors.palette.png("forbidden")
    assert doors.host.asked[doors.host.path(url)] == 2


async def test_allow_undoes_a_wrong_decision_everywhere(doors: Stage) -> None:
    # Another file of the forbidden picture: only its own bytes are allowed, and other tests have use for the first.
    data = doors.palette.jpeg("forbidden")
    url = doors.host.serve(file(data, "image/jpeg"), suffix=".jpg")
    assert await doors.deliver(note(url)) == (202, False)
    placeholder = await _kept(doors, "proxy", url)
    entries = await doors.running.entries()
    dropped = next(entry for entry in entries if entry["door"] == "inbox" and url in str(entry))
    status, said = await doors.command("allow", str(dropped["id"]), "--yes")
    assert status == 0, said
    assert str(dropped["activity_id"]) in said
    assert await doors.deliver(note(url)) == (200, True)
    assert (await doors.proxied.get(url)).content == data
    assert await _kept(doors, "proxy", url) != placeholder


async def test_doctor_finds_all_well(doors: Stage) -> None:
    status, said = await doors.command("doctor")
    assert status == 0, said


def _post(image: str) -> dict[str, object]:
    document = {"type": "Document", "mediaType": "image/png", "url": image}
    return {
        "@context": "https://www.w3.org/ns/activitystreams",
        "type": "Note",
        "attributedTo": ACTOR,
        "content": "<p>Look.</p>",
        "attachment": [document],
    }


async def _kept(doors: Stage, way: str, url: str) -> bytes:
    """What pict-rs stores of ``url``, asked as Lemmy does."""
    if way == "proxy":
        got = await doors.client.get(doors.at("pictrs", "/image/original"), params={"proxy": url})
    else:
        answer = await doors.client.get(doors.at("pictrs", "/image/download"), params={"url": url})
        assert answer.status_code == 201, answer.text
        name = answer.json()["files"][0]["file"]
        got = await doors.client.get(doors.at("pictrs", f"/image/original/{name}"))
    assert got.status_code == 200, got.text
    return got.content


async def _upload(client: httpx.AsyncClient, base: str, data: bytes, path: str = "/image") -> httpx.Response:
    return await client.post(f"{base}{path}", files={"images[]": ("picture.png", data, "image/png")})


async def _uploaded(client: httpx.AsyncClient, base: str, data: bytes) -> bytes:
    answer = await _upload(client, base, data)
    assert answer.status_code == 201, answer.text
    return (await client.get(f"{base}/image/original/{answer.json()['files'][0]['file']}")).content
