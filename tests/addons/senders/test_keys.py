"""Keys over real TLS from a real host: fetched once, remembered, looked at again, and every way not to have one."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from addons.fetching.settings import FetchSettings
from addons.senders.keys import KEEP, MAX_DOCUMENT, RENEW_EVERY, TROUBLES, Key, Keys, Trouble, key_settings
from tests.addons.fetching.servers import answer
from tests.addons.senders.hosts import Clock, Host, a_host, client, pem, the_keys
from tests.net import until

PATH = "/users/ada"


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with a_host(tmp_path) as host:
        yield host


async def trouble(host: Host, key_id: str, **settings: Any) -> Trouble:
    async with the_keys(host, **settings) as keys:
        found = await keys.get(key_id)
    assert isinstance(found, Trouble)
    return found


async def test_a_key_is_fetched_once(host: Host, rsa_key: RSAPrivateKey) -> None:
    key_id = host.actor(PATH, rsa_key)
    clock = Clock()
    async with the_keys(host, clock) as keys:
        assert keys.known(key_id) is None
        found = await keys.get(key_id)
        assert found == Key(key_id, "remote.example", rsa_key.public_key())
        clock.at += KEEP - 1
        assert keys.known(key_id) == await keys.get(key_id) == found
        assert host.asked == {PATH: 1}
        clock.at += 1
        assert keys.known(key_id) is None
        await keys.get(key_id)
        assert host.asked == {PATH: 2}
    assert b"accept: application/activity+json" in host.served.heads[0].lower()
    assert b"signature:" not in host.served.heads[0].lower()


async def test_a_key_and_its_owner_apart(host: Host, rsa_key: RSAPrivateKey) -> None:
    key_id, owner = host.url("/keys/1"), host.url(PATH)
    host.gives("/keys/1", {"id": key_id, "owner": owner, "publicKeyPem": pem(rsa_key)})
    host.gives(PATH, {"id": owner, "publicKey": key_id})
    async with the_keys(host) as keys:
        assert isinstance(await keys.get(key_id), Key)
    host.gives(PATH, {"id": owner, "publicKey": host.url("/keys/2")})
    assert "does not name the key" in (await trouble(host, key_id)).reason
    host.refuses(PATH, "403 Forbidden")
    assert (await trouble(host, key_id)).state == "unverifiable"


async def test_a_host_in_another_spelling_is_the_same_host(host: Host, rsa_key: RSAPrivateKey) -> None:
    url = host.url(PATH, "BÜCHER.example")
    entry = {"id": f"{url}#main-key", "owner": url, "publicKeyPem": pem(rsa_key)}
    host.gives(PATH, {"id": url, "publicKey": entry})
    async with the_keys(host) as keys:
        found = await keys.get(f"{url}#main-key")
    assert isinstance(found, Key)
    assert found.host == "xn--bcher-kva.example"


async def test_all_who_wait_share_one_fetch(host: Host, rsa_key: RSAPrivateKey) -> None:
    key_id = host.actor(PATH, rsa_key)
    host.opened.clear()
    async with the_keys(host) as keys:
        asking = [asyncio.ensure_future(keys.get(key_id, f"peer:{n % 3}")) for n in range(50)]
        await until(lambda: host.asked[PATH] == 1)
        asking[0].cancel()
        host.opened.set()
        found = await asyncio.gather(*asking[1:])
    assert all(isinstance(one, Key) for one in found)
    assert host.asked == {PATH: 1}


async def test_a_fetch_goes_on_when_nobody_waits_any_more(host: Host, rsa_key: RSAPrivateKey) -> None:
    key_id = host.actor(PATH, rsa_key)
    host.opened.clear()
    async with the_keys(host) as keys:
        asking = asyncio.ensure_future(keys.get(key_id))
        await until(lambda: host.asked[PATH] == 1)
        asking.cancel()
        host.opened.set()
        await until(lambda: keys.known(key_id) is not None)
    assert host.asked == {PATH: 1}


async def test_one_shares_full_line_holds_up_nobody_else(host: Host, rsa_key: RSAPrivateKey) -> None:
    wanted = host.actor("/users/wanted", rsa_key)
    host.opened.clear()
    async with the_keys(host, per_host=100, total=4, queue=32) as keys:
        first = asyncio.ensure_future(keys.get(host.url("/users/slow"), "peer:flood"))
        await until(lambda: host.asked["/users/slow"] == 1)
        theirs = asyncio.ensure_future(keys.get(wanted, "peer:flood"))  # in line behind it
        await asyncio.sleep(0)
        mine = asyncio.ensure_future(keys.get(wanted, "peer:other"))
        await until(lambda: host.asked["/users/wanted"] == 1)
        host.opened.set()
        assert isinstance(await mine, Key)
        assert isinstance(await theirs, Key)
        await first


async def test_few_fetches_at_a_time_from_one_host(host: Host) -> None:
    settings = key_settings(FetchSettings(user_agent="x", per_host=50, total=64))
    assert settings.user_agent == "x"
    bounds = {name: getattr(settings, name) for name in ("per_host", "total", "queue")}
    host.opened.clear()
    async with the_keys(host, **bounds) as keys:
        asking = [asyncio.ensure_future(keys.get(host.url(f"/users/{n}"))) for n in range(60)]
        await until(lambda: host.served.connections == settings.per_host)
        refused = await asyncio.gather(*asking[settings.per_host + settings.queue :])
        assert all(isinstance(one, Trouble) and "wait already" in one.reason for one in refused)
        assert keys.known(host.url("/users/59")) is None  # the next one may have its turn
        host.opened.set()
        await asyncio.gather(*asking)
    assert sum(host.asked.values()) == settings.per_host + settings.queue


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_a_key_for_signed_requests_only(host: Host, status: str) -> None:
    host.refuses(PATH, status)
    found = await trouble(host, host.url(f"{PATH}#main-key"))
    assert (found.state, found.host) == ("unverifiable", "remote.example")
    assert "signed requests only" in found.reason
    assert status[:3] in found.reason


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
async def test_a_key_that_is_gone(host: Host, status: str) -> None:
    host.refuses(PATH, status)
    found = await trouble(host, host.url(f"{PATH}#main-key"))
    assert found.state == "unverified"
    assert found.reason.startswith("its key is gone: ")
    assert found.seconds >= 60


async def test_what_passes_is_soon_tried_again(host: Host, rsa_key: RSAPrivateKey) -> None:
    key_id = host.actor(PATH, rsa_key)
    host.refuses(PATH, "502 Bad Gateway")
    clock = Clock()
    async with the_keys(host, clock) as keys:
        found = await keys.get(key_id)
        assert isinstance(found, Trouble)
        assert found.state == "unverified"
        host.actor(PATH, rsa_key)
        clock.at += found.seconds - 0.5
        assert await keys.get(key_id) is found
        clock.at += 0.5
        assert isinstance(await keys.get(key_id), Key)
        assert keys.known(key_id) == await keys.get(key_id)
    assert host.asked == {PATH: 2}
    assert found.seconds <= 10


async def test_a_host_that_never_answers(host: Host, rsa_key: RSAPrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    key_id = host.actor(PATH, rsa_key)
    monkeypatch.setattr("addons.senders.keys.SECONDS", 0.05)
    host.opened.clear()
    found = await trouble(host, key_id)
    host.opened.set()
    assert (found.state, "not fetched within 0.05 s" in found.reason) == ("unverified", True)
    assert found.seconds <= 10


async def test_documents_that_are_not_the_hosts_word(host: Host, rsa_key: RSAPrivateKey) -> None:
    key_id = host.actor(PATH, rsa_key)
    document = host.answers[PATH].partition(b"\r\n\r\n")[2]
    host.gives(PATH, document, content_type="application/json")
    assert "no ActivityPub" in (await trouble(host, key_id)).reason
    host.gives(PATH, b"<html>")
    assert "not JSON" in (await trouble(host, key_id)).reason
    host.gives(PATH, document + b" " * (MAX_DOCUMENT - len(document)))
    async with the_keys(host) as keys:
        assert isinstance(await keys.get(key_id), Key)
    host.gives(PATH, document + b" " * (MAX_DOCUMENT + 1 - len(document)))
    assert f"more than {MAX_DOCUMENT} bytes" in (await trouble(host, key_id)).reason


async def test_a_redirect_may_not_leave_the_host(host: Host, rsa_key: RSAPrivateKey) -> None:
    key_id = host.actor(PATH, rsa_key)
    host.answers["/old"] = answer(b"", "302 Found", {"Location": PATH})
    old = host.actor("/new", rsa_key, key_id=host.url("/old#main-key"))
    host.answers["/old"] = answer(b"", "301 Moved Permanently", {"Location": "/new"})
    async with the_keys(host) as keys:
        assert isinstance(await keys.get(old), Key)
    # The other host serves a document that says it is of the first: an open redirect must not make it so.
    host.answers["/away"] = answer(b"", "302 Found", {"Location": host.url(PATH, "other.example")})
    host.actor(PATH, rsa_key, key_id=host.url("/away#main-key"))
    assert "leads to another host" in (await trouble(host, host.url("/away#main-key"))).reason
    assert key_id != old


async def test_key_ids_that_nobody_asks_for(host: Host) -> None:
    for key_id in ("acct:ada@remote.example", "", "https://", f"{host.url('/x')}\n", "data:text/plain,x", "x" * 9000):
        found = await trouble(host, key_id)
        assert "no URL that is fetched" in found.reason
    assert "no https URL" in (await trouble(host, "http://remote.example/users/ada")).reason
    assert not host.asked


async def test_an_overlong_key_id_is_not_remembered(host: Host) -> None:
    async with the_keys(host) as keys:
        await keys.get("x" * 9000)
        assert keys.known("x" * 9000) is None


async def test_private_addresses_are_not_asked(host: Host) -> None:
    found = await trouble(host, host.url(PATH), allow=())
    assert "fetch.allow can open it" in found.reason
    assert not host.asked


async def test_without_tls_only_in_the_admins_own_networks(tmp_path: Path, rsa_key: RSAPrivateKey) -> None:
    async with a_host(tmp_path, tls=False) as host:
        key_id = host.actor(PATH, rsa_key)
        for network, believed in (("127.0.0.0/8", True), ("10.0.0.0/8", False)):
            keys = Keys(client(host), plain=(ipaddress.ip_network(network),), clock=Clock())
            found = await keys.get(key_id)
            assert isinstance(found, Key) == believed
            if isinstance(found, Trouble):
                assert "no https URL" in found.reason


async def test_a_certificate_for_another_name(host: Host, rsa_key: RSAPrivateKey) -> None:
    host.actor(PATH, rsa_key)
    found = await trouble(host, f"https://127.0.0.1:{host.served.port}{PATH}#main-key")
    assert (found.state, found.seconds <= 10) == ("unverified", True)
    assert not host.asked


async def test_a_new_key_is_looked_for_once_in_a_while(
    host: Host, rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey
) -> None:
    key_id = host.actor(PATH, rsa_key)
    clock = Clock()
    async with the_keys(host, clock) as keys:
        old = await keys.get(key_id)
        assert isinstance(old, Key)
        clock.at += RENEW_EVERY - 1
        assert await keys.renewed(old) is None  # just looked
        assert host.asked == {PATH: 1}
        clock.at += 1
        assert await keys.renewed(old) is None  # it is the same
        assert [await keys.renewed(old) for _ in range(20)] == [None] * 20
        assert host.asked == {PATH: 2}
        clock.at += RENEW_EVERY
        host.refuses(PATH, "410 Gone")
        assert [await keys.renewed(old) for _ in range(20)] == [None] * 20
        assert host.asked == {PATH: 3}
        assert isinstance(keys.known(key_id), Key)  # what signed before its end still holds
        clock.at += RENEW_EVERY
        host.actor(PATH, other_rsa_key)
        renewed = await asyncio.gather(*(keys.renewed(old) for _ in range(5)))
        new = Key(key_id, "remote.example", other_rsa_key.public_key())
        assert renewed == [new] * 5
        assert keys.known(key_id) == new
        assert await keys.renewed(old) == new  # who comes late, with the old one in his hands
        assert await keys.renewed(new) is None
    assert host.asked == {PATH: 4}


async def test_made_up_key_ids_push_out_no_key(host: Host, rsa_key: RSAPrivateKey) -> None:
    key_id = host.actor(PATH, rsa_key)
    async with the_keys(host) as keys:
        await keys.get(key_id)
        for n in range(TROUBLES + 10):
            await keys.get(f"acct:{n}")
        assert isinstance(keys.known(key_id), Key)
        assert keys.known("acct:0") is None
        assert keys.known(f"acct:{TROUBLES}") is not None


async def test_who_waits_when_all_ends_is_told(host: Host) -> None:
    host.opened.clear()
    async with the_keys(host) as keys:
        asking = asyncio.ensure_future(keys.get(host.url(PATH)))
        await until(lambda: host.asked[PATH] == 1)
        await keys.close()
        assert await asking == Trouble("fediward is stopping")
    host.opened.set()


async def test_a_fault_of_ours_is_told_in_the_log(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def get_beginning(self, *_args: object, **_more: object) -> None:
            raise ZeroDivisionError("oh")

    keys = Keys(Broken())  # type: ignore[arg-type]  # it breaks its word
    found = await keys.get(host.url(PATH))
    assert isinstance(found, Trouble)
    assert "fediward's log" in found.reason
    assert "a fault of fediward's" in caplog.text
