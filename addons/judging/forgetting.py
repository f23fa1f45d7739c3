"""Has pict-rs forget what it keeps for a remote image, so that it fetches the image anew: a placeholder above all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import httpx

from addons.judging.stable import StableUrls, TooLongError

SECONDS = 10.0
"""For one answer of pict-rs."""
MOST = 1000
"""Images that are forgotten at once."""

type Outcome = Literal["deleted", "not kept", "failed"]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What became of one image: ``url`` as the server knows it, ``stable`` as pict-rs does, ``why`` it failed."""

    url: str
    stable: str
    outcome: Outcome
    why: str = ""


def forget(upstream: str, api_key: str, stable: StableUrls, urls: Sequence[str]) -> Iterator[Forgotten]:
    """Delete the one alias that pict-rs has for each URL's stable URL; after a failure the rest is not tried.

    ``POST internal/delete?proxy=`` (pict-rs 0.5, ``src/lib.rs``) deletes one alias, and the file once it has none left;
    ``internal/purge`` would delete every alias of the same bytes. ``upstream``: pict-rs itself, scheme, host and port.
    """
    with httpx.Client(base_url=upstream, timeout=SECONDS, trust_env=False) as client:
        for url in urls[:MOST]:
            try:
                of = stable.of(url)
            except (TooLongError, ValueError):
                continue  # it has none, so nothing is kept under it
            forgotten = _forget(client, api_key, url, of)
            yield forgotten
            if forgotten.outcome == "failed":
                return


def _forget(client: httpx.Client, api_key: str, url: str, stable: str) -> Forgotten:
    try:
        answer = client.post("/internal/delete", params={"proxy": stable}, headers={"X-Api-Token": api_key})
    except (httpx.HTTPError, UnicodeError) as error:
        return Forgotten(url, stable, "failed", f"pict-rs does not answer: {error or type(error).__name__}")
    if answer.status_code == 404 and "not-found" in answer.text[:1000]:
        return Forgotten(url, stable, "not kept")
    if answer.is_success:
        return Forgotten(url, stable, "deleted")
    if answer.status_code == 401:
        return Forgotten(
            url, stable, "failed", "pict-rs refuses doors.pictrs.api_key: it must be its own server.api_key"
        )
    return Forgotten(url, stable, "failed", f"pict-rs answered {answer.status_code}: {answer.text[:200]}")
