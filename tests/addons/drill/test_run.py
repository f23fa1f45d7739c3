"""Every cause, made to happen with real sockets, signatures and SQLite, by the example's policy and by others."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from addons.drill.causes import DRILLS
from addons.drill.run import drill
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Reader, Search
from addons.policy.config import Config, load
from addons.policy.example import example_path
from addons.policy.sections import Reaction
from addons.policy.words import Action, Cause
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings

CONFIG = load(example_path(), env=os.environ)
module_loop = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine() -> AsyncIterator[Engine]:
    settings = ClassifierSettings(clip=None, nudity=None, hashes=(), decode=DecodeSettings(processes=1))
    opened = Engine.start(settings, {})
    yield opened
    await opened.close()


def doing(cause: Cause, action: Action) -> Config:
    return replace(CONFIG, on=CONFIG.on.model_copy(update={cause.value: Reaction(do=action)}))


@module_loop
@pytest.mark.parametrize("cause", list(Cause))
async def test_every_cause_comes_to_what_the_example_says(cause: Cause, engine: Engine) -> None:
    drilled = await drill(CONFIG, cause, engine=engine)
    assert drilled.problems() == []
    assert drilled.wanted is CONFIG.on.action(cause)


@module_loop
@pytest.mark.parametrize("action", [Action.RECORD, Action.REJECT, Action.DEFER, Action.HOLD])
async def test_another_policy_is_carried_out_too(action: Action, engine: Engine) -> None:
    drilled = await drill(doing(Cause.UNDECODABLE, action), Cause.UNDECODABLE, engine=engine)
    assert drilled.problems() == []
    assert drilled.wanted is action
    if action is Action.HOLD:
        assert drilled.seen.held
        assert drilled.seen.outcome is None


@module_loop
async def test_a_rule_that_comes_before_is_seen(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "server: {upstream: http://127.0.0.1:9, listen: 127.0.0.1:8540}\n"
        "rules: [{name: nobody, when: {host: [127.0.0.1]}, do: reject}]\n"
    )
    drilled = await drill(load(path, env={}), Cause.UNDECODABLE, engine=engine)
    assert not drilled.right
    assert drilled.seen.rule == "nobody"
    assert any("the cause in the ledger: None" in problem for problem in drilled.problems())


@module_loop
@pytest.mark.parametrize("cause", [Cause.NO_WORKER, Cause.UNDECODABLE])
async def test_live_it_is_in_the_admins_ledger_and_nothing_is_kept_from_the_stand_in(
    cause: Cause, engine: Engine, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'mine.db'}"
    config = replace(CONFIG, ledger=CONFIG.ledger.model_copy(update={"url": url}))
    Ledger.open(url, keep=timedelta(days=1)).close()
    drilled = await drill(config, cause, live=True, engine=engine)
    assert drilled.problems() == []
    assert drilled.observe
    assert drilled.seen.at_once == 1
    assert any('door="inbox"' in line for line in drilled.seen.metrics)
    with Reader.open(url) as reader:
        (entry,) = reader.find(Search(cause=cause))
        assert entry.mode == "observe"
        assert reader.holds(10, over=True) == []


def test_every_cause_has_a_drill() -> None:
    assert set(DRILLS) == set(Cause)
    assert not any(DRILLS[cause].live for cause in (Cause.LEDGER_ERROR, Cause.HOLD_FULL))
