"""Whose signature a delivery bears. It decides fairness and order, and never whether something is judged."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from addons.activitypub.signatures import PublicKey, SignatureError, Verified, key_ids, signed_at, verify
from addons.activitypub.signatures.request import Headers
from addons.ledger.held import Signer
from addons.senders.keys import Key, Keys, Trouble

__all__ = ["Verifier", "signed_at"]

logger = logging.getLogger(__name__)

SKEW = timedelta(hours=12)
"""How far the time of a signature may be off. More than any server allows: how late is too late is the server's word,
and a sender whose clock is wrong is who he is all the same."""
READ_INLINE = 128 << 10
"""Bytes of a body that are hashed on the event loop, in a tenth of a millisecond; the check of a signature by a key of
2048 bits takes as long as half of that, and both are less than going to a thread and back."""
_ROUNDS = 10
"""Twice as many as a request can name keys (each may be fetched, then renewed), and two to end with."""


class _KeyWantedError(Exception):
    """The signature is right as far as can be told without this key."""

    def __init__(self, key_id: str) -> None:
        super().__init__(key_id)
        self.key_id = key_id


class Verifier:
    """Shared by all deliveries of one process; belongs to one event loop. ``now``: the time of day."""

    def __init__(self, keys: Keys, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._keys = keys
        self._now = now

    async def verify(
        self, method: str, target: str, headers: Headers, raw_body: bytes, *, timeout: float, share: str
    ) -> Signer:
        """Who signed the request, within ``timeout`` seconds; never raises.

        ``target`` is the request line's; ``headers`` as mitmproxy decodes them (UTF-8 with surrogateescape), with Host;
        ``raw_body`` as it was sent, its content-encoding not undone. The door is behind TLS, so that a signed URL is
        https. ``share``: whose share of the fetches a key takes (the peer's, since no more is known of it yet).
        """
        asking = _Asking(self._keys, method, target, headers, raw_body, share)
        try:
            async with asyncio.timeout(timeout):
                return await asking.answer(self._now())
        except TimeoutError:
            return asking.unverified(f"its key was not had within {timeout:g} s")
        except Exception:
            logger.exception("a signature could not be checked, which is a fault of fediward's")
            return asking.unverified("the signature could not be checked (fediward's log says more)")


class _Asking:
    """One request, its signature, and what is known of the keys that it names."""

    def __init__(self, keys: Keys, method: str, target: str, headers: Headers, body: bytes, share: str) -> None:
        self._keys = keys
        self._request = method, target, headers, body
        self._share = share
        self._at = signed_at(headers)
        self._ids: list[str] = []
        self._known: dict[str, Key | Trouble] = {}
        self._used: list[Key] = []
        self._hidden: str | None = None
        """The host of a key that only signed requests are given, with which it might hold."""

    def unverified(self, reason: str) -> Signer:
        """The answer where nothing is proved; by which key, is the request's own word."""
        key_id = self._ids[0] if self._ids else None
        if self._hidden is not None:
            return Signer("unverifiable", self._hidden, key_id, self._at, reason)
        return Signer("unverified", None, key_id, self._at, reason)

    async def answer(self, now: datetime) -> Signer:
        """Who signed it. Takes as long as fetching takes."""
        reason = "too many keys had to be fetched"
        try:
            self._ids = key_ids(self._request[2])
        except SignatureError as error:
            return self.unverified(str(error))
        for key_id in self._ids:
            if (known := self._keys.known(key_id)) is not None:
                self._known[key_id] = known
        renewed: set[str] = set()
        for _ in range(_ROUNDS):
            try:
                return self._verified(await self._check(now))
            except _KeyWantedError as wanted:
                self._known[wanted.key_id] = await self._keys.get(wanted.key_id, self._share)
            except SignatureError as error:
                reason = str(error)
                if not await self._renew(renewed):
                    break
        return self.unverified(reason)

    async def _check(self, now: datetime) -> Verified:
        method, target, headers, body = self._request
        self._used.clear()
        self._hidden = None
        if len(body) <= READ_INLINE:
            return verify(method, target, headers, body, self._key, now, SKEW)
        return await asyncio.to_thread(verify, method, target, headers, body, self._key, now, SKEW)

    def _key(self, key_id: str) -> PublicKey:
        known = self._known.get(key_id)
        if known is None:
            raise _KeyWantedError(key_id)
        if isinstance(known, Trouble):
            if known.state == "unverifiable":
                self._hidden = known.host
            raise SignatureError(known.reason)
        self._used.append(known)
        return known.public

    async def _renew(self, renewed: set[str]) -> bool:
        """Whether one of the keys by which the signature does not hold is another by now."""
        found = False
        for used in self._used:
            if used.id not in renewed:
                renewed.add(used.id)
                if (key := await self._keys.renewed(used, self._share)) is not None:
                    self._known[used.id] = key
                    found = True
        return found

    def _verified(self, found: Verified) -> Signer:
        key = self._known[found.key_id]
        assert isinstance(key, Key)
        return Signer("verified", key.host, key.id, self._at)
