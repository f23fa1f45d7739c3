import zlib
from dataclasses import replace

import pytest

from addons.ledger.entry import SYMBOLS
from addons.ledger.rows import decision_row, dropped_row, media_rows
from classifier import JudgedFrame
from tests.addons.ledger.samples import GOOD, JUDGED, MATCH, entry


@pytest.mark.parametrize("over", [0, 1])
def test_the_highest_symbols_are_kept(over: int) -> None:
    symbols = {f"clip.c{number}": number / 1000 for number in range(SYMBOLS + over)}
    judged = replace(JUDGED, frames=(JudgedFrame(0, symbols),))
    kept = media_rows(entry(media=(replace(GOOD, judgement=judged),)))[0]["frames"][0]["symbols"]
    assert len(kept) == SYMBOLS
    assert ("clip.c0" in kept) is not over


def test_a_score_that_is_no_number_is_left_out() -> None:
    judged = replace(JUDGED, frames=(JudgedFrame(0, {"a.a": float("nan"), "a.b": float("inf"), "a.c": 1 / 3}),))
    assert media_rows(entry(media=(replace(GOOD, judgement=judged),)))[0]["frames"][0]["symbols"] == {"a.c": 0.333333}


def test_texts_of_hash_lists_are_made_safe() -> None:
    judged = replace(JUDGED, matches=(replace(MATCH, note="\x00" * 2000, source="\ud800"),))
    match = media_rows(entry(media=(replace(GOOD, judgement=judged),)))[0]["matches"][0]
    assert (len(match["note"]), match["source"], "\x00" in match["note"]) == (1000, "?", False)


def test_what_is_kept_of_a_dropped_activity_holds_no_file() -> None:
    row = dropped_row(entry(body=b'{"url":"data:image/png;base64,AAAA"}'))
    assert row is not None
    assert row["size"] == len(row["body"])
    assert zlib.decompress(row["body"]) == b'{"url":"data:image/png;base64,[4 bytes not kept]"}'
    assert dropped_row(entry(body=None)) is None


def test_long_texts_have_keys_for_the_indexes() -> None:
    row = decision_row(entry(walk=None))
    assert (len(row["actor_key"]), row["activity_id"], row["activity_key"]) == (32, None, None)


@pytest.mark.parametrize(("session", "kept"), [(None, None), ("5e" * 32, "5e" * 32), ("x" * 65, "x" * 63 + "…")])
def test_an_uploaders_session_fits_its_column(session: str | None, kept: str | None) -> None:
    assert decision_row(entry(session=session))["session"] == kept
