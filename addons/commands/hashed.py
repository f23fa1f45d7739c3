"""Files and hex digits, as they stand on a command line, to the hashes that lists are asked for."""

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from addons.policy.config import Config
from classifier import CannotJudgeError, CannotStartError
from classifier.frames import MIN_PDQ_QUALITY
from classifier.hashlists import Digests
from classifier.hashlists.entries import DIGITS, Kind
from classifier.media import MediaDecoder

_HEX = re.compile(r"[0-9a-f]+")


class UnusableError(Exception):
    """An item that is neither a file that can be read nor a hash; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class Picture:
    """The PDQ hash of a frame that is not flat, and of its flips where they are known."""

    pdq: str
    flips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hashed:
    """What a list may know of one item: digests of the whole, by kind, and pictures, in order of the frames.

    ``trouble``: why there is no picture; empty for bare hashes, and where there are pictures or none was wanted.
    """

    item: str
    digests: dict[Kind, str]
    pictures: tuple[Picture, ...] = ()
    trouble: str = ""
    is_file: bool = True


def hashed(items: Sequence[str], config: Config, kind: Kind | None, *, decode: bool) -> list[Hashed]:
    """Each item hashed; a bare hash of 64 digits is SHA-256 as well as PDQ where ``kind`` does not say which.

    ``decode``: hash the pictures in files too, each in a process that is shut in. Raises UnusableError, and
    CannotStartError where no such process can be had.
    """
    files = {item: Path(item) for item in items if os.path.isfile(item)}
    bare = {item: _bare(item.strip().lower(), kind) for item in items if item not in files}
    try:
        data = {item: _read(path, config.fetch.max_bytes) for item, path in files.items()}
    except OSError as error:
        raise UnusableError(f"{error.filename}: {error.strerror}") from error
    every = bare | asyncio.run(_files(data, config, decode=decode))
    return [every[item] for item in items]


def _bare(digest: str, kind: Kind | None) -> Hashed:
    kinds = [known for known, digits in DIGITS.items() if len(digest) == digits and kind in (None, known)]
    if not kinds or not _HEX.fullmatch(digest):
        every = "32 hex digits (md5), 40 (sha1) or 64 (sha256, pdq)"
        expected = f"{DIGITS[kind]} hex digits ({kind})" if kind else every
        raise UnusableError(f"{digest[:80]!r}: no file is there, and it is not a hash of {expected}")
    pictures = (Picture(digest),) if "pdq" in kinds else ()
    return Hashed(digest, {known: digest for known in kinds if known != "pdq"}, pictures, is_file=False)


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise UnusableError(f"{path}: it has more than {most} bytes (fetch.max_bytes)")
    return data


async def _files(files: dict[str, bytes], config: Config, *, decode: bool) -> dict[str, Hashed]:
    if not files:
        return {}
    settings = config.classifier.decode.model_copy(update={"processes": 1})
    flips = any(listed.variants for listed in config.classifier.hashes)
    decoder = MediaDecoder(settings, flips=flips) if decode else None
    try:
        return {item: await _file(item, data, decoder) for item, data in files.items()}
    finally:
        if decoder is not None:
            await decoder.close()


async def _file(item: str, data: bytes, decoder: MediaDecoder | None) -> Hashed:
    digests = Digests.of(data, every=True)
    by_kind: dict[Kind, str] = {"sha256": digests.sha256, "sha1": digests.sha1 or "", "md5": digests.md5 or ""}
    if decoder is None:
        return Hashed(item, by_kind)
    try:
        decoded = await decoder.decode(data, {})
    except CannotJudgeError as error:
        if error.cause == "no_worker":
            raise CannotStartError(str(error)) from error
        return Hashed(item, by_kind, trouble=str(error))
    frames = [(one.index, one.quality, Picture(one.pdq, one.flips)) for one in decoded.frames]
    frames += [(one.index, one.quality, Picture(one.pdq)) for one in decoded.hashes]
    frames.sort(key=lambda frame: frame[0])
    pictures = tuple(picture for _, quality, picture in frames if quality >= MIN_PDQ_QUALITY)
    return Hashed(item, by_kind, pictures, "" if pictures else "it is too flat to have a PDQ hash")
