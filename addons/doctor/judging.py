"""Whether the hash lists load, and the detectors (here, or at a worker) judge a drawn picture."""

import asyncio
import sys

import msgspec

from addons.doctor.findings import Finding, ok, trouble, unchecked
from addons.doctor.trial import Judged, Trial
from addons.policy.config import Config

SECONDS = 300.0
"""For loading all there is, models above all, and judging one picture, on a slow machine."""
_HARMLESS = ("pass", "record")
_LIST_MEND = "see `classifier.hashes`; `fediward hashes import` makes a list from another one"
_MODEL_MEND = "see `classifier`; `fediward models list` shows which weights are here, `fediward models pull` gets some"


async def check_judging(config: Config) -> list[Finding]:
    """Three findings: hash lists, detectors here, workers elsewhere."""
    try:
        trial = await _tried(config)
    except _FailedError as error:
        mend = "is there memory enough for the models and lists? Run `fediward run -v` and see what it says"
        return [trouble("judging", f"the process that tried it {error}", mend)]
    return [_lists(config, trial), *_detectors(config, trial)]


class _FailedError(Exception):
    """The process ended without saying how it went."""


async def _tried(config: Config) -> Trial:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "addons.doctor.trial", str(config.path)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, said = await process.communicate()
    except TimeoutError as error:
        raise _FailedError(f"did not end within {SECONDS:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        return msgspec.json.decode(out, type=Trial)
    except msgspec.DecodeError as error:
        last = said.decode(errors="replace").strip().rpartition("\n")[2][:300]
        raise _FailedError(f"ended with {process.returncode}: {last}") from error


def _lists(config: Config, trial: Trial) -> Finding:
    if trial.problems:
        return trouble("hash lists", "; ".join(trial.problems), _LIST_MEND)
    awaited = len(config.classifier.hashes) - len(config.there.hashes)
    told = ", ".join(f"{name} ({count:,})" for name, count in trial.lists.items())
    if awaited:
        return trouble(
            "hash lists",
            f"{told or 'none'}; {awaited} of exchanges were never fetched",
            "`fediward exchanges` fetches them, and says why where it cannot",
        )
    return ok("hash lists", told) if told else unchecked("hash lists", "none is configured")


def _detectors(config: Config, trial: Trial) -> list[Finding]:
    found = []
    if trial.here is not None:
        found.append(_judged("detectors", trial.here, _MODEL_MEND))
    if trial.workers is not None:
        mend = "is a `fediward worker` running with the same `classifier` section, and does it reach the NATS server?"
        found.append(_judged("workers", trial.workers, mend))
    else:
        found.append(unchecked("workers", "none are configured: judged is on this machine"))
    return found


def _judged(check: str, judged: Judged, mend: str) -> Finding:
    if judged.problem:
        return trouble(check, judged.problem, mend)
    if judged.action not in _HARMLESS:
        message = f"a plain grey picture would be met with {judged.action}, for {judged.because}"
        return trouble(check, message, "see `rules` and `on`: nothing would get by")
    told = f"loaded in {judged.load:.1f} s, a drawn picture judged in {1000 * judged.judge:.0f} ms"
    return ok(check, f"{told}, {judged.symbols} symbols")
