"""HTTP signatures of the fediverse: draft-cavage-http-signatures-12 and RFC 9421, signed and verified. Pure.

The clock, the keys and the bytes come in as arguments; nothing is fetched. What comes from outside is bounded: see the
constants in the modules. A caller that must fetch a key first asks :func:`key_ids` which one.
"""

from addons.activitypub.signatures.cavage import sign_cavage
from addons.activitypub.signatures.keys import PrivateKey, PublicKey, SignatureError, Verified, read_public_key
from addons.activitypub.signatures.rfc9421 import sign_rfc9421
from addons.activitypub.signatures.verify import key_ids, signed_at, verify

__all__ = [
    "PrivateKey",
    "PublicKey",
    "SignatureError",
    "Verified",
    "key_ids",
    "read_public_key",
    "sign_cavage",
    "sign_rfc9421",
    "signed_at",
    "verify",
]
