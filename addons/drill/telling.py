"""What is said of a drill, in plain English and as JSON."""

from addons.drill.causes import DRILLS
from addons.drill.outcome import Drilled


def rows(drilled: Drilled) -> list[tuple[str, str]]:
    """Question and answer, in order."""
    seen, one = drilled.seen, DRILLS[drilled.cause]
    told = [
        ("what was done", f"delivered {one.what}"),
        ("the policy says", _policy(drilled)),
        ("the sender saw", f"{seen.status} after {seen.seconds:.1f} s"),
        ("the server got", _got(drilled)),
        ("the ledger says", _ledger(drilled)),
    ]
    if seen.held:
        told.append(("how the hold ended", _end(drilled)))
    if drilled.observe:
        told += [("metrics", line) for line in seen.metrics]
        told.append(("alarms", _alarms(seen.alarms)))
    told += [("WRONG", problem) for problem in drilled.problems()]
    return told


def plain(drilled: Drilled) -> dict[str, object]:
    """All that is known of it."""
    seen, one = drilled.seen, DRILLS[drilled.cause]
    return {
        "cause": str(drilled.cause),
        "what": one.what,
        "mode": "observe" if drilled.observe else "enforce",
        "policy": {"do": str(drilled.wanted), "then": drilled.then},
        "sender": {"status": seen.status, "seconds": round(seen.seconds, 3)},
        "server": {"at_once": seen.at_once, "in_the_end": seen.later, "changed": list(seen.changed)},
        "ledger": {
            "id": seen.decision,
            "action": seen.action,
            "cause": seen.cause,
            "rule": seen.rule,
            "message": seen.message,
        },
        "hold": {"outcome": seen.outcome, "detail": seen.detail} if seen.held else None,
        "metrics": list(seen.metrics),
        "alarms": seen.alarms,
        "problems": drilled.problems(),
        "right": drilled.right,
    }


def _policy(drilled: Drilled) -> str:
    then = f", then {drilled.then} when its window closes" if drilled.then else ""
    observed = "; but who observes does none of it" if drilled.observe else ""
    return f"{drilled.cause}: {drilled.wanted}{then}{observed}"


def _got(drilled: Drilled) -> str:
    seen = drilled.seen
    if not seen.later:
        return "nothing"
    how = f"CHANGED: {', '.join(seen.changed)}" if seen.changed else "byte for byte"
    if seen.at_once:
        return f"the delivery at once, {how}"
    return f"nothing at first; the delivery, {how}, when {DRILLS[drilled.cause].mended}"


def _ledger(drilled: Drilled) -> str:
    seen = drilled.seen
    if seen.decision is None:
        return "nothing"
    by = f"the rule {seen.rule}" if seen.rule else f"the cause {seen.cause}" if seen.cause else "no rule"
    message = f": {seen.message}" if seen.message else ""
    return f"{seen.action}, by {by}{message} (decision {seen.decision})"


def _end(drilled: Drilled) -> str:
    seen = drilled.seen
    if seen.outcome is None:
        return f"it did not yet: nothing mends that; when its window closes: {drilled.then}"
    return f"{seen.outcome}: {seen.detail}"


def _alarms(targets: int) -> str:
    if not targets:
        return "the configuration names nobody who would be told"
    return f"a test was sent to {targets} {'target' if targets == 1 else 'targets'}: see that it came"


def listed() -> list[tuple[str, str]]:
    """Every cause, and how it is made to happen."""
    return [(str(cause), one.what + ("" if one.live else " (not live)")) for cause, one in DRILLS.items()]


def mode(drilled: Drilled) -> str:
    """Where it took place, in a sentence."""
    if drilled.observe:
        return "Live: in your ledger and with your alarms, as mode: observe, with a stand-in for your server."
    return "As mode: enforce, with a temporary ledger and a stand-in for the server: nothing of it is kept."
