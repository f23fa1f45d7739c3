"""Our signer against Fedify's verifier and the reverse, by both specifications, with real keys."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from addons.activitypub.signatures import SignatureError, Verified, sign_cavage, sign_rfc9421, verify
from tests.e2e.fedify import CAVAGE, RFC9421, Fedify, Spec

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
URL = "https://example.org/inbox"
BODY = b'{"type": "Create", "object": {"type": "Note", "content": "caf\xc3\xa9"}}'
KEY_ID = "https://remote.example/actor#main-key"
HEADERS = [("User-Agent", "Lemmy/1; +https://remote.example"), ("Content-Type", "application/activity+json")]

# What real servers sign (reference §2).
CAVAGE_SETS = {
    "misskey, gotosocial": ("(request-target)", "host", "date", "digest"),
    "lemmy, piefed": ("(request-target)", "content-type", "date", "digest", "host"),
    "akkoma": ("(request-target)", "content-length", "date", "digest", "host"),
    "all": ("(request-target)", "host", "date", "digest", "content-type", "content-length", "user-agent"),
}
RFC9421_SETS = {
    "mastodon": ("@method", "@target-uri", "content-digest"),
    "fedify": ("@method", "@target-uri", "@authority", "host", "date", "content-digest"),
    # Not @query: Fedify 2.3.6 leaves out its question mark, which RFC 9421 §2.2.7 wants.
    "all": ("@method", "@target-uri", "@path", "content-type", "content-length", "content-digest", "date"),
}

type Header = tuple[str, str]


def sign(spec: Spec, covered: tuple[str, ...], key: RSAPrivateKey) -> list[Header]:
    if spec == CAVAGE:
        return sign_cavage("POST", URL, HEADERS, BODY, KEY_ID, key, covered=covered, now=NOW)
    return sign_rfc9421("POST", URL, HEADERS, BODY, KEY_ID, key, covered=covered, now=NOW)


ALL_SETS = [(CAVAGE, covered) for covered in CAVAGE_SETS.values()] + [
    (RFC9421, covered) for covered in RFC9421_SETS.values()
]


@pytest.mark.parametrize(("spec", "covered"), ALL_SETS)
async def test_fedify_verifies_ours(
    fedify: Fedify, rsa_key: RSAPrivateKey, spec: Spec, covered: tuple[str, ...]
) -> None:
    headers = sign(spec, covered, rsa_key)
    keys = {KEY_ID: rsa_key.public_key()}
    verdict = await fedify.verify("POST", URL, headers, BODY, keys=keys, now=NOW, spec=spec)
    assert (verdict.key_id, verdict.owner) == (KEY_ID, "https://remote.example/actor"), verdict
    late = await fedify.verify("POST", URL, headers, BODY, keys=keys, now=NOW + timedelta(hours=2), spec=spec)
    assert (late.key_id, late.reason) == (None, "invalidSignature")


@pytest.mark.parametrize("change", ["body", "path", "method", "header", "key"])
@pytest.mark.parametrize("spec", [CAVAGE, RFC9421])
async def test_fedify_refuses_what_was_changed(
    fedify: Fedify, rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey, spec: Spec, change: str
) -> None:
    covered = (CAVAGE_SETS if spec == CAVAGE else RFC9421_SETS)["all"]
    headers = sign(spec, covered, rsa_key)
    keys = {KEY_ID: rsa_key.public_key()}
    assert (await fedify.verify("POST", URL, headers, BODY, keys=keys, now=NOW, spec=spec)).key_id == KEY_ID
    if change == "header":
        headers = [(name, "text/html" if name == "Content-Type" else value) for name, value in headers]
    verdict = await fedify.verify(
        "PUT" if change == "method" else "POST",
        URL + "x" if change == "path" else URL,
        headers,
        BODY + b" " if change == "body" else BODY,
        keys={KEY_ID: (other_rsa_key if change == "key" else rsa_key).public_key()},
        now=NOW,
        spec=spec,
    )
    assert verdict.key_id is None
    assert verdict.reason == "invalidSignature"


@pytest.mark.parametrize("spec", [CAVAGE, RFC9421])
async def test_we_verify_fedify(
    fedify: Fedify, rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey, spec: Spec
) -> None:
    headers = await fedify.sign("POST", URL, HEADERS, BODY, key_id=KEY_ID, private_key=rsa_key, now=NOW, spec=spec)
    minute = timedelta(minutes=1)

    def check(
        method: str = "POST",
        target: str = "/inbox",
        sent: list[Header] = headers,
        body: bytes = BODY,
        key: RSAPrivateKey = rsa_key,
    ) -> Verified:
        return verify(method, target, sent, body, {KEY_ID: key.public_key()}.__getitem__, NOW, minute)

    verified = check()
    assert verified.key_id == KEY_ID
    assert verified.scheme == ("cavage" if spec == CAVAGE else "rfc9421")
    assert {"host", "date", "digest" if spec == CAVAGE else "content-digest"} <= set(verified.covered)
    tampered: tuple[Callable[[], Verified], ...] = (
        lambda: check(method="PUT"),
        lambda: check(target="/inbox2"),
        lambda: check(body=BODY + b" "),
        lambda: check(key=other_rsa_key),
        lambda: check(sent=[(name, "other.example" if name == "host" else value) for name, value in headers]),
    )
    for wrong in tampered:
        with pytest.raises(SignatureError):
            wrong()


async def test_a_mistake_in_a_call_is_said(fedify: Fedify, rsa_key: RSAPrivateKey) -> None:
    with pytest.raises(RuntimeError, match="could not sign"):
        await fedify.sign("POST", "no url", HEADERS, BODY, key_id=KEY_ID, private_key=rsa_key, now=NOW)
