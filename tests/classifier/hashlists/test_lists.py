import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from classifier.hashlists import Digests, HashList, Lists
from classifier.hashlists.lists import RELOAD_EVERY
from classifier.settings import HashListSettings
from classifier.types import FrameHash, JudgedFrame, Judgement

PDQ = "0f" * 32


def judgement_of(*pdqs: str | None) -> Judgement:
    frames = tuple(JudgedFrame(number, {"counts.x": 0.5}, pdq) for number, pdq in enumerate(pdqs))
    return Judgement("ab" * 32, "image/gif", 1, 1, frames, "v")


async def test_look_up(tmp_path: Path) -> None:
    (tmp_path / "files.csv").write_text(f"sha256,{'ab' * 32},s,n\n")
    (tmp_path / "pictures.csv").write_text(f"pdq,{PDQ},s,n\n")
    lists = [HashList(HashListSettings(name=name, file=tmp_path / f"{name}.csv")) for name in ("files", "pictures")]
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
    lists = [HashList(HashListSettings(name=name, file=tmp_path / f"{name}.csv")) for name in ("a", "b")]
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
    assert [(match.list, match.frame) for match in after.matches] == [("a", 2), ("a", 3), ("b", 3)]
    assert asked.look_up(after) == after
    nothing = replace(before, hashes=before.hashes[:1])
    assert asked.look_up(nothing) == nothing


async def test_what_a_look_up_costs(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("".join(f"pdq,{n:064x},,\n" for n in range(3)))
    asked = Lists([HashList(HashListSettings(name="ours", file=tmp_path / "list.csv"))])
    judgement = replace(judgement_of(PDQ), hashes=(FrameHash(1, PDQ), FrameHash(2, PDQ)))
    assert asked.look_up_cost(judgement) == 3 * 3
    assert asked.look_up_cost(judgement_of(None)) == 0


async def test_no_match_leaves_the_judgement_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("")
    asked = Lists([HashList(HashListSettings(name="ours", file=tmp_path / "list.csv"))])
    judgement = judgement_of(PDQ)
    assert asked.look_up(judgement) is judgement


async def test_lists_are_read_again_when_they_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    file = tmp_path / "list.csv"
    file.write_text("")
    asked = Lists([HashList(HashListSettings(name="ours", file=file))], clock=lambda: now)
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
    assert "list.csv:1: " in asked.trouble()


def lists_of(folder: Path, **files: str) -> Lists:
    """A list a file; those whose name begins with "fine" are allow lists."""
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return Lists(
        [
            HashList(HashListSettings(name=name, file=folder / f"{name}.csv", allow=name.startswith("fine")))
            for name in files
        ]
    )


def test_a_file_by_its_digests_alone(tmp_path: Path) -> None:
    asked = lists_of(tmp_path, ours=f"md5,{'ab' * 16},s,n\n", fine=f"sha1,{'cd' * 20},s,n\n", other="")
    assert asked.symbols == {"hash.ours", "allow.fine", "hash.other"}
    known = asked.file(Digests("00" * 32, "ab" * 16, "00" * 20))
    assert [(match.list, match.kind, match.frame) for match in known] == [("ours", "md5", None)]
    assert (asked.symbols_of(known), asked.allows(known)) == ({"hash.ours": 1.0}, False)
    allowed = asked.file(Digests("00" * 32, "ab" * 16, "cd" * 20))
    assert (asked.symbols_of(allowed), asked.allows(allowed)) == ({"hash.ours": 1.0, "allow.fine": 1.0}, True)
    assert asked.file(Digests("00" * 32)) == []
    assert bool(asked)
    assert not Lists()


def test_every_digest_in_a_judgement_counts(tmp_path: Path) -> None:
    asked = lists_of(tmp_path, ours=f"md5,{'ab' * 16}\n", fine=f"sha1,{'cd' * 20}\n")
    judgement = replace(judgement_of(PDQ, None), md5="ab" * 16, sha1="cd" * 20)
    after = asked.look_up(judgement)
    assert [set(frame.symbols) for frame in after.frames] == 2 * [{"counts.x", "hash.ours", "allow.fine"}]
    assert asked.look_up(judgement_of(PDQ)) == judgement_of(PDQ)


def test_a_frame_turned_where_the_list_asks_for_it(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"pdq,{'0f' * 32}\n")
    asked = Lists([HashList(HashListSettings(name="ours", file=tmp_path / "list.csv", variants=True))])
    assert asked.flips
    far, flips = "33" * 32, ("55" * 32, "0f" * 32, "66" * 32)
    judgement = judgement_of(far, far)
    judgement = replace(judgement, frames=(judgement.frames[0], replace(judgement.frames[1], flips=flips)))
    judgement = replace(judgement, hashes=(FrameHash(7, far, flips), FrameHash(8, far)))
    assert asked.look_up_cost(judgement) == 4 * 8
    after = asked.look_up(judgement)
    assert [(frame.index, "hash.ours" in frame.symbols) for frame in after.frames] == [(0, False), (1, True), (7, True)]
    assert [(match.frame, match.variant) for match in after.matches] == [(1, "upside down"), (7, "upside down")]
    assert not lists_of(tmp_path, ours="").flips


def test_after_close_nothing_is_read_again(tmp_path: Path) -> None:
    now = 100.0
    (tmp_path / "list.csv").write_text("")
    asked = Lists([HashList(HashListSettings(name="ours", file=tmp_path / "list.csv"))], clock=lambda: now)
    asked.close()
    (tmp_path / "list.csv").write_text(f"pdq,{PDQ}\n")
    now += 2 * RELOAD_EVERY
    assert not asked.look_up(judgement_of(PDQ)).matches


async def test_look_ups_go_on_while_a_list_is_read_again(tmp_path: Path) -> None:
    """What is asked meanwhile is answered from the list as it was, or as it is, never from half of one."""
    file = tmp_path / "list.csv"
    entries = [f"pdq,{PDQ},0\n", *(f"pdq,{number:064x},\n" for number in range(40_000))]
    file.write_text("".join(entries))
    asked = Lists([HashList(HashListSettings(name="ours", file=file, distance=0))])
    for turn in range(1, 4):
        entries[0] = f"pdq,{PDQ},{turn}\n"
        (tmp_path / "new").write_text("".join(entries))
        (tmp_path / "new").replace(file)
        reading = asyncio.ensure_future(asyncio.to_thread(asked.reload_if_changed))
        while not reading.done():
            (match,) = asked.look_up(judgement_of(PDQ)).matches
            assert match.source in {str(turn - 1), str(turn)}
            await asyncio.sleep(0)
        assert await reading == []
        assert asked.look_up(judgement_of(PDQ)).matches[0].source == str(turn)
