"""Where local users' uploads and posts come in, server by server, as a table.

Paths are in lower case; ``:x`` is one segment, a last ``*`` one or more. Rows hold for POST, PUT and PATCH alike:
frameworks let one stand for another (Rails' and Symfony's ``_method``). Sources are named as in the reference, section
6; "from memory" says that nobody read it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

type Kind = Literal["upload", "post", "unsupported"]
"""``upload``: brings files; ``post``: text and URLs that become a post or profile; ``unsupported``: brings a file in a
way that cannot be judged, so that the cause of that name decides."""

FORMS = "(any form)"
MULTIPART = "(any multipart form)"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row: at the server ``software`` (several share a row), ``path`` brings ``kind``; ``source`` says who told."""

    software: tuple[str, ...]
    path: str
    kind: Kind
    source: str
    method: str = "POST"


PICTRS = "pict-rs"
"""Stands for what is behind the pict-rs door."""
_MASTODON_LIKE = ("mastodon", "gotosocial", "akkoma", "pleroma", "pixelfed")
_PLEROMA = ("akkoma", "pleroma")


def _rows(software: str | tuple[str, ...], kind: Kind, source: str, *paths: str) -> list[Endpoint]:
    names = (software,) if isinstance(software, str) else software
    rows = []
    for path in paths:
        method, _, rest = ("POST", "", path) if path[0] in "/(" else path.partition(" ")
        rows.append(Endpoint(names, rest, kind, source, method))
    return rows


ENDPOINTS: tuple[Endpoint, ...] = (
    *_rows("lemmy", "upload", "LEM19:crates/routes/src/images.rs", "/pictrs/image"),
    *_rows(
        "lemmy",
        "upload",
        "LEM:crates/api/routes/src/lib.rs",
        "/api/v4/image",
        "/api/v4/account/avatar",
        "/api/v4/account/banner",
        "/api/v4/community/icon",
        "/api/v4/community/banner",
        "/api/v4/community/:id/icon",
        "/api/v4/community/:id/banner",
        "/api/v4/site/icon",
        "/api/v4/site/banner",
    ),
    *_rows(
        "lemmy",
        "post",
        "LEM19:src/api_routes_http.rs (from memory)",
        *(
            f"{method} /api/v3/{name}"
            for name in ("post", "comment", "private_message", "community", "site", "custom_emoji")
            for method in ("POST", "PUT")
        ),
        "PUT /api/v3/user/save_user_settings",
    ),
    *_rows(
        "lemmy",
        "post",
        "LEM:crates/api/routes/src/lib.rs (from memory)",
        *(
            f"{method} /api/v4/{name}"
            for name in ("post", "comment", "private_message", "community", "site", "custom_emoji", "multi_community")
            for method in ("POST", "PUT")
        ),
        "PUT /api/v4/account/settings/save",
    ),
    *_rows(
        _MASTODON_LIKE,
        "upload",
        "MAS:config/routes/api.rb; GTS:internal/api/client/media; AKK:lib/pleroma/web/router.ex",
        "/api/v1/media",
        "/api/v2/media",
        "PUT /api/v1/media/:id",
        "PATCH /api/v1/accounts/update_credentials",
    ),
    *_rows(
        _MASTODON_LIKE,
        "post",
        "MAS:config/routes/api.rb",
        "/api/v1/statuses",
        "PUT /api/v1/statuses/:id",
    ),
    *_rows("mastodon", "post", "MAS:config/routes/api.rb (from memory)", "PATCH /api/v1/profile"),
    *_rows(
        "gotosocial",
        "upload",
        "GTS:internal/api/client (from memory)",
        "/api/v1/admin/custom_emojis",
        "PATCH /api/v1/admin/custom_emojis/:id",
        "PATCH /api/v1/instance",
    ),
    *_rows(
        _PLEROMA,
        "upload",
        "AKK:lib/pleroma/web/router.ex",
        "/api/pleroma/emoji/packs/files",
        "PATCH /api/pleroma/emoji/packs/files",
        "/api/v1/pleroma/emoji/packs/files",
        "/api/pleroma/emoji/packs/:name/files",
        "PUT /api/v1/pleroma/mascot",
        "PATCH /api/v1/pleroma/accounts/update_avatar",
        "PATCH /api/v1/pleroma/accounts/update_banner",
        "PATCH /api/v1/pleroma/accounts/update_background",
        "/api/ap/upload_media",
    ),
    *_rows(
        _PLEROMA,
        "post",
        "AKK:lib/pleroma/web/router.ex",
        "/api/v1/pleroma/chats/:id/messages",
        "/users/:name/outbox",
    ),
    *_rows("misskey", "upload", "MK:packages/backend/src/server/api/endpoints/drive", "/api/drive/files/create"),
    *_rows(
        "misskey",
        "post",
        "MK:packages/backend/src/server/api/endpoints (from memory)",
        "/api/drive/files/upload-from-url",
        "/api/notes/create",
        "/api/notes/edit",
        "/api/notes/update",
        "/api/notes/drafts/create",
        "/api/i/update",
        "/api/channels/create",
        "/api/channels/update",
        "/api/pages/create",
        "/api/pages/update",
        "/api/gallery/posts/create",
        "/api/gallery/posts/update",
        "/api/chat/messages/*",
        "/api/messaging/messages/create",
        "/api/admin/update-meta",
        "/api/admin/announcements/create",
        "/api/admin/announcements/update",
    ),
    *_rows(
        "mbin",
        "upload",
        "MBI:config/mbin_routes, src/Controller/Api/BaseApi.php",
        "/api/magazine/:id/image",
        "/api/magazine/:id/posts/image",
        "/api/entry/:id/comments/image",
        "/api/entry/:id/comments/:id/reply/image",
        "/api/post/:id/comments/image",
        "/api/post/:id/comments/:id/reply/image",
        "/api/users/avatar",
        "/api/users/cover",
        "/api/moderate/magazine/:id/theme",
    ),
    *_rows("mbin", "post", "MBI:config/mbin_routes", "/api/*"),
    *_rows(
        "piefed",
        "upload",
        "PIE:app/api/alpha/routes.py (from memory)",
        "/api/alpha/upload/image",
        "/api/alpha/upload/community_image",
        "/api/alpha/upload/user_image",
    ),
    *_rows("piefed", "post", "PIE:app/api/alpha/routes.py (from memory)", "/api/alpha/*"),
    *_rows(
        "peertube",
        "upload",
        "PT:server/core/controllers/api (from memory)",
        "/api/v1/videos/upload",
        "PUT /api/v1/videos/:id",
        "PUT /api/v1/videos/:id/captions/:language",
        "/api/v1/videos/live",
        "/api/v1/users/me/avatar/pick",
        "/api/v1/video-channels/:name/avatar/pick",
        "/api/v1/video-channels/:name/banner/pick",
        "/api/v1/video-playlists",
        "PUT /api/v1/video-playlists/:id",
        "/api/v1/config/instance-avatar/pick",
        "/api/v1/config/instance-banner/pick",
    ),
    *_rows(
        "peertube",
        "post",
        "PT:server/core/controllers/api (from memory)",
        "/api/v1/videos/:id/comment-threads",
        "/api/v1/videos/:id/comments/:id",
        "PUT /api/v1/users/me",
        "/api/v1/video-channels",
        "PUT /api/v1/video-channels/:name",
    ),
    *_rows(
        "peertube",
        "unsupported",
        "PT:server/core/controllers/api (from memory)",
        "/api/v1/videos/upload-resumable",
        "PUT /api/v1/videos/upload-resumable",
        "/api/v1/videos/:id/source/replace-resumable",
        "/api/v1/videos/imports",
        "/api/v1/users/:id/imports/import-resumable",
    ),
    *_rows(
        "pixelfed",
        "post",
        "PXF:routes (from memory)",
        "/api/compose/v0/publish",
        "/api/compose/v0/*",
    ),
    *_rows(("mbin", "piefed", "pixelfed"), "post", "their web pages", FORMS),
    *_rows((PICTRS,), "upload", "PRS:src/lib.rs", "/image", "/image/backgrounded", "/internal/import"),
    *_rows(
        ("lemmy", *_MASTODON_LIKE, "misskey", "mbin", "piefed", "peertube", PICTRS), "upload", "RFC 7578", MULTIPART
    ),
)


def table(rows: Iterable[Endpoint] = ENDPOINTS) -> Sequence[tuple[str, str, str]]:
    """The rows of the README's table: path, servers, and what is done with it in ``scan: everything`` (in
    ``scan: federation`` none is judged; rules on context hold for all)."""
    done = {"upload": "files judged", "post": "links and images judged", "unsupported": "cause `unsupported` decides"}
    return [(f"`{row.method} {row.path}`", ", ".join(row.software), done[row.kind]) for row in rows]
