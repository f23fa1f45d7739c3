"""Who signed a request: real signatures by both schemes, keys from a real host, and all that goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from addons.activitypub.signatures import PrivateKey, sign_cavage, sign_rfc9421
from addons.ledger.held import Signer
from addons.senders.keys import RENEW_EVERY, Keys
from addons.senders.verifying import READ_INLINE, SKEW, Verifier
from tests.addons.senders.hosts import Clock, Host, a_host, the_keys
from tests.e2e.fedify import CAVAGE
from tests.e2e.peers import SENDERS, Sender
from tests.net import until

PATH = "/users/ada"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
URL = "https://example.org/inbox?x=1"
TARGET = "/inbox?x=1"
BODY = b'{"type": "Create"}'
ENOUGH = 60.0
GIVEN = [("Content-Type", "application/activity+json"), ("User-Agent", "x"), ("Accept", "*/*")]
COVERED = ("(request-target)", "host", "date", "digest")

type Headers = list[tuple[str, str]]


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with a_host(tmp_path) as host:
        yield host


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(host: Host, clock: Clock) -> AsyncIterator[Keys]:
    async with the_keys(host, clock) as keys:
        yield keys


@pytest.fixture
def verifier(keys: Keys) -> Verifier:
    return Verifier(keys, now=lambda: NOW)


def signed(key_id: str, key: PrivateKey, body: bytes = BODY, at: datetime = NOW) -> Headers:
    return sign_cavage("POST", URL, GIVEN, body, key_id, key, now=at)


async def asked(verifier: Verifier, headers: Headers, body: bytes = BODY, timeout: float = ENOUGH) -> Signer:
    return await verifier.verify("POST", TARGET, headers, body, timeout=timeout, share="peer:192.0.2.1")


@pytest.mark.parametrize("sender", [one for one in SENDERS if one.covered], ids=lambda one: one.name)
async def test_what_real_servers_sign(sender: Sender, host: Host, verifier: Verifier, rsa_key: RSAPrivateKey) -> None:
    key_id = host.actor(PATH, rsa_key)
    sign = sign_cavage if sender.spec == CAVAGE else sign_rfc9421
    headers = sign("POST", URL, GIVEN, BODY, key_id, rsa_key, now=NOW, covered=sender.covered)
    for _ in range(2):
        assert await asked(verifier, headers) == Signer("verified", "remote.example", key_id, NOW)
    assert host.asked == {PATH: 1}


async def test_keys_of_every_form(host: Host, verifier: Verifier, rsa_key: RSAPrivateKey) -> None:
    edwards = Ed25519PrivateKey.generate()
    forms: list[tuple[PrivateKey, str]] = [
        (edwards, host.actor("/users/eve", edwards)),
        (rsa_key, host.actor("/c/cats", rsa_key, type="Group")),
        (rsa_key, host.actor("/accounts/tube", rsa_key).removesuffix("#main-key")),
    ]
    for key, key_id in forms:
        for sign in (sign_cavage, sign_rfc9421):
            headers = sign("POST", URL, GIVEN, BODY, key_id, key, now=NOW)
            signer = await asked(verifier, headers)
            assert (signer.state, signer.host, signer.key_id) == ("verified", "remote.example", key_id)


async def test_an_absolute_target_and_a_body_that_is_compressed(
    host: Host, verifier: Verifier, rsa_key: RSAPrivateKey
) -> None:
    key_id, body = host.actor(PATH, rsa_key), b"\x1f\x8b not undone"
    headers = sign_rfc9421("POST", URL, GIVEN, body, key_id, rsa_key, now=NOW)
    signer = await verifier.verify("POST", URL, headers, body, timeout=ENOUGH, share="")
    assert signer.state == "verified"


@pytest.mark.parametrize("size", [READ_INLINE, READ_INLINE + 1])
async def test_bodies_of_any_size(size: int, host: Host, verifier: Verifier, rsa_key: RSAPrivateKey) -> None:
    key_id, body = host.actor(PATH, rsa_key), b"x" * size
    headers = signed(key_id, rsa_key, body)
    assert (await asked(verifier, headers, body)).state == "verified"
    assert "not that of the body" in (await asked(verifier, headers, body[1:] + b"y")).reason


async def test_what_needs_no_key_to_be_wrong(host: Host, verifier: Verifier, rsa_key: RSAPrivateKey) -> None:
    key_id = host.actor(PATH, rsa_key)
    headers = signed(key_id, rsa_key)
    cut = [one for one in headers if one[0] != "Signature"]
    for request, body, reason in (
        (headers, BODY + b" ", "not that of the body"),
        (cut, BODY, "no signature"),
        ([*cut, ("Signature", "!")], BODY, "cannot be read"),
        (signed(key_id, rsa_key, at=NOW - SKEW - timedelta(seconds=1)), BODY, "too long ago"),
        (signed(key_id, rsa_key, at=NOW + SKEW + timedelta(seconds=1)), BODY, "in the future"),
        (
            sign_cavage("POST", URL, GIVEN, BODY, key_id, rsa_key, now=NOW, covered=COVERED[:-1]),
            BODY,
            "not cover digest",
        ),
    ):
        signer = await asked(verifier, request, body)
        assert (signer.state, signer.host) == ("unverified", None)
        assert reason in signer.reason
    assert not host.asked


async def test_a_wide_skew_and_the_time_that_was_signed(host: Host, verifier: Verifier, rsa_key: RSAPrivateKey) -> None:
    key_id = host.actor(PATH, rsa_key)
    for at in (NOW - SKEW, NOW - timedelta(hours=2), NOW + SKEW):
        signer = await asked(verifier, signed(key_id, rsa_key, at=at))
        assert (signer.state, signer.signed_at) == ("verified", at)
    unsigned = await asked(verifier, [("Date", "Sun, 22 Nov 2026 11:00:00 GMT")])
    assert unsigned.signed_at == NOW - timedelta(hours=1)


async def test_another_path_or_host_than_was_signed(host: Host, verifier: Verifier, rsa_key: RSAPrivateKey) -> None:
    headers = signed(host.actor(PATH, rsa_key), rsa_key)
    signer = await verifier.verify("POST", "/users/ada/inbox", headers, BODY, timeout=ENOUGH, share="")
    assert signer == Signer("unverified", None, host.url(f"{PATH}#main-key"), NOW, signer.reason)
    assert signer.reason == "the signature is not one of this request by this key"


async def test_somebody_elses_key(
    host: Host, verifier: Verifier, clock: Clock, rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey
) -> None:
    key_id = host.actor(PATH, rsa_key)
    assert (await asked(verifier, signed(key_id, rsa_key))).state == "verified"
    forged = signed(key_id, other_rsa_key)
    clock.at += RENEW_EVERY
    for _ in range(100):
        assert (await asked(verifier, forged)).state == "unverified"
    assert host.asked == {PATH: 2}  # looked at anew once, however many come
    assert (await asked(verifier, signed(key_id, rsa_key))).state == "verified"


async def test_a_new_key_is_found_by_the_first_signature_with_it(
    host: Host, verifier: Verifier, clock: Clock, rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey
) -> None:
    key_id = host.actor(PATH, rsa_key)
    await asked(verifier, signed(key_id, rsa_key))
    host.actor(PATH, other_rsa_key)
    clock.at += RENEW_EVERY
    several = await asyncio.gather(*(asked(verifier, signed(key_id, other_rsa_key)) for _ in range(20)))
    assert {signer.state for signer in several} == {"verified"}
    assert (await asked(verifier, signed(key_id, rsa_key))).state == "unverified"
    assert host.asked == {PATH: 2}


async def test_authorised_fetch_is_no_fault_of_the_senders(
    host: Host, verifier: Verifier, rsa_key: RSAPrivateKey
) -> None:
    key_id = host.actor(PATH, rsa_key)
    host.refuses(PATH, "401 Unauthorized")
    for _ in range(3):
        signer = await asked(verifier, signed(key_id, rsa_key))
        assert (signer.state, signer.host, signer.key_id) == ("unverifiable", "remote.example", key_id)
        assert "signed requests only" in signer.reason
        assert signer.signed_at == NOW
    assert host.asked == {PATH: 1}
    # What is wrong without any key needs none to be told so.
    assert (await asked(verifier, signed(key_id, rsa_key), BODY + b" ")).state == "unverified"


async def test_the_delete_of_an_actor_whose_key_is_gone(host: Host, verifier: Verifier, rsa_key: RSAPrivateKey) -> None:
    host.refuses(PATH, "410 Gone")
    signer = await asked(verifier, signed(host.url(f"{PATH}#main-key"), rsa_key))
    assert (signer.state, signer.host) == ("unverified", None)
    assert "its key is gone" in signer.reason
    assert "410" in signer.reason


async def test_who_waits_too_long_is_told_and_the_next_one_has_the_key(
    host: Host, verifier: Verifier, keys: Keys, rsa_key: RSAPrivateKey
) -> None:
    key_id = host.actor(PATH, rsa_key)
    host.opened.clear()
    signer = await asked(verifier, signed(key_id, rsa_key), timeout=0.05)
    assert signer == Signer("unverified", None, key_id, NOW, "its key was not had within 0.05 s")
    host.opened.set()
    await until(lambda: keys.known(key_id) is not None)
    assert (await asked(verifier, signed(key_id, rsa_key), timeout=0)).state == "verified"


async def test_several_signatures(
    host: Host, verifier: Verifier, rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey
) -> None:
    good, hidden = host.actor(PATH, rsa_key), host.url("/users/hidden#main-key")
    host.refuses("/users/hidden", "403 Forbidden")
    one = sign_rfc9421("POST", URL, GIVEN, BODY, hidden, other_rsa_key, now=NOW, label="one")
    two = sign_rfc9421("POST", URL, one[:-2], BODY, good, rsa_key, now=NOW, label="two")
    both = [*one, *two[-2:]]
    assert await asked(verifier, both) == Signer("verified", "remote.example", good, NOW)
    host.actor(PATH, other_rsa_key)
    worse = [*one, *sign_rfc9421("POST", URL, one[:-2], BODY, good, other_rsa_key, now=NOW, label="two")[-2:]]
    signer = await asked(verifier, worse)
    assert (signer.state, signer.key_id) == ("unverifiable", hidden)
    assert host.asked == {PATH: 1, "/users/hidden": 1}


async def test_a_fault_of_ours_is_told_in_the_log(rsa_key: RSAPrivateKey, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Keys):
        def known(self, key_id: str) -> None:
            raise ZeroDivisionError(key_id)

    verifier = Verifier(Broken(None), now=lambda: NOW)  # type: ignore[arg-type]  # it comes to no fetch
    signer = await asked(verifier, signed("https://remote.example/k", rsa_key))
    assert (signer.state, signer.signed_at) == ("unverified", NOW)
    assert "a fault of fediward's" in caplog.text
