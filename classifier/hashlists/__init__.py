"""Lists of known hashes: read from files, searched, kept current, and what they say of a judgement."""

from classifier.hashlists.digests import Digests
from classifier.hashlists.known import HashList
from classifier.hashlists.lists import Lists

__all__ = ["Digests", "HashList", "Lists"]
