import email
import email.policy
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from addons.alarms.kinds import Alarm, AlarmKind
from addons.alarms.mail import Mail, MailSettings
from addons.alarms.sending import NotSentError
from tests.addons.alarms.receiving import AT, alarm, post
from tests.addons.fetching.servers import Authority, authority

SETTINGS = MailSettings("127.0.0.1", 0, "fediward@example.org", ("admin@example.org", "second@example.org"), tls="none")


@pytest.fixture(scope="module")
def trusted() -> Authority:
    return authority()


@pytest.fixture
def tls(trusted: Authority, tmp_path: Path) -> ssl.SSLContext:
    return trusted.server(tmp_path, "127.0.0.1")


async def test_a_message_is_handed_over() -> None:
    async with post() as server:
        await Mail(replace(SETTINGS, port=server.port)).send(alarm(message="schön\n.\nQUIT\n" + "long " * 300))
    assert server.commands[0] == "ehlo example.org"
    assert [one.lower() for one in server.commands if one.startswith(("mail", "rcpt"))] == [
        "mail from:<fediward@example.org>",
        "rcpt to:<admin@example.org>",
        "rcpt to:<second@example.org>",
    ]
    message = email.message_from_string(server.mails[0].replace("\r\n..", "\r\n."), policy=email.policy.default)
    assert message["From"] == "fediward@example.org"
    assert message["To"] == "admin@example.org, second@example.org"
    assert message["Subject"] == "fediward on box: judging does not work as it should"
    assert message["Date"] == "Sun, 01 Mar 2026 12:30:00 +0000"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.org>")
    body = message.get_content().replace("\r\n", "\n")
    assert body.startswith("schön\n.\nQUIT\nlong long ")
    assert body.endswith("\nhost: box\ntime: 2026-03-01T12:30:00+00:00")


async def test_no_line_end_gets_into_a_header() -> None:
    evil = Alarm(AlarmKind.LEDGER, "it", AT, "box\r\nBcc: everybody@example.org\r\n\r\nbody")
    async with post() as server:
        await Mail(replace(SETTINGS, port=server.port)).send(evil)
    message = email.message_from_string(server.mails[0], policy=email.policy.default)
    assert message["Bcc"] is None
    assert message["Subject"].startswith("fediward on box??Bcc: everybody@example.org????body")
    assert len([one for one in server.commands if one.startswith("rcpt")]) == 2


@pytest.mark.parametrize("at_once", [False, True])
async def test_through_tls_with_a_password(at_once: bool, trusted: Authority, tls: ssl.SSLContext) -> None:
    async with post(tls, at_once=at_once) as server:
        settings = replace(
            SETTINGS,
            port=server.port,
            tls="tls" if at_once else "starttls",
            user="me",
            password="hush",
            trusted=trusted.trusted(),
        )
        await Mail(settings).send(alarm())
    assert (server.encrypted, server.logins) == ([True], ["\0me\0hush"])
    assert "hush" not in repr(settings)


@pytest.mark.parametrize("at_once", [False, True])
async def test_who_is_not_trusted_gets_neither_password_nor_mail(at_once: bool, tls: ssl.SSLContext) -> None:
    async with post(tls, at_once=at_once) as server:
        settings = replace(SETTINGS, port=server.port, tls="tls" if at_once else "starttls", user="me", password="hush")
        with pytest.raises(NotSentError, match=r"TLS with the mail server failed: .*certificate"):
            await Mail(settings).send(alarm())
    assert (server.mails, server.logins) == ([], [])


async def test_a_server_without_starttls_gets_neither() -> None:
    async with post() as server:
        settings = replace(SETTINGS, port=server.port, tls="starttls", user="me", password="hush")
        with pytest.raises(NotSentError, match="STARTTLS") as caught:
            await Mail(settings).send(alarm())
    assert not caught.value.again
    assert (server.mails, server.logins) == ([], [])


@pytest.mark.parametrize(
    ("word", "answer", "told", "again"),
    [
        ("CONNECT", "421 busy", "answered 421", True),
        ("CONNECT", "554 go away", "answered 554", False),
        ("CONNECT", "what?", "answered -1", True),
        ("AUTH", "535 SECRET is wrong", r"user and password are refused \(535\)", False),
        ("MAIL", "550 not you", "answered 550", False),
        ("MAIL", "451 later", "answered 451", True),
        ("RCPT", "550 unknown", r"every recipient is refused \(550\)", False),
        ("RCPT", "450 greylisted", r"every recipient is refused \(450\)", True),
        ("DATA", "554 spam", "answered 554", False),
        ("DATA END", "452 disk full", "answered 452", True),
        ("EHLO", "250-" + "x" * 10_000, "answered 500", False),
    ],
)
async def test_what_a_server_may_answer(word: str, answer: str, told: str, again: bool) -> None:
    async with post(says={word: answer}) as server:
        settings = replace(SETTINGS, port=server.port, user="me", password="hush")
        with pytest.raises(NotSentError, match=told) as caught:
            await Mail(settings).send(alarm())
    assert caught.value.again is again
    assert "SECRET" not in str(caught.value)
    assert "hush" not in str(caught.value)


async def test_one_recipient_of_two_is_refused() -> None:
    async with post(says={"rcpt to:<second@example.org>": "550 unknown"}) as server:
        with pytest.raises(NotSentError, match="1 of 2 recipients are refused") as caught:
            await Mail(replace(SETTINGS, port=server.port)).send(alarm())
    assert len(server.mails) == 1
    assert not caught.value.again


async def test_whatever_it_says_in_the_end_it_has_the_message() -> None:
    async with post(says={"QUIT": "500 what?"}) as server:
        await Mail(replace(SETTINGS, port=server.port)).send(alarm())
    assert len(server.mails) == 1


async def test_nobody_there() -> None:
    async with post() as server:
        pass
    with pytest.raises(NotSentError, match="cannot be used: Connection refused") as caught:
        await Mail(replace(SETTINGS, port=server.port)).send(alarm())
    assert caught.value.again


@pytest.mark.parametrize("word", ["CONNECT", "EHLO", "DATA END"])
async def test_who_dribbles_is_cut_off(word: str) -> None:
    async with post(silent=[word]) as server:
        with pytest.raises(NotSentError, match=r"not handed over within 0.45 s") as caught:
            await Mail(replace(SETTINGS, port=server.port, seconds=0.15)).send(alarm())
    assert caught.value.again


async def test_who_dribbles_through_tls_is_cut_off_too(trusted: Authority, tls: ssl.SSLContext) -> None:
    async with post(tls, at_once=True, silent=["EHLO"]) as server:
        settings = replace(SETTINGS, port=server.port, tls="tls", trusted=trusted.trusted(), seconds=0.15)
        with pytest.raises(NotSentError, match=r"not handed over within 0.45 s"):
            await Mail(settings).send(alarm())


async def test_who_is_silent_is_not_waited_for() -> None:
    async with post(says={"EHLO": "250-and more"}) as server:
        with pytest.raises(NotSentError, match=r"timed out|not handed over"):
            await Mail(replace(SETTINGS, port=server.port, seconds=0.2)).send(alarm())
