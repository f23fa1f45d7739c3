"""Decoding data: URLs (RFC 2397), which activities carry media in, within a bound."""

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

MAX_TYPE = 256
"""Characters of the media type and its parameters."""
_SPACE = b"\t\n\f\r "


class DataUrlError(ValueError):
    """It is not a data: URL, or its base64 is damaged."""


class DataTooLargeError(Exception):
    """It holds more than ``max_bytes``."""


@dataclass(frozen=True, slots=True)
class DataUrl:
    """``content_type`` as written, ``text/plain;charset=US-ASCII`` where it says none."""

    content_type: str
    data: bytes


def is_data_url(url: str) -> bool:
    """Whether the scheme is ``data``, in any case, after spaces."""
    return url[:64].lstrip(" ")[:5].lower() == "data:"


def decode_data_url(url: str, max_bytes: int) -> DataUrl:
    """The bytes in ``url``: percent-encoding undone, then base64 as browsers read it (spaces and padding optional).

    Raises:
        DataUrlError: malformed.
        DataTooLargeError: more than ``max_bytes``; nothing was decoded then if the length of the URL alone says so.
    """
    head, comma, body = url.lstrip(" ").partition(",")
    content_type = head[5:].strip(" ")
    if not is_data_url(url) or not comma or len(content_type) > MAX_TYPE:
        raise DataUrlError("not a data: URL: a comma must follow the media type")
    body = body.partition("#")[0]
    # A byte takes at most 3 characters percent-encoded, and 4 in base64 percent-encoded throughout; spaces aside.
    if len(body) > 4 * max_bytes + 1024:
        raise DataTooLargeError(f"more than {max_bytes} bytes")
    data = unquote_to_bytes(body)
    parameters = content_type.rsplit(";", 1)
    if len(parameters) == 2 and parameters[1].strip(" ").lower() == "base64":
        content_type = parameters[0]
        data = _base64(data)
    if len(data) > max_bytes:
        raise DataTooLargeError(f"more than {max_bytes} bytes")
    return DataUrl(content_type or "text/plain;charset=US-ASCII", data)


def _base64(text: bytes) -> bytes:
    """WHATWG's forgiving-base64: white space is skipped, padding may be missing, all else is an error."""
    text = text.translate(None, _SPACE)
    if len(text) % 4 == 0:
        text = text.removesuffix(b"=").removesuffix(b"=")
    if len(text) % 4 == 1 or b"=" in text:
        raise DataUrlError("its base64 is cut short or padded wrongly")
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise DataUrlError("its base64 holds other characters") from error
