"""``fediward explain ID``: one decision in plain English, every reason with its figures, and never an image."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from addons.commands import held
from addons.commands.reading import Trouble, allowed_by, ledger_options, open_reader, plain, shown_frame, shown_time
from addons.ledger import Entry, EntryMedium, LedgerError, Reader, Search
from addons.ledger.asked import symbol_tests
from addons.ledger.clean import printable, printable_body, printable_json
from addons.ledger.held import HoldRecord
from addons.policy.words import Hit
from classifier import JudgedFrame

LATER = 20
"""Later decisions on a held delivery that are named, the newest."""
_DONE = {
    "drop": "was dropped (the sender was told that it arrived)",
    "reject": "was refused",
    "hold": "was held",
    "defer": "was put off (the sender was asked to come again)",
    "strip": "was let in without its media",
    "record": "was let in and noted",
    "pass": "was let in",
}
_REPLACED = "was replaced (by a placeholder, or left out)"
_REFUSED = "was refused"
_ELSEWHERE = {
    "fetch": {"drop": _REPLACED, "strip": _REPLACED},
    "pictrs": {"drop": _REPLACED, "strip": _REPLACED},
    "validate": {"drop": _REFUSED, "strip": _REFUSED, "defer": "was put off"},
    "upload": {"drop": _REFUSED, "strip": _REFUSED, "defer": "was put off"},
}
"""What is done at a media door, where it is not what is done with a delivery."""
_CAUSES = {
    "timeout": "judging took too long",
    "no_worker": "there was nobody to judge",
    "busy": "too much was being judged already",
    "fetch_failed": "it could not be fetched",
    "fetch_refused": "fediward refused to fetch it (an address or port that is not allowed)",
    "fetch_unauthorized": "its host wants signed requests",
    "undecodable": "it could not be decoded",
    "unsupported": "it is of a kind that cannot be judged",
    "too_large": "it is too large",
    "too_many": "there was more than is looked at",
    "detector_error": "a detector failed",
    "ledger_error": "the ledger failed",
    "hold_full": "no more could be held",
}


@click.command("explain")
@click.argument("id")
@ledger_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object with everything that is kept.")
@click.option("--activity", is_flag=True, help="Print the dropped activity's JSON and nothing else.")
def command(id: str, config: Path, ledger: str | None, as_json: bool, activity: bool) -> None:
    """Explain one decision in full: ID is the last column of `fediward log`.

    Exit: 0, 1 where there is no such decision (or trouble with the ledger), 2 for usage or configuration.
    """
    if as_json and activity:
        raise click.UsageError("--json and --activity do not go together")
    id = id.strip().lower()
    try:
        with open_reader(config, ledger) as reader:
            entry = reader.get(id)
            if entry is None:
                raise Trouble(f"the ledger has no decision {printable(id)}; `fediward log` lists them")
            kept = reader.kept(id)
            rules = reader.rules(entry.policy_version)
            record = reader.hold(entry.hold or entry.id)
            told = _held(reader, entry, record)
    except LedgerError as error:
        raise Trouble(str(error)) from error
    if activity:
        if kept is None:
            raise Trouble(
                f"no activity is kept for decision {printable(id)}: only what was dropped or rejected is, for "
                "`ledger.keep_dropped` (7 days unless set otherwise)"
            )
        click.echo(printable_body(kept.body))
    elif as_json:
        more = {"asked": rules.get(entry.rule or ""), "activity_kept": kept is not None}
        click.echo(printable_json(plain(entry) | more | {"held": held.plain(record) if record else None}))
    else:
        click.echo("\n".join([*explanation(entry, rules, kept.at if kept else None), *told]))


def _held(reader: Reader, entry: Entry, record: HoldRecord | None) -> list[str]:
    """What became of a delivery that was held, and which decisions belong together, safe to print."""
    if record is None:
        return []
    lines = ["", "Held"]
    if entry.hold:
        lines.append(f"  Decision {entry.hold} held the delivery: fediward explain {entry.hold}")
    else:
        later = reader.find(Search(hold=entry.id, limit=LATER))
        lines += [f"  Judged again {shown_time(one.at)}: {one.action} (fediward explain {one.id})" for one in later]
    return [printable(line) for line in (*lines, *held.story(record))]


def explanation(entry: Entry, rules: dict[str, Any], kept: datetime | None) -> list[str]:
    """The explanation, line by line, safe to print. ``rules``: what each asked; ``kept``: since when its JSON is."""
    by = f"{entry.actor or 'unknown'} ({entry.host or 'no host'})"
    mode = "" if entry.mode == "enforce" else f" (mode: {entry.mode})"
    lines = [
        f"Decision {entry.id}: {entry.action}{mode}",
        f"  when      {shown_time(entry.at)}, decided in {entry.took_ms:.0f} ms",
        f"  door      {entry.door}",
        f"  what      {' > '.join(entry.types) or 'no activity'}",
        f"  activity  {entry.activity_id or 'without an id'}",
        f"  object    {entry.object_id or 'without an id'}",
        f"  actor     {by}",
        f"  sent from {entry.peer or 'unknown'}",
        *([f"  session   {entry.session} (a salted hash of the uploader's token)"] if entry.session else []),
        "",
        "Why",
        *_why(entry, rules),
        "",
        f"Media ({len(entry.media)} of {entry.media_count} kept here)" if entry.media_count else "Media: none",
    ]
    if entry.overflow:
        lines.append(f"  Not all of it was looked at: it passed the bound on {entry.overflow}.")
    for medium in entry.media:
        lines += _medium(medium)
    lines += ["", f"Policy version {entry.policy_version or 'unknown'}", f"Model {entry.engine_version or 'unknown'}"]
    if kept is not None:
        lines.append(f"The activity's JSON is kept since {shown_time(kept)}: fediward explain {entry.id} --activity")
    return [printable(line) for line in lines]


def _why(entry: Entry, rules: dict[str, Any]) -> list[str]:
    deciding = next((hit for hit in entry.hits if _decided(entry, hit)), None)
    if entry.rule:
        first = f'  The rule "{entry.rule}" decided'
    elif entry.cause:
        first = f"  The cause {entry.cause} decided ({_CAUSES.get(entry.cause, 'something went wrong')})"
    elif deciding and (deciding.allowed or deciding.blocked):
        name = _name(deciding)
        first = f"  {name[0].upper()}{name[1:]} decided"
    else:
        first = "  No rule and no cause applied"
    done = _ELSEWHERE.get(entry.door, {}).get(entry.action) or _DONE.get(entry.action, entry.action)
    if entry.mode != "enforce":
        done = "was forwarded all the same"
    lines = [f"{first}{_where(entry, deciding)}; it {done}."]
    if deciding is not None:
        lines += _figures(entry, deciding, rules)
    for hit in entry.hits:
        if hit is not deciding:
            lines.append(f"  Also applied: {_name(hit)}, {hit.action}{_where(entry, hit)}.")
            lines += _figures(entry, hit, rules)
    return lines


def _name(hit: Hit) -> str:
    if hit.allowed:
        return allowed_by(hit.allowed)
    if hit.blocked:
        return f"the block set (decision {hit.blocked} stripped it)"
    return f'rule "{hit.rule}"' if hit.rule else f"cause {hit.cause}"


def _decided(entry: Entry, hit: Hit) -> bool:
    return (str(hit.action), hit.rule, hit.cause) == (entry.action, entry.rule, entry.cause)


def _where(entry: Entry, hit: Hit | None) -> str:
    if hit is None or hit.medium is None:
        return ""
    medium = _medium_of(entry, hit)
    frame = "" if hit.frame is None else f", {shown_frame(hit.frame, medium.frames if medium else ())}"
    return f" on medium {hit.medium + 1}{frame}"


def _medium_of(entry: Entry, hit: Hit) -> EntryMedium | None:
    return next((medium for medium in entry.media if medium.index == hit.medium), None)


def _figures(entry: Entry, hit: Hit, rules: dict[str, Any]) -> list[str]:
    """Scores and thresholds of what the hit's rule asked, or why its medium could not be judged."""
    medium = _medium_of(entry, hit)
    if hit.cause is not None:
        return [f"    {medium.message}"] if medium and medium.message else []
    if hit.allowed is not None or hit.blocked is not None:
        return []  # a list's matches are told with the medium, and the other decision has an explanation of its own
    wanted = list(symbol_tests(rules.get(hit.rule or "")))
    if not wanted:
        known = hit.rule in rules
        return [] if known or medium is None else ["    (what the rule asked was not noted; scores are below)"]
    scores = _scores(medium, hit.frame)
    lines = []
    for symbol, test in wanted:
        if symbol.endswith(".*"):
            score = max((value for name, value in scores.items() if name.startswith(symbol[:-1])), default=None)
        else:
            score = scores.get(symbol)
        lines.append(f"    {symbol:<24} {'absent' if score is None else f'{score:.4f}'}   the rule asks {test}")
    return lines


def _scores(medium: EntryMedium | None, frame: int | None) -> dict[str, float]:
    worst: dict[str, float] = {}
    for one in medium.frames if medium else ():
        if frame is None or one.index == frame:
            for name, score in one.symbols.items():
                worst[name] = max(score, worst.get(name, 0.0))
    return worst


def _medium(medium: EntryMedium) -> list[str]:
    lines = [f"  {medium.index + 1}. {medium.kind} {medium.url}"]
    lines.append(f"     stood at {medium.path or 'the root'}{', marked sensitive' if medium.sensitive else ''}")
    if medium.final_url and medium.final_url != medium.url:
        lines.append(f"     led to {medium.final_url}")
    if medium.address:
        lines.append(f"     came from {medium.address}")
    if medium.sha256:
        size = f"{medium.width} x {medium.height}" if medium.width else "size unknown"
        lines.append(f"     {medium.media_type}, {size}, {len(medium.frames)} frame(s) judged; sha256 {medium.sha256}")
    if medium.cause:
        told = f": {medium.message}" if medium.message else ""
        lines.append(f"     not judged, {medium.cause} ({_CAUSES.get(medium.cause, 'something went wrong')}){told}")
    took = "" if medium.took_ms is None else f" in {medium.took_ms:.0f} ms"
    if medium.version:
        lines.append(f"     judged{took} by {medium.version}{' (known already)' if medium.cached else ''}")
    for match in medium.matches:
        frame = "" if match.frame is None else f", {shown_frame(match.frame, medium.frames)}"
        frame += f" {match.variant}" if match.variant else ""
        note = f", {match.note}" if match.note else ""
        lines.append(
            f"     on the list {match.list}: {match.kind} {match.entry}, distance {match.distance}{frame}, "
            f"from {match.source or 'an unnamed source'}{note}"
        )
    for frame_ in medium.frames:
        lines += _frame(frame_)
    return lines


def _frame(frame: JudgedFrame) -> list[str]:
    scores = sorted(frame.symbols.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{name} {score:.3f}" for name, score in scores) or "no symbols"
    return [
        f"     {shown_frame(frame.index, (frame,))}: {told}",
        f"       pdq {frame.pdq}" if frame.pdq else "       pdq none (too flat)",
    ]
