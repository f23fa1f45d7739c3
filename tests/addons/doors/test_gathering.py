import gzip
import zlib

import pytest

from addons.doors.gathering import FIRST, Reading, Step, What, tell
from addons.fetching.budget import MemoryBudget
from addons.policy.words import Cause
from classifier.sniff import sniff
from tests.drawing import encode, textured

IMAGE = encode(textured(2))
PAGE = b"<!DOCTYPE html><html>" + b"<p>words</p>" * 2000


def reading(
    content_type: str = "", encoding: str = "", length: int | None = None, *, most: int = 1 << 20, memory: int = 1 << 24
) -> Reading:
    lease = MemoryBudget(memory).take(0)
    return Reading(content_type, encoding, length, lease=lease, most=most, most_document=1 << 15)


def feed(one: Reading, data: bytes, size: int = 1000) -> Step:
    """Until it is told what comes next; MORE where the end would be next."""
    for start in range(0, len(data), size):
        if (step := one.feed(data[start : start + size])) is not Step.MORE:
            return step
    return Step.MORE


@pytest.fixture(autouse=True)
def _released(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("addons.fetching.budget.Lease.__del__", lambda self: None)


@pytest.mark.parametrize(
    ("content_type", "body", "what"),
    [
        ("", IMAGE, What.MEDIA),
        ("text/html", IMAGE, What.MEDIA),
        ("image/png", PAGE, What.MEDIA),
        ("text/html, Image/PNG", PAGE, What.MEDIA),
        ("VIDEO/x", b"x", What.MEDIA),
        ("", b"<svg xmlns='x'></svg>", What.MEDIA),
        ("", b"ID3" + bytes(100), What.MEDIA),
        ("", b'  {"type": "Note"}', What.DOCUMENT),
        ("text/html", b"[]", What.DOCUMENT),
        ("application/activity+json", PAGE, What.DOCUMENT),
        ("text/html", PAGE, None),
        ("", PAGE, None),
        ("", b"%PDF-1.7", None),
        ("application/octet-stream", b"\x00\x01" + IMAGE, None),
    ],
)
def test_a_body_is_told_by_its_claim_and_its_beginning(content_type: str, body: bytes, what: What | None) -> None:
    assert tell(content_type, sniff(body[:FIRST])) is what


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "deflate"])
@pytest.mark.parametrize("size", [1, 999, 1 << 20])
def test_media_are_gathered_whole_sent_and_decoded(encoding: str, size: int) -> None:
    sent = gzip.compress(IMAGE) if encoding == "gzip" else zlib.compress(IMAGE) if encoding == "deflate" else IMAGE
    one = reading("image/png", encoding)
    assert feed(one, sent, size if size > 1 else 37) is Step.MORE
    assert one.finish() is Step.WHOLE
    assert (one.raw, one.decoded, one.what, one.kind.media_type) == (sent, IMAGE, What.MEDIA, "image/png")
    assert one.lease.size == len(sent) + (len(IMAGE) if sent is not IMAGE and encoding in ("gzip", "deflate") else 0)


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_a_page_is_let_go_at_once(encoding: str) -> None:
    one = reading("text/html", encoding)
    sent = gzip.compress(PAGE, 0) if encoding else PAGE
    assert feed(one, sent) is Step.STREAM
    assert len(one.raw) <= FIRST + 1000
    assert sent.startswith(one.raw)


def test_what_ends_early_is_told_then() -> None:
    short, empty, image = reading(), reading("image/png"), reading()
    assert (short.feed(b"<html>"), short.finish()) == (Step.MORE, Step.STREAM)
    assert empty.finish() is Step.STREAM
    assert (image.feed(IMAGE[:100]), image.finish(), image.what) == (Step.MORE, Step.WHOLE, What.MEDIA)


def test_bounds_of_media_and_documents() -> None:
    for most, step in ((len(IMAGE), Step.MORE), (len(IMAGE) - 1, Step.FAILED)):
        one = reading("image/png", most=most)
        assert feed(one, IMAGE) is step
        assert one.cause == (Cause.TOO_LARGE if step is Step.FAILED else None)
    for more, step in ((0, Step.MORE), (1, Step.FAILED)):
        assert feed(reading("application/json"), b"{" + bytes((1 << 15) - 1 + more)) is step


def test_json_is_let_go_where_it_is_no_document() -> None:
    lease = MemoryBudget(1 << 20).take(0)
    one = Reading("application/json", "", None, lease=lease, most=1 << 20, most_document=None)
    assert (one.feed(b"{}"), one.finish()) == (Step.MORE, Step.STREAM)


def test_a_length_that_is_too_large_is_believed_at_once() -> None:
    one = reading("image/png", length=2 << 20)
    assert feed(one, IMAGE) is Step.FAILED
    assert one.cause is Cause.TOO_LARGE
    assert len(one.raw) < FIRST + 1000
    assert feed(reading("text/html", length=2 << 20), PAGE) is Step.STREAM


def test_a_bomb_swells_no_further_than_the_bound() -> None:
    one = reading("image/png", "gzip", most=1 << 17)
    assert feed(one, gzip.compress(IMAGE + bytes(64 << 20))) is Step.FAILED
    assert one.cause is Cause.TOO_LARGE
    assert len(one.decoded) <= (1 << 17) + (1 << 16)


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_without_memory_nothing_is_lost(encoding: str) -> None:
    sent = gzip.compress(IMAGE) if encoding else IMAGE
    one = reading("image/png", encoding, memory=20_000)
    at = 0
    while one.feed(sent[at : at + 700]) is Step.MORE:
        at += 700
    assert one.cause is Cause.BUSY
    assert one.raw == sent[: at + 700]


@pytest.mark.parametrize("sent", [b"no gzip at all", gzip.compress(IMAGE)[:-1], gzip.compress(IMAGE) + b"more"])
def test_what_is_not_what_it_says_is_broken(sent: bytes) -> None:
    one = reading("image/png", "gzip")
    step = feed(one, sent)
    assert (step if step is not Step.MORE else one.finish()) is Step.FAILED
    assert one.cause is None
    assert "gzip" in one.message


def test_an_encoding_that_is_not_undone_here_is_broken_unless_there_is_nothing() -> None:
    for one in (reading("image/png", "br"), reading("text/html", "gzip, br")):
        assert one.finish() is Step.STREAM
        assert one.feed(b"x") is Step.FAILED
        assert one.cause is None
        assert "br" in one.message


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_json_behind_much_space_is_a_document(mark: bytes) -> None:
    one = reading("text/plain")
    assert feed(one, mark + b" \n" * FIRST + b'{"type": "Note"}') is Step.MORE
    assert (one.finish(), one.what) == (Step.WHOLE, What.DOCUMENT)
    one.lease.release()
