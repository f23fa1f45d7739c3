import pytest

from addons.doors.sessions import hashed, token_of

KEY = bytes(32)


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([], None),
        ([("Authorization", "Bearer abc")], "abc"),
        ([("authorization", "bearer  abc ")], "abc"),
        ([("Authorization", "Signature keyId=x")], None),
        ([("Cookie", "a=b; jwt=abc")], "abc"),  # Lemmy
        ([("Cookie", "_mastodon_session=abc")], "abc"),
        ([("Cookie", "_session_id=abc")], "abc"),
        ([("Cookie", "PHPSESSID=abc; REMEMBERME=x")], "abc"),  # Mbin
        ([("Cookie", "__Host-pleroma_key=abc")], "abc"),
        ([("Cookie", "pixelfed_session=abc")], "abc"),
        ([("Cookie", "session=abc")], "abc"),  # PieFed
        ([("Cookie", "theme=dark; obsession=1; session=")], None),
        ([("Cookie", "session=cookie"), ("Authorization", "Bearer header")], "header"),
    ],
)
def test_token(headers: list[tuple[str, str]], token: str | None) -> None:
    assert token_of(headers) == token


def test_a_hash_stands_for_a_token_under_one_key_only() -> None:
    told = hashed(KEY, "abc")
    assert told is not None
    assert (len(told), told) == (32, hashed(KEY, "abc"))
    assert told not in (hashed(KEY, "abd"), hashed(b"\1" * 32, "abc"))
    assert "abc" not in told


def test_bounds() -> None:
    assert hashed(KEY, None) is hashed(KEY, "") is None
    assert hashed(KEY, "a" * (16 << 10)) is not None
    assert hashed(KEY, "a" * ((16 << 10) + 1)) is None
    assert hashed(KEY, "\udcff") is not None  # a header's byte that is no UTF-8
