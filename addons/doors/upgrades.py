"""Takes protocol switches other than WebSocket out of a request: after a 101 nobody could look into what goes by."""

from mitmproxy import http

_UPGRADING = frozenset({b"upgrade", b"http2-settings"})


def remove_upgrade(request: http.Request) -> None:
    """Remove ``Upgrade`` and what belongs to it, everything else staying as it was (RFC 9110 section 7.8).

    The server then answers as it would have without (RFC 9110: it may always ignore an Upgrade).
    """
    fields: list[tuple[bytes, bytes]] = []
    for name, value in request.headers.fields:
        lower = name.lower()
        if lower in _UPGRADING:
            continue
        if lower == b"connection":
            tokens = [token.strip() for token in value.split(b",")]
            if any(token.lower() in _UPGRADING for token in tokens):
                value = b", ".join(token for token in tokens if token.lower() not in _UPGRADING)
                if not value:
                    continue
        fields.append((name, value))
    request.headers.fields = tuple(fields)
