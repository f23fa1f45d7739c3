"""Signatures by draft-cavage-http-signatures-12, as the fediverse uses them."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from addons.activitypub.signatures.keys import (
    Algorithm,
    PrivateKey,
    PublicKey,
    SignatureError,
    Verified,
    default_algorithm,
    sign_bytes,
    verify_bytes,
)
from addons.activitypub.signatures.request import (
    MAX_COMPONENTS,
    Headers,
    Request,
    check_digest,
    check_time,
    complete_headers,
    read_date,
    read_request,
    read_unix_time,
)

DEFAULT_COVERED = ("(request-target)", "host", "date", "digest")
"""What GoToSocial and Misskey sign (reference §2); others add content-type and content-length."""

# §2.1: name="value" or name=number, separated by commas. Values in the fediverse hold no escaped quotes.
_PARAMETER = re.compile(r'[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(?:"([^"]*)"|([0-9]{1,20}(?:\.[0-9]{1,9})?))[ \t]*(?:,|$)')

# hs2019 leaves the algorithm to the key; for RSA everybody means SHA-256 with PKCS #1 v1.5 (Mastodon, Fedify, Akkoma).
_ALGORITHMS: dict[str, tuple[Algorithm, ...]] = {
    "": ("rsa-v1_5-sha256", "ed25519"),
    "hs2019": ("rsa-v1_5-sha256", "ed25519"),
    "rsa-sha256": ("rsa-v1_5-sha256",),
    "ed25519": ("ed25519",),
}


def sign_cavage(
    method: str,
    url: str,
    headers: Headers,
    body: bytes,
    key_id: str,
    private_key: PrivateKey,
    *,
    now: datetime,
    covered: Sequence[str] = DEFAULT_COVERED,
    algorithm: str | None = None,
    expires: timedelta | None = None,
) -> list[tuple[str, str]]:
    """All headers to send: the given ones, what ``covered`` needs beside them (Host always), and Signature.

    ``algorithm`` is what is written (``rsa-sha256``, ``hs2019``); None: by the key. ``expires`` is counted from
    ``now``. ValueError: ``key_id`` cannot be written, or a covered header is neither given nor one we can make.
    """
    if '"' in key_id or not key_id.isascii() or not key_id.isprintable():
        raise ValueError(f"this key id cannot be written into a Signature header: {key_id!r}")
    covered = tuple(name.lower() for name in covered)
    complete = complete_headers(url, headers, body, covered, now)
    request = read_request(method, url, complete, body, "https")
    by_key = default_algorithm(private_key)
    parameters = {
        "keyId": f'"{key_id}"',
        "algorithm": f'"{algorithm or ("hs2019" if by_key == "ed25519" else "rsa-sha256")}"',
        "created": str(int(now.timestamp())) if "(created)" in covered else "",
        "expires": str(int((now + expires).timestamp())) if expires is not None else "",
        "headers": f'"{" ".join(covered)}"',
    }
    try:
        message = _signing_string(request, covered, parameters)
    except SignatureError as error:
        raise ValueError(str(error)) from error
    signature = base64.b64encode(sign_bytes(private_key, by_key, message)).decode()
    written = ",".join(f"{name}={value}" for name, value in parameters.items() if value)
    return [*complete, ("Signature", f'{written},signature="{signature}"')]


def read_key_id(request: Request) -> str:
    """Whose key the Signature header says it is. SignatureError: absent or unreadable."""
    return _required(_parameters(request), "keyId")


def read_times(request: Request) -> list[datetime]:
    """The moments at which it says it was signed, of those that it covers. SignatureError: one cannot be read."""
    parameters = _parameters(request)
    covered = parameters.get("headers", "date").lower().split()
    times = [read_date(request)] if "date" in covered else []
    return [*times, _moment(parameters, "created")] if "(created)" in covered else times


def verify_cavage(
    request: Request, public_key_for: Callable[[str], PublicKey], now: datetime, skew: timedelta
) -> Verified:
    """What the Signature header proves. SignatureError: nothing.

    It must cover ``(request-target)``, ``host``, ``date`` or ``(created)``, and, where there is a body, ``digest``.
    """
    parameters = _parameters(request)
    key_id = _required(parameters, "keyId")
    algorithms = _ALGORITHMS.get(parameters.get("algorithm", "").lower())
    if algorithms is None:
        raise SignatureError(f"the signature's algorithm is not one we know: {parameters['algorithm'][:40]!r}")
    covered = tuple(parameters.get("headers", "date").lower().split())
    if len(covered) > MAX_COMPONENTS:
        raise SignatureError(f"the signature covers more than {MAX_COMPONENTS} headers")
    if len(set(covered)) < len(covered):
        raise SignatureError("the signature covers a header twice")
    _check_coverage(request, covered)
    _check_times(request, covered, parameters, now, skew)
    if "digest" in covered:
        check_digest(request)
    try:
        signature = base64.b64decode(_required(parameters, "signature"), validate=True)
    except (binascii.Error, ValueError):
        raise SignatureError("the signature is not base64") from None
    message = _signing_string(request, covered, parameters)
    verify_bytes(public_key_for(key_id), algorithms, signature, message)
    return Verified(key_id, "cavage", covered)


def _parameters(request: Request) -> dict[str, str]:
    text = request.bounded("signature")
    parameters: dict[str, str] = {}
    at = 0
    while at < len(text):
        found = _PARAMETER.match(text, at)
        if found is None:
            raise SignatureError(f"the Signature header cannot be read from here on: {text[at : at + 40]!r}")
        name, quoted, number = found.groups()
        if name in parameters:
            raise SignatureError(f"the Signature header names {name} twice")
        parameters[name] = quoted if quoted is not None else number
        at = found.end()
    return parameters


def _required(parameters: dict[str, str], name: str) -> str:
    value = parameters.get(name)
    if not value:
        raise SignatureError(f"the Signature header has no {name}")
    return value


def _check_coverage(request: Request, covered: tuple[str, ...]) -> None:
    needed = ["(request-target)", "host"]
    if request.body:
        needed.append("digest")
    missing = [name for name in needed if name not in covered]
    if "date" not in covered and "(created)" not in covered:
        missing.append("date")
    if missing:
        raise SignatureError(f"the signature does not cover {', '.join(missing)}")


def _check_times(
    request: Request, covered: tuple[str, ...], parameters: dict[str, str], now: datetime, skew: timedelta
) -> None:
    if "date" in covered:
        check_time("the Date", read_date(request), now, skew)
    if "(created)" in covered:
        check_time("the signature's created", _moment(parameters, "created"), now, skew)
    if "expires" in parameters and _moment(parameters, "expires") < now:
        raise SignatureError(f"the signature expired at {_moment(parameters, 'expires').isoformat()}")


def _moment(parameters: dict[str, str], name: str) -> datetime:
    value = _required(parameters, name)
    try:
        seconds = float(value)
    except ValueError:
        raise SignatureError(f"the signature's {name} is no number: {value[:40]!r}") from None
    return read_unix_time(f"the signature's {name}", seconds)


def _signing_string(request: Request, covered: Sequence[str], parameters: dict[str, str]) -> bytes:
    lines = []
    for name in covered:
        match name:
            case "(request-target)":
                value = f"{request.method.lower()} {request.path}{request.query}"
            case "(created)" | "(expires)":
                value = _required(parameters, name.strip("()"))
            case _:
                value = request.field(name)
        lines.append(f"{name}: {value}")
    return "\n".join(lines).encode("utf-8", "surrogateescape")
