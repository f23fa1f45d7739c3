import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from classifier.hashlists import HashList, Lists
from classifier.hashlists.lists import RELOAD_EVERY
from classifier.types import FrameHash, JudgedFrame, Judgement

PDQ = "0f" * 32


def judgement_of(*pdqs: str | None) -> Judgement:
    frames = tuple(JudgedFrame(number, {"counts.x": 0.5}, pdq) for number, pdq in enumerate(pdqs))
    return Judgement("ab" * 32, "image/gif", 1, 1, frames, "v")


async def test_look_up(tmp_path: Path) -> None:
    (tmp_path / "files.csv").write_text(f"sha256,{'ab' * 32},s,n\n")
    (tmp_path / "pictures.csv").write_text(f"pdq,{PDQ},s,n\n")
    lists = [HashList.load(tmp_path / f"{name}.csv", name, 31) for name in ("files", "pictures")]
    asked = Lists(lists)
    assert asked.symbols == {"hash.files", "hash.pictures"}
    before = judgement_of("f0" * 32, PDQ, None)
    after = asked.look_up(before)
    assert [dict(frame.symbols) for frame in after.frames] == [
        {"counts.x": 0.5, "hash.files": 1.0},
        {"counts.x": 0.5, "hash.files": 1.0, "hash.pictures": 1.0},
        {"counts.x": 0.5, "hash.files": 1.0},
    ]
    assert [(match.list, match.kind, match.frame) for match in after.matches] == [
        ("files", "sha256", None),
        ("pictures", "pdq", 1),
    ]
    assert before == judgement_of("f0" * 32, PDQ, None), "what is cached stays without lists"
    assert asked.look_up(asked.look_up(before)) == after


async def test_look_up_of_frames_that_were_only_hashed(tmp_path: Path) -> None:
    """Those a list knows become frames with its symbols alone, one for each set of lists; the others say nothing."""
    one, both, other = "f0" * 32, "0f" * 32, "55" * 32
    (tmp_path / "a.csv").write_text(f"pdq,{one},s,n\npdq,{both},s,n\n")
    (tmp_path / "b.csv").write_text(f"pdq,{both},s,n\n")
    lists = [HashList.load(tmp_path / f"{name}.csv", name, 31) for name in ("a", "b")]
    asked = Lists(lists)
    before = judgement_of("33" * 32)
    known = [(1, other), (2, one), (3, both), (4, one), (5, both)]
    before = replace(before, hashes=tuple(FrameHash(*known_) for known_ in known))
    after = asked.look_up(before)
    assert [(frame.index, dict(frame.symbols), frame.pdq) for frame in after.frames] == [
        (0, {"counts.x": 0.5}, "33" * 32),
        (2, {"hash.a": 1.0}, one),
        (3, {"hash.a": 1.0, "hash.b": 1.0}, both),
    ]
    assert [(match.list, match.frame) for match in after.matches] == [("a", 1), ("a", 2), ("b", 2)]
    assert asked.look_up(after) == after
    nothing = replace(before, hashes=before.hashes[:1])
    assert asked.look_up(nothing) == nothing


async def test_what_a_look_up_costs(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("".join(f"sha256,{n:064x},,\n" for n in range(3)))
    asked = Lists([HashList.load(tmp_path / "list.csv", "ours", 31)])
    judgement = replace(judgement_of(PDQ), hashes=(FrameHash(1, PDQ), FrameHash(2, PDQ)))
    assert asked.look_up_cost(judgement) == 3 * 3
    assert asked.look_up_cost(judgement_of(None)) == 0


async def test_no_match_leaves_the_judgement_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("")
    asked = Lists([HashList.load(tmp_path / "list.csv", "ours", 31)])
    judgement = judgement_of(PDQ)
    assert asked.look_up(judgement) is judgement


async def test_lists_are_read_again_when_they_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    file = tmp_path / "list.csv"
    file.write_text("")
    asked = Lists([HashList.load(file, "ours", 31)], clock=lambda: now)
    file.write_text(f"pdq,{PDQ}\n")

    async def looked_up() -> bool:
        asked.look_up(judgement_of(PDQ))
        await asyncio.sleep(0.1)
        return bool(asked.look_up(judgement_of(PDQ)).matches)

    now += RELOAD_EVERY - 0.01
    assert not await looked_up()
    now += 0.02
    assert await looked_up()
    file.write_text("broken\n")
    now += RELOAD_EVERY + 1
    assert await looked_up()
    assert "list.csv:1: " in caplog.text
    assert asked.reload_if_changed() == [], "told once"
