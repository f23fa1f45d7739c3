"""Reads whose public key an ActivityPub document gives. Pure: an actor with its keys, or a key that names its owner."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from addons.activitypub.parsing import parse
from addons.activitypub.signatures import PublicKey, SignatureError, read_public_key
from addons.fetching.urls import Target, UrlRefusedError
from addons.fetching.urls import parse as parse_url

MAX_KEYS = 16
"""Of one actor, looked through."""
_DEPTH = 32
_NODES = 50_000
_CONTEXT = "https://www.w3.org/ns/activitystreams"


@dataclass(frozen=True, slots=True)
class Named:
    """A public key as a document gives it. ``owner``: the actor it is said to be of; ``named``: that very actor's
    document says so, and not only the key's."""

    public: PublicKey
    owner: str
    named: bool


def is_activity_type(content_type: str) -> bool:
    """Whether a host says that what it serves is ActivityPub. Of its users' uploads no host should say so, or each of
    them could give keys in its name (Mastodon's CVE-2024-25623)."""
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    return kind == "application/activity+json" or (kind == "application/ld+json" and _CONTEXT in parameters)


def read_document(data: bytes) -> Mapping[str, object]:
    """One JSON object. SignatureError: none, or too deep or large; MalformedActivityError: no JSON at all."""
    parsed = parse(data, max_depth=_DEPTH, max_nodes=_NODES)
    if not isinstance(parsed.document, dict):
        raise SignatureError("the document with the key is no JSON object, or has too many parts")
    return parsed.document


def same_origin(url: str, origin: Target) -> bool:
    """Whether both have one scheme, host and port."""
    try:
        target = parse_url(url)
    except UrlRefusedError:
        return False
    return (target.scheme, target.host, target.port) == (origin.scheme, origin.host, origin.port)


def read_key(document: Mapping[str, object], key_id: str, origin: Target) -> Named:
    """The key ``key_id`` in the document that its host serves under it. ``origin``: where that is.

    - An actor that has the key under ``publicKey`` (Mastodon and most), also where it is served under the key's own URL
      with nothing else in it (GoToSocial's ``…/main-key``).
    - An actor whose own id is the key id, and who has just one key (PeerTube signs with the actor's URL).
    - The key by itself, which names its owner: then the owner has to name it too (:func:`owner_names`).

    SignatureError: it is not there, not its owner's by what it says, or not of this origin.
    """
    identity = document.get("id")
    entry, named = _find(document, key_id)
    owner = entry.get("owner") or entry.get("controller") or (identity if named else None)
    if not isinstance(owner, str) or not owner:
        raise SignatureError("the key names no owner")
    if not isinstance(identity, str) or not same_origin(identity, origin) or not same_origin(owner, origin):
        raise SignatureError("the key's owner is not on the host that the key's id names")
    if named and owner != identity:
        raise SignatureError("the key names another owner than the actor that has it")
    pem = entry.get("publicKeyPem")
    if not isinstance(pem, str):
        raise SignatureError("the key has no publicKeyPem")
    return Named(read_public_key(pem), owner, named)


def owner_names(document: Mapping[str, object], owner: str, key_id: str) -> bool:
    """Whether this is the actor ``owner``'s document, and has the key by its id."""
    ids = (entry if isinstance(entry, str) else entry.get("id") for entry in _entries(document))
    return document.get("id") == owner and key_id in ids


def _find(document: Mapping[str, object], key_id: str) -> tuple[Mapping[str, object], bool]:
    """What describes the key, and whether it stands in an actor."""
    entries = [entry for entry in _entries(document) if not isinstance(entry, str)]
    for entry in entries:
        if entry.get("id") == key_id:
            return entry, True
    if document.get("id") == key_id:
        if len(entries) == 1:
            return entries[0], True
        if "publicKeyPem" in document:
            return document, False
    raise SignatureError("the document under the key's id does not have this key")


def _entries(document: Mapping[str, object]) -> Iterator[str | Mapping[str, object]]:
    found = document.get("publicKey")
    for entry in (found if isinstance(found, list) else [found])[:MAX_KEYS]:
        if isinstance(entry, str | dict):
            yield entry
