"""Whose key a document gives, by every shape that real servers write, and by those that lie."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from addons.activitypub.parsing import MalformedActivityError
from addons.activitypub.signatures import SignatureError
from addons.fetching.urls import parse
from addons.senders.key_documents import (
    MAX_KEYS,
    is_activity_type,
    owner_names,
    read_document,
    read_key,
    same_origin,
)
from tests.addons.senders.hosts import pem

ACTOR = "https://remote.example/users/ada"
KEY_ID = f"{ACTOR}#main-key"
ORIGIN = parse(ACTOR)


def an_actor(key: RSAPrivateKey, **entry: object) -> dict[str, object]:
    written = {"id": KEY_ID, "owner": ACTOR, "publicKeyPem": pem(key)} | entry
    return {"id": ACTOR, "type": "Person", "publicKey": {k: v for k, v in written.items() if v is not None}}


def test_an_actor_with_its_key(rsa_key: RSAPrivateKey) -> None:
    found = read_key(an_actor(rsa_key), KEY_ID, ORIGIN)
    assert found.public == rsa_key.public_key()
    assert (found.owner, found.named) == (ACTOR, True)


def test_the_key_is_its_actors_where_it_says_nothing(rsa_key: RSAPrivateKey) -> None:
    assert read_key(an_actor(rsa_key, owner=None), KEY_ID, ORIGIN).owner == ACTOR
    assert read_key(an_actor(rsa_key, owner=None, controller=ACTOR), KEY_ID, ORIGIN).owner == ACTOR


def test_one_of_several_keys(rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey) -> None:
    one, two = an_actor(rsa_key)["publicKey"], an_actor(other_rsa_key, id=f"{ACTOR}#second")["publicKey"]
    document = {"id": ACTOR, "publicKey": [one, f"{ACTOR}#elsewhere", two, 3]}
    assert read_key(document, f"{ACTOR}#second", ORIGIN).public == other_rsa_key.public_key()
    with pytest.raises(SignatureError, match="does not have this key"):
        read_key(document, f"{ACTOR}#elsewhere", ORIGIN)
    with pytest.raises(SignatureError, match="does not have this key"):
        read_key(document, ACTOR, ORIGIN)  # which of them?


def test_keys_past_the_bound_are_not_looked_at(rsa_key: RSAPrivateKey) -> None:
    mine = an_actor(rsa_key)["publicKey"]
    before = [{"id": f"{ACTOR}#{n}"} for n in range(MAX_KEYS)]
    assert read_key({"id": ACTOR, "publicKey": [*before[1:], mine]}, KEY_ID, ORIGIN).named
    with pytest.raises(SignatureError, match="does not have this key"):
        read_key({"id": ACTOR, "publicKey": [*before, mine]}, KEY_ID, ORIGIN)


def test_peertube_signs_with_the_actors_url(rsa_key: RSAPrivateKey) -> None:
    assert read_key(an_actor(rsa_key), ACTOR, ORIGIN).public == rsa_key.public_key()


def test_gotosocial_serves_a_bare_actor_under_the_keys_url(rsa_key: RSAPrivateKey) -> None:
    key_id = f"{ACTOR}/main-key"
    found = read_key(an_actor(rsa_key, id=key_id), key_id, parse(key_id))
    assert (found.owner, found.named) == (ACTOR, True)


def test_a_key_by_itself_has_yet_to_be_named_by_its_owner(rsa_key: RSAPrivateKey) -> None:
    key_id = "https://remote.example/keys/1"
    document = {"id": key_id, "type": "CryptographicKey", "owner": ACTOR, "publicKeyPem": pem(rsa_key)}
    found = read_key(document, key_id, parse(key_id))
    assert (found.owner, found.named) == (ACTOR, False)
    assert owner_names({"id": ACTOR, "publicKey": key_id}, ACTOR, key_id)
    assert owner_names({"id": ACTOR, "publicKey": [{"id": key_id}]}, ACTOR, key_id)
    assert not owner_names({"id": ACTOR, "publicKey": KEY_ID}, ACTOR, key_id)
    assert not owner_names({"id": f"{ACTOR}2", "publicKey": key_id}, ACTOR, key_id)
    assert not owner_names({"id": ACTOR}, ACTOR, key_id)
    with pytest.raises(SignatureError, match="names no owner"):
        read_key({"id": key_id, "publicKeyPem": pem(rsa_key)}, key_id, parse(key_id))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": "https://evil.example/users/ada"}, "not on the host"),
        ({"id": "http://remote.example/users/ada"}, "not on the host"),
        ({"id": "https://remote.example:8443/users/ada"}, "not on the host"),
        ({"id": "https://remote.example@evil.example/users/ada"}, "not on the host"),
        ({"id": 5}, "not on the host"),
        ({"id": "https://remote.example/users/eve"}, "names another owner"),
        ({"publicKey": "https://remote.example/keys/1"}, "does not have this key"),
        ({"publicKey": None}, "does not have this key"),
    ],
)
def test_actors_that_are_not_whose_key_it_is(rsa_key: RSAPrivateKey, change: dict[str, object], reason: str) -> None:
    with pytest.raises(SignatureError, match=reason):
        read_key(an_actor(rsa_key) | change, KEY_ID, ORIGIN)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"owner": "https://evil.example/users/ada"}, "not on the host"),
        ({"owner": f"{ACTOR}2"}, "names another owner"),
        ({"owner": ["https://remote.example/users/ada"]}, "names no owner"),
        ({"id": f"{ACTOR}#other"}, "does not have this key"),
        ({"publicKeyPem": None}, "no publicKeyPem"),
        ({"publicKeyPem": ["x"]}, "no publicKeyPem"),
        ({"publicKeyPem": "-----BEGIN PUBLIC KEY-----"}, "cannot be read"),
    ],
)
def test_keys_that_prove_nothing(rsa_key: RSAPrivateKey, entry: dict[str, object], reason: str) -> None:
    with pytest.raises(SignatureError, match=reason):
        read_key(an_actor(rsa_key, **entry), KEY_ID, ORIGIN)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(SignatureError, match="1024 bits"):
        read_key(an_actor(generate_private_key(65537, 1024)), KEY_ID, ORIGIN)


def test_a_key_that_stands_twice_is_none(rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey) -> None:
    one, two = (json.dumps(an_actor(key)["publicKey"]) for key in (rsa_key, other_rsa_key))
    document = read_document(f'{{"id": "{ACTOR}", "publicKey": {one}, "publicKey": {two}}}'.encode())
    with pytest.raises(SignatureError, match="does not have this key"):
        read_key(document, KEY_ID, ORIGIN)


def test_documents_that_are_none() -> None:
    for data, error in (
        (b"<html>", MalformedActivityError),
        (b"[{}]", SignatureError),
        (b'{"a":' * 40 + b"1" + b"}" * 40, SignatureError),
        (b"\xff", MalformedActivityError),
    ):
        with pytest.raises(error):
            read_document(data)


def test_what_is_activitypub() -> None:
    assert is_activity_type("application/activity+json")
    assert is_activity_type("Application/Activity+JSON; charset=utf-8")
    assert is_activity_type('application/ld+json; profile="https://www.w3.org/ns/activitystreams"')
    for other in ("", "application/json", "application/ld+json", "text/html", "image/png", "text/activity+json"):
        assert not is_activity_type(other)


def test_origins() -> None:
    assert same_origin("HTTPS://Remote.Example:443/x#y", ORIGIN)
    for other in (
        "http://remote.example/",
        "https://remote.example:444/",
        "https://example/",
        "acct:ada@remote.example",
    ):
        assert not same_origin(other, ORIGIN)
