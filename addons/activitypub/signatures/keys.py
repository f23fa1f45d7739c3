"""Keys and algorithms of HTTP signatures, and the values that signing and verifying give."""

from dataclasses import dataclass
from typing import Literal, assert_never

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

type PrivateKey = RSAPrivateKey | Ed25519PrivateKey
type PublicKey = RSAPublicKey | Ed25519PublicKey

Algorithm = Literal["rsa-v1_5-sha256", "rsa-pss-sha512", "ed25519"]
"""The names of RFC 9421 §3.3; draft-cavage's rsa-sha256 is the first one."""

Scheme = Literal["cavage", "rfc9421"]

RSA_BITS = range(2048, 8192 + 1)
"""A shorter key proves nothing; a longer one is a way to keep our processor busy."""
RSA_EXPONENT_BITS = 32
"""65537 has 17: an exponent as long as the modulus makes a check a thousand times dearer."""


MAX_PEM = 8 * 1024
"""Characters of a public key as an actor publishes it: the longest RSA key we take has 1,500."""


class SignatureError(Exception):
    """The request carries no signature that holds; the message says why, for a person."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A signature that holds.

    ``covered`` are the components it signs, in its order: lower-case header names, and ``(request-target)`` and such
    (draft-cavage) or ``@method`` and such (RFC 9421).
    """

    key_id: str
    scheme: Scheme
    covered: tuple[str, ...]


def read_public_key(pem: str) -> PublicKey:
    """An actor's ``publicKeyPem``. SignatureError: not a key, or not one of RSA or Ed25519 within the bounds."""
    if len(pem) > MAX_PEM:
        raise SignatureError(f"the public key is longer than {MAX_PEM} characters")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureError(f"the public key cannot be read: {error}") from None
    if isinstance(key, Ed25519PublicKey):
        return key
    if not isinstance(key, RSAPublicKey):
        raise SignatureError("the public key is neither RSA nor Ed25519")
    _check_rsa(key)
    return key


def default_algorithm(key: PrivateKey) -> Algorithm:
    """What the fediverse signs with when it has such a key."""
    return "ed25519" if isinstance(key, Ed25519PrivateKey) else "rsa-v1_5-sha256"


def sign_bytes(key: PrivateKey, algorithm: Algorithm, message: bytes) -> bytes:
    """The signature of ``message``. ValueError: the algorithm is not one for this kind of key."""
    match algorithm, key:
        case "ed25519", Ed25519PrivateKey():
            return key.sign(message)
        case "rsa-v1_5-sha256", RSAPrivateKey():
            return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        case "rsa-pss-sha512", RSAPrivateKey():
            return key.sign(message, _PSS, hashes.SHA512())
        case _:
            raise ValueError(f"a key of type {type(key).__name__} cannot sign with {algorithm}")


def verify_bytes(key: PublicKey, algorithms: tuple[Algorithm, ...], signature: bytes, message: bytes) -> None:
    """Raise SignatureError unless ``signature`` is one of ``message`` by ``key`` with one of ``algorithms``."""
    if isinstance(key, RSAPublicKey):
        _check_rsa(key)
    fitting = [name for name in algorithms if (name == "ed25519") == isinstance(key, Ed25519PublicKey)]
    if not fitting:
        raise SignatureError(f"the key is not one for the algorithm {' or '.join(algorithms)}")
    for algorithm in fitting:
        try:
            match key:
                case Ed25519PublicKey():
                    key.verify(signature, message)
                case RSAPublicKey():
                    if algorithm == "rsa-pss-sha512":
                        key.verify(signature, message, _PSS, hashes.SHA512())
                    else:
                        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
                case _:
                    assert_never(key)
        except InvalidSignature:
            continue
        return
    raise SignatureError("the signature is not one of this request by this key")


# RFC 9421 §3.3.1: the salt is as long as the hash.
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)


def _check_rsa(key: RSAPublicKey) -> None:
    if key.key_size not in RSA_BITS:
        raise SignatureError(
            f"the RSA key has {key.key_size} bits: only {RSA_BITS.start} to {RSA_BITS.stop - 1} are accepted"
        )
    if key.public_numbers().e.bit_length() > RSA_EXPONENT_BITS:
        raise SignatureError(f"the RSA key's exponent is longer than {RSA_EXPONENT_BITS} bits")
