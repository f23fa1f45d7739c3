"""RFC 9421: the examples of its appendix B.2, what a signature must cover, when it holds, and what is refused."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from addons.activitypub.signatures import PrivateKey, PublicKey, SignatureError, Verified, rfc9421, sign_rfc9421, verify
from addons.activitypub.signatures.keys import Algorithm, verify_bytes
from addons.activitypub.signatures.request import read_request
from addons.activitypub.signatures.rfc9421 import MAX_LABELS, read_key_ids, signature_base
from addons.activitypub.signatures.structured import InnerList, Item, read_dictionary

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
URL = "https://example.org/inbox?x=1"
KEY_ID = "https://remote.example/actor#main-key"
BODY = b'{"type":"Create"}'
HEADERS = [("Content-Type", "application/activity+json")]

type Header = tuple[str, str]

# Appendix B.2: the request "test-request", and what its examples add.
DIGEST = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"
TEST_REQUEST = [
    ("Host", "example.com"),
    ("Date", "Tue, 20 Apr 2021 02:07:55 GMT"),
    ("Content-Type", "application/json"),
    ("Content-Digest", DIGEST),
    ("Content-Length", "18"),
]
TEST_BODY = b'{"hello": "world"}'
EXAMPLES = {
    "B.2.1": (
        '();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"',
        "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG"
        "52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVro"
        "gUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ"
        "98Xw9Q==",
    ),
    "B.2.2": (
        '("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss"'
        ';tag="header-example"',
        "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT"
        "8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBS"
        "pqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTu"
        "gEjHSw==",
    ),
    "B.2.3": (
        '("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length")'
        ';created=1618884473;keyid="test-key-rsa-pss"',
        "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fU"
        "xN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA"
        "1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKE"
        "gM4cUA==",
    ),
    "B.2.6": (
        '("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473'
        ';keyid="test-key-ed25519"',
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
    ),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_the_rfc(rfc_keys: dict[str, PublicKey], example: str) -> None:
    written, signature = EXAMPLES[example]
    request = read_request("POST", "/foo?param=Value&Pet=dog", TEST_REQUEST, TEST_BODY, "https")
    members = read_dictionary("signature-input", f"sig={written}")["sig"]
    assert isinstance(members, InnerList)
    value = read_dictionary("signature", f"sig=:{signature}:")["sig"]
    assert isinstance(value, Item)
    assert isinstance(value.value, bytes)
    key = rfc_keys[str(members.parameters["keyid"])]
    algorithms: tuple[Algorithm, ...] = ("rsa-v1_5-sha256", "rsa-pss-sha512", "ed25519")
    message = signature_base(request, members)
    verify_bytes(key, algorithms, value.value, message)
    with pytest.raises(SignatureError):
        verify_bytes(key, algorithms, value.value, message + b" ")


def test_the_example_that_covers_all_that_we_ask_holds_as_a_whole(rfc_keys: dict[str, PublicKey]) -> None:
    written, signature = EXAMPLES["B.2.3"]
    headers = [*TEST_REQUEST, ("Signature-Input", f"sig-b23={written}"), ("Signature", f"sig-b23=:{signature}:")]
    created = datetime.fromtimestamp(1618884473, UTC)
    target = "/foo?param=Value&Pet=dog"
    verified = verify("POST", target, headers, TEST_BODY, rfc_keys.__getitem__, created, MINUTE)
    assert verified.key_id == "test-key-rsa-pss"
    with pytest.raises(SignatureError, match="sha-512 is not that of the body"):
        verify("POST", target, headers, TEST_BODY + b" ", rfc_keys.__getitem__, created, MINUTE)


def check(
    headers: list[Header],
    key: PrivateKey,
    *,
    method: str = "POST",
    target: str = "/inbox?x=1",
    body: bytes = BODY,
    now: datetime = NOW,
    scheme: str = "https",
) -> Verified:
    keys = {KEY_ID: key.public_key()}
    return verify(method, target, headers, body, keys.__getitem__, now, MINUTE, scheme=scheme)


def edited(headers: list[Header], name: str, pattern: str, replacement: str) -> list[Header]:
    """The headers with one changed, which must have matched."""
    value = dict(headers)[name]
    changed = re.sub(pattern, replacement, value)
    assert changed != value
    return [(other, changed if other == name else kept) for other, kept in headers]


GOOD_SETS = [
    ("@method", "@target-uri", "content-digest"),
    ("@method", "@authority", "@request-target", "content-digest"),
    ("@method", "@authority", "@path", "@query", "content-digest", "content-type", "content-length", "date", "host"),
    ("@method", "@scheme", "@target-uri", "content-digest"),
]


@pytest.mark.parametrize("covered", GOOD_SETS)
@pytest.mark.parametrize("algorithm", [None, "rsa-v1_5-sha256", "rsa-pss-sha512", "ed25519"])
def test_ours_holds(rsa_key: RSAPrivateKey, covered: tuple[str, ...], algorithm: Algorithm | None) -> None:
    key = Ed25519PrivateKey.generate() if algorithm == "ed25519" else rsa_key
    headers = sign_rfc9421(
        "POST", URL, HEADERS, BODY, KEY_ID, key, now=NOW, covered=covered, algorithm=algorithm, expires=MINUTE
    )
    assert check(headers, key) == Verified(KEY_ID, "rfc9421", covered)


def test_how_it_is_written(rsa_key: RSAPrivateKey) -> None:
    headers = dict(sign_rfc9421("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW))
    assert list(headers) == ["Content-Type", "Host", "Content-Digest", "Signature-Input", "Signature"]
    assert headers["Signature-Input"] == (
        f'sig1=("@method" "@target-uri" "content-digest");created={int(NOW.timestamp())};keyid="{KEY_ID}"'
    )


@pytest.mark.parametrize(
    ("url", "target", "scheme"),
    [
        ("https://Example.org:443/inbox", "/inbox", "https"),
        ("http://example.org:80/inbox", "/inbox", "http"),
        ("https://example.org:8443/inbox", "/inbox", "https"),
        ("https://example.org", "/", "https"),
        ("https://example.org/inbox?", "/inbox?", "https"),
    ],
)
def test_a_target_uri_is_put_together_again(rsa_key: RSAPrivateKey, url: str, target: str, scheme: str) -> None:
    for covered in GOOD_SETS:
        headers = sign_rfc9421("POST", url, HEADERS, BODY, KEY_ID, rsa_key, now=NOW, covered=covered)
        assert check(headers, rsa_key, target=target, scheme=scheme)


def test_the_scheme_is_covered(rsa_key: RSAPrivateKey) -> None:
    headers = sign_rfc9421("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW)
    with pytest.raises(SignatureError, match="not one of this request"):
        check(headers, rsa_key, scheme="http")


@pytest.mark.parametrize("covered", GOOD_SETS)
@pytest.mark.parametrize("change", ["method", "path", "query", "body", "host", "key"])
def test_a_change_is_refused(
    rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey, covered: tuple[str, ...], change: str
) -> None:
    headers = sign_rfc9421("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW, covered=covered)
    with pytest.raises(SignatureError):
        check(
            edited(headers, "Host", "example", "other") if change == "host" else headers,
            other_rsa_key if change == "key" else rsa_key,
            method="PUT" if change == "method" else "POST",
            target={"path": "/inbox2?x=1", "query": "/inbox?x=2"}.get(change, "/inbox?x=1"),
            body=BODY + b" " if change == "body" else BODY,
        )


@pytest.mark.parametrize(
    ("covered", "missing"),
    [
        (("@target-uri", "content-digest"), "@method"),
        (("@method", "content-digest"), "@target-uri"),
        (("@method", "@path", "@query", "content-digest"), "@target-uri"),
        (("@method", "@authority", "@path", "content-digest"), "@target-uri"),
        (("@method", "@target-uri"), "content-digest"),
        ((), "@method, @target-uri, content-digest"),
    ],
)
def test_what_must_be_covered(rsa_key: RSAPrivateKey, covered: tuple[str, ...], missing: str) -> None:
    headers = sign_rfc9421("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW, covered=covered)
    with pytest.raises(SignatureError, match=f"does not cover {missing}$"):
        check(headers, rsa_key)


def test_without_a_query_the_path_is_enough_and_without_a_body_no_digest_is_needed(rsa_key: RSAPrivateKey) -> None:
    covered = ("@method", "@authority", "@path")
    headers = sign_rfc9421("GET", "https://example.org/a", [], b"", KEY_ID, rsa_key, now=NOW, covered=covered)
    assert check(headers, rsa_key, method="GET", target="/a", body=b"")
    with pytest.raises(SignatureError, match="@target-uri"):
        check(headers, rsa_key, method="GET", target="/a?x", body=b"")


def test_the_time_at_the_bound_and_past_it(rsa_key: RSAPrivateKey) -> None:
    headers = sign_rfc9421("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW)
    for at in (NOW - MINUTE, NOW + MINUTE):
        check(headers, rsa_key, now=at)
    for past in (NOW - MINUTE * 1.001, NOW + MINUTE * 1.001):
        with pytest.raises(SignatureError, match="the signature's created is"):
            check(headers, rsa_key, now=past)


def test_a_covered_date_counts_too(rsa_key: RSAPrivateKey) -> None:
    covered = ("@method", "@target-uri", "content-digest", "date")
    old = [("Date", "Sun, 22 Nov 2026 11:00:00 GMT")]
    headers = sign_rfc9421("POST", URL, old, BODY, KEY_ID, rsa_key, now=NOW, covered=covered)
    with pytest.raises(SignatureError, match="the Date is too long ago"):
        check(headers, rsa_key)


def test_expires(rsa_key: RSAPrivateKey) -> None:
    headers = sign_rfc9421("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW, expires=MINUTE / 2)
    check(headers, rsa_key, now=NOW + MINUTE / 2)
    with pytest.raises(SignatureError, match="expired at 2026-11-22T12:00:30"):
        check(headers, rsa_key, now=NOW + MINUTE * 0.501)


@pytest.mark.parametrize(
    ("name", "pattern", "replacement", "reason"),
    [
        ("Signature-Input", ".*", "", "a name should be"),
        ("Signature-Input", r"sig1=\(.*", "sig1=5", "not a list of components"),
        ("Signature", "sig1", "sig2", "no bytes for sig1"),
        ("Signature", ":.*:", '"x"', "no bytes for sig1"),
        ("Signature", ":.*:", ":AAAA:", "not one of this request"),
        ("Signature-Input", ';keyid="[^"]*"', "", "names no keyid"),
        ("Signature-Input", ';keyid="[^"]*"', ";keyid=5", "names no keyid"),
        ("Signature-Input", "$", ';alg="none"', "algorithm is not one we know: 'none'"),
        ("Signature-Input", "$", ';alg="ed25519"', "the key is not one for the algorithm ed25519"),
        ("Signature-Input", "$", ';alg="rsa-pss-sha512"', "not one of this request"),
        ("Signature-Input", r";created=\d+", "", "has no created and does not cover date"),
        ("Signature-Input", r";created=\d+", ";created", "created is no whole number"),
        ("Signature-Input", r";created=\d+", ";created=1.5", "created is no whole number"),
        ("Signature-Input", r";created=\d+", ";created=999999999999999", "created is no time"),
        ("Signature-Input", "$", ';expires="x"', "expires is no whole number"),
        ("Signature-Input", '"@method"', '"@method" "@method"', 'covers "@method" twice'),
        ("Signature-Input", '"@method"', '"@method" "@status"', "covers @status, which is not supported"),
        ("Signature-Input", '"@method"', '"@method";req', "with parameters, which are not supported"),
        ("Signature-Input", '"@method"', '"@method" "Host"', "no component: 'Host'"),
        ("Signature-Input", '"@method"', '"@method" host', "no component: 'host'"),
        ("Signature-Input", '"@method"', '"@method" 5', "no component: '5'"),
        ("Signature-Input", '"@method"', '"@method" "x-none"', "covers the header x-none, which"),
        ("Signature-Input", '"@method"', '"@method" "@query-param"', "without naming just one"),
        ("Signature-Input", '"@method"', '"@method" "@query-param";name="y"', "has 0 parameters 'y'"),
        ("Content-Digest", "^.*$", "sha-256=5", "sha-256 is not bytes"),
        ("Content-Digest", "^.*$", "md5=:AAAA:", "has no sha-256 or sha-512"),
        ("Content-Digest", ":.*:", ":AAAA:", "sha-256 is not that of the body"),
    ],
)
def test_what_cannot_be_read_is_refused(
    rsa_key: RSAPrivateKey, name: str, pattern: str, replacement: str, reason: str
) -> None:
    headers = sign_rfc9421("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW)
    with pytest.raises(SignatureError, match=reason):
        check(edited(headers, name, pattern, replacement), rsa_key)


@pytest.mark.parametrize(
    ("query", "value", "reason"),
    [
        ("?x=a+b", "a%20b", None),
        ("?x=%C3%A9~*", "%C3%A9%7E*", None),
        ("?x=", "", None),
        ("?x=1&x=2", None, "has 2 parameters"),
        ("?x=1" + "&y=2" * 255, "1", None),
        ("?x=1" + "&y=2" * 256, None, "more than 256 parameters"),
    ],
)
def test_query_parameters(query: str, value: str | None, reason: str | None) -> None:
    request = read_request("GET", "/" + query, [], b"", "https")
    members = InnerList((Item("@query-param", {"name": "x"}),), {})
    if reason is None:
        assert signature_base(request, members).decode().splitlines()[0] == f'"@query-param";name="x": {value}'
    else:
        with pytest.raises(SignatureError, match=reason):
            signature_base(request, members)


def test_a_query_is_read_once_however_many_of_its_parameters_are_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counting(query: str, **how: Any) -> list[tuple[str, str]]:
        read.append(query)
        return parse_qsl(query, **how)

    monkeypatch.setattr(rfc9421, "parse_qsl", counting)
    query = "&".join(f"covered{number}=x" for number in range(60))
    request = read_request("POST", f"/inbox?{query}", [], b"", "https")
    members = InnerList(tuple(Item("@query-param", {"name": f"covered{number}"}) for number in range(60)), {})
    for _ in range(4):
        signature_base(request, members)
    assert read == [query]


def test_one_of_several_signatures_is_enough_and_their_count_is_bounded(
    rsa_key: RSAPrivateKey, other_rsa_key: RSAPrivateKey
) -> None:
    good = dict(sign_rfc9421("POST", URL, HEADERS, BODY, KEY_ID, rsa_key, now=NOW, label="good"))
    for count in (MAX_LABELS, MAX_LABELS + 1):
        headers = dict(good)
        for i in range(1, count):
            bad = dict(sign_rfc9421("POST", URL, HEADERS, BODY, KEY_ID, other_rsa_key, now=NOW, label=f"bad{i}"))
            for name in ("Signature", "Signature-Input"):
                headers[name] = f"{bad[name]}, {headers[name]}"
        if count == MAX_LABELS:
            assert check(list(headers.items()), rsa_key).key_id == KEY_ID
            assert read_key_ids(read_request("POST", "/", list(headers.items()), b"", "https")) == [KEY_ID]
        else:
            with pytest.raises(SignatureError, match="more than 4 signatures"):
                check(list(headers.items()), rsa_key)


def test_mistakes_of_ours(rsa_key: RSAPrivateKey) -> None:
    with pytest.raises(ValueError, match="covers the header accept, which"):
        sign_rfc9421("POST", URL, [], BODY, KEY_ID, rsa_key, now=NOW, covered=("accept",))
    with pytest.raises(ValueError, match="cannot sign with ed25519"):
        sign_rfc9421("POST", URL, [], BODY, KEY_ID, rsa_key, now=NOW, algorithm="ed25519")
