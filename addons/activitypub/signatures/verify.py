"""Which of the two signature schemes a request uses, whose key it names, and whether it holds."""

from collections.abc import Callable
from datetime import datetime, timedelta

from addons.activitypub.signatures.cavage import read_key_id, read_times, verify_cavage
from addons.activitypub.signatures.keys import PublicKey, SignatureError, Verified
from addons.activitypub.signatures.request import Headers, read_date, read_request
from addons.activitypub.signatures.rfc9421 import read_all_times, read_key_ids, verify_rfc9421


def key_ids(headers: Headers) -> list[str]:
    """The keys that the request's signatures name, for a caller who has to fetch them before :func:`verify`.

    SignatureError: no signature, or one that cannot be read.
    """
    request = read_request("GET", "/", headers, b"", "https")
    if "signature-input" in request.fields:
        return read_key_ids(request)
    _check_signed(headers)
    return [read_key_id(request)]


def signed_at(headers: Headers) -> datetime | None:
    """When the request says it was signed: the earliest moment that a signature covers, else the Date header.

    From it servers count how long they accept the request. Proved it is only where :func:`verify` holds. None: nothing
    that can be read.
    """
    try:
        request = read_request("GET", "/", headers, b"", "https")
        times = read_all_times(request) if "signature-input" in request.fields else read_times(request)
    except SignatureError:
        times = []
    if times:
        return min(times)
    try:
        return read_date(read_request("GET", "/", headers, b"", "https"))
    except SignatureError:
        return None


def verify(
    method: str,
    target: str,
    headers: Headers,
    body: bytes,
    public_key_for: Callable[[str], PublicKey],
    now: datetime,
    skew: timedelta,
    *,
    scheme: str = "https",
) -> Verified:
    """What the request's signature proves: RFC 9421 where there is a Signature-Input, else draft-cavage.

    ``target`` is the request line's target, byte for byte, or a whole URL; ``scheme`` is how the sender reached us,
    where the target does not say so. ``headers`` are decoded as UTF-8 with surrogateescape, as mitmproxy does.
    ``body`` is as sent: still compressed where Content-Encoding says so.
    ``skew`` is how far the Date or ``created`` may lie from ``now`` (with a time zone), either way.
    ``public_key_for`` may raise SignatureError itself. SignatureError: nothing is proved; the message says why.
    """
    request = read_request(method, target, headers, body, scheme)
    if "signature-input" in request.fields:
        return verify_rfc9421(request, public_key_for, now, skew)
    _check_signed(headers)
    return verify_cavage(request, public_key_for, now, skew)


def _check_signed(headers: Headers) -> None:
    if not any(name.lower() == "signature" for name, _ in headers):
        raise SignatureError("the request has no signature")
