"""Signatures by RFC 9421 (HTTP Message Signatures) with Content-Digest (RFC 9530), for requests."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qsl, quote_plus

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
    DEFAULT_PORTS,
    Headers,
    Request,
    check_time,
    complete_headers,
    digest_matches,
    read_date,
    read_request,
    read_unix_time,
)
from addons.activitypub.signatures.structured import (
    InnerList,
    Item,
    Parameters,
    Token,
    read_dictionary,
    write_bare,
    write_inner_list,
    write_item,
)

DEFAULT_COVERED = ("@method", "@target-uri", "content-digest")
"""What Mastodon demands of a POST."""
MAX_LABELS = 4
"""Signatures of one request that are tried. Real senders make one."""

_ALGORITHMS: tuple[Algorithm, ...] = ("rsa-v1_5-sha256", "rsa-pss-sha512", "ed25519")


def sign_rfc9421(
    method: str,
    url: str,
    headers: Headers,
    body: bytes,
    key_id: str,
    private_key: PrivateKey,
    *,
    now: datetime,
    covered: Sequence[str] = DEFAULT_COVERED,
    algorithm: Algorithm | None = None,
    label: str = "sig1",
    expires: timedelta | None = None,
) -> list[tuple[str, str]]:
    """All headers to send: the given ones, what ``covered`` needs beside them (Host always), and the signature's two.

    ``algorithm`` None: by the key, and ``alg`` is not written. ``expires`` is counted from ``now``. ValueError: a
    covered header is neither given nor one we can make, or the algorithm is not one for the key.
    """
    covered = tuple(name.lower() for name in covered)
    complete = complete_headers(url, headers, body, covered, now)
    request = read_request(method, url, complete, body, "https")
    parameters: Parameters = {"created": int(now.timestamp())}
    if expires is not None:
        parameters["expires"] = int((now + expires).timestamp())
    parameters["keyid"] = key_id
    if algorithm is not None:
        parameters["alg"] = algorithm
    members = InnerList(tuple(Item(name, {}) for name in covered), parameters)
    try:
        message = signature_base(request, members)
    except SignatureError as error:
        raise ValueError(str(error)) from error
    signature = sign_bytes(private_key, algorithm or default_algorithm(private_key), message)
    return [
        *complete,
        ("Signature-Input", f"{label}={write_inner_list(members)}"),
        ("Signature", f"{label}={write_bare(signature)}"),
    ]


def read_key_ids(request: Request) -> list[str]:
    """The keys that the signatures name, in order. SignatureError: unreadable."""
    return list(dict.fromkeys(_key_id(members) for _, members, _ in _signatures(request)))


def read_all_times(request: Request) -> list[datetime]:
    """The moments at which the signatures say they were made, of those they cover. SignatureError: unreadable."""
    times = []
    for _, members, _ in _signatures(request):
        if (created := members.parameters.get("created")) is not None:
            times.append(_moment("created", created))
        if any(item.value == "date" for item in members.items):
            times.append(read_date(request))
    return times


def verify_rfc9421(
    request: Request, public_key_for: Callable[[str], PublicKey], now: datetime, skew: timedelta
) -> Verified:
    """What the first signature that holds proves. SignatureError: none holds; the first one's reason.

    It must cover ``@method``; ``@target-uri``, or ``@authority`` with ``@request-target`` or ``@path`` and ``@query``;
    a time (``created`` or the Date header); and, where there is a body, ``content-digest``.
    """
    reason: SignatureError | None = None
    for _, members, signature in _signatures(request):
        try:
            return _verify_one(request, members, signature, public_key_for, now, skew)
        except SignatureError as error:
            reason = reason or error
    raise reason or SignatureError("the request has no signature")


def _signatures(request: Request) -> list[tuple[str, InnerList, bytes]]:
    inputs = read_dictionary("signature-input", request.bounded("signature-input"))
    values = read_dictionary("signature", request.bounded("signature"))
    if len(inputs) > MAX_LABELS:
        raise SignatureError(f"the request has more than {MAX_LABELS} signatures")
    found = []
    for label, members in inputs.items():
        value = values.get(label)
        if not isinstance(members, InnerList):
            raise SignatureError(f"Signature-Input's {label} is not a list of components")
        if not isinstance(value, Item) or not isinstance(value.value, bytes):
            raise SignatureError(f"the Signature header has no bytes for {label}")
        found.append((label, members, value.value))
    return found


def _key_id(members: InnerList) -> str:
    key_id = members.parameters.get("keyid")
    if not isinstance(key_id, str) or not key_id:
        raise SignatureError("the signature names no keyid")
    return key_id


def _verify_one(
    request: Request,
    members: InnerList,
    signature: bytes,
    public_key_for: Callable[[str], PublicKey],
    now: datetime,
    skew: timedelta,
) -> Verified:
    message = signature_base(request, members)
    covered = tuple(str(item.value) for item in members.items)
    _check_coverage(request, covered)
    _check_times(request, covered, members.parameters, now, skew)
    if "content-digest" in covered:
        _check_content_digest(request)
    algorithms = _ALGORITHMS
    if (named := members.parameters.get("alg")) is not None:
        algorithms = tuple(name for name in _ALGORITHMS if name == named)
        if not algorithms:
            raise SignatureError(f"the signature's algorithm is not one we know: {str(named)[:40]!r}")
    key_id = _key_id(members)
    verify_bytes(public_key_for(key_id), algorithms, signature, message)
    return Verified(key_id, "rfc9421", covered)


def _check_coverage(request: Request, covered: tuple[str, ...]) -> None:
    missing = [] if "@method" in covered else ["@method"]
    by_parts = "@authority" in covered and (
        "@request-target" in covered or ("@path" in covered and ("@query" in covered or not request.query))
    )
    if "@target-uri" not in covered and not by_parts:
        missing.append("@target-uri")
    if request.body and "content-digest" not in covered:
        missing.append("content-digest")
    if missing:
        raise SignatureError(f"the signature does not cover {', '.join(missing)}")


def _check_times(
    request: Request, covered: tuple[str, ...], parameters: Parameters, now: datetime, skew: timedelta
) -> None:
    created = parameters.get("created")
    if created is not None:
        check_time("the signature's created", _moment("created", created), now, skew)
    elif "date" not in covered:
        raise SignatureError("the signature has no created and does not cover date")
    if "date" in covered:
        check_time("the Date", read_date(request), now, skew)
    expires = parameters.get("expires")
    if expires is not None and _moment("expires", expires) < now:
        raise SignatureError(f"the signature expired at {_moment('expires', expires).isoformat()}")


def _moment(name: str, value: object) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool):
        raise SignatureError(f"the signature's {name} is no whole number")
    return read_unix_time(f"the signature's {name}", value)


def _check_content_digest(request: Request) -> None:
    found = False
    for name, item in read_dictionary("content-digest", request.bounded("content-digest")).items():
        if not isinstance(item, Item) or not isinstance(item.value, bytes):
            raise SignatureError(f"Content-Digest's {name} is not bytes")
        matches = digest_matches(name, item.value, request.body)
        if matches is False:
            raise SignatureError(f"the Content-Digest header's {name} is not that of the body")
        found = found or matches is True
    if not found:
        raise SignatureError("the Content-Digest header has no sha-256 or sha-512")


def signature_base(request: Request, members: InnerList) -> bytes:
    """RFC 9421 §2.5. SignatureError: a component twice, unknown, or that the request does not have."""
    lines: dict[str, str] = {}
    for item in members.items:
        identifier = write_item(item)
        if identifier in lines:
            raise SignatureError(f"the signature covers {identifier} twice")
        lines[identifier] = _component(request, item)
    written = [f"{identifier}: {value}" for identifier, value in lines.items()]
    written.append(f'"@signature-params": {write_inner_list(members)}')
    return "\n".join(written).encode("utf-8", "surrogateescape")


def _component(request: Request, item: Item) -> str:
    name = item.value
    if not isinstance(name, str) or isinstance(name, Token) or name != name.lower():
        raise SignatureError(f"the signature covers something that is no component: {str(name)[:40]!r}")
    if name == "@query-param":
        return _query_parameter(request, item.parameters)
    if item.parameters:
        raise SignatureError(f"the signature covers {name} with parameters, which are not supported")
    if not name.startswith("@"):
        return request.field(name)
    authority = request.authority.lower().removesuffix(DEFAULT_PORTS.get(request.scheme, ":"))
    path = request.path or "/"
    match name:
        case "@method":
            return request.method
        case "@target-uri":
            return f"{request.scheme}://{authority}{path}{request.query}"
        case "@authority":
            return authority
        case "@scheme":
            return request.scheme
        case "@request-target":
            return f"{path}{request.query}"
        case "@path":
            return path
        case "@query":
            return request.query or "?"
        case _:
            raise SignatureError(f"the signature covers {name[:40]}, which is not supported")


def _query_parameter(request: Request, parameters: Parameters) -> str:
    """RFC 9421 §2.2.8: the one value of the named query parameter, encoded anew."""
    wanted = parameters.get("name")
    if set(parameters) != {"name"} or not isinstance(wanted, str):
        raise SignatureError("the signature covers @query-param without naming just one")
    try:
        values = _query_values(request.query.removeprefix("?")).get(wanted, ())
    except ValueError:
        raise SignatureError("the query has more than 256 parameters") from None
    if len(values) != 1:
        raise SignatureError(f"the query has {len(values)} parameters {wanted[:40]!r}; the signature covers just one")
    return values[0]


@lru_cache(maxsize=4)  # one request may ask for hundreds, and each look at the query takes milliseconds
def _query_values(query: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, max_num_fields=256):
        found.setdefault(_encode(name), []).append(_encode(value))
    return found


def _encode(text: str) -> str:
    return quote_plus(text, safe="*-._").replace("+", "%20").replace("~", "%7E")
