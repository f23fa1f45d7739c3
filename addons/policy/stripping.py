"""Where ``strip`` really hides media from readers: a server that hot-links what was stripped shows it all the same."""

from addons.policy.decide import STRIPS
from addons.policy.sections import File
from addons.policy.words import Door


def strips(settings: File) -> frozenset[Door]:
    """The doors where ``strip`` takes effect; at the inbox door it counts as ``drop`` elsewhere.

    A post that is let in stripped is shown with whatever its server has for the media. Mastodon and GoToSocial show
    what they stored, which the fetch door gives them; Lemmy only with ``image_mode: proxy`` and the pict-rs door: in
    its other modes readers' clients load images from where they lie (reference §7b). Akkoma, Pleroma, PieFed and Mbin
    link remote images too; of Misskey, PeerTube and Pixelfed it is not known well enough (reference §5).
    """
    server, doors = settings.server, settings.doors
    by_fetch = server.software in ("mastodon", "gotosocial") and doors.fetch is not None
    by_pictrs = server.software == "lemmy" and server.image_mode == "proxy" and doors.pictrs is not None
    return STRIPS | {"inbox"} if by_fetch or by_pictrs else STRIPS


def why_not(settings: File) -> tuple[str, str]:
    """Why the inbox door is none of these, and what to do about it."""
    server, doors = settings.server, settings.doors
    by_door = "drop, which says it, or a rule with door: [fetch, pictrs, validate, upload]"
    if server.software == "lemmy" and server.image_mode != "proxy":
        why = f"with image_mode: {server.image_mode} readers load images from where they lie"
        also = "" if doors.pictrs is not None else " and doors.pictrs"
        return why, f"drop, which says it, or ProxyAllImages in Lemmy, server.image_mode: proxy{also}"
    if server.software == "lemmy":
        return (
            "without a pict-rs door nothing hides an image that Lemmy proxies",
            "drop, which says it, or doors.pictrs",
        )
    if server.software in ("mastodon", "gotosocial"):
        return f"without a fetch door {server.software} stores the media itself", "drop, which says it, or doors.fetch"
    if server.software in ("akkoma", "pleroma", "piefed", "mbin"):
        return f"{server.software} links images where they lie, so that readers see them", by_door
    return "it is not known that this server hides media which it could not have", by_door
