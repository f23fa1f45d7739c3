"""A real pict-rs behind the pict-rs door, which fetches from the origin and from nowhere else."""

import io
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image

from addons.judging.stable import LONGEST, StableUrls
from tests.drawing import encode, textured
from tests.e2e.pictrs_place import API_KEY, FORBIDDEN, ORDINARY, Place, pixels, place

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def there(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One for all tests: each has its own URLs."""
    async with place(tmp_path_factory.mktemp("place")) as opened:
        yield opened


async def test_a_proxied_image_is_judged_fetched_once_and_forgotten_when_told(there: Place) -> None:
    url = there.host.put("/a.png?b=c&d=%20", ORDINARY)
    for _ in range(2):
        answer = await there.get("/image/original", proxy=url)
        assert (answer.status_code, pixels(answer.content)) == (200, pixels(ORDINARY))
    assert there.host.hits["/a.png?b=c&d=%20"] == 1
    assert b"\r\nUser-Agent: Lemmy/" in there.host.heads["/a.png?b=c&d=%20"]
    details = await there.get("/image/details/original", proxy=url)
    assert (details.json()["width"], details.json()["content_type"]) == (256, "image/png")
    small = await there.get("/image/process.png", proxy=url, resize="32")
    assert Image.open(io.BytesIO(small.content)).size == (32, 24)
    assert (await there.get("/image/details/process.png", proxy=url, resize="32")).json()["width"] == 32
    assert (await there.get("/image/blurhash", proxy=url)).status_code == 200
    assert there.host.hits["/a.png?b=c&d=%20"] == 1
    assert [(entry.door, entry.action) for entry in await there.entries(url)] == [("pictrs", "pass")]
    for path in ("/internal/purge", "/internal/delete"):
        assert (await there.post(path, proxy=url)).json()["msg"] == "ok"
        await there.gone(url)
        assert (await there.get("/image/original", proxy=url)).status_code == 200
    assert there.host.hits["/a.png?b=c&d=%20"] == 3


async def test_a_forbidden_image_is_replaced_and_no_two_have_one_hash(there: Place) -> None:
    stored = []
    for path in ("/1.png", "/2.png"):
        answer = await there.get("/image/original", proxy=there.host.put(path, FORBIDDEN))
        assert answer.status_code == 200
        stored.append(pixels(answer.content))
    downloaded = await there.get("/image/download", url=there.host.put("/3.png", FORBIDDEN), resize="512")
    stored.append(pixels(await there.stored(downloaded)))
    assert pixels(FORBIDDEN) not in stored
    assert len(set(stored)) == 3
    first, second = (there.host.url(path) for path in ("/1.png", "/2.png"))
    aliases = await there.client.get("/internal/aliases", params={"proxy": first}, headers={"X-Api-Token": API_KEY})
    assert len(aliases.json()["aliases"]) == 1
    await there.post("/internal/purge", proxy=first)
    await there.gone(first)
    assert (await there.get("/image/details/original", proxy=second)).status_code == 200
    assert [entry.action for entry in await there.entries(first)] == ["drop"]


async def test_downloads(there: Place) -> None:
    picture = encode(textured(3))
    url = there.host.put("/b.png", picture)
    done = await there.get("/image/download", url=url)
    assert (done.status_code, done.json()["msg"]) == (201, "ok")
    assert pixels(await there.stored(done)) == pixels(picture)
    file = done.json()["files"][0]
    assert (await there.get(f"/image/delete/{file['delete_token']}/{file['file']}")).status_code == 204
    assert (await there.get(f"/image/original/{file['file']}")).status_code == 404

    begun = await there.get("/image/download", url=there.host.put("/4.png", FORBIDDEN), backgrounded="true")
    assert begun.status_code == 202
    [upload] = begun.json()["uploads"]
    claimed = await there.again("/image/backgrounded/claim", upload_id=upload["upload_id"])
    assert pixels(await there.stored(claimed)) != pixels(FORBIDDEN)


async def test_an_image_that_is_not_there_is_an_error_of_pict_rs_own(there: Place) -> None:
    url = there.host.url("/never.png")
    answer = await there.get("/image/download", url=url)
    assert (answer.status_code, answer.json()["code"]) == (500, "download-file-error")
    there.host.put("/never.png", ORDINARY)
    assert (await there.again("/image/original", proxy=url)).status_code == 200


async def test_what_was_there_before_is_still_served(there: Place) -> None:
    url = there.host.put("/old.png", FORBIDDEN)
    assert (await there.client.get(f"{there.pict_rs.url}/image/original?proxy={url}")).status_code == 200
    answer = await there.get("/image/original", proxy=url)
    assert (answer.status_code, pixels(answer.content)) == (200, pixels(FORBIDDEN))
    await there.post("/internal/purge", proxy=url)
    await there.gone(url)
    answer = await there.again("/image/original", proxy=url)
    assert pixels(answer.content) != pixels(FORBIDDEN)
    assert [entry.action for entry in await there.entries(url)] == ["drop"]


async def test_nobody_else_uses_the_origin(there: Place) -> None:
    url = there.host.put("/c.png", ORDINARY)
    ours = there.urls.of(url)
    assert (await there.client.get(ours)).content == ORDINARY
    for forged in (ours[:-1], ours + "A", StableUrls(b"", there.urls.origin_url).of(url), f"{ours}?a"):
        assert (await there.client.get(forged)).status_code == 404
    # Naming it to pict-rs is naming the image itself.
    assert (await there.get("/image/original", proxy=ours)).status_code == 200
    assert (await there.get("/image/details/original", proxy=url)).status_code == 200


async def test_uploads_pass_untouched_where_only_the_fediverse_is_scanned(there: Place) -> None:
    assert pixels(await there.stored(await there.upload(FORBIDDEN))) == pixels(FORBIDDEN)
    assert await there.entries("") == []


async def test_the_longest_url(there: Place) -> None:
    url = there.host.put("/" + "x" * (LONGEST - len(there.host.url("/"))), ORDINARY)
    assert len(url) == LONGEST
    answer = await there.get("/image/original", proxy=url)
    assert pixels(answer.content) == pixels(ORDINARY)
    too_long = await there.get("/image/original", proxy=url + "x")
    assert (too_long.status_code, too_long.json()["code"]) == (400, "invalid-url")
