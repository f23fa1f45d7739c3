from classifier.hashlists import Digests


def test_digests_of_known_bytes() -> None:
    """FIPS 180-4 and RFC 1321: the digests of "abc"."""
    found = Digests.of(b"abc", every=True)
    assert found == Digests(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "900150983cd24fb0d6963f7d28e17f72",
        "a9993e364706816aba3e25717850c26c9cd0d89d",
    )
    assert Digests.of(b"abc", every=False) == Digests(found.sha256)
