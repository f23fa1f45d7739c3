"""Finds what ``fediward allow`` undoes: the bytes behind a decision, a SHA-256 or a URL, and where else they stand."""

import re
from dataclasses import dataclass, field
from typing import Literal

from addons.ledger.entry import Entry, EntryMedium
from addons.ledger.reading import Reader, Search
from addons.ledger.standings import Place, Standings, plain
from addons.policy.words import Action

DECISIONS = 200
"""Decisions on one SHA-256 or URL that are looked through, the newest."""

_ID = re.compile(r"[0-9a-z]{20}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LETS_IN = (Action.PASS, Action.RECORD)

type Named = Literal["decision", "sha256", "url"]


@dataclass(slots=True)
class Found:
    """What is to be undone, each in order and once.

    ``sha256``: bytes to allow; ``urls``: where they came from, as written and where that led; ``decisions`` that
    stopped them, by id; ``without``: media that were stopped and have no SHA-256, for nobody could judge them;
    ``seen``: the newest decision that saw the bytes, whatever it was.
    """

    sha256: dict[str, None] = field(default_factory=dict)
    urls: dict[str, None] = field(default_factory=dict)
    decisions: dict[str, Entry] = field(default_factory=dict)
    without: list[EntryMedium] = field(default_factory=list)
    seen: str = ""

    @property
    def anything(self) -> bool:
        """Whether there is anything to undo, or to be said of it."""
        return bool(self.sha256 or self.urls or self.without)

    @property
    def newest(self) -> str:
        """The id of the newest decision."""
        return max(self.decisions, default=self.seen)

    @property
    def places(self) -> list[Place]:
        """All that is to be taken off the block set."""
        return [*(Place(url) for url in self.urls), *(Place(None, one) for one in self.sha256)]

    def add(self, entry: Entry, medium: EntryMedium) -> None:
        """A medium that ``entry`` stopped."""
        self.decisions[entry.id] = entry
        self.urls |= {url: None for url in (medium.url, medium.final_url) if url}
        if medium.sha256 and _SHA256.fullmatch(medium.sha256):
            self.sha256[medium.sha256] = None
        else:
            self.without.append(medium)


def named(what: str) -> Named | None:
    """What an admin's word stands for: a decision's id, a SHA-256 or a URL; None for anything else."""
    if _SHA256.fullmatch(what.lower()):
        return "sha256"
    if "://" in what or what[:5].lower() == "data:":
        return "url"
    return "decision" if _ID.fullmatch(what.lower()) else None


def find(reader: Reader, standings: Standings, what: str) -> Found:
    """What to allow for a decision's id, a SHA-256 or a URL; empty where the ledger knows nothing of it.

    Raises LedgerError, and SQLAlchemy's errors.
    """
    found = Found()
    match named(what):
        case "sha256":
            _add_bytes(reader, what.lower(), found, seen=True)
        case "url":
            _add_url(reader, standings, what, found)
        case "decision" if entry := reader.get(what.lower()):
            for medium in _stopped(entry):
                found.add(entry, medium)
                if medium.sha256 is None and any(hit.blocked for hit in entry.hits if hit.medium == medium.index):
                    # Not even fetched: the bytes are known from where they were judged.
                    _add_url(reader, standings, medium.url, found)
    for sha256 in list(found.sha256):
        _add_bytes(reader, sha256, found)
        for url, final in reader.places(sha256):
            found.urls |= {url: None, **({final: None} if final else {})}
    return found


def allowances(reader: Reader, standings: Standings, what: str) -> list[str]:
    """The SHA-256s that are allowed now and belong to a decision's id, a SHA-256 or a URL. Raises as :func:`find`."""
    seen: list[str | None] = []
    match named(what):
        case "sha256":
            seen = [what.lower()]
        case "url":
            seen = [medium.sha256 for entry in _entries_at(reader, standings, what) for medium in _at(entry, what)]
        case "decision":
            entry = reader.get(what.lower())
            seen = [medium.sha256 for medium in entry.media] if entry else []
            seen += [*find(reader, standings, what).sha256, *standings.allowed_by(what.lower())]
    every = list(dict.fromkeys(one for one in seen if one))
    found = standings.of([Place(None, one) for one in every])
    return [one for one, standing in zip(every, found, strict=True) if standing and standing.allowed]


def _add_bytes(reader: Reader, sha256: str, found: Found, *, seen: bool = False) -> None:
    """Add the decisions that stopped these bytes; with ``seen`` also the newest that saw them, if they let them in."""
    entries = reader.find(Search(sha256=sha256, limit=DECISIONS))
    for entry in entries:
        for medium in _stopped(entry):
            if medium.sha256 == sha256:
                found.add(entry, medium)
    if seen and entries and not found.sha256:
        found.sha256[sha256] = None
        found.seen = entries[-1].id


def _add_url(reader: Reader, standings: Standings, url: str, found: Found) -> None:
    """Add what was stopped at a URL; and the URL itself where it is on the block set."""
    for entry in _entries_at(reader, standings, url):
        there = {medium.index for medium in _at(entry, url)}
        for medium in _stopped(entry):
            if medium.index in there:
                found.add(entry, medium)
    [standing] = standings.of([Place(url)])
    if standing and not standing.allowed and plain(url) not in {plain(one) for one in found.urls}:
        found.urls[url] = None


def _entries_at(reader: Reader, standings: Standings, url: str) -> list[Entry]:
    """Decisions on media of this URL, as written or in its plain form, and the one that put it on the block set."""
    entries = {
        entry.id: entry
        for spelling in dict.fromkeys((url, plain(url)))
        for entry in reader.find(Search(url=spelling, limit=DECISIONS))
    }
    [standing] = standings.of([Place(url)])
    if standing and standing.by not in entries and (entry := reader.get(standing.by)):
        entries[entry.id] = entry
    return [entries[id] for id in sorted(entries)]


def _at(entry: Entry, url: str) -> list[EntryMedium]:
    wanted = plain(url)
    return [one for one in entry.media if wanted in (plain(one.url), plain(one.final_url or ""))]


def _stopped(entry: Entry) -> list[EntryMedium]:
    """The media of a decision that a rule, a cause or the block set would not let in."""
    stopped = {hit.medium for hit in entry.hits if hit.action not in _LETS_IN}
    # A rule that asks only who sends strips all media of a post.
    whole = entry.action == Action.STRIP and None in stopped
    return [medium for medium in entry.media if whole or medium.index in stopped]
