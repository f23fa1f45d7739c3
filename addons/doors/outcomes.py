"""What decisions make of a fetched document: which parts go, which are stripped, and the document that is left."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from addons.activitypub.strip import CannotStripError, bare_actor, strip
from addons.doors.fetched import Document, Part, leaving_out, write
from addons.policy.words import Action, Cause, Decision, Medium

type Fate = Literal["pass", "strip", "bare", "gone", "wait"]
_REFUSED = (Action.DROP, Action.REJECT)
_UNDECIDED = (Action.HOLD, Action.DEFER)


class UnfitError(Exception):
    """An actor's document in which media stand where they cannot be taken out, not even by leaving out all but keys."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one part: it passes, loses the media at ``urls`` (``strip``) or all but what an actor needs
    (``bare``), is ``gone``, or has to ``wait`` until it is decided. ``decision`` has the action that this comes to."""

    part: Part
    decision: Decision
    media: Sequence[Medium]
    fate: Fate
    urls: frozenset[str] = frozenset()


def outcome(document: Document, part: Part, decision: Decision, media: Sequence[Medium]) -> Outcome:
    """What ``decision`` comes to for a part of ``document``; its hits point into ``media``.

    An actor's document is never refused, for a server may take that for the actor's end (reference §5): it loses its
    media. An item of a collection that nobody could fetch goes, since the collection would never be complete; others
    have the collection wait for them.
    """
    actor = document.kind == "actor"
    action = decision.action
    if action in (Action.PASS, Action.RECORD):
        return Outcome(part, decision, media, "pass")
    if action in _UNDECIDED:
        left_out = bool(part.at) and decision.cause in (Cause.FETCH_FAILED, Cause.FETCH_UNAUTHORIZED)
        return Outcome(part, decision, media, "gone" if left_out else "wait")
    if action in _REFUSED and not actor:
        return Outcome(part, decision, media, "gone")
    # What nobody knows yet does not stay where something else goes.
    stricter = (Action.STRIP, *_REFUSED, *_UNDECIDED) if actor else (Action.STRIP,)
    hits = [hit for hit in decision.hits if hit.action in stricter]
    if any(hit.cause and hit.medium is None for hit in hits):
        # Not all its media are known.
        return _bare(part, decision, media) if actor else Outcome(part, as_action(decision, Action.DROP), media, "gone")
    if any(hit.medium is None for hit in hits):
        urls = frozenset(ref.url for ref in part.media)
    else:
        urls = frozenset(media[hit.medium].ref.url for hit in hits if hit.medium is not None)
    return Outcome(part, as_action(decision, Action.STRIP), media, "strip", urls)


def as_action(decision: Decision, action: Action) -> Decision:
    """The same decision, carried out as ``action``; its hits still say what the policy asked for."""
    return replace(decision, action=action)


def _bare(part: Part, decision: Decision, media: Sequence[Medium]) -> Outcome:
    return Outcome(part, as_action(decision, Action.STRIP), media, "bare")


def carry_out(document: Document, outcomes: Sequence[Outcome]) -> tuple[bytes | None, tuple[Outcome, ...]]:
    """The new body (None: the one that came will do), and the outcomes as they are now: what cannot be stripped goes.

    If the document itself (the first part) goes, or something has to wait, there is no new body either. Raises
    UnfitError.
    """
    own, *items = outcomes
    if own.fate == "gone" or any(one.fate == "wait" for one in outcomes):
        return None, tuple(outcomes)
    if own.fate == "bare":
        return _bared(document), tuple(outcomes)
    try:
        return _stripped(document, outcomes), tuple(outcomes)
    except CannotStripError:
        if document.kind == "actor":
            return _bared(document), tuple(outcomes)
        return None, (replace(own, fate="gone", decision=as_action(own.decision, Action.DROP)), *items)


def _stripped(document: Document, outcomes: Sequence[Outcome]) -> bytes | None:
    urls = frozenset[str]().union(*(one.urls for one in outcomes if one.fate == "strip"))
    gone = {one.part.at for one in outcomes if one.fate == "gone"}
    if not urls and not gone:
        return None
    root = document.root
    if gone:
        root = leaving_out(root, gone)
    bounds = document.bounds
    return write(strip(root, urls, max_depth=bounds.depth, max_nodes=bounds.nodes, max_media=document.most))


def _bared(document: Document) -> bytes:
    try:
        return write(bare_actor(document.root))
    except CannotStripError as error:
        raise UnfitError(str(error)) from error
