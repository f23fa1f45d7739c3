"""How held deliveries are told: in a word for a table, in sentences for `explain` and `holds show`, as JSON."""

from typing import Any

import msgspec

from addons.commands.reading import shown_time
from addons.ledger.held import HoldRecord, HoldState, Outcome, Totals

_STATES = {
    HoldState.JUDGING: "to be judged",
    HoldState.REPLAYING: "to be replayed",
    HoldState.WAITING: "waits for a person",
}
_NOW = {HoldState.JUDGING: "being judged", HoldState.REPLAYING: "being replayed"}
_ENDS = {
    Outcome.REPLAYED: "the server took it",
    Outcome.REFUSED: "the server refused it, or had it already",
    Outcome.DROPPED: "it did not reach the server",
    Outcome.CLOSED: "its time ran out before it was judged, and it was dropped",
    Outcome.UNREACHED: "it was permitted, but the server did not take it in time",
    Outcome.WITHDRAWN: "its own author deleted it first",
}
_UNITS = ("bytes", "KiB", "MiB", "GiB")


def state(record: HoldRecord) -> str:
    """Where a hold is, in some words."""
    if record.outcome is not None:
        return str(record.outcome)
    return (_NOW.get(record.state) if record.worker else None) or _STATES[record.state]


def signer(record: HoldRecord) -> str:
    """Who vouches for it."""
    who = record.signer.host if record.signer.state == "verified" else record.signer.host or record.peer
    return f"{record.signer.state} {who or ''}".rstrip()


def size(bytes: float) -> str:
    """``12.3 KiB``."""
    unit = 0
    while bytes >= 1024 and unit < len(_UNITS) - 1:
        bytes, unit = bytes / 1024, unit + 1
    return f"{bytes:.1f} {_UNITS[unit]}" if unit else f"{bytes:.0f} bytes"


def story(record: HoldRecord) -> list[str]:
    """What became of it, or will, line by line; not yet safe to print."""
    lines = [
        f"  held      {shown_time(record.arrived)}, {size(record.size)}, for {_why(record)}",
        f"  signer    {signer(record)}{f': {record.signer.reason}' if record.signer.reason else ''}",
    ]
    if record.outcome is None:
        lines.append(f"  state     {state(record)}, {_times(record.attempts)} so far")
        if record.state != HoldState.WAITING:
            lines.append(f"  next try  {'now' if record.worker else shown_time(record.due)}")
        lines.append(f"  closes    {shown_time(record.closes)}: {_closing(record)}")
    else:
        when = shown_time(record.ended) if record.ended else "at an unknown time"
        lines.append(f"  outcome   {record.outcome} ({_ENDS[record.outcome]}), {when}")
    if record.unjudged:
        lines.append("  judged    never: it was let through without a judgement")
    if record.detail:
        lines.append(f"  remark    {record.detail}")
    return lines


def totals(counted: Totals) -> str:
    """All that is held, in one line."""
    if not counted.count:
        return "nothing is held"
    states = ", ".join(f"{count} {_STATES[name]}" for name, count in counted.by_state.items())
    since = f", the oldest since {shown_time(counted.oldest)}" if counted.oldest else ""
    return f"{counted.count} held ({states}), {size(counted.bytes)}{since}"


def plain(told: HoldRecord | Totals) -> dict[str, Any]:
    """A hold, or the totals, as JSON's types."""
    values: dict[str, Any] = msgspec.to_builtins(told)
    return values


def _why(record: HoldRecord) -> str:
    if record.rule:
        return f'the rule "{record.rule}"'
    return f"the cause {record.cause}" if record.cause else "what it must not overtake"


def _times(attempts: int) -> str:
    return "1 try" if attempts == 1 else f"{attempts} tries"


def _closing(record: HoldRecord) -> str:
    if record.state == HoldState.REPLAYING:
        return "then it is given up"
    return "then it is dropped" if record.then == "drop" else "then it is let through without a judgement"
