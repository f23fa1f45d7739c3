"""``decide(policy, context, media) -> Decision``: DESIGN.md's "How a decision is made", pure and in one place."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from addons.activitypub.references import MediaRef
from addons.policy.rules import ALLOW, Rule, Test, compile_test
from addons.policy.words import Action, Cause, Context, Decision, Door, Hit, Medium, Then
from classifier import Symbols

_NO_REF = MediaRef("", "page", "")
_NO_SYMBOLS: Symbols = {}

STRIPS: frozenset[Door] = frozenset({"fetch", "pictrs", "validate", "upload"})
"""The doors where ``strip`` takes effect in any case: the medium itself passes through there."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A rule as it is asked: ``index`` is its place in the policy, for the order matters."""

    index: int
    name: str
    test: Test
    action: Action
    then: Then | None
    asks_symbols: bool


class Policy:
    """Rules and reactions, compiled once. Nothing in it changes, so that one may be shared by all flows.

    ``version`` is 12 hex digits that differ whenever a decision could; ``observe``: decisions are made and written
    down, but the door forwards all the same.
    """

    __slots__ = (
        *("_context_rules", "_first_media_rule", "_media_rules"),
        *("observe", "on", "rules", "strips", "then", "version"),
    )

    def __init__(
        self,
        rules: Sequence[Rule],
        on: Mapping[Cause, Action],
        *,
        then: Mapping[Cause, Then] = MappingProxyType({}),
        observe: bool = False,
        salt: str = "",
        strips: frozenset[Door] = STRIPS,
    ) -> None:
        """``on`` has an action for every cause; ``then``, where that is ``hold``: what happens when its window closes
        (``drop`` where it is not said); ``salt`` is whatever else a decision hangs on, for ``version``; ``strips``: the
        doors at which ``strip`` really hides media; at others it counts as ``drop``."""
        self.strips = strips
        self.rules = tuple(rules)
        self.on = {cause: on[cause] for cause in Cause}
        self.then: dict[Cause, Then] = {cause: then.get(cause, "drop") for cause in Cause}
        self.observe = observe
        every = [
            (
                _Compiled(index, rule.name, compile_test(rule.when), rule.do, rule.then, rule.asks_symbols),
                rule.context_only,
            )
            for index, rule in enumerate(self.rules)
        ]
        self._context_rules = tuple(rule for rule, context_only in every if context_only)
        self._media_rules = tuple(rule for rule, context_only in every if not context_only)
        self._first_media_rule = self._media_rules[0].index if self._media_rules else len(every)
        told = repr((self.rules, sorted(self.on.items()), sorted(self.then.items()), observe, salt, sorted(strips)))
        self.version = hashlib.sha256(told.encode()).hexdigest()[:12]

    def acts(self, action: Action, door: Door) -> Action:
        """What ``action`` comes to at ``door``: ``strip`` is ``drop`` where it would not hide the media."""
        return Action.DROP if action is Action.STRIP and door not in self.strips else action

    def on_cause(self, cause: Cause, door: Door, medium: int | None = None) -> Hit:
        """The hit of a cause at ``door``: of one medium, or (None) of the whole."""
        action = self.acts(self.on[cause], door)
        then = self.then[cause] if action is Action.HOLD else None
        return Hit(action, cause=cause, medium=medium, then=then)

    def on_context(self, context: Context) -> tuple[list[Hit], int, bool]:
        """The rules on context alone that apply: their hits, the index at which a turn ends, and whether at once.

        At once: no medium need be looked at, since the action is stricter than ``record``, or is a ``pass`` that no
        rule on media stands before.
        """
        hits: list[Hit] = []
        for rule in self._context_rules:
            if rule.test(context, _NO_REF, _NO_SYMBOLS):
                hits.append(Hit(self.acts(rule.action, context.door), rule=rule.name, then=rule.then))
                if rule.action is Action.PASS:
                    return hits, rule.index, rule.index < self._first_media_rule
                if rule.action is not Action.RECORD:
                    return hits, rule.index, True
        return hits, len(self.rules), False

    def on_medium(self, context: Context, medium: Medium, index: int, end: int) -> list[Hit]:
        """The hits of one medium, rules from ``end`` on left out. Each frame has a turn of its own.

        What an allow list knows has none: the frame, or the medium if it knows every frame, passes.
        """
        hits: list[Hit] = []
        noted: set[int] = set()  # rules that ask no symbol say the same of each frame: told once
        if (standing := medium.standing) is not None:
            if standing.allowed:
                return [Hit(Action.PASS, medium=index, allowed=standing.by)]
            hits.append(Hit(self.acts(standing.action, context.door), medium=index, blocked=standing.by))
            if medium.judgement is None:  # need not be judged; what asks no symbol may still be stricter
                self._turn(context, medium.ref, None, (index, None, end), hits, noted)
                return hits
        if medium.judgement is None or not medium.judgement.frames:
            cause = medium.cause or Cause.DETECTOR_ERROR
            hits.append(self.on_cause(cause, context.door, index))
            self._turn(context, medium.ref, None, (index, None, end), hits, noted)
            return hits
        frames = medium.judgement.frames
        allowed = [_allowed(frame.symbols) for frame in frames]
        if first := allowed[0] if all(allowed) else None:
            return [Hit(Action.PASS, medium=index, allowed=first)]
        for frame, by in zip(frames, allowed, strict=True):
            if by:
                hits.append(Hit(Action.PASS, medium=index, frame=frame.index, allowed=by))
                continue
            self._turn(context, medium.ref, frame.symbols, (index, frame.index, end), hits, noted)
        return hits

    def _turn(
        self,
        context: Context,
        ref: MediaRef,
        symbols: Symbols | None,
        place: tuple[int, int | None, int],
        hits: list[Hit],
        noted: set[int],
    ) -> None:
        medium, frame, end = place
        for rule in self._media_rules:
            if rule.index >= end:
                return
            if symbols is None and rule.asks_symbols:
                continue  # not judged: an absent symbol is unknown there, not 0
            if not rule.test(context, ref, symbols if symbols is not None else _NO_SYMBOLS):
                continue
            action = self.acts(rule.action, context.door)
            if rule.asks_symbols:
                hits.append(Hit(action, rule=rule.name, medium=medium, frame=frame, then=rule.then))
            elif rule.index not in noted:
                noted.add(rule.index)
                hits.append(Hit(action, rule=rule.name, medium=medium, then=rule.then))
            if rule.action is not Action.RECORD:
                return


def _allowed(symbols: Symbols) -> str | None:
    """The first allow list that gave a symbol."""
    return min((name.removeprefix(ALLOW) for name in symbols if name.startswith(ALLOW)), default=None)


def decide_on_context(policy: Policy, context: Context) -> Decision | None:
    """The decision that needs no media, so that nothing is fetched for it; None where media must be looked at."""
    hits, _, at_once = policy.on_context(context)
    return _strictest(hits) if at_once else None


def decide(policy: Policy, context: Context, media: Sequence[Medium], causes: Sequence[Cause] = ()) -> Decision:
    """The decision on a delivery, fetch or upload: the strictest action of its media, its causes and its context.

    ``causes`` are those of the whole (``too_many``, ``hold_full``); a medium that could not be judged carries its own.
    A medium with neither judgement nor cause counts as ``detector_error``. What :func:`decide_on_context` decides
    stands, whatever the media.
    """
    hits, end, at_once = policy.on_context(context)
    if not at_once:
        hits += [policy.on_cause(cause, context.door) for cause in causes]
        for index, medium in enumerate(media):
            hits += policy.on_medium(context, medium, index, end)
    return _strictest(hits)


def _strictest(hits: Sequence[Hit]) -> Decision:
    deciding = min(hits, key=_strictness, default=None)
    return Decision(deciding.action if deciding else Action.PASS, deciding, tuple(hits))


def _strictness(hit: Hit) -> tuple[int, bool, bool]:
    """Of two holds one by a cause comes first (it is judged again, and a rule's may then still be found, which waits
    for a person), and one that ends in a drop."""
    held = hit.action is Action.HOLD
    return hit.action.rank, held and hit.cause is None, held and hit.then != "drop"
