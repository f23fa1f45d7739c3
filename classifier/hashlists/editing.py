"""Changes the file of a hash list: adds and removes entries, leaves all else in it, and puts it in place at once."""

import csv
import fcntl
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from classifier.hashlists.entries import DIGITS, Hashes, Kind, Remarks
from classifier.hashlists.parsing import Entry, parse
from classifier.hashlists.reading import MAX_ENTRIES, read
from classifier.settings import HashListSettings
from classifier.types import CannotStartError

_HEADER = b"kind,hash,source,note\n"


def add(settings: HashListSettings, entries: Iterable[Entry]) -> int:
    """Add those that the list has not, at its end; how many those were. A list that is not there is begun.

    Raises CannotStartError where the file is broken or cannot be written.
    """
    with _editing(settings.file) as begun:
        hashes, _ = _read(settings)
        have: set[tuple[Kind, bytes]] = set()
        lines = []
        for entry in entries:
            known = hashes.get(entry.kind)
            key = (entry.kind, entry.hash)
            if key not in have and (known is None or known.find(entry.hash.hex()) is None):
                have.add(key)
                lines.append(_line(settings.match, entry, _is_json(settings.file)))
        _bounded(hashes, len(lines), settings.file)
        if lines:
            _append(settings, begun(), lines)
    return len(lines)


def add_file(
    settings: HashListSettings,
    file: Path,
    match: Kind | None,
    *,
    source: str = "",
    wrong: list[str] | None = None,
    progress: Callable[[int], object] = lambda size: None,
) -> tuple[int, int]:
    """Add all of ``file``, a list in any format, that the list has not: how many it has, and how many were new.

    ``match``: the kind of lines in ``file`` that name none; ``source``: of entries without one; ``wrong`` and
    ``progress`` as in :func:`classifier.hashlists.reading.read`. Raises CannotStartError.
    """
    hashes, remarks = read(file, match, wrong=wrong, progress=progress)
    with _editing(settings.file) as begun:
        known, _ = _read(settings)
        new = {kind: one.beyond(known[kind]) if kind in known else range(len(one)) for kind, one in hashes.items()}
        count = sum(len(places) for places in new.values())
        _bounded(known, count, settings.file)
        if count:
            as_json = _is_json(settings.file)
            entries = (_entry(one, remarks, int(place), source) for kind, one in hashes.items() for place in new[kind])
            _append(settings, begun(), (_line(settings.match, entry, as_json) for entry in entries))
    return sum(len(one) for one in hashes.values()), count


def remove(settings: HashListSettings, digests: Iterable[tuple[Kind | None, str]]) -> set[str]:
    """Take out the lines with these hashes (hex digits), of that kind or of any; those that stood there.

    Raises CannotStartError where the file cannot be read or written.
    """
    with _editing(settings.file) as begun:
        hashes, _ = read(settings.file, settings.match)
        found = {
            (listed, digest)
            for kind, digest in digests
            for listed, one in hashes.items()
            if kind in (None, listed) and len(digest) == DIGITS[listed] and one.find(digest) is not None
        }
        if found:
            new = begun()
            with settings.file.open("rb") as old:
                for line in old:
                    entry = parse(line, settings.match)
                    if not isinstance(entry, Entry) or (entry.kind, entry.hash.hex()) not in found:
                        new.write(line)
    return {digest for _, digest in found}


def write(settings: HashListSettings, entries: Iterable[Entry]) -> int:
    """Make these entries all that is in the list, as CSV; how many they are. A list that is not there is begun.

    Raises CannotStartError where they are more than a list can hold, or it cannot be written: then it stays as it was.
    """
    count = 0
    with _editing(settings.file) as begun:
        new = begun()
        new.write(_HEADER)
        for count, entry in enumerate(entries, 1):
            if count > MAX_ENTRIES:
                raise CannotStartError(f"the hash list {settings.file} would have more than {MAX_ENTRIES} entries")
            new.write(_line(None, entry, as_json=False))
    return count


@contextmanager
def _editing(path: Path) -> Iterator[Callable[[], BinaryIO]]:
    """What gives the file that takes ``path``'s place in the end; nobody else edits a list of this folder meanwhile."""
    path = path.resolve()
    try:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as aside:
                written: list[BinaryIO] = []

                def begun() -> BinaryIO:
                    written.append(Path(aside, path.name).open("wb"))  # noqa: SIM115
                    return written[0]

                try:
                    yield begun
                    for file in written:
                        file.flush()
                        os.fsync(file.fileno())
                        _put(Path(aside, path.name), path)
                finally:
                    for file in written:
                        file.close()
        finally:
            os.close(folder)
    except OSError as error:
        raise CannotStartError(f"the hash list {path} cannot be changed ({error.strerror})") from error


def _put(new: Path, path: Path) -> None:
    """Into its place, with the mode and owner of what stood there."""
    if path.exists():
        shutil.copymode(path, new)
        old = path.stat()
        if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(new, old.st_uid, old.st_gid)
    new.replace(path)


def _append(settings: HashListSettings, new: BinaryIO, lines: Iterable[bytes]) -> None:
    last = b"\n"
    if settings.file.exists():
        with settings.file.open("rb") as old:
            shutil.copyfileobj(old, new, 1 << 20)
            if old.tell():
                old.seek(-1, os.SEEK_END)
                last = old.read(1)
    if last != b"\n":
        new.write(b"\n")
    elif new.tell() == 0 and settings.match is None:
        new.write(_HEADER)
    new.writelines(lines)


def _read(settings: HashListSettings) -> tuple[dict[Kind, Hashes], Remarks]:
    if not settings.file.exists():
        settings.file.touch()
    return read(settings.file, settings.match)


def _bounded(known: dict[Kind, Hashes], more: int, path: Path) -> None:
    if sum(len(one) for one in known.values()) + more > MAX_ENTRIES:
        raise CannotStartError(f"the hash list {path} would have more than {MAX_ENTRIES} entries: add to another")


def _is_json(path: Path) -> bool:
    """Whether the first line that says anything is JSON: then further ones are too."""
    with path.open("rb") as file:
        for line in file:
            if (said := line.strip()) and not said.startswith(b"#"):
                return said.startswith(b"{")
    return False


def _entry(hashes: Hashes, remarks: Remarks, place: int, source: str) -> Entry:
    told, note = remarks.at(int(hashes.remarks[place]))
    return Entry(hashes.kind, bytes.fromhex(hashes.digest(place)), told or source, note)


def _line(match: Kind | None, entry: Entry, as_json: bool) -> bytes:
    digest = entry.hash.hex()
    assert len(digest) == DIGITS[entry.kind]
    if as_json or (match is not None and match != entry.kind):  # bare hashes are of one kind; JSON names it
        told = {"source": entry.source, "note": entry.note}
        said = {"kind": entry.kind, "hash": digest, **{key: text for key, text in told.items() if text}}
        return msgspec.json.encode(said) + b"\n"
    fields = [digest, entry.source, entry.note] if match else [entry.kind, digest, entry.source, entry.note]
    while not fields[-1]:
        fields.pop()
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(fields)
    return line.getvalue().encode()
