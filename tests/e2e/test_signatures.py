"""Real signatures through the running door: two verifiers at the upstream, one of them not ours, find them valid."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.e2e.fedify import CAVAGE, Fedify
from tests.e2e.peers import (
    ACTOR,
    FRAMINGS,
    HOST,
    SENDERS,
    VALID,
    Framing,
    Headers,
    Sender,
    Verifiers,
    described,
    encoded,
    pairs,
    wire,
)
from tests.e2e.process import Door, door
from tests.net import OK, Received, client, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Nothing is fetched: no port but 1 is open to the door, so media take the way through judging without a network.
CONFIG = """\
fetch: {ports: [1]}
classifier: {clip: null, nudity: null, decode: {processes: 1}, hashes: [{name: ours, file: ours.csv}]}
rules: [{name: known, when: {hash.ours: 1}, do: drop}]
on: {fetch_refused: record, undecodable: record, unsupported: record, too_many: record, too_large: record}
"""
DOCUMENTS = Path(__file__).parents[3] / "shared" / "activities"
SOFTWARE = [
    *("discourse", "friendica", "gnusocial", "lemmy", "lotide", "mastodon", "mbin", "mitra", "mobilizon"),
    *("nodebb", "peertube", "pleroma", "smithereen", "wordpress"),
]
NOTE = {
    "@context": "https://www.w3.org/ns/activitystreams",
    "id": f"{ACTOR}/activities/1",
    "type": "Create",
    "actor": ACTOR,
    "object": {
        "type": "Note",
        "content": "caf\xe9 \U0001f408 line\u2028end",
        "attachment": [{"type": "Document", "mediaType": "image/png", "url": "https://remote.example/cat.png"}],
    },
}
# Spaces, escapes and raw UTF-8 that no serialiser of ours would write so.
BODY = json.dumps(NOTE, indent=1, ensure_ascii=False).replace("cat.png", "c\\u0061t.png").encode() + b"\r\n"


@dataclass(frozen=True, slots=True)
class World:
    """A door, what reached the server behind it, and those who check it."""

    running: Door
    reached: list[Received]
    verifiers: Verifiers

    async def send(self, request: bytes) -> Received:
        """Send a request through the door; what the server behind it got."""
        before = len(self.reached)
        async with client(self.running.port) as sender:
            await sender.send(request)
            status, _, body = await sender.response(timeout=20)
        assert (status, body) == (200, b"ok")
        assert len(self.reached) == before + 1
        return self.reached[-1]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(
    tmp_path_factory: pytest.TempPathFactory, fedify: Fedify, rsa_key: RSAPrivateKey
) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("signatures")
    (folder / "ours.csv").write_text("")
    async with upstream(OK) as behind, door(folder, CONFIG, behind.port) as running:
        yield World(running, behind.requests, Verifiers(fedify, rsa_key))


def plain(headers: Headers) -> Headers:
    return headers


def lower_case(headers: Headers) -> Headers:
    return [(name.lower(), value) for name, value in headers]


def odd(headers: Headers) -> Headers:
    """From the last to the first, in a case that nobody would write."""
    return [
        ("".join(c.upper() if at % 2 else c.lower() for at, c in enumerate(name)), value)
        for name, value in reversed(headers)
    ]


STYLES = {
    "plain": (plain, "/inbox", " "),
    "lower": (lower_case, "/users/caf%c3%a9/inbox", ""),
    "odd": (odd, "/inbox/", " \t "),
}
COMBINATIONS = [
    (sender, framing)
    for sender in SENDERS
    for framing in FRAMINGS
    if not (sender.signs_length and framing.endswith("chunked"))
]


@pytest.mark.parametrize(
    ("sender", "framing"), COMBINATIONS, ids=[f"{sender.name}, {framing}" for sender, framing in COMBINATIONS]
)
async def test_signatures_stay_valid(world: World, rsa_key: RSAPrivateKey, sender: Sender, framing: Framing) -> None:
    sent = encoded(framing, BODY)
    for style, path, space in STYLES.values():
        signed = await sender.sign(world.verifiers.fedify, rsa_key, path, described(framing, sent), sent)
        headers = style(signed)
        got = await world.send(wire(path, headers, sent, framing, space))
        assert await world.verifiers.refusals(got) == VALID
        assert got.line == f"POST {path} HTTP/1.1".encode()
        assert got.body == sent
        framed = [pair for pair in got.headers if pair[0] != b"transfer-encoding"]
        assert framed == pairs(headers)
        assert got.header(b"host") == HOST.encode()

    # The same head with another body of the same length goes through, and neither verifier believes it.
    forged = encoded(framing, BODY.replace(b"line", b"lime"))
    if framing != "gzip":  # whose length the change alters
        refused = await world.verifiers.refusals(await world.send(wire(path, headers, forged, framing)))
        assert all(refused), refused


@pytest.mark.parametrize("name", ["content-type", "date", "host", "user-agent", "accept", "path", "signature"])
@pytest.mark.parametrize(
    "sender", [sender for sender in SENDERS if sender.name.startswith("all")], ids=lambda s: s.name
)
async def test_whatever_is_signed_counts(world: World, rsa_key: RSAPrivateKey, sender: Sender, name: str) -> None:
    """The control: had the door changed any of it, the tests above would have failed."""
    signed = await sender.sign(world.verifiers.fedify, rsa_key, "/inbox", described("length", BODY), BODY)
    if name == "content-type" and name not in sender.covered:
        assert await world.verifiers.refusals(await world.send(wire("/inbox", signed, BODY))) == VALID
        return
    path = "/users/inbox" if name == "path" else "/inbox"
    changed = [(key, _changed(key.lower(), value) if key.lower() == name else value) for key, value in signed]
    refused = await world.verifiers.refusals(await world.send(wire(path, changed, BODY)))
    assert all(refused), refused


def _changed(name: str, value: str) -> str:
    if name == "date":
        return value[:-6] + ("01 GMT" if value[-6:] == "00 GMT" else "00 GMT")
    if name == "host":
        return "example.net"
    if name == "signature":  # one character in the middle of the base64, so that it is still base64
        at = value.rindex("=", 0, -4) if value.rstrip(':"').endswith("=") else value.rindex("=")
        at = (at + len(value)) // 2
        return value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]
    return value + "x"


QUERY = "/inbox?b=%2f&a=1&&c"


@pytest.mark.parametrize("sender", SENDERS, ids=lambda sender: sender.name)
async def test_the_query_is_signed_too(world: World, rsa_key: RSAPrivateKey, sender: Sender) -> None:
    if (sender.name, sender.spec) == ("fedify", CAVAGE):
        sender = SENDERS[0]  # Fedify 2.3.6 leaves the query out of draft-cavage's (request-target)
    signed = await sender.sign(world.verifiers.fedify, rsa_key, QUERY, described("length", BODY), BODY)
    got = await world.send(wire(QUERY, signed, BODY))
    assert got.line == f"POST {QUERY} HTTP/1.1".encode()
    theirs, ours = await world.verifiers.refusals(got)
    assert ours is None
    assert sender.spec == CAVAGE or theirs is None
    _, ours = await world.verifiers.refusals(await world.send(wire(f"{QUERY}&d", signed, BODY)))
    assert ours


async def test_a_header_given_twice_keeps_its_order(world: World, rsa_key: RSAPrivateKey) -> None:
    sender = Sender("twice", SENDERS[0].spec, (*SENDERS[0].covered, "x-note"))
    given = [("X-Note", "one"), *described("length", BODY), ("x-note", "two, three")]
    signed = await sender.sign(world.verifiers.fedify, rsa_key, "/inbox", given, BODY)
    got = await world.send(wire("/inbox", signed, BODY))
    assert got.headers == pairs(signed)
    assert await world.verifiers.refusals(got) == VALID
    swapped = [(name, {"one": "two, three", "two, three": "one"}.get(value, value)) for name, value in signed]
    assert all(await world.verifiers.refusals(await world.send(wire("/inbox", swapped, BODY))))


@pytest.mark.parametrize("software", SOFTWARE)
async def test_real_documents_pass_unchanged(world: World, rsa_key: RSAPrivateKey, software: str) -> None:
    """What real servers send, signed anew, each document by another sender: byte for byte, and valid."""
    if not DOCUMENTS.is_dir():
        pytest.skip(f"{DOCUMENTS} is absent: the real documents are not part of the repository")
    documents = sorted((DOCUMENTS / software).rglob("*.json"))
    assert documents
    for number, document in enumerate(documents):
        body = document.read_bytes()
        sender = SENDERS[number % len(SENDERS)]
        signed = await sender.sign(world.verifiers.fedify, rsa_key, "/inbox", described("length", body), body)
        got = await world.send(wire("/inbox", signed, body))
        assert (got.headers, got.body) == (pairs(signed), body), document
        assert world.verifiers.our_refusal(got) is None, (document, sender)
        if number % 3 == 0:  # a third of them is enough of Fedify's time
            assert await world.verifiers.refusals(got) == VALID, (document, sender)


async def test_their_media_took_the_way_through_judging(world: World, rsa_key: RSAPrivateKey) -> None:
    """The control of this file's configuration: the door was not a mere pipe."""
    got = await world.send(wire("/inbox", [*described("length", BODY), ("Host", HOST)], BODY))
    assert world.verifiers.our_refusal(got) == "the request has no signature"
    entries: list[dict[str, object]] = []
    async with asyncio.timeout(20):
        while not entries:
            entries = await world.running.entries("--activity-id", str(NOTE["id"]))
    assert {(entry["action"], entry["cause"]) for entry in entries} == {("record", "fetch_refused")}
