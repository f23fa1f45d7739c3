"""An entry as rows of the tables, and rows as an entry again."""

import math
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row

from addons.ledger.clean import bounded, key, without_payloads
from addons.ledger.entry import MESSAGE, NAME, SYMBOLS, URL, Entry, EntryMedium
from addons.policy.words import Hit
from classifier import HashMatch, JudgedFrame

SESSION = 64
"""Characters kept of the hash of an uploader's session."""

type Values = dict[str, Any]


def decision_row(entry: Entry) -> Values:
    """``entry`` as a row of ``decisions``."""
    return {
        "id": entry.id,
        "at": entry.at,
        "door": entry.door,
        "action": entry.action,
        "mode": entry.mode,
        "rule": entry.rule,
        "cause": entry.cause,
        "hits": [
            {**msgspec.to_builtins(hit), "rule": None if hit.rule is None else bounded(hit.rule, NAME)}
            for hit in entry.hits
        ],
        "host": entry.host,
        "actor": entry.actor,
        "actor_key": None if entry.actor is None else key(entry.actor),
        "activity_id": entry.activity_id,
        "activity_key": None if entry.activity_id is None else key(entry.activity_id),
        "object_id": entry.object_id,
        "types": list(entry.types),
        "software": entry.software,
        "peer": entry.peer,
        "session": None if entry.session is None else bounded(entry.session, SESSION),
        "overflow": entry.overflow,
        "took_ms": entry.took_ms,
        "policy_version": entry.policy_version,
        "engine_version": entry.engine_version,
        "media_count": entry.media_count,
        "media_kept": len(entry.media),
        "hold": entry.hold,
    }


def media_rows(entry: Entry) -> list[Values]:
    """The media of ``entry`` as rows of ``media``."""
    return [
        {
            "decision_id": entry.id,
            "index": medium.index,
            "url": medium.url,
            "url_key": key(medium.url),
            "kind": medium.kind,
            "path": medium.path,
            "sensitive": medium.sensitive,
            "final_url": medium.final_url,
            "address": medium.address,
            "sha256": medium.sha256,
            "media_type": medium.media_type,
            "width": medium.width,
            "height": medium.height,
            "version": medium.version,
            "frames": [_frame(frame) for frame in medium.frames],
            "matches": [_match(match) for match in medium.matches],
            "cause": medium.cause,
            "message": medium.message,
            "cached": medium.cached,
            "took_ms": medium.took_ms,
        }
        for medium in entry.media
    ]


def dropped_row(entry: Entry) -> Values | None:
    """What is kept of a dropped activity: its JSON without embedded files, compressed."""
    if entry.body is None:
        return None
    body = zlib.compress(without_payloads(entry.body), 1)
    return {"decision_id": entry.id, "at": entry.at, "size": len(body), "body": body}


def entry_of(decision: Row[Any], media: Sequence[Row[Any]]) -> Entry:
    """The entry that these rows were made of, without its body."""
    row = dict(decision._mapping)
    row["hits"] = msgspec.convert(row["hits"], tuple[Hit, ...])
    row["types"] = tuple(row["types"])
    for derived in ("actor_key", "activity_key", "media_kept"):
        del row[derived]
    return Entry(**row, media=tuple(_medium(medium) for medium in media))


def _medium(row: Row[Any]) -> EntryMedium:
    values = dict(row._mapping)
    values["frames"] = msgspec.convert(values["frames"], tuple[JudgedFrame, ...])
    values["matches"] = msgspec.convert(values["matches"], tuple[HashMatch, ...])
    for derived in ("decision_id", "url_key"):
        del values[derived]
    return EntryMedium(**values)


def _frame(frame: JudgedFrame) -> Values:
    # JSON knows no NaN; a score that is none is left out, as a detector that did not say.
    scores = sorted(frame.symbols.items(), key=lambda item: -item[1])[:SYMBOLS]
    symbols = {bounded(name, NAME): round(float(score), 6) for name, score in scores if math.isfinite(score)}
    return {
        "index": frame.index,
        "symbols": symbols,
        "pdq": frame.pdq,
        "at": frame.at,
        "reading": bounded(frame.reading, NAME),
    }


def _match(match: HashMatch) -> Values:
    return {
        **msgspec.to_builtins(match),
        "list": bounded(match.list, NAME),
        "entry": bounded(match.entry, NAME),
        "source": bounded(match.source, URL),
        "note": bounded(match.note, MESSAGE),
    }
