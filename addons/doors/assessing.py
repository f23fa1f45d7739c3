"""What a delivery holds and what the policy makes of it: from body to decision, with nothing of HTTP in it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import urlsplit

from addons.activitypub.parsing import parse
from addons.activitypub.references import Link, MediaRef, Walk
from addons.activitypub.speakers import speakers
from addons.activitypub.walk import walk
from addons.holding.order import Ids, ids_of
from addons.judging.brake import Brake, braked
from addons.judging.lookahead import Named
from addons.judging.looking import Scope as Scope  # also for who reads as it is read here
from addons.policy.decide import Policy, decide, decide_on_context
from addons.policy.hosts import normal_host
from addons.policy.words import Action, Cause, Context, Decision, Hit, Medium

SPEAKERS = 8
"""Actors (with what they say) of one array or collection; real deliveries have one."""
_LONGEST_CACHED = 512


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as it was read: one context for each who speaks in it, the media to judge, causes of the whole.

    ``crowded``: more speak than there are contexts. ``links`` and ``objects``: what it is looked ahead at.
    ``ids``: those that it gives, may not overtake, and takes back.
    """

    body: bytes
    walk: Walk
    contexts: tuple[Context, ...]
    media: tuple[MediaRef, ...]
    causes: tuple[Cause, ...]
    crowded: bool = False
    links: tuple[Link, ...] = ()
    objects: tuple[Link, ...] = ()
    ids: Ids = field(default_factory=Ids)

    @property
    def looked_at(self) -> tuple[MediaRef, ...]:
        """All that has to be fetched: the media, and whatever is not one itself as a page."""
        ahead = dict.fromkeys((*self.links, *self.objects))
        return (*self.media, *(MediaRef(link.url, "page", link.path) for link in ahead))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, and the context (of those in the delivery) that gave it."""

    decision: Decision
    context: Context


def read(body: bytes, scope: Scope, address: str | None = None) -> Delivery:
    """Parse and walk a body that ``address`` brought, its encodings undone. Raises MalformedActivityError."""
    parsed = parse(body, max_depth=scope.depth, max_nodes=scope.nodes)
    found = walk(parsed.document, max_depth=scope.depth, max_nodes=scope.nodes, max_media=scope.media)
    told = speakers(parsed.document, found, max_depth=scope.depth, most=SPEAKERS)
    links, more_links = scope.links_of(found)
    objects, more_objects = scope.objects_of(parsed.document, found)
    return Delivery(
        body,
        found,
        tuple(Context("inbox", host_of(one.actor), one.actor, one.types, scope.software, address) for one in told.all),
        scope.media_of(found),
        (Cause.TOO_MANY,) if more_links or more_objects else overflow_causes(found),
        told.overflow,
        links,
        objects,
        ids_of(parsed.document),
    )


def with_named(delivery: Delivery, named: Sequence[Named]) -> Delivery:
    """The same with those who speak in objects that it only names; who is not told speaks for the object's host."""
    first = delivery.contexts[0]
    contexts = [
        Context("inbox", host_of(one.actor) or host_of(each.url), one.actor, one.types, first.software, first.address)
        for each in named
        for one in each.speakers
    ]
    more = (Cause.TOO_MANY,) if any(each.overflow for each in named) else ()
    causes = tuple(dict.fromkeys((*delivery.causes, *more)))
    return replace(delivery, contexts=(*delivery.contexts, *contexts), causes=causes)


def without_media(policy: Policy, delivery: Delivery) -> Verdict | None:
    """The verdict for which nothing need be fetched; None where the media must be judged."""
    settled = [(decide_on_context(policy, context), context) for context in delivery.contexts]
    given = [Verdict(decision, context) for decision, context in settled if decision is not None]
    refused = [verdict for verdict in given if verdict.decision.action in (Action.DROP, Action.REJECT)]
    if refused:
        return _strictest(refused)
    if delivery.looked_at and len(given) < len(delivery.contexts):
        return None
    return with_media(policy, delivery, ())


def with_media(
    policy: Policy,
    delivery: Delivery,
    media: Sequence[Medium],
    more: Sequence[Cause] = (),
    brake: Brake | None = None,
) -> Verdict:
    """The strictest verdict of all who speak: any of them may have sent any of the media. ``more``: further causes."""
    causes = [*delivery.causes, *more]
    verdicts = [
        Verdict(braked(policy, brake, decide(policy, context, media, causes), context, media), context)
        for context in delivery.contexts
    ]
    if delivery.crowded:
        # A cause of its own, since a rule that lets one of the speakers by says nothing of those who were not seen.
        hit = policy.on_cause(Cause.TOO_MANY, "inbox")
        verdicts.append(Verdict(Decision(hit.action, hit, (hit,)), delivery.contexts[0]))
    return _strictest(verdicts)


def unread(policy: Policy, software: str, cause: Cause, address: str | None = None) -> Verdict:
    """The verdict on a delivery that was not read for a cause of our own."""
    context = Context("inbox", software=software, address=address)
    decision = decide(policy, context, (), (cause,))
    return Verdict(as_drop(decision) if decision.action is Action.STRIP else decision, context)


def stripped(policy: Policy, delivery: Delivery, verdict: Verdict, media: Sequence[Medium]) -> list[Medium] | None:
    """The media that the delivery is let in without, where the verdict is ``strip``: those that some speaker's rules
    strip, or all of them where a rule on context alone does. None where it cannot be stripped.

    That is where they are not all known; and where a rule on context alone would take out what lies on other hosts than
    the speaker's: on the block set it would be taken from everybody, so that any sender whose posts are stripped could
    have anyone's pictures blocked, by naming them. For the same reason such media are told by their URL alone.
    """
    told = [(verdict.context, verdict.decision.hits)]
    told += [(context, decide(policy, context, media, delivery.causes).hits) for context in delivery.contexts]
    found = [(context, hit) for context, hits in told for hit in hits if hit.action is Action.STRIP]
    each = {hit.medium for _, hit in found if hit.medium is not None}
    whole = [(context.host, hit) for context, hit in found if hit.medium is None]
    if not whole:
        return [media[index] for index in sorted(each)]
    if delivery.causes or delivery.crowded or any(hit.cause for _, hit in whole):
        return None
    hosts = {host for host, _ in whole if host}
    if not all(index in each or _lies_on(medium.ref.url, hosts) for index, medium in enumerate(media)):
        return None
    return [
        medium if index in each else replace(medium, judgement=None, final_url=None)
        for index, medium in enumerate(media)
    ]


def _lies_on(url: str, hosts: Collection[str]) -> bool:
    """Whether a URL is on one of ``hosts`` or below it (``files.`` …), or is itself all that it leads to."""
    if url[:5].lower() == "data:":
        return True
    host = host_of(url)
    return host is not None and any(host == one or host.endswith("." + one) for one in hosts)


def as_drop(decision: Decision, cause: Cause | None = None) -> Decision:
    """A ``strip`` that cannot be done, which counts as ``drop``; ``cause``: why, where it is not the decision's own."""
    hit = (
        Hit(Action.DROP, cause=cause)
        if cause or not decision.deciding
        else replace(decision.deciding, action=Action.DROP)
    )
    return Decision(Action.DROP, hit, (hit, *(one for one in decision.hits if cause or one is not decision.deciding)))


def _strictest(verdicts: Sequence[Verdict]) -> Verdict:
    # Of two holds the one that ends in a drop.
    return min(verdicts, key=lambda verdict: (verdict.decision.action.rank, verdict.decision.then == "record"))


def overflow_causes(found: Walk) -> tuple[Cause, ...]:
    """The cause of a walk that did not see all: too many media or values, or too deep a nesting."""
    return () if found.overflow is None else (Cause.TOO_MANY,)


def host_of(iri: str | None) -> str | None:
    """The host of an actor's IRI in its one form, without port; None where there is none."""
    if not iri or len(iri) > _LONGEST_CACHED:  # the cache must not keep megabytes of a stranger's making
        return _host_of.__wrapped__(iri or "")
    return _host_of(iri)


@lru_cache(maxsize=4096)
def _host_of(iri: str) -> str | None:
    try:
        host = urlsplit(iri).hostname
    except ValueError:
        return None
    return normal_host(host) if host and len(host) <= 255 else None
