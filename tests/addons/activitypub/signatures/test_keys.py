"""Which keys are taken, and what each algorithm signs."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from addons.activitypub.signatures.keys import (
    MAX_PEM,
    Algorithm,
    SignatureError,
    default_algorithm,
    read_public_key,
    sign_bytes,
    verify_bytes,
)


def rsa_pem(bits: int, exponent: int = 65537) -> str:
    key = RSAPublicNumbers(exponent, (1 << bits) - 1).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize("bits", [2048, 4096, 8192])
def test_rsa_keys_of_a_sane_size_are_read(bits: int) -> None:
    read_public_key(rsa_pem(bits))


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (rsa_pem(2047), "has 2047 bits: only 2048 to 8192"),
        (rsa_pem(8193), "has 8193 bits"),
        (rsa_pem(2048, (1 << 32) + 1), "exponent is longer than 32 bits"),
        ("", "cannot be read"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        ("\ud800", "cannot be read"),
        (
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            .decode(),
            "neither RSA nor Ed25519",
        ),
    ],
    ids=["2047", "8193", "exponent", "empty", "short", "surrogate", "elliptic"],
)
def test_other_keys_are_refused(pem: str, reason: str) -> None:
    with pytest.raises(SignatureError, match=reason):
        read_public_key(pem)


def test_an_exponent_of_32_bits_is_read() -> None:
    read_public_key(rsa_pem(2048, (1 << 32) - 1))


def test_the_length_of_a_pem_is_bounded() -> None:
    pem = rsa_pem(2048)
    assert read_public_key(pem + "\n" * (MAX_PEM - len(pem)))
    with pytest.raises(SignatureError, match="longer than 8192 characters"):
        read_public_key(pem + "\n" * (MAX_PEM - len(pem) + 1))


ALGORITHMS: tuple[Algorithm, ...] = ("rsa-v1_5-sha256", "rsa-pss-sha512", "ed25519")


@pytest.mark.parametrize("signed_with", ALGORITHMS)
@pytest.mark.parametrize("checked_with", ALGORITHMS)
def test_an_algorithm_verifies_its_own_only(
    rsa_key: RSAPrivateKey, signed_with: Algorithm, checked_with: Algorithm
) -> None:
    key = Ed25519PrivateKey.generate() if signed_with == "ed25519" else rsa_key
    signature = sign_bytes(key, signed_with, b"message")
    if signed_with == checked_with:
        verify_bytes(key.public_key(), (checked_with,), signature, b"message")
        with pytest.raises(SignatureError, match="not one of this request"):
            verify_bytes(key.public_key(), (checked_with,), signature, b"messagf")
    else:
        with pytest.raises(SignatureError):
            verify_bytes(key.public_key(), (checked_with,), signature, b"message")


def test_where_several_will_do_each_is_tried(rsa_key: RSAPrivateKey) -> None:
    for algorithm in ("rsa-v1_5-sha256", "rsa-pss-sha512"):
        verify_bytes(rsa_key.public_key(), ALGORITHMS, sign_bytes(rsa_key, algorithm, b"x"), b"x")


def test_signing_with_an_algorithm_of_another_key_is_a_mistake(rsa_key: RSAPrivateKey) -> None:
    with pytest.raises(ValueError, match="cannot sign with ed25519"):
        sign_bytes(rsa_key, "ed25519", b"")
    with pytest.raises(ValueError, match="cannot sign with rsa"):
        sign_bytes(Ed25519PrivateKey.generate(), "rsa-v1_5-sha256", b"")


def test_default_algorithms(rsa_key: RSAPrivateKey) -> None:
    assert default_algorithm(rsa_key) == "rsa-v1_5-sha256"
    assert default_algorithm(Ed25519PrivateKey.generate()) == "ed25519"
