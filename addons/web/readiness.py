"""Whether this process can judge now, part by part, and what to do where it cannot."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

logger = logging.getLogger(__name__)

PATIENCE = 2.0
"""Seconds that one part may take to say how it is."""


@dataclass(frozen=True, slots=True)
class Check:
    """How one part is. ``wrong``: what is wrong, empty if nothing; ``mend``: what to do about it; ``able``: whether
    media are judged all the same."""

    name: str
    wrong: str = ""
    mend: str = ""
    able: bool = False

    @property
    def ok(self) -> bool:
        """Whether it does what it is there for."""
        return self.able or not self.wrong

    def __str__(self) -> str:
        """One line."""
        if not self.wrong:
            return f"{self.name}: ok"
        told = " ".join(f"{self.wrong}. {self.mend}".split()) if self.mend else " ".join(self.wrong.split())
        return f"{self.name}: {'warning' if self.able else 'not ready'}: {told}"

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {"name": self.name, "ok": self.ok, "wrong": self.wrong, "mend": self.mend if self.wrong else ""}


type Part = Callable[[], Check | Awaitable[Check]]
"""Says how a part is, at once or soon."""


class Readiness:
    """Asks every part."""

    def __init__(self, parts: Sequence[tuple[str, Part]], *, patience: float = PATIENCE) -> None:
        """``parts``: by name, as the status shows them."""
        self._parts = list(parts)
        self._patience = patience

    def add(self, name: str, part: Part) -> None:
        """Ask one more."""
        self._parts.append((name, part))

    async def checks(self) -> list[Check]:
        """How all are, in order; one that cannot say so is not well."""
        return list(await asyncio.gather(*(self._ask(name, part) for name, part in self._parts)))

    async def _ask(self, name: str, part: Part) -> Check:
        try:
            async with asyncio.timeout(self._patience):
                found = part()
                return found if isinstance(found, Check) else await found
        except TimeoutError:
            return Check(name, f"it did not say how it is within {self._patience:g} s", "see the log")
        except Exception as error:
            logger.exception("whether %s is ready cannot be said", name)
            return Check(name, f"it cannot be asked ({type(error).__name__})", "see the log")
