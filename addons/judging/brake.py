"""A limit on how much a rule may act, for a model gone wrong must not wipe an instance.

It trips when a rule that uses no ``hash.*`` symbol matched more than 20 % of at least 200 judged media in an hour, from
at least 5 verified hosts, each host counting at most 10 matches (what a host has beyond is left out of both sides:
otherwise few hosts that send much would hide a model that matches everything). Past it the rule's new matches are held,
and dropped unless a person releases them.

An attacker cannot open the gate with it. Whoever has five hosts can trip it where little else comes in, by a flood of
what matches; but tripped means held, then dropped, never passed: neither what he sends nor anything else that the rule
would have dropped gets by. What a hash list's rule, a rule on context or a cause forbids is forbidden as before.
"""

import functools
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from addons.policy.conditions import symbol_tests
from addons.policy.decide import Policy, decide
from addons.policy.hold_sections import Brake as BrakeSettings
from addons.policy.rules import Rule
from addons.policy.words import Action, Context, Decision, Hit, Medium

MAX_HOSTS = 4096
"""Hosts of which a rule's matches are counted; those of more are left out of both sides."""
_BUCKETS = 60
_ACTS = frozenset({Action.DROP, Action.REJECT, Action.HOLD, Action.DEFER, Action.STRIP})

logger = logging.getLogger(__name__)


def limited(rules: Iterable[Rule]) -> frozenset[str]:
    """The rules that a model decides: they ask symbols, none of them a hash list's, and do more than to record."""
    return frozenset(rule.name for rule in rules if rule.do in _ACTS and _by_model(rule))


def _by_model(rule: Rule) -> bool:
    asked = [test.symbol for test in symbol_tests(rule.when)]
    return bool(asked) and not any(symbol.startswith("hash.") for symbol in asked)


@dataclass(slots=True)
class _Bucket:
    """What was seen in a sixtieth of the window."""

    number: int
    judged: int = 0
    matched: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By rule and host."""


@dataclass(slots=True)
class _Matches:
    """A rule's matches in the window, by host: those that count, and those left out."""

    hosts: Counter[str] = field(default_factory=Counter)
    counted: int = 0
    beyond: int = 0


class Brake:
    """Counts what a policy's rules match, in one process. ``clock`` in seconds; the window is right to a sixtieth of
    it. Only what verified hosts sent counts at all."""

    def __init__(
        self,
        rules: Iterable[Rule],
        settings: BrakeSettings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rules = limited(rules)
        """Those that it can stop."""
        self._settings = settings or BrakeSettings()
        self._clock = clock
        self._buckets: deque[_Bucket] = deque()
        self._judged = 0
        self._matches: dict[str, _Matches] = {}
        self._tripped: dict[str, float] = {}

    def judged(self, host: str | None, verified: bool) -> None:
        """One more medium was judged, brought by a delivery of ``host``."""
        if host is not None and verified:
            self._bucket().judged += 1
            self._judged += 1

    def matched(self, rule: str, host: str | None, verified: bool) -> None:
        """``rule`` matched one of the media judged."""
        if host is None or not verified or rule not in self.rules:
            return
        bucket = self._bucket()
        matches = self._matches.setdefault(rule, _Matches())
        if host not in matches.hosts and len(matches.hosts) >= MAX_HOSTS:
            host = ""
        bucket.matched[rule, host] += 1
        self._count(matches, host, 1)

    def tripped(self, rule: str) -> bool:
        """Whether its new matches are held now. It stays so until an hour has passed and its share has fallen."""
        if rule not in self.rules:
            return False
        self._forget()
        since = self._tripped.get(rule)
        if self._too_much(rule):
            if since is None:
                self._tripped[rule] = self._clock()
                logger.error("the brake trips: %s; its matches are held for you to look into", self.told(rule))
            return True
        if since is not None and self._clock() - since >= self._settings.within:
            del self._tripped[rule]
            logger.warning("the brake is released: the rule %s acts again", rule)
        return rule in self._tripped

    @property
    def stopped(self) -> frozenset[str]:
        """Every rule whose new matches are held now."""
        return frozenset(rule for rule in self.rules if self.tripped(rule))

    def until(self, rule: str) -> float | None:
        """When it may act again at the earliest, on the clock; None: it does now."""
        return self._tripped[rule] + self._settings.within if self.tripped(rule) else None

    def reset(self, rule: str) -> None:
        """Let it act again, and count its matches anew."""
        self._tripped.pop(rule, None)
        self._matches.pop(rule, None)
        for bucket in self._buckets:
            for key in [key for key in bucket.matched if key[0] == rule]:
                del bucket.matched[key]

    def told(self, rule: str) -> str:
        """How much it matched, for a person."""
        matches = self._matches.get(rule, _Matches())
        return (
            f"the rule {rule} matched {matches.counted} of {self._judged - matches.beyond} media of the last "
            f"{self._settings.within / 60:.0f} minutes, from {_hosts(matches)} hosts"
        )

    def _too_much(self, rule: str) -> bool:
        limit, matches = self._settings, self._matches.get(rule)
        if matches is None or self._judged < limit.media or _hosts(matches) < limit.hosts:
            return False
        return matches.counted > limit.share * (self._judged - matches.beyond)

    def _count(self, matches: _Matches, host: str, by: int) -> None:
        before = matches.hosts[host]
        after = matches.hosts[host] = before + by
        most = self._settings.per_host if host else 0
        counted = min(after, most) - min(before, most)
        matches.counted += counted
        matches.beyond += by - counted
        if not after:
            del matches.hosts[host]

    def _bucket(self) -> _Bucket:
        number = self._forget()
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number))
        return self._buckets[-1]

    def _forget(self) -> int:
        """Let go of what is older than the window; the number of the present bucket."""
        number = int(self._clock() * _BUCKETS / self._settings.within)
        while self._buckets and self._buckets[0].number <= number - _BUCKETS:
            old = self._buckets.popleft()
            self._judged -= old.judged
            for (rule, host), count in old.matched.items():
                self._count(self._matches[rule], host, -count)
        return number


def _hosts(matches: _Matches) -> int:
    return len(matches.hosts) - ("" in matches.hosts)


def note(brake: Brake | None, decision: Decision, media: Sequence[Medium], host: str | None, verified: bool) -> None:
    """Count what was judged of one delivery, once, before :func:`braked`; ``host``: its signer's."""
    if brake is None:
        return
    for medium in media:
        if medium.judgement is not None:
            brake.judged(host, verified)
    for rule, _ in {(hit.rule, hit.medium) for hit in decision.hits if hit.action in _ACTS}:
        if rule is not None:
            brake.matched(rule, host, verified)


def braked(
    policy: Policy, brake: Brake | None, decision: Decision, context: Context, media: Sequence[Medium]
) -> Decision:
    """``decision`` as it stands while the brake is on: to be asked at every door, of whatever :func:`decide` gave.

    Where rules that are stopped had a part in it, it is what the other rules, the causes and the block set come to, but
    at least a hold that ends in a drop. So it is never weaker than that where a hash list knows it too, even by a rule
    that comes after those.
    """
    if brake is None or not any(hit.rule and hit.action in _ACTS and brake.tripped(hit.rule) for hit in decision.hits):
        return decision
    stopped = brake.stopped
    held = tuple(
        Hit(Action.HOLD, rule=hit.rule, medium=hit.medium, frame=hit.frame, then="drop")
        for hit in decision.hits
        if hit.rule in stopped and hit.action in _ACTS
    )
    causes = [hit.cause for hit in decision.hits if hit.cause is not None and hit.medium is None]
    rest = decide(_without(policy, stopped), context, media, causes)
    hits = (*rest.hits, *held)
    if rest.action.rank <= Action.HOLD.rank:
        return Decision(rest.action, rest.deciding, hits)
    return Decision(Action.HOLD, held[0], hits)


@functools.lru_cache(maxsize=8)
def _without(policy: Policy, stopped: frozenset[str]) -> Policy:
    rules = [rule for rule in policy.rules if rule.name not in stopped]
    return Policy(rules, policy.on, then=policy.then, observe=policy.observe, strips=policy.strips)
