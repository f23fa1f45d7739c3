"""Which scheme a request uses, whose key it names, and that no headers whatever break the reader."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import given
from hypothesis import strategies as st

from addons.activitypub.signatures import (
    PublicKey,
    SignatureError,
    key_ids,
    sign_cavage,
    sign_rfc9421,
    signed_at,
    verify,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
URL = "https://example.org/inbox"


def test_both_schemes_are_told_apart(rsa_key: RSAPrivateKey) -> None:
    for sign, scheme in ((sign_cavage, "cavage"), (sign_rfc9421, "rfc9421")):
        headers = sign("POST", URL, [], b"{}", "https://a.example/key", rsa_key, now=NOW)
        assert key_ids(headers) == ["https://a.example/key"]
        verified = verify("POST", URL, headers, b"{}", lambda _: rsa_key.public_key(), NOW, MINUTE)
        assert verified.scheme == scheme


def test_an_unsigned_request() -> None:
    with pytest.raises(SignatureError, match=r"^the request has no signature$"):
        key_ids([("Host", "example.org")])
    with pytest.raises(SignatureError, match=r"^the request has no signature$"):
        verify("POST", URL, [("Host", "example.org")], b"{}", no_key, NOW, MINUTE)


def test_no_key_is_asked_for_before_the_rest_is_right(rsa_key: RSAPrivateKey) -> None:
    headers = sign_cavage("POST", URL, [], b"{}", "https://a.example/key", rsa_key, now=NOW)
    with pytest.raises(SignatureError, match="is not that of the body"):
        verify("POST", URL, headers, b"{} ", no_key, NOW, MINUTE)
    with pytest.raises(AssertionError, match=r"https://a\.example/key"):
        verify("POST", URL, headers, b"{}", no_key, NOW, MINUTE)


def no_key(key_id: str) -> PublicKey:
    raise AssertionError(f"asked for {key_id}")


SIGNATURE = st.text(max_size=80) | st.text(st.sampled_from('keyIdsgnatureh="(),:;= @1/'), max_size=80)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Signature", "Signature-Input", "Digest", "Content-Digest", "Date", "Host"]), SIGNATURE
        )
    ),
    st.text(max_size=20),
)
def test_any_headers_are_refused_with_a_reason(headers: list[tuple[str, str]], target: str) -> None:
    with pytest.raises(SignatureError):
        verify("POST", target, headers, b"{}", no_key, NOW, MINUTE)


HOUR = timedelta(hours=1)
DATE = ("Date", "Sun, 22 Nov 2026 11:00:00 GMT")


def test_when_it_was_signed(rsa_key: RSAPrivateKey) -> None:
    made = ("POST", URL, [DATE], b"{}", "https://a.example/key", rsa_key)
    assert signed_at(sign_cavage(*made, now=NOW)) == NOW - HOUR
    assert signed_at(sign_rfc9421(*made, now=NOW)) == NOW  # its Date is not covered
    covered = ("@method", "@target-uri", "content-digest", "date")
    assert signed_at(sign_rfc9421(*made, now=NOW, covered=covered)) == NOW - HOUR
    both = ("(request-target)", "host", "date", "digest", "(created)")
    assert signed_at(sign_cavage(*made, now=NOW - 2 * HOUR, covered=both)) == NOW - 2 * HOUR
    assert signed_at(sign_cavage(*made, now=NOW, covered=("(request-target)", "host", "digest", "(created)"))) == NOW


@pytest.mark.parametrize("signature", [(), (("Signature", "?"),), (("Signature-Input", "?"),)])
def test_when_an_unsigned_request_says_it_was_made(signature: tuple[tuple[str, str], ...]) -> None:
    assert signed_at([DATE, *signature]) == NOW - HOUR
    assert signed_at([("Date", "yesterday"), *signature]) is None
    assert signed_at(list(signature)) is None
    # What lies beyond the last year cannot be stored.
    assert signed_at([("Date", "Fri, 31 Dec 9999 23:59:59 -1400"), *signature]) is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Signature", "Signature-Input", "Date", "Host"]), SIGNATURE | st.just("Sun, 22 Nov 2026")
        )
    )
)
def test_any_headers_were_signed_at_some_time_or_none(headers: list[tuple[str, str]]) -> None:
    moment = signed_at(headers)
    assert moment is None or moment.tzinfo is not None
