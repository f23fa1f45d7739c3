"""Draws the pictures that tests judge: shapes on plain grounds, textures rich enough for PDQ, and their files."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

type Shape = Literal["circle", "square", "triangle"]


def textured(seed: int, width: int = 256, height: int = 192) -> Image.Image:
    """A picture of soft coloured blotches, another for each seed; its PDQ quality is high."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def shape(
    kind: Shape = "circle", colour: str = "red", ground: str = "white", width: int = 128, height: int = 128
) -> Image.Image:
    """One filled shape in the middle of a plain ground."""
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = width // 4, height // 4, 3 * width // 4, 3 * height // 4
    if kind == "circle":
        draw.ellipse((left, top, right, bottom), fill=colour)
    elif kind == "square":
        draw.rectangle((left, top, right, bottom), fill=colour)
    else:
        draw.polygon([(width // 2, top), (left, bottom), (right, bottom)], fill=colour)
    return image


def quadrants(width: int = 64, height: int = 48) -> Image.Image:
    """Red, green, blue and yellow from the top left clockwise: tells any turn or swap of channels."""
    image = Image.new("RGB", (width, height), "red")
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 2, 0, width, height // 2 - 1), fill="lime")
    draw.rectangle((width // 2, height // 2, width, height), fill="blue")
    draw.rectangle((0, height // 2, width // 2 - 1, height), fill="yellow")
    return image


def encode(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    """The picture as a file of a Pillow format."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def animation(images: Sequence[Image.Image], format: str = "GIF", **options: object) -> bytes:
    """The pictures as one animated file (GIF, PNG, WEBP, AVIF) or pages (TIFF)."""
    return encode(images[0], format, save_all=True, append_images=list(images[1:]), **options)


def icon(images: Sequence[Image.Image], claims: Sequence[tuple[int, int]] | None = None, format: str = "PNG") -> bytes:
    """An ICO file of PNG or (32 bit) DIB entries whose directory claims these sizes (by default the true ones)."""
    claims = claims or [(image.width % 256, image.height % 256) for image in images]
    directory, bodies = b"", b""
    for image, (width, height) in zip(images, claims, strict=True):
        body = encode(image if format == "PNG" else image.convert("RGBA"), format)
        if format == "DIB":  # twice as high: the mask counts too
            body = body[:8] + struct.pack("<I", 2 * image.height) + body[12:]
        offset = 6 + 16 * len(images) + len(bodies)
        directory += struct.pack("<BBBBHHII", width, height, 0, 0, 1, 32, len(body), offset)
        bodies += body
    return struct.pack("<HHH", 0, 1, len(images)) + directory + bodies


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file, with its right checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, rows: bytes, *extra: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG of unfiltered ``rows`` (each led by its filter byte), with ``extra`` chunks before the data."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + b"".join(extra) + png_chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def many_frames(count: int) -> bytes:
    """A GIF of ``count`` frames of one pixel each, 18 bytes a frame."""
    head = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00"
    return head + b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00" * count + b";"
