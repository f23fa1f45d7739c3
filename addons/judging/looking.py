"""What the inbox door looks ahead at in a delivery: which of its links, and which of the objects it only names."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from addons.activitypub.named import named_objects
from addons.activitypub.references import Link, MediaRef, Walk
from addons.judging.local import is_local

OBJECTS = 4
"""Objects of one delivery that are looked at."""
TEXT_LINKS = 4
"""Links in text that are looked at; servers preview the first (MAS:app/services/fetch_link_card_service.rb)."""
TEXTS_UNREAD = frozenset({"lemmy"})
"""Servers that preview a post's own link alone, never one in its text (LEM:crates/apub/objects/src/objects/post.rs)."""
UNSIGNED = frozenset({"lemmy"})
"""Servers that do not sign when they fetch (ref §7b): who refuses us refuses them."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What of an activity is looked at: ``domains`` our own, whose media are judged only with ``judge_local``; bounds
    of the walk; whether it is looked ahead at ``links`` and ``objects``.

    ``media`` is also for the media of all objects of a delivery together, and for its own with the links that are no
    text. ``page_headers``: with which the server fetches pages; ``body``: bytes of one object.
    """

    software: str = "generic"
    domains: frozenset[str] = frozenset()
    judge_local: bool = False
    depth: int = 64
    nodes: int = 20_000
    media: int = 32
    links: bool = False
    objects: bool = False
    page_headers: Mapping[str, str] = field(default_factory=dict)
    body: int = 1 << 20

    @property
    def signed(self) -> bool:
        """Whether the server may sign when it fetches objects, so that who refuses us may answer it."""
        return self.software not in UNSIGNED

    def is_ours(self, url: str) -> bool:
        """Whether it lies on our own domains and is not looked at for that."""
        return not self.judge_local and is_local(url, self.domains)

    def media_of(self, found: Walk) -> tuple[MediaRef, ...]:
        """Its media, but for our own."""
        return tuple(ref for ref in found.media if not self.is_ours(ref.url))

    def links_of(self, found: Walk) -> tuple[tuple[Link, ...], bool]:
        """Its links to look at, and whether there are more of its own than are: past ``media``, its media counted.

        Of links in text there is never one too many: no server previews all of them.
        """
        if not self.links or not found.links:
            return (), False
        links = [link for link in found.links if not self.is_ours(link.url)]
        own = {link.url: link for link in links if not link.text}
        texts = {link.url: link for link in links if link.text and link.url not in own}
        room = self.media - len({ref.url for ref in found.media} - own.keys())
        most = 0 if self.software in TEXTS_UNREAD else TEXT_LINKS
        return (*list(own.values())[: max(0, room)], *list(texts.values())[:most]), len(own) > room

    def objects_of(self, document: object, found: Walk) -> tuple[tuple[Link, ...], bool]:
        """The objects to look at that it only names, and whether there are more of them."""
        if not self.objects:
            return (), False
        named = named_objects(document, found, max_depth=self.depth)
        others = [link for link in named if not self.is_ours(link.url)]
        return tuple(others[:OBJECTS]), len(others) > OBJECTS
