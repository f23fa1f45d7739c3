import asyncio

import pytest

from addons.doors.look_back import LookBack
from tests import net

OLD, NEW, NEWER = (f"https://remote.example/{name}.png?a=b&c=é +%" for name in ("old", "new", "newer"))


def head(status: int) -> bytes:
    return b"HTTP/1.1 %d Said\r\nContent-Length: 7\r\n\r\n" % status


async def asked(
    answer: bytes | net.Answer, *urls: str, remembered: int = 10, seconds: float = 10
) -> tuple[list[bool], list[bytes]]:
    """What is found of ``urls``, one after the other, and the request lines that it took."""
    async with net.upstream(answer) as pict_rs:
        look_back = LookBack(f"http://127.0.0.1:{pict_rs.port}", remembered=remembered, seconds=seconds)
        try:
            return [await look_back.finds(url) for url in urls], [request.line for request in pict_rs.requests]
        finally:
            await look_back.close()


async def test_it_asks_by_head_for_exactly_this_url() -> None:
    encoded = b"https%3A%2F%2Fremote.example%2Fold.png%3Fa%3Db%26c%3D%C3%A9%20%2B%25"
    assert await asked(head(200), OLD) == ([True], [b"HEAD /image/original?proxy=" + encoded + b" HTTP/1.1"])


@pytest.mark.parametrize(
    ("status", "found", "requests"),
    [
        (200, True, 2),
        (303, True, 2),
        (404, False, 1),
        (400, False, 1),
        (500, False, 2),
        (401, False, 2),
        (302, False, 2),
    ],
)
async def test_what_is_absent_is_remembered_and_nothing_else(status: int, found: bool, requests: int) -> None:
    finds, lines = await asked(head(status), OLD, OLD)
    assert (finds, len(lines)) == ([found, found], requests)


async def test_how_many_are_remembered() -> None:
    _, lines = await asked(head(404), OLD, NEW, NEW, OLD, NEW, remembered=2)
    assert len(lines) == 2
    _, lines = await asked(head(404), OLD, NEW, NEWER, NEWER, OLD, remembered=2)
    assert len(lines) == 4


async def test_a_pict_rs_that_says_nothing_has_nothing() -> None:
    async def silent(request: net.Received, reader: object, writer: object) -> None:
        pass

    finds, lines = await asked(silent, OLD, OLD, seconds=0.05)
    assert (finds, len(lines)) == ([False, False], 2)


async def test_a_pict_rs_that_is_not_there_has_nothing() -> None:
    look_back = LookBack("http://127.0.0.1:1")
    assert not await look_back.finds(OLD)
    assert not look_back.absent(OLD)
    await look_back.close()


async def test_it_is_told_once_until_pict_rs_answers_again(caplog: pytest.LogCaptureFixture) -> None:
    statuses = iter((500, 503, 404, 401))

    async def answer(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(next(statuses)))

    finds, _ = await asked(answer, OLD, OLD, NEW, OLD)
    assert finds == [False] * 4
    told = [record.getMessage() for record in caplog.records if record.name == "addons.doors.look_back"]
    assert [message.partition("(")[2].partition(")")[0] for message in told] == ["status 500", "status 401"]
    assert "https://remote.example/old.png" in told[0]
    assert "doors.pictrs.look_back: false" in told[0]
