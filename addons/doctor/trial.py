"""A process of its own that loads the hash lists and detectors, judges a drawn picture, and says how that went.

Started by :mod:`addons.doctor.judging`, so that whatever goes wrong in it, memory and crashes too, is told and no more.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec

from addons.activitypub.references import MediaRef
from addons.judging.placeholders import placeholder
from addons.policy.config import Config, load
from addons.policy.decide import decide
from addons.policy.sections import Classifier
from addons.policy.words import Cause, Context, Medium
from classifier.engine import Engine
from classifier.hashlists import HashList
from classifier.types import CannotJudgeError, CannotStartError

JUDGE_SECONDS = 60.0


class Judged(msgspec.Struct, frozen=True):
    """One engine's trial. ``problem``: why it did not start or judge; times in seconds; ``action``: what the policy
    would do with the picture, ``because`` of which rule or cause."""

    problem: str = ""
    load: float = 0.0
    judge: float = 0.0
    symbols: int = 0
    action: str = ""
    because: str = ""


class Trial(msgspec.Struct, frozen=True):
    """All that was tried. ``lists``: name to entries; ``here``, ``workers``: None where nothing is judged there."""

    lists: dict[str, int]
    problems: list[str]
    here: Judged | None
    workers: Judged | None


async def _try(config: Config) -> Trial:
    lists: dict[str, int] = {}
    problems: list[str] = []
    for settings in config.there.hashes:
        try:
            lists[settings.name] = len(HashList(settings))
        except CannotStartError as error:
            problems.append(str(error))
    workers = config.there.workers
    here = there = None
    if workers is None or workers.fallback != "none":
        here = await _judged(config, config.there.model_copy(update={"workers": None, "hashes": ()}))
    if workers is not None:
        alone = workers.model_copy(update={"fallback": "none"})
        there = await _judged(config, config.there.model_copy(update={"workers": alone, "hashes": ()}))
    return Trial(lists, problems, here, there)


async def _judged(config: Config, classifier: Classifier) -> Judged:
    began = time.monotonic()
    try:
        engine = Engine.start(classifier, config.concepts)
    except CannotStartError as error:
        return Judged(str(error))
    try:
        picture, _ = placeholder("image/png", 320, 240, os.urandom(8).hex())
        loaded = time.monotonic()
        ref = MediaRef("", "image", "")
        try:
            medium = Medium(ref, judgement=await engine.judge(picture, timeout=JUDGE_SECONDS))
        except CannotJudgeError as error:
            return Judged(f"{Cause(error.cause)}: {error}", loaded - began)
        took = time.monotonic() - loaded
        decision = decide(config.policy(), Context("inbox", software=config.server.software), [medium])
        because = f"the rule {decision.rule}" if decision.rule else f"the cause {decision.cause}"
        return Judged("", loaded - began, took, len(engine.symbols), str(decision.action), because)
    finally:
        await engine.close()


def main() -> None:
    """The only argument is the configuration's path; what was found goes to standard output as one line of JSON."""
    config = load(Path(sys.argv[1]), env=os.environ)
    # What libraries print must not come between.
    told, sys.stdout = sys.stdout, sys.stderr
    trial = asyncio.run(_try(config))
    told.write(msgspec.json.encode(trial).decode() + "\n")


if __name__ == "__main__":
    main()
