import asyncio
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from addons.judging.exchanges import child
from addons.judging.exchanges.child import FetchFailedError
from addons.judging.exchanges.store import Store
from addons.policy.exchanges import Exchange
from classifier.hashlists import Digests, HashList, Lists
from tests.addons.judging.exchanges.servers import Server, entry, serving
from tests.drawing import encode, textured

PDQ = ["0f" * 32, "33" * 32, "5a" * 32]
HOUR = 3600


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def ncmec(folder: Path, server: Server, **more: Any) -> Exchange:
    said = {"kind": "ncmec", "user": "us", "password": "secret word", "url": server.url, **more}
    return prepared(Exchange(name="ncmec", folder=folder / "exchanges", **said))


def stopncii(folder: Path, server: Server, **more: Any) -> Exchange:
    said = {"kind": "stopncii", "subscription_key": "sub-key", "function_key": "fn-key", "url": server.url, **more}
    return prepared(Exchange(name="ncii", folder=folder / "exchanges", **said))


def prepared(exchange: Exchange) -> Exchange:
    child.prepare(exchange)
    return exchange


def lines(exchange: Exchange) -> list[str]:
    """The list's lines without the header, in order."""
    header, *rest = exchange.list.file.read_text().splitlines()
    assert header == "kind,hash,source,note"
    return sorted(rest)


def md5(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def record(digest: str, when: int, status: str = "Active", kind: str = "ImagePDQ", **feedback: str) -> dict[str, Any]:
    said = [{"feedbackValue": value, "tags": ["seen"], "source": by} for by, value in feedback.items()]
    shown = {"lastModtimestamp": when, "signalType": kind, "hashValue": digest, "hashStatus": status}
    return {**shown, "caseNumbers": {"1": status}, "CSPFeedbacks": said}


async def test_ncmecs_entries_become_a_list_that_matches_without_a_restart(tmp_path: Path, server: Server) -> None:
    exchange = ncmec(tmp_path, server)
    assert exchange.folder.stat().st_mode & 0o777 == 0o700
    lists = Lists([HashList(exchange.list)])
    picture = encode(textured(1))
    digests = Digests.of(picture, every=True)
    assert lists.file(digests) == []
    server.entries = [
        entry(1, classification="A1", md5=digests.md5, sha1=digests.sha1, pdna="1,2", pdq=PDQ[0]),
        entry(2, kind="video", md5=md5(2), member=43),
        entry(3, pdq=PDQ[1].upper()),
        entry(4, md5="no hash"),
        entry(5, md5=md5(5), pdq=PDQ[2], against="PDQ"),
        entry(6, md5=md5(2), classification="B2"),
    ]
    answer = await child.fetch(exchange)
    assert (answer.fetched, answer.records, answer.hashes) == (True, 6, 6)
    assert lines(exchange) == sorted(
        [
            f"md5,{digests.md5},ncmec,member 42: A1",
            f"sha1,{digests.sha1},ncmec,member 42: A1",
            f"pdq,{PDQ[0]},ncmec,member 42: A1",
            f"md5,{md5(2)},ncmec,member 42: B2; member 43",
            f"pdq,{PDQ[1]},ncmec,member 42",
            f"md5,{md5(5)},ncmec,member 42",
        ]
    )
    assert lists.reload_if_changed() == []
    assert [(match.list, match.kind, match.source) for match in lists.file(digests)] == [
        ("ncmec", "sha1", "ncmec"),
        ("ncmec", "md5", "ncmec"),
    ]
    lists.close()


async def test_only_what_is_new_is_asked_for_and_what_is_deleted_goes(tmp_path: Path, server: Server) -> None:
    exchange = ncmec(tmp_path, server)
    server.entries = [entry(1, md5=md5(1)), entry(2, md5=md5(2))]
    await child.fetch(exchange)
    before, asked = exchange.list.file.stat().st_ino, server.answered
    state = child.state(exchange)
    assert state.fetched_at is not None
    assert (state.hashes, state.trouble) == (2, "")
    # Nothing new: not even the list's file is touched, so that nothing reads it again.
    await asyncio.sleep(1.1)
    await child.fetch(exchange, forced=True)
    assert exchange.list.file.stat().st_ino == before
    since = [path for path in server.asked[asked:] if "from=1970" in path]
    assert server.answered > asked
    assert since == []
    # What is asked for ends five seconds before now: the change comes after the last end, and is over before the next.
    query = parse_qs(urlsplit(server.asked[-1]).query)
    changed = datetime.fromisoformat(query["to"][0]).replace(tzinfo=UTC).timestamp()
    server.entries = [entry(1, changed, deleted=True), entry(2, changed, md5=md5(3))]
    await asyncio.sleep(max(0.0, changed + 6.1 - time.time()))
    await child.fetch(exchange, forced=True)
    assert lines(exchange) == [f"md5,{md5(3)},ncmec,member 42"]


async def test_members_that_are_not_wanted_are_left_out_and_another_choice_begins_afresh(
    tmp_path: Path, server: Server
) -> None:
    server.entries = [entry(1, md5=md5(1), member=1), entry(2, md5=md5(2), member=2)]
    exchange = ncmec(tmp_path, server, members=[1])
    await child.fetch(exchange)
    assert lines(exchange) == [f"md5,{md5(1)},ncmec,member 1"]
    exchange = ncmec(tmp_path, server, members=[2])
    await child.fetch(exchange, forced=True)
    assert lines(exchange) == [f"md5,{md5(2)},ncmec,member 2"]


async def test_killed_mid_way_it_goes_on_where_it_was(tmp_path: Path, server: Server) -> None:
    # All in one minute, so that they come in pages of one cursor.
    when = time.time() - HOUR
    server.entries = [entry(number, when, md5=md5(number)) for number in range(40)]
    server.page = 10
    exchange = ncmec(tmp_path, server)
    server.hold_at = "start=20"
    fetching = asyncio.create_task(child.fetch(exchange))
    await server.holds()
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(FetchFailedError, match=r"died \(SIGKILL\)"):
        await fetching
    with Store(exchange.state) as store:
        kept = len(store)
        assert kept == 20
        assert store.checkpoint is not None
        assert store.unwritten
        assert json.loads(store.checkpoint)["paging_info"]["paging_url"].startswith("/v2/entries?")
    assert lines(exchange) == []
    server.gate.set()
    asked = server.answered
    await child.fetch(exchange)
    assert len(lines(exchange)) == 40
    # From the page that it had come to, not from the first.
    assert f"start={kept}&" in server.asked[asked]


def children() -> list[int]:
    text = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text()
    return [int(pid) for pid in text.split() if b"exchanges.fetch" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_a_wrong_password_is_said_and_nowhere_shown(tmp_path: Path, server: Server) -> None:
    exchange = ncmec(tmp_path, server, password="not the word")
    with pytest.raises(FetchFailedError, match=r"does not let us in \(401\): check its user and password") as caught:
        await child.fetch(exchange)
    assert "not the word" not in str(caught.value)
    assert "not the word" not in repr(exchange)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"status": 500}, "did not answer as it should"),
        ({"cut": 90}, "cannot be read: ParseError"),
        ({"cut": 0}, "cannot be read: ParseError"),
    ],
)
async def test_an_exchange_that_fails_leaves_the_list_as_it_was(
    tmp_path: Path, server: Server, wrong: dict[str, Any], said: str
) -> None:
    exchange = ncmec(tmp_path, server)
    server.entries = [entry(1, md5=md5(1))]
    await child.fetch(exchange)
    before = exchange.list.file.stat()
    for key, value in wrong.items():
        setattr(server, key, value)
    await asyncio.sleep(1.1)
    with pytest.raises(FetchFailedError, match=said):
        await child.fetch(exchange, forced=True)
    after = exchange.list.file.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    server.status, server.cut = 200, None
    await child.fetch(exchange, forced=True)
    assert lines(exchange) == [f"md5,{md5(1)},ncmec,member 42"]


async def test_one_that_says_nothing_is_ended(tmp_path: Path, server: Server) -> None:
    server.hold_at = "entries"
    exchange = ncmec(tmp_path, server)
    with pytest.raises(FetchFailedError, match="not done within 3 s"):
        await child.fetch(exchange, seconds=3)
    assert server.answered == 1
    assert children() == []


async def test_one_that_sends_too_much_is_ended(tmp_path: Path, server: Server) -> None:
    exchange = ncmec(tmp_path, server)
    server.flood = 100
    await child.fetch(exchange, memory=2 << 30)
    await asyncio.sleep(1.1)
    with pytest.raises(FetchFailedError, match=r"more than fits in the memory|died"):
        await child.fetch(exchange, forced=True, memory=192 << 20)


async def test_cancelled_it_ends_the_process(tmp_path: Path, server: Server) -> None:
    server.hold_at = "entries"
    fetching = asyncio.create_task(child.fetch(ncmec(tmp_path, server)))
    await server.holds()
    assert len(children()) == 1
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    assert children() == []


async def test_two_at_once_fetch_once(tmp_path: Path, server: Server) -> None:
    exchange = ncmec(tmp_path, server)
    server.entries = [entry(1, md5=md5(1))]
    answers = await asyncio.gather(child.fetch(exchange), child.fetch(exchange))
    assert sorted(answer.fetched for answer in answers) == [False, True]
    asked = server.answered
    # Who has not seen that it was fetched since does nothing either.
    assert not (await child.fetch(exchange, seen=None)).fetched
    assert server.answered == asked
    assert (await child.fetch(exchange, seen=child.state(exchange).fetched_at)).fetched


async def test_a_machine_far_from_greenwich_asks_for_the_same_times(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    await child.fetch(ncmec(tmp_path, server))
    said = parse_qs(urlsplit(server.asked[0]).query)
    assert said["from"] == ["1970-01-01T00:00:00Z"]
    asked_to = datetime.strptime(said["to"][0], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(asked_to.timestamp() - time.time()) < HOUR


async def test_stopnciis_pages_withdrawals_and_feedback(tmp_path: Path, server: Server) -> None:
    server.page = 2
    server.entries = [
        record(PDQ[0], 100),
        record(PDQ[1], 101, A="Blocked"),
        record(PDQ[2], 102, A="Blocked", B="NotBlocked"),
        record(md5(1), 103, kind="VideoMD5"),
        record("https://a.example", 104, kind="URL"),
        record(md5(2), 105, "Withdrawn", "VideoMD5"),
    ]
    exchange = stopncii(tmp_path, server)
    await child.fetch(exchange)
    assert lines(exchange) == sorted(
        [
            f"pdq,{PDQ[0]},ncii,investigation seed",
            f"pdq,{PDQ[1]},ncii,positive class: seen",
            f"md5,{md5(1)},ncii,investigation seed",
        ]
    )
    server.entries.append(record(PDQ[1], 110, "Withdrawn"))
    asked = server.answered
    await child.fetch(exchange, forced=True)
    assert server.asked[asked:] == ["/api/FetchHashes?startTimestamp=106&pageSize=800"]
    assert lines(exchange) == sorted([f"pdq,{PDQ[0]},ncii,investigation seed", f"md5,{md5(1)},ncii,investigation seed"])


async def test_stopncii_cut_off_between_pages_loses_none(tmp_path: Path, server: Server) -> None:
    server.page, server.fail_after = 2, 1
    server.entries = [record(md5(number), 100 + number, kind="VideoMD5") for number in range(5)]
    exchange = stopncii(tmp_path, server)
    with pytest.raises(FetchFailedError):
        await child.fetch(exchange)
    assert len(lines(exchange)) == 2  # in force at once
    server.fail_after = None
    await child.fetch(exchange)
    assert len(lines(exchange)) == 5


async def test_stopncii_not_asked_for_a_month_is_fetched_afresh(tmp_path: Path, server: Server) -> None:
    server.entries = [record(md5(1), 100, kind="VideoMD5"), record(md5(2), 101, kind="VideoMD5")]
    exchange = stopncii(tmp_path, server)
    await child.fetch(exchange)
    with Store(exchange.state) as store:
        long_ago = json.dumps({"update_time": 102, "last_fetch_time": int(time.time()) - 31 * 86400})
        store.take({}, long_ago)
    server.entries = server.entries[1:]  # what went meanwhile is never said
    await child.fetch(exchange, forced=True)
    assert lines(exchange) == [f"md5,{md5(2)},ncii,investigation seed"]


@pytest.mark.parametrize(
    ("match", "text"), [(None, f"pdq {PDQ[0]}\nvideo_md5 {md5(1)}\npdq short\n# no\n"), ("pdq", f"{PDQ[0]}\n\n")]
)
async def test_a_file_share_is_read_whole_each_time(tmp_path: Path, match: str | None, text: str) -> None:
    share = tmp_path / "share.txt"
    share.write_text(text)
    said: dict[str, Any] = {"kind": "file", "file": share, "match": match}
    exchange = prepared(Exchange(name="share", folder=tmp_path, **said))
    await child.fetch(exchange)
    expected = [f"pdq,{PDQ[0]},share,investigation seed"]
    assert lines(exchange) == ([f"md5,{md5(1)},share,investigation seed"] if match is None else []) + expected
    share.write_text(f"{'' if match else 'pdq '}{PDQ[1]}\n")
    await child.fetch(exchange, forced=True)
    assert lines(exchange) == [f"pdq,{PDQ[1]},share,investigation seed"]
    share.unlink()
    with pytest.raises(FetchFailedError, match="No such file"):
        await child.fetch(exchange, forced=True)
    assert lines(exchange) == [f"pdq,{PDQ[1]},share,investigation seed"]


async def test_an_https_exchange_with_no_one_there_is_said(tmp_path: Path, server: Server) -> None:
    exchange = ncmec(tmp_path, server, url="https://127.0.0.1:1/api")
    with pytest.raises(FetchFailedError, match="the exchange did not answer as it should"):
        await child.fetch(exchange)
