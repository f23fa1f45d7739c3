"""Multipart forms for tests, as browsers make them."""


def part(name: str, data: bytes, filename: str | None = None, content_type: str | None = None) -> bytes:
    """One part, without its boundary."""
    head = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        head += f'; filename="{filename}"'
    if content_type is not None:
        head += f"\r\nContent-Type: {content_type}"
    return f"{head}\r\n\r\n".encode() + data


def form(*parts: bytes, boundary: str = "----WebKitFormBoundary7MA4YWxkTrZu0gW") -> tuple[bytes, str]:
    """A whole form and its Content-Type."""
    line = f"--{boundary}".encode()
    body = b"".join(line + b"\r\n" + each + b"\r\n" for each in parts) + line + b"--\r\n"
    return body, f"multipart/form-data; boundary={boundary}"
