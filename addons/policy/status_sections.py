"""The sections by which people and their tools see how fediward is: the status listener and the alarms."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, model_validator

from addons.policy import values
from addons.policy.fields import LOOPBACK, Clients, ListenAddress, listed
from addons.policy.hosts import normal_host
from addons.policy.values import refusal
from classifier.settings import Settings

_URL = "a URL such as https://example.org/hook"


class Status(Settings):
    """``status:``: the listener of ``/healthz``, ``/readyz`` and ``/metrics``, and who may ask."""

    listen: ListenAddress = Field(description="where health and metrics are asked, such as 127.0.0.1:8545")
    clients: Clients = LOOPBACK


def _alarm_url(value: object) -> str:
    """``https://…`` or ``http://…``, whatever path and query; it may hold a secret and is never shown."""
    try:
        url = urlsplit(value) if isinstance(value, str) else None
        port = url.port if url else 0
    except ValueError:
        url, port = None, 0
    if not isinstance(value, str) or url is None or port == 0 or re.search(r"[\x00-\x20\\]", value):
        raise refusal("{text} is not a URL to send alarms to", _URL)
    if url.scheme not in ("http", "https") or normal_host(url.hostname or "") is None:
        hint = "write https:// before it" if "://" not in value else ""
        raise refusal("{text} is not a URL to send alarms to", _URL, hint=hint)
    if "@" in url.netloc or "#" in value:
        raise refusal("{text} has a user or a fragment, which is not sent", _URL)
    return value


_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([^@\s]{1,253})\Z")


def _mail_address(value: object) -> str:
    """``name@host``, nothing that could begin another header."""
    match = _MAIL.match(value) if isinstance(value, str) else None
    if not isinstance(value, str) or match is None or normal_host(match[1]) is None:
        raise refusal("{text} is not a mail address", "name@host, such as admin@example.org")
    return value


type _AlarmUrl = Annotated[str, BeforeValidator(_alarm_url), Field(max_length=2000)]
type _Mail = Annotated[str, BeforeValidator(_mail_address)]
type _Secret = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[\x21-\x7e]+$")]
type _Password = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Email(Settings):
    """An alarm by mail. ``tls``: from the first byte, after STARTTLS, or none."""

    smtp: ListenAddress = Field(description="the mail server's host:port, such as mail.example.org:587")
    sender: Annotated[_Mail, Field(alias="from", description="who it comes from, such as fediward@example.org")]
    to: Annotated[
        tuple[_Mail, ...],
        BeforeValidator(listed),
        Field(min_length=1, max_length=50, description="who is told, such as admin@example.org"),
    ]
    user: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None
    password: Annotated[_Password | None, Field(repr=False)] = None
    tls: Literal["starttls", "tls", "none"] = "starttls"

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.user is None) is not (self.password is None):
            given, other = ("password", "user") if self.user is None else ("user", "password")
            raise refusal(f"the mail server is given a {given} and no {other}", "user and password, or neither of them")
        return self


class AlarmTo(Settings):
    """Where alarms go: exactly one of ``webhook`` (JSON is POSTed), ``ntfy`` (its topic's URL) and ``email``.

    ``secret``: a webhook's, with which each body is signed; ``token``: ntfy's.
    """

    webhook: Annotated[_AlarmUrl | None, Field(repr=False)] = None
    secret: Annotated[_Secret | None, Field(repr=False)] = None
    ntfy: Annotated[_AlarmUrl | None, Field(repr=False)] = None
    token: Annotated[_Secret | None, Field(repr=False)] = None
    email: Email | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [name for name in ("webhook", "ntfy", "email") if getattr(self, name) is not None]
        if len(ways) != 1:
            message = "an alarm goes one way, and this has " + (" and ".join(ways) or "none")
            raise refusal(message, "one of webhook: URL, ntfy: URL, email: {…}")
        if self.token is not None and self.ntfy is None:
            raise refusal('"token" goes only with ntfy', "no token")
        if self.secret is not None and self.webhook is None:
            raise refusal('"secret" goes only with webhook', "no secret")
        return self


class Alarms(Settings):
    """``alarms:``: who is told of trouble; ``every``: least seconds between two alarms of one kind."""

    every: Annotated[float, BeforeValidator(values.duration("1m", "7d"))] = 900.0
    to: Annotated[tuple[AlarmTo, ...], Field(max_length=20)] = ()
