"""All checks, in an order in which each may use what those before it found."""

import asyncio
from collections.abc import AsyncIterator

from addons.doctor.database import check_ledger
from addons.doctor.fetching import check_fetching
from addons.doctor.findings import Finding, ok, trouble
from addons.doctor.judging import check_judging
from addons.doctor.listeners import check_listeners, is_open
from addons.doctor.pictrs import check_pictrs
from addons.doctor.server import check_server
from addons.policy.config import Config


async def check_everything(
    config: Config, *, clock_url: str | None = None, fetch_url: str | None = None
) -> AsyncIterator[Finding]:
    """Each finding as soon as it is there. Nothing is left behind but, where that is said, a drawn picture."""
    yield _configuration(config)
    judging = asyncio.ensure_future(check_judging(config))
    try:
        yield await check_ledger(config)
        for finding in await check_server(config, clock_url):
            yield finding
        listeners = await check_listeners(config)
        for finding in listeners:
            yield finding
        if config.doors.fetch is not None:
            running = is_open(listeners, "fetch door")
            for finding in await check_fetching(config, running=running, url=fetch_url):
                yield finding
        if config.doors.pictrs is not None:
            doors = is_open(listeners, "pict-rs door") and is_open(listeners, "origin")
            validation = is_open(listeners, "validation")
            for finding in await check_pictrs(config, doors=doors, validation=validation):
                yield finding
        for finding in await judging:
            yield finding
    except Exception as error:
        yield trouble("doctor", f"a check failed itself: {type(error).__name__}: {error}", "please report this")
    finally:
        judging.cancel()


def _configuration(config: Config) -> Finding:
    warnings = len(config.warnings)
    risks = f"; {warnings} of its choices are risky, see `fediward config check`" if warnings else ""
    return ok("configuration", f"{config.path} is valid, {len(config.rules)} rules{risks}")
