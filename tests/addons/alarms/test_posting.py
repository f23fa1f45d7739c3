import asyncio
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from addons.alarms.kinds import AlarmKind
from addons.alarms.posting import SIGNATURE, Ntfy, Posts, Webhook
from addons.alarms.sending import NotSentError
from tests import net
from tests.addons.alarms.receiving import alarm, hook, serving
from tests.addons.fetching.servers import authority

REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"


def status(code: int) -> bytes:
    return b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % code


async def test_a_webhook_gets_json() -> None:
    async with hook(net.OK) as (port, got):
        webhook = Webhook(Posts(f"http://127.0.0.1:{port}/hook/SECRET?key=SECRET"))
        await webhook.send(alarm(message="schön\n☂", suppressed=3))
        await webhook.close()
    assert got[0].line == b"POST /hook/SECRET?key=SECRET HTTP/1.1"
    assert got[0].header(b"Content-Type") == b"application/json"
    assert (got[0].header(b"User-Agent") or b"").startswith(b"fediward/")
    assert got[0].header(SIGNATURE.encode()) is None
    told = json.loads(got[0].body)
    assert told.pop("version")
    assert told == {
        "kind": "no_worker",
        "title": "fediward on box: judging does not work as it should",
        "message": "schön\n☂",
        "over": False,
        "suppressed": 3,
        "host": "box",
        "time": "2026-03-01T12:30:00+00:00",
    }
    assert webhook.name == f"webhook at 127.0.0.1:{port}"


async def test_a_webhook_with_a_secret_can_check_who_speaks() -> None:
    async with hook(net.OK) as (port, got):
        webhook = Webhook(Posts(f"http://127.0.0.1:{port}/"), "the secret")
        await webhook.send(alarm())
        await webhook.close()
    expected = hmac.new(b"the secret", got[0].body, hashlib.sha256).hexdigest()
    assert got[0].header(SIGNATURE.encode()) == f"sha256={expected}".encode()
    assert b"the secret" not in got[0].head + got[0].body


async def test_ntfy_gets_text_and_headers() -> None:
    async with hook(net.OK) as (port, got):
        ntfy = Ntfy(Posts(f"http://127.0.0.1:{port}/topic"), "tk_abc")
        await ntfy.send(alarm(message="schön\nTitle: evil"))
        await ntfy.send(alarm(over=True))
        await ntfy.send(alarm(AlarmKind.TEST))
        await ntfy.close()
    assert got[0].body == "schön\nTitle: evil".encode()
    assert got[0].header(b"Title") == b"fediward on box: judging does not work as it should"
    assert got[0].header(b"Authorization") == b"Bearer tk_abc"
    assert [(one.header(b"Priority"), one.header(b"Tags")) for one in got] == [
        (b"high", b"warning,fediward,no_worker"),
        (b"default", b"white_check_mark,fediward,no_worker"),
        (b"default", b"white_check_mark,fediward,test"),
    ]


async def test_without_a_token_none_is_sent() -> None:
    async with hook(net.OK) as (port, got):
        ntfy = Ntfy(Posts(f"http://127.0.0.1:{port}/topic"))
        await ntfy.send(alarm())
        await ntfy.close()
    assert got[0].header(b"Authorization") is None


@pytest.mark.parametrize(
    ("code", "again"), [(408, True), (425, True), (429, True), (500, True), (503, True), (400, False), (404, False)]
)
async def test_which_answers_are_worth_another_try(code: int, again: bool) -> None:
    async with hook(status(code)) as (port, _):
        posts = Posts(f"http://127.0.0.1:{port}/SECRET")
        with pytest.raises(NotSentError) as caught:
            await posts.post(b"", {})
        await posts.close()
    assert (str(caught.value), caught.value.again) == (f"it answered {code}", again)


@pytest.mark.parametrize("code", [200, 201, 202, 204])
async def test_which_answers_are_taken_for_a_yes(code: int) -> None:
    async with hook(status(code)) as (port, _):
        posts = Posts(f"http://127.0.0.1:{port}/")
        await posts.post(b"", {})
        await posts.close()


async def test_no_redirect_is_followed() -> None:
    async with hook(REDIRECT) as (port, got):
        posts = Posts(f"http://127.0.0.1:{port}/")
        with pytest.raises(NotSentError, match="it answered 302; redirects are not followed") as caught:
            await posts.post(b"", {})
        await posts.close()
    assert (len(got), caught.value.again) == (1, False)


async def test_an_endless_answer_is_not_read() -> None:
    endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + bytes(100_000)
    async with hook(endless) as (port, _):
        posts = Posts(f"http://127.0.0.1:{port}/")
        await posts.post(b"", {})
        await posts.close()


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\nA: "])
async def test_who_does_not_answer_is_not_waited_for(says: bytes) -> None:
    async with hook(says) as (port, _):
        posts = Posts(f"http://127.0.0.1:{port}/SECRET", seconds=0.05)
        with pytest.raises(NotSentError, match=r"no answer within 0.1 s|it did not answer in time") as caught:
            await posts.post(b"", {})
        await posts.close()
    assert caught.value.again


async def test_an_answer_that_dribbles_ends_in_time() -> None:
    async def dribble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(dribble) as port:
        posts = Posts(f"http://127.0.0.1:{port}/", seconds=0.1)
        with pytest.raises(NotSentError):
            await posts.post(b"", {})
        await posts.close()


async def test_nobody_there_names_no_path() -> None:
    async with hook(net.OK) as (port, _):
        pass
    posts = Posts(f"http://127.0.0.1:{port}/SECRET?SECRET")
    with pytest.raises(NotSentError, match="no connection") as caught:
        await posts.post(b"", {})
    await posts.close()
    assert "SECRET" not in str(caught.value)
    assert caught.value.again


async def test_what_is_no_http() -> None:
    async with hook(b"hello\r\n\r\n") as (port, _):
        posts = Posts(f"http://127.0.0.1:{port}/")
        with pytest.raises(NotSentError, match="RemoteProtocolError"):
            await posts.post(b"", {})
        await posts.close()


async def test_tls_is_checked(tmp_path: Path) -> None:
    trusted = authority()
    async with hook(net.OK, tls=trusted.server(tmp_path, "127.0.0.1")) as (port, got):
        posts = Posts(f"https://127.0.0.1:{port}/", trusted=trusted.trusted())
        await posts.post(b"it", {})
        await posts.close()
        other = Posts(f"https://127.0.0.1:{port}/")
        with pytest.raises(NotSentError, match=r"no connection: .*CERTIFICATE_VERIFY_FAILED"):
            await other.post(b"it", {})
        await other.close()
    assert [one.body for one in got] == [b"it"]


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with hook(net.OK) as (port, got):
        posts = Posts(f"http://127.0.0.1:{port}/")
        await posts.post(b"", {})
        await posts.close()
    assert len(got) == 1
