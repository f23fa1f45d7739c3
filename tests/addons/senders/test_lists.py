"""Who is on the deny and allow lists, and that a changed file is read again, a broken one told and the old one kept."""

import os
from pathlib import Path

import pytest

from addons.senders.list_files import WrongListError
from addons.senders.lists import RELOAD_EVERY, Lists
from tests.addons.senders.hosts import Clock
from tests.net import until

DENY = """spam.example
*.nest.example
https://talk.example/users/Troll
2001:db8::1
"""


@pytest.fixture
def deny(tmp_path: Path) -> Path:
    path = tmp_path / "deny.txt"
    path.write_text(DENY)
    return path


def rewrite(path: Path, text: str) -> None:
    """As an editor does it: the file is another one at once."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.mark.parametrize(
    ("host", "actor", "where"),
    [
        ("spam.example", None, "deny.txt:1"),
        ("SPAM.example.", None, "deny.txt:1"),
        ("sub.spam.example", None, None),
        ("nest.example", None, None),
        ("a.nest.example", None, "deny.txt:2"),
        ("a.b.nest.example", None, "deny.txt:2"),
        ("talk.example", None, None),
        ("talk.example", "https://talk.example/users/Ada", None),
        ("talk.example", "https://TALK.example/users/Troll", "deny.txt:3"),
        (None, "https://talk.example/users/Troll#main-key", "deny.txt:3"),
        (None, "https://spam.example:8443/users/ada", "deny.txt:1"),
        ("fine.example", "https://a.nest.example/users/ada", "deny.txt:2"),
        (None, "https://[2001:db8::1]/u", "deny.txt:4"),
        ("2001:DB8::1", None, "deny.txt:4"),
        (None, None, None),
        ("", "", None),
        ("not a host", "no actor", None),
        ("x" * 5000, "https://" + "x" * 5000, None),
    ],
)
def test_who_is_denied(deny: Path, host: str | None, actor: str | None, where: str | None) -> None:
    lists = Lists([deny])
    assert lists.denied(host, actor) == where
    assert lists.allowed(host) is None
    lists.close()


def test_who_is_allowed(deny: Path, tmp_path: Path) -> None:
    allow = tmp_path / "allow.csv"
    allow.write_text("#domain\nfriend.example\n")
    lists = Lists([deny], [allow, deny])
    assert lists.allowed("friend.example") == lists.allowed("www.friend.example") == "allow.csv:2"
    assert lists.allowed("spam.example") == "deny.txt:1"
    assert lists.allowed("other.example") is None
    assert lists.allowed(None) is None
    assert lists.denied("friend.example") is None
    lists.close()


def test_no_lists() -> None:
    clock = Clock()
    lists = Lists(clock=clock)
    clock.at += RELOAD_EVERY
    assert lists.denied("spam.example") is None
    assert lists.allowed("spam.example") is None
    lists.close()


def test_a_list_that_is_wrong_from_the_start(deny: Path, tmp_path: Path) -> None:
    deny.write_text("spam.example\nwhat is this\n")
    with pytest.raises(WrongListError, match=r"deny\.txt:2: 'what is this'"):
        Lists([deny])
    with pytest.raises(WrongListError, match="not a regular file"):
        Lists([], [tmp_path])


def test_a_list_that_is_not_there_yet(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "soon.txt"
    lists = Lists([path])
    assert f"there is no list {path}" in caplog.text
    assert lists.denied("spam.example") is None
    assert lists.reload_if_changed() == []
    path.write_text("spam.example")
    assert lists.reload_if_changed() == []
    assert lists.denied("spam.example") == "soon.txt:1"
    lists.close()


async def test_a_changed_list_is_read_again(deny: Path) -> None:
    clock = Clock()
    lists = Lists([deny], clock=clock)
    rewrite(deny, "new.example\n")
    clock.at += RELOAD_EVERY - 0.1
    assert lists.denied("spam.example")
    clock.at += 0.1
    await until(lambda: lists.denied("new.example") == "deny.txt:1")
    assert lists.denied("spam.example") is None
    lists.close()


def test_a_list_that_goes_wrong_is_told_once_and_the_old_one_kept(deny: Path) -> None:
    lists = Lists([deny])
    assert lists.reload_if_changed() == []
    rewrite(deny, "fine.example\n???\n")
    (problem,) = lists.reload_if_changed()
    assert f"{deny}:2: '???' is no host" in problem
    assert "what was in this list before still counts" in problem
    assert lists.reload_if_changed() == []
    assert lists.denied("spam.example")
    assert not lists.denied("fine.example")
    deny.unlink()
    (problem,) = lists.reload_if_changed()
    assert "cannot be read" in problem
    assert lists.denied("spam.example")
    rewrite(deny, "fine.example\n")
    assert lists.reload_if_changed() == []
    assert lists.denied("fine.example")
    lists.close()


def test_a_list_of_the_same_length_and_time_is_another_file(deny: Path) -> None:
    lists = Lists([deny])
    before = deny.stat()
    rewrite(deny, DENY.replace("spam", "spim"))
    os.utime(deny, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert lists.reload_if_changed() == []
    assert lists.denied("spim.example")
    lists.close()


async def test_what_is_wrong_is_told_in_the_log(deny: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    lists = Lists([deny], clock=clock)
    rewrite(deny, "???\n")
    clock.at += RELOAD_EVERY
    lists.watch()
    await until(lambda: "deny.txt:1: '???'" in caplog.text)
    lists.close()
    clock.at += RELOAD_EVERY
    lists.watch()  # no more
    assert lists.denied("spam.example")
