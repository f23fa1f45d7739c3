"""Lists of hosts and actors as admins write and share them; what is wrong in one is told with file and line."""

from pathlib import Path

import pytest

from addons.senders import list_files
from addons.senders.list_files import MAX_BYTES, MAX_LINES, MAX_PROBLEMS, WrongListError, actor, host_of, read_list

# As Mastodon 4 writes it (Admin → Federation → Export), with a comment of two lines.
MASTODON = """#domain,#severity,#reject_media,#reject_reports,#public_comment,#obfuscate
gone.example,suspend,false,false,"spam, spam and
more spam",false
quiet.example,silence,true,false,,false
known.example,noop,false,true,,true
BÜCHER.example,suspend,false,false,,false
*.wild.example,suspend,false,false,,false
plain.example,,,,,
"""


def a_list(folder: Path, text: str | bytes) -> Path:
    path = folder / "list.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def wrong(folder: Path, text: str | bytes) -> str:
    with pytest.raises(WrongListError) as caught:
        read_list(a_list(folder, text))
    return str(caught.value)


def test_a_plain_list(tmp_path: Path) -> None:
    text = """\ufeff# hosts that we know too well

spam.example            # since May
  *.Nest.Example\t# all of them
BÜCHER.example.
https://shop.example/
https://talk.example/users/Troll#main-key # one of them
192.0.2.7
[2001:db8::1]
spam.example
"""
    assert read_list(a_list(tmp_path, text.replace("\n", "\r\n"))) == {
        "spam.example": 3,
        "*.nest.example": 4,
        "xn--bcher-kva.example": 5,
        "shop.example": 6,
        "https://talk.example/users/Troll": 7,
        "192.0.2.7": 8,
        "2001:db8::1": 9,
    }


def test_a_csv_as_mastodon_writes_it(tmp_path: Path) -> None:
    assert read_list(a_list(tmp_path, MASTODON)) == {
        "gone.example": 2,
        "*.gone.example": 2,
        "xn--bcher-kva.example": 6,
        "*.xn--bcher-kva.example": 6,
        "wild.example": 7,
        "*.wild.example": 7,
        "plain.example": 8,
        "*.plain.example": 8,
    }


@pytest.mark.parametrize(
    "text",
    [
        "domain\nbad.example\n",
        "# shared list\n\nDomain,reason\nbad.example,spam\n",
        '"host","severity"\n"bad.example","Suspend"\n',
        "instance,reason\nbad.example,spam\n",
        "reason,instance\nspam,bad.example\n",
        "#domain,#severity\n# not.example,suspend\n,\nbad.example",
    ],
)
def test_other_csvs(tmp_path: Path, text: str) -> None:
    assert set(read_list(a_list(tmp_path, text))) == {"bad.example", "*.bad.example"}


def test_a_comment_that_begins_like_a_header(tmp_path: Path) -> None:
    assert read_list(a_list(tmp_path, "# domain\nbad.example\n")) == {"bad.example": 2}


def test_an_empty_list_is_one(tmp_path: Path) -> None:
    for text in ("", "\n", "# nobody yet", "#domain,#severity"):
        assert read_list(a_list(tmp_path, text)) == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("two words", "'two words' is no host"),
        ("user@spam.example", "is no host, *.host or actor's URL"),
        ("ex****e.com", "is no host"),
        ("spam.example,suspend", "actor's URL (a CSV begins with a line that names its columns)"),
        ("*.*.example", "is no host"),
        ("ftp://spam.example/x", "is no host"),
        ("https://a@spam.example/users/x", "is no host"),
        ("https:///users/x", "is no host"),
        ("x" * 300, "is no host"),
    ],
)
def test_a_wrong_line(tmp_path: Path, line: str, said: str) -> None:
    message = wrong(tmp_path, f"good.example\n{line}\n")
    assert message.startswith(f"{tmp_path / 'list.txt'}:2: ")
    assert said in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            "ex****e.com,suspend",
            "'ex****e.com' is no host (a name that is made unreadable with * cannot be recognised)",
        ),
        (",suspend", "'' is no host"),
        ("bad.example,block", "the severity 'block' is none of suspend, silence, noop"),
        ("https://bad.example/users/x,suspend", "is no host"),
    ],
)
def test_a_wrong_row(tmp_path: Path, row: str, said: str) -> None:
    message = wrong(tmp_path, f"#domain,#severity\nfine.example,suspend\n{row}\n")
    assert message == f"{tmp_path / 'list.txt'}:3: {message.partition(': ')[2]}"
    assert said in message


def test_an_endless_field(tmp_path: Path) -> None:
    assert ":2: the line is no CSV" in wrong(tmp_path, '#domain,#comment\nbad.example,"' + "x" * 200_000)


def test_many_wrong_lines_are_told_in_part(tmp_path: Path) -> None:
    message = wrong(tmp_path, "?\n" * (MAX_PROBLEMS + 5))
    assert message.count("\n") == MAX_PROBLEMS
    assert message.endswith(": and 5 more")
    assert wrong(tmp_path, "?\n" * MAX_PROBLEMS).count("\n") == MAX_PROBLEMS - 1


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    assert wrong(tmp_path, b"good.example\nb\xfccher.example\n").endswith("list.txt:2: the line is not UTF-8 text")


def test_a_list_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (MAX_BYTES, MAX_LINES) == (16 << 20, 1_000_000)
    monkeypatch.setattr(list_files, "MAX_LINES", 3)
    assert len(read_list(a_list(tmp_path, "a.example\nb.example\nc.example\n"))) == 3
    assert ":4: more than 3 lines" in wrong(tmp_path, "a.example\nb.example\nc.example\nd.example\n")
    monkeypatch.setattr(list_files, "MAX_BYTES", 1 << 20)
    assert read_list(a_list(tmp_path, "#".ljust(1 << 20))) == {}
    assert "more than 1 MiB" in wrong(tmp_path, "#".ljust((1 << 20) + 1))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(WrongListError, match=r"No such file or directory.*: create it"):
        read_list(tmp_path / "nowhere")
    with pytest.raises(WrongListError, match="not a regular file"):
        read_list(tmp_path)


def test_actors_in_their_one_form() -> None:
    for url, written in (
        ("https://Talk.Example/users/Ada", "https://talk.example/users/Ada"),
        ("HTTPS://talk.example:443/users/Ada#key", "https://talk.example/users/Ada"),
        ("https://talk.example:8443/@ada?x=Y", "https://talk.example:8443/@ada?x=Y"),
        ("https://[2001:DB8::1]:8443/u", "https://[2001:db8::1]:8443/u"),
        ("https://bücher.example/u/x", "https://xn--bcher-kva.example/u/x"),
    ):
        assert actor(url) == written
    for url in (
        "",
        "acct:ada@talk.example",
        "talk.example/users/ada",
        "ftp://talk.example/",
        "https://",
        "https://a b/",
    ):
        assert actor(url) is None
    assert host_of("https://talk.example:8443/x") == "talk.example"
    assert host_of("https://[2001:db8::1]:8443/u") == "[2001:db8::1]"
