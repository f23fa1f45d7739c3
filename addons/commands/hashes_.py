"""``fediward hashes``: changes the lists of known hashes, counts what is in them, and tries hashes and files."""

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from addons.commands.options import config_option

if TYPE_CHECKING:  # imported late below: `--help` should not take a second
    from addons.commands.hashed import Hashed
    from addons.policy.config import Config
    from classifier.hashlists import HashList
    from classifier.hashlists.parsing import Entry
    from classifier.settings import HashListSettings
    from classifier.types import HashMatch

type Kind = Literal["md5", "sha1", "sha256", "pdq"]

NOT_FOUND = 1
NEAR = 63
"""PDQ bits up to which ``test`` tells of entries that are near and do not match."""
LOOK_UPS = 100
"""Look-ups that ``stats`` times."""
SOURCES = 10
"""Sources that ``stats`` shows of a list, the most frequent ones."""
PROGRESS_FROM = 4 << 20
"""Bytes of a list from which on a progress bar is shown, where a person is watching."""


class Trouble(click.ClickException):
    """A list or a file cannot be read, hashed or written: exit code 2, as 1 means that something is on no list."""

    exit_code = 2


@click.group("hashes")
def command() -> None:
    """Import, add, remove, count and try known hashes.

    The lists are those under `classifier.hashes` in the configuration. A fediward that is running reads a changed list
    within seconds. No picture is ever shown, kept or sent anywhere: it is decoded in a process that is shut in.
    """


def _options[**P, R](body: Callable[P, R]) -> Callable[P, R]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="JSON instead of words."),
        click.option("-l", "--list", "name", metavar="NAME", help="Which list; not needed where there is only one."),
        config_option("The configuration that names the lists.", "config"),
    ):
        body = option(body)
    return body


_KINDS = click.Choice(get_args(Kind.__value__))
_source = click.option("--source", default="", help="Where they are from: told with every match.")
_items = click.argument("items", nargs=-1, required=True, metavar="HASH|IMAGE…")


@command.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_options
@click.option("--match", type=_KINDS, help="The kind of lines that name none, as bare hashes do.")
@_source
@click.option("--skip-wrong", is_flag=True, help="Leave out wrong lines; else nothing is imported from such a file.")
def import_(
    file: Path, config: Path, name: str | None, as_json: bool, match: Kind | None, source: str, skip_wrong: bool
) -> None:
    """Add to a list all hashes in FILE that it has not: CSV, JSON lines or bare hashes.

    Exit: 0, or 2 where nothing was imported: usage, configuration, FILE or the list.
    """
    from rich.console import Console
    from rich.progress import Progress

    from classifier.hashlists import editing

    chosen = _one(_config(config), name)
    wrong: list[str] | None = [] if skip_wrong else None
    size = file.stat().st_size
    hidden = size < PROGRESS_FROM or not sys.stderr.isatty()
    with _told(), Progress(console=Console(stderr=True), transient=True, disable=hidden) as progress:
        task = progress.add_task("reading", total=size)
        found, added = editing.add_file(
            chosen, file, match, source=source, wrong=wrong, progress=lambda read: progress.advance(task, read)
        )
    for problem in wrong or ():
        _warn(problem)
    _say(
        as_json,
        {"list": chosen.name, "found": found, "added": added, "wrong": wrong or []},
        f"{chosen.name}: {added} added, {found - added} it had already",
    )


@command.command()
@_items
@_options
@click.option("--kind", type=_KINDS, help="Only this kind of hash.")
@_source
@click.option("--note", default="", help="A remark: told with every match.")
def add(
    items: tuple[str, ...],
    config: Path,
    name: str | None,
    as_json: bool,
    kind: Kind | None,
    source: str,
    note: str,
) -> None:
    """Add hashes to a list, or the hashes of images.

    Of an image: its SHA-256, and the PDQ of its first frame that is not flat; to an allow list the SHA-256 alone, as
    anyone can make what is near. With --kind, or `match:` in the list's settings: that one alone.

    Exit: 0, or 2 where nothing was added: usage, configuration, an item or the list.
    """
    from classifier.hashlists import editing

    loaded = _config(config)
    chosen = _one(loaded, name)
    kind = kind or chosen.match
    with _told():
        every = _hashed(items, loaded, kind, decode=kind == "pdq" or (kind is None and not chosen.allow))
        entries = [_entry(*pair, source, note) for one in every for pair in _to_add(one, kind)]
        added = editing.add(chosen, entries)
    hashes = [{"kind": entry.kind, "hash": entry.hash.hex()} for entry in entries]
    _say(
        as_json,
        {"list": chosen.name, "added": added, "hashes": hashes},
        *(f"{one['kind']} {one['hash']}" for one in hashes),
        f"{chosen.name}: {added} added, {len(entries) - added} it had already",
    )


@command.command()
@_items
@_options
@click.option("--kind", type=_KINDS, help="Only this kind of hash.")
def remove(items: tuple[str, ...], config: Path, name: str | None, as_json: bool, kind: Kind | None) -> None:
    """Take hashes out of a list, or the hashes of images (the very ones: what is near stays).

    Exit: 0, 1 where an item was not on the list, 2 for usage, configuration, or a list that cannot be written.
    """
    from classifier.hashlists import editing

    loaded = _config(config)
    chosen = _one(loaded, name)
    with _told():
        every = _hashed(items, loaded, kind, decode=kind in (None, "pdq"))
        removed = editing.remove(chosen, [pair for one in every for pair in _pairs(one, kind)])
    missing = [one.item for one in every if removed.isdisjoint(digest for _, digest in _pairs(one, kind))]
    for item in missing:
        _warn(f"{item}: not on the list {chosen.name}")
    _say(as_json, {"list": chosen.name, "removed": sorted(removed)}, f"{chosen.name}: {len(removed)} removed")
    sys.exit(NOT_FOUND if missing else 0)


@command.command()
@_options
def stats(config: Path, name: str | None, as_json: bool) -> None:
    """Count what is in the lists: entries by kind and source, size on disk and in memory, and how long a look-up takes.

    Exit: 0, or 2 for usage, configuration, or a list that cannot be read.
    """
    told = [_stats(known) for known in _lists(_config(config), name)]
    for one in told:
        kinds = ", ".join(f"{count} {kind}" for kind, count in one["entries"].items()) or "empty"
        sources = [f"  {count} from {source or 'no source'}" for source, count in one["sources"].items()]
        words = (
            f"{one['list']}{' (allow)' if one['allow'] else ''}: {kinds}; {one['file']}, {one['file_bytes']} bytes, "
            f"{one['memory_bytes']} in memory; a look-up takes {one['look_up_ms']} ms"
        )
        _say(as_json, one, words, *sources)


@command.command()
@_items
@_options
@click.option("--kind", type=_KINDS, help="Only this kind of hash.")
def test(items: tuple[str, ...], config: Path, name: str | None, as_json: bool, kind: Kind | None) -> None:
    """Say which lists know a hash or an image, at which distance in bits; and which entries are near but do not match.

    Exit: 0 where each item is on some list, 1 where one is on none, 2 for usage, configuration, an item or a list.
    """
    loaded = _config(config)
    # Loaded with a longer distance, so that what is near is found too.
    bits = {listed.name: listed.bits for listed in loaded.classifier.hashes}
    lists = _lists(loaded, name, at_least=NEAR)
    with _told():
        every = _hashed(items, loaded, kind, decode=kind in (None, "pdq"))
    missing = False
    for one in every:
        if one.trouble:
            _warn(f"{one.item}: only its digests are tried: {one.trouble}")
        found = [match for known in lists for match in _matches(known, one, kind)]
        on = [match for match in found if match.distance <= bits[match.list]]
        near = [match for match in found if match.distance > bits[match.list]]
        missing |= not on
        told = {"item": one.item, "on": [_as_json(match) for match in on], "near": [_as_json(match) for match in near]}
        first = f"{one.item}: {'on a list' if on else 'on no list'}"
        lines = [f"  {_words(match)}" for match in on] + [f"  near, no match: {_words(match)}" for match in near]
        _say(as_json, told, first, *lines)
    sys.exit(NOT_FOUND if missing else 0)


def _config(path: Path) -> "Config":
    from addons.policy.config import load
    from addons.policy.problems import ConfigError

    try:
        return load(path, env=os.environ, lists=False)
    except ConfigError as error:
        raise click.UsageError(str(error)) from error


def _chosen(config: "Config", name: str | None) -> "list[HashListSettings]":
    """The list of that name, or all of them."""
    every = config.there.hashes
    chosen = [listed for listed in every if name in (None, listed.name)]
    if not chosen:
        names = ", ".join(listed.name for listed in every)
        raise click.UsageError(
            f"no list is named {name}: there is {names}"
            if every
            else f"{config.path} names no list: add one under classifier.hashes, such as "
            "[{name: ours, file: hashes.csv}]"
        )
    return chosen


def _one(config: "Config", name: str | None) -> "HashListSettings":
    chosen = _chosen(config, name)
    if len(chosen) > 1:
        raise click.UsageError(f"say which list: --list {' or '.join(listed.name for listed in chosen)}")
    if chosen[0].name in {exchange.name for exchange in config.exchanges}:
        raise click.UsageError(f"{chosen[0].name} is fetched, and would be overwritten: change a list of your own")
    return chosen[0]


def _lists(config: "Config", name: str | None, *, at_least: int = 0) -> "list[HashList]":
    from classifier.hashlists import HashList

    with _told():
        return [
            HashList(listed.model_copy(update={"distance": max(at_least, listed.bits)}))
            for listed in _chosen(config, name)
        ]


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with a list or an item becomes what click prints."""
    from addons.commands.hashed import UnusableError
    from classifier.types import CannotStartError

    try:
        yield
    except (CannotStartError, UnusableError) as error:
        raise Trouble(_safe(str(error))) from error


def _hashed(items: tuple[str, ...], config: "Config", kind: Kind | None, *, decode: bool) -> "list[Hashed]":
    from addons.commands.hashed import hashed

    return hashed(items, config, kind, decode=decode)


def _pairs(one: "Hashed", kind: Kind | None) -> list[tuple[Kind, str]]:
    """Every hash of an item, or those of one kind."""
    pairs: list[tuple[Kind, str]] = [*one.digests.items(), *(("pdq", picture.pdq) for picture in one.pictures)]
    return [pair for pair in pairs if kind in (None, pair[0])]


def _to_add(one: "Hashed", kind: Kind | None) -> list[tuple[Kind, str]]:
    """The hashes by which a list should know an item. Raises Trouble, or UsageError for a hash of two kinds."""
    pairs = _pairs(one, kind)
    if not one.is_file and len(pairs) > 1:
        raise click.UsageError(f"{one.item} may be of two kinds: --kind {' or --kind '.join(of for of, _ in pairs)}")
    if one.is_file and kind is None:
        pairs = [pair for pair in pairs if pair[0] in ("sha256", "pdq")]
    if one.trouble and kind == "pdq":
        raise Trouble(f"{one.item}: {one.trouble}")
    if one.trouble:
        _warn(f"{one.item}: only its SHA-256 is added: {one.trouble}")
    pictures = [pair for pair in pairs if pair[0] == "pdq"]
    return [pair for pair in pairs if pair[0] != "pdq"] + pictures[:1]


def _entry(kind: Kind, digest: str, source: str, note: str) -> "Entry":
    from classifier.hashlists.parsing import entry_of

    entry = entry_of(kind, digest, source, note)
    if isinstance(entry, str):
        raise click.UsageError(entry)
    return entry


def _matches(known: "HashList", one: "Hashed", kind: Kind | None) -> "list[HashMatch]":
    """What a list has of an item, nearest first, each entry once."""
    from classifier.hashlists import Digests

    digests = {of: digest for of, digest in one.digests.items() if kind in (None, of)}
    found = known.match_file(Digests(digests.get("sha256", ""), digests.get("md5"), digests.get("sha1")))
    if kind in (None, "pdq"):
        found += [match for picture in one.pictures for match in known.match_pdq(picture.pdq, picture.flips)]
    nearest: dict[tuple[str, str], HashMatch] = {}
    for match in sorted(found, key=lambda match: match.distance):
        nearest.setdefault((match.kind, match.entry), match)
    return list(nearest.values())


def _stats(known: "HashList") -> dict[str, Any]:
    asked = [secrets.token_hex(32) for _ in range(LOOK_UPS)]
    began = time.perf_counter()
    for pdq in asked:
        known.match_pdq(pdq)
    took = (time.perf_counter() - began) / LOOK_UPS
    return {
        "list": known.name,
        "file": str(known.settings.file),
        "allow": known.allow,
        "entries": known.counts,
        "sources": dict(known.sources().most_common(SOURCES)),
        "file_bytes": known.settings.file.stat().st_size,
        "memory_bytes": known.memory,
        "look_up_ms": round(1000 * took, 3),
    }


def _as_json(match: "HashMatch") -> dict[str, Any]:
    return {key: getattr(match, key) for key in ("list", "kind", "entry", "distance", "variant", "source", "note")}


def _words(match: "HashMatch") -> str:
    told = f"{match.list}: {match.kind} {match.entry}"
    if match.kind == "pdq":
        told += f", {match.distance} bits away" + (f", {match.variant}" if match.variant else "")
    return told + "".join(f", {text}" for text in (match.source, match.note) if text)


def _say(as_json: bool, told: dict[str, Any], *lines: str) -> None:
    """One JSON object in a line, or words, safe to print: sources, notes and file names are strangers' text."""
    from addons.ledger.clean import printable_json

    click.echo(printable_json(told) if as_json else _safe("\n".join(line.replace("\n", " ") for line in lines)))


def _warn(line: str) -> None:
    click.echo(_safe(line), err=True)


def _safe(text: str) -> str:
    from addons.ledger.clean import printable

    return printable(text, keep="\n")
