"""Alarms over HTTP: a webhook that gets JSON, and ntfy."""

import asyncio
import hashlib
import hmac
import json
import ssl
from collections.abc import Mapping
from importlib.metadata import version
from urllib.parse import urlsplit

import httpx

from addons.alarms.kinds import Alarm, AlarmKind
from addons.alarms.sending import NotSentError

SECONDS = 10.0
"""For each step of a request; twice as long for all of it."""
SIGNATURE = "X-Fediward-Signature"
"""``sha256=`` and the HMAC of the body, in hex, where the webhook has a secret."""

_AGAIN = frozenset({408, 425, 429})


class Posts:
    """The HTTP client of one target. The URL is the admin's own and may lead anywhere; no redirect is followed."""

    def __init__(self, url: str, *, seconds: float = SECONDS, trusted: ssl.SSLContext | None = None) -> None:
        """``trusted``: whom to trust with TLS, where it is not the public authorities."""
        self._url = url
        self._seconds = seconds
        self._client = httpx.AsyncClient(
            trust_env=False, timeout=seconds, verify=trusted or True, headers={"User-Agent": f"fediward/{_version()}"}
        )

    @property
    def where(self) -> str:
        """The URL's host (and port) alone."""
        return urlsplit(self._url).netloc.rpartition("@")[2]

    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """One try. What is answered beside the status is not read. Raises NotSentError."""
        try:
            async with asyncio.timeout(2 * self._seconds):
                async with self._client.stream("POST", self._url, content=body, headers=dict(headers)) as response:
                    status = response.status_code
        except TimeoutError as error:
            raise NotSentError(f"no answer within {2 * self._seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Of an error's own words some hold the URL.
            raise NotSentError(_words(error)) from None
        if 200 <= status < 300:
            return
        again = status >= 500 or status in _AGAIN
        more = "; redirects are not followed: write the URL it leads to" if 300 <= status < 400 else ""
        raise NotSentError(f"it answered {status}{more}", again=again)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()


class Webhook:
    """POSTs JSON: ``kind``, ``title``, ``message``, ``over``, ``suppressed``, ``host``, ``time``, ``version``."""

    def __init__(self, posts: Posts, secret: str | None = None) -> None:
        self._posts = posts
        self._secret = secret
        self.name = f"webhook at {posts.where}"

    async def send(self, alarm: Alarm) -> None:
        """One try. Raises NotSentError."""
        body = json.dumps(
            {
                "kind": str(alarm.kind),
                "title": alarm.title,
                "message": alarm.message,
                "over": alarm.over,
                "suppressed": alarm.suppressed,
                "host": alarm.host,
                "time": alarm.at.isoformat(timespec="seconds"),
                "version": _version(),
            }
        ).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret is not None:
            headers[SIGNATURE] = f"sha256={hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()}"
        await self._posts.post(body, headers)

    async def close(self) -> None:
        """Close its connections."""
        await self._posts.close()


class Ntfy:
    """POSTs to a topic of ntfy.sh or one's own server: the text as body, the rest as headers
    (https://docs.ntfy.sh/publish/)."""

    def __init__(self, posts: Posts, token: str | None = None) -> None:
        self._posts = posts
        self._token = token
        self.name = f"ntfy at {posts.where}"

    async def send(self, alarm: Alarm) -> None:
        """One try. Raises NotSentError."""
        quiet = alarm.over or alarm.kind is AlarmKind.TEST
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Title": alarm.title,
            "Priority": "default" if quiet else "high",
            "Tags": f"{'white_check_mark' if quiet else 'warning'},fediward,{alarm.kind}",
        }
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        await self._posts.post(alarm.text.encode(), headers)

    async def close(self) -> None:
        """Close its connections."""
        await self._posts.close()


def _version() -> str:
    return version("fediward")


def _words(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "it did not answer in time"
    if isinstance(error, httpx.ConnectError):
        return f"no connection: {str(error.__cause__ or error) or type(error).__name__}"
    return type(error).__name__
