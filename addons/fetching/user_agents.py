"""The request headers each server software sends when it fetches: a host must not tell our fetches from its own."""

from dataclasses import dataclass

PAGE_BYTES = 1 << 20
"""Bytes that are read of a page for its preview (ref §7)."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How one software fetches: ``{domain}`` stands for the server's domain; ``source`` says where it was read.

    ``nameless`` is used where the domain is not configured. ``accept_encoding`` may only name gzip and deflate, which
    :mod:`addons.fetching.decoding` undoes within bounds, or be ``identity``. How pages are fetched for their preview:
    ``page_range``: with a Range of the first MiB; ``page_agent``: what the User-Agent then ends with; ``page_accept``.
    """

    agent: str
    nameless: str
    source: str
    accept: str = "*/*"
    accept_encoding: str = "identity"
    page_range: bool = False
    page_agent: str = ""
    page_accept: str = "*/*"


# Versions are of the release read or measured; an admin who wants his own says it in `fetch.user_agent`.
# "ref §5" is the project's fact sheet on fediverse servers; Accept-Encoding is only given where it was read.
MANNERS = {
    "lemmy": Manner(
        "Lemmy/0.19.13; +https://{domain}",
        "Lemmy/0.19.13",
        "ref §5; LemmyNet/lemmy:crates/api_common/src/request.rs client_builder; reqwest sends Accept: */*",
        page_range=True,  # ref §7
    ),
    "mastodon": Manner(
        "Mastodon/4.5.2 (http.rb/5.3.1; +https://{domain}/)",
        "Mastodon/4.5.2 (http.rb/5.3.1)",
        "ref §5; mastodon/mastodon:app/lib/request.rb set_common_headers! (Accept-Encoding: gzip)",
        accept_encoding="gzip",
        page_agent=" Bot",  # ref §5; app/services/fetch_link_card_service.rb
        page_accept="text/html",
    ),
    "gotosocial": Manner(
        "gotosocial/0.19.1 (+https://{domain})",
        "gotosocial/0.19.1",
        "ref §5; superseriousbusiness/gotosocial:internal/transport/controller.go, derefmedia.go (Accept: */*)",
    ),
    "akkoma": Manner("Akkoma 3.16.0; https://{domain} <admin@{domain}>", "Akkoma 3.16.0", "ref §5"),
    "pleroma": Manner(
        "Pleroma 2.9.1; https://{domain} <admin@{domain}>",
        "Pleroma 2.9.1",
        "as its fork Akkoma, ref §5; not read itself",
    ),
    "misskey": Manner(
        "Misskey/2025.9.0 (https://{domain})",
        "Misskey/2025.9.0",
        "misskey-dev/misskey:packages/backend/src/config.ts userAgent, core/DownloadService.ts",
    ),
    "mbin": Manner("Mbin/1.8.2 (+https://{domain}/agent)", "Mbin/1.8.2", "ref §5"),
    "piefed": Manner("PieFed/1.0; +https://{domain}", "PieFed/1.0", "pyfedi:app/utils.py get_request"),
    "peertube": Manner(
        "PeerTube/7.3.0 (+https://{domain})",
        "PeerTube/7.3.0",
        "ref §5; Chocobozzz/PeerTube:server/core/helpers/requests.ts getUserAgent",
    ),
    "pixelfed": Manner(
        "PixelFedBot/1.0.0 (Pixelfed/0.12.6; +https://{domain})",
        "PixelFedBot/1.0.0 (Pixelfed/0.12.6)",
        "pixelfed/pixelfed:app/Services/ActivityPubFetchService.php",
    ),
}
# A server that fediward has no facts about hides best in the commonest traffic of the fediverse.
GENERIC = MANNERS["mastodon"]

_MAX_LENGTH = 256


def manner(software: str) -> Manner:
    """How ``server.software`` fetches; Mastodon's way for ``generic`` and for what is not in the table."""
    return MANNERS.get(software, GENERIC)


def page_headers(software: str, agent: str) -> dict[str, str]:
    """The headers with which ``server.software`` fetches a page to preview it, where it else calls itself ``agent``."""
    own = manner(software)
    headers = {"User-Agent": agent + own.page_agent, "Accept": own.page_accept}
    return {**headers, "Range": f"bytes=0-{PAGE_BYTES - 1}"} if own.page_range else headers


def user_agent(software: str, domain: str | None, override: str | None) -> str:
    """The User-Agent to fetch with: ``override`` (``fetch.user_agent``), else the software's own form with ``domain``.

    Raises:
        ValueError: the result cannot stand in a header (not printable ASCII, empty, or over 256 characters).
    """
    if override is not None:
        agent = override
    elif domain is None:
        agent = manner(software).nameless
    else:
        agent = manner(software).agent.format(domain=domain)
    if not agent.strip() or len(agent) > _MAX_LENGTH or not agent.isascii() or not agent.isprintable():
        raise ValueError(f"fetch.user_agent must be 1 to {_MAX_LENGTH} printable ASCII characters, not {agent[:60]!r}")
    return agent
