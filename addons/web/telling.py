"""What our own listeners tell of a decision: its reason and its id, for who has to find out why."""

from addons.judging.gate import Passage
from addons.ledger.clean import bounded

REASON = 200
"""Characters of a reason."""


def reason(passage: Passage) -> str:
    """``rule NAME``, ``cause NAME`` or ``blocked by ID``, in printable ASCII as headers want it."""
    deciding = passage.decision.deciding
    if deciding is None:
        return "nothing applied"
    if deciding.rule is not None:
        text = f"rule {deciding.rule}"
    elif deciding.cause is not None:
        text = f"cause {deciding.cause}"
    elif deciding.blocked is not None:
        text = f"blocked by {deciding.blocked}"
    else:
        text = f"allowed by {deciding.allowed}"
    return "".join(one if " " <= one <= "~" else "?" for one in bounded(text, REASON))


def headers(passage: Passage) -> dict[str, str]:
    """The same as headers; ``fediward explain ID`` tells the rest."""
    told = {"X-Fediward-Reason": reason(passage)}
    return {**told, "X-Fediward-Decision": passage.id} if passage.id else told
