import base64
import json

import pytest

from addons.ledger.clean import bounded, bounded_url, key, printable, printable_body, printable_json, without_payloads

BASE64 = base64.b64encode(bytes(range(256)) * 6)


@pytest.mark.parametrize(
    ("text", "limit", "kept"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("a\x00b", 9, "a\ufffdb"),
        ("é\x00", 9, "é\ufffd"),
        ("a\ud800b", 9, "a?b"),
        ("日本", 2, "日本"),
        ("日本語", 2, "日…"),
    ],
)
def test_bounded(text: str, limit: int, kept: str) -> None:
    assert bounded(text, limit) == kept
    assert len(bounded(text, limit)) <= limit


@pytest.mark.parametrize("url", ["data:image/png;base64,AAAA", " DATA:image/png,AAAA", "data:,AAAA"])
def test_of_a_data_url_only_its_kind_is_kept(url: str) -> None:
    kept = bounded_url(url, 4096)
    assert "AAAA" not in kept
    assert f"[{len(url)} characters not kept]" in kept


def test_another_url_is_kept_as_it_is() -> None:
    assert bounded_url("https://a.example/data:x,y", 4096) == "https://a.example/data:x,y"


def test_a_key_stands_for_any_text() -> None:
    assert len(key("é\ud800" * 5000)) == 32
    assert key("a") != key("b")


@pytest.mark.parametrize(
    "spelled",
    [
        b"data:image/png;base64," + BASE64[:40],
        b"DATA:image\\/png;base64," + BASE64[:40].replace(b"/", b"\\/"),
        b"\\u0064ata:image/png;base64," + BASE64,
        b"text\\n" + BASE64.replace(b"/", b"\\/"),
        b"\\\\" + BASE64,
    ],
)
def test_embedded_files_are_not_kept_however_they_are_spelled(spelled: bytes) -> None:
    body = b'{"type":"Create","content":"' + spelled + b'","id":"https:\\/\\/a.example\\/1"}'
    kept = without_payloads(body)
    assert BASE64[10:30] not in kept.replace(b"\\/", b"/")
    assert b"bytes not kept]" in kept
    assert json.loads(kept)["id"] == "https://a.example/1"


@pytest.mark.parametrize(("length", "kept"), [(1023, True), (1024, False)])
def test_a_run_of_base64_is_a_file_from_1024_bytes_on(length: int, kept: bool) -> None:
    body = b'{"content":"' + BASE64[:length] + b'"}'
    assert (without_payloads(body) == body) is kept


def test_ordinary_text_stays_even_where_it_is_escaped_and_has_no_spaces() -> None:
    body = (
        json.dumps({"content": "日本語" * 900, "url": "https://a.example/" + "a/" * 300}).replace("/", "\\/").encode()
    )
    assert without_payloads(body) == body


@pytest.mark.parametrize("piece", [b"data:", b"\\", b"a" * 1023 + b" ", b"\\a", b"data:a,", b"\\/", b"\\u0041"])
def test_a_hostile_megabyte_is_cleaned_in_reasonable_time(piece: bytes) -> None:
    # Quadratic work would take minutes here, and the suite's own deadline would tell.
    assert without_payloads(piece * ((1 << 20) // len(piece))) is not None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 🎉", "plain é 日本 🎉"),
        ("\x1b[2J", "\\u{1b}[2J"),
        ("a\u202eb\u2066c", "a\\u{202e}b\\u{2066}c"),
        ("a\nb\rc\td", "a\\u{a}b\\u{d}c\\u{9}d"),
        ("\x9b31m\u200b\u2028\x7f\ud800", "\\u{9b}31m\\u{200b}\\u{2028}\\u{7f}\\u{d800}"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_json_is_printed_in_ascii() -> None:
    shown = printable_json({"a": "\x1b\u202e\x7f\x9bé"})
    assert shown.isascii()
    assert shown.isprintable()
    assert json.loads(shown) == {"a": "\x1b\u202e\x7f\x9bé"}


def test_a_printed_activity_is_the_same_json_and_harmless() -> None:
    body = json.dumps({"a": "\u202e\x9b\x7fé🎉\U000e0041", "b": 1}, ensure_ascii=False, indent=1).encode()
    shown = printable_body(body)
    assert json.loads(shown) == json.loads(body)
    assert printable(shown, keep="\n") == shown
    assert "é🎉" in shown
    assert "\x1b" not in printable_body(b"\x1b]0;evil\x07 \xff")
