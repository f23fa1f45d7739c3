"""Alarms by e-mail: one plain message, handed to the admin's own mail server."""

import asyncio
import contextlib
import smtplib
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime, make_msgid
from typing import Literal

from addons.alarms.kinds import Alarm
from addons.alarms.sending import NotSentError

SECONDS = 10.0
"""For each step with the mail server; three times as long for all of it."""
CUT_EVERY = 0.5
"""Seconds between two tries to end a connection that takes longer."""


@dataclass(frozen=True, slots=True)
class MailSettings:
    """How mail is handed over. ``tls``: from the first byte, after STARTTLS, or none; ``trusted``: whom to trust with
    it, where it is not the public authorities."""

    host: str
    port: int
    sender: str
    to: Sequence[str]
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Literal["starttls", "tls", "none"] = "starttls"
    trusted: ssl.SSLContext | None = None
    seconds: float = SECONDS


class Mail:
    """Each try is a connection of its own, in a thread: smtplib blocks."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self.name = f"e-mail by way of {settings.host}:{settings.port}"

    async def send(self, alarm: Alarm) -> None:
        """One try. Raises NotSentError."""
        visit, longest = _Visit(self._settings), 3 * self._settings.seconds
        task = asyncio.get_running_loop().run_in_executor(None, visit.send, self._message(alarm))
        try:
            done, _ = await asyncio.wait((task,), timeout=longest)
        finally:
            # Whoever is cut off here must not leave a thread behind that waits for a server which dribbles.
            while not task.done():
                visit.cut()
                await asyncio.wait((task,), timeout=CUT_EVERY)
        if not done:
            task.exception()  # its own words are of the cut
            raise NotSentError(f"not handed over within {longest:g} s")
        task.result()

    async def close(self) -> None:
        """Nothing stays open between two messages."""

    def _message(self, alarm: Alarm) -> EmailMessage:
        message = EmailMessage(policy=SMTP_POLICY)
        # The policy refuses line ends in a header; a title has none.
        message["From"] = self._settings.sender
        message["To"] = ", ".join(self._settings.to)
        message["Subject"] = alarm.title
        message["Date"] = format_datetime(alarm.at)
        message["Message-ID"] = make_msgid(domain=self._settings.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(f"{alarm.text}\n\nhost: {alarm.host}\ntime: {alarm.at.isoformat(timespec='seconds')}\n")
        return message


class _Visit:
    """One connection to the mail server."""

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self.server: smtplib.SMTP | None = None

    def send(self, message: EmailMessage) -> None:
        """Blocks. Raises NotSentError."""
        one = self._settings
        try:
            refused = self._handed_over(message)
        except smtplib.SMTPAuthenticationError as error:
            raise NotSentError(f"user and password are refused ({error.smtp_code})", again=False) from None
        except smtplib.SMTPNotSupportedError as error:
            raise NotSentError(f"the mail server cannot do what is asked: {error}", again=False) from None
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            raise NotSentError(f"every recipient is refused ({code})", again=code < 500) from None
        except smtplib.SMTPResponseException as error:
            raise NotSentError(f"the mail server answered {error.smtp_code}", again=error.smtp_code < 500) from None
        except ssl.SSLError as error:
            told = getattr(error, "verify_message", "") or error.reason or "no common ground"
            raise NotSentError(f"TLS with the mail server failed: {told}") from None
        except (OSError, smtplib.SMTPException, ValueError) as error:
            told = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NotSentError(f"the mail server cannot be used: {told}") from None
        if refused:
            raise NotSentError(f"{len(refused)} of {len(one.to)} recipients are refused", again=False)

    def _handed_over(self, message: EmailMessage) -> Mapping[str, object]:
        """The recipients that were refused, if others were not."""
        one = self._settings
        server = self._connected()
        try:
            if one.tls == "starttls":
                server.starttls(context=one.trusted or ssl.create_default_context())
            if one.user is not None and one.password is not None:
                server.login(one.user, one.password)
            refused = server.send_message(message, one.sender, list(one.to))
            # It has the message by now, whatever it says to this.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()
            return refused
        finally:
            server.close()

    def cut(self) -> None:
        """End it, from another thread."""
        connection = self.server.sock if self.server is not None else None
        if connection is not None:
            with contextlib.suppress(OSError):
                # Not TLS's own, which waits for whoever reads.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def _connected(self) -> smtplib.SMTP:
        one = self._settings
        # Else smtplib asks the DNS for our own name.
        ourselves = one.sender.rpartition("@")[2]
        if one.tls == "tls":
            context = one.trusted or ssl.create_default_context()
            return _TlsServer(self, one.host, one.port, ourselves, one.seconds, context)
        return _Server(self, one.host, one.port, ourselves, one.seconds)


class _Server(smtplib.SMTP):
    """Known to its visit before it connects."""

    def __init__(self, visit: _Visit, host: str, port: int, ourselves: str, seconds: float) -> None:
        visit.server = self
        super().__init__(host, port, ourselves, seconds)


class _TlsServer(smtplib.SMTP_SSL):
    """The same, with TLS from the first byte."""

    def __init__(
        self, visit: _Visit, host: str, port: int, ourselves: str, seconds: float, context: ssl.SSLContext
    ) -> None:
        visit.server = self
        super().__init__(host, port, ourselves, timeout=seconds, context=context)
