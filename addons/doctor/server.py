"""Whether the server behind answers, and whether our clock and the world's agree."""

import time
from email.utils import parsedate_to_datetime

import httpx

from addons.doctor.asking import as_ours, client, said
from addons.doctor.findings import Finding, ok, trouble, unchecked
from addons.policy.config import Config

MOST_SKEW = 30.0
"""Seconds: signatures are refused from five minutes on (reference §0.4), and both ends may be wrong."""


async def check_server(config: Config, clock_url: str | None) -> list[Finding]:
    """GET / of the server; its Date, or that of ``clock_url``, tells the time."""
    upstream = str(config.server.upstream)
    async with client() as asking:
        answer: httpx.Response | None = None
        try:
            answer = await asking.get(f"{upstream}/", headers=as_ours(config))
            server = _server(upstream, answer)
        except httpx.HTTPError as error:
            mend = "is your server running, and is `server.upstream` its own address as seen from here?"
            server = trouble("server", f"{upstream}: {said(error)}", mend)
        if clock_url is None:
            source = f"{upstream} (on this machine, it would be wrong alike: see --clock-url)"
            return [server, _clock(answer, source)]
        try:
            return [server, _clock(await asking.head(clock_url), clock_url)]
        except httpx.HTTPError as error:
            return [server, unchecked("clock", f"{clock_url}: {said(error)}")]


def _server(upstream: str, answer: httpx.Response) -> Finding:
    message = f"{upstream} answers {answer.status_code}"
    if answer.status_code >= 500:
        return trouble("server", message, "see your server's log")
    return ok("server", message)


def _clock(answer: httpx.Response | None, source: str) -> Finding:
    if answer is None:
        return unchecked("clock", "nobody to compare it with: the server does not answer", "--clock-url URL")
    try:
        told = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return unchecked("clock", f"{source} sends no Date", "--clock-url URL")
    # A Date has whole seconds, and is as old as the answer.
    skew = time.time() - told - 0.5 - answer.elapsed.total_seconds() / 2
    if abs(skew) > MOST_SKEW:
        way = "ahead of" if skew > 0 else "behind"
        mend = "set the clock (systemd-timesyncd, chrony): signatures with a wrong time are refused"
        return trouble("clock", f"{abs(skew):.0f} s {way} {source}", mend)
    return ok("clock", f"within {max(1.0, abs(skew)):.0f} s of {source}")
