"""What is left to do by hand once something was allowed: posts to ask for again, what servers and pict-rs keep."""

from typing import TYPE_CHECKING

from addons.ledger.entry import Entry, EntryMedium
from addons.ledger.undoing import Found
from addons.policy.words import Cause

if TYPE_CHECKING:  # it is only looked at
    from addons.policy.config import Config

POSTS = 20
"""Posts to ask for again that are named."""

# How a server is told to fetch a post (reference section 9).
_RESOLVE = {
    "lemmy": "search for it while logged in, or GET /api/v3/resolve_object?q=… (/api/v4/ in Lemmy 1.0)",
    "mastodon": "search for it while logged in, or GET /api/v2/search?resolve=true&q=…",
    "gotosocial": "search for it while logged in, or GET /api/v2/search?resolve=true&q=…",
    "akkoma": "search for it while logged in, or GET /api/v2/search?resolve=true&q=…",
    "pleroma": "search for it while logged in, or GET /api/v2/search?resolve=true&q=…",
    "misskey": "look it up while logged in, or POST /api/ap/show with its uri",
}
_SEARCH = "put its URL into the server's search while logged in"
_LATER = (Cause.TIMEOUT, Cause.NO_WORKER, Cause.BUSY, Cause.FETCH_FAILED, Cause.DETECTOR_ERROR, Cause.LEDGER_ERROR)


def why_not(medium: EntryMedium, others: bool) -> list[str]:
    """Why a medium cannot be allowed and what to do; ``others``: the bytes are known from another decision."""
    if medium.cause is None and medium.sha256 is None:
        if others:
            return []
        return [
            f"{medium.url} was never fetched, so there are no bytes to allow: it is judged anew when it comes again"
        ]
    if medium.sha256 is not None:
        return [f"{medium.url} was judged in parts, so it has no SHA-256 to allow: let its host pass with a rule"]
    if medium.cause in _LATER:
        return [f"{medium.url} was not judged ({medium.cause}), so it has no SHA-256: it is judged when it comes again"]
    return [
        f"{medium.url} could not be judged ({medium.cause}), so it has no SHA-256 to allow: let its host pass with a "
        f"rule, or change what is done with it under `on:` ({medium.cause})"
    ]


def advice(config: "Config | None", found: Found, *, tried: bool) -> list[str]:
    """Lines of advice; ``tried``: pict-rs was asked to forget."""
    software = config.server.software if config else _software(found)
    lines = _posts(found, software)
    if not found.sha256:
        return lines
    if config is None:
        lines.append("Without -c FILE it is not known whether pict-rs stands behind a door: nothing was deleted there.")
    elif (door := config.doors.pictrs) is not None:
        if door.api_key is None:
            lines.append(
                "pict-rs may keep placeholders for these URLs: set doors.pictrs.api_key to pict-rs's own "
                "server.api_key and run this again."
            )
        elif not tried:
            lines.append("pict-rs was not asked to forget anything: the pict-rs door has never run with this ledger.")
        if software == "lemmy":
            lines.append(
                "A link preview that Lemmy had pict-rs download (image_mode: store) keeps no URL, so its placeholder "
                "cannot be found by one: edit the post's link, or delete its thumbnail's alias (the last part of "
                "thumbnail_url) by POST /internal/delete?alias=… with pict-rs's api_key, and resolve the post again."
            )
    if config and config.doors.fetch is not None:
        refetch = " (Mastodon: tootctl media refresh --force --status ID)" if software == "mastodon" else ""
        lines.append(f"What the server stored of it through the fetch door it has to fetch again{refetch}.")
    if config and config.doors.validate_ is not None:
        lines.append(
            "pict-rs may re-encode an image before it asks for validation, which gives it another SHA-256: where "
            "validation refuses it too, allow that decision as well (fediward log --door validate)."
        )
    lines.append("Browsers, apps, CDNs and caches before the server may show the old state for days.")
    return lines


def _posts(found: Found, software: str) -> list[str]:
    dropped = [entry for entry in found.decisions.values() if _was_stopped(entry)]
    if not dropped:
        return []
    lines = [f"Posts that did not get in; to have one now, {_RESOLVE.get(software, _SEARCH)}:"]
    lines += [f"  {entry.object_id or entry.activity_id} (decision {entry.id})" for entry in dropped[-POSTS:]]
    if len(dropped) > POSTS:
        lines.append(f"  … and {len(dropped) - POSTS} older ones (--json has all)")
    return lines


def _was_stopped(entry: Entry) -> bool:
    """Whether a post did not get in for it, which had a name."""
    here = entry.mode == "enforce" and entry.action in ("drop", "reject", "defer")
    return here and bool(entry.object_id or entry.activity_id)


def _software(found: Found) -> str:
    return next((entry.software for entry in reversed(found.decisions.values())), "generic")
