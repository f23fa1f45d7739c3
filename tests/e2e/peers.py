"""The door's peers: senders that sign as real servers do, the bytes they send, and two verifiers at the upstream."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from addons.activitypub.signatures import PublicKey, SignatureError, sign_cavage, sign_rfc9421, verify
from tests.e2e.fedify import CAVAGE, RFC9421, Fedify, Spec
from tests.net import Received, chunked

ACTOR = "https://remote.example/users/ada"
KEY_ID = f"{ACTOR}#main-key"
HOST = "example.org"
ACTIVITY = "application/activity+json"
HOUR = timedelta(hours=1)

type Headers = list[tuple[str, str]]
type Framing = Literal["length", "chunked", "gzip", "gzip chunked"]
FRAMINGS: tuple[Framing, ...] = ("length", "chunked", "gzip", "gzip chunked")


@dataclass(frozen=True, slots=True)
class Sender:
    """Signs deliveries: with ``covered`` by our own signer, or, where that is empty, as Fedify likes to."""

    name: str
    spec: Spec
    covered: tuple[str, ...] = ()

    @property
    def signs_length(self) -> bool:
        """Such a sender cannot send chunks: the signed header would have to stand beside Transfer-Encoding."""
        return "content-length" in self.covered

    async def sign(self, fedify: Fedify, key: RSAPrivateKey, path: str, headers: Headers, body: bytes) -> Headers:
        """All headers to send for a POST of ``body`` (as it goes over the wire, so encoded) to ``path``."""
        url, now = f"https://{HOST}{path}", datetime.now(UTC)
        if not self.covered:
            return await fedify.sign(
                "POST", url, headers, body, key_id=KEY_ID, private_key=key, now=now, spec=self.spec
            )
        if self.spec == CAVAGE:
            return sign_cavage("POST", url, headers, body, KEY_ID, key, now=now, covered=self.covered)
        return sign_rfc9421("POST", url, headers, body, KEY_ID, key, now=now, covered=self.covered)


_DIGEST = ("@method", "@target-uri", "content-digest")
# Reference §1-2: what each server signs, in the order in which it does.
SENDERS = (
    Sender("gotosocial", CAVAGE, ("(request-target)", "host", "date", "digest")),
    Sender("akkoma", CAVAGE, ("(request-target)", "content-length", "date", "digest", "host")),
    Sender("misskey", CAVAGE, ("(request-target)", "date", "host", "digest")),
    Sender("piefed", CAVAGE, ("(request-target)", "host", "date", "digest", "content-type")),
    # All that it sends but User-Agent, Accept and Accept-Encoding.
    Sender("mastodon", CAVAGE, ("host", "date", "digest", "content-type", "(request-target)")),
    Sender("lemmy", CAVAGE, ("(request-target)", "content-type", "date", "digest", "host")),
    # Nobody known signs as much; whatever of a head could be signed has to survive.
    Sender(
        "all headers",
        CAVAGE,
        ("(request-target)", "host", "date", "digest", "content-type", "content-length", "user-agent", "accept"),
    ),
    Sender("mastodon rfc9421", RFC9421, _DIGEST),
    Sender("content-type rfc9421", RFC9421, (*_DIGEST, "content-type")),
    Sender("content-length rfc9421", RFC9421, (*_DIGEST, "content-type", "content-length")),
    Sender("all rfc9421", RFC9421, (*_DIGEST, "@authority", "@path", "host", "date", "user-agent", "accept")),
    Sender("fedify", CAVAGE),
    Sender("fedify rfc9421", RFC9421),
)


def encoded(framing: Framing, body: bytes) -> bytes:
    """The body as it goes over the wire, and as its digest is made: RFC 9530 §2 and RFC 3230 §4.1 both mean the bytes
    with their content coding. No server in the reference is known to compress deliveries; one that did would do so."""
    return gzip.compress(body, mtime=0) if framing.startswith("gzip") else body


def described(framing: Framing, sent: bytes) -> Headers:
    """The headers that say how ``sent`` is sent, before signing."""
    headers = [("Content-Type", ACTIVITY), ("User-Agent", "http.rb/5 (Mastodon/4.5)"), ("Accept", "application/json")]
    if framing.startswith("gzip"):
        headers.append(("Content-Encoding", "gzip"))
    if not framing.endswith("chunked"):
        headers.append(("Content-Length", str(len(sent))))
    return headers


def wire(path: str, headers: Headers, sent: bytes, framing: Framing = "length", space: str = " ") -> bytes:
    """The request as bytes. ``space`` stands on both sides of each value."""
    lines = [f"POST {path} HTTP/1.1", *(f"{name}:{space}{value}{space.strip(' ')}" for name, value in headers)]
    if framing.endswith("chunked"):
        lines.append("transfer-encoding: chunked")
        third = len(sent) // 3 or 1
        sent = chunked(*(piece for piece in (sent[:1], sent[1:third], sent[third:]) if piece))
    return "\r\n".join([*lines, "", ""]).encode() + sent


@dataclass(frozen=True, slots=True)
class Verifiers:
    """Whether a request carries a valid signature, asked of two implementations: one is not ours."""

    fedify: Fedify
    key: RSAPrivateKey

    async def refusals(self, request: Received) -> tuple[str | None, str | None]:
        """Why Fedify and why our verifier refuse exactly these bytes; None: that one finds them validly signed."""
        method, target, _ = request.line.decode().split(" ")
        headers = [(name.decode(), value.decode()) for name, value in request.headers]
        spec = RFC9421 if any(name.lower() == "signature-input" for name, _ in headers) else CAVAGE
        theirs = await self.fedify.verify(
            method,
            f"https://{HOST}{target}",
            headers,
            request.body,
            keys={KEY_ID: self.key.public_key()},
            now=datetime.now(UTC),
            spec=spec,
        )
        assert theirs.key_id in (KEY_ID, None)
        refusal = None if theirs.key_id else (theirs.reason or "refused without a reason")
        return refusal, self.our_refusal(request)

    def our_refusal(self, request: Received) -> str | None:
        """Why our own verifier refuses; None: it finds a valid signature."""
        method, target, _ = request.line.decode().split(" ")
        headers = [(name.decode(), value.decode()) for name, value in request.headers]
        keys: dict[str, PublicKey] = {KEY_ID: self.key.public_key()}
        try:
            verify(method, target, headers, request.body, keys.__getitem__, datetime.now(UTC), HOUR)
        except SignatureError as error:
            return str(error)
        return None


VALID: tuple[None, None] = (None, None)


def pairs(headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as the upstream reads them."""
    return [(name.encode(), value.encode()) for name, value in headers]
