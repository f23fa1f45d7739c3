"""A hold as rows of the tables, and rows as a hold again; every text bounded, for all of it comes from outside."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Row

from addons.fetching.data_urls import is_data_url
from addons.ledger.clean import bounded, key
from addons.ledger.entry import HOST, ID, MESSAGE, NAME, URL
from addons.ledger.held import Held, HoldRecord, HoldState, NewHold, Outcome, Signer
from addons.ledger.standings import plain

IDS = 256
"""Ids or URLs of one kind that are kept of one hold, the first."""
SHARE = 300
"""Characters kept of a share."""
WORKER = 64
"""Characters of a worker's name."""
PENDING = (HoldState.JUDGING, HoldState.REPLAYING, HoldState.WAITING)
"""The states of what is not over."""

type Kind = Literal["gives", "needs", "url"]
type Values = dict[str, Any]


def hold_row(new: NewHold, turn: int) -> Values:
    """``new`` as a row of ``holds``: due at once, or when its window closes where it waits for a person."""
    signer = new.signer
    return {
        "id": new.id,
        "state": str(new.state),
        "turn": turn,
        "due": new.closes if new.state == HoldState.WAITING else min(new.arrived, new.closes),
        "attempts": 0,
        "unjudged": False,
        "arrived": new.arrived,
        "closes": new.closes,
        "then": new.then,
        "cause": _optional(new.cause, 32),
        "rule": _optional(new.rule, NAME),
        "peer": bounded(new.peer, NAME),
        "share": bounded(new.share, SHARE),
        "signer_state": signer.state,
        "signer_host": _optional(signer.host, HOST),
        "key_id": _optional(signer.key_id, ID),
        "signed_at": signer.signed_at,
        "signer_reason": bounded(signer.reason, MESSAGE),
        "activity_id": _optional(new.activity_id, ID),
        "host": _optional(new.host, HOST),
        "same": same(new),
        "size": size(new),
        "detail": "",
    }


def size(new: NewHold) -> int:
    """The bytes by which a hold counts."""
    return len(new.head) + len(new.body)


def same(new: NewHold) -> str:
    """A digest that two deliveries share which need not both be held: their target, body, and who vouches for it."""
    digest = hashlib.sha256()
    who = new.signer.host if new.signer.state == "verified" else new.peer
    target = new.head.partition(b"\r\n")[0]
    for part in (target, new.body, new.signer.state.encode(), (who or "").encode("utf-8", "replace")):
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


def id_rows(new: NewHold, seq: int) -> list[Values]:
    """The ids and URLs of ``new`` as rows of ``hold_ids``."""
    return [
        *_rows(seq, "gives", keys_of(new.gives)),
        *_rows(seq, "needs", keys_of(new.needs)),
        *url_rows(new.urls, seq),
    ]


def url_rows(urls: Iterable[str], seq: int) -> list[Values]:
    """URLs that a hold waits for as rows of ``hold_ids``."""
    keys = {url_key(url): bounded(url, URL) for url in list(urls)[:IDS] if not is_data_url(url)}
    return _rows(seq, "url", keys)


def keys_of(ids: Iterable[str]) -> dict[str, str]:
    """Key to id, of the first :data:`IDS`. One of more than :data:`URL` characters is no id, and orders nothing."""
    return {key(one): one for one in list(ids)[:IDS] if len(one) <= URL}


def url_key(url: str) -> str:
    """The key of a URL, the same for all its spellings."""
    return key(plain(url))


def held_of(row: Row[Any], ids: Mapping[str, Sequence[str]]) -> Held:
    """The hold of a row of ``holds`` with ``head`` and ``body``; ``ids``: its ids and URLs by their kind."""
    return Held(
        id=row.id,
        head=bytes(row.head),
        body=bytes(row.body),
        peer=row.peer,
        arrived=row.arrived,
        closes=row.closes,
        then=row.then,
        signer=_signer(row),
        share=row.share,
        state=HoldState(row.state),
        cause=row.cause,
        rule=row.rule,
        activity_id=row.activity_id,
        host=row.host,
        gives=tuple(ids.get("gives", ())),
        needs=tuple(ids.get("needs", ())),
        urls=tuple(ids.get("url", ())),
        seq=row.seq,
        attempts=row.attempts,
        unjudged=row.unjudged,
    )


def record_of(row: Row[Any]) -> HoldRecord:
    """What a person is shown of a row of ``holds``."""
    return HoldRecord(
        id=row.id,
        seq=row.seq,
        state=HoldState(row.state),
        arrived=row.arrived,
        closes=row.closes,
        due=row.due,
        then=row.then,
        signer=_signer(row),
        share=row.share,
        peer=row.peer,
        attempts=row.attempts,
        unjudged=row.unjudged,
        size=row.size,
        cause=row.cause,
        rule=row.rule,
        activity_id=row.activity_id,
        host=row.host,
        worker=row.worker,
        lease=row.lease,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        detail=row.detail,
        ended=row.ended,
    )


def _signer(row: Row[Any]) -> Signer:
    return Signer(row.signer_state, row.signer_host, row.key_id, row.signed_at, row.signer_reason)


def _rows(seq: int, kind: Kind, keys: Mapping[str, str]) -> list[Values]:
    return [{"hold": seq, "kind": kind, "key": one, "value": bounded(value, URL)} for one, value in keys.items()]


def _optional(text: str | None, limit: int) -> str | None:
    return None if text is None else bounded(text, limit)
