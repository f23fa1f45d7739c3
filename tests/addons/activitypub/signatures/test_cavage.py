"""draft-cavage: what is signed, what a signature must cover, when it holds, and what is refused."""

import base64
import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from addons.activitypub.signatures import PrivateKey, SignatureError, Verified, sign_cavage, verify
from addons.activitypub.signatures.request import MAX_COMPONENTS

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
URL = "https://example.org/inbox?x=1"
KEY_ID = "https://remote.example/actor#main-key"
BODY = b'{"type":"Create"}'
HEADERS = [("Content-Type", "application/activity+json")]
FULL = ("(request-target)", "host", "date", "digest")

type Header = tuple[str, str]


def check(
    headers: list[Header],
    key: PrivateKey,
    *,
    method: str = "POST",
    target: str = URL,
    body: bytes = BODY,
    now: datetime = NOW,
) -> Verified:
    return verify(method, target, headers, body, {KEY_ID: key.public_key()}.__getitem__, now, MINUTE)


def edited(headers: list[Header], name: str, pattern: str, replacement: str) -> list[Header]:
    """The headers with one changed, which must have matched."""
    value = dict(headers)[name]
    changed = re.sub(pattern, replacement, value)
    assert changed != value
    return [(other, changed if other == name else kept) for other, kept in headers]


def test_the_text_that_is_signed(rsa_key: RSAPrivateKey) -> None:
    headers = dict(sign_cavage("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW))
    digest = "SHA-256=" + base64.b64encode(_sha256(BODY)).decode()
    assert list(headers) == ["Content-Type", "Host", "Date", "Digest", "Signature"]
    assert headers["Digest"] == digest
    before, _, signature = headers["Signature"].rpartition(",signature=")
    assert before == f'keyId="{KEY_ID}",algorithm="rsa-sha256",headers="(request-target) host date digest"'
    text = (
        f"(request-target): post /inbox?x=1\nhost: example.org\ndate: Sun, 22 Nov 2026 12:00:00 GMT\ndigest: {digest}"
    )
    rsa_key.public_key().verify(
        base64.b64decode(signature.strip('"')), text.encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def _sha256(body: bytes) -> bytes:
    hashed = hashes.Hash(hashes.SHA256())
    hashed.update(body)
    return hashed.finalize()


@pytest.mark.parametrize(
    "covered",
    [
        FULL,
        ("(request-target)", "content-type", "date", "digest", "host"),
        ("(request-target)", "content-length", "date", "digest", "host"),
        ("(request-target)", "(created)", "host", "digest"),
        ("(REQUEST-TARGET)", "Host", "Date", "Digest"),
    ],
)
@pytest.mark.parametrize("algorithm", [None, "hs2019"])
def test_ours_holds(rsa_key: RSAPrivateKey, covered: tuple[str, ...], algorithm: str | None) -> None:
    headers = sign_cavage(
        "POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW, covered=covered, algorithm=algorithm, expires=MINUTE
    )
    verified = check(headers, rsa_key)
    assert verified == Verified(KEY_ID, "cavage", tuple(name.lower() for name in covered))


def test_ed25519_holds() -> None:
    key = Ed25519PrivateKey.generate()
    headers = sign_cavage("POST", URL, HEADERS, BODY, KEY_ID, key, now=NOW)
    assert 'algorithm="hs2019"' in dict(headers)["Signature"]
    assert check(headers, key).key_id == KEY_ID


def test_a_get_needs_no_digest(rsa_key: RSAPrivateKey) -> None:
    headers = sign_cavage("GET", URL, [], b"", KEY_ID, rsa_key, now=NOW, covered=("(request-target)", "host", "date"))
    assert check(headers, rsa_key, method="GET", body=b"").key_id == KEY_ID


@pytest.mark.parametrize("change", ["method", "path", "query", "body", "host", "date", "key"])
def test_a_change_is_refused(rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey, change: str) -> None:
    headers = sign_cavage("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW)
    assert check(headers, rsa_key)
    target = URL
    match change:
        case "path":
            target = "https://example.org/other?x=1"
        case "query":
            target = "https://example.org/inbox?x=2"
        case "host":
            headers = edited(headers, "Host", "example", "other")
        case "date":
            headers = edited(headers, "Date", "12:00:00", "12:00:01")
    with pytest.raises(SignatureError):
        check(
            headers,
            other_rsa_key if change == "key" else rsa_key,
            method="PUT" if change == "method" else "POST",
            target=target,
            body=BODY + b" " if change == "body" else BODY,
        )


@pytest.mark.parametrize(
    ("covered", "missing"),
    [
        (("host", "date", "digest"), r"\(request-target\)"),
        (("(request-target)", "date", "digest"), "host"),
        (("(request-target)", "host", "digest"), "date"),
        (("(request-target)", "host", "date"), "digest"),
    ],
)
def test_what_must_be_covered(rsa_key: RSAPrivateKey, covered: tuple[str, ...], missing: str) -> None:
    headers = sign_cavage("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW, covered=covered)
    with pytest.raises(SignatureError, match=f"does not cover {missing}$"):
        check(headers, rsa_key)


@pytest.mark.parametrize("covered", [FULL, ("(request-target)", "(created)", "host", "digest")])
def test_the_time_at_the_bound_and_past_it(rsa_key: RSAPrivateKey, covered: tuple[str, ...]) -> None:
    headers = sign_cavage("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW, covered=covered)
    for at in (NOW - MINUTE, NOW + MINUTE):
        check(headers, rsa_key, now=at)
    for past in (NOW - MINUTE * 1.001, NOW + MINUTE * 1.001):
        with pytest.raises(SignatureError, match=r"the (Date|signature's created) is"):
            check(headers, rsa_key, now=past)


def test_expires(rsa_key: RSAPrivateKey) -> None:
    headers = sign_cavage("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW, expires=MINUTE / 2)
    check(headers, rsa_key, now=NOW + MINUTE / 2)
    with pytest.raises(SignatureError, match="expired at 2026-11-22T12:00:30"):
        check(headers, rsa_key, now=NOW + MINUTE * 0.501)


@pytest.mark.parametrize(
    ("pattern", "replacement", "reason"),
    [
        (".*", "", "has no keyId"),
        ("keyId", "keyid", "has no keyId"),
        ('keyId="[^"]*"', 'keyId=""', "has no keyId"),
        ("^", 'keyId="b",', "names keyId twice"),
        ('"rsa-sha256"', '"rsa-sha1"', "algorithm is not one we know: 'rsa-sha1'"),
        ('"rsa-sha256"', '"ed25519"', "the key is not one for the algorithm"),
        ('signature=".', 'signature="!', "not base64"),
        ('signature="[^"]*"', 'signature="AAAA"', "not one of this request"),
        (',signature="[^"]*"', "", "has no signature"),
        ('"$', "", "cannot be read from here on: 'signature="),
        (" digest", " digest digest", "covers a header twice"),
        (" digest", " digest x-none", "covers the header x-none, which the request does not have"),
        (" digest", " digest (expires)", "has no expires"),
        ("^", 'expires="soon",', "expires is no number"),
        ("^", 'expires="nan",', "expires is no time"),
        (r"headers=\"[^\"]*\",", "", "does not cover"),
    ],
)
def test_what_cannot_be_read_is_refused(rsa_key: RSAPrivateKey, pattern: str, replacement: str, reason: str) -> None:
    headers = sign_cavage("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW)
    with pytest.raises(SignatureError, match=reason):
        check(edited(headers, "Signature", pattern, replacement), rsa_key)


def test_an_absent_algorithm_is_the_keys(rsa_key: RSAPrivateKey) -> None:
    headers = sign_cavage("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW)
    assert check(edited(headers, "Signature", 'algorithm="rsa-sha256",', ""), rsa_key)


def test_spaces_between_the_parameters_are_read(rsa_key: RSAPrivateKey) -> None:
    headers = sign_cavage("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW)
    assert check(edited(headers, "Signature", '",', '" , '), rsa_key)


def test_the_count_of_covered_headers_is_bounded(rsa_key: RSAPrivateKey) -> None:
    more = [(f"X-{i}", str(i)) for i in range(MAX_COMPONENTS - len(FULL) + 1)]
    names = [name for name, _ in more]
    for count, holds in ((MAX_COMPONENTS, True), (MAX_COMPONENTS + 1, False)):
        covered = (*FULL, *names[: count - len(FULL)])
        headers = sign_cavage("POST", URL, [*HEADERS, *more], BODY, KEY_ID, rsa_key, now=NOW, covered=covered)
        if holds:
            assert len(check(headers, rsa_key).covered) == MAX_COMPONENTS
        else:
            with pytest.raises(SignatureError, match="covers more than 64 headers"):
                check(headers, rsa_key)


def test_bytes_that_are_no_utf8_are_signed_as_they_are(rsa_key: RSAPrivateKey) -> None:
    odd = [("X", b"\xe9\xff".decode("utf-8", "surrogateescape"))]
    headers = sign_cavage("POST", URL, odd, BODY, KEY_ID, rsa_key, now=NOW, covered=(*FULL, "x"))
    assert check(headers, rsa_key)


def test_mistakes_of_ours(rsa_key: RSAPrivateKey) -> None:
    with pytest.raises(ValueError, match="covers the header accept, which"):
        sign_cavage("POST", URL, [], BODY, KEY_ID, rsa_key, now=NOW, covered=("accept",))
    for key_id in ('a"b', "é", "a\nb"):
        with pytest.raises(ValueError, match="cannot be written"):
            sign_cavage("POST", URL, [], BODY, key_id, rsa_key, now=NOW)
