"""What one check found, in words for a person."""

from dataclasses import dataclass
from typing import Literal

type State = Literal["ok", "trouble", "not checked"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``message``: what was found; ``mend``: what to do about it, empty where nothing is to be done."""

    check: str
    state: State
    message: str
    mend: str = ""


def ok(check: str, message: str, mend: str = "") -> Finding:
    """It works; ``mend``: what a person has to see for himself."""
    return Finding(check, "ok", message, mend)


def trouble(check: str, message: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(check, "trouble", message, mend)


def unchecked(check: str, why: str, mend: str = "") -> Finding:
    """Nothing is known of it."""
    return Finding(check, "not checked", why, mend)
