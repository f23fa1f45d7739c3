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
